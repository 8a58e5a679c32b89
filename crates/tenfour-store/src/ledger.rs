//! What a commit means: which messages are new, at which offsets they lie, which are repeats or conflicts, how far a
//! producer is, what becomes of cursors, dead letters and replies, and when there is no room.
//!
//! The ledger decides, without a file or a clock; an [`Engine`] keeps. Every store commits by it, so that no two of them
//! understand a promise differently.

mod cursors;
mod deposit;

use tenfour_proto::{Message, Origin, ProducerId, Reply, Sender, Settlement, Source, Stored, TemporaryCode};

pub(crate) use deposit::{Comparison, PlacedRun, ProducerState, replay};

use crate::batch::{Answered, Batch, BatchOutcome, Committed};
use crate::cursor::{CursorChange, CursorOutcome};
use crate::mailboxes::Mailboxes;
use crate::policy::Policy;
use crate::quota::Quota;

/// What the ledger needs of a store, within one transaction.
pub(crate) trait Engine<'a> {
    /// Why it could not do something: nothing of the transaction is true then.
    type Error;

    /// There is room for so much more.
    fn has_room(&mut self, need: Need) -> bool;
    /// Bytes of bodies of senders without an identity, with those of this transaction.
    fn synthetic_bytes(&mut self) -> u64;

    /// The batch's producer, made if it is new; what is appended next belongs to the batch. `None`: its sender has too many.
    fn open_producer(
        &mut self,
        batch: &'a Batch,
        policy: Policy,
    ) -> Result<Option<ProducerState>, Self::Error>;
    /// Keeps how far the producer of the batch is. A repeat is a use, too.
    fn save_producer(&mut self, batch: &'a Batch, state: ProducerState) -> Result<(), Self::Error>;
    /// Keeps a run that the producer's state no longer names.
    fn keep_run(&mut self, producer: i64, run: PlacedRun) -> Result<(), Self::Error>;
    /// The kept run with the highest first sequence that is at most `sequence`.
    fn earlier_run(&mut self, producer: i64, sequence: u64) -> Result<Option<PlacedRun>, Self::Error>;

    /// Puts a message at an offset of the mailbox with this number.
    fn append(&mut self, mailbox: i64, offset: u64, sequence: u64, message: &'a Message);
    /// Compares a message with the one that lies there.
    fn compare(&mut self, mailbox: i64, offset: u64, message: &Message) -> Result<Comparison, Self::Error>;
    /// All messages of the transaction are appended: what follows may look at them.
    fn end_messages(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    /// The cursor is there already.
    fn has_cursor(&mut self, change: &CursorChange) -> Result<bool, Self::Error>;
    /// How many there are.
    fn count_cursors(&mut self) -> Result<usize, Self::Error>;
    /// Moves the cursor, or makes it.
    fn move_cursor(&mut self, change: &CursorChange) -> Result<(), Self::Error>;

    /// A message to be copied; `None` if it is gone, or damaged: a copy would only make it look sound.
    fn letter(
        &mut self,
        change: &CursorChange,
        mailbox: i64,
        offset: u64,
    ) -> Result<Option<Letter>, Self::Error>;
    /// Puts a copy at an offset.
    fn bury(&mut self, mailbox: i64, offset: u64, letter: Letter) -> Result<(), Self::Error>;

    /// Who asked by this message; `None` if it did not ask, or is gone.
    fn question(&mut self, mailbox: i64, offset: u64) -> Result<Option<Question>, Self::Error>;
    /// Keeps the reply, unless there is one already; true if it is the first.
    fn keep_reply(&mut self, question: &Question, reply: &Reply) -> Result<bool, Self::Error>;
}

/// Room that something takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) messages: u64,
    /// Of their bodies.
    pub(crate) message_bytes: u64,
    pub(crate) replies: u64,
    pub(crate) reply_bytes: u64,
}

impl Need {
    fn of_batch(batch: &Batch) -> Self {
        Need {
            messages: batch.messages.len() as u64,
            message_bytes: batch.bytes(),
            ..Need::default()
        }
    }

    fn is_nothing(self) -> bool {
        self == Need::default()
    }
}

/// A message on its way to the dead letters, with all that is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    /// Number of its producer.
    pub(crate) producer: i64,
    pub(crate) sequence: u64,
    pub(crate) source: Option<Source>,
    /// Where it lay first; the ledger says so where that is nowhere said.
    pub(crate) origin: Option<Origin>,
    pub(crate) is_synthetic: bool,
    pub(crate) message: Message,
}

