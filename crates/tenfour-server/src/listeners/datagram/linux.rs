//! Datagrams from and to the kernel, as Linux has it: many in one call, with what was dropped, and to which of our
//! addresses each came.

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;

use nix::libc::{in_pktinfo, in6_pktinfo};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrLike,
    SockaddrStorage, recvmmsg, sendmsg, setsockopt, sockopt,
};
use tenfour_proto::datagram::MAX_DATAGRAM;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// What the kernel keeps for us while we are busy: about 10,000 small datagrams. Without privileges the system's
/// own limit may be lower.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// Datagrams for which the thread has room.
const ROOM: usize = 64;

thread_local! {
    /// Belongs to the thread; pages that no datagram has reached take no memory.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; ROOM * (MAX_DATAGRAM + 1)]);
}

/// One of our addresses: an answer must come from the one that was asked.
#[derive(Clone, Copy)]
pub(super) enum Local {
    Four(in_pktinfo),
    Six(in6_pktinfo),
    Unknown,
}

/// A datagram in the thread's buffer.
pub(super) struct Datagram<'a> {
    pub(super) peer: SocketAddr,
    pub(super) local: Local,
    pub(super) bytes: &'a [u8],
    /// What the kernel had dropped on this socket before it, if it says so.
    pub(super) drops: Option<u32>,
}

/// Sets what a socket needs for all this. Where an option lacks, there is only less to tell.
pub(super) fn prepare(socket: &UdpSocket) {
    if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        let _ = setsockopt(socket, sockopt::RcvBuf, &RECEIVE_BUFFER);
    }
    let _ = setsockopt(socket, sockopt::RxqOvfl, &1);
    let _ = match socket.local_addr() {
        Ok(SocketAddr::V6(_)) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true),
        _ => setsockopt(socket, sockopt::Ipv4PacketInfo, &true),
    };
}

/// Takes what there is without waiting, at most `most` datagrams.
pub(super) fn receive(socket: &UdpSocket, most: usize, mut take: impl FnMut(Datagram<'_>)) -> io::Result<()> {
    let most = most.min(ROOM);
    let receive = |buffer: &mut Vec<u8>| {
        let mut slices: Vec<[IoSliceMut<'_>; 1]> = buffer
            .chunks_exact_mut(MAX_DATAGRAM + 1)
            .take(most)
            .map(|chunk| [IoSliceMut::new(chunk)])
            .collect();
        // The kernel writes into the headers how much of them it used, so they are made anew.
        let space = nix::cmsg_space!(u32, in6_pktinfo);
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(most, Some(space));
        let flags = MsgFlags::MSG_DONTWAIT;
        let received = recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), flags, None)?;
        for message in received {
            let Some(peer) = message.address.as_ref().and_then(address_of) else {
                continue;
            };
            let mut datagram = Datagram {
                peer,
                local: Local::Unknown,
                bytes: message.iovs().next().unwrap_or_default(),
                drops: None,
            };
            for told in message.cmsgs().into_iter().flatten() {
                match told {
                    ControlMessageOwned::RxqOvfl(drops) => datagram.drops = Some(drops),
                    ControlMessageOwned::Ipv4PacketInfo(info) => datagram.local = Local::Four(info),
                    ControlMessageOwned::Ipv6PacketInfo(info) => datagram.local = Local::Six(info),
                    _ => {}
                }
            }
            take(datagram);
        }
        Ok(())
    };
    socket.try_io(Interest::READABLE, || BUFFER.with_borrow_mut(receive))
}

/// Sends from the address that was asked, without waiting.
pub(super) fn answer(socket: &UdpSocket, bytes: &[u8], peer: SocketAddr, local: Local) -> io::Result<()> {
    let part = [IoSlice::new(bytes)];
    let to = SockaddrStorage::from(peer);
    let send = |from: &[ControlMessage<'_>]| {
        let flags = MsgFlags::MSG_DONTWAIT;
        socket.try_io(Interest::WRITABLE, || {
            sendmsg(socket.as_raw_fd(), &part, from, flags, Some(&to))?;
            Ok(())
        })
    };
    match local {
        // The way back need not be the way by which it came, so no interface is named.
        Local::Four(asked) => send(&[ControlMessage::Ipv4PacketInfo(&in_pktinfo {
            ipi_ifindex: 0,
            ..asked
        })]),
        // A link-local address means something on its own link only: there the interface stays.
        Local::Six(asked) => send(&[ControlMessage::Ipv6PacketInfo(&asked)]),
        Local::Unknown => send(&[]),
    }
}

/// What the kernel dropped on the socket since it was made, as /proc tells: the last column of its line.
pub(super) fn drops(socket: &UdpSocket) -> Option<u32> {
    let inode = rustix::fs::fstat(socket).ok()?.st_ino.to_string();
    ["/proc/net/udp", "/proc/net/udp6"].into_iter().find_map(|table| {
        let table = std::fs::read_to_string(table).ok()?;
        let line = table
            .lines()
            .find(|line| line.split_whitespace().nth(9) == Some(inode.as_str()))?;
        line.split_whitespace().last()?.parse().ok()
    })
}

fn address_of(address: &SockaddrStorage) -> Option<SocketAddr> {
    if address.family()? == AddressFamily::Inet6 {
        address
            .as_sockaddr_in6()
            .map(|six| SocketAddrV6::from(*six).into())
    } else {
        address
            .as_sockaddr_in()
            .map(|four| SocketAddrV4::from(*four).into())
    }
}
