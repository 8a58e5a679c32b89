//! Reading a store on disk, in short transactions, beside its writer.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use tenfour_proto::{CursorName, Item, MailboxName, ProducerId, Reply, Sender};

use super::columns::{FIRST_OFFSET, LAST_OFFSET, OFFSET_MASK, message_key};
use super::connection::guard;
use super::hours::Clock;
use super::message_row::{KnownProducer, MESSAGES, item};
use super::open::folder_of;
use super::row_error::RowError;
use super::sizes::Published;
use super::{cursors, export, replies};
use crate::data_directory;
use crate::store_files::{copy_name, make_private_file};
use crate::{CURSOR_HOURS, CopyError, CursorInfo, Import, MailboxInfo, Position, ReadError, Reader};

/// Memory for a reader's pages, in KiB.
const CACHE_KIB: i64 = 1024;

/// Instructions of SQLite after which a copy asks whether it is still wanted.
const STEPS: i32 = 10_000;

/// A connection that only reads.
pub(super) struct SqliteReader {
    path: PathBuf,
    connection: Connection,
    producers: HashMap<i64, KnownProducer>,
    published: Arc<Published>,
    clock: Clock,
}

impl SqliteReader {
    pub(super) fn open(path: &Path, published: Arc<Published>, clock: Clock) -> rusqlite::Result<Self> {
        let connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        guard(&connection)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        // The log is opened by the first read: later it may have another's under its name.
        connection.pragma_query_value(None, "schema_version", |_| Ok(()))?;
        Ok(SqliteReader {
            path: path.to_owned(),
            connection,
            producers: HashMap::new(),
            published,
            clock,
        })
    }

    /// Number and last offset of a mailbox.
    fn find(&self, mailbox: &MailboxName) -> rusqlite::Result<Option<(i64, u64)>> {
        self.connection
            .prepare_cached(&format!("SELECT id, {LAST_OFFSET} FROM mailbox WHERE name = ?1"))?
            .query_row([mailbox.as_str()], |row| {
                Ok((row.get(0)?, row.get::<_, i64>(1)? as u64))
            })
            .optional()
    }

    fn messages(
        &mut self,
        mailbox: &MailboxName,
        from: u64,
        items: usize,
        bytes: u64,
    ) -> Result<Vec<Item>, RowError> {
        let Some((id, _)) = self.find(mailbox)? else {
            return Ok(Vec::new());
        };
        let mut statement = self.connection.prepare_cached(MESSAGES)?;
        let first = message_key(id, from.min(OFFSET_MASK as u64));
        let last = message_key(id, OFFSET_MASK as u64);
        let mut rows = statement.query((first, last, i64::try_from(items).unwrap_or(i64::MAX)))?;
        let mut found = Vec::new();
        let mut total = 0;
        while let Some(row) = rows.next()? {
            let item = match item(&self.connection, &mut self.producers, mailbox, row) {
                Ok(item) => item,
                // What came before is whole, and is given first.
                Err(RowError::Damaged { .. }) if !found.is_empty() => break,
                Err(error) => return Err(error),
            };
            total += item.message.body.len() as u64;
            found.push(item);
            if total >= bytes {
                break;
            }
        }
        Ok(found)
    }

    fn last(&self, mailbox: &MailboxName) -> rusqlite::Result<u64> {
        Ok(self.find(mailbox)?.map_or(0, |(_, last)| last))
    }

    fn first_stored_since(&self, mailbox: &MailboxName, time: i64) -> rusqlite::Result<u64> {
        let Some((id, last)) = self.find(mailbox)? else {
            return Ok(1);
        };
        let mut at = self
            .connection
            .prepare_cached("SELECT id, time FROM message WHERE id >= ?1 AND id <= ?2 ORDER BY id LIMIT 1")?;
        let end = message_key(id, OFFSET_MASK as u64);
        let (mut low, mut high) = (1, last + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let row = at
                .query_row((message_key(id, middle), end), |row| {
                    Ok((
                        (row.get::<_, i64>(0)? & OFFSET_MASK) as u64,
                        row.get::<_, i64>(1)?,
                    ))
                })
                .optional()?;
            match row {
                Some((offset, stored)) if stored < time => low = offset + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// All cursors, or those of a mailbox.
    fn cursors_where(&self, of: Option<&MailboxName>) -> rusqlite::Result<Vec<CursorInfo>> {
        let which = of.map_or("", |_| "WHERE mailbox = ?2");
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT mailbox, name, floor, (SELECT count(*) FROM given WHERE given.cursor = cursor.id AND done),
                    store.hours - used >= ?1
               FROM cursor, store {which} ORDER BY mailbox, name"
        ))?;
        let mut rows = match of {
            Some(mailbox) => statement.query((CURSOR_HOURS, mailbox.as_str())),
            None => statement.query([CURSOR_HOURS]),
        }?;
        let mut cursors = Vec::new();
        while let Some(row) = rows.next()? {
            if let (Ok(mailbox), Ok(name)) = (
                row.get_ref(0)?.as_str().unwrap_or_default().parse(),
                row.get_ref(1)?.as_str().unwrap_or_default().parse(),
            ) {
                cursors.push(CursorInfo {
                    mailbox,
                    name,
                    committed: row.get::<_, i64>(2)? as u64,
                    done: row.get::<_, i64>(3)? as u64,
                    expired: row.get(4)?,
                });
            }
        }
        Ok(cursors)
    }

    /// All mailboxes, or that of a name.
    fn mailboxes_where(&self, name: Option<&MailboxName>) -> rusqlite::Result<Vec<MailboxInfo>> {
        let which = name.map_or("", |_| "AND name = ?1");
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT name, {LAST_OFFSET}, {FIRST_OFFSET} FROM mailbox
             WHERE id NOT IN (SELECT mailbox FROM removed) {which} ORDER BY name"
        ))?;
        let mut rows = match name {
            Some(name) => statement.query([name.as_str()]),
            None => statement.query(()),
        }?;
        let mut mailboxes = Vec::new();
        while let Some(row) = rows.next()? {
            let last = row.get::<_, i64>(1)? as u64;
            if let Ok(name) = row.get_ref(0)?.as_str().unwrap_or_default().parse() {
                mailboxes.push(MailboxInfo {
                    name,
                    first: row
                        .get::<_, Option<i64>>(2)?
                        .map_or(last + 1, |first| first as u64),
                    last,
                });
            }
        }
        Ok(mailboxes)
    }
}

