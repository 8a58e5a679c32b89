//! Who is served next: keys and tokens before strangers, and the peers of a class in turn.
//!
//! A queue in the order of arrival is as long as its busiest peer makes it. Here each peer has a line of its own, and each
//! round takes from the lines by deficit round robin (Shreedhar and Varghese, 1996): a peer that sends a million messages
//! delays another one by a round, not by the million. The jobs of one peer stay in their order.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::time::{Duration, Instant};

/// What a line gets each time its turn comes, in units of cost: about one message each.
const QUANTUM: u64 = 256;

/// Most of a round while only one peer is there: beyond this the latency of each grows and the rate does not.
const ALONE: u64 = 32_768;

/// Most and least of a round while others may come. Between them it is what the disk does in [`ROUND`].
const SHARED: (u64, u64) = (8_192, 256);

/// The least of a round whose store is on another machine.
const REMOTE: u64 = 4_096;

/// So long others may wait for a round. One that took longer makes the next ones shorter, and one that took half of it longer.
const ROUND: Duration = Duration::from_millis(4);

/// Most of what strangers get of a round beside somebody known.
const STRANGERS: u64 = 256;

/// The longest rest of strangers after a round of theirs.
const LONGEST_REST: Duration = Duration::from_millis(50);

/// Empty lines that are kept for their peers: most come again at once.
const EMPTY_LINES: usize = 64;

/// A line with room for more jobs than this is not kept.
const LONG: usize = 1_024;

/// For so long after its last job a peer may come again.
const RECENT: Duration = Duration::from_secs(1);

/// Whose job it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rank {
    /// A key or a token.
    Known,
    /// Nobody knows who it is.
    Stranger,
}

/// Lines of jobs, one for each peer.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    known: Lines<T>,
    strangers: Lines<T>,
    /// Until then strangers wait, so that they have half of the time at most beside somebody known.
    resting: Option<Instant>,
    /// What is taken at most while others may come.
    shared: u64,
    /// It is never less.
    least: u64,
}

#[derive(Debug)]
struct Lines<T> {
    lines: HashMap<Peer, Line<T>, BuildHasherDefault<AsIs>>,
    /// Peers with jobs, in the order of their turns.
    turns: VecDeque<Peer>,
    /// Jobs in all lines.
    jobs: usize,
    /// The peer that came last, and when.
    latest: Option<(Peer, Instant)>,
    /// When two peers were there within [`RECENT`].
    shared: Option<Instant>,
}

#[derive(Debug)]
struct Line<T> {
    jobs: VecDeque<(u64, T)>,
    deficit: u64,
}

/// A number that is the same for all jobs of a peer: a hash of what it is known by.
pub(super) type Peer = u64;

/// Of what is a hash already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        FairQueue {
            known: Lines::default(),
            strangers: Lines::default(),
            resting: None,
            shared: SHARED.0,
            least: SHARED.1,
        }
    }
}

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Lines {
            lines: HashMap::default(),
            turns: VecDeque::new(),
            jobs: 0,
            latest: None,
            shared: None,
        }
    }
}

impl<T> FairQueue<T> {
    /// Puts a job at the end of its peer's line.
    pub(super) fn push(&mut self, rank: Rank, peer: Peer, cost: u64, job: T, now: Instant) {
        match rank {
            Rank::Known => self.known.push(peer, cost, job, now),
            Rank::Stranger => self.strangers.push(peer, cost, job, now),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.turns.is_empty() && self.strangers.turns.is_empty()
    }

    /// The next round has jobs now.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        !self.known.turns.is_empty() || !self.strangers.turns.is_empty() && self.rest(now).is_zero()
    }

