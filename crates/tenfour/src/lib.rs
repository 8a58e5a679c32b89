//! Send a message to a process on another machine, and know that it arrived.
//!
//! A receipt says: the message is in the mailbox named, at the offset named, as durable as it says, once.
//!
//! ```no_run
//! # #[cfg(feature = "client")]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = tenfour::Client::builder("backup.example").connect().await?;
//! let receipt = client.send("inbox", "backup done").await?.await?;
//! println!("stored in {} at {}", receipt.mailbox, receipt.offset);
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! - [`Client`] sends, asks, reads and consumes, over one connection that repairs itself.
//! - `Server` receives: sockets, a store and a shutdown are handed in (feature `server`).
//! - `Client::handle` and `Server::handle` answer: a function from message to reply.
//! - `outbox` keeps what was queued when its sender dies (feature `outbox`).
//! - [`identity`] holds the keys, pins and rights of both sides.
//!
//! This crate is a facade: what is here stands in the crates below it, and whoever only sends builds no server and no
//! store.

#![forbid(unsafe_code)]

pub use tenfour_identity as identity;
/// All words of the protocol.
pub use tenfour_proto as proto;
pub use tenfour_proto::native::ReadFrom;
pub use tenfour_proto::{Address, CursorName, Durability, Item, MailboxName, Message, Reply, Sender};

#[cfg(feature = "client")]
pub use tenfour_client::{
    AskError, Client, ClientBuilder, ClientConfig, ConnectError, Consumer, Delivery, DeliveryError,
    PendingReceipt, Reader, ReaderError, Receipt, datagram, text,
};
#[cfg(feature = "server")]
pub use tenfour_server::Server;

/// All of the client.
#[cfg(feature = "client")]
pub mod client {
    pub use tenfour_client::*;
}

/// Queues on the sender's disk.
#[cfg(feature = "outbox")]
pub mod outbox {
    pub use tenfour_client::outbox::*;
}

/// All of the server.
#[cfg(feature = "server")]
pub mod server {
    pub use tenfour_server::*;
}

/// Where messages rest.
#[cfg(feature = "server")]
pub mod store {
    pub use tenfour_store::*;

    /// A store that many servers share.
    #[cfg(feature = "postgres")]
    pub mod postgres {
        pub use tenfour_store_postgres::*;
    }
}

/// Handling messages: by a function, on either side, or by a program.
#[cfg(any(feature = "client", feature = "server"))]
pub mod worker {
    pub use tenfour_worker::*;
}
#[cfg(any(feature = "client", feature = "server"))]
pub use tenfour_worker::{Handler, HandlerError, HandlerOptions};
