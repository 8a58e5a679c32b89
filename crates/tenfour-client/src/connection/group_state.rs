//! What a reader of a cursor has, and what it says of it.

use std::collections::{BTreeSet, VecDeque};
use std::task::Waker;

use tenfour_proto::native::Client as Machine;
use tenfour_proto::{Progress, Reply, Step, limits};

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
    pub(super) open: BTreeSet<u64>,
    /// Number of the latest report.
    pub(super) reported: u64,
    /// All reports up to this one are saved, or void.
    pub(super) saved: u64,
    /// Counts lost connections: what was said before of messages that are not done is void.
    pub(super) losses: u64,
    pub(super) waiting: Vec<Waker>,
}

#[derive(Clone, Debug)]
pub(super) enum Report {
    Step(Progress),
    /// This message is done, with this reply.
    Answer(u64, Reply),
}

impl Report {
    /// What is done is done, whoever has the message now. All else is void with the connection.
    fn outlives_connections(&self) -> bool {
        match self {
            Report::Step(progress) => progress.step == Step::Ack,
            Report::Answer(..) => true,
        }
    }
}

impl GroupState {
    pub(super) fn new(window: u32) -> Self {
        GroupState {
            window: window.max(1),
            pending: Vec::new(),
            unsaved: VecDeque::new(),
            frames: 0,
            open: BTreeSet::new(),
            reported: 0,
            saved: 0,
            losses: 0,
            waiting: Vec::new(),
        }
    }

    /// Puts it behind what is to be said. Neighbours are said together.
    pub(super) fn report(&mut self, report: Report) {
        self.reported += 1;
        if let (Some((number, Report::Step(last))), Report::Step(next)) = (self.pending.last_mut(), &report)
            && last.step == next.step
            && last.first + u64::from(last.count) == next.first
            && (last.count as usize) < limits::MAX_OUT_OF_ORDER
        {
            last.count += 1;
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
        for (_, one) in &said {
            match one {
                Report::Step(progress) => steps.push(*progress),
                Report::Answer(offset, reply) => {
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
