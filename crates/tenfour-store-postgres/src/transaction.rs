//! One transaction under way: what the ledger has decided becomes rows.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use tenfour_proto::{CursorName, MailboxName, Message, ProducerId, Reply, Sender};
use tenfour_store::ledger::{
    Comparison, Engine, Letter, Need, Opened, PlacedRun, Policy, Prefix, ProducerState, Question, cost,
    source_word,
};
use tenfour_store::{Batch, CursorChange};
use tokio_postgres::Row;

use crate::error::Trouble;
use crate::pack::{Entry, Pack, Stored};
use crate::replies;
use crate::retention::Retention;
use crate::runs::{EARLIER, placed};
use crate::session::Session;
use crate::sizes::Sizes;
use crate::sql::pack_columns;
use crate::streams::Streams;

/// The pack that holds an offset, or the next one.
pub(crate) const PACK_AT: &str = concat!(
    "SELECT ",
    pack_columns!(),
    " FROM pack WHERE mailbox = $1 AND last >= $2 ORDER BY last LIMIT 1"
);

/// What the transaction knows of a producer.
#[derive(Debug)]
pub(crate) struct OpenProducer {
    pub(crate) epoch: i64,
    /// The hour that its row names as the last of its use.
    pub(crate) used: i64,
    pub(crate) state: ProducerState,
    /// Up to this sequence its runs are in the table.
    pub(crate) written: u64,
    pub(crate) is_touched: bool,
    pub(crate) prefix: Prefix,
}

impl OpenProducer {
    pub(crate) fn new(row: i64, prefix: Prefix) -> Self {
        OpenProducer {
            epoch: 0,
            used: 0,
            state: ProducerState {
                row,
                high_water_mark: 0,
                last_run: None,
            },
            written: 0,
            is_touched: false,
            prefix,
        }
    }
}

/// One transaction under way.
pub(crate) struct Transaction<'a> {
    session: &'a Session,
    streams: &'a mut Streams,
    sizes: &'a Sizes,
    retention: &'a Retention,
    time: i64,
    hours: i64,
    /// Those of the batches; of one that is not here its sender has too many.
    pub(crate) producers: HashMap<(Sender, ProducerId), OpenProducer>,
    /// The cursors that are there.
    pub(crate) cursors: HashSet<(MailboxName, CursorName)>,
    cursor_count: Option<usize>,
    /// Of the batch that is walked through.
    current: Option<Current>,
    packs: Vec<Pack>,
    /// The last of each mailbox, by its place in `packs`.
    open: HashMap<i64, usize>,
    runs: Vec<(i64, PlacedRun)>,
    moved: Vec<CursorChange>,
    synthetic: u64,
    /// What was looked at last: repeats come in stretches.
    earlier: Option<(i64, PlacedRun)>,
    looked_at: Option<(i64, Row)>,
}

/// What is the same for all messages of a batch.
struct Current {
    key: (Sender, ProducerId),
    stream: i64,
    prefix: Prefix,
    is_numbered: bool,
    source: Option<Rc<str>>,
    is_synthetic: bool,
}

/// What is to be written.
pub(crate) struct Rows {
    pub(crate) packs: Vec<Pack>,
    pub(crate) runs: Vec<(i64, PlacedRun)>,
    /// Streams that were last used in an earlier hour.
    pub(crate) used: Vec<i64>,
    pub(crate) cursors: Vec<CursorChange>,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(
        session: &'a Session,
        streams: &'a mut Streams,
        sizes: &'a Sizes,
        retention: &'a Retention,
        time: i64,
        hours: i64,
    ) -> Self {
        Transaction {
            session,
            streams,
            sizes,
            retention,
            time,
            hours,
            producers: HashMap::new(),
            cursors: HashSet::new(),
            cursor_count: None,
            current: None,
            packs: Vec::new(),
            open: HashMap::new(),
            runs: Vec::new(),
            moved: Vec::new(),
            synthetic: 0,
            earlier: None,
            looked_at: None,
        }
    }

    /// What is to be written of all this.
    pub(crate) fn into_rows(mut self) -> Rows {
        let mut used = Vec::new();
        for open in self.producers.into_values() {
            if let Some(run) = open.state.last_run.and_then(|run| beyond(run, open.written)) {
                self.runs.push((open.state.row, run));
            }
            if open.is_touched && open.used != self.hours {
                used.push(open.state.row);
            }
        }
        used.sort_unstable();
        Rows {
            packs: self.packs,
            runs: self.runs,
            used,
            cursors: self.moved,
        }
    }

    fn put(&mut self, mailbox: i64, offset: u64, entry: Entry, synthetic: u64) {
        self.synthetic += synthetic;
        let bytes = entry.body.len() as u64;
        let open = self.open.get(&mailbox).copied();
        let open = open.filter(|index| {
            self.packs
                .get(*index)
                .is_some_and(|pack| pack.takes(bytes, synthetic > 0))
        });
        let index = open.unwrap_or_else(|| {
            self.packs.push(Pack::new(mailbox));
            let index = self.packs.len() - 1;
            self.open.insert(mailbox, index);
            index
        });
        if let Some(pack) = self.packs.get_mut(index) {
            pack.push(offset, entry, synthetic);
        }
    }

