//! The queue that several processes may have open.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tenfour_proto::Message;

use super::error::OutboxError;
use super::item::{Dropped, OutboxDestination, OutboxItem};
use super::verdict::Verdict;
use super::{rows, schema};
use crate::data_directory;
use crate::error::OpenError;
use crate::file_identity::{FileIdentity, behind_links};
use crate::lock::Lock;
use crate::room::is_full;
use crate::sqlite::open::{connect_to, create, folder_of, judge, now};
use crate::sqlite::options::SqliteOptions;

/// How long it is waited for somebody who makes the file, in steps of [`STEP`].
const PATIENCE: Duration = Duration::from_secs(10);

const STEP: Duration = Duration::from_millis(5);

/// A queue on disk. Several processes may have it open.
pub struct Outbox {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    /// Dropped behind the connection, whose locks would be given up with it.
    identity: FileIdentity,
}

impl Outbox {
    /// Opens the outbox at `path`, or makes it.
    ///
    /// What somebody who was killed has left in the log becomes durable with the next flush of it: a message that is
    /// [put](Self::put), or [`claim`](Self::claim), before anything is sent.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let path = behind_links(&path.into())?;
        // Two that make it at once would get in each other's way; whoever delivers has the lock as well, but then it is
        // there.
        let begun = Instant::now();
        while judge(&path, &schema::OUTBOX)? {
            match Lock::take(&path) {
                Ok(_making) => {
                    if judge(&path, &schema::OUTBOX)? {
                        create(&path, &schema::OUTBOX)?;
                    }
                }
                Err(OpenError::InUse { .. }) if begun.elapsed() < PATIENCE => std::thread::sleep(STEP),
                Err(error) => return Err(error),
            }
        }
        let connection = connect_to(&path, &schema::OUTBOX, SqliteOptions::default())?;
        // Nobody runs a thread for checkpoints here.
        connection
            .pragma_update(None, "wal_autocheckpoint", 1000)
            .map_err(|source| OpenError::sqlite(&path, source))?;
        data_directory::flush_folder(folder_of(&path))?;
        let identity = FileIdentity::of(&path).map_err(|source| OpenError::Io {
            path: path.clone(),
            source,
        })?;
        Ok(Outbox {
            path,
            connection,
            identity,
        })
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
    pub(super) fn put_and(
        &mut self,
        address: &str,
        messages: &[Message],
        more: impl FnOnce(&Connection, i64, u64) -> rusqlite::Result<()>,
    ) -> Result<u64, OutboxError> {
        if data_directory::is_full(folder_of(&self.path)) {
            return Err(OutboxError::Full);
        }
        let first =
            self.try_put(address, messages, more)
                .map_err(|error| match is_full(&error, &self.path) {
                    true => OutboxError::Full,
                    false => OutboxError::from(error),
                })?;
        self.verify()?;
        Ok(first)
    }

    /// It is where it was: what is written to a file that nobody reads any more is not queued.
    pub(super) fn verify(&self) -> Result<(), OutboxError> {
        if self.identity.place().holds() {
            Ok(())
        } else {
            Err(OutboxError::Gone(self.path.clone()))
        }
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
    pub fn routes(&self) -> Result<Vec<OutboxDestination>, OutboxError> {
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
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
