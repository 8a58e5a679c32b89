//! The one writer of a store on disk.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tenfour_proto::{CursorName, Durability, MailboxName, ProducerId, Sender, Stored, TemporaryCode};

use super::checkpoint::Checkpointer;
use super::columns::{LAST_OFFSET, MAKER};
use super::connection::{configure, leave_log, settle_on_disk};
use super::cursors;
use super::hours::Hours;
use super::open::{folder_of, open};
use super::options::SqliteOptions;
use super::producers::{self, Producers};
use super::reader::SqliteReader;
use super::replies;
use super::retention::{self, Retention};
use super::sizes::{Published, Sizes};
use super::transaction::{Now, Transaction};
use crate::batch::{Batch, Committed};
use crate::cursor::CursorChange;
use crate::data_directory::Shortage;
use crate::file_identity::behind_links;
use crate::ledger::{self, Draft};
use crate::lock::Lock;
use crate::mailboxes::{Mailbox, Mailboxes};
use crate::quota::Quota;
use crate::retention::Rules;
use crate::room::{has_no_room, is_full};
use crate::store_files::log_of;
use crate::{OpenError, ReadError, Readers, Removal, Store, StoreError, data_directory};

/// Memory for the writer's pages, in KiB: the tail of every busy mailbox.
const CACHE_KIB: i64 = 4 * 1024;

/// They are given back this often: pages of a burst would stay for ever, and those in use are read again in no time.
const CACHED: Duration = Duration::from_secs(10);

/// Messages in a SQLite database, flushed before they are said to be stored.
pub struct SqliteStore {
    path: PathBuf,
    id: [u8; 16],
    options: SqliteOptions,
    // Dropped in this order: the thread first, the lock last.
    checkpointer: Checkpointer,
    connection: Connection,
    mailboxes: Mailboxes,
    sizes: Sizes,
    /// What readers see of it.
    published: Arc<Published>,
    producers: Producers,
    /// Senders without a key may hold so many bytes.
    quota: Quota,
    retention: Retention,
    hours: Hours,
    /// When the cache was given back.
    emptied: Instant,
    poisoned: bool,
    /// The path led to another file at the last look, or to none: nothing is taken until it leads here again.
    displaced: bool,
    /// A write found no room: nothing is taken until there is some.
    short_of_room: bool,
    lock: Lock,
}

impl Drop for SqliteStore {
    /// Leaves an empty log: a backup may be put in the place of a store that was closed. Whatever goes wrong here is done
    /// by the next opening. Into a store that was restored under us nothing of ours is written.
    fn drop(&mut self) {
        if self.short_of_room {
            // What is left is for the next opening; the log keeps everything.
            let _ = leave_log(&self.connection);
        } else if self.verify().is_ok() {
            let _ = settle_on_disk(&self.connection);
        }
    }
}

impl SqliteStore {
    /// Opens the store at `path`, or makes it. Returns only after everything readable in it is on
    /// stable storage: nothing recovered after a crash is served before.
    pub fn open(path: impl Into<PathBuf>, options: SqliteOptions) -> Result<Self, OpenError> {
        let path = behind_links(&path.into())?;
        let opened = open(&path, options)?;
        let mut connection = opened.connection;
        let sqlite = |source| OpenError::sqlite(&path, source);
        configure(&connection, options).map_err(sqlite)?;
        connection
            .pragma_update(None, "cache_size", -CACHE_KIB)
            .map_err(sqlite)?;
        connection.set_prepared_statement_cache_capacity(64);
        let checkpointer = Checkpointer::start(&path, options, &mut connection)?;
        let mut store = SqliteStore {
            id: opened.id,
            options,
            checkpointer,
            mailboxes: Mailboxes::default(),
            sizes: Sizes::default(),
            published: Arc::default(),
            quota: Quota::new(
                options
                    .anonymous_quota
                    .unwrap_or_else(|| data_directory::usual_quota(folder_of(&path))),
            ),
            producers: Producers::default(),
            retention: Retention::default(),
            hours: Hours::start(&connection).map_err(sqlite)?,
            emptied: Instant::now(),
            poisoned: false,
            displaced: false,
            short_of_room: false,
            connection,
            path: path.clone(),
            lock: opened.lock,
        };
        store.load_mailboxes().map_err(sqlite)?;
        Ok(store)
    }

