//! What a connection reads: a mailbox in its order, or by a cursor whose readers share the work.
//!
//! It outlives connections. The task of the connection moves it on; whoever handles the messages may take as long as he
//! likes.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use tenfour_identity::lock;
use tenfour_proto::native::{
    Client as Machine, ClientEvent, Credit, EndReason, ReadEnd, ReadFrom, ReadRequest,
};
use tenfour_proto::{Item, Reply, Step};

use super::group_state::{Given, GroupState, Report};
use super::wake::Wake;
use crate::error::ReaderError;

/// What may be on its way to a reader of a mailbox: enough to keep the wire full.
const WINDOW: Credit = Credit {
    messages: 1_024,
    bytes: 1024 * 1024,
};

/// A read, shared by the task of its connection and whoever takes the messages.
#[derive(Debug)]
pub(crate) struct Read {
    state: Mutex<State>,
    wake: Wake,
}

#[derive(Debug)]
struct State {
    request: ReadRequest,
    group: Option<GroupState>,
    /// The connection of now was asked for it.
    attached: bool,
    /// The server has said where it begins: what is stored from here on comes.
    started: bool,
    /// Came, and nobody has taken them yet.
    ready: VecDeque<Item>,
    /// Credit to be granted.
    used: Credit,
    /// Nothing more comes.
    ended: bool,
    /// Why, until somebody has been told. What came before it is handled first.
    failure: Option<ReaderError>,
    /// Nobody takes messages any more.
    left: bool,
    waiting: Option<Waker>,
}

