//! What every way to deliver one message asks before and says after.

use std::io;
use std::time::Instant;

use tenfour::MailboxName;

use crate::amount::show_size;
use crate::args;
use crate::exit::{Code, Failure};
use crate::target::Target;
use crate::{output, setup};

/// The receipt on one line, if somebody looks.
pub(super) fn show_receipt(
    target: &Target,
    mailbox: &MailboxName,
    offset: u64,
    bytes: u64,
    duplicate: bool,
    started: Instant,
) {
    if !output::is_terminal(&io::stderr()) {
        return;
    }
    let milliseconds = started.elapsed().as_secs_f64() * 1000.0;
    let stored = if duplicate { "stored before" } else { "stored" };
    output::talk(&format!(
        "10-4  {}/{mailbox} #{offset}  {}  {stored}  {milliseconds:.1} ms",
        target.host(),
        show_size(bytes),
    ));
}

/// A server whose key is known is spoken to with its key, unless somebody insists.
pub(super) fn not_in_the_clear(arguments: &args::Send, target: &Target) -> Result<(), Failure> {
    let known = !arguments.clear
        && !target.address.is_loopback()
        && setup::known_hosts()?.pin(&target.address).is_some();
    if !known {
        return Ok(());
    }
    let host = target.address.host_text();
    let text = format!("the key of {host} is known, so it is not spoken to in the clear");
    Err(Failure::new(Code::WrongServer, text).hint(format!("tenfour send {host} ..., or add --clear")))
}
