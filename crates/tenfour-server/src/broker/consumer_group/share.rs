//! The messages of a cursor that this server gives out, where other servers have readers of it, too.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use tenfour_store::Portion;

/// When there was nothing to be drawn, it is tried again so much later: another server may have given some back, or be gone.
const AGAIN: Duration = Duration::from_secs(1);

/// Under the lock of its group.
#[derive(Debug)]
pub(super) struct Share {
    /// What is not all done, first to last.
    ranges: BTreeMap<u64, u64>,
    /// What was never given out of it.
    ungiven: VecDeque<(u64, u64)>,
    /// The last offset of the mailbox when something was last drawn.
    end: u64,
    is_drawing: bool,
    is_new: bool,
    again: Option<Instant>,
}

impl Default for Share {
    fn default() -> Self {
        Share {
            ranges: BTreeMap::new(),
            ungiven: VecDeque::new(),
            end: 0,
            is_drawing: false,
            is_new: true,
            again: None,
        }
    }
}

impl Share {
    /// Nothing was ever drawn.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// True if something is to be drawn; until it [is](Self::drawn), nothing more is.
    pub(super) fn begin_drawing(&mut self, last: u64, now: Instant) -> bool {
        // Where something was drawn last time, there may be more.
        let is_due = self.end < last || self.again.is_none_or(|again| again <= now);
        let begins = is_due && self.ungiven.is_empty() && !self.is_drawing;
        self.is_drawing |= begins;
        begins
    }

    pub(super) fn drawn(&mut self, portion: &Portion, now: Instant) {
        (self.is_drawing, self.is_new) = (false, false);
        self.end = self.end.max(portion.end);
        self.ranges.extend(portion.ranges.iter().copied());
        self.ungiven.extend(portion.ranges.iter().copied());
        self.again = portion.ranges.is_empty().then(|| now + AGAIN);
    }

    /// When it is tried again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.again.filter(|_| !self.is_drawing)
    }

    /// The next offset up to `last`.
    pub(super) fn next(&mut self, last: u64) -> Option<u64> {
        let (first, end) = self.ungiven.front_mut().filter(|(first, _)| *first <= last)?;
        let offset = *first;
        *first += 1;
        if first > end {
            self.ungiven.pop_front();
        }
        Some(offset)
    }

    /// Everything up to `last` is given out, here or elsewhere.
    pub(super) fn is_given(&self, last: u64) -> bool {
        self.ungiven.is_empty() && !self.is_new && self.end >= last && self.again.is_some()
    }

    pub(super) fn holds(&self, offset: u64) -> bool {
        let range = self.ranges.range(..=offset).next_back();
        range.is_some_and(|(_, last)| offset <= *last)
    }

    /// Where the next range begins, if an offset is in none.
    pub(super) fn skip(&self, offset: u64) -> Option<u64> {
        let next = self.ranges.range(offset..).next().map(|(first, _)| *first);
        next.filter(|first| *first > offset && !self.holds(offset))
    }

    /// Up to there all that is this server's is done.
    pub(super) fn done_up_to(&mut self, committed: u64) {
        self.ranges.retain(|_, last| *last > committed);
    }

    /// Messages below `first` are not kept any more.
    pub(super) fn gone_below(&mut self, first: u64) {
        self.ranges.retain(|_, last| *last >= first);
        self.ungiven.retain(|(_, last)| *last >= first);
        if let Some((begin, _)) = self.ungiven.front_mut() {
            *begin = first.max(*begin);
        }
    }
}
