//! A cursor in use: which reader has which message, and what is to be written down.

mod share;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tenfour_proto::{CursorName, MailboxName, Progress, Reply, Step};
use tenfour_store::{AckState, CursorChange, CursorOutcome, Portion, Position};
use tokio::sync::watch;

use tenfour_identity::lock;

use share::Share;
use state::{Held, State};

/// Messages that are drawn at once. Those of a server that is lost wait until it is known to be.
const PORTION: u64 = 256;

/// When there is no room for dead letters, the next try is so much later.
const NO_ROOM: Duration = Duration::from_millis(500);

/// What is known of a message that another server gave out.
const DONE: AckState = AckState {
    attempts: 0,
    done: true,
};

/// Shared by its readers and the writer.
#[derive(Debug)]
pub(crate) struct ConsumerGroup {
    mailbox: MailboxName,
    name: CursorName,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

impl ConsumerGroup {
    /// A cursor as the store knows it.
    pub(crate) fn name(&self) -> &CursorName {
        &self.name
    }

    /// With `is_shared` other servers may have readers of it, too: messages are drawn before they are offered.
    pub(super) fn loaded(
        mailbox: MailboxName,
        name: CursorName,
        mut position: Position,
        is_shared: bool,
    ) -> Self {
        if is_shared {
            // It comes with what is drawn.
            position.out_of_order.clear();
        }
        ConsumerGroup {
            mailbox,
            name,
            state: Mutex::new(State {
                next: position.committed + 1,
                position,
                portion: is_shared.then(Share::default),
                elsewhere: BTreeSet::new(),
                members: 0,
                held: BTreeMap::new(),
                waiting: BTreeMap::new(),
                touched: BTreeSet::new(),
                bury: Vec::new(),
                answers: Vec::new(),
                readers: 0,
                version: 0,
                saved: 0,
                queued: false,
                retry: None,
                made: true,
                refused: false,
            }),
            changed: watch::Sender::new(()),
        }
    }

    /// One that the store is yet to make.
    pub(super) fn new(mailbox: MailboxName, name: CursorName, committed: u64, is_shared: bool) -> Self {
        let position = Position {
            committed,
            ..Position::default()
        };
        let cursor = ConsumerGroup::loaded(mailbox, name, position, is_shared);
        {
            let mut state = lock(&cursor.state);
            state.version = 1;
            state.made = false;
        }
        cursor
    }

    /// Another reader; its number is its name here.
    pub(crate) fn join(&self) -> u64 {
        let mut state = lock(&self.state);
        state.readers += 1;
        state.members += 1;
        state.readers
    }

    /// Tells that something came back, or was saved.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Gives at most `most` messages up to offset `last` to a reader, each with the number of attempts before.
    pub(crate) fn offer(&self, reader: u64, last: u64, most: usize, now: Instant) -> Vec<(u64, u32)> {
        let mut state = lock(&self.state);
        let state = &mut *state;
        let due: Vec<u64> = state
            .waiting
            .iter()
            .filter(|(_, due)| due.is_none_or(|due| due <= now))
            .map(|(offset, _)| *offset)
            .take(most)
            .collect();
        let mut offered = Vec::with_capacity(due.len());
        for offset in due {
            state.waiting.remove(&offset);
            offered.push(state.give(reader, offset));
        }
        while offered.len() < most
            && state.has_room()
            && let Some(offset) = state.next_new(last)
        {
            if !state
                .position
                .out_of_order
                .get(&offset)
                .is_some_and(|given| given.done)
            {
                offered.push(state.give(reader, offset));
            }
        }
        offered
    }

    /// These were offered, and are not sent after all.
    pub(crate) fn take_back(&self, offered: &[(u64, u32)]) {
        let mut state = lock(&self.state);
        for (offset, _) in offered {
            if state.held.remove(offset).is_some() {
                state.waiting.insert(*offset, None);
            }
        }
        drop(state);
        if !offered.is_empty() {
            self.changed.send_replace(());
        }
    }

