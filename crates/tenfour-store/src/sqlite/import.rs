//! A new file with all that another store holds.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::columns::message_key;
use super::connection::guard;
use super::schema;
use crate::ledger::{PlacedRun, source_word};
use crate::store_files::{copies_of, copy_name};
use crate::{CopyError, Import, Record, data_directory};

/// Mailboxes have so many bits of a message's key.
const MAILBOX_BITS: u32 = 15;

/// A file that becomes a store. What is not [finished](Self::finish) is of no use.
#[derive(Debug)]
pub struct SqliteImport {
    connection: Connection,
    file: File,
    /// Of a file that is not to stay.
    removal: Option<Removal>,
    /// The last run of a producer, which stands in the producer's row. Whether it is the last one the next one says.
    run: Option<(i64, PlacedRun)>,
}

impl SqliteImport {
    /// Makes the file, which must not be there.
    ///
    /// # Errors
    ///
    /// When it is there, or cannot be made.
    pub fn create(path: &Path) -> Result<Self, CopyError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        let connection = Connection::open(path)?;
        guard(&connection)?;
        connection.pragma_update(None, "page_size", schema::PAGE_SIZE)?;
        // It is whole when it is finished, or it is thrown away: until then no crash matters.
        connection.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.pragma_update(None, "cache_size", -64 * 1024)?;
        connection.execute_batch("BEGIN")?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(SqliteImport {
            connection,
            file,
            removal: None,
            run: None,
        })
    }

    /// Makes a file in a folder that loses its name when it is finished, and is gone when it is closed. It will have about
    /// so many bytes.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or there is no room for it.
    pub fn create_unnamed(folder: &Path, bytes: u64) -> Result<Self, CopyError> {
        data_directory::make_folder(folder).map_err(|error| CopyError::Failed(error.into()))?;
        if !data_directory::has_room_beside(folder, bytes) {
            return Err(CopyError::Full);
        }
        let beside = folder.join("store");
        remove_abandoned(&beside)?;
        let path = copy_name(&beside)?;
        let mut import = Self::create(&path)?;
        // Whoever finds it without this was left it by somebody who was killed.
        import.file.lock()?;
        import.removal = Some(Removal(path));
        Ok(import)
    }

    /// All of it is there: it is flushed, and given from its first byte on.
    ///
    /// # Errors
    ///
    /// When there is no room.
    pub fn finish(mut self) -> Result<File, CopyError> {
        self.end_runs()?;
        self.connection
            .pragma_update(None, "application_id", schema::STORE.application)?;
        self.connection
            .pragma_update(None, "user_version", schema::STORE.version())?;
        self.connection.execute_batch("COMMIT")?;
        self.connection.close().map_err(|(_, error)| error)?;
        self.file.sync_all()?;
        Ok(self.file)
    }

    fn end_runs(&mut self) -> Result<(), CopyError> {
        if let Some((producer, run)) = self.run.take() {
            let sql = "UPDATE stream SET mark = ?2, first = ?3, count = ?4, mailbox = ?5, offset = ?6 WHERE id = ?1";
            self.connection.prepare_cached(sql)?.execute((
                producer,
                (run.first + run.count - 1) as i64,
                run.first as i64,
                run.count as i64,
                run.mailbox,
                run.offset as i64,
            ))?;
        }
        Ok(())
    }

    fn put_run(&mut self, producer: i64, run: PlacedRun) -> Result<(), CopyError> {
        match &mut self.run {
            Some((of, last)) if *of == producer && last.is_followed_by(&run) => last.count += run.count,
            Some((of, last)) if *of == producer => {
                let sql =
                    "INSERT INTO run(stream, first, count, mailbox, offset) VALUES (?1, ?2, ?3, ?4, ?5)";
                self.connection.prepare_cached(sql)?.execute((
                    producer,
                    last.first as i64,
                    last.count as i64,
                    last.mailbox,
                    last.offset as i64,
                ))?;
                *last = run;
            }
            _ => {
                self.end_runs()?;
                self.run = Some((producer, run));
            }
        }
        Ok(())
    }
}

