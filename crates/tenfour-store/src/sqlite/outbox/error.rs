//! Why an outbox does not do what it was asked to.

use std::path::PathBuf;

use crate::Cause;

/// An outbox does not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// There is too little room left on the disk. Nothing was queued.
    #[error("the disk with the outbox is full")]
    Full,
    /// A message is not what was queued.
    #[error("message #{number} for {address} is damaged")]
    Damaged {
        /// Where it was to go.
        address: String,
        /// Its number.
        number: u64,
    },
    /// The path leads to another file now, or to none.
    #[error("the outbox `{0}` was removed, replaced or restored while it was in use")]
    Gone(PathBuf),
    /// Nobody keeps it open any more.
    #[error("the outbox is closed")]
    Closed,
    /// The engine said no.
    #[error("the outbox failed: {0}")]
    Failed(#[source] Cause),
}

// Not a part of the interface: it changes with SQLite's.
#[doc(hidden)]
impl From<rusqlite::Error> for OutboxError {
    fn from(error: rusqlite::Error) -> Self {
        OutboxError::Failed(error.into())
    }
}
