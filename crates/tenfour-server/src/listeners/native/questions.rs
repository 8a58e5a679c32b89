//! What a producer has asked on a connection.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use tenfour_proto::{Fingerprint, ProducerId, Sender, Settlement};

use crate::broker::{Broker, ReplySlot};

/// What a producer has asked on this connection.
#[derive(Default)]
pub(super) struct Asked {
    /// Present once something was asked.
    slot: Option<Arc<ReplySlot>>,
    /// Deposited, and not settled yet.
    open: BTreeSet<u64>,
    /// They were there before, so there may be a reply already.
    pub(super) repeats: VecDeque<u64>,
}

impl Asked {
    pub(super) fn add(&mut self, sequence: u64, broker: &Broker, key: Fingerprint, producer: ProducerId) {
        self.listen(broker, key, producer);
        self.open.insert(sequence);
    }

    pub(super) fn listen(&mut self, broker: &Broker, key: Fingerprint, producer: ProducerId) {
        self.slot
            .get_or_insert_with(|| broker.expect_replies(Sender::Key(key), producer));
    }

    pub(super) fn slot(&self) -> Option<Arc<ReplySlot>> {
        self.slot.clone()
    }

    /// A new message cannot have had a reply before we listened; a repeat can.
    pub(super) fn settled(&mut self, settlement: &Settlement) {
        if self.open.is_empty() {
            return;
        }
        for run in settlement.runs.iter().filter(|run| run.duplicate) {
            self.repeats
                .extend(self.open.range(run.first..=run.last()).copied());
        }
        self.open = self.open.split_off(&settlement.settled.saturating_add(1));
    }
}