    /// Messages below `first` are not kept any more.
    pub(crate) fn gone_below(&self, first: u64) {
        let mut state = lock(&self.state);
        if let Some(share) = &mut state.portion {
            share.gone_below(first);
        } else if first <= state.position.committed + 1 {
            return;
        }
        state.position.committed = state.position.committed.max(first - 1);
        state.next = state.next.max(first);
        state.position.out_of_order = state.position.out_of_order.split_off(&first);
        state.held = state.held.split_off(&first);
        state.waiting = state.waiting.split_off(&first);
        state.touched = state.touched.split_off(&first);
        state.advance();
        state.version += 1;
    }

    /// Takes a reader's word of messages that it has, or had: those it has `proven` to have had on an earlier connection.
    /// Nothing else is believed, for after a restore its offsets may be those of other messages. Gives the version that
    /// holds it.
    pub(crate) fn report(
        &self,
        reader: u64,
        steps: &[Progress],
        proven: &BTreeSet<u64>,
        last: u64,
        retries: Option<u32>,
        now: Instant,
    ) -> u64 {
        let mut state = lock(&self.state);
        let retries = retries.filter(|_| self.may_bury());
        let mut came_back = false;
        for progress in steps {
            let end = progress.first.saturating_add(progress.count.into());
            let held: Vec<u64> = state
                .held
                .range(progress.first..end)
                .filter(|(_, held)| held.reader == reader)
                .map(|(offset, _)| *offset)
                .collect();
            match progress.step {
                // What is done is done, whoever has it now.
                Step::Ack => {
                    let had = proven.range(progress.first..end).copied();
                    for offset in held.into_iter().chain(had) {
                        state.done(offset);
                    }
                    // The window may have opened for other readers.
                    came_back = true;
                }
                Step::Skip => {
                    for offset in progress.first..end.min(last.saturating_add(1)) {
                        if !state.done(offset) {
                            break;
                        }
                    }
                    came_back = true;
                }
                Step::InProgress => held.into_iter().for_each(|offset| state.begin(offset)),
                Step::Nack => {
                    for offset in held {
                        // Whoever says that it failed has tried, said or not.
                        state.begin(offset);
                        state.fail(offset, retries, now);
                    }
                    came_back = true;
                }
                Step::Release => {
                    for offset in held {
                        state.held.remove(&offset);
                        state.waiting.insert(offset, None);
                    }
                    came_back = true;
                }
                Step::Untried => {
                    for offset in held {
                        state.take_back_attempt(offset);
                    }
                    came_back = true;
                }
                Step::Reject => {
                    for offset in held {
                        state.reject(offset, self.may_bury(), now);
                    }
                }
            }
        }
        state.version += 1;
        let version = state.version;
        drop(state);
        if came_back {
            self.changed.send_replace(());
        }
        version
    }

    /// Takes a reader's word that a message is done, with the reply to it: one that it has, or has `proven` to have had.
    /// Gives the version that holds it.
    pub(crate) fn answer(&self, reader: u64, offset: u64, reply: Reply, proven: &BTreeSet<u64>) -> u64 {
        let mut state = lock(&self.state);
        let has = state.held.get(&offset).is_some_and(|held| held.reader == reader);
        let is_known = offset <= state.position.committed;
        if (has || proven.contains(&offset)) && !is_known && state.done(offset) {
            state.answers.push((offset, reply));
        }
        state.version += 1;
        let version = state.version;
        drop(state);
        self.changed.send_replace(());
        version
    }

    /// A reader has gone: what it had begun with has failed, the rest is as if it had never been given out.
    pub(crate) fn leave(&self, reader: u64, retries: Option<u32>, now: Instant) {
        let mut state = lock(&self.state);
        state.members -= 1;
        let retries = retries.filter(|_| self.may_bury());
        let had: Vec<(u64, Held)> = state
            .held
            .iter()
            .filter(|(_, held)| held.reader == reader)
            .map(|(offset, held)| (*offset, *held))
            .collect();
        for (offset, held) in had {
            if held.begun {
                state.fail(offset, retries, now);
            } else {
                state.held.remove(&offset);
                state.waiting.insert(offset, None);
            }
        }
        state.version += 1;
        drop(state);
        self.changed.send_replace(());
    }

