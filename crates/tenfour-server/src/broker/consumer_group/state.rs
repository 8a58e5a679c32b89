//! What is known of the messages of a cursor, and where it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tenfour_proto::Reply;
use tenfour_proto::limits::MAX_OUT_OF_ORDER;
use tenfour_store::{AckState, Position};

/// A message that failed is given out again after this time, twice as long after each further attempt.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// But never later than this.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Under the lock of its group.
#[derive(Debug)]
pub(super) struct State {
    pub(super) position: Position,
    /// The lowest offset that was never given out since the server started.
    pub(super) next: u64,
    /// What readers have now.
    pub(super) held: BTreeMap<u64, Held>,
    /// What came back, and when it may be given out again.
    pub(super) waiting: BTreeMap<u64, Option<Instant>>,
    /// Offsets above the committed offset with news, since the last change was taken.
    pub(super) touched: BTreeSet<u64>,
    pub(super) bury: Vec<u64>,
    pub(super) answers: Vec<(u64, Reply)>,
    pub(super) readers: u64,
    /// Counts changes.
    pub(super) version: u64,
    /// Up to here they are saved.
    pub(super) saved: u64,
    /// A job for the writer is on the queue.
    pub(super) queued: bool,
    /// Saving did not work and is due again then.
    pub(super) retry: Option<Instant>,
    /// The store has it.
    pub(super) made: bool,
    /// The store takes no further cursor.
    pub(super) refused: bool,
}

/// A message that a reader has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) reader: u64,
    pub(super) begun: bool,
}

impl State {
    pub(super) fn has_room(&self) -> bool {
        self.held.len() + self.waiting.len() + self.position.out_of_order.len() < MAX_OUT_OF_ORDER
    }

    pub(super) fn give(&mut self, reader: u64, offset: u64) -> (u64, u32) {
        self.held.insert(offset, Held { reader, begun: false });
        let attempts = self
            .position
            .out_of_order
            .get(&offset)
            .map_or(0, |given| given.attempts);
        (offset, attempts)
    }

    pub(super) fn begin(&mut self, offset: u64) {
        if let Some(held) = self.held.get_mut(&offset)
            && !std::mem::replace(&mut held.begun, true)
        {
            self.position.out_of_order.entry(offset).or_default().attempts += 1;
            self.touched.insert(offset);
        }
    }

    /// Nothing was done with it: if somebody had begun, that is taken back.
    pub(super) fn take_back_attempt(&mut self, offset: u64) {
        if self.held.remove(&offset).is_some_and(|held| held.begun)
            && let Some(given) = self.position.out_of_order.get_mut(&offset)
        {
            given.attempts = given.attempts.saturating_sub(1);
            self.touched.insert(offset);
        }
        self.waiting.insert(offset, None);
    }

    /// False when there is no room to remember it.
    pub(super) fn done(&mut self, offset: u64) -> bool {
        if offset <= self.position.committed {
            return true;
        }
        let known = self.held.remove(&offset).is_some() | self.waiting.remove(&offset).is_some();
        if !known && !self.has_room() {
            return false;
        }
        self.position.out_of_order.entry(offset).or_default().done = true;
        self.touched.insert(offset);
        self.advance();
        true
    }

    /// Moves the committed offset over what is done.
    pub(super) fn advance(&mut self) {
        let position = &mut self.position;
        while let Some(entry) = position.out_of_order.first_entry()
            && *entry.key() == position.committed + 1
            && entry.get().done
        {
            self.touched.remove(entry.key());
            entry.remove();
            position.committed += 1;
        }
        self.next = self.next.max(position.committed + 1);
    }

    pub(super) fn fail(&mut self, offset: u64, retries: Option<u32>, now: Instant) {
        self.held.remove(&offset);
        let AckState { attempts, .. } = self
            .position
            .out_of_order
            .get(&offset)
            .copied()
            .unwrap_or_default();
        if retries.is_some_and(|retries| attempts > retries) {
            self.bury.push(offset);
            self.done(offset);
        } else {
            let pause = FIRST_PAUSE
                .saturating_mul(1 << attempts.saturating_sub(1).min(16))
                .min(LONGEST_PAUSE);
            self.waiting.insert(offset, Some(now + pause));
        }
    }

    pub(super) fn reject(&mut self, offset: u64, may_bury: bool, now: Instant) {
        if may_bury {
            self.bury.push(offset);
            self.done(offset);
        } else {
            self.fail(offset, None, now);
        }
    }
}
