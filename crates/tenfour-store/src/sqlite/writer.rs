//! The one writer of a store on disk.

use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use rusqlite::{CachedStatement, Connection, OptionalExtension, ToSql};
use tenfour_proto::native::StreamKind;
use tenfour_proto::{
    CursorName, Durability, MailboxName, Message, Reply, Sender, Settlement, StreamId, TemporaryCode,
};

use super::checkpoint::Checkpointer;
use super::open::{SqliteOptions, folder_of, open};
use super::reader::SqliteReader;
use super::sizes::{self, Sizes};
use super::streams::{self, Streams};
use super::{LAST_OFFSET, cursors, message_key, replies, source_word};
use crate::batch::{Batch, Committed, Outcome, Stored};
use crate::bench_mailbox::{self, Ages, is_bench};
use crate::checksum::Prefix;
use crate::cursor::{CursorChange, CursorOutcome, Position};
use crate::deposit::{self, Backend, Comparison, PlacedRun};
use crate::lock::Lock;
use crate::mailboxes::Mailboxes;
use crate::policy::Policy;
use crate::quota::Quota;
use crate::{OpenError, Reader, Store, StoreError, place};

/// Rows of one INSERT statement. With small messages 32 are 7 to 17 % faster than one; more gain nothing.
const ROWS: usize = 32;

/// Rows deleted at once: a few milliseconds, for which a message may have to wait.
const TIDY: u32 = 2_000;

/// Memory for the writer's pages, in KiB: the tail of every busy mailbox.
const CACHE_KIB: i64 = 16 * 1024;

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
    streams: Streams,
    /// Senders without a key may hold so many bytes.
    quota: Quota,
    /// Number of the mailbox -> what it holds of `tenfour bench`.
    bench: HashMap<i64, Ages>,
    hours: Hours,
    poisoned: bool,
    _lock: Lock,
}

