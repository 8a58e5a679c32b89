//! What a reader of a cursor has, and what it says of it.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

use tenfour_proto::native::Client as Machine;
use tenfour_proto::{Item, Place, Progress, Reply, Stamp, Step, limits};

/// What a reader of a cursor has, and has said.
#[derive(Debug)]
pub(super) struct GroupState {
    /// Messages that are here and not settled, at most.
    pub(super) window: u32,
    /// Not on its way yet.
    pub(super) pending: Vec<(u64, Report)>,
    /// On its way: the number of the frame, and what it said.
    pub(super) unsaved: VecDeque<(u64, Vec<(u64, Report)>)>,
    /// PROGRESS frames on the connection of now.
    pub(super) frames: u64,
    /// Given to us and not settled, over all connections.
    pub(super) open: BTreeMap<u64, Open>,
    /// Number of the latest report.
    pub(super) reported: u64,
    /// All reports up to this one are saved, or void.
    pub(super) saved: u64,
    /// Counts lost connections: what was said before of messages that are not done is void.
    pub(super) losses: u64,
    pub(super) waiting: Vec<Waker>,
}

/// A message that was given to us and is not settled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    /// Which one it is: after a restore another one may come to its offset.
    stamp: Stamp,
    /// The connection that gave it, by the number of losses before it.
    given: u64,
}

/// What it means that a message was given to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    New,
    /// A lost connection had given it to us, and it is still being handled here.
    Again,
    /// The server went back, and this message has the offset of another one that is still being handled here. Of that one
    /// the server can be told nothing any more.
    InItsPlace,
}

/// What is said of messages.
#[derive(Clone, Debug)]
pub(super) struct Report {
    what: What,
    /// The messages, where the server has to be told which ones they were; in order.
    places: Vec<Place>,
    /// The connection that gave them to us, by the number of losses before it.
    given: u64,
}

#[derive(Clone, Debug)]
enum What {
    Step(Progress),
    /// This message is done, with this reply.
    Answer(u64, Reply),
}

impl Report {
    /// Of a message that was given to us: what became of it.
    pub(super) fn settled(item: &Item, given: u64, step: Step) -> Self {
        Report {
            what: What::Step(Progress::one(item.offset, step)),
            places: vec![item.place()],
            given,
        }
    }

    /// Of a message that was given to us: the reply.
    pub(super) fn answered(item: &Item, given: u64, reply: Reply) -> Self {
        Report {
            what: What::Answer(item.offset, reply),
            places: vec![item.place()],
            given,
        }
    }

    /// A message that was not given to us needs not be handled.
    pub(super) fn skipped(offset: u64) -> Self {
        Report {
            what: What::Step(Progress::one(offset, Step::Skip)),
            places: Vec::new(),
            given: 0,
        }
    }

    /// What is done is done, whoever has the message now. All else is void with the connection.
    fn outlives_connections(&self) -> bool {
        match &self.what {
            What::Step(progress) => progress.step == Step::Ack,
            What::Answer(..) => true,
        }
    }

    /// Nobody can rely on it once the connection is lost: the message may be somebody else's by then.
    pub(super) fn is_void_when_lost(&self) -> bool {
        matches!(&self.what, What::Step(progress) if matches!(progress.step, Step::InProgress | Step::Reject | Step::Skip))
    }

    /// Takes one about the next message into this one, if it says the same of it.
    fn absorb(&mut self, next: &Report) -> bool {
        let (What::Step(last), What::Step(step)) = (&mut self.what, &next.what) else {
            return false;
        };
        let follows = last.step == step.step
            && self.given == next.given
            && last.first + u64::from(last.count) == step.first
            && (last.count as usize) < limits::MAX_OUT_OF_ORDER;
        if follows {
            last.count += 1;
            self.places.extend(&next.places);
        }
        follows
    }
}

impl GroupState {
    pub(super) fn new(window: u32) -> Self {
        GroupState {
            window: window.max(1),
            pending: Vec::new(),
            unsaved: VecDeque::new(),
            frames: 0,
            open: BTreeMap::new(),
            reported: 0,
            saved: 0,
            losses: 0,
            waiting: Vec::new(),
        }
    }

    /// A message was given to us.
    pub(super) fn give(&mut self, item: &Item) -> Given {
        let (stamp, given) = (item.stamp(), self.losses);
        match self.open.insert(item.offset, Open { stamp, given }) {
            None => Given::New,
            Some(before) if before.stamp == stamp => Given::Again,
            Some(_) => Given::InItsPlace,
        }
    }

    /// A message is not ours any more: the connection that gave it, if it was ours.
    pub(super) fn take_back(&mut self, item: &Item) -> Option<u64> {
        let open = self.open.get(&item.offset)?;
        let (stamp, given) = (open.stamp, open.given);
        (stamp == item.stamp()).then(|| {
            self.open.remove(&item.offset);
            given
        })
    }

