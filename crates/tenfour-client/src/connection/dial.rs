//! From a name to a connection that is known to lead to the right server.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tenfour_proto::text::GREETING;
use tenfour_proto::{limits, native};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use crate::config::ClientConfig;
use crate::error::{ConnectError, io_reason};
use tenfour_identity::Trust;
use tenfour_identity::clock::sleep_until;
use tenfour_proto::Address;

/// How long one address is tried alone before the next is tried beside it (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// When one address has said that it is the wrong server, the others have so long to be the right one.
const MOMENT: Duration = Duration::from_secs(1);

/// Connects to the first of the addresses that answers and shows a key we know. Each is given as long as a server gives
/// its handshakes: one that has gone silent keeps nobody from trying the next, or again.
pub(crate) async fn dial(
    addresses: &[Address],
    config: &ClientConfig,
) -> Result<(Address, TlsStream<TcpStream>), ConnectError> {
    let mut attempts = Vec::new();
    let mut last = None;
    for address in addresses {
        let dialed = tokio::time::timeout(limits::HANDSHAKE_DEADLINE, dial_one(address, config)).await;
        match dialed.unwrap_or_else(|_| Err(ConnectError::TimedOut(address.clone()))) {
            Ok(stream) => return Ok((address.clone(), stream)),
            Err(ConnectError::Unreachable(more)) => attempts.extend(more),
            Err(error) if error.is_temporary() => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    match last {
        Some(error) if attempts.is_empty() => Err(error),
        _ => Err(ConnectError::Unreachable(attempts)),
    }
}

/// Tries the addresses of the name until one shows the key of the server: what is silent, or answers something else, must not
/// use up the time of the next.
async fn dial_one(address: &Address, config: &ClientConfig) -> Result<TlsStream<TcpStream>, ConnectError> {
    let attempt = |peer| {
        let (address, config) = (address.clone(), config.clone());
        async move { handshake(peer, &address, &config).await }
    };
    let is_final = |error: &ConnectError| !error.is_temporary();
    let failed = match race(resolve(address).await?, HEAD_START, attempt, is_final).await {
        Ok(stream) => return Ok(stream),
        Err(failed) => failed,
    };
    let mut attempts = Vec::new();
    let mut last = None;
    for (_, error) in failed {
        match error {
            ConnectError::Unreachable(more) => attempts.extend(more),
            error if !error.is_temporary() => return Err(error),
            error => last = Some(error),
        }
    }
    Err(last.unwrap_or(ConnectError::Unreachable(attempts)))
}

/// A connection to one address, if the server's key is shown there.
async fn handshake(
    peer: SocketAddr,
    address: &Address,
    config: &ClientConfig,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let stream = TcpStream::connect(peer)
        .await
        .map_err(|error| ConnectError::Unreachable(vec![(peer, Arc::new(error))]))?;
    let _ = stream.set_nodelay(true);
    let seen = Arc::new(OnceLock::new());
    let own = config.identity.fingerprint();
    let (known_hosts, its_address) = (config.known_hosts.clone(), address.clone());
    let trust = move |shown| shown == own || known_hosts.judge(&its_address, shown) == Trust::Known;
    let tls_error = |reason: String| ConnectError::Tls {
        address: address.clone(),
        reason,
    };
    let tls = tenfour_identity::tls::client_config(&config.identity, trust, Arc::clone(&seen))
        .map_err(|error| tls_error(error.to_string()))?;
    // The name is not sent and not looked at; the key is.
    let name = ServerName::IpAddress(std::net::IpAddr::from([0, 0, 0, 0]).into());
    let error = match tokio_rustls::TlsConnector::from(tls).connect(name, stream).await {
        Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(native::ALPN) => return Ok(stream),
        Ok(_) => {
            return Err(tls_error(
                "the server speaks another protocol than tenfour".to_owned(),
            ));
        }
        Err(error) => error,
    };
    if let Some(shown) = seen.get().copied() {
        match config.known_hosts.judge(address, shown) {
            Trust::Unknown if shown != own => {
                return Err(ConnectError::UnknownServer {
                    address: address.clone(),
                    shown,
                });
            }
            Trust::Changed(pinned) if shown != own => {
                return Err(ConnectError::ChangedServer {
                    address: address.clone(),
                    shown,
                    pinned,
                });
            }
            _ => {}
        }
    }
    if error.kind() == io::ErrorKind::InvalidData && is_text_listener(peer).await {
        return Err(ConnectError::TextListener(address.clone()));
    }
    if is_cut(&error) {
        return Err(ConnectError::Broken {
            address: address.clone(),
            reason: io_reason(&error),
        });
    }
    Err(tls_error(io_reason(&error)))
}

/// The server ended the connection, without a word of TLS about why.
fn is_cut(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

/// Something answered that does not speak TLS. Is it the recipe's greeting?
async fn is_text_listener(peer: SocketAddr) -> bool {
    let look = async {
        let mut stream = TcpStream::connect(peer).await.ok()?;
        let mut greeting = [0; GREETING.len()];
        stream.read_exact(&mut greeting).await.ok()?;
        Some(greeting == *GREETING)
    };
    let looked = tokio::time::timeout(Duration::from_secs(1), look).await;
    matches!(looked, Ok(Some(true)))
}

/// A connection to the first address of the name that takes one.
pub(crate) async fn connect(address: &Address) -> Result<TcpStream, ConnectError> {
    let raced = race(resolve(address).await?, HEAD_START, TcpStream::connect, |_| false).await;
    let attempts = |failed: Vec<(SocketAddr, io::Error)>| {
        let shared = failed.into_iter().map(|(peer, error)| (peer, Arc::new(error)));
        ConnectError::Unreachable(shared.collect())
    };
    let stream = raced.map_err(attempts)?;
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Happy Eyeballs (RFC 8305): IPv6 and IPv4 in turn, each with a head start. The first that succeeds is taken; else all
/// errors are given, in the order in which they came. After a final one the others have a moment.
pub(crate) async fn race<T, E, F>(
    found: Vec<SocketAddr>,
    head_start: Duration,
    attempt: impl Fn(SocketAddr) -> F,
    is_final: impl Fn(&E) -> bool,
) -> Result<T, Vec<(SocketAddr, E)>>
where
    T: Send + 'static,
    E: Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let mut waiting = interleave(found).into_iter();
    let mut running = JoinSet::new();
    let mut failed = Vec::new();
    let mut end: Option<Instant> = None;
    loop {
        if let Some(peer) = waiting.next() {
            let attempt = attempt(peer);
            running.spawn(async move { (peer, attempt.await) });
        } else if running.is_empty() {
            return Err(failed);
        }
        let more = waiting.len() > 0;
        let finished = tokio::select! {
            finished = running.join_next() => finished,
            () = tokio::time::sleep(head_start), if more => continue,
            () = sleep_until(end), if !more => return Err(failed),
        };
        match finished {
            Some(Ok((_, Ok(won)))) => return Ok(won),
            Some(Ok((peer, Err(error)))) => {
                if is_final(&error) {
                    end.get_or_insert_with(|| Instant::now() + MOMENT);
                }
                failed.push((peer, error));
            }
            _ => {}
        }
    }
}

pub(crate) async fn resolve(address: &Address) -> Result<Vec<SocketAddr>, ConnectError> {
    let failed = |reason: String| ConnectError::Resolve {
        address: address.clone(),
        reason,
    };
    if address.host().eq_ignore_ascii_case("localhost") {
        // Both, whatever the resolver says.
        return Ok(vec![
            (std::net::Ipv6Addr::LOCALHOST, address.port()).into(),
            (std::net::Ipv4Addr::LOCALHOST, address.port()).into(),
        ]);
    }
    let found: Vec<_> = tokio::net::lookup_host((address.host(), address.port()))
        .await
        .map_err(|error| failed(io_reason(&error)))?
        .collect();
    if found.is_empty() {
        return Err(failed("it has no address".to_owned()));
    }
    Ok(found)
}

fn interleave(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let (six, four): (Vec<_>, Vec<_>) = found.into_iter().partition(SocketAddr::is_ipv6);
    let longest = six.len().max(four.len());
    (0..longest)
        .flat_map(|index| [six.get(index).copied(), four.get(index).copied()])
        .flatten()
        .collect()
}
