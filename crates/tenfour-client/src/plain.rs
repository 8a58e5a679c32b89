//! Without keys: the recipe's wire, and datagrams.

pub mod datagram;
pub mod text;