    /// For so long strangers still wait.
    pub(super) fn rest(&self, now: Instant) -> Duration {
        self.resting
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// A round took so long: strangers rest as long, if somebody known is there and they were in it.
    pub(super) fn took(&mut self, time: Duration, now: Instant) {
        if self.known.is_shared(now) {
            self.shared = match time {
                _ if time > ROUND => self.shared * 3 / 4,
                _ if time < ROUND / 2 => self.shared * 9 / 8,
                _ => self.shared,
            }
            .clamp(self.least, SHARED.0);
        }
        if self.resting.is_none_or(|until| until <= now) && self.known.is_recent(now) {
            self.resting = Some(now + time.min(LONGEST_REST));
        }
    }

    /// Each round is a way to another machine and back, which costs the same for one job and for many.
    pub(super) fn is_of_remote_store(&mut self) {
        self.least = REMOTE;
    }

    /// Nobody rests any more: all that waits is to be done.
    pub(super) fn wake(&mut self) {
        self.resting = None;
    }

    /// The jobs of the next round. None are left behind for ever: each round gets on with every class.
    pub(super) fn round(&mut self, now: Instant) -> Vec<T> {
        let mut jobs = Vec::with_capacity((self.known.jobs + self.strangers.jobs).min(ALONE as usize));
        let of_known = if self.known.is_shared(now) {
            self.shared
        } else {
            ALONE
        };
        self.known.take(of_known, &mut jobs);
        let of_strangers = match self.known.is_recent(now) {
            true if !self.rest(now).is_zero() => 0,
            true => STRANGERS,
            false if self.strangers.is_shared(now) => self.shared,
            false => ALONE,
        };
        self.strangers.take(of_strangers, &mut jobs);
        jobs
    }

    /// All that waits, at the end.
    pub(super) fn drain(&mut self) -> Vec<T> {
        let mut jobs = Vec::new();
        self.known.take(u64::MAX, &mut jobs);
        self.strangers.take(u64::MAX, &mut jobs);
        jobs
    }
}

impl<T> Lines<T> {
    fn push(&mut self, peer: Peer, cost: u64, job: T, now: Instant) {
        if self.latest.is_some_and(|(other, _)| other != peer) && self.is_recent(now) {
            self.shared = Some(now);
        }
        self.latest = Some((peer, now));
        let line = self.lines.entry(peer).or_insert_with(|| Line {
            jobs: VecDeque::new(),
            deficit: 0,
        });
        if line.jobs.is_empty() {
            self.turns.push_back(peer);
        }
        line.jobs.push_back((cost, job));
        self.jobs += 1;
    }

    /// Somebody is there, or was a moment ago.
    fn is_recent(&self, now: Instant) -> bool {
        let latest = self.latest.as_ref().map(|(_, at)| *at);
        !self.turns.is_empty() || latest.is_some_and(|at| now.saturating_duration_since(at) < RECENT)
    }

    /// More than one is, or was.
    fn is_shared(&self, now: Instant) -> bool {
        let shared = self.shared;
        self.turns.len() > 1 || shared.is_some_and(|at| now.saturating_duration_since(at) < RECENT)
    }

