//! The client: messages out, receipts back, over whatever the network does in between.
//!
//! No store is needed to send: only the outbox, which survives its sender, has one (feature `outbox`). No listener.

mod backup;
mod client;
mod config;
mod connection;
mod consumer;
mod error;
#[cfg(feature = "outbox")]
mod outbox;
mod plain;
mod random;
mod reader;
mod receipt;
mod request;
mod status;

pub use backup::{BackupError, backup};
pub use client::{Client, Sending};
pub use config::ClientConfig;
pub use consumer::{Consumer, ConsumerOptions};
pub use error::{ConnectError, DeliveryError, Failure, Stored, WentBack};
#[cfg(feature = "outbox")]
pub use outbox::{Courier, Deliveries, OutboxClient, RouteProgress, Trouble};
pub use plain::datagram::{deliver_datagram, send_datagram};
pub use plain::text::{TextDelivery, deliver_text};
pub use random::random_id;
pub use reader::{FollowError, Follower};
pub use receipt::Receipt;
pub use request::AskError;
pub use status::{StatusError, Watch};
