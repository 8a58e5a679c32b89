//! What tenfour can say.
//!
//! This crate holds the words (mailboxes, messages, identities, receipts) and the
//! dialects (text, datagram, native, Modbus) as pure state machines: bytes and the time go in with
//! `handle_*`, bytes and events come out with `poll_*`.
//!
//! What is not here: no sockets, no files, no clock, no randomness, no async. Whoever
//! drives a machine brings those, so that a test can bring its own.
//!
//! `docs/protocol.md` describes the same bytes for people who write a client in another language.

#![forbid(unsafe_code)]
// A peer's bytes must never be able to stop us. Tests may.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod ack_sequencer;
mod address;
mod codes;
mod cursor;
pub mod datagram;
mod fingerprint;
mod format_characters;
mod from_text;
mod hex;
mod item;
pub mod limits;
mod mailbox;
mod message;
pub mod modbus;
mod moment;
pub mod native;
mod place;
mod receipt;
mod receive_buffer;
mod reply;
mod sender;
mod source;
mod stored;
mod temporary;
pub mod text;
mod token;

pub use address::{Address, HTTP_PORT, MODBUS_PORT, NATIVE_PORT, ParseAddressError, TEXT_PORT};
pub use cursor::{CursorName, CursorNameError, Progress, Step};
pub use fingerprint::{Fingerprint, ParseFingerprintError};
pub use format_characters::is_format_character;
pub use hex::hex;
pub use item::{Item, Origin};
pub use mailbox::{MailboxName, MailboxNameError};
pub use message::{ContentType, Message, MessageName, WordError};
pub use moment::Moment;
pub use place::{Place, Stamp};
pub use receipt::{Durability, RefusalCode, Refused, Run, Settled, Settlement};
pub use reply::Reply;
pub use sender::{ProducerId, Sender};
pub use source::{Listener, Source};
pub use stored::Stored;
pub use temporary::TemporaryCode;
pub use token::{TokenName, TokenNameError};
