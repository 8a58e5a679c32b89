//! The native listener: TLS, then one machine a connection.

mod admitted;
mod backup;
mod connection;
mod connection_event;
mod deposits;
mod group_reads;
mod hello;
mod questions;
mod read_memory;
mod reads;
mod removal;
mod replies;
mod socket;
mod status;

use std::net::SocketAddr;
use std::sync::Arc;

use tenfour_proto::limits;
use tenfour_proto::native::ALPN;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;

use crate::admission::counters::Counter;
use crate::admission::gate::UnauthenticatedPermit;
use crate::context::Context;
use crate::listeners::accept;
use connection::Connection;

/// Listens until the server stops.
pub(crate) fn listen(listener: TcpListener, context: Arc<Context>, alive: mpsc::Sender<()>) {
    accept::answer_at_once(&listener);
    tokio::spawn(accept::accept(listener, context, alive, accepted));
}

fn accepted(stream: TcpStream, peer: SocketAddr, context: &Arc<Context>, alive: &mpsc::Sender<()>) {
    let Some(pass) = context.gate.admit_stranger(peer.ip(), context.clock.now()) else {
        return;
    };
    let context = Arc::clone(context);
    let alive = alive.clone();
    tokio::spawn(async move {
        // The handshake's state is large and short-lived: it has a box of its own.
        if let Some(tls) = Box::pin(handshake(stream, peer, &context, &pass)).await {
            let mut connection = Connection::new(tls, peer, context, pass);
            connection.run().await;
        }
        drop(alive);
    });
}

async fn handshake(
    stream: TcpStream,
    peer: SocketAddr,
    context: &Context,
    pass: &UnauthenticatedPermit,
) -> Option<TlsStream<TcpStream>> {
    let handshake = context.tls.accept(stream);
    let mut stopping = context.stopping.subscribe();
    let result = tokio::select! {
        result = tokio::time::timeout(limits::HANDSHAKE_DEADLINE, handshake) => result,
        () = pass.asked_to_leave() => return None,
        _ = stopping.wait_for(|stopping| *stopping) => return None,
    };
    let error = match result {
        // What was meant for another protocol must not be read as ours.
        Ok(Ok(tls)) if tls.get_ref().1.alpn_protocol() == Some(ALPN) => return Some(tls),
        Ok(Ok(_)) => "it does not offer our protocol (ALPN)".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it took too long".to_owned(),
    };
    context.counters.count(Counter::Handshake);
    tracing::debug!(%peer, error, "no TLS handshake");
    None
}
