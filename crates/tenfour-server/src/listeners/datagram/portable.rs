//! Datagrams from and to the kernel, one by one, for systems that say no more of them.

use std::io;
use std::net::SocketAddr;

use tenfour_proto::datagram::MAX_DATAGRAM;
use tokio::net::UdpSocket;

/// One of our addresses; not told here.
#[derive(Clone, Copy)]
pub(super) struct Local;

/// A datagram.
pub(super) struct Datagram<'a> {
    pub(super) peer: SocketAddr,
    pub(super) local: Local,
    pub(super) bytes: &'a [u8],
    pub(super) drops: Option<u32>,
}

pub(super) fn prepare(_socket: &UdpSocket) {}

/// Takes what there is without waiting, at most `most` datagrams.
pub(super) fn receive(socket: &UdpSocket, most: usize, mut take: impl FnMut(Datagram<'_>)) -> io::Result<()> {
    let mut buffer = vec![0; MAX_DATAGRAM + 1];
    for _ in 0..most {
        let (length, peer) = socket.try_recv_from(&mut buffer)?;
        take(Datagram {
            peer,
            local: Local,
            bytes: buffer.get(..length).unwrap_or_default(),
            drops: None,
        });
    }
    Ok(())
}

pub(super) fn answer(socket: &UdpSocket, bytes: &[u8], peer: SocketAddr, _local: Local) -> io::Result<()> {
    socket.try_send_to(bytes, peer).map(|_| ())
}

/// Not told here.
pub(super) fn drops(_socket: &UdpSocket) -> Option<u32> {
    None
}
