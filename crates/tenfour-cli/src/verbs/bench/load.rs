//! What is sent.

use tenfour::MailboxName;

use crate::exit::Failure;
use crate::target::Target;

/// Where messages of a measurement go. A server keeps little of it, so it is a name that nobody takes for something else.
const MAILBOX: &str = "tenfour-bench";

/// It is a mailbox of measurements, or one below it.
pub fn is_of_bench(mailbox: &MailboxName) -> bool {
    let rest = mailbox.as_str().strip_prefix(MAILBOX);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(super) fn mailbox(target: &Target, index: usize, of: usize) -> Result<MailboxName, Failure> {
    let usual = MAILBOX
        .parse()
        .map_err(|error| Failure::local(format!("{error}")))?;
    let base = target.mailbox_or(&usual)?;
    if of == 1 {
        return Ok(base);
    }
    let name = format!("{base}/{}", index + 1);
    name.parse()
        .map_err(|error| Failure::usage(format!("mailbox `{name}`: {error}")))
}

/// Bytes that do not compress, the same in each run.
pub(super) fn noise(size: u64) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..size)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}
