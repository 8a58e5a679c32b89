//! Without keys: the recipe's wire, and datagrams.

pub(crate) mod datagram;
pub(crate) mod text;
