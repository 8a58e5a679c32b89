//! The server of tenfour: receives messages, keeps them, and says so.
//!
//! [`Server`] is given sockets, a store and a shutdown; nothing in here binds a port or waits for a signal. A message goes
//! from a listener through admission to the broker and the store, and its receipt back the same way:
//!
//! - `listeners`: a socket and one dialect each. They know the broker, never each other.
//! - `admission`: who may be inside, and do what.
//! - `broker`: the queue before the store, the commit, the answers.
//! - `reading`: out of the store again, at the reader's pace.
//!
//! What is not here: no client, and no SQL. `tenfour-store` has the messages.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(all(feature = "http", feature = "modbus")),
    allow(dead_code, reason = "what listeners share is used by those that are built")
)]

mod admission;
mod broker;
mod config;
mod context;
mod error;
mod event;
mod handler;
mod listeners;
mod mailboxes;
mod neighbourhood;
mod plain_runtime;
mod reading;
mod record;
mod server;
mod status;

pub use admission::access::Access;
pub use admission::counters::{Counter, Counters};
pub use config::{ServerConfig, ServerLimits};
pub use error::ServeError;
pub use event::{Event, OnEvent};
#[cfg(feature = "http")]
pub use listeners::http::{HttpConfig, HttpListeners};
#[cfg(feature = "modbus")]
pub use listeners::modbus::{ModbusConfig, ModbusListeners};
pub use mailboxes::Mailboxes;
pub use record::{Record, status_json};
pub use server::{Listeners, Server, serve};
pub use tenfour_worker::{Handler, HandlerError, HandlerOptions, NameError, Unauthenticated, WorkEvent};
