//! What can go wrong with a store on PostgreSQL.

use tenfour_store::{Cause, ReadError, StoreError};
use tokio_postgres::error::SqlState;

use crate::address::with_cause;

/// A store could not be opened, or made. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// None of its hosts is a primary that answers.
    #[error("cannot reach `{address}`: {why}")]
    Unreachable {
        /// The database.
        address: String,
        /// What the last of its hosts said.
        why: String,
    },
    /// There is no store in the database.
    #[error("`{0}` has no store")]
    NoStore(String),
    /// Made by a later version.
    #[error("`{address}` has format {found}, this version reads up to {known}")]
    Newer {
        /// The database.
        address: String,
        /// Its format.
        found: i32,
        /// The newest format known here.
        known: i32,
    },
    /// It does not keep what a receipt would promise.
    #[error("`{address}` is not safe enough: {why}")]
    Unsafe {
        /// The database.
        address: String,
        /// What it lacks.
        why: &'static str,
    },
    /// Its text is not UTF-8.
    #[error("`{address}` is of encoding {found}")]
    Encoding {
        /// The database.
        address: String,
        /// The encoding that it has.
        found: String,
    },
    /// The user may not do what a store needs.
    #[error("`{address}` does not allow it: {why}")]
    NotAllowed {
        /// The database.
        address: String,
        /// What it said.
        why: String,
    },
    /// The database said no.
    #[error("`{address}` failed: {why}")]
    Failed {
        /// The database.
        address: String,
        /// What it said.
        why: String,
    },
}

/// Why a transaction did not come to its end.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Others were in the way: the same may be tried at once.
    Again,
    /// The database has no room.
    Full,
    /// Nobody knows what became of it, or the connection is of no use any more.
    Lost(String),
    /// The database would keep less than receipts promise.
    Unsafe(&'static str),
    /// Another process has our place.
    Fenced,
    /// The database does not do what it must.
    Failed(Cause),
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(state) = error.code() else {
            let cause = std::error::Error::source(&error);
            let is_lost = error.is_closed() || cause.is_some_and(|cause| cause.is::<std::io::Error>());
            // A parameter of the wrong type is a fault of ours.
            return if is_lost {
                Trouble::Lost(with_cause(&error))
            } else {
                Trouble::Failed(error.into())
            };
        };
        // By the class (https://www.postgresql.org/docs/current/errcodes-appendix.html).
        match state.code().get(..2) {
            _ if *state == SqlState::DISK_FULL => Trouble::Full,
            _ if *state == SqlState::UNIQUE_VIOLATION || *state == SqlState::LOCK_NOT_AVAILABLE => {
                Trouble::Again
            }
            _ if *state == SqlState::READ_ONLY_SQL_TRANSACTION => {
                Trouble::Lost("it is a standby now".to_owned())
            }
            Some("40") => Trouble::Again,
            // The transaction had ended before: by a limit of the database, or because the connection is another's.
            Some("25" | "08" | "57" | "53") => Trouble::Lost(with_cause(&error)),
            _ => Trouble::Failed(error.into()),
        }
    }
}

impl Trouble {
    pub(crate) fn text(&self) -> String {
        match self {
            Trouble::Again => "others were in the way".to_owned(),
            Trouble::Full => "the database has no room".to_owned(),
            Trouble::Lost(why) => why.clone(),
            Trouble::Unsafe(why) => (*why).to_owned(),
            Trouble::Fenced => "another process has its place in the database".to_owned(),
            Trouble::Failed(cause) => cause.downcast_ref().map_or_else(|| cause.to_string(), with_cause),
        }
    }
}

impl From<Trouble> for StoreError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Failed(cause) => StoreError::Failed(cause),
            other => StoreError::Failed(other.text().into()),
        }
    }
}

impl From<Trouble> for ReadError {
    fn from(trouble: Trouble) -> Self {
        ReadError::Failed(trouble.text().into())
    }
}