impl SqliteStore {
    /// Opens the store at `path`, or makes it. Returns only after everything readable in it is on
    /// stable storage: nothing recovered after a crash is served before.
    pub fn open(path: impl Into<PathBuf>, options: SqliteOptions) -> Result<Self, OpenError> {
        let path = path.into();
        let opened = open(&path, options)?;
        let mut connection = opened.connection;
        let sqlite = |source| OpenError::Sqlite {
            path: path.clone(),
            source,
        };
        super::open::configure(&connection, options).map_err(sqlite)?;
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
            quota: Quota::new(
                options
                    .anonymous_quota
                    .unwrap_or_else(|| place::usual_quota(folder_of(&path))),
            ),
            streams: Streams::default(),
            bench: HashMap::new(),
            hours: Hours::start(&connection).map_err(sqlite)?,
            poisoned: false,
            connection,
            path: path.clone(),
            _lock: opened.lock,
        };
        store.load_mailboxes().map_err(sqlite)?;
        store.bench = store
            .mailboxes
            .iter()
            .filter(|mailbox| is_bench(&mailbox.name))
            .map(|mailbox| (mailbox.id, Ages::opened(mailbox.last)))
            .collect();
        Ok(store)
    }

    fn load_mailboxes(&mut self) -> rusqlite::Result<()> {
        self.mailboxes = Mailboxes::default();
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT id, name, {LAST_OFFSET} FROM mailbox ORDER BY id"
        ))?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            let name = row.get_ref(1)?.as_str()?.parse().map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(error))
            })?;
            self.mailboxes
                .load(row.get(0)?, name, row.get::<_, i64>(2)? as u64);
        }
        self.sizes = Sizes::load(&self.connection)?;
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
        full: bool,
        time: i64,
    ) -> Result<Committed, StoreError> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
        let mut work = Work {
            connection: &self.connection,
            time,
            stream: 0,
            prefix: None,
            source: None,
            rows: Vec::with_capacity(batches.iter().map(|batch| batch.messages.len()).sum()),
            sorted: true,
            sizes: &mut self.sizes,
            is_pseudo: false,
            grown: Grown::default(),
        };
        let hours = self.hours.now();
        let mut outcomes = Vec::with_capacity(batches.len());
        for batch in batches {
            if full {
                outcomes.push(Outcome::NotNow(TemporaryCode::Full));
                continue;
            }
            let (stream, kind) = batch
                .stream
                .unwrap_or((StreamId::from_bytes([0; 16]), StreamKind::OneShot));
            work.is_pseudo = batch.sender.is_pseudo();
            if work.is_pseudo && !self.quota.has_room(work.pseudo(), batch) {
                outcomes.push(Outcome::NotNow(TemporaryCode::Full));
                continue;
            }
            let policy = Policy::of(&batch.sender, kind);
            let Some(known) = self
                .streams
                .open(&self.connection, &batch.sender, stream, policy, hours)?
            else {
                outcomes.push(Outcome::NotNow(TemporaryCode::Busy));
                continue;
            };
            work.stream = known.state.row;
            work.source = source_word(&batch.source).map(Rc::from);
            work.prefix = Some((known.prefix.clone(), batch.stream.is_some()));
            let state = batch.stream.is_some().then_some(&mut known.state);
            let before = state.as_ref().map(|state| state.mark);
            let settlement = deposit::deposit(
                &mut work,
                &mut self.mailboxes,
                state,
                policy.in_turn,
                &batch.messages,
            )?;
            // A repeat is a use, too.
            if before.is_some_and(|before| before != known.state.mark || known.used != hours) {
                streams::save(&self.connection, &known.state, hours)?;
                known.used = hours;
            }
            outcomes.push(Outcome::Settled(Stored::after_commit(settlement)));
        }
        work.write_rows()?;
        work.count_grown();
        let connection = &self.connection;
        let mut answered = Vec::new();
        let cursors = changes
            .iter()
            .map(|change| {
                let outcome = cursors::change(
                    connection,
                    &mut self.mailboxes,
                    &mut self.sizes,
                    change,
                    full,
                    hours,
                    time,
                )?;
                if outcome == CursorOutcome::Moved {
                    replies::put_all(connection, &self.mailboxes, change, hours, &mut answered)?;
                }
                Ok(outcome)
            })
            .collect::<Result<_, StoreError>>()?;
        let raised = self.mailboxes.take_raised();
        for mailbox in raised.iter().filter(|mailbox| mailbox.is_new) {
            self.connection
                .prepare_cached(
                    "INSERT INTO mailbox(id, name, last, bytes, pseudo, counted) VALUES (?1, ?2, 0, 0, 0, 0)",
                )?
                .execute((mailbox.id, mailbox.name.as_str()))?;
        }
        self.sizes.save(&self.connection)?;
        self.hours.save(&self.connection)?;
        self.connection.prepare_cached("COMMIT")?.execute(())?;
        for mailbox in raised.iter().filter(|mailbox| is_bench(&mailbox.name)) {
            let bytes = batches
                .iter()
                .flat_map(|batch| &batch.messages)
                .filter(|(_, message)| message.mailbox == mailbox.name)
                .map(|(_, message)| message.body.len() as u64)
                .sum();
            let share = bench_mailbox::LIMIT / (self.bench.len() as u64).max(1);
            self.bench
                .entry(mailbox.id)
                .or_default()
                .note(mailbox.last, bytes, share);
        }
        Ok(Committed {
            outcomes,
            cursors,
            answered,
            raised: raised
                .into_iter()
                .map(|mailbox| (mailbox.name, mailbox.last))
                .collect(),
        })
    }

    fn tidy_up(&mut self) -> rusqlite::Result<bool> {
        let hours = self.hours.now();
        self.sizes.tidy(&self.connection)?;
        Ok(self.streams.sweep(&self.connection, hours)?
            | replies::sweep(&self.connection, hours)?
            | self.delete_expendable()?)
    }

    /// Deletes a piece of what `tenfour bench` left; true when there is more.
    fn delete_expendable(&mut self) -> rusqlite::Result<bool> {
        for (mailbox, ages) in &mut self.bench {
            if ages.expendable == 0 {
                continue;
            }
            let transaction = self.connection.unchecked_transaction()?;
            // The offset of the last message must outlive it.
            transaction
                .prepare_cached("UPDATE mailbox SET last = ?2 WHERE id = ?1 AND last < ?2")?
                .execute((*mailbox, ages.expendable as i64))?;
            let (first, last) = (message_key(*mailbox, 0), message_key(*mailbox, ages.expendable));
            let (bytes, pseudo) = sizes::of_oldest(&transaction, first, last, TIDY)?;
            self.sizes.delete(&transaction, *mailbox, bytes, pseudo)?;
            let deleted = transaction
                .prepare_cached(
                    "DELETE FROM message WHERE id IN
                     (SELECT id FROM message WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3)",
                )?
                .execute((first, last, TIDY))?;
            transaction.commit()?;
            self.checkpointer.after_commit(&self.connection)?;
            if deleted == TIDY as usize {
                return Ok(true);
            }
            ages.expendable = 0;
        }
        Ok(false)
    }

    /// After a failed commit: if nothing of it remains and the reason was a full disk, the store goes on.
    fn recover(
        &mut self,
        error: StoreError,
        batches: usize,
        cursors: usize,
    ) -> Result<Committed, StoreError> {
        let full = matches!(&error, StoreError::Failed(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull));
        // SQLite may have rolled back by itself already.
        let rolled_back =
            self.connection.is_autocommit() || self.connection.execute_batch("ROLLBACK").is_ok();
        self.streams.forget();
        if full && rolled_back && self.load_mailboxes().is_ok() {
            tracing::warn!("the disk is full, nothing was stored");
            return Ok(Committed {
                outcomes: vec![Outcome::NotNow(TemporaryCode::Full); batches],
                cursors: vec![CursorOutcome::NotNow; cursors],
                ..Committed::default()
            });
        }
        self.poisoned = true;
        Err(error)
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
        // Cursors may move in the room that is kept free: reading is what helps.
        let full = place::is_full(folder_of(&self.path));
        if full && cursors.is_empty() {
            return Ok(Committed {
                outcomes: vec![Outcome::NotNow(TemporaryCode::Full); batches.len()],
                ..Committed::default()
            });
        }
        let committed = match self.try_commit(batches, cursors, full, time) {
            Ok(committed) => committed,
            Err(error) => return self.recover(error, batches.len(), cursors.len()),
        };
        // The batches are safe whatever becomes of the log; a failure here poisons what comes next.
        if let Err(error) = self.checkpointer.after_commit(&self.connection) {
            tracing::error!(%error, "a checkpoint failed");
            self.poisoned = true;
        }
        Ok(committed)
    }

    fn cursor(&mut self, mailbox: &MailboxName, name: &CursorName) -> Result<Option<Position>, StoreError> {
        self.check_poison()?;
        Ok(cursors::position(&self.connection, mailbox, name)?)
    }

    fn sizes(&self) -> Vec<(MailboxName, u64)> {
        self.mailboxes
            .iter()
            .map(|mailbox| (mailbox.name.clone(), self.sizes.of(mailbox.id)))
            .collect()
    }

    fn reply(
        &mut self,
        sender: &Sender,
        stream: StreamId,
        sequence: u64,
    ) -> Result<Option<Reply>, StoreError> {
        self.check_poison()?;
        let hours = self.hours.now();
        Ok(replies::find(&self.connection, sender, stream, sequence, hours)?)
    }

    fn mark(&mut self, sender: &Sender, stream: StreamId) -> Result<u64, StoreError> {
        self.check_poison()?;
        Ok(streams::state(&self.connection, sender, stream)?.map_or(0, |state| state.mark))
    }

    fn replay(
        &mut self,
        sender: &Sender,
        stream: StreamId,
        after: u64,
        most: usize,
    ) -> Result<Settlement, StoreError> {
        self.check_poison()?;
        let Some(state) = streams::state(&self.connection, sender, stream)? else {
            return Ok(deposit::replay(&self.mailboxes, [], after, most));
        };
        let mut runs = streams::runs_above(&self.connection, state.row, after, most)?;
        runs.extend(state.last_run);
        Ok(deposit::replay(&self.mailboxes, runs, after, most))
    }

    fn tidy(&mut self) -> Result<bool, StoreError> {
        self.check_poison()?;
        match self.tidy_up() {
            // What cannot be deleted for want of room is deleted later.
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) => Ok(false),
            // A flush or a write that failed: what the disk holds is not known any more.
            Err(error) => {
                self.poisoned = true;
                Err(StoreError::Failed(error))
            }
            Ok(more) => Ok(more),
        }
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(
            SqliteReader::open(&self.path).map_err(StoreError::Failed)?,
        ))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::Failed(error)
    }
}

