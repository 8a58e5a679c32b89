//! Where a server listens that is ended and comes back.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// The first of them, and how many: below what the system gives to connections (Linux: from 32,768 on).
const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;

/// An address of this machine where nobody is. A port that was drawn by binding port 0 may be a connection's by the time
/// that its server comes back; this one is given to nobody by chance.
///
/// # Panics
///
/// When all of them are taken.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Tests are processes of their own.
    let first = std::process::id().wrapping_mul(41);
    for _ in 0..COUNT {
        let number = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + number).unwrap_or(0);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port is free");
}
