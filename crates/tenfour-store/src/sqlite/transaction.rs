//! One transaction under way: what the ledger has decided becomes rows.

use std::collections::HashSet;
use std::rc::Rc;

use rusqlite::{CachedStatement, Connection, OptionalExtension, ToSql};
use tenfour_proto::{Message, Reply};

use super::columns::message_key;
use super::producers::Producers;
use super::sizes::Sizes;
use super::{cursors, dead_letters, producers, replies};
use crate::Batch;
use crate::checksum::Prefix;
use crate::cursor::CursorChange;
use crate::ledger::{Comparison, Engine, Letter, Need, Opened, PlacedRun, ProducerState, Question};
use crate::policy::Policy;
use crate::quota::cost;
use crate::source_word::source_word;

/// Rows of one INSERT statement. With small messages 32 are 7 to 17 % faster than one; more gain nothing.
const ROWS: usize = 32;

/// One transaction under way.
pub(super) struct Transaction<'a> {
    connection: &'a Connection,
    producers: &'a mut Producers,
    now: Now,
    /// Number of the producer whose batch is walked through.
    producer: i64,
    prefix: Option<(Prefix, bool)>,
    source: Option<Rc<str>>,
    rows: Vec<Row<'a>>,
    sorted: bool,
    sizes: &'a mut Sizes,
    /// Mailboxes that take nothing of strangers.
    closed: &'a HashSet<i64>,
    /// The sender of the batch showed no key.
    is_synthetic: bool,
    /// Counted, and not in the sizes yet.
    grown: MailboxGrowth,
}

/// When it is, and whether there is room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// By the wall clock, in microseconds.
    pub(super) time: i64,
    /// By the store's own.
    pub(super) hours: i64,
    /// The disk has no room.
    pub(super) is_full: bool,
    /// It has none for those who show no key: what is left is for the others.
    pub(super) is_full_for_synthetic: bool,
}

/// Messages of a stretch for one mailbox.
#[derive(Clone, Copy, Debug, Default)]
struct MailboxGrowth {
    mailbox: i64,
    last: u64,
    bytes: u64,
    /// What they cost, if their sender showed no key.
    synthetic: u64,
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

impl<'a> Engine<'a> for Transaction<'a> {
    type Error = rusqlite::Error;

    fn has_room(&mut self, _need: Need, is_synthetic: bool) -> bool {
        !(self.now.is_full || is_synthetic && self.now.is_full_for_synthetic)
    }

    fn synthetic_bytes(&mut self) -> u64 {
        self.count_grown();
        self.sizes.synthetic()
    }

    fn closed_to_synthetic(&self) -> &HashSet<i64> {
        self.closed
    }

    fn open_producer(&mut self, batch: &'a Batch, policy: Policy) -> rusqlite::Result<Opened> {
        let (sender, producer) = (&batch.sender, batch.producer_id());
        let known = self
            .producers
            .open(self.connection, sender, producer, policy, self.now.hours)?;
        let Some(known) = known else {
            return Ok(Opened::TooMany);
        };
        self.producer = known.state.row;
        self.source = source_word(&batch.source).map(Rc::from);
        self.prefix = Some((known.prefix.clone(), batch.producer.is_some()));
        self.is_synthetic = batch.sender.is_synthetic();
        Ok(Opened::Open(known.state))
    }

    fn save_producer(&mut self, batch: &'a Batch, state: ProducerState) -> rusqlite::Result<()> {
        let hours = self.now.hours;
        let Some(known) = self.producers.known(&batch.sender, batch.producer_id()) else {
            return Ok(());
        };
        if known.state.high_water_mark != state.high_water_mark || known.used != hours {
            producers::save(self.connection, &state, hours)?;
            known.used = hours;
            known.state = state;
        }
        Ok(())
    }

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
        if self.is_synthetic {
            self.grown.synthetic += cost(sequence, message);
        }
        let key = message_key(mailbox, offset);
        self.sorted &= self.rows.last().is_none_or(|last| last.key < key);
        self.rows.push(Row {
            key,
            producer: self.producer,
            sequence: sequence as i64,
            checksum: prefix.of(
                offset,
                sequence,
                self.now.time,
                self.source.as_deref(),
                None,
                message,
            ),
            source: self.source.clone(),
            message,
        });
    }

    fn keep_run(&mut self, producer: i64, run: PlacedRun) -> rusqlite::Result<()> {
        producers::keep_run(self.connection, producer, run)
    }

    fn earlier_run(&mut self, producer: i64, sequence: u64) -> rusqlite::Result<Option<PlacedRun>> {
        producers::earlier_run(self.connection, producer, sequence)
    }

    fn compare(&mut self, mailbox: i64, offset: u64, message: &Message) -> rusqlite::Result<Comparison> {
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

    fn end_messages(&mut self) -> rusqlite::Result<()> {
        self.write_rows()?;
        self.count_grown();
        Ok(())
    }

    fn has_cursor(&mut self, change: &CursorChange) -> rusqlite::Result<bool> {
        cursors::exists(self.connection, &change.mailbox, &change.name)
    }

    fn count_cursors(&mut self) -> rusqlite::Result<usize> {
        cursors::count(self.connection)
    }

    fn move_cursor(&mut self, change: &CursorChange) -> rusqlite::Result<()> {
        cursors::advance(self.connection, change, self.now.hours)
    }

    fn letter(
        &mut self,
        change: &CursorChange,
        mailbox: i64,
        offset: u64,
    ) -> rusqlite::Result<Option<Letter>> {
        dead_letters::letter(self.connection, change, message_key(mailbox, offset))
    }

    fn bury(&mut self, mailbox: i64, offset: u64, letter: Letter) -> rusqlite::Result<()> {
        let bytes = letter.message.body.len() as u64;
        let synthetic = if letter.is_synthetic {
            cost(letter.sequence, &letter.message)
        } else {
            0
        };
        self.sizes.add(mailbox, offset, bytes, synthetic);
        dead_letters::bury(self.connection, mailbox, offset, &letter, self.now.time)
    }

    fn question(&mut self, mailbox: i64, offset: u64) -> rusqlite::Result<Option<Question>> {
        replies::question(self.connection, message_key(mailbox, offset))
    }

    fn keep_reply(&mut self, question: &Question, reply: &Reply) -> rusqlite::Result<bool> {
        replies::keep(self.connection, question, reply, self.now.hours)
    }
}

impl MailboxGrowth {
    fn count(self, sizes: &mut Sizes) {
        if self.bytes > 0 || self.last > 0 {
            sizes.add(self.mailbox, self.last, self.bytes, self.synthetic);
        }
    }
}

impl<'a> Transaction<'a> {
    /// For so many messages.
    pub(super) fn new(
        connection: &'a Connection,
        producers: &'a mut Producers,
        sizes: &'a mut Sizes,
        closed: &'a HashSet<i64>,
        messages: usize,
        now: Now,
    ) -> Self {
        Transaction {
            connection,
            producers,
            now,
            producer: 0,
            prefix: None,
            source: None,
            rows: Vec::with_capacity(messages),
            sorted: true,
            sizes,
            closed,
            is_synthetic: false,
            grown: MailboxGrowth::default(),
        }
    }

    fn count_grown(&mut self) {
        std::mem::take(&mut self.grown).count(self.sizes);
    }

    fn write_rows(&mut self) -> rusqlite::Result<()> {
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
                insert(statement, rows, self.now.time, words)?;
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
