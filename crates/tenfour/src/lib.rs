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

pub use tenfour_identity as identity;
pub use tenfour_identity::parse_time;

#[cfg(feature = "client")]
pub use tenfour_client::{
    AskError, BackupError, Client, ClientConfig, ConnectError, Consumer, ConsumerOptions, DeliveryError,
    Failure, FollowError, Follower, Receipt, Sending, StatusError, Stored, TextDelivery, Watch, WentBack,
    backup, deliver_datagram, deliver_text, random_id, send_datagram,
};
#[cfg(feature = "outbox")]
pub use tenfour_client::{Courier, Deliveries, OutboxClient, RouteProgress, Trouble};
pub use tenfour_proto::datagram::{
    MAX_DATAGRAM, Outcome as DatagramOutcome, Request as DatagramRequest, Verdict as DatagramVerdict,
};
pub use tenfour_proto::native::{ReadFrom, StatusRow, StatusValue};
pub use tenfour_proto::text::{Answer as TextAnswer, GREETING, Outcome as TextOutcome};
pub use tenfour_proto::{
    Address, ContentType, CursorName, CursorNameError, Durability, Fingerprint, HTTP_PORT, Item, Listener,
    MODBUS_PORT, MailboxName, MailboxNameError, Message, MessageName, NATIVE_PORT, Origin, ParseAddressError,
    RefusalCode, Reply, Sender, Source, StreamId, TEXT_PORT, TemporaryCode, TokenName, TokenNameError,
    WordError, limits,
};
#[cfg(feature = "server")]
pub use tenfour_server::{
    Access, Counter, Counters, Event, Exec, ExecError, Handled, HandlerError, HandlerOptions, Listeners,
    Mailboxes, OnEvent, Record, ServeError, Server, ServerConfig, ServerLimits, serve, status_json,
};
#[cfg(feature = "http")]
pub use tenfour_server::{HttpConfig, HttpListeners};
#[cfg(feature = "modbus")]
pub use tenfour_server::{ModbusConfig, ModbusListeners};
#[cfg(feature = "server")]
pub use tenfour_store::{
    Checked, Finding, MemoryStore, OpenError, ReadError, Retain, SqliteOptions, SqliteStore, Store, check,
};
#[cfg(feature = "outbox")]
pub use tenfour_store::{Dropped, Outbox, OutboxError, OutboxItem, OutboxRoute, Verdict};