/// One transaction under way.
struct Work<'a> {
    connection: &'a Connection,
    time: i64,
    /// Number of the stream whose batch is walked through.
    stream: i64,
    prefix: Option<(Prefix, bool)>,
    source: Option<Rc<str>>,
    rows: Vec<Row<'a>>,
    sorted: bool,
    sizes: &'a mut Sizes,
    /// The sender of the batch showed no key.
    is_pseudo: bool,
    /// Counted, and not in the sizes yet.
    grown: Grown,
}

/// Messages of a stretch for one mailbox.
#[derive(Clone, Copy, Debug, Default)]
struct Grown {
    mailbox: i64,
    last: u64,
    bytes: u64,
    is_pseudo: bool,
}

/// A message on its way into the table.
struct Row<'a> {
    key: i64,
    stream: i64,
    sequence: i64,
    checksum: u32,
    source: Option<Rc<str>>,
    message: &'a Message,
}

impl<'a> Backend<'a> for Work<'a> {
    fn append(&mut self, mailbox: i64, offset: u64, sequence: u64, message: &'a Message) {
        let Some((prefix, numbered)) = &self.prefix else {
            return;
        };
        let sequence = if *numbered { sequence } else { 0 };
        if (self.grown.mailbox, self.grown.is_pseudo) != (mailbox, self.is_pseudo) {
            let new = Grown {
                mailbox,
                is_pseudo: self.is_pseudo,
                ..Grown::default()
            };
            let old = std::mem::replace(&mut self.grown, new);
            old.count(self.sizes);
        }
        self.grown.last = offset;
        self.grown.bytes += message.body.len() as u64;
        let key = message_key(mailbox, offset);
        self.sorted &= self.rows.last().is_none_or(|last| last.key < key);
        self.rows.push(Row {
            key,
            stream: self.stream,
            sequence: sequence as i64,
            checksum: prefix.of(offset, sequence, self.time, self.source.as_deref(), None, message),
            source: self.source.clone(),
            message,
        });
    }

    fn keep_run(&mut self, stream: i64, run: PlacedRun) -> Result<(), StoreError> {
        Ok(streams::keep_run(self.connection, stream, run)?)
    }

    fn earlier_run(&mut self, stream: i64, sequence: u64) -> Result<Option<PlacedRun>, StoreError> {
        Ok(streams::earlier_run(self.connection, stream, sequence)?)
    }

    fn compare(&mut self, mailbox: i64, offset: u64, message: &Message) -> Result<Comparison, StoreError> {
        // What it is compared with may be part of this very transaction.
        self.write_rows()?;
        let same = self
            .connection
            .prepare_cached("SELECT type IS ?2 AND name IS ?3 AND body IS ?4 AND ifnull(asks, 0) = ?5 FROM message WHERE id = ?1")?
            .query_row(
                (
                    message_key(mailbox, offset),
                    message.content_type.as_ref().map(|t| t.as_str()),
                    message.name.as_ref().map(|n| n.as_str()),
                    &message.body[..],
                    message.asks,
                ),
                |row| row.get::<_, bool>(0),
            )
            .optional()?;
        Ok(match same {
            Some(true) => Comparison::Same,
            Some(false) => Comparison::Different,
            None => Comparison::Gone,
        })
    }
}

