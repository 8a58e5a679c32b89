//! What goes into a commit, and what comes out.

use tenfour_proto::native::ProducerKind;
use tenfour_proto::{MailboxName, Message, ProducerId, Reply, Sender, Source, Stored, TemporaryCode};

use crate::cursor::CursorOutcome;

/// Messages of one sender that arrived together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Whose they are.
    pub sender: Sender,
    /// The producer that numbers them. Without one the numbers only name the messages in the outcome,
    /// and nothing is recognised as a repeat.
    pub producer: Option<(ProducerId, ProducerKind)>,
    /// What [`Store::claim`](crate::Store::claim) gave for the producer; 0 where nobody claims it.
    pub epoch: u64,
    /// Where they came in.
    pub source: Source,
    /// Sequence and message, in rising order. Holes are messages that were refused before the store.
    pub messages: Vec<(u64, Message)>,
}

impl Batch {
    /// Of the bodies.
    pub fn bytes(&self) -> u64 {
        self.messages
            .iter()
            .map(|(_, message)| message.body.len() as u64)
            .sum()
    }

    /// What is without a producer counts as used once.
    pub fn kind(&self) -> ProducerKind {
        self.producer.map_or(ProducerKind::OneShot, |(_, kind)| kind)
    }

    /// All that is without a producer has this one.
    pub fn producer_id(&self) -> ProducerId {
        self.producer
            .map_or(ProducerId::from_bytes([0; 16]), |(id, _)| id)
    }
}

/// What became of a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// One for each batch.
    pub outcomes: Vec<BatchOutcome>,
    /// One for each cursor.
    pub cursors: Vec<CursorOutcome>,
    /// Replies that were written down for the first time.
    pub answered: Vec<Answered>,
    /// The mailboxes that have new messages, with their last offsets.
    pub raised: Vec<(MailboxName, u64)>,
}

/// A reply, and the message to which it is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Who asked.
    pub sender: Sender,
    /// By which producer.
    pub producer: ProducerId,
    /// By which message.
    pub sequence: u64,
    /// What comes back.
    pub reply: Reply,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchOutcome {
    /// Each message is stored, or refused for good.
    Settled(Stored),
    /// None of it is stored; the same batch may be tried again later.
    NotNow(TemporaryCode),
    /// None of it is stored: another server has claimed the producer since.
    TakenOver,
}
