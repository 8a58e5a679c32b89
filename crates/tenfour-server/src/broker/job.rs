//! What is done with the store, in its turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tenfour_proto::{ProducerId, Sender, Stored, TemporaryCode};
use tenfour_store::Batch;
use tokio::sync::oneshot;

use super::completions::{Completion, Completions};
use super::consumer_group::ConsumerGroup;
use super::memory_budget::Charge;

/// The store can give no answer: it failed, or the server has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store has failed or is closed")]
pub(crate) struct StoreGone;

/// Where a producer goes on.
#[derive(Debug, Default)]
pub(crate) struct Resumed {
    /// The highest sequence that is settled.
    pub(crate) high_water_mark: u64,
    /// What the mark was before the producer was forgotten.
    pub(crate) forgotten: u64,
    pub(crate) receipts: Stored,
}

pub(super) enum Job {
    Deposit(Deposit),
    Resume {
        sender: Sender,
        producer: ProducerId,
        after: Option<u64>,
        has_receipts: bool,
        reply: oneshot::Sender<Result<Resumed, StoreGone>>,
    },
    /// What has changed of a cursor until the commit.
    SaveCursor(Arc<ConsumerGroup>),
    /// Nothing will be repeated of these producers.
    Finish {
        sender: Sender,
        producers: Vec<ProducerId>,
        tell: oneshot::Sender<bool>,
    },
}

pub(super) struct Deposit {
    pub(super) batch: Batch,
    pub(super) epoch: u64,
    pub(super) completions: Arc<Completions>,
    pub(super) arrived: Instant,
    pub(super) _charge: Charge,
    pub(super) _under_way: UnderWay,
}

/// Counts a deposit until it is answered.
pub(super) struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    pub(super) fn count(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(all))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Deposit {
    pub(super) fn last(&self) -> u64 {
        self.batch.messages.last().map_or(0, |message| message.0)
    }

    pub(super) fn turn_away(self, code: TemporaryCode) {
        self.completions.put(Completion::NotNow {
            epoch: self.epoch,
            last: self.last(),
            code,
        });
    }
}

impl Job {
    /// Somebody waits for the answer, who is the one that asks.
    pub(super) fn is_question(&self) -> bool {
        match self {
            Job::Deposit(_) | Job::SaveCursor(_) => false,
            Job::Resume { .. } | Job::Finish { .. } => true,
        }
    }

    /// The inbox is closed: nobody will do this. It says nothing of what was deposited before and is
    /// still on its way, so it must not claim that nothing is stored.
    pub(super) fn refuse(self) {
        if let Job::Deposit(deposit) = self {
            deposit.completions.put(Completion::Gone);
        }
    }
}
