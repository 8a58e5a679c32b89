//! The one place that knows signals.

use std::sync::OnceLock;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Code;

/// Waits for a signal that asks us to end, from the call on; gives the code to end with.
pub fn stop() -> impl Future<Output = Code> {
    let mut signals: Vec<(Signal, Code)> = [
        (SignalKind::hangup(), Code::HungUp),
        (SignalKind::interrupt(), Code::Interrupted),
        (SignalKind::quit(), Code::Quit),
        (SignalKind::terminate(), Code::Terminated),
    ]
    .into_iter()
    .filter(|(kind, _)| !is_ignored(*kind))
    .filter_map(|(kind, code)| Some((signal(kind).ok()?, code)))
    .collect();
    std::future::poll_fn(move |context| {
        for (signal, code) in &mut signals {
            if signal.poll_recv(context).is_ready() {
                return Poll::Ready(*code);
            }
        }
        Poll::Pending
    })
}

/// A write beyond the limit of a file's size fails, instead of ending the program: there is something to be said then.
pub fn survive_file_limits() {
    /// As POSIX systems number it.
    const XFSZ: i32 = 25;
    // What was caught once stays caught.
    drop(signal(SignalKind::from_raw(XFSZ)));
}

/// Whoever started us wants it to be ignored: `nohup`, or a shell that put us into the background.
fn is_ignored(kind: SignalKind) -> bool {
    static IGNORED: OnceLock<u64> = OnceLock::new();
    let ignored = IGNORED.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .unwrap_or(0)
    });
    (ignored >> (kind.as_raw_value() - 1)) & 1 == 1
}
