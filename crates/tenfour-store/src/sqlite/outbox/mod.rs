//! A sender's own durable queue: messages that no server has given a receipt for yet.
//!
//! Any process may put messages into it ([`Outbox`]); one at a time delivers them ([`Dispatch`]). Each server has its
//! own row of numbers, 1, 2, 3 ... A stream covers a stretch of them without a gap, so a message's sequence follows
//! from its number, and numbering a thousand messages changes one row. Numbers are in a stream, and that is on the
//! disk, before the first byte of them leaves.

mod dispatch;
mod kept;
mod lost;
mod rows;
mod schema;
mod stream;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tenfour_proto::{Message, StreamId};

use super::open::{SqliteOptions, connect_or_create, folder_of, judge, now};
use crate::lock::Lock;
use crate::{OpenError, place};
pub use dispatch::{Advance, Dispatch};
pub use lost::Verdict;
pub use stream::OutboxStream;

/// How long it is waited for somebody who makes the file, in steps of [`STEP`].
const PATIENCE: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(5);

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
    /// Nobody keeps it open any more.
    #[error("the outbox is closed")]
    Closed,
    /// SQLite said no.
    #[error("the outbox failed: {0}")]
    Failed(#[from] rusqlite::Error),
}

/// A queue on disk. Several processes may have it open.
pub struct Outbox {
    path: PathBuf,
    connection: Connection,
}

/// One server, as far as the outbox knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRoute {
    /// Number of the route.
    pub id: i64,
    /// `HOST:PORT`
    pub address: String,
    /// Messages without an answer.
    pub waiting: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// When the oldest of them was queued, in microseconds since 1970-01-01 UTC.
    pub oldest: Option<i64>,
    /// Of these, messages that may have left already.
    pub numbered: u64,
    /// Messages that the server refused.
    pub refused: u64,
    /// Of these, messages that it does not allow us to send.
    pub not_allowed: u64,
    /// Messages with a receipt that are still here.
    pub kept: u64,
    /// Messages that the server lacks although it gave receipts for them; from, to.
    pub lost: Option<(u64, u64)>,
    /// So many of them are still here.
    pub lost_here: u64,
    /// What was decided about them, and is not done yet.
    pub verdict: Option<Verdict>,
    /// Why nothing is delivered, as it was noted last.
    pub trouble: Option<String>,
}

/// A message in an outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxItem {
    /// Its number among those for the same server.
    pub number: u64,
    /// When it was queued, in microseconds since 1970-01-01 UTC.
    pub time: i64,
    /// The server's reason, if it refused.
    pub refused: Option<String>,
    /// Its stream and sequence, if it may have left already.
    pub identity: Option<(StreamId, u64)>,
    /// What it is.
    pub message: Message,
}

/// What became of a wish to drop a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// It is gone, and never left.
    Gone,
    /// It may have left already; it stays.
    OnItsWay,
    /// There is none of that number.
    NotThere,
}

impl Outbox {
    /// Opens the outbox at `path`, or makes it.
    ///
    /// What somebody who was killed has left in the log becomes durable with the next flush of it: a message that is
    /// [put](Self::put), or [`claim`](Self::claim), before anything is sent.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let path = path.into();
        // Two that make it at once would get in each other's way; whoever delivers has the lock as well, but then it is
        // there.
        let begun = Instant::now();
        let connection = loop {
            if !judge(&path, &schema::OUTBOX)? {
                break connect_or_create(&path, &schema::OUTBOX, SqliteOptions::default(), false)?;
            }
            match Lock::take(&path) {
                Ok(_making) => {
                    let is_new = judge(&path, &schema::OUTBOX)?;
                    break connect_or_create(&path, &schema::OUTBOX, SqliteOptions::default(), is_new)?;
                }
                Err(OpenError::InUse { .. }) if begun.elapsed() < PATIENCE => std::thread::sleep(STEP),
                Err(error) => return Err(error),
            }
        };
        // Nobody runs a thread for checkpoints here.
        connection
            .pragma_update(None, "wal_autocheckpoint", 1000)
            .map_err(|source| OpenError::Sqlite {
                path: path.clone(),
                source,
            })?;
        place::flush_folder(folder_of(&path))?;
        Ok(Outbox { path, connection })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts messages for the server at `address` (`HOST:PORT`) at the end of its queue: all or none, with one flush.
    /// Gives the number of the first. When it returns they are on the disk.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Full`] when there is too little room; [`OutboxError::Failed`] when the disk fails. Nothing is
    /// queued then.
    pub fn put(&mut self, address: &str, messages: &[Message]) -> Result<u64, OutboxError> {
        self.put_and(address, messages, |_, _, _| Ok(()))
    }

