//! Accepting, for ever.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::admission::counters::Counter;
use crate::context::Context;

/// A peer that does not take what it is sent for so long is cut.
pub(crate) const BLOCKED_WRITE: Duration = Duration::from_secs(10);

/// A connection that holds part of a message gives it up when it has waited so long for room.
pub(crate) const WAIT_FOR_ROOM: Duration = Duration::from_secs(10);

/// A peer that vanished without a word is found out after a while.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// First and longest pause after `accept` failed, as it does when file handles run out.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Small answers must not wait for each other. Connections inherit this from their listener (Linux and the BSDs do so).
pub(crate) fn answer_at_once(listener: &TcpListener) {
    let _ = socket2::SockRef::from(listener).set_tcp_nodelay(true);
}

/// For protocols without a heartbeat: the system asks whether the peer is still there.
pub(crate) fn look_for_the_vanished(listener: &TcpListener) {
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
    let _ = socket2::SockRef::from(listener).set_tcp_keepalive(&keepalive);
}

/// Accepts until the server stops. A failed accept is counted and waited out; it never ends the listener.
pub(crate) async fn accept(
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