    fn load_mailboxes(&mut self) -> rusqlite::Result<()> {
        self.mailboxes = Mailboxes::default();
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT id, name, {LAST_OFFSET}, id IN (SELECT mailbox FROM removed), {MAKER} FROM mailbox ORDER BY id"
        ))?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            let name = row.get_ref(1)?.as_str()?.parse().map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(error))
            })?;
            // Damaged rows are for `check`.
            let maker = row.get_ref(4)?.as_str().unwrap_or_default().parse().ok();
            let last = row.get::<_, i64>(2)? as u64;
            self.mailboxes.load(row.get(0)?, name, last, row.get(3)?, maker);
        }
        self.sizes = Sizes::load(&self.connection)?;
        for mailbox in self.mailboxes.iter().filter(|mailbox| !mailbox.is_removed) {
            self.published.put(&mailbox.name, self.sizes.of(mailbox.id));
        }
        Ok(())
    }

    fn check_poison(&self) -> Result<(), StoreError> {
        if self.poisoned || self.checkpointer.has_failed() {
            Err(StoreError::Poisoned)
        } else {
            Ok(())
        }
    }

    fn try_commit(
        &mut self,
        batches: &[Batch],
        changes: &[CursorChange],
        shortage: Shortage,
        time: i64,
    ) -> rusqlite::Result<Committed> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
        let now = Now {
            time,
            hours: self.hours.now(),
            is_full: shortage.for_all,
            is_full_for_synthetic: shortage.for_synthetic,
        };
        let messages = batches.iter().map(|batch| batch.messages.len()).sum();
        let draft = ledger::draft(
            &mut Transaction::new(
                &self.connection,
                &mut self.producers,
                &mut self.sizes,
                self.retention.closed_to_strangers(),
                messages,
                now,
            ),
            &mut self.mailboxes,
            &self.quota,
            batches,
            changes,
        )?;
        let raised = self.mailboxes.take_raised();
        for mailbox in raised.iter().filter(|mailbox| mailbox.is_new) {
            self.connection
                .prepare_cached(
                    "INSERT INTO mailbox(id, name, gone, bytes, pseudo, counted) VALUES (?1, ?2, 0, 0, 0, 0)",
                )?
                .execute((mailbox.id, mailbox.name.as_str()))?;
        }
        for mailbox in raised.iter().filter(|mailbox| mailbox.is_revived) {
            self.connection
                .prepare_cached("DELETE FROM removed WHERE mailbox = ?1")?
                .execute([mailbox.id])?;
        }
        for mailbox in &raised {
            self.sizes.save(&self.connection, mailbox.id)?;
        }
        self.hours.save(&self.connection)?;
        self.connection.prepare_cached("COMMIT")?.execute(())?;
        for mailbox in &raised {
            self.published.put(&mailbox.name, self.sizes.of(mailbox.id));
        }
        Ok(draft.after_commit(raised.into_iter().map(|mailbox| (mailbox.name, mailbox.last))))
    }

    fn tidy_up(&mut self) -> rusqlite::Result<bool> {
        let hours = self.hours.now();
        self.sizes.tidy(&self.connection)?;
        Ok(self.producers.sweep(&self.connection, hours)?
            | replies::sweep(&self.connection, hours)?
            | self.delete_old(hours, true)?)
    }

    /// Says what mailboxes keep; without it, everything.
    pub fn retain(&mut self, rules: Rules) {
        self.retention = Retention::by(rules);
    }

    /// Deletes a piece of what need not be kept any more; true when there is more.
    fn delete_old(&mut self, hours: i64, is_idle: bool) -> rusqlite::Result<bool> {
        let next = self
            .retention
            .next(&self.connection, &self.mailboxes, &self.sizes, hours, is_idle)?;
        let Some((mailbox, last)) = next else {
            return Ok(false);
        };
        let deleted = retention::delete(&self.connection, &mut self.sizes, mailbox, last)?;
        self.checkpointer.after_commit(&self.connection)?;
        let is_quiet = self.retention.is_quiet(mailbox);
        if let Some(mailbox) = self.mailboxes.by_id(mailbox) {
            self.published.put(&mailbox.name, self.sizes.of(mailbox.id));
            if !is_quiet {
                tracing::info!(mailbox = %mailbox.name, deleted, up_to = last, "deleted the oldest messages");
            }
        }
        Ok(true)
    }

    /// What only makes room can wait for room. Any other failure of a write or a flush: what the disk holds is not known
    /// any more.
    fn unless_full<T>(&mut self, result: rusqlite::Result<T>, later: T) -> Result<T, StoreError> {
        match result {
            Ok(done) => Ok(done),
            Err(error) if is_full(&error, &self.path) => {
                self.producers.forget();
                self.note_no_room();
                Ok(later)
            }
            Err(error) => {
                self.poisoned = true;
                Err(failed(error))
            }
        }
    }

    /// Gives the pages in memory back, now and then.
    fn empty_cache(&mut self) -> Result<(), StoreError> {
        if self.emptied.elapsed() < CACHED {
            return Ok(());
        }
        self.emptied = Instant::now();
        let emptied = self.connection.execute_batch("PRAGMA shrink_memory");
        emptied.map_err(failed)
    }

    /// A piece of a mailbox, up to that offset; when nothing is left the mailbox itself.
    fn remove_piece(&mut self, mailbox: &Mailbox, last: u64) -> rusqlite::Result<Removal> {
        let deleted = retention::delete(&self.connection, &mut self.sizes, mailbox.id, last)?;
        self.published.put(&mailbox.name, self.sizes.of(mailbox.id));
        if deleted == retention::PIECE as usize {
            return Ok(Removal::More(last));
        }
        if mailbox.last > last {
            return Ok(Removal::Refilled);
        }
        let transaction = self.connection.unchecked_transaction()?;
        cursors::remove(&transaction, &mailbox.name, None)?;
        transaction
            .prepare_cached("DELETE FROM age WHERE mailbox = ?1")?
            .execute([mailbox.id])?;
        transaction
            .prepare_cached("INSERT OR IGNORE INTO removed(mailbox) VALUES (?1)")?
            .execute([mailbox.id])?;
        transaction.commit()?;
        self.mailboxes.remove(mailbox.id);
        self.published.remove(&mailbox.name);
        Ok(Removal::Done)
    }

    /// What is left is for reading: readers write into the index of the log, through memory, and where a file system then
    /// finds no room for the page (a quota on btrfs) the process would end by a signal.
    fn note_no_room(&mut self) {
        self.short_of_room = true;
        self.checkpointer.pause(true);
        data_directory::give_up_spare(&self.path);
    }

    /// Whether it is so still. There is room again when there is enough for the spare file, and more.
    fn is_short_of_room(&mut self) -> bool {
        if !self.short_of_room {
            return false;
        }
        self.short_of_room = data_directory::keep_spare(&self.path).is_err() || has_no_room(&self.path);
        if self.short_of_room {
            data_directory::give_up_spare(&self.path);
        } else {
            self.checkpointer.pause(false);
        }
        self.short_of_room
    }

    /// After a failed commit: if nothing of it remains and the reason was a full disk, the store goes on.
    fn recover(
        &mut self,
        error: rusqlite::Error,
        batches: usize,
        cursors: usize,
    ) -> Result<Committed, StoreError> {
        // SQLite may have rolled back by itself already.
        let rolled_back =
            self.connection.is_autocommit() || self.connection.execute_batch("ROLLBACK").is_ok();
        self.producers.forget();
        if rolled_back && is_full(&error, &self.path) && self.load_mailboxes().is_ok() {
            tracing::warn!("the disk is full, nothing was stored");
            self.note_no_room();
            return Ok(Draft::nothing(batches, cursors, TemporaryCode::Full).after_commit([]));
        }
        self.poisoned = true;
        Err(failed(error))
    }
}

