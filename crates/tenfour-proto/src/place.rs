//! A place in a mailbox, and what was there.

use crate::{Item, ProducerId};

/// A place in a mailbox as somebody saw it.
///
/// An offset alone is no place: after a restore, or in another store, it may come again with another message. What was
/// done with the message of one history must not be believed of the message of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The offset; 0 is the beginning, before the first message.
    pub offset: u64,
    /// The message that was there; `None` if nobody saw one.
    pub stamp: Option<Stamp>,
}

/// What tells the message at an offset from another one that may come there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// When it was stored, in microseconds since 1970-01-01 UTC by the server's clock. Never 0.
    pub time: i64,
    /// Its number in its producer's order; 0 for none.
    pub sequence: u64,
    /// The producer that numbered it; all zero for none.
    pub producer: ProducerId,
}

impl Place {
    /// At this offset, whatever was there.
    pub fn unseen(offset: u64) -> Self {
        Place { offset, stamp: None }
    }
}

impl Item {
    /// What tells it from another message that may come to its offset.
    pub fn stamp(&self) -> Stamp {
        Stamp {
            time: self.time,
            sequence: self.sequence,
            producer: self.producer,
        }
    }

    /// Where it is: whoever goes on behind it with this is told when the server has another message there.
    pub fn place(&self) -> Place {
        Place {
            offset: self.offset,
            stamp: Some(self.stamp()),
        }
    }
}