impl Grown {
    fn count(self, sizes: &mut Sizes) {
        if self.bytes > 0 || self.last > 0 {
            sizes.add(self.mailbox, self.last, self.bytes, self.is_pseudo);
        }
    }
}

impl Work<'_> {
    fn count_grown(&mut self) {
        std::mem::take(&mut self.grown).count(self.sizes);
    }

    /// Bytes of senders without a key, with those of this commit.
    fn pseudo(&mut self) -> u64 {
        self.count_grown();
        self.sizes.pseudo()
    }

    fn write_rows(&mut self) -> Result<(), StoreError> {
        if !self.sorted {
            // Rows in the order of the table: each mailbox's tail is touched once.
            self.rows.sort_unstable_by_key(|row| row.key);
            self.sorted = true;
        }
        let prepare = |rows, words| self.connection.prepare_cached(insert_sql(rows, words));
        let mut many = [prepare(ROWS, false)?, prepare(ROWS, true)?];
        let mut one = [prepare(1, false)?, prepare(1, true)?];
        for chunk in self.rows.chunks(ROWS) {
            let words = chunk.iter().any(Row::has_words);
            let [plain, worded] = if chunk.len() == ROWS { &mut many } else { &mut one };
            let statement = if words { worded } else { plain };
            let at_once = if chunk.len() == ROWS { ROWS } else { 1 };
            for rows in chunk.chunks(at_once) {
                insert(statement, rows, self.time, words)?;
            }
        }
        self.rows.clear();
        Ok(())
    }
}

