//! Which addresses are one peer.

use std::net::IpAddr;

/// Of IPv6 one network of 64 bits is one neighbour: who has one has all of them.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}
