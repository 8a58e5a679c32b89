//! Send a message to a process on another machine, and know that it arrived.
//!
//! - [`serve`] (or [`Server`]) receives: sockets, a store and a shutdown are handed in.
//! - [`Client`] sends: [`Client::send`] gives a value whose `await` is the receipt; [`Client::ask`] waits for a reply.
//! - [`Server::handle`] answers: a function from message to reply.
//! - [`Follower`] reads a mailbox; [`Consumer`] consumes one, with a durable cursor on the server.
//! - [`Watch`] asks a server what it is doing, and what became of a message.
//! - [`identity`] holds the keys, pins and rights of both sides.
//!
//! A receipt says: the message is in the mailbox named, at the offset named, as durable as it says, once.
//!
//! ```no_run
//! use tenfour::identity::{Home, Identity, KnownHosts};
//! use tenfour::{Client, ClientConfig, MailboxName, Message};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let home = Home::from_environment()?;
//! let identity = Identity::load_or_create(&home.identity())?;
//! let config = ClientConfig::new(identity, KnownHosts::load(&home.known_hosts())?);
//! let client = Client::connect(&["backup.example".parse()?], config).await?;
//! let receipt = client.send(Message::new(MailboxName::inbox(), "backup done")).await?;
//! println!("stored in {} at {}", receipt.mailbox, receipt.offset);
//! client.close().await;
//! # Ok(())
//! # }
//! ```

mod address;
mod client;
mod clock;
#[cfg(unix)]
mod exec;
pub mod identity;
mod inbox;
mod lock;
mod record;
mod server;
mod time;
mod tls;

pub use address::{Address, HTTP_PORT, MODBUS_PORT, NATIVE_PORT, ParseAddressError, TEXT_PORT};
pub use client::{
    AskError, BackupError, Client, ClientConfig, ConnectError, Consumer, ConsumerOptions, Courier,
    Deliveries, DeliveryError, Failure, FollowError, Follower, OutboxClient, Receipt, RouteProgress, Sending,
    StatusError, Stored, TextDelivery, Trouble, Watch, WentBack, backup, deliver_datagram, deliver_text,
    random_id, send_datagram,
};
#[cfg(unix)]
pub use exec::{Exec, ExecError, Handled};
pub use record::{Record, status_json};
pub use server::{
    Access, Counter, Counters, Event, HandlerError, HandlerOptions, Listeners, Mailboxes, OnEvent,
    ServeError, Server, ServerConfig, ServerLimits, serve,
};
pub use tenfour_proto::datagram::{
    MAX_DATAGRAM, Outcome as DatagramOutcome, Request as DatagramRequest, Verdict as DatagramVerdict,
};
pub use tenfour_proto::native::{ReadFrom, StatusRow, StatusValue};
pub use tenfour_proto::text::{Answer as TextAnswer, GREETING, Outcome as TextOutcome};
pub use tenfour_proto::{
    ContentType, CursorName, CursorNameError, Durability, Fingerprint, Item, Listener, MailboxName,
    MailboxNameError, Message, MessageName, Origin, RefusalCode, Reply, Sender, Source, StreamId,
    TemporaryCode, TokenName, TokenNameError, WordError, limits,
};
pub use tenfour_store::{
    Checked, Dropped, Finding, MemoryStore, OpenError, Outbox, OutboxError, OutboxItem, OutboxRoute,
    ReadError, Retain, SqliteOptions, SqliteStore, Store, Verdict, check,
};
pub use time::parse_time;

/// What we call ourselves in HELLO and WELCOME.
pub(crate) const SOFTWARE: &str = concat!("tenfour/", env!("CARGO_PKG_VERSION"));
