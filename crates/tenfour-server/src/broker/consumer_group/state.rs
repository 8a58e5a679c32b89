//! What is known of the messages of a cursor, and where it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tenfour_proto::Reply;
use tenfour_proto::limits::MAX_OUT_OF_ORDER;
use tenfour_store::{AckState, Portion, Position};

use super::share::Share;

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
    /// What this server may give out, where there are others; all otherwise.
    pub(super) portion: Option<Share>,
    /// Messages that another server gave out and a reader here has done.
    pub(super) elsewhere: BTreeSet<u64>,
    pub(super) readers: u64,
    /// Readers of now.
    pub(super) members: u64,
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

    /// The next offset up to `last` that was never given out.
    pub(super) fn next_new(&mut self, last: u64) -> Option<u64> {
        match &mut self.portion {
            Some(share) => share.next(last),
            None if self.next <= last => {
                self.next += 1;
                Some(self.next - 1)
            }
            None => None,
        }
    }

    /// Everything up to `last` was given out, here or elsewhere.
    pub(super) fn is_given(&self, last: u64) -> bool {
        self.portion
            .as_ref()
            .map_or(self.next > last, |share| share.is_given(last))
    }

    /// These are this server's from here on.
    pub(super) fn drawn(&mut self, portion: Portion, now: Instant) {
        let Some(share) = &mut self.portion else { return };
        for (first, _) in &portion.ranges {
            // Another server has had these.
            self.position.committed = self.position.committed.min(first - 1);
        }
        self.position.out_of_order.extend(portion.states.iter().copied());
        share.drawn(&portion, now);
        self.advance();
    }

    /// Nothing is this server's any more.
    pub(super) fn give_back(&mut self) {
        self.portion = self.portion.as_ref().map(|_| Share::default());
        self.held.clear();
        self.waiting.clear();
        self.touched.clear();
        self.position.out_of_order.clear();
    }

    /// False when there is no room to remember it.
    pub(super) fn done(&mut self, offset: u64) -> bool {
        if self.portion.as_ref().is_some_and(|share| !share.holds(offset)) {
            return self.elsewhere.len() < MAX_OUT_OF_ORDER && {
                self.elsewhere.insert(offset);
                true
            };
        }
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
        loop {
            if let Some(entry) = position.out_of_order.first_entry()
                && *entry.key() == position.committed + 1
                && entry.get().done
            {
                self.touched.remove(entry.key());
                entry.remove();
                position.committed += 1;
            } else if let Some(first) = self
                .portion
                .as_ref()
                .and_then(|share| share.skip(position.committed + 1))
            {
                // What lies between is another server's.
                position.committed = first - 1;
            } else {
                break;
            }
        }
        if let Some(share) = &mut self.portion {
            share.done_up_to(position.committed);
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
