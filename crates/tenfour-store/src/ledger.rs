//! What a commit means: which messages are new, at which offsets they lie, which are repeats or conflicts, how far a
//! producer is, what becomes of cursors, dead letters and replies, and when there is no room.
//!
//! The ledger decides, without a file or a clock; an [`Engine`] keeps. Every store commits by it, so that no two of them
//! understand a promise differently. What it needs to know, such as names, limits and checksums, is here with it: this is
//! all that a store of another kind is written with.

mod cursors;
mod deposit;
mod engine;

use tenfour_proto::{MailboxName, Settlement, Stored, TemporaryCode};

pub use deposit::replay;
pub use engine::{Comparison, Engine, Letter, Need, Opened, PlacedRun, ProducerState, Question};

pub use crate::checksum::{Prefix, reply_sum};
pub use crate::mailboxes::{Mailbox, Mailboxes};
pub use crate::policy::Policy;
pub use crate::quota::{Quota, cost};
pub use crate::retention::spares_keys;
pub use crate::source_word::{source_of, source_word};

use crate::batch::{Answered, Batch, BatchOutcome, Committed};
use crate::cursor::{CursorChange, CursorOutcome};
use crate::quota::cost_of;

/// What a batch would come to.
#[derive(Clone, Debug)]
enum Ruling {
    Settled(Settlement),
    NotNow(TemporaryCode),
    TakenOver,
}

/// What a transaction would come to. Nothing of it is true before the commit.
#[derive(Debug)]
pub struct Draft {
    batches: Vec<Ruling>,
    cursors: Vec<CursorOutcome>,
    answered: Vec<Answered>,
}

impl Draft {
    /// Every batch and cursor has to come again.
    pub fn nothing(batches: usize, cursors: usize, why: TemporaryCode) -> Self {
        Draft {
            batches: vec![Ruling::NotNow(why); batches],
            cursors: vec![CursorOutcome::NotNow; cursors],
            answered: Vec::new(),
        }
    }

    /// Replies are in it that were not there before.
    pub fn has_answers(&self) -> bool {
        !self.answered.is_empty()
    }

    /// The commit has happened, and is as durable as the store says: from here on it is true.
    pub fn after_commit(self, mailboxes: impl IntoIterator<Item = (MailboxName, u64)>) -> Committed {
        let outcome = |ruling| match ruling {
            Ruling::Settled(settlement) => BatchOutcome::Settled(Stored::after_commit(settlement)),
            Ruling::NotNow(code) => BatchOutcome::NotNow(code),
            Ruling::TakenOver => BatchOutcome::TakenOver,
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
pub fn draft<'a, E: Engine<'a>>(
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
        draft
            .batches
            .push(match full.check(engine, mailboxes, quota, batch) {
                Ok(()) => settle(engine, mailboxes, batch)?,
                Err(code) => Ruling::NotNow(code),
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
        mailboxes: &Mailboxes,
        quota: &Quota,
        batch: &Batch,
    ) -> Result<(), TemporaryCode> {
        let is_synthetic = batch.sender.is_synthetic();
        self.for_all = self.for_all || !engine.has_room(Need::of_batch(batch), false);
        if !self.for_all && is_synthetic && !self.for_synthetic {
            self.for_synthetic = !engine.has_room(Need::of_batch(batch), true)
                || !quota.has_room(engine.synthetic_bytes(), cost_of(batch));
        }
        // A producer without an identity has one message, or is held to its turn: it leaves no hole.
        if self.for_all || is_synthetic && (self.for_synthetic || meets_closed(engine, mailboxes, batch)) {
            return Err(TemporaryCode::Full);
        }
        Ok(())
    }
}

fn meets_closed<'a, E: Engine<'a>>(engine: &E, mailboxes: &Mailboxes, batch: &Batch) -> bool {
    let closed = engine.closed_to_synthetic();
    let mut messages = batch.messages.iter();
    !closed.is_empty()
        && messages.any(|(_, message)| {
            let mailbox = mailboxes.find(&message.mailbox);
            mailbox.is_some_and(|mailbox| closed.contains(&mailbox))
        })
}

fn settle<'a, E: Engine<'a>>(
    engine: &mut E,
    mailboxes: &mut Mailboxes,
    batch: &'a Batch,
) -> Result<Ruling, E::Error> {
    let policy = Policy::of(&batch.sender, batch.kind());
    let mut state = match engine.open_producer(batch, policy)? {
        Opened::Open(state) => state,
        Opened::TooMany => return Ok(Ruling::NotNow(TemporaryCode::Busy)),
        Opened::TakenOver => return Ok(Ruling::TakenOver),
    };
    let numbered = batch.producer.is_some().then_some(&mut state);
    let settlement = deposit::deposit(engine, mailboxes, numbered, policy.in_turn, batch)?;
    if batch.producer.is_some() {
        engine.save_producer(batch, state)?;
    }
    Ok(Ruling::Settled(settlement))
}
