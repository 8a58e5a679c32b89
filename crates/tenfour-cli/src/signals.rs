//! The one place that knows signals.

use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Code;

/// Waits for SIGINT or SIGTERM; gives the code to end with.
pub async fn stop() -> Code {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => Code::Interrupted,
        _ = terminate.recv() => Code::Terminated,
    }
}