impl Read {
    /// With a `window` it consumes by the cursor that the request names.
    pub(crate) fn new(request: ReadRequest, window: u32, wake: Wake) -> Arc<Self> {
        let group = request.cursor.is_some().then(|| GroupState::new(window));
        Arc::new(Read {
            state: Mutex::new(State {
                request,
                group,
                attached: false,
                started: false,
                ready: VecDeque::new(),
                used: Credit::NONE,
                ended: false,
                failure: None,
                left: false,
                waiting: None,
            }),
            wake,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Asks for it on an open connection, where that was not done yet, and sends what is to be said.
    pub(crate) fn transmit(&self, machine: &mut Machine, next_request: &mut u32) {
        let mut state = self.state();
        if !state.attached && !state.ended && (!state.left || state.has_more_to_say()) {
            *next_request += 1;
            state.attach(machine, *next_request);
        }
        if state.attached {
            state.transmit(machine);
        }
    }

    /// Acts on what the connection has understood.
    pub(crate) fn take_event(&self, event: ClientEvent) {
        self.state().take_event(event);
    }

    /// The connection is gone; there may be another one.
    pub(crate) fn lost(&self, reason: &str) {
        let state = &mut *self.state();
        state.attached = false;
        if let Some(group) = &mut state.group {
            group.lost();
            // What nobody has taken is not ours any more.
            for item in state.ready.drain(..) {
                group.take_back(&item);
            }
            if state.ended {
                group.abandon();
            }
        } else if !state.request.follow && !state.ended {
            // Whoever reads to the end once is told.
            state.end(Some(ReaderError::Lost(reason.to_owned())));
        }
    }

    /// There will be no other connection.
    pub(crate) fn fail(&self, error: ReaderError) {
        let mut state = self.state();
        if !state.ended {
            state.end(Some(error));
        }
        state.attached = false;
        if let Some(group) = &mut state.group {
            group.wake();
        }
    }

    /// The connection need not care for it any more.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.state();
        let settled = state.group.as_ref().is_none_or(GroupState::is_all_settled);
        (state.ended || state.left) && settled
    }

    /// It is over for us and not for the server: only the end of the connection ends it there.
    pub(crate) fn is_left_open(&self) -> bool {
        let state = self.state();
        state.attached && !state.ended
    }

    /// Waits until the server knows where it begins. Why it does not begin, the first message says.
    pub(crate) async fn started(&self) {
        std::future::poll_fn(|context| {
            let mut state = self.state();
            if state.started || state.ended {
                return Poll::Ready(());
            }
            state.waiting = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// The next message.
    pub(crate) fn poll_next(&self, waker: &Waker) -> Poll<Option<Result<Item, ReaderError>>> {
        let mut state = self.state();
        if let Some(item) = state.take() {
            self.wake_if_due(state);
            return Poll::Ready(Some(Ok(item)));
        }
        if let Some(failure) = state.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        state.waiting = Some(waker.clone());
        Poll::Pending
    }

    /// A message that has come already.
    pub(crate) fn take_ready(&self) -> Option<Item> {
        let mut state = self.state();
        let item = state.take();
        self.wake_if_due(state);
        item
    }

    /// The task of the connection has credit to grant; else nothing for it has changed.
    fn wake_if_due(&self, state: MutexGuard<'_, State>) {
        let is_due = state.is_due();
        drop(state);
        if is_due {
            self.wake.wake();
        }
    }

    /// False if no more messages will come.
    pub(crate) fn look(&self) -> Result<bool, ReaderError> {
        let mut state = self.state();
        match state.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(!state.ended),
        }
    }

    /// Waits until there is a message, or there will be none.
    pub(crate) fn poll_more(&self, waker: &Waker) -> Poll<()> {
        let mut state = self.state();
        if state.ended || !state.ready.is_empty() {
            return Poll::Ready(());
        }
        state.waiting = Some(waker.clone());
        Poll::Pending
    }

    /// Says what was done with a message that was not settled before.
    pub(crate) fn settle(self: &Arc<Self>, item: &Item, step: Step) -> Saved {
        self.settle_by(item, |given| Report::settled(item, given, step))
    }

    /// The message is done, and whoever asked gets this reply.
    pub(crate) fn answer(self: &Arc<Self>, item: &Item, reply: Reply) -> Saved {
        if item.message.asks {
            self.settle_by(item, |given| Report::answered(item, given, reply.of_handler()))
        } else {
            self.settle(item, Step::Ack)
        }
    }

    fn settle_by(self: &Arc<Self>, item: &Item, report: impl FnOnce(u64) -> Report) -> Saved {
        let mut state = self.state();
        let Some(given) = state.group.as_mut().and_then(|group| group.take_back(item)) else {
            return Saved::nothing(self);
        };
        let saved = Saved::of(self, &mut state, report(given));
        if !state.left {
            state.use_credit(item);
        }
        drop(state);
        self.wake.wake();
        saved
    }

    /// Somebody has begun with the message: from here on that counts as an attempt.
    pub(crate) fn begin(self: &Arc<Self>, item: &Item) -> Saved {
        let given = self.state().group.as_ref().map_or(0, |group| group.losses);
        self.say(Report::settled(item, given, Step::InProgress))
    }

    /// Passes over a message that was not given to us, for every reader of the cursor.
    pub(crate) fn skip(self: &Arc<Self>, offset: u64) -> Saved {
        self.say(Report::skipped(offset))
    }

    fn say(self: &Arc<Self>, report: Report) -> Saved {
        let saved = Saved::of(self, &mut self.state(), report);
        self.wake.wake();
        saved
    }

    /// All that was said so far.
    pub(crate) fn everything(self: &Arc<Self>) -> Saved {
        let state = self.state();
        Saved {
            read: Arc::clone(self),
            report: state.group.as_ref().map_or(0, |group| group.reported),
            losses: 0,
            voided: Voided::Saved,
        }
    }

    /// Nobody takes messages any more. What has come and was not taken may go to others at once.
    pub(crate) fn leave(&self) {
        let mut state = self.state();
        state.left = true;
        let rest: Vec<Item> = state.ready.drain(..).collect();
        for item in rest {
            if let Some(given) = state.group.as_mut().and_then(|group| group.take_back(&item)) {
                state.report(Report::settled(&item, given, Step::Release));
            }
        }
        drop(state);
        self.wake.wake();
    }
}

impl State {
    fn attach(&mut self, machine: &mut Machine, request: u32) {
        self.attached = true;
        self.request.request = request;
        match &mut self.group {
            Some(group) => {
                group.frames = 0;
                self.used = Credit {
                    messages: group.room(),
                    bytes: WINDOW.bytes,
                };
                // Not before the server knows what is done: that is the first thing to go out after this.
                self.request.credit = Credit::NONE;
            }
            None => {
                self.used = Credit::NONE;
                self.request.credit = WINDOW;
            }
        }
        machine.read(self.request.clone());
        if !machine.knows_places() && !std::mem::replace(&mut self.started, true) {
            self.wake();
        }
    }

    fn transmit(&mut self, machine: &mut Machine) {
        let request = self.request.request;
        if let Some(group) = &mut self.group {
            group.transmit(machine, request);
        }
        if self.is_due() {
            machine.grant(self.used.messages, self.used.bytes);
            self.used = Credit::NONE;
        }
    }

    fn take_event(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Item(item) => self.take_item(*item),
            // From here on it goes on there, on whatever connection.
            ClientEvent::ReadStart(place) => {
                if self.group.is_none() {
                    self.request.from = ReadFrom::After(place);
                }
                self.started = true;
                self.wake();
            }
            ClientEvent::Progressed(count) => {
                if let Some(group) = &mut self.group {
                    group.progressed(count);
                }
            }
            ClientEvent::ReadEnd(ReadEnd {
                reason: EndReason::CaughtUp,
                ..
            }) => self.end(None),
            ClientEvent::ReadEnd(end) => {
                let error = ReaderError::ended(end.reason, &self.request.mailbox, end.next);
                self.end(Some(error));
            }
            _ => {}
        }
    }

    fn take_item(&mut self, item: Item) {
        let Some(group) = &mut self.group else {
            self.request.from = ReadFrom::After(item.place());
            return self.put(item);
        };
        if self.left {
            group.report(Report::settled(&item, group.losses, Step::Release));
            return;
        }
        match group.give(&item) {
            Given::New => {}
            // It will be reported.
            Given::Again => return,
            // That one's settlement will bring no credit.
            Given::InItsPlace => self.used.messages += 1,
        }
        self.put(item);
    }

    fn put(&mut self, item: Item) {
        self.ready.push_back(item);
        self.wake();
    }

    fn end(&mut self, failure: Option<ReaderError>) {
        self.ended = true;
        self.failure = failure;
        self.wake();
    }

    /// Wakes whoever waits for what comes.
    fn wake(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }

    fn take(&mut self) -> Option<Item> {
        let item = self.ready.pop_front()?;
        if self.group.is_none() {
            self.use_credit(&item);
        }
        Some(item)
    }

    /// Its credit may be granted again.
    fn use_credit(&mut self, item: &Item) {
        self.used.messages += 1;
        let length = u32::try_from(item.message.body.len()).unwrap_or(u32::MAX);
        self.used.bytes = self.used.bytes.saturating_add(length);
    }

    /// There is so much credit to be granted that it is worth a frame: half a window, or any for a consumer.
    fn is_due(&self) -> bool {
        let (messages, bytes) = match self.group {
            Some(_) => (1, u32::MAX),
            None => (WINDOW.messages / 2, WINDOW.bytes / 2),
        };
        (self.used.messages >= messages || self.used.bytes >= bytes) && !self.left && !self.ended
    }

    fn has_more_to_say(&self) -> bool {
        self.group.as_ref().is_some_and(|group| !group.pending.is_empty())
    }

    fn report(&mut self, report: Report) {
        if let Some(group) = &mut self.group {
            group.report(report);
        }
    }
}

/// Something that was said of a message. Its output comes when the server has saved it as safely as a receipt says;
/// dropping it takes nothing back.
#[derive(Clone, Debug)]
#[must_use = "it is said, and only when this was awaited is it certain that the server has it"]
pub struct Saved {
    read: Arc<Read>,
    report: u64,
    losses: u64,
    voided: Voided,
}

/// What it means that a connection was lost before the server had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voided {
    /// Nothing: it goes again, or the message is given out again anyway.
    Saved,
    /// The message is not ours any more.
    Lost,
}

impl Saved {
    fn of(read: &Arc<Read>, state: &mut State, report: Report) -> Self {
        let voided = if report.is_void_when_lost() {
            Voided::Lost
        } else {
            Voided::Saved
        };
        state.report(report);
        let (report, losses) = state
            .group
            .as_ref()
            .map_or((0, 0), |group| (group.reported, group.losses));
        Saved {
            read: Arc::clone(read),
            report,
            losses,
            voided,
        }
    }

    fn nothing(read: &Arc<Read>) -> Self {
        Saved {
            read: Arc::clone(read),
            report: 0,
            losses: 0,
            voided: Voided::Saved,
        }
    }
}

impl Future for Saved {
    type Output = Result<(), ReaderError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.read.state();
        let ended = state.ended && !state.attached;
        let failure = state.failure.clone();
        let Some(group) = &mut state.group else {
            return Poll::Ready(Ok(()));
        };
        if self.voided == Voided::Lost && group.losses != self.losses {
            return Poll::Ready(Err(ReaderError::Lost(
                "before the server had saved it".to_owned(),
            )));
        }
        if group.saved >= self.report {
            return Poll::Ready(Ok(()));
        }
        if ended {
            let lost = || ReaderError::Lost("there is no connection any more".to_owned());
            return Poll::Ready(Err(failure.unwrap_or_else(lost)));
        }
        group.wait(context.waker());
        Poll::Pending
    }
}