impl Reader for SqliteReader {
    fn read(
        &mut self,
        mailbox: &MailboxName,
        from: u64,
        items: usize,
        bytes: u64,
    ) -> Result<Vec<Item>, ReadError> {
        Ok(self.messages(mailbox, from, items, bytes)?)
    }

    fn last_offset(&mut self, mailbox: &MailboxName) -> Result<u64, ReadError> {
        self.last(mailbox).map_err(failed)
    }

    fn first_since(&mut self, mailbox: &MailboxName, time: i64) -> Result<u64, ReadError> {
        self.first_stored_since(mailbox, time).map_err(failed)
    }

    fn cursors(&mut self) -> Result<Vec<CursorInfo>, ReadError> {
        self.cursors_where(None).map_err(failed)
    }

    fn cursors_of(&mut self, mailbox: &MailboxName) -> Result<Vec<CursorInfo>, ReadError> {
        self.cursors_where(Some(mailbox)).map_err(failed)
    }

    fn position(&mut self, mailbox: &MailboxName, name: &CursorName) -> Result<Option<Position>, ReadError> {
        // Both of its tables as they are at one moment.
        let moment = self.connection.unchecked_transaction().map_err(failed)?;
        cursors::position(&moment, mailbox, name).map_err(failed)
    }

    fn reply(
        &mut self,
        sender: &Sender,
        producer: ProducerId,
        sequence: u64,
    ) -> Result<Option<Reply>, ReadError> {
        replies::find(&self.connection, sender, producer, sequence, self.clock.now()).map_err(failed)
    }

    fn sizes(&mut self) -> Result<Vec<(MailboxName, u64)>, ReadError> {
        Ok(self.published.all())
    }

    fn mailboxes(&mut self) -> Result<Vec<MailboxInfo>, ReadError> {
        self.mailboxes_where(None).map_err(failed)
    }

    fn mailbox(&mut self, name: &MailboxName) -> Result<Option<MailboxInfo>, ReadError> {
        Ok(self.mailboxes_where(Some(name)).map_err(failed)?.pop())
    }

    fn export(&mut self, into: &mut dyn Import, wanted: &AtomicBool) -> Result<(), CopyError> {
        export::export(&self.connection, into, wanted)
    }

    fn copy(&mut self, wanted: &Arc<AtomicBool>) -> Result<File, CopyError> {
        let length = |pragma| {
            self.connection
                .pragma_query_value(None, pragma, |row| row.get::<_, i64>(0))
        };
        let failed = |error: rusqlite::Error| CopyError::Failed(error.into());
        let pages = length("page_count").map_err(failed)?;
        let bytes = (pages * length("page_size").map_err(failed)?).unsigned_abs();
        if !data_directory::has_room_beside(folder_of(&self.path), bytes) {
            return Err(CopyError::Full);
        }
        let copy = copy_name(&self.path)?;
        let path = copy
            .to_str()
            .ok_or(std::io::Error::from(std::io::ErrorKind::InvalidFilename))?;
        // SQLite writes into an empty file, too, and would make one that all may read.
        make_private_file(&copy)?;
        let wanted = Arc::clone(wanted);
        let given_up = move || !wanted.load(Ordering::Relaxed);
        self.connection
            .progress_handler(STEPS, Some(given_up))
            .map_err(failed)?;
        let made = self.connection.execute("VACUUM INTO ?1", [path]);
        self.connection
            .progress_handler(0, None::<fn() -> bool>)
            .map_err(failed)?;
        let file = made.map_err(failed).and_then(|_| Ok(File::open(&copy)?));
        // It lives as long as it is open.
        match std::fs::remove_file(&copy) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => file,
        }
    }
}

fn failed(error: rusqlite::Error) -> ReadError {
    RowError::from(error).into()
}
