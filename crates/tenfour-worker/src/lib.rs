//! Handling messages: whoever gives them out ([`Source`]), whoever handles them ([`Handler`]), and the loop between the two
//! ([`Worker`]). A server hands its own messages to it, and a client those of a consumer.
//!
//! No message is handled before it is written down that somebody has begun with it, and none is done before its handler
//! succeeded: so each is handled at least once, and whoever gets it again is told how often it was tried.

#![forbid(unsafe_code)]

#[cfg(all(unix, feature = "exec"))]
mod exec;
mod handler;
mod options;
#[cfg(all(unix, feature = "exec"))]
mod orphans;
mod source;
mod worker;

#[cfg(all(unix, feature = "exec"))]
pub use exec::{Exec, ExecError, Handled, MESSAGE_VARIABLES, can_be_found};
pub use handler::{Handler, HandlerError};
pub use options::{DEFAULT_RETRIES, HandlerOptions, NameError, OnWorkEvent, Unauthenticated, WorkEvent};
#[cfg(all(unix, feature = "exec"))]
pub use orphans::reap_orphans;
pub use source::{Source, Taken};
pub use worker::{Worker, WorkerError};