    /// A message of this very transaction.
    fn pending(&self, mailbox: i64, offset: u64) -> Option<&Entry> {
        // Few are looked for here, and those came last.
        self.packs.iter().rev().find_map(|pack| pack.get(mailbox, offset))
    }

    /// The pack of the table that holds an offset, with its streams known.
    fn look_at(&mut self, mailbox: i64, offset: u64) -> Result<Option<Stored<'_>>, Trouble> {
        let is_here = match &self.looked_at {
            Some((of, row)) if *of == mailbox => {
                let pack = Stored::of(row)?;
                pack.first() <= offset && offset <= pack.last
            }
            _ => false,
        };
        if !is_here {
            let (session, streams) = (self.session, &mut *self.streams);
            let found = session.run(async {
                let statement = session.statement(PACK_AT)?;
                let found = session
                    .client()
                    .query_opt(statement, &[&(mailbox as i32), &(offset as i64)])
                    .await?;
                if let Some(row) = &found {
                    streams.know(session, Stored::of(row)?.streams()).await?;
                }
                Ok(found)
            })?;
            self.looked_at = found.map(|row| (mailbox, row));
        }
        let pack = self
            .looked_at
            .as_ref()
            .map(|(_, row)| Stored::of(row))
            .transpose()?;
        Ok(pack.filter(|pack| pack.first() <= offset))
    }
}

/// What of a run lies beyond a sequence.
fn beyond(run: PlacedRun, written: u64) -> Option<PlacedRun> {
    let first = run.first.max(written + 1);
    let end = run.first + run.count;
    (first < end).then(|| PlacedRun {
        first,
        count: end - first,
        mailbox: run.mailbox,
        offset: run.offset + (first - run.first),
    })
}