/// A message that asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Number of its producer.
    pub(crate) row: i64,
    pub(crate) sender: Sender,
    pub(crate) producer: ProducerId,
    pub(crate) sequence: u64,
}

/// What a transaction would come to. Nothing of it is true before the commit.
#[derive(Debug)]
pub(crate) struct Draft {
    batches: Vec<Result<Settlement, TemporaryCode>>,
    cursors: Vec<CursorOutcome>,
    answered: Vec<Answered>,
}

impl Draft {
    /// Every batch and cursor has to come again.
    pub(crate) fn nothing(batches: usize, cursors: usize) -> Self {
        Draft {
            batches: vec![Err(TemporaryCode::Full); batches],
            cursors: vec![CursorOutcome::NotNow; cursors],
            answered: Vec::new(),
        }
    }

    /// The commit has happened, and is as durable as the store says: from here on it is true.
    pub(crate) fn after_commit(
        self,
        mailboxes: impl IntoIterator<Item = (tenfour_proto::MailboxName, u64)>,
    ) -> Committed {
        let outcome = |ruling| match ruling {
            Ok(settlement) => BatchOutcome::Settled(Stored::after_commit(settlement)),
            Err(code) => BatchOutcome::NotNow(code),
        };
        Committed {
            outcomes: self.batches.into_iter().map(outcome).collect(),
            cursors: self.cursors,
            answered: self.answered,
            raised: mailboxes.into_iter().collect(),
        }
    }
}

/// Works through all batches and cursors of one transaction.
pub(crate) fn draft<'a, E: Engine<'a>>(
    engine: &mut E,
    mailboxes: &mut Mailboxes,
    quota: &Quota,
    batches: &'a [Batch],
    changes: &[CursorChange],
) -> Result<Draft, E::Error> {
    let mut draft = Draft {
        batches: Vec::with_capacity(batches.len()),
        cursors: Vec::with_capacity(changes.len()),
        answered: Vec::new(),
    };
    let mut full = Fullness::default();
    for batch in batches {
        draft.batches.push(match full.check(engine, quota, batch) {
            Ok(()) => settle(engine, mailboxes, batch)?,
            Err(code) => Err(code),
        });
    }
    engine.end_messages()?;
    for change in changes {
        draft
            .cursors
            .push(cursors::change(engine, mailboxes, change, &mut draft.answered)?);
    }
    Ok(draft)
}

/// Once there is no room, there is none for all that follow: a later batch may belong to the same producer, and would leave
/// a hole in it.
#[derive(Default)]
struct Fullness {
    for_all: bool,
    for_synthetic: bool,
}

impl Fullness {
    fn check<'a, E: Engine<'a>>(
        &mut self,
        engine: &mut E,
        quota: &Quota,
        batch: &Batch,
    ) -> Result<(), TemporaryCode> {
        self.for_all = self.for_all || !engine.has_room(Need::of_batch(batch));
        if !self.for_all && batch.sender.is_synthetic() && !self.for_synthetic {
            self.for_synthetic = !quota.has_room(engine.synthetic_bytes(), batch.bytes());
        }
        if self.for_all || batch.sender.is_synthetic() && self.for_synthetic {
            return Err(TemporaryCode::Full);
        }
        Ok(())
    }
}

fn settle<'a, E: Engine<'a>>(
    engine: &mut E,
    mailboxes: &mut Mailboxes,
    batch: &'a Batch,
) -> Result<Result<Settlement, TemporaryCode>, E::Error> {
    let policy = Policy::of(&batch.sender, batch.kind());
    let Some(mut state) = engine.open_producer(batch, policy)? else {
        return Ok(Err(TemporaryCode::Busy));
    };
    let numbered = batch.producer.is_some().then_some(&mut state);
    let settlement = deposit::deposit(engine, mailboxes, numbered, policy.in_turn, &batch.messages)?;
    if batch.producer.is_some() {
        engine.save_producer(batch, state)?;
    }
    Ok(Ok(settlement))
}
