//! One message as a datagram: with an identity and a receipt, or plain.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tenfour_proto::datagram::Client as Machine;
pub use tenfour_proto::datagram::{MAX_DATAGRAM, Outcome, Request, Verdict};
use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::connection::dial::{race, resolve};
use crate::error::ConnectError;
use tenfour_identity::clock::Clock;
use tenfour_proto::Address;

/// Longest answer that is looked at; a receipt is shorter.
const LONGEST_ANSWER: usize = 512;

/// How long one address is tried alone before the next is tried beside it: longer than a receipt takes, for two of them may be
/// two servers.
const HEAD_START: Duration = Duration::from_millis(500);

/// A host where nobody listens says so as soon as it can: at once on this machine. Another address of the name may do better.
const REFUSAL: Duration = Duration::from_millis(50);

/// Sends `request`, and repeats it until there is a receipt or the time is over. Each repeat is the same message:
/// it is stored once.
///
/// # Errors
///
/// Only when the name has no address, or every address said at once that nobody listens there: nothing is stored.
pub async fn deliver(
    address: &Address,
    request: Request,
    timeout: Duration,
) -> Result<Outcome, ConnectError> {
    let end = Instant::now() + timeout;
    let found = resolve_in_time(address, timeout).await?;
    let attempt = |peer| converse(peer, request.clone(), end);
    let raced = race(found, HEAD_START, attempt, |_| false).await;
    raced.map_err(|failed| {
        let shared = failed.into_iter().map(|(peer, error)| (peer, Arc::new(error)));
        ConnectError::Unreachable(shared.collect())
    })
}

/// Looking a name up is a part of the time.
async fn resolve_in_time(address: &Address, timeout: Duration) -> Result<Vec<SocketAddr>, ConnectError> {
    tokio::time::timeout(timeout, resolve(address))
        .await
        .unwrap_or_else(|_| Err(ConnectError::TimedOut(address.clone())))
}

/// Sends `body` as it is, once, to the first address of the name at which nobody says that nobody listens. Nobody knows what becomes of it.
///
/// # Errors
///
/// When the name has no address, this machine could not send it, or every address said at once that nobody listens there.
pub async fn send(address: &Address, body: &[u8], timeout: Duration) -> Result<(), ConnectError> {
    let mut attempts = Vec::new();
    for peer in resolve_in_time(address, timeout).await? {
        match send_once(peer, body).await {
            Ok(()) => return Ok(()),
            Err(error) => attempts.push((peer, Arc::new(error))),
        }
    }
    Err(ConnectError::Unreachable(attempts))
}

async fn send_once(peer: SocketAddr, body: &[u8]) -> io::Result<()> {
    let socket = open(peer).await?;
    socket.send(body).await?;
    match tokio::time::timeout(REFUSAL, socket.recv(&mut [0; LONGEST_ANSWER])).await {
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Err(error),
        // A word or none: it has left.
        _ => Ok(()),
    }
}

async fn open(peer: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match peer {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    // Datagrams of others are not for us, and we hear when nobody listens there.
    socket.connect(peer).await?;
    Ok(socket)
}

/// An error means that nothing has left, or that nobody was there to take it.
async fn converse(peer: SocketAddr, request: Request, end: Instant) -> io::Result<Outcome> {
    let socket = open(peer).await?;
    let clock = Clock::start();
    let timeout = end.saturating_duration_since(Instant::now());
    let mut machine = Machine::new(request, clock.now(), clock.now() + timeout);
    let mut sent = 0;
    let mut buffer = [0; LONGEST_ANSWER];
    loop {
        if let Some(outcome) = machine.handle_timeout(clock.now()) {
            return Ok(outcome);
        }
        if let Some(datagram) = machine.poll_transmit(clock.now()) {
            match socket.send(&datagram).await {
                Ok(_) => sent += 1,
                Err(error) if sent == 0 => return Err(error),
                // It says something of an earlier one; the next repeat may do better.
                Err(_) => {}
            }
        }
        tokio::select! {
            received = socket.recv(&mut buffer) => match received {
                Ok(length) => {
                    let answer = machine.handle_datagram(buffer.get(..length).unwrap_or_default());
                    if let Some(outcome) = answer {
                        return Ok(outcome);
                    }
                }
                Err(error) if sent <= 1 && error.kind() == io::ErrorKind::ConnectionRefused => return Err(error),
                Err(_) => {}
            },
            () = tokio::time::sleep_until(clock.instant(machine.poll_timeout())) => {}
        }
    }
}