/// Removes a file when it is dropped.
#[derive(Debug)]
struct Removal(PathBuf);

impl Drop for Removal {
    fn drop(&mut self) {
        // What cannot be removed now is by the next one.
        let _ = fs::remove_file(&self.0);
    }
}

/// Removes copies that nobody makes any more.
fn remove_abandoned(store: &Path) -> std::io::Result<()> {
    for path in copies_of(store)? {
        if File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

impl Import for SqliteImport {
    fn put(&mut self, record: Record) -> Result<(), CopyError> {
        let sql = |sql| self.connection.prepare_cached(sql);
        match record {
            Record::Store { id, created, hours } => {
                schema::STORE.make(&self.connection, schema::STORE.version(), id, created)?;
                self.connection.execute("UPDATE store SET hours = ?1", [hours])?;
            }
            Record::Mailbox {
                number,
                name,
                gone,
                is_removed,
                ..
            } => {
                if !(1..1 << MAILBOX_BITS).contains(&number) {
                    return Err(CopyError::too_large("a mailbox"));
                }
                sql("INSERT INTO mailbox(id, name, bytes, pseudo, counted, gone) VALUES (?1, ?2, 0, 0, 0, ?3)")?
                    .execute((number, name.as_str(), gone as i64))?;
                if is_removed {
                    sql("INSERT INTO removed(mailbox) VALUES (?1)")?.execute([number])?;
                }
            }
            Record::Sender { number, sender } => {
                sql("INSERT INTO sender(id, name) VALUES (?1, ?2)")?.execute((number, sender.to_string()))?;
            }
            Record::Producer {
                number,
                sender,
                producer,
                kind,
                forgotten,
                used,
            } => {
                sql("INSERT INTO stream(id, sender, stream, kind, mark, used) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
                    .execute((number, sender, producer.as_bytes(), kind, forgotten as i64, used))?;
            }
            Record::Run { producer, run } => self.put_run(producer, run)?,
            Record::Message {
                mailbox,
                producer,
                checksum,
                item,
            } => {
                let message = &item.message;
                sql(
                    "INSERT INTO message(id, stream, sequence, time, checksum, body, source, type, name, origin, asks)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                )?
                .execute((
                    message_key(mailbox, item.offset),
                    producer,
                    item.sequence as i64,
                    item.time,
                    checksum,
                    &message.body[..],
                    item.source.as_ref().and_then(source_word),
                    message.content_type.as_ref().map(|word| word.as_str()),
                    message.name.as_ref().map(|word| word.as_str()),
                    item.origin.as_ref().map(ToString::to_string),
                    message.asks.then_some(1),
                ))?;
            }
            Record::Age { mailbox, hours, last } => {
                sql("INSERT INTO age(mailbox, hours, last) VALUES (?1, ?2, ?3)")?.execute((
                    mailbox,
                    hours,
                    last as i64,
                ))?;
            }
            Record::Cursor {
                number,
                mailbox,
                name,
                committed,
                used,
            } => {
                sql("INSERT INTO cursor(id, mailbox, name, floor, used) VALUES (?1, ?2, ?3, ?4, ?5)")?
                    .execute((number, mailbox.as_str(), name.as_str(), committed as i64, used))?;
            }
            Record::Ack {
                cursor,
                offset,
                state,
            } => {
                sql("INSERT INTO given(cursor, offset, attempts, done) VALUES (?1, ?2, ?3, ?4)")?
                    .execute((cursor, offset as i64, state.attempts, state.done))?;
            }
            Record::Reply {
                producer,
                sequence,
                hours,
                checksum,
                reply,
            } => {
                sql("INSERT INTO reply(stream, sequence, hours, code, checksum, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
                    .execute((producer, sequence as i64, hours, reply.code, checksum, &reply.body[..]))?;
            }
        }
        Ok(())
    }
}
