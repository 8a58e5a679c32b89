//! What the ledger needs of a store, and what they tell each other.

use std::collections::HashSet;

use tenfour_proto::{Message, Origin, ProducerId, Reply, Sender, Source};

use crate::batch::Batch;
use crate::cursor::CursorChange;
use crate::policy::Policy;

/// What the ledger needs of a store, within one transaction.
pub trait Engine<'a> {
    /// Why it could not do something: nothing of the transaction is true then.
    type Error;

    /// There is room for so much more; for senders without an identity there is none before there is none for the others.
    fn has_room(&mut self, need: Need, is_synthetic: bool) -> bool;
    /// What the messages of senders without an identity cost, with those of this transaction.
    fn synthetic_bytes(&mut self) -> u64;

    /// Numbers of mailboxes that take nothing of senders without an identity now.
    fn closed_to_synthetic(&self) -> &HashSet<i64>;

    /// The batch's producer, made if it is new; what is appended next belongs to the batch.
    fn open_producer(&mut self, batch: &'a Batch, policy: Policy) -> Result<Opened, Self::Error>;
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

/// A batch's producer, or why there is none.
#[derive(Clone, Copy, Debug)]
pub enum Opened {
    /// What is known of it.
    Open(ProducerState),
    /// It is new, and its sender has too many.
    TooMany,
    /// Another server has claimed it since the batch's connection did.
    TakenOver,
}

/// Room that something takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Messages.
    pub messages: u64,
    /// Of their bodies.
    pub message_bytes: u64,
    /// Replies.
    pub replies: u64,
    /// Of their bodies.
    pub reply_bytes: u64,
}

impl Need {
    pub(super) fn of_batch(batch: &Batch) -> Self {
        Need {
            messages: batch.messages.len() as u64,
            message_bytes: batch.bytes(),
            ..Need::default()
        }
    }

    pub(super) fn is_nothing(self) -> bool {
        self == Need::default()
    }
}

/// A message on its way to the dead letters, with all that is known of it.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Number of its producer.
    pub producer: i64,
    /// Its sequence there; 0 without one.
    pub sequence: u64,
    /// Where it came in.
    pub source: Option<Source>,
    /// Where it lay first; the ledger says so where that is nowhere said.
    pub origin: Option<Origin>,
    /// Its sender showed no key.
    pub is_synthetic: bool,
    /// The message, addressed to the dead letters.
    pub message: Message,
}

/// A message that asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// Number of its producer.
    pub row: i64,
    /// Who asked.
    pub sender: Sender,
    /// By which producer.
    pub producer: ProducerId,
    /// By which message.
    pub sequence: u64,
}

/// A stretch of a producer as the store keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedRun {
    /// Its first sequence.
    pub first: u64,
    /// How many there are.
    pub count: u64,
    /// Number of the mailbox.
    pub mailbox: i64,
    /// Where the first one lies.
    pub offset: u64,
}

impl PlacedRun {
    /// Where a sequence lies that is in it.
    pub fn offset_of(&self, sequence: u64) -> Option<u64> {
        (sequence >= self.first && sequence - self.first < self.count)
            .then(|| self.offset + (sequence - self.first))
    }

    /// The other one begins where this one ends, in sequence and place.
    pub fn is_followed_by(&self, other: &PlacedRun) -> bool {
        other.mailbox == self.mailbox
            && other.first == self.first + self.count
            && other.offset == self.offset + self.count
    }
}

/// What the store knows of a producer.
#[derive(Clone, Copy, Debug)]
pub struct ProducerState {
    /// Number of the producer in the store.
    pub row: i64,
    /// The highest sequence settled.
    pub high_water_mark: u64,
    /// The run that ends at the mark; earlier ones are kept apart.
    pub last_run: Option<PlacedRun>,
}

/// How a repeated message compares with the one that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// It is the same.
    Same,
    /// It is another one under the same number.
    Different,
    /// Deleted since; its content can no longer be checked.
    Gone,
}