    /// Takes jobs of about that cost, the lines in turn.
    fn take(&mut self, budget: u64, jobs: &mut Vec<T>) {
        let mut taken = 0;
        while taken < budget
            && let Some(peer) = self.turns.pop_front()
        {
            let Some(line) = self.lines.get_mut(&peer) else {
                continue;
            };
            line.deficit += QUANTUM;
            while taken < budget
                && let Some((cost, _)) = line.jobs.front()
                && *cost <= line.deficit
                && let Some((cost, job)) = line.jobs.pop_front()
            {
                line.deficit -= cost;
                taken += cost;
                self.jobs -= 1;
                jobs.push(job);
            }
            if !line.jobs.is_empty() {
                self.turns.push_back(peer);
                continue;
            }
            line.deficit = 0;
            if line.jobs.capacity() > LONG || self.lines.len() > self.turns.len() + EMPTY_LINES {
                self.lines.remove(&peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Peer and number of each job.
    type Jobs = FairQueue<(u8, u32)>;

    fn fill(queue: &mut Jobs, rank: Rank, peer: u8, jobs: u32, cost: u64, now: Instant) {
        for number in 0..jobs {
            queue.push(rank, u64::from(peer), cost, (peer, number), now);
        }
    }

    fn of(round: &[(u8, u32)], peer: u8) -> Vec<u32> {
        let own = round.iter().filter(|(other, _)| *other == peer);
        own.map(|(_, number)| *number).collect()
    }

    #[test]
    fn one_peer_alone_has_everything() {
        let (mut queue, now) = (Jobs::default(), Instant::now());
        fill(&mut queue, Rank::Known, 1, 40_000, 1, now);
        let round = queue.round(now);
        assert_eq!(round.len() as u64, ALONE);
        assert_eq!(of(&round, 1), (0..ALONE as u32).collect::<Vec<_>>());
        assert_eq!(queue.round(now).len() as u64, 40_000 - ALONE);
        assert!(queue.is_empty() && queue.round(now).is_empty());
    }

    /// One connection's million lines moved an honest receipt from 1 to 452 ms.
    #[test]
    fn a_peer_waits_for_a_round_and_not_for_another_ones_line() {
        let (mut queue, now) = (Jobs::default(), Instant::now());
        fill(&mut queue, Rank::Known, 1, 100_000, 1, now);
        fill(&mut queue, Rank::Known, 2, 3, 1, now);
        let round = queue.round(now);
        assert_eq!(of(&round, 2), [0, 1, 2]);
        assert!(round.len() as u64 <= SHARED.0, "{}", round.len());
        // And what comes a moment later does not find a long round under way.
        assert!(queue.round(now).len() as u64 <= SHARED.0);
        assert_eq!(queue.round(now + 2 * RECENT).len() as u64, ALONE);
    }

    #[test]
    fn strangers_get_a_share_beside_those_we_know() {
        let (mut queue, now) = (Jobs::default(), Instant::now());
        fill(&mut queue, Rank::Stranger, 9, 100_000, 1, now);
        assert_eq!(queue.round(now).len() as u64, ALONE);
        fill(&mut queue, Rank::Known, 1, 1, 1, now);
        let round = queue.round(now);
        assert_eq!((round[0], round.len() as u64), ((1, 0), 1 + STRANGERS));
        // The known one is likely to come again.
        assert_eq!(queue.round(now).len() as u64, STRANGERS);
    }

    #[test]
    fn strangers_rest_as_long_as_they_took_while_somebody_known_is_there() {
        let (mut queue, now) = (Jobs::default(), Instant::now());
        let later = |milliseconds| now + Duration::from_millis(milliseconds);
        fill(&mut queue, Rank::Stranger, 9, 10_000, 1, now);
        assert!(queue.is_ready(now));
        queue.round(now);
        queue.took(Duration::from_millis(10), now);
        assert!(queue.is_empty());
        fill(&mut queue, Rank::Stranger, 9, 10_000, 1, now);
        assert!(queue.is_ready(now), "nobody else is there");
        fill(&mut queue, Rank::Known, 1, 1, 1, now);
        assert_eq!(queue.round(now).len() as u64, 1 + STRANGERS);
        queue.took(Duration::from_millis(10), later(10));
        assert!(!queue.is_ready(later(19)) && queue.is_ready(later(20)));
        assert_eq!(queue.rest(later(15)), Duration::from_millis(5));
        fill(&mut queue, Rank::Known, 1, 1, 1, later(15));
        assert!(queue.is_ready(later(15)));
        assert_eq!(queue.round(later(15)), [(1, 0)]);
        // A round without them is nothing to rest for.
        queue.took(Duration::from_millis(40), later(16));
        assert!(!queue.is_ready(later(16)));
        queue.wake();
        assert!(queue.is_ready(later(16)));
    }

    #[test]
    fn lines_share_by_cost_and_large_jobs_get_their_turn() {
        let (mut queue, now) = (Jobs::default(), Instant::now());
        fill(&mut queue, Rank::Known, 1, 100, 1_000, now);
        fill(&mut queue, Rank::Known, 2, 100_000, 1, now);
        let round = queue.round(now);
        let (large, small) = (of(&round, 1).len() as u64 * 1_000, of(&round, 2).len() as u64);
        assert!(large.abs_diff(small) <= 2_000, "{large} and {small}");
        fill(&mut queue, Rank::Known, 3, 1, 10 * SHARED.0, now);
        let rounds = (0..100).position(|_| !of(&queue.round(now), 3).is_empty());
        assert!(rounds.is_some());
    }

    #[test]
    fn a_round_is_what_the_disk_does_in_its_time() {
        let (mut queue, now) = (Jobs::default(), Instant::now());
        fill(&mut queue, Rank::Known, 1, 1_000_000, 1, now);
        fill(&mut queue, Rank::Known, 2, 1, 1, now);
        // A message a microsecond, then a slow disk: ten.
        for micros in [1, 10, 1] {
            // It grows by an eighth while it takes less than half of the time.
            let half = ROUND.as_micros() as u64 / 2 / micros;
            let (least, most) = (half * 29 / 30, (half * 7 / 3).min(SHARED.0));
            let mut length = 0;
            for _ in 0..40 {
                length = queue.round(now).len() as u64;
                queue.took(Duration::from_micros(micros * length), now);
            }
            assert!((least..=most).contains(&length), "{length} at {micros} us each");
            fill(&mut queue, Rank::Known, 2, 1, 1, now);
        }
    }

    #[test]
    fn lines_of_peers_that_have_gone_do_not_gather() {
        let (mut queue, now) = (FairQueue::default(), Instant::now());
        for peer in 0..10_000 {
            queue.push(Rank::Stranger, peer, 1, (), now);
            queue.push(Rank::Known, peer, 1, (), now);
            if peer % 7 == 0 {
                while !queue.is_empty() {
                    queue.round(now + RECENT);
                }
            }
        }
        queue.drain();
        for lines in [&queue.known, &queue.strangers] {
            assert!(lines.lines.len() <= EMPTY_LINES + 1, "{}", lines.lines.len());
            assert!(lines.turns.is_empty() && lines.jobs == 0);
        }
    }

    #[test]
    fn whatever_waits_is_there_at_the_end() {
        let (mut queue, now) = (Jobs::default(), Instant::now());
        fill(&mut queue, Rank::Known, 1, 40_000, 7, now);
        fill(&mut queue, Rank::Stranger, 2, 40_000, 7, now);
        assert_eq!(queue.drain().len(), 80_000);
        assert!(queue.is_empty());
    }
}
