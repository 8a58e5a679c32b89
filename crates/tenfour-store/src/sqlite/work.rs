//! One transaction under way: the rows of its messages.

use std::rc::Rc;

use rusqlite::{CachedStatement, Connection, OptionalExtension, ToSql};
use tenfour_proto::Message;

use super::columns::{message_key, source_word};
use super::producers;
use super::sizes::Sizes;
use crate::checksum::Prefix;
use crate::deposit::{Backend, Comparison, PlacedRun};
use crate::{Batch, StoreError};

/// Rows of one INSERT statement. With small messages 32 are 7 to 17 % faster than one; more gain nothing.
const ROWS: usize = 32;

/// One transaction under way.
pub(super) struct CommitBatch<'a> {
    connection: &'a Connection,
    time: i64,
    /// Number of the producer whose batch is walked through.
    producer: i64,
    prefix: Option<(Prefix, bool)>,
    source: Option<Rc<str>>,
    rows: Vec<Row<'a>>,
    sorted: bool,
    sizes: &'a mut Sizes,
    /// The sender of the batch showed no key.
    is_synthetic: bool,
    /// Counted, and not in the sizes yet.
    grown: MailboxGrowth,
}

/// Messages of a stretch for one mailbox.
#[derive(Clone, Copy, Debug, Default)]
struct MailboxGrowth {
    mailbox: i64,
    last: u64,
    bytes: u64,
    is_synthetic: bool,
}

/// A message on its way into the table.
struct Row<'a> {
    key: i64,
    producer: i64,
    sequence: i64,
    checksum: u32,
    source: Option<Rc<str>>,
    message: &'a Message,
}

impl<'a> Backend<'a> for CommitBatch<'a> {
    fn append(&mut self, mailbox: i64, offset: u64, sequence: u64, message: &'a Message) {
        let Some((prefix, numbered)) = &self.prefix else {
            return;
        };
        let sequence = if *numbered { sequence } else { 0 };
        if (self.grown.mailbox, self.grown.is_synthetic) != (mailbox, self.is_synthetic) {
            let new = MailboxGrowth {
                mailbox,
                is_synthetic: self.is_synthetic,
                ..MailboxGrowth::default()
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
            producer: self.producer,
            sequence: sequence as i64,
            checksum: prefix.of(offset, sequence, self.time, self.source.as_deref(), None, message),
            source: self.source.clone(),
            message,
        });
    }

    fn keep_run(&mut self, producer: i64, run: PlacedRun) -> Result<(), StoreError> {
        Ok(producers::keep_run(self.connection, producer, run)?)
    }

    fn earlier_run(&mut self, producer: i64, sequence: u64) -> Result<Option<PlacedRun>, StoreError> {
        Ok(producers::earlier_run(self.connection, producer, sequence)?)
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

impl MailboxGrowth {
    fn count(self, sizes: &mut Sizes) {
        if self.bytes > 0 || self.last > 0 {
            sizes.add(self.mailbox, self.last, self.bytes, self.is_synthetic);
        }
    }
}

impl<'a> CommitBatch<'a> {
    /// For so many messages, at this time by the wall clock.
    pub(super) fn new(connection: &'a Connection, sizes: &'a mut Sizes, messages: usize, time: i64) -> Self {
        CommitBatch {
            connection,
            time,
            producer: 0,
            prefix: None,
            source: None,
            rows: Vec::with_capacity(messages),
            sorted: true,
            sizes,
            is_synthetic: false,
            grown: MailboxGrowth::default(),
        }
    }

    /// What comes now is of this batch, in this producer.
    pub(super) fn begin(&mut self, batch: &Batch, producer: i64, prefix: &Prefix) {
        self.producer = producer;
        self.source = source_word(&batch.source).map(Rc::from);
        self.prefix = Some((prefix.clone(), batch.producer.is_some()));
        self.is_synthetic = batch.sender.is_synthetic();
    }

    pub(super) fn count_grown(&mut self) {
        std::mem::take(&mut self.grown).count(self.sizes);
    }

    /// Bytes of senders without a key, with those of this commit.
    pub(super) fn synthetic(&mut self) -> u64 {
        self.count_grown();
        self.sizes.synthetic()
    }

    pub(super) fn write_rows(&mut self) -> Result<(), StoreError> {
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
        bind(&row.producer)?;
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