    /// A reader has nothing, and nothing up to `last` is left to be given out.
    pub(crate) fn is_drained(&self, reader: u64, last: u64) -> bool {
        let state = lock(&self.state);
        state.is_given(last)
            && state.waiting.is_empty()
            && state.held.values().all(|held| held.reader != reader)
    }

    /// When there is something to do without anybody's word: something can be saved again, or given out again,
    /// if the reader wants more.
    pub(crate) fn due(&self, wants_more: bool) -> Option<Instant> {
        let state = lock(&self.state);
        let waiting = state.waiting.values().filter_map(|due| *due).min();
        waiting
            .filter(|_| wants_more)
            .into_iter()
            .chain(state.retry)
            .chain(state.portion.as_ref().filter(|_| wants_more).and_then(Share::due))
            .min()
    }

    /// There is nothing to be offered up to `last`, and there may be something to be drawn: the caller has it drawn.
    pub(super) fn claim_drawing(&self, last: u64, now: Instant) -> bool {
        let mut state = lock(&self.state);
        let is_made = state.made;
        state
            .portion
            .as_mut()
            .is_some_and(|share| is_made && share.begin_drawing(last, now))
    }

    /// How many messages are to be drawn, and whether it is for the first time. `None`: nobody is here any more.
    pub(super) fn wanted(&self) -> Option<(u64, bool)> {
        let mut state = lock(&self.state);
        if state.members == 0 {
            state.give_back();
            return None;
        }
        Some((PORTION, state.portion.as_ref()?.is_new()))
    }

    /// This was drawn.
    pub(super) fn drawn(&self, portion: Portion, now: Instant) {
        lock(&self.state).drawn(portion, now);
        self.changed.send_replace(());
    }

    /// Where it reads.
    pub(super) fn mailbox(&self) -> &MailboxName {
        &self.mailbox
    }

    /// Changes up to this version are saved.
    pub(crate) fn saved(&self) -> u64 {
        lock(&self.state).saved
    }

    /// It is as durable as a receipt says that there is such a cursor.
    pub(crate) fn is_made(&self) -> bool {
        lock(&self.state).made
    }

    /// The store has no place for it.
    pub(crate) fn is_refused(&self) -> bool {
        lock(&self.state).refused
    }

    /// There is something to save and nobody at it: the caller puts it on the queue.
    pub(super) fn claim_saving(&self, now: Instant) -> bool {
        let mut state = lock(&self.state);
        let wanted = state.version > state.saved
            && !state.queued
            && !state.refused
            && state.retry.is_none_or(|at| at <= now);
        if wanted {
            state.queued = true;
            state.retry = None;
        }
        wanted
    }

    /// What is to be saved, with its version.
    pub(super) fn take_change(&self) -> (CursorChange, u64) {
        let mut state = lock(&self.state);
        state.queued = false;
        let touched = std::mem::take(&mut state.touched);
        let elsewhere = std::mem::take(&mut state.elsewhere).into_iter();
        let out_of_order = touched
            .into_iter()
            .filter_map(|offset| Some((offset, *state.position.out_of_order.get(&offset)?)))
            .chain(elsewhere.map(|offset| (offset, DONE)))
            .collect();
        let gives_back = state.portion.is_some() && state.members == 0;
        let change = CursorChange {
            mailbox: self.mailbox.clone(),
            name: self.name.clone(),
            committed: state.position.committed,
            out_of_order,
            bury: std::mem::take(&mut state.bury),
            answers: std::mem::take(&mut state.answers),
            gives_back,
        };
        if gives_back {
            state.give_back();
        }
        for offset in &change.bury {
            tracing::warn!(mailbox = %self.mailbox, offset, cursor = %self.name, "no reader could handle this message: it goes to the dead letters");
        }
        (change, state.version)
    }