impl Store for SqliteStore {
    fn id(&self) -> [u8; 16] {
        self.id
    }

    fn durability(&self) -> Durability {
        self.options.durability.max(Durability::Os)
    }

    fn commit(
        &mut self,
        batches: &[Batch],
        cursors: &[CursorChange],
        time: i64,
    ) -> Result<Committed, StoreError> {
        self.check_poison()?;
        let displaced =
            || Draft::nothing(batches.len(), cursors.len(), TemporaryCode::Displaced).after_commit([]);
        if self.displaced || !self.lock.is_in_place() {
            return Ok(displaced());
        }
        // Cursors may move in the room that is kept free: reading is what helps.
        let mut shortage = data_directory::shortage(folder_of(&self.path));
        shortage.for_all |= self.is_short_of_room();
        if shortage.for_all && cursors.is_empty() {
            return Ok(Draft::nothing(batches.len(), 0, TemporaryCode::Full).after_commit([]));
        }
        let committed = match self.try_commit(batches, cursors, shortage, time) {
            Ok(committed) => committed,
            Err(error) => return self.recover(error, batches.len(), cursors.len()),
        };
        // After the commit, too: no receipt is given for what went to a file that nobody will read again.
        if !self.lock.is_in_place() {
            return Ok(displaced());
        }
        // The batches are safe whatever becomes of the log; a failure here poisons what comes next.
        if let Err(error) = self.checkpointer.after_commit(&self.connection) {
            tracing::error!(%error, "a checkpoint failed");
            self.poisoned = true;
        }
        Ok(committed)
    }

