//! Accepting, for ever.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::{Context, Counter};

/// First and longest pause after `accept` failed, as it does when file handles run out.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Accepts until the server stops. A failed accept is counted and waited out; it never ends the listener.
pub(super) async fn accept(
    listener: TcpListener,
    context: Arc<Context>,
    alive: mpsc::Sender<()>,
    accepted: impl Fn(TcpStream, SocketAddr, &Arc<Context>, &mpsc::Sender<()>),
) {
    let mut stopping = context.stopping.subscribe();
    let mut pause = PAUSES.0;
    loop {
        let result = tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            result = listener.accept() => result,
        };
        match result {
            Ok((stream, peer)) => {
                pause = PAUSES.0;
                accepted(stream, peer, &context, &alive);
            }
            // The peer gave up before we looked; nothing is wrong with us.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                context.counters.count(Counter::AcceptFailed);
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}
