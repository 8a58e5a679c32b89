//! The native protocol: numbered messages and receipts over one reliable, secret connection.
//!
//! The client speaks first. HELLO names the producer and what is known of it, WELCOME answers with the
//! producer's mark; then MESSAGE frames go one way and RECEIPT frames the other. Whatever breaks, a
//! later connection goes on where the receipts ended. `docs/protocol.md` has every byte.
//!
//! - `frame` and its neighbours: what one frame says, and its bytes.
//! - [`Server`], [`Client`]: one side of one connection (and, for the client, the producer that
//!   outlives it). Feed them with `handle_*`, then drain `poll_event` and `poll_transmit`.

mod backup;
mod client;
mod error;
#[cfg(test)]
mod field_table;
mod fields;
mod frame;
mod handshake;
mod parcel;
mod place_frames;
mod raw_frame;
mod read_frames;
mod removal;
mod reply_frames;
mod send_window;
mod server;
mod splitter;
mod status;
mod transfer;
mod version;

pub use backup::{BackupEnd, BackupPart};
pub use client::{Client, ClientEvent, ClientOptions};
pub use error::{ErrorCode, Fault};
pub use frame::Frame;
pub use handshake::{
    ErrorFrame, Hello, MAX_FINISHED, ProducerKind, ProducerWish, Resumption, Versions, Welcome,
};
pub use place_frames::PlaceFrame;
pub use read_frames::{CursorUse, EndReason, ReadEnd, ReadFrom, ReadRequest};
pub use removal::{RemoveOutcome, RemoveRequest};
pub use reply_frames::{AnswerFrame, ReplyFrame};
pub use send_window::{DeliveryState, ResumeState};
pub use server::{Server, ServerEvent, ServerOptions, WelcomeTerms};
pub use splitter::Splitter;
pub use status::{StatusEnd, StatusRequest, StatusRow, StatusValue};
pub use transfer::{Credit, MessageFrame, Pause, ReceiptFrame};
pub use version::{ALPN, PLACES, REPLICATED, SOFTWARE, VERSION};