impl<'a> Engine<'a> for Transaction<'a> {
    type Error = Trouble;

    fn has_room(&mut self, _need: Need, _is_synthetic: bool) -> bool {
        // The database says when it is full, and then nothing of the transaction is true.
        true
    }

    fn synthetic_bytes(&mut self) -> u64 {
        self.sizes.synthetic() + self.synthetic
    }

    fn closed_to_synthetic(&self) -> &HashSet<i64> {
        self.retention.closed_to_strangers()
    }

    fn open_producer(&mut self, batch: &'a Batch, _policy: Policy) -> Result<Opened, Trouble> {
        let key = (batch.sender.clone(), batch.producer_id());
        let Some(open) = self.producers.get_mut(&key) else {
            return Ok(Opened::TooMany);
        };
        if batch.epoch != 0 && batch.epoch != open.epoch.unsigned_abs() {
            return Ok(Opened::TakenOver);
        }
        open.is_touched = true;
        self.current = Some(Current {
            stream: open.state.row,
            prefix: open.prefix.clone(),
            is_numbered: batch.producer.is_some(),
            source: source_word(&batch.source).map(Rc::from),
            is_synthetic: batch.sender.is_synthetic(),
            key,
        });
        Ok(Opened::Open(open.state))
    }

    fn save_producer(&mut self, batch: &'a Batch, state: ProducerState) -> Result<(), Trouble> {
        let key = (batch.sender.clone(), batch.producer_id());
        if let Some(open) = self.producers.get_mut(&key) {
            open.state = state;
        }
        Ok(())
    }

    fn keep_run(&mut self, producer: i64, run: PlacedRun) -> Result<(), Trouble> {
        // It is that of the batch that is walked through: to look for its number would be a walk for each run.
        let key = self.current.as_ref().map(|current| &current.key);
        let open = key.and_then(|key| self.producers.get_mut(key));
        if let Some(open) = open {
            self.runs
                .extend(beyond(run, open.written).map(|run| (producer, run)));
            open.written = open.written.max(run.first + run.count - 1);
        }
        Ok(())
    }

    fn earlier_run(&mut self, producer: i64, sequence: u64) -> Result<Option<PlacedRun>, Trouble> {
        let holds = |run: &PlacedRun| run.offset_of(sequence).is_some();
        if let Some((of, run)) = &self.earlier
            && *of == producer
            && holds(run)
        {
            return Ok(Some(*run));
        }
        let new = self.runs.iter().find(|(of, run)| *of == producer && holds(run));
        if let Some((_, run)) = new {
            return Ok(Some(*run));
        }
        let session = self.session;
        let found = session.run(async {
            let statement = session.statement(EARLIER)?;
            let row = session
                .client()
                .query_opt(statement, &[&producer, &(sequence as i64)])
                .await?;
            row.map(|row| placed(&row, 0)).transpose()
        })?;
        self.earlier = found.map(|run| (producer, run));
        Ok(found)
    }

    fn append(&mut self, mailbox: i64, offset: u64, sequence: u64, message: &'a Message) {
        let Some(current) = &self.current else { return };
        let sequence = if current.is_numbered { sequence } else { 0 };
        let source = current.source.clone();
        let sum = current
            .prefix
            .of(offset, sequence, self.time, source.as_deref(), None, message);
        let synthetic = if current.is_synthetic {
            cost(sequence, message)
        } else {
            0
        };
        let entry = Entry {
            source,
            ..Entry::of(current.stream, sequence, sum, message)
        };
        self.put(mailbox, offset, entry, synthetic);
    }

    fn compare(&mut self, mailbox: i64, offset: u64, message: &Message) -> Result<Comparison, Trouble> {
        let told = |is_same| match is_same {
            true => Comparison::Same,
            false => Comparison::Different,
        };
        if let Some(entry) = self.pending(mailbox, offset) {
            return Ok(told(entry.is_same(message)));
        }
        let pack = self.look_at(mailbox, offset)?;
        let entry = pack.and_then(|pack| pack.get(offset));
        Ok(entry.map_or(Comparison::Gone, |entry| told(entry.is_same(message))))
    }

    fn has_cursor(&mut self, change: &CursorChange) -> Result<bool, Trouble> {
        Ok(self
            .cursors
            .contains(&(change.mailbox.clone(), change.name.clone())))
    }

    fn count_cursors(&mut self) -> Result<usize, Trouble> {
        if let Some(count) = self.cursor_count {
            return Ok(count);
        }
        let session = self.session;
        let count: i64 = session.run(async {
            let row = session
                .client()
                .query_one("SELECT count(*) FROM cursor", &[])
                .await?;
            Ok(row.try_get(0)?)
        })?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.cursor_count = Some(count);
        Ok(count)
    }

    fn move_cursor(&mut self, change: &CursorChange) -> Result<(), Trouble> {
        if self.cursors.insert((change.mailbox.clone(), change.name.clone())) {
            self.cursor_count = self.cursor_count.map(|count| count + 1);
        }
        self.moved.push(change.clone());
        Ok(())
    }

    fn letter(
        &mut self,
        change: &CursorChange,
        mailbox: i64,
        offset: u64,
    ) -> Result<Option<Letter>, Trouble> {
        let Some(pack) = self.look_at(mailbox, offset)? else {
            return Ok(None);
        };
        let Some(stream) = pack.get(offset).map(|entry| entry.stream) else {
            return Ok(None);
        };
        drop(pack);
        let Some((_, row)) = &self.looked_at else {
            return Ok(None);
        };
        let item = match self.streams.item(&change.mailbox, &Stored::of(row)?, offset) {
            Ok(item) => item,
            Err(error) => {
                // It stays where it is; a copy would only make it look sound.
                tracing::error!(%error, "a damaged message is not copied to the dead letters");
                return Ok(None);
            }
        };
        Ok(Some(Letter {
            producer: stream,
            sequence: item.sequence,
            source: item.source,
            origin: item.origin,
            is_synthetic: item.sender.is_synthetic(),
            message: item.message,
        }))
    }

    fn bury(&mut self, mailbox: i64, offset: u64, letter: Letter) -> Result<(), Trouble> {
        let Some(known) = self.streams.get(letter.producer) else {
            return Err(Trouble::Failed("a dead letter of nobody".into()));
        };
        let source = letter.source.as_ref().and_then(source_word);
        let sum = known.prefix.of(
            offset,
            letter.sequence,
            self.time,
            source.as_deref(),
            letter.origin.as_ref(),
            &letter.message,
        );
        let synthetic = if letter.is_synthetic {
            cost(letter.sequence, &letter.message)
        } else {
            0
        };
        let entry = Entry {
            source: source.map(Rc::from),
            origin: letter.origin.as_ref().map(ToString::to_string),
            ..Entry::of(letter.producer, letter.sequence, sum, &letter.message)
        };
        self.put(mailbox, offset, entry, synthetic);
        Ok(())
    }

    fn question(&mut self, mailbox: i64, offset: u64) -> Result<Option<Question>, Trouble> {
        if self.pending(mailbox, offset).is_some() {
            // It was stored in this very transaction: nobody can have read it.
            return Ok(None);
        }
        let found = self.look_at(mailbox, offset)?.and_then(|pack| {
            pack.get(offset)
                .map(|entry| (entry.stream, entry.sequence, entry.asks))
        });
        let Some((row, sequence, true)) = found.filter(|(_, sequence, _)| *sequence > 0) else {
            return Ok(None);
        };
        Ok(self.streams.get(row).map(|known| Question {
            row,
            sender: known.sender.clone(),
            producer: known.producer,
            sequence,
        }))
    }

    fn keep_reply(&mut self, question: &Question, reply: &Reply) -> Result<bool, Trouble> {
        let session = self.session;
        session.run(replies::keep(session, question, reply, self.hours))
    }
}