/// The statement for so many rows; most messages have none of the columns that may be empty. A failure ends the
/// transaction, so SQLite need not be able to take back the statement alone.
fn insert_sql(rows: usize, words: bool) -> &'static str {
    use std::sync::OnceLock;
    static SQL: [OnceLock<String>; 4] = [const { OnceLock::new() }; 4];
    let [one, one_with_words, many, many_with_words] = &SQL;
    let slot = match (rows, words) {
        (1, false) => one,
        (1, true) => one_with_words,
        (_, false) => many,
        (_, true) => many_with_words,
    };
    slot.get_or_init(|| {
        let (more, columns) = if words {
            (", source, type, name, asks", 10)
        } else {
            ("", 6)
        };
        let row = format!("({})", vec!["?"; columns].join(","));
        format!(
            "INSERT OR ROLLBACK INTO message(id, stream, sequence, time, checksum, body{more}) VALUES {}",
            vec![row; rows].join(",")
        )
    })
}

impl Row<'_> {
    fn has_words(&self) -> bool {
        let message = self.message;
        self.source.is_some() || message.content_type.is_some() || message.name.is_some() || message.asks
    }
}

fn insert(
    statement: &mut CachedStatement<'_>,
    rows: &[Row<'_>],
    time: i64,
    words: bool,
) -> rusqlite::Result<()> {
    let mut index = 0;
    let mut bind = |value: &dyn ToSql| {
        index += 1;
        statement.raw_bind_parameter(index, value)
    };
    for row in rows {
        bind(&row.key)?;
        bind(&row.stream)?;
        bind(&row.sequence)?;
        bind(&time)?;
        bind(&row.checksum)?;
        bind(&&row.message.body[..])?;
        if words {
            bind(&row.source.as_deref())?;
            bind(&row.message.content_type.as_ref().map(|t| t.as_str()))?;
            bind(&row.message.name.as_ref().map(|n| n.as_str()))?;
            bind(&row.message.asks.then_some(1))?;
        }
    }
    statement.raw_execute()?;
    Ok(())
}

/// How long the store has been open, over all its openings. The age of streams counts in these hours,
/// so that a clock set forward by a year forgets nobody.
struct Hours {
    before: i64,
    opened: Instant,
    saved: i64,
}

impl Hours {
    fn start(connection: &Connection) -> rusqlite::Result<Self> {
        let before = connection.query_row("SELECT hours FROM store", (), |row| row.get(0))?;
        Ok(Hours {
            before,
            opened: Instant::now(),
            saved: before,
        })
    }

    fn now(&self) -> i64 {
        self.before + i64::try_from(self.opened.elapsed().as_secs() / 3600).unwrap_or(0)
    }

    fn save(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let now = self.now();
        if now != self.saved {
            connection.execute("UPDATE store SET hours = ?1", [now])?;
            self.saved = now;
        }
        Ok(())
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
