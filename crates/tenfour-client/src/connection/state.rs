//! What the driver's task and the callers share: the machine, and who waits for which answer.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use tenfour_proto::native::{Client as Machine, ClientEvent, ClientOptions};
use tenfour_proto::{Durability, Message, Reply, Settled, Settlement};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use super::query::{Answers, Query, Question};
use super::read::Read;
use super::wake::Wake;
use crate::config::ClientConfig;
use crate::error::{DeliveryError, Failure, MaybeStored, ReaderError};
use crate::receipt::Receipt;
use tenfour_identity::clock::Clock;
use tenfour_identity::lock;

pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) clock: Clock,
    timeout: Duration,
    /// Messages and bytes that may be without an answer.
    window: (usize, usize),
    /// Wakes the driver.
    pub(crate) wake: Wake,
    /// Wakes whoever waits for a place in the window.
    room: Notify,
    finished: watch::Sender<bool>,
    /// One question at a time.
    pub(crate) asking: tokio::sync::Mutex<()>,
}

pub(crate) struct State {
    pub(crate) machine: Machine,
    slots: VecDeque<Slot>,
    /// The sequence of the first slot.
    base: u64,
    failure: Option<Arc<Failure>>,
    /// Who waits for the reply to which message.
    asked: HashMap<u64, oneshot::Sender<Reply>>,
    /// No more messages will come.
    finishing: bool,
    read: Option<Arc<Read>>,
    query: Option<Query>,
    /// The number of the latest read or question.
    request: u32,
    /// A read was left, and only the end of the connection ends it on the server.
    cycling: bool,
    /// There will be no other connection.
    ended: bool,
}

/// One message that somebody may ask about.
struct Slot {
    deadline: Instant,
    answer: Option<Result<Receipt, DeliveryError>>,
    waker: Option<Waker>,
    /// Nobody asks any more.
    forgotten: bool,
}

