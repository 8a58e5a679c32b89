//! The producers of a store in memory.

use std::collections::HashMap;

use tenfour_proto::native::ProducerKind;
use tenfour_proto::{ProducerId, Sender};

use super::shared::Shared;
use crate::Batch;
use crate::ledger::{PlacedRun, ProducerState};
use crate::policy::Policy;

/// What a producer costs.
const PRODUCER: u64 = 300;

#[derive(Debug, Default)]
pub(super) struct Producers {
    /// With the hour of their last use.
    known: HashMap<(Sender, ProducerId), (ProducerState, Policy, i64)>,
    counts: HashMap<(Sender, i64), u64>,
    /// Where the next one is looked for that makes room for another, by number.
    recycled: usize,
    /// Number of the producer -> its earlier runs, in order.
    runs: Vec<Vec<PlacedRun>>,
}

impl Producers {
    pub(super) fn get(&self, sender: &Sender, producer: ProducerId) -> Option<&ProducerState> {
        self.known.get(&(sender.clone(), producer)).map(|known| &known.0)
    }

    /// The batch's producer, made if it is new; `None` if there are too many.
    pub(super) fn open(
        &mut self,
        batch: &Batch,
        policy: Policy,
        hours: i64,
        shared: &mut Shared,
    ) -> Option<ProducerState> {
        let key = (batch.sender.clone(), batch.producer_id());
        if let Some((state, _, used)) = self.known.get_mut(&key) {
            *used = hours;
            return Some(*state);
        }
        let counted = (batch.sender.clone(), policy.kind);
        let is_full = |counts: &HashMap<_, u64>| counts.get(&counted).is_some_and(|n| *n >= policy.most);
        // What is without a producer has one of zeros, which is there whatever others have used up.
        if *batch.producer_id().as_bytes() != [0; 16] {
            if is_full(&self.counts) {
                self.forget_old(hours);
            }
            if is_full(&self.counts) {
                if !batch.sender.is_synthetic() {
                    return None;
                }
                // Nobody answers for it, so nobody may use it up: the oldest makes room.
                self.recycle(&batch.sender, policy.kind, &shared.senders);
            } else {
                *self.counts.entry(counted).or_default() += 1;
            }
        }
        shared.used += PRODUCER;
        let state = ProducerState {
            row: i64::try_from(self.runs.len()).ok()?,
            high_water_mark: 0,
            last_run: None,
        };
        self.runs.push(Vec::new());
        shared.senders.push(key.clone());
        self.known.insert(key, (state, policy, hours));
        Some(state)
    }

    pub(super) fn save(&mut self, batch: &Batch, state: ProducerState) {
        if let Some((kept, ..)) = self.known.get_mut(&(batch.sender.clone(), batch.producer_id())) {
            *kept = state;
        }
    }

    pub(super) fn keep_run(&mut self, producer: i64, run: PlacedRun) {
        if let Some(runs) = self.runs.get_mut(producer as usize) {
            runs.push(run);
        }
    }

    pub(super) fn earlier_run(&self, producer: i64, sequence: u64) -> Option<PlacedRun> {
        let runs = self.runs.get(producer as usize)?;
        let after = runs.partition_point(|run| run.first <= sequence);
        runs.get(after.checked_sub(1)?).copied()
    }

    /// All of them, in order.
    pub(super) fn runs(&self, state: &ProducerState) -> impl Iterator<Item = PlacedRun> {
        let earlier = self.runs.get(state.row as usize).into_iter().flatten().copied();
        earlier.chain(state.last_run)
    }

    /// Nothing will be repeated of these producers of an outbox.
    pub(super) fn finish(&mut self, sender: &Sender, producers: &[ProducerId], hours: i64) {
        for producer in producers {
            if let Some((_, policy, used)) = self.known.get_mut(&(sender.clone(), *producer))
                && policy.kind == Policy::OUTBOX
            {
                *policy = Policy::of(sender, ProducerKind::OneShot);
                *used = hours;
                if let Some(count) = self.counts.get_mut(&(sender.clone(), Policy::OUTBOX)) {
                    *count -= 1;
                }
                *self.counts.entry((sender.clone(), Policy::ONE_SHOT)).or_default() += 1;
            }
        }
    }

    /// Forgets the oldest producer of that kind, of those that stored one message: a device that goes on sending keeps its
    /// mark. `all` has them by number.
    fn recycle(&mut self, sender: &Sender, kind: i64, all: &[(Sender, ProducerId)]) {
        let mut behind = all.iter().enumerate().skip(self.recycled);
        let oldest = behind.find(|(_, key)| {
            key.0 == *sender
                && *key.1.as_bytes() != [0; 16]
                && self
                    .known
                    .get(*key)
                    .is_some_and(|(state, policy, _)| policy.kind == kind && state.high_water_mark <= 1)
        });
        if let Some((_, key)) = oldest {
            self.known.remove(key);
        }
        self.recycled = oldest.map_or(0, |(number, _)| number + 1);
    }

    /// Old producers are looked for only when somebody has too many.
    fn forget_old(&mut self, hours: i64) {
        let (counts, runs) = (&mut self.counts, &mut self.runs);
        self.known.retain(|(sender, _), (state, policy, used)| {
            let old = Policy::forgotten_before(policy.kind, hours).is_some_and(|before| *used < before);
            if old {
                if let Some(count) = counts.get_mut(&(sender.clone(), policy.kind)) {
                    *count -= 1;
                }
                if let Some(runs) = runs.get_mut(state.row as usize) {
                    *runs = Vec::new();
                }
            }
            !old
        });
    }
}
