//! What goes into a commit, and what comes out.

use tenfour_proto::native::StreamKind;
use tenfour_proto::{Message, Sender, Settlement, Source, StreamId, TemporaryCode};

/// Messages of one sender that arrived together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Whose they are.
    pub sender: Sender,
    /// The stream that numbers them. Without one the numbers only name the messages in the outcome,
    /// and nothing is recognised as a repeat.
    pub stream: Option<(StreamId, StreamKind)>,
    /// Where they came in.
    pub source: Source,
    /// Sequence and message, in rising order. Holes are messages that were refused before the store.
    pub messages: Vec<(u64, Message)>,
}

/// The proof that a commit has happened: only a store makes one, after its flush. Receipts are made from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored(Settlement);

impl Stored {
    pub(crate) fn after_commit(settlement: Settlement) -> Self {
        Stored(settlement)
    }

    /// What became of the batch.
    pub fn settlement(&self) -> &Settlement {
        &self.0
    }

    /// What became of the batch, taken out.
    pub fn into_settlement(self) -> Settlement {
        self.0
    }
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Each message is stored, or refused for good.
    Settled(Stored),
    /// None of it is stored; the same batch may be tried again later.
    NotNow(TemporaryCode),
}