    /// What became of it.
    pub(super) fn take_outcome(&self, change: CursorChange, version: u64, outcome: CursorOutcome) {
        let mut state = lock(&self.state);
        match outcome {
            CursorOutcome::Moved => {
                state.saved = version;
                state.made = true;
            }
            CursorOutcome::TooMany => state.refused = true,
            CursorOutcome::NotNow => {
                let committed = state.position.committed;
                let offsets = change.out_of_order.into_iter().map(|(offset, _)| offset);
                state.touched.extend(offsets.filter(|offset| *offset > committed));
                state.bury.splice(0..0, change.bury);
                state.answers.splice(0..0, change.answers);
                state.retry = Some(Instant::now() + NO_ROOM);
            }
        }
        drop(state);
        self.changed.send_replace(());
    }

    /// Its own dead letters would come back to it for ever.
    fn may_bury(&self) -> bool {
        self.mailbox != *self.name.dead_letters()
    }
}

#[cfg(test)]
mod tests {
    use tenfour_proto::limits::MAX_OUT_OF_ORDER;

    use super::state::{FIRST_PAUSE, LONGEST_PAUSE};
    use super::*;

    /// Had nothing on an earlier connection.
    const NONE: &BTreeSet<u64> = &BTreeSet::new();

    fn cursor() -> ConsumerGroup {
        ConsumerGroup::new(MailboxName::inbox(), "worker".parse().unwrap(), 0, false)
    }

    fn portion(ranges: &[(u64, u64)], states: &[(u64, AckState)], end: u64) -> Portion {
        Portion {
            ranges: ranges.to_vec(),
            states: states.to_vec(),
            end,
        }
    }

    #[test]
    fn of_a_shared_cursor_only_what_is_drawn_is_offered() {
        let cursor = ConsumerGroup::new(MailboxName::inbox(), "worker".parse().unwrap(), 0, true);
        let now = Instant::now();
        let a = cursor.join();
        save(&cursor);
        assert_eq!(cursor.offer(a, 99, 9, now), []);
        assert!(cursor.claim_drawing(99, now) && !cursor.claim_drawing(99, now));
        let tried = AckState {
            attempts: 2,
            done: false,
        };
        cursor.drawn(portion(&[(5, 6), (9, 9)], &[(6, tried), (9, DONE)], 20), now);
        assert_eq!(cursor.offer(a, 99, 9, now), [(5, 0), (6, 2)]);
        cursor.report(a, &[step(5, 2, Step::Ack)], NONE, 99, None, now);
        assert_eq!(
            save(&cursor).committed,
            9,
            "over what others have, and what was done before"
        );
        // Those of a server that is gone lie below.
        assert!(cursor.claim_drawing(20, now), "there may be more");
        cursor.drawn(portion(&[(1, 2)], &[], 20), now);
        assert_eq!(cursor.offer(a, 99, 9, now), [(1, 0), (2, 0)]);
        assert_eq!(save(&cursor).committed, 0);
        cursor.report(a, &[step(1, 1, Step::Ack)], NONE, 99, None, now);
        let change = save(&cursor);
        assert_eq!((change.committed, change.gives_back), (1, false));
        // The last reader goes: what is not done is for others.
        cursor.leave(a, None, now);
        let change = save(&cursor);
        assert_eq!((change.committed, change.gives_back), (1, true));
        let b = cursor.join();
        assert_eq!(cursor.offer(b, 99, 9, now), []);
    }

    #[test]
    fn nothing_to_draw_is_asked_for_again_when_something_comes_or_after_a_while() {
        let cursor = ConsumerGroup::new(MailboxName::inbox(), "worker".parse().unwrap(), 0, true);
        let now = Instant::now();
        let a = cursor.join();
        save(&cursor);
        assert!(cursor.claim_drawing(3, now));
        cursor.drawn(portion(&[], &[], 3), now);
        assert!(cursor.is_drained(a, 3) && !cursor.is_drained(a, 4));
        assert!(!cursor.claim_drawing(3, now));
        assert!(cursor.claim_drawing(4, now));
        cursor.drawn(portion(&[], &[], 4), now);
        let due = cursor.due(true).unwrap();
        assert!(due > now && cursor.claim_drawing(4, due));
    }

