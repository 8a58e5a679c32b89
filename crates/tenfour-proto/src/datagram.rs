//! The datagram dialect: a datagram is a message, and with a header of ours it has an identity and gets a receipt.
//!
//! A plain datagram may be lost, doubled, reordered; nothing answers it. With the header the sender repeats until it
//! holds a receipt. Only the sequence behind the producer's mark is stored, so reordering can make no false receipt.

mod client;
mod packet;

pub use client::{Client, Outcome};
pub use packet::{MAX_DATAGRAM, Malformed, Receipt, Request, Verdict, is_ours};
