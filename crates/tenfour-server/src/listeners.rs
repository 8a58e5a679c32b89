//! In: each listener is a socket and one dialect. It knows the broker, and no other listener.

pub(crate) mod accept;
pub(crate) mod datagram;
#[cfg(feature = "http")]
pub(crate) mod http;
#[cfg(feature = "modbus")]
pub(crate) mod modbus;
pub(crate) mod native;
pub(crate) mod publish_one;
pub(crate) mod text;