    /// The same, and something more in the same transaction, which is given the route and the number of the first.
    fn put_and(
        &mut self,
        address: &str,
        messages: &[Message],
        more: impl FnOnce(&Connection, i64, u64) -> rusqlite::Result<()>,
    ) -> Result<u64, OutboxError> {
        if place::is_full(folder_of(&self.path)) {
            return Err(OutboxError::Full);
        }
        self.try_put(address, messages, more)
            .map_err(|error| match error.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DiskFull) => OutboxError::Full,
                _ => OutboxError::Failed(error),
            })
    }

    fn try_put(
        &mut self,
        address: &str,
        messages: &[Message],
        more: impl FnOnce(&Connection, i64, u64) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<u64> {
        let transaction = rows::write(&mut self.connection)?;
        let route = match rows::route(&transaction, address)? {
            Some(route) => route,
            None => rows::add_route(&transaction, address)?,
        };
        let first = rows::last(&transaction, route)? + 1;
        let time = now();
        for (number, message) in (first..).zip(messages) {
            rows::insert(&transaction, address, route, number, time, message)?;
        }
        more(&transaction, route, first)?;
        transaction.commit()?;
        Ok(first)
    }

    /// All servers for which there is, or was, something.
    pub fn routes(&self) -> Result<Vec<OutboxRoute>, OutboxError> {
        Ok(rows::routes(&self.connection)?)
    }

    /// Messages for the server at `address` that have no receipt, from number `from` on, in order: at most `items`.
    pub fn list(&self, address: &str, from: u64, items: usize) -> Result<Vec<OutboxItem>, OutboxError> {
        let Some(route) = rows::route(&self.connection, address)? else {
            return Ok(Vec::new());
        };
        rows::waiting(&self.connection, address, route, from, items)
    }

    /// Drops a message that never left, or that the server refused.
    pub fn discard(&mut self, address: &str, number: u64) -> Result<Dropped, OutboxError> {
        let transaction = rows::write(&mut self.connection)?;
        let Some(route) = rows::route(&transaction, address)? else {
            return Ok(Dropped::NotThere);
        };
        let refused = rows::is_refused(&transaction, route, number)?;
        let outcome = match refused {
            None => Dropped::NotThere,
            Some(false) if number <= rows::numbered(&transaction, route)? => {
                if number <= rows::settled(&transaction, route)? {
                    Dropped::NotThere
                } else {
                    Dropped::OnItsWay
                }
            }
            Some(_) => {
                rows::keep_last(&transaction, route)?;
                rows::delete(&transaction, route, number, number)?;
                Dropped::Gone
            }
        };
        transaction.commit()?;
        Ok(outcome)
    }

    /// Puts a message that the server refused at the end of the queue again. Gives its new number; `None` if there is
    /// no such message.
    pub fn retry(&mut self, address: &str, number: u64) -> Result<Option<u64>, OutboxError> {
        let transaction = rows::write(&mut self.connection)?;
        let Some(route) = rows::route(&transaction, address)? else {
            return Ok(None);
        };
        if rows::is_refused(&transaction, route, number)? != Some(true) {
            return Ok(None);
        }
        let Some(item) = rows::item(&transaction, address, route, number)? else {
            return Ok(None);
        };
        let new = rows::last(&transaction, route)? + 1;
        rows::insert(&transaction, address, route, new, item.time, &item.message)?;
        rows::delete(&transaction, route, number, number)?;
        transaction.commit()?;
        Ok(Some(new))
    }

    /// Says what is to be done about messages that the server lacks although it gave receipts for them. Whoever
    /// delivers does it. False if nothing of the kind is known.
    pub fn decide(&mut self, address: &str, verdict: Verdict) -> Result<bool, OutboxError> {
        let changed = self.connection.execute(
            "UPDATE route SET verdict = ?2 WHERE address = ?1
             AND EXISTS(SELECT 1 FROM stream WHERE route = route.id AND lost IS NOT NULL)",
            (address, verdict.to_row()),
        )?;
        Ok(changed > 0)
    }

    /// Changes whenever another process has changed something.
    pub(super) fn version(&self) -> rusqlite::Result<i64> {
        self.connection
            .pragma_query_value(None, "data_version", |row| row.get(0))
    }

    /// Takes the delivering of this outbox: one process at a time may have it. Returns when everything that can be
    /// read is durable.
    ///
    /// # Errors
    ///
    /// [`OpenError::InUse`] while another process delivers.
    pub fn claim(self) -> Result<Dispatch, OpenError> {
        Dispatch::claim(self)
    }
}