    /// How many more there may be: those of lost connections count as well.
    pub(super) fn room(&self) -> u32 {
        self.window
            .saturating_sub(u32::try_from(self.open.len()).unwrap_or(u32::MAX))
    }

    /// Puts it behind what is to be said. Neighbours are said together.
    pub(super) fn report(&mut self, report: Report) {
        self.reported += 1;
        if let Some((number, last)) = self.pending.last_mut()
            && last.absorb(&report)
        {
            *number = self.reported;
            return;
        }
        self.pending.push((self.reported, report));
    }

    pub(super) fn transmit(&mut self, machine: &mut Machine, request: u32) {
        if self.pending.is_empty() {
            return;
        }
        let said = std::mem::take(&mut self.pending);
        let mut steps = Vec::new();
        for (_, report) in &said {
            if report.outlives_connections() && report.given != self.losses {
                // This connection has not given them to us: the server looks whether they are still the same.
                for place in &report.places {
                    machine.claim(request, *place);
                }
            }
            match &report.what {
                What::Step(progress) => steps.push(*progress),
                What::Answer(offset, reply) => {
                    self.frames += machine.progress(request, &std::mem::take(&mut steps));
                    machine.answer(request, *offset, reply.clone());
                    self.frames += 1;
                }
            }
        }
        self.frames += machine.progress(request, &steps);
        self.unsaved.push_back((self.frames, said));
    }

    pub(super) fn progressed(&mut self, count: u64) {
        while self.unsaved.front().is_some_and(|(frame, _)| *frame <= count) {
            if let Some((number, _)) = self
                .unsaved
                .pop_front()
                .and_then(|(_, said)| said.into_iter().last())
            {
                self.saved = self.saved.max(number);
            }
        }
        self.wake();
    }

    pub(super) fn lost(&mut self) {
        self.losses += 1;
        let said = self.unsaved.drain(..).flat_map(|(_, said)| said);
        self.pending = said
            .chain(std::mem::take(&mut self.pending))
            .filter(|(_, report)| report.outlives_connections())
            .collect();
        if self.pending.is_empty() {
            self.saved = self.reported;
        }
        self.wake();
    }

    /// What was given out is settled, and the server has saved it.
    pub(super) fn is_all_settled(&self) -> bool {
        self.open.is_empty() && self.pending.is_empty() && self.unsaved.is_empty()
    }

    /// No connection will ask for it again: what was not saved is not said any more.
    pub(super) fn abandon(&mut self) {
        self.open.clear();
        self.pending.clear();
        self.wake();
    }

    pub(super) fn wake(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }

    /// Somebody waits for what was said.
    pub(super) fn wait(&mut self, waker: &Waker) {
        if !self.waiting.iter().any(|waiting| waiting.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use tenfour_proto::{MailboxName, Message, Sender};

    use super::*;

    fn item(offset: u64, time: i64) -> Item {
        Item::new(
            offset,
            time,
            Sender::Anonymous,
            Message::new(MailboxName::inbox(), "hi"),
        )
    }

    /// A new connection was granted a whole window, though messages of the old one were still being handled.
    #[test]
    fn what_a_lost_connection_gave_counts_in_the_window() {
        let mut group = GroupState::new(4);
        assert_eq!(group.give(&item(1, 10)), Given::New);
        assert_eq!(group.give(&item(2, 10)), Given::New);
        group.lost();
        assert_eq!(group.room(), 2);
        assert_eq!(group.give(&item(1, 10)), Given::Again);
        assert_eq!(group.room(), 2);
        assert_eq!(group.take_back(&item(1, 10)), Some(1));
        assert_eq!(group.room(), 3);
    }

    /// The server went back, and the offset came again with another message: it was taken for the old one.
    #[test]
    fn an_offset_that_comes_again_with_another_message_is_another_message() {
        let mut group = GroupState::new(4);
        group.give(&item(1, 10));
        group.lost();
        assert_eq!(group.give(&item(1, 11)), Given::InItsPlace);
        assert_eq!(
            group.take_back(&item(1, 10)),
            None,
            "nothing is said of the old one"
        );
        assert_eq!(group.take_back(&item(1, 11)), Some(1));
    }

    #[test]
    fn neighbours_of_two_connections_are_not_said_together() {
        let mut group = GroupState::new(4);
        group.report(Report::settled(&item(1, 10), 0, Step::Ack));
        group.report(Report::settled(&item(2, 10), 0, Step::Ack));
        group.report(Report::settled(&item(3, 10), 1, Step::Ack));
        assert_eq!(group.pending.len(), 2);
    }
}