    #[test]
    fn what_another_server_gave_out_is_done_by_whoever_had_it() {
        let cursor = ConsumerGroup::new(MailboxName::inbox(), "worker".parse().unwrap(), 0, true);
        let now = Instant::now();
        let a = cursor.join();
        let had = BTreeSet::from([7]);
        cursor.report(a, &[step(7, 1, Step::Ack)], &had, 9, None, now);
        let change = save(&cursor);
        assert_eq!(
            (change.committed, &change.out_of_order[..]),
            (0, &[(7, DONE)][..])
        );
    }

    fn step(first: u64, count: u32, step: Step) -> Progress {
        Progress { first, count, step }
    }

    fn save(cursor: &ConsumerGroup) -> CursorChange {
        let (change, version) = cursor.take_change();
        cursor.take_outcome(change.clone(), version, CursorOutcome::Moved);
        change
    }

    #[test]
    fn readers_share_and_the_floor_rises_over_what_is_done() {
        let (cursor, now) = (cursor(), Instant::now());
        let (a, b) = (cursor.join(), cursor.join());
        assert_eq!(cursor.offer(a, 4, 2, now), [(1, 0), (2, 0)]);
        assert_eq!(cursor.offer(b, 4, 9, now), [(3, 0), (4, 0)]);
        cursor.report(
            b,
            &[step(3, 2, Step::InProgress), step(3, 2, Step::Ack)],
            NONE,
            4,
            None,
            now,
        );
        let change = save(&cursor);
        assert_eq!((change.committed, change.out_of_order.len()), (0, 2));
        cursor.report(a, &[step(1, 2, Step::Ack)], NONE, 4, None, now);
        let change = save(&cursor);
        assert_eq!((change.committed, change.out_of_order.len()), (4, 0));
        assert!(cursor.is_drained(a, 4));
    }

    #[test]
    fn what_a_lost_reader_had_begun_with_counts_and_the_rest_does_not() {
        let (cursor, now) = (cursor(), Instant::now());
        let a = cursor.join();
        assert_eq!(cursor.offer(a, 3, 3, now).len(), 3);
        cursor.report(a, &[step(1, 1, Step::InProgress)], NONE, 3, Some(5), now);
        cursor.leave(a, Some(5), now);
        let b = cursor.join();
        assert_eq!(cursor.offer(b, 3, 9, now), [(2, 0), (3, 0)]);
        assert!(!cursor.is_drained(b, 3));
        assert_eq!(cursor.offer(b, 3, 9, now + FIRST_PAUSE), [(1, 1)]);
    }

    /// A full disk of the reader's was counted as a failure of the messages, and in the end they were buried.
    #[test]
    fn what_was_not_tried_has_not_failed() {
        let (cursor, now) = (cursor(), Instant::now());
        let a = cursor.join();
        for _ in 0..10 {
            assert_eq!(cursor.offer(a, 1, 1, now), [(1, 0)]);
            for step in [step(1, 1, Step::InProgress), step(1, 1, Step::Untried)] {
                cursor.report(a, &[step], NONE, 1, Some(2), now);
            }
            assert_eq!(save(&cursor).out_of_order[0].1.attempts, 0);
        }
    }

    #[test]
    fn after_the_last_retry_it_is_buried_once() {
        let (cursor, mut now) = (cursor(), Instant::now());
        let a = cursor.join();
        for attempt in 0..3 {
            assert_eq!(cursor.offer(a, 1, 1, now), [(1, attempt)]);
            cursor.report(
                a,
                &[step(1, 1, Step::InProgress), step(1, 1, Step::Nack)],
                NONE,
                1,
                Some(2),
                now,
            );
            now += LONGEST_PAUSE;
        }
        assert!(cursor.offer(a, 1, 1, now).is_empty());
        let change = save(&cursor);
        assert_eq!((change.committed, change.bury), (1, vec![1]));
        assert!(save(&cursor).bury.is_empty());
    }

