//! The client of tenfour: messages out, receipts back, over whatever the network does in between.
//!
//! - [`Client::send`]: its first `await` is a place in the window, its second the receipt.
//! - [`Client::consumer`]: deliveries by a cursor that the server keeps; [`Client::handle`] runs a function for each.
//! - [`Client::ask`]: a message and its reply.
//! - [`Client::reader`]: a mailbox in its order. [`Client::status`]: what the server is doing.
//!
//! All of it goes over one connection, whose task makes another one when it breaks. (A connection has one read at a time:
//! each further reader or consumer of a client has a connection beside it.)
//!
//! No store is needed to send: only the outbox, which survives its sender, has one (feature `outbox`). No listener.

#![forbid(unsafe_code)]

mod backup;
mod builder;
mod client;
mod config;
mod connection;
mod consumer;
mod delivery;
mod error;
#[cfg(feature = "outbox")]
pub mod outbox;
mod pending;
mod plain;
mod random;
mod reader;
mod receipt;
mod removal;
mod request;
mod status;
mod worker;

pub use backup::BackupError;
pub use builder::ClientBuilder;
pub use client::Client;
pub use config::ClientConfig;
pub use connection::read::Saved;
pub use consumer::{Consumer, ConsumerBuilder};
pub use delivery::Delivery;
pub use error::{ConnectError, DeliveryError, Failure, MaybeStored, ReaderError, Regressed, SetupError};
pub use pending::PendingReceipt;
pub use plain::{datagram, text};
pub use random::random_id;
pub use reader::{Reader, ReaderBuilder};
pub use receipt::Receipt;
pub use removal::RemoveError;
pub use request::AskError;
pub use status::StatusError;
pub use tenfour_worker::{
    Handler, HandlerError, HandlerOptions, Unauthenticated, WorkEvent, Worker, WorkerError,
};
