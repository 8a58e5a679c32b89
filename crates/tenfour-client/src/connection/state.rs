//! What the driver's task and the callers share: the machine, and who waits for which answer.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use tenfour_proto::native::{Client as Machine, ClientOptions};
use tenfour_proto::{Durability, Message, Reply, Settled, Settlement};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use crate::error::{DeliveryError, Failure, Stored};
use crate::receipt::Receipt;
use tenfour_identity::clock::Clock;
use tenfour_identity::lock;

pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) clock: Clock,
    timeout: Duration,
    /// Wakes the driver.
    pub(crate) wake: Notify,
    /// Wakes whoever waits in `ready`.
    room: Notify,
    finished: watch::Sender<bool>,
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
    pub(crate) finishing: bool,
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
    pub(crate) fn new(options: ClientOptions, clock: Clock, timeout: Duration) -> Self {
        Shared {
            state: Mutex::new(State {
                base: options.past.settled + 1,
                machine: Machine::new(options),
                slots: VecDeque::new(),
                failure: None,
                asked: HashMap::new(),
                finishing: false,
            }),
            clock,
            timeout,
            wake: Notify::new(),
            room: Notify::new(),
            finished: watch::Sender::new(false),
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

    /// Why the stream has ended, if it has.
    pub(crate) fn failure(&self) -> Option<Arc<Failure>> {
        self.with(|state| state.failure.clone())
    }

    /// Works on the state. Nothing in it waits.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut lock(&self.state))
    }

    pub(crate) fn send(&self, message: Message) -> u64 {
        self.put(message, None)
    }

    /// The same for a message that asks.
    pub(crate) fn ask(&self, message: Message) -> (u64, oneshot::Receiver<Reply>) {
        let (tell, reply) = oneshot::channel();
        (self.put(message, Some(tell)), reply)
    }

    fn put(&self, message: Message, tell: Option<oneshot::Sender<Reply>>) -> u64 {
        let sequence = self.with(|state| {
            let sequence = state.machine.send(message);
            // Before anybody can answer.
            if let Some(tell) = tell.filter(|_| state.failure.is_none()) {
                state.asked.insert(sequence, tell);
            }
            let answer = state.failure.as_ref().map(|failure| {
                Err(DeliveryError::Failed {
                    stored: Stored::No,
                    failure: Arc::clone(failure),
                })
            });
            state.slots.push_back(Slot {
                deadline: Instant::now() + self.timeout,
                answer,
                waker: None,
                forgotten: false,
            });
            sequence
        });
        self.wake.notify_one();
        sequence
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

    pub(crate) async fn ready(&self, window: usize) {
        loop {
            let room = self.room.notified();
            let free =
                self.with(|state| state.failure.is_some() || state.machine.unsettled() < window.max(1));
            if free {
                return;
            }
            room.await;
        }
    }

    pub(crate) fn poll_answer(&self, sequence: u64, waker: &Waker) -> Poll<Result<Receipt, DeliveryError>> {
        self.with(|state| {
            let Some(slot) = state.slot(sequence) else {
                return Poll::Ready(Err(DeliveryError::Failed {
                    stored: Stored::Perhaps,
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
        self.with(|state| {
            state.finishing = true;
            state.machine.close();
        });
        self.wake.notify_one();
    }

    pub(crate) async fn finished(&self) {
        // The driver holds the other end of this through `self`, so it cannot be gone.
        let _ = self.finished.subscribe().wait_for(|finished| *finished).await;
    }

    pub(crate) fn has_finished(&self) {
        self.finished.send_replace(true);
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

    /// The stream has ended: every message without an answer gets this one.
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
        self.finishing && self.machine.unsettled() == 0
    }

    /// When the oldest message without an answer must have it.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let next = self.machine.settled() + 1;
        let index = usize::try_from(next.checked_sub(self.base)?).ok()?;
        self.slots.get(index).map(|slot| slot.deadline)
    }
}
