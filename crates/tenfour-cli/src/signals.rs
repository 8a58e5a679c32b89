//! The one place that knows signals.

use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Code;

/// Waits for SIGINT or SIGTERM, from the call on; gives the code to end with.
pub fn stop() -> impl Future<Output = Code> {
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async {
        let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => Code::Interrupted,
            _ = terminate.recv() => Code::Terminated,
        }
    }
}