impl Shared {
    pub(crate) fn new(options: ClientOptions, clock: Clock, config: &ClientConfig) -> Self {
        Shared {
            state: Mutex::new(State {
                base: options.resume_state.settled + 1,
                machine: Machine::new(options),
                slots: VecDeque::new(),
                failure: None,
                asked: HashMap::new(),
                finishing: false,
                read: None,
                query: None,
                request: 0,
                cycling: false,
                ended: false,
            }),
            clock,
            timeout: config.timeout,
            window: (config.window.max(1), config.window_bytes),
            wake: Wake::default(),
            room: Notify::new(),
            finished: watch::Sender::new(false),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// From a message to its receipt, and to its reply.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The id of the server's store.
    #[cfg(feature = "outbox")]
    pub(crate) fn store(&self) -> Option<[u8; 16]> {
        self.with(|state| state.machine.store())
    }

    /// Connections so far.
    #[cfg(feature = "outbox")]
    pub(crate) fn attempts(&self) -> u64 {
        self.with(|state| state.machine.attempts())
    }

    /// Why the producer has ended, if it has.
    pub(crate) fn failure(&self) -> Option<Arc<Failure>> {
        self.with(|state| state.failure.clone())
    }

    /// Works on the state. Nothing in it waits.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut lock(&self.state))
    }

    /// Numbers a message once there is a place in the window.
    pub(crate) async fn send(&self, message: Message) -> Result<u64, DeliveryError> {
        self.place(message, Self::try_send).await
    }

    /// The same for a message that asks.
    pub(crate) async fn ask(
        &self,
        message: Message,
    ) -> Result<(u64, oneshot::Receiver<Reply>), DeliveryError> {
        let put = |shared: &Self, message| {
            let (tell, reply) = oneshot::channel();
            let sent = shared.put(message, Some(tell))?;
            Ok(sent.map(|sequence| (sequence, reply)))
        };
        self.place(message, put).await
    }

    /// Numbers a message if there is a place in the window. Gives it back if there is none.
    pub(crate) fn try_send(&self, message: Message) -> Result<Result<u64, DeliveryError>, Message> {
        self.put(message, None)
    }

    async fn place<T>(&self, mut message: Message, put: impl Fn(&Self, Message) -> Result<T, Message>) -> T {
        loop {
            // Before the look: a place that becomes free after it wakes us.
            let room = self.room.notified();
            match put(self, message) {
                Ok(sent) => return sent,
                Err(back) => message = back,
            }
            room.await;
        }
    }

    fn put(
        &self,
        message: Message,
        tell: Option<oneshot::Sender<Reply>>,
    ) -> Result<Result<u64, DeliveryError>, Message> {
        let sequence = self.with(|state| {
            if let Some(failure) = &state.failure {
                return Ok(Err(DeliveryError::Failed {
                    stored: MaybeStored::No,
                    failure: Arc::clone(failure),
                }));
            }
            let unsettled = state.machine.unsettled();
            let bytes = state.machine.unsettled_bytes() + message.body.len();
            if unsettled >= self.window.0 || (bytes > self.window.1 && unsettled > 0) {
                return Err(message);
            }
            let sequence = state.machine.send(message);
            // Before anybody can answer.
            if let Some(tell) = tell {
                state.asked.insert(sequence, tell);
            }
            state.slots.push_back(Slot {
                deadline: Instant::now() + self.timeout,
                answer: None,
                waker: None,
                forgotten: false,
            });
            Ok(Ok(sequence))
        })?;
        if sequence.is_ok() {
            self.wake.wake();
        }
        Ok(sequence)
    }

    /// Nobody waits for that reply any more.
    pub(crate) fn forget_reply(&self, sequence: u64) {
        self.with(|state| {
            state.asked.remove(&sequence);
            state.machine.forget_reply(sequence);
        });
    }

    pub(crate) fn reply(&self, sequence: u64, reply: Reply) {
        if let Some(asked) = self.with(|state| state.asked.remove(&sequence)) {
            // Whoever waited may be gone.
            let _ = asked.send(reply);
        }
    }

    pub(crate) fn poll_answer(&self, sequence: u64, waker: &Waker) -> Poll<Result<Receipt, DeliveryError>> {
        self.with(|state| {
            let Some(slot) = state.slot(sequence) else {
                return Poll::Ready(Err(DeliveryError::Failed {
                    stored: MaybeStored::Perhaps,
                    failure: Arc::new(Failure::Closed),
                }));
            };
            match slot.answer.take() {
                Some(answer) => {
                    slot.forgotten = true;
                    state.drop_old_slots();
                    Poll::Ready(answer)
                }
                None => {
                    slot.waker = Some(waker.clone());
                    Poll::Pending
                }
            }
        })
    }

    pub(crate) fn forget(&self, sequence: u64) {
        self.with(|state| {
            if let Some(slot) = state.slot(sequence) {
                slot.forgotten = true;
                slot.waker = None;
            }
            state.drop_old_slots();
        });
    }

    /// No more messages will come; the driver says goodbye when all are answered.
    pub(crate) fn finish(&self) {
        self.with(|state| state.finishing = true);
        self.wake.wake();
    }

    pub(crate) async fn finished(&self) {
        // The driver holds the other end of this through `self`, so it cannot be gone.
        let _ = self.finished.subscribe().wait_for(|finished| *finished).await;
    }

    /// Hands out the answers of a settlement.
    pub(crate) fn settle(&self, settlement: &Settlement, durability: Durability) {
        let wakers = self.with(|state| {
            let mut wakers = Vec::new();
            for piece in settlement.in_order() {
                match piece {
                    Settled::Stored(run) => {
                        for sequence in run.first..=run.last() {
                            let receipt = Receipt {
                                mailbox: run.mailbox.clone(),
                                offset: run.offset + (sequence - run.first),
                                durability,
                                duplicate: run.duplicate,
                                sequence,
                            };
                            state.answer(sequence, Ok(receipt), &mut wakers);
                        }
                    }
                    Settled::Refused(refusal) => {
                        for sequence in refusal.first..=refusal.last() {
                            state.answer(sequence, Err(DeliveryError::Refused(refusal.code)), &mut wakers);
                        }
                    }
                }
            }
            state.drop_old_slots();
            wakers
        });
        wakers.into_iter().for_each(Waker::wake);
        self.room.notify_waiters();
    }

    /// Reads on this connection, unless it reads already or has ended.
    pub(crate) fn attach(&self, read: &Arc<Read>) -> bool {
        let attached = self.with(|state| {
            let free = state.read.is_none() && !state.finishing && !state.ended;
            if free {
                state.read = Some(Arc::clone(read));
            }
            free
        });
        self.wake.wake();
        attached
    }

    /// Asks something. Whoever calls it holds `asking`.
    pub(crate) fn query(&self, question: Question) -> Option<Answers> {
        let (query, answers) = Query::new(question, self.wake.clone());
        let asked = self.with(|state| {
            if !state.ended {
                state.query = Some(query);
            }
            !state.ended
        });
        self.wake.wake();
        asked.then_some(answers)
    }

    /// There will be no other connection: whoever waits is told.
    pub(crate) fn end(&self, error: Option<ReaderError>) {
        let read = self.with(|state| {
            state.ended = true;
            state.query = None;
            state.read.take()
        });
        if let Some(read) = read {
            read.fail(error.unwrap_or_else(|| ReaderError::Lost("the client was closed".to_owned())));
        }
        self.finished.send_replace(true);
    }

    /// The producer has ended: every message without an answer gets this one.
    pub(crate) fn fail(&self, failure: Failure) {
        let failure = Arc::new(failure);
        let wakers = self.with(|state| {
            let mut wakers = Vec::new();
            for index in 0..state.slots.len() {
                let sequence = state.base + index as u64;
                let stored = state.machine.fate(sequence).into();
                let failed = DeliveryError::Failed {
                    stored,
                    failure: Arc::clone(&failure),
                };
                state.answer(sequence, Err(failed), &mut wakers);
            }
            state.failure = Some(failure);
            state.asked.clear();
            wakers
        });
        wakers.into_iter().for_each(Waker::wake);
        self.room.notify_waiters();
    }
}

impl State {
    fn slot(&mut self, sequence: u64) -> Option<&mut Slot> {
        let index = usize::try_from(sequence.checked_sub(self.base)?).ok()?;
        self.slots.get_mut(index)
    }