    #[test]
    fn letters_that_find_no_room_are_kept_for_the_next_try() {
        let (cursor, now) = (cursor(), Instant::now());
        let a = cursor.join();
        cursor.offer(a, 1, 1, now);
        let version = cursor.report(a, &[step(1, 1, Step::Reject)], NONE, 1, None, now);
        assert!(cursor.claim_saving(now));
        let (change, taken) = cursor.take_change();
        cursor.take_outcome(change, taken, CursorOutcome::NotNow);
        assert!(cursor.saved() < version && !cursor.claim_saving(now));
        assert!(cursor.claim_saving(now + 2 * NO_ROOM));
        assert_eq!(save(&cursor).bury, [1]);
        assert!(cursor.saved() >= version);
    }

    #[test]
    fn a_slow_message_holds_back_only_so_many_others() {
        let (cursor, now) = (cursor(), Instant::now());
        let a = cursor.join();
        let mut given = 0;
        loop {
            let offered = cursor.offer(a, 1_000_000, 100, now);
            if offered.is_empty() {
                break;
            }
            given += offered.len();
            for (offset, _) in offered.into_iter().filter(|(offset, _)| *offset > 1) {
                cursor.report(a, &[step(offset, 1, Step::Ack)], NONE, 1_000_000, None, now);
            }
        }
        assert_eq!(given, MAX_OUT_OF_ORDER);
        cursor.report(a, &[step(1, 1, Step::Ack)], NONE, 1_000_000, None, now);
        assert!(!cursor.offer(a, 1_000_000, 100, now).is_empty());
    }

    #[test]
    fn words_about_messages_that_are_not_there_change_nothing() {
        let (cursor, now) = (cursor(), Instant::now());
        let a = cursor.join();
        cursor.offer(a, 2, 2, now);
        for wrong in [
            step(3, 1_024, Step::Ack),
            step(u64::MAX, 1_024, Step::Ack),
            step(0, 1, Step::Ack),
            step(7, 3, Step::Nack),
        ] {
            cursor.report(a, &[wrong], NONE, 2, Some(0), now);
        }
        let change = save(&cursor);
        assert_eq!(
            (change.committed, change.out_of_order, change.bury),
            (0, vec![], vec![])
        );
    }

    /// After a restore, a reader that had handled the old message 2 said *done*, and the new message 2 was never seen.
    #[test]
    fn what_a_reader_did_not_have_it_has_not_done() {
        let (cursor, now) = (cursor(), Instant::now());
        let (a, b) = (cursor.join(), cursor.join());
        assert_eq!(cursor.offer(a, 1, 1, now), [(1, 0)]);
        cursor.report(a, &[step(1, 3, Step::Ack)], NONE, 3, None, now);
        cursor.answer(a, 2, Reply::new("to another message"), NONE);
        assert_eq!(cursor.offer(b, 3, 9, now), [(2, 0), (3, 0)]);
        cursor.answer(a, 3, Reply::new("it is with b"), NONE);
        let change = save(&cursor);
        assert_eq!((change.committed, change.answers), (1, vec![]));
        // What it has proven is believed, whoever has it now; and a damaged message is skipped by anybody.
        cursor.report(a, &[step(2, 1, Step::Ack)], &BTreeSet::from([2]), 3, None, now);
        cursor.report(a, &[step(3, 1, Step::Skip)], NONE, 3, None, now);
        assert_eq!(save(&cursor).committed, 3);
    }

    #[test]
    fn what_retention_deleted_is_passed_over() {
        let (cursor, now) = (cursor(), Instant::now());
        let a = cursor.join();
        assert_eq!(cursor.offer(a, 500, 3, now).len(), 3);
        cursor.gone_below(100);
        assert_eq!(cursor.offer(a, 500, 2, now), [(100, 0), (101, 0)]);
        assert_eq!(save(&cursor).committed, 99);
    }
}
