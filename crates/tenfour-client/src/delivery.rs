//! A message that a consumer was given, until he says what he has done with it.

use std::ops::Deref;
use std::sync::Arc;

use tenfour_proto::{Item, Reply, Step};

use crate::connection::read::{Read, Saved};

/// A message that a consumer was given. Dropped without a word, it is [released](Self::release).
///
/// What is said is on its way at once; awaiting what is given back is the certainty that the server has it.
#[derive(Debug)]
#[must_use = "a delivery that is dropped is released, and comes again"]
pub struct Delivery {
    read: Arc<Read>,
    item: Item,
    begun: Saved,
    settled: bool,
}

impl Delivery {
    /// From here on it counts as an attempt.
    pub(crate) fn of(read: &Arc<Read>, item: Item) -> Self {
        Delivery {
            read: Arc::clone(read),
            begun: read.begin(&item),
            item,
            settled: false,
        }
    }

    /// The message, where it lies, and how often it was tried.
    pub fn item(&self) -> &Item {
        &self.item
    }

    /// Awaited, it is the certainty that whoever gets the message next is told of this attempt, whatever happens here.
    /// Without it a process that dies at once may take the count with it.
    ///
    /// It fails when the connection was lost first: the message may be somebody else's by then.
    pub fn begun(&self) -> Saved {
        self.begun.clone()
    }

    /// It was handled: nobody gets it again.
    pub fn ack(mut self) -> Saved {
        self.settle(Step::Ack)
    }

    /// It was handled, and whoever asked gets this reply; at most [`MAX_REPLY`](tenfour_proto::limits::MAX_REPLY) bytes, the
    /// rest is cut off. Of a message that did not ask it is the same as [`ack`](Self::ack).
    pub fn reply(mut self, reply: Reply) -> Saved {
        self.settled = true;
        self.read.answer(&self.item, reply)
    }

    /// It was not handled: it comes again later, or goes to the dead letters.
    pub fn nack(mut self) -> Saved {
        self.settle(Step::Nack)
    }

    /// Nothing was done with it: somebody else may have it.
    pub fn release(mut self) -> Saved {
        self.settle(Step::Release)
    }

    /// Nothing was done with it, for a reason that is not its own, such as a full disk: as [`release`](Self::release), and it
    /// counts as no attempt.
    pub fn put_back(mut self) -> Saved {
        self.settle(Step::Untried)
    }

    /// It must not be handled: it goes to the dead letters at once.
    pub fn reject(mut self) -> Saved {
        self.settle(Step::Reject)
    }

    fn settle(&mut self, step: Step) -> Saved {
        self.settled = true;
        self.read.settle(&self.item, step)
    }
}

impl Deref for Delivery {
    type Target = Item;

    fn deref(&self) -> &Item {
        &self.item
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.settled {
            drop(self.settle(Step::Release));
        }
    }
}