    fn answer(&mut self, sequence: u64, answer: Result<Receipt, DeliveryError>, wakers: &mut Vec<Waker>) {
        if let Some(slot) = self.slot(sequence).filter(|slot| slot.answer.is_none()) {
            slot.answer = Some(answer);
            wakers.extend(slot.waker.take());
        }
    }

    /// Slots are kept until they are both answered and asked for, or forgotten and settled.
    fn drop_old_slots(&mut self) {
        let settled = self.machine.settled();
        while self.slots.front().is_some_and(|slot| slot.forgotten) && self.base <= settled {
            self.slots.pop_front();
            self.base += 1;
        }
    }

    /// Everything has its answer, and nothing more will come.
    pub(crate) fn has_nothing_left(&self) -> bool {
        self.finishing && self.machine.unsettled() == 0 && !self.is_asked_for_more()
    }

    /// Somebody reads, or has asked something.
    pub(crate) fn is_asked_for_more(&self) -> bool {
        self.read.is_some() || self.query.is_some()
    }

    /// Hands the machine what is to be said on the connection of now.
    pub(crate) fn transmit(&mut self) {
        if let Some(read) = self.read.take_if(|read| read.is_over()) {
            self.cycling |= read.is_left_open();
        }
        if self.machine.is_open() && !self.cycling {
            if let Some(read) = &self.read {
                read.transmit(&mut self.machine, &mut self.request);
            }
            if let Some(query) = &mut self.query {
                query.transmit(&mut self.machine, &mut self.request);
            }
        }
        if self.cycling || (self.finishing && !self.is_asked_for_more()) {
            self.machine.close();
        }
    }

    /// Gives an event to whoever it is for.
    pub(crate) fn take_event(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Item(_)
            | ClientEvent::ReadStart(_)
            | ClientEvent::ReadEnd(_)
            | ClientEvent::Progressed(_) => {
                if let Some(read) = &self.read {
                    read.take_event(event);
                }
            }
            _ => drop(self.query.take_if(|query| !query.take_event(event))),
        }
    }

    /// What waits for its reader on this side is enough: nothing more is taken from the connection.
    pub(crate) fn is_backlogged(&self) -> bool {
        self.query.as_ref().is_some_and(Query::is_backlogged)
    }

    /// Nobody waits for what the server is sending, and it sends it to the end: only another connection helps.
    pub(crate) fn is_flooded(&self) -> bool {
        self.query
            .as_ref()
            .is_some_and(|query| query.is_sent() && query.is_abandoned())
    }

    /// The connection is gone. True if it was given up for another one.
    pub(crate) fn disconnected(&mut self, reason: &str) -> bool {
        self.machine.disconnected();
        if let Some(read) = &self.read {
            read.lost(reason);
        }
        self.query
            .take_if(|query| query.is_sent() || query.is_abandoned());
        std::mem::take(&mut self.cycling)
    }

    /// When the oldest message without an answer must have it.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let next = self.machine.settled() + 1;
        let index = usize::try_from(next.checked_sub(self.base)?).ok()?;
        self.slots.get(index).map(|slot| slot.deadline)
    }
}