    fn high_water_mark(&mut self, sender: &Sender, producer: ProducerId) -> Result<u64, StoreError> {
        self.check_poison()?;
        Ok(producers::state(&self.connection, sender, producer)
            .map_err(failed)?
            .map_or(0, |state| state.high_water_mark))
    }

    fn forgotten_high_water_mark(
        &mut self,
        sender: &Sender,
        producer: ProducerId,
    ) -> Result<u64, StoreError> {
        self.check_poison()?;
        producers::forgotten_high_water_mark(&self.connection, sender, producer).map_err(failed)
    }

    fn replay(
        &mut self,
        sender: &Sender,
        producer: ProducerId,
        after: u64,
        most: usize,
    ) -> Result<Stored, StoreError> {
        self.check_poison()?;
        let Some(state) = producers::state(&self.connection, sender, producer).map_err(failed)? else {
            return Ok(ledger::replay(&self.mailboxes, [], after, most));
        };
        let mut runs = producers::runs_above(&self.connection, state.row, after, most).map_err(failed)?;
        runs.extend(state.last_run);
        Ok(ledger::replay(&self.mailboxes, runs, after, most))
    }

    fn finish(&mut self, sender: &Sender, producers: &[ProducerId]) -> Result<bool, StoreError> {
        self.check_poison()?;
        let hours = self.hours.now();
        let finished = self.producers.finish(&self.connection, sender, producers, hours);
        self.unless_full(finished.map(|()| true), false)
    }

    fn remove_mailbox(&mut self, mailbox: &MailboxName, last: Option<u64>) -> Result<Removal, StoreError> {
        self.check_poison()?;
        let Some(found) = self.mailboxes.get(mailbox).cloned() else {
            return Ok(Removal::Absent);
        };
        let removal = self.remove_piece(&found, last.unwrap_or(found.last));
        self.unless_full(removal, Removal::Full)
    }

    fn remove_cursor(&mut self, mailbox: &MailboxName, name: &CursorName) -> Result<Removal, StoreError> {
        self.check_poison()?;
        let removed = cursors::remove(&self.connection, mailbox, Some(name));
        let removal = removed.map(|count| match count {
            0 => Removal::Absent,
            _ => Removal::Done,
        });
        self.unless_full(removal, Removal::Full)
    }

    fn verify(&mut self) -> Result<(), StoreError> {
        self.check_poison()?;
        // Its log may be gone without it.
        let has_log = std::fs::metadata(log_of(&self.path)).is_ok();
        self.displaced = !has_log || !self.lock.is_in_place() || !self.lock.is_ours();
        if self.displaced {
            return Err(StoreError::Displaced(self.path.clone()));
        }
        self.empty_cache()
    }

    fn tidy(&mut self) -> Result<bool, StoreError> {
        self.check_poison()?;
        let tidied = self.tidy_up();
        self.unless_full(tidied, false)
    }

    fn tidy_under_load(&mut self) -> Result<bool, StoreError> {
        self.check_poison()?;
        let hours = self.hours.now();
        let deleted = self.delete_old(hours, false);
        self.unless_full(deleted, false)
    }

    fn readers(&self) -> Readers {
        let (path, clock) = (self.path.clone(), self.hours.clock());
        let published = Arc::clone(&self.published);
        let place = self.lock.place().cloned();
        Readers::new(move || {
            let reader = SqliteReader::open(&path, Arc::clone(&published), clock);
            // Another store in the place of this one is not to be taken for it.
            if place.as_ref().is_some_and(|place| !place.holds()) {
                return Err(ReadError::Displaced(path.clone()));
            }
            Ok(Box::new(reader.map_err(|error| ReadError::Failed(error.into()))?))
        })
    }
}

fn failed(error: rusqlite::Error) -> StoreError {
    StoreError::Failed(error.into())
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
