//! Binding: what was asked for, or the defaults, or what systemd hands over.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tenfour::proto::{HTTP_PORT, MODBUS_PORT, NATIVE_PORT, TEXT_PORT};
use tenfour::server::Listeners;
use tokio::net::{TcpListener, UdpSocket};

use super::port_owner::owner_of;
use crate::args::{self, Listener};
use crate::exit::Failure;

/// Connections that may wait for `accept`. With the recipe's 5, most of 64 clients hang in retries.
const BACKLOG: i32 = 1024;

/// Sockets that listen, and their real addresses.
pub struct Sockets {
    pub listeners: Listeners,
    pub addresses: Vec<(&'static str, SocketAddr)>,
}

/// Binds everything, or says what stands in the way.
pub fn bind(arguments: &args::Serve) -> Result<Sockets, Failure> {
    let mut sockets = Sockets {
        listeners: Listeners::default(),
        addresses: Vec::new(),
    };
    if take_activated(&mut sockets)? {
        return Ok(sockets);
    }
    let open = |listener| arguments.open.contains(&listener);
    let text_ips = everywhere_or_loopback(open(Listener::Text));
    for (address, may_lack) in addresses(&arguments.text, &text_ips, TEXT_PORT, "--text")? {
        if let Some(listener) = listen("text", address, may_lack, &mut sockets.addresses)? {
            sockets.listeners.text.push(listener);
        }
    }
    let datagram_ips = everywhere_or_loopback(open(Listener::Datagram));
    for (address, may_lack) in addresses(&arguments.datagram, &datagram_ips, TEXT_PORT, "--datagram")? {
        match bind_datagram(address) {
            Ok((socket, real)) => {
                sockets.addresses.push(("datagram", real));
                sockets.listeners.datagram.push(socket);
            }
            Err(error) if may_lack && is_lacking(&error) => {}
            Err(error) => return Err(bind_failure("datagram", address, &error)),
        }
    }
    let native_ips = everywhere_or_loopback(true);
    for (address, may_lack) in addresses(&arguments.native, &native_ips, NATIVE_PORT, "--native")? {
        if let Some(listener) = listen("native", address, may_lack, &mut sockets.addresses)? {
            sockets.listeners.native.push(listener);
        }
    }
    for (address, may_lack) in optional(&arguments.http, open(Listener::Http), HTTP_PORT, "--http")? {
        // Beyond the loopback nothing is in the clear, unless somebody said aloud that it is.
        let (name, list) = if arguments.http_plain || address.ip().to_canonical().is_loopback() {
            ("http", &mut sockets.listeners.http.plain)
        } else {
            ("https", &mut sockets.listeners.http.tls)
        };
        list.extend(listen(name, address, may_lack, &mut sockets.addresses)?);
    }
    for (address, may_lack) in optional(&arguments.modbus, open(Listener::Modbus), MODBUS_PORT, "--modbus")? {
        if let Some(listener) = listen("modbus", address, may_lack, &mut sockets.addresses)? {
            sockets.listeners.modbus.sockets.push(listener);
        }
    }
    if sockets.addresses.is_empty() {
        return Err(Failure::usage("every listener is off")
            .hint("leave out one of --text off, --datagram off, --native off"));
    }
    Ok(sockets)
}

/// The addresses of a listener that is off unless it is asked for or opened.
fn optional(asked: &[String], open: bool, port: u16, flag: &str) -> Result<Vec<(SocketAddr, bool)>, Failure> {
    if asked.is_empty() && !open {
        return Ok(Vec::new());
    }
    addresses(asked, &everywhere_or_loopback(open), port, flag)
}

fn everywhere_or_loopback(everywhere: bool) -> [std::net::IpAddr; 2] {
    if everywhere {
        [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]
    } else {
        [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
    }
}

/// The addresses of one listener; true marks a default, which a machine without IPv6, or without IPv4, lacks.
fn addresses(
    asked: &[String],
    default_ips: &[std::net::IpAddr; 2],
    port: u16,
    flag: &str,
) -> Result<Vec<(SocketAddr, bool)>, Failure> {
    let defaults = default_ips.map(|ip| (SocketAddr::new(ip, port), true));
    if asked.is_empty() {
        return Ok(defaults.to_vec());
    }
    let mut found = Vec::new();
    for text in asked {
        match text.as_str() {
            "off" => {}
            "default" => found.extend(defaults),
            address => found.push((
                address.parse().map_err(|_| {
                    Failure::usage(format!("{flag}: `{address}` is not ADDR:PORT or `off`")).hint(format!(
                        "like {flag} 127.0.0.1:{port}, or {flag} [::]:{port}; port 0 takes a free one"
                    ))
                })?,
                false,
            )),
        }
    }
    Ok(found)
}

fn listen(
    name: &'static str,
    address: SocketAddr,
    may_lack: bool,
    addresses: &mut Vec<(&'static str, SocketAddr)>,
) -> Result<Option<TcpListener>, Failure> {
    let listener = match bind_one(address) {
        Ok(listener) => listener,
        Err(error) if may_lack && is_lacking(&error) => return Ok(None),
        Err(error) => return Err(bind_failure(name, address, &error)),
    };
    let real = listener
        .local_addr()
        .map_err(|error| bind_failure(name, address, &error))?;
    addresses.push((name, real));
    Ok(Some(listener))
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A server that starts again must not wait for its old connections to be forgotten.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

fn bind_datagram(address: SocketAddr) -> io::Result<(UdpSocket, SocketAddr)> {
    // No address is reused here: two servers on one UDP port would take each other's datagrams.
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    let socket = UdpSocket::from_std(socket.into())?;
    let real = socket.local_addr()?;
    Ok((socket, real))
}

fn is_lacking(error: &io::Error) -> bool {
    let lacking = [rustix::io::Errno::ADDRNOTAVAIL, rustix::io::Errno::AFNOSUPPORT];
    lacking
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn bind_failure(name: &str, address: SocketAddr, error: &io::Error) -> Failure {
    let flag = format!("--{} ADDR:PORT", name.trim_end_matches('s'));
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let owner = owner_of(address.port())
                .map(|owner| format!(" by {owner}"))
                .unwrap_or_default();
            Failure::local(format!(
                "the {name} listener cannot have {address}: it is in use{owner}"
            ))
            .hint(format!("stop that one, or take another port: {flag}"))
        }
        io::ErrorKind::PermissionDenied => Failure::local(format!(
            "the {name} listener cannot have {address}: permission denied"
        ))
        .hint(format!("ports below 1024 want privileges; take another: {flag}")),
        _ => Failure::local(format!("the {name} listener cannot have {address}: {error}"))
            .hint(format!("name an address of this machine: {flag}")),
    }
}

/// Sockets from systemd: UDP sockets are for datagrams; the others by their `FileDescriptorName`, `text`, `native`,
/// `http`, `https` or `modbus`, else by their port.
fn take_activated(sockets: &mut Sockets) -> Result<bool, Failure> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let names: Vec<&str> = names.split(':').collect();
    let mut handed = listenfd::ListenFd::from_env();
    for index in 0..handed.len() {
        let failed = |error: io::Error| Failure::local(format!("socket {index} from systemd: {error}"));
        if let Ok(Some(socket)) = handed.take_udp_socket(index) {
            socket.set_nonblocking(true).map_err(failed)?;
            let address = socket.local_addr().map_err(failed)?;
            sockets.addresses.push(("datagram", address));
            sockets
                .listeners
                .datagram
                .push(UdpSocket::from_std(socket).map_err(failed)?);
            continue;
        }
        let Some(listener) = handed.take_tcp_listener(index).map_err(failed)? else {
            continue;
        };
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        let (name, list) = match (names.get(index).copied(), address.port()) {
            (Some("text"), _) => ("text", &mut sockets.listeners.text),
            (Some("native"), _) => ("native", &mut sockets.listeners.native),
            (Some("http"), _) => ("http", &mut sockets.listeners.http.plain),
            (Some("https"), _) => ("https", &mut sockets.listeners.http.tls),
            (Some("modbus"), _) => ("modbus", &mut sockets.listeners.modbus.sockets),
            (_, TEXT_PORT) => ("text", &mut sockets.listeners.text),
            (_, MODBUS_PORT) => ("modbus", &mut sockets.listeners.modbus.sockets),
            (_, HTTP_PORT) => ("http", &mut sockets.listeners.http.plain),
            _ => ("native", &mut sockets.listeners.native),
        };
        list.push(listener);
        sockets.addresses.push((name, address));
    }
    Ok(!sockets.addresses.is_empty())
}
