//! The way to one server: its producers, one after the other, each on a connection of its own.

mod rollback;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tenfour_proto::native::{MAX_FINISHED, ResumeState};
use tenfour_proto::{Address, Fingerprint, Message, ProducerId, limits};
use tenfour_store::{Advance, Dispatch, OutboxError, OutboxProducer};
use tokio::time::{sleep, timeout};

use super::actor::Actor;
use super::error::DispatchError;
use super::progress::{DestinationProgress, Progress};
use super::resumed::Resumed;
use crate::config::ClientConfig;
use crate::connection::driver;
use crate::error::{ConnectError, DeliveryError, Failure};
use crate::pending::PendingReceipt;
use crate::random::random;

/// Gives the client's set-up anew for each connection: what is known of servers may change.
pub(super) type Setup = Arc<dyn Fn() -> Result<ClientConfig, String> + Send + Sync>;

/// Messages, and bytes, that are under way at once.
const WINDOW: usize = 10_000;
const WINDOW_BYTES: u64 = 4 * 1024 * 1024;

/// What a window may have more than that: its last message may be as long as any.
const OVERSHOOT: u64 = limits::CEILING_MAX_MESSAGE as u64;

/// First and longest pause between two attempts to reach a server.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// A trouble that somebody has to end is looked at again so often: keys may have been exchanged meanwhile.
const SECOND_LOOK: Duration = Duration::from_secs(30);

/// A connection on which nothing goes is given up after this.
const IDLE: Duration = Duration::from_secs(60);

/// One server, and what is to go there.
pub(super) struct Destination {
    id: i64,
    address: Address,
    text: Arc<str>,
    actor: Actor,
    progress: Arc<Progress>,
    setup: Setup,
    /// The producer of this start. An outbox that was copied or restored has other messages than its twin; under a
    /// producer of both they would be taken for each other's.
    own: OutboxProducer,
    /// The server has been asked in this start whether it still has what earlier ones sent.
    asked: bool,
    /// And since the last connection of this start's own producer: a server that went back meanwhile would take new
    /// messages, and nobody would notice, as long as it has given no receipt for that producer.
    checked: bool,
    /// The server may have gone back between that question and the first receipt: the connection was made anew.
    suspect: bool,
    /// What is written down of it; unknown at the start.
    noted: Option<Option<String>>,
}

/// A step was made.
enum Step {
    /// Something went well; there may be more.
    Moved,
    /// Nothing is left.
    Idle,
}

impl Destination {
    pub(super) fn new(
        id: i64,
        address: Address,
        actor: Actor,
        progress: Arc<Progress>,
        setup: Setup,
    ) -> Self {
        Destination {
            id,
            text: address.to_string().into(),
            address,
            actor,
            progress,
            setup,
            own: new_producer(Fingerprint::from_bytes([0; 32])),
            asked: false,
            checked: false,
            suspect: false,
            noted: None,
        }
    }

    pub(super) async fn run(mut self) {
        let mut changed = self.actor.changed();
        let mut pause = PAUSES.0;
        loop {
            let seen = *changed.borrow_and_update();
            match self.step().await {
                Ok(Step::Moved) => {
                    pause = PAUSES.0;
                    self.report(None).await;
                }
                Ok(Step::Idle) => {
                    self.post(|progress| {
                        progress.seen = seen;
                        progress.idle = true;
                        progress.error = None;
                    });
                    if changed.changed().await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    let is_final = error.is_final();
                    self.report(Some(Arc::new(error))).await;
                    let wait = if is_final {
                        SECOND_LOOK
                    } else {
                        pause.mul_f64(0.5 + driver::chance())
                    };
                    pause = (pause * 2).min(PAUSES.1);
                    // A decision comes as a change of the outbox; so does what is new, which must wait as well.
                    if is_final {
                        if let Ok(Err(_)) = timeout(wait, changed.changed()).await {
                            return;
                        }
                    } else {
                        sleep(wait).await;
                    }
                }
            }
        }
    }

    fn post(&self, change: impl FnOnce(&mut DestinationProgress)) {
        self.progress
            .send_modify(|progress| change(progress.destinations.entry(Arc::clone(&self.text)).or_default()));
    }

    /// Tells what stands in the way, or that nothing does any more; writes it down when it is new.
    async fn report(&mut self, error: Option<Arc<DispatchError>>) {
        let words = error.as_ref().map(|error| error.to_string());
        if self.noted.as_ref() != Some(&words) {
            match &words {
                Some(words) => tracing::warn!(server = %self.text, "{words}"),
                None => tracing::info!(server = %self.text, "delivering"),
            }
            self.noted = Some(words.clone());
            let id = self.id;
            let noted = self
                .actor
                .with(move |dispatch| dispatch.note(id, words.as_deref()));
            if let Err(error) = noted.await {
                tracing::error!(%error, "the outbox cannot be written");
            }
        }
        self.post(|progress| {
            progress.idle = false;
            progress.error = error;
        });
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Dispatch, i64) -> Result<T, OutboxError> + Send + 'static,
    ) -> Result<T, DispatchError> {
        let id = self.id;
        Ok(self.actor.with(move |dispatch| work(dispatch, id)).await?)
    }

    /// The next thing to do for this server.
    async fn step(&mut self) -> Result<Step, DispatchError> {
        self.with(|dispatch, id| {
            dispatch.end(id);
            Ok(())
        })
        .await?;
        let (producers, new) = self
            .with(|dispatch, id| Ok((dispatch.producers(id)?, dispatch.next_new(id)?)))
            .await?;
        if producers.iter().any(|producer| producer.lost.is_some()) {
            return self.decide(&producers).await;
        }
        let unsettled = producers.iter().find(|producer| producer.is_unsettled());
        if let Some(own) = unsettled.filter(|producer| producer.id == self.own.id) {
            self.own = own.clone();
        }
        // What has receipts shows by itself whether the server still has it.
        let something = unsettled.is_some() || new.is_some();
        let shows = unsettled.unwrap_or(&self.own).has_receipts();
        if self.suspect || !shows && !self.checked && (something || !self.asked) {
            let ours = self.config()?.identity.fingerprint();
            let mut others = probes(&producers, ours)
                .filter(|producer| producer.id != self.own.id && !producer.is_unsettled());
            if let Some(probe) = others.next() {
                self.carry_old(probe.clone()).await?;
                (self.asked, self.checked, self.suspect) = (true, true, false);
                return Ok(Step::Moved);
            }
            self.suspect = false;
        }
        (self.asked, self.checked) = (true, false);
        match unsettled.filter(|producer| producer.id != self.own.id) {
            Some(old) => {
                self.carry_old(old.clone()).await?;
                Ok(Step::Moved)
            }
            None if something => self.carry_own(&producers).await,
            None => Ok(Step::Idle),
        }
    }

    fn config(&self) -> Result<ClientConfig, DispatchError> {
        (self.setup)().map_err(DispatchError::Setup)
    }

    /// Goes on with a producer of an earlier start, as far as its numbers go. One without anything left is only shown to
    /// the server, which says whether it still has it.
    async fn carry_old(&mut self, mut producer: OutboxProducer) -> Result<(), DispatchError> {
        let config = self.config()?;
        let ours = config.identity.fingerprint();
        if producer.sender != ours {
            return Err(DispatchError::OtherKey {
                theirs: producer.sender,
                ours,
            });
        }
        let next = producer.clone();
        let messages = self
            .with(move |dispatch, id| dispatch.unsettled(id, &next, WINDOW, WINDOW_BYTES))
            .await?;
        let end = messages.last().map_or(producer.settled, |message| message.0);
        let resume_state = ResumeState {
            end: Some(producer.sequence(end)),
            ..self.resume_state(&producer).await?
        };
        let (client, mut pending) = self.connect(config, &producer, resume_state, messages).await?;
        self.begin(&producer, end, false).await?;
        while !pending.is_empty() {
            self.settle(&client, &mut producer, &mut pending, None).await?;
        }
        client.close().await;
        Ok(())
    }

    /// Connects for the producer of this start, with what of it is under way, and says which producers are finished.
    async fn open_own(
        &mut self,
        producers: &[OutboxProducer],
    ) -> Result<(Resumed, VecDeque<Unanswered>), DispatchError> {
        let config = self.config()?;
        let ours = config.identity.fingerprint();
        if self.own.sender != ours {
            if self.own.is_unsettled() {
                return Err(DispatchError::OtherKey {
                    theirs: self.own.sender,
                    ours,
                });
            }
            self.own = new_producer(ours);
        }
        // Messages that are numbered may have left; they must be there before the server tells of them.
        let next = self.own.clone();
        let messages = self
            .with(move |dispatch, id| dispatch.unsettled(id, &next, WINDOW, WINDOW_BYTES + OVERSHOOT))
            .await?;
        let given = messages.last().map_or(self.own.settled, |message| message.0);
        let finished: Vec<ProducerId> = producers
            .iter()
            .filter(|producer| !producer.is_unsettled() && !producer.finished)
            .filter(|producer| producer.id != self.own.id && producer.sender == ours)
            .map(|producer| producer.id)
            .take(MAX_FINISHED)
            .collect();
        let resume_state = ResumeState {
            finished: finished.clone(),
            ..self.resume_state(&self.own).await?
        };
        let producer = self.own.clone();
        let (client, pending) = self.connect(config, &producer, resume_state, messages).await?;
        if !finished.is_empty() {
            self.with(move |dispatch, id| dispatch.finished(id, &finished))
                .await?;
        }
        self.begin(&producer, given, true).await?;
        Ok((client, pending))
    }

    /// Sends what is new in the producer of this start, as long as there is something.
    async fn carry_own(&mut self, producers: &[OutboxProducer]) -> Result<Step, DispatchError> {
        let (client, mut pending) = self.open_own(producers).await?;
        let mut producer = self.own.clone();
        let mut shown = producer.has_receipts();
        self.report(None).await;
        let mut changed = self.actor.changed();
        let mut seen = *changed.borrow_and_update();
        let mut more = true;
        loop {
            if changed.has_changed().unwrap_or(false) {
                seen = *changed.borrow_and_update();
                more = true;
            }
            let room = Room::beside(&pending).filter(|_| more);
            more = room.is_none() && more;
            let new = self.settle(&client, &mut producer, &mut pending, room).await;
            self.own = producer.clone();
            if !shown && producer.has_receipts() {
                shown = true;
                self.suspect = client.attempts() > 1;
            }
            more |= new? > 0;
            // What has its number is in no look for new ones: as long as there may be more, it is asked for.
            if more || !pending.is_empty() {
                continue;
            }
            if self.suspect {
                client.close().await;
                return Ok(Step::Moved);
            }
            if let Some(next) = self.with(|dispatch, id| dispatch.next_new(id)).await? {
                // It may have come a moment ago.
                if next == producer.numbered + 1 {
                    more = true;
                    continue;
                }
                // It does not follow on what went before: somebody dropped a message.
                self.own = new_producer(producer.sender);
                client.close().await;
                return Ok(Step::Moved);
            }
            self.post(|progress| {
                progress.seen = seen;
                progress.idle = true;
                progress.error = None;
            });
            tokio::select! {
                // An outbox that is closed ends the task.
                _ = changed.changed() => {
                    seen = *changed.borrow();
                    more = true;
                }
                () = client.finished() => return Ok(Step::Moved),
                () = sleep(IDLE) => {
                    client.close().await;
                    return Ok(Step::Moved);
                }
            }
        }
    }

    async fn begin(&self, producer: &OutboxProducer, given: u64, grows: bool) -> Result<(), DispatchError> {
        let producer = producer.clone();
        self.with(move |dispatch, id| {
            dispatch.begin(id, producer, given, grows);
            Ok(())
        })
        .await
    }

    async fn resume_state(&self, producer: &OutboxProducer) -> Result<ResumeState, DispatchError> {
        Ok(ResumeState {
            settled: producer.sequence(producer.settled),
            receipted: producer.sequence(producer.receipted),
            numbered: producer.sequence(producer.numbered),
            store: self.with(|dispatch, id| dispatch.store(id)).await?,
            ..ResumeState::default()
        })
    }

    async fn connect(
        &mut self,
        config: ClientConfig,
        producer: &OutboxProducer,
        resume_state: ResumeState,
        messages: Vec<(u64, Message)>,
    ) -> Result<(Resumed, VecDeque<Unanswered>), DispatchError> {
        let (numbers, messages): (Vec<_>, Vec<_>) = messages.into_iter().unzip();
        let sizes: Vec<u64> = messages.iter().map(|message| message.body.len() as u64).collect();
        let resumed = Resumed::connect(
            &self.address,
            config.clone(),
            producer.id,
            resume_state.clone(),
            messages,
        )
        .await;
        let resumed = match resumed {
            Err(ConnectError::OtherStore { now, .. }) => {
                if let Some(error) = self.other_store(producer, now).await? {
                    return Err(error);
                }
                // It is ours from here on, and nothing was under way. A third store would be one too many.
                let resume_state = ResumeState {
                    store: Some(now),
                    ..resume_state
                };
                Resumed::connect(&self.address, config, producer.id, resume_state, []).await
            }
            resumed => resumed,
        };
        match resumed {
            Ok((client, sendings)) => {
                let pending = numbers.into_iter().zip(sizes).zip(sendings);
                let pending = pending
                    .map(|((number, bytes), sending)| Unanswered {
                        number,
                        bytes,
                        sending,
                    })
                    .collect();
                Ok((client, pending))
            }
            Err(ConnectError::Regressed(regressed)) => Err(self.regressed(producer, regressed).await?),
            Err(error) => Err(DispatchError::Connect(error)),
        }
    }

    /// Waits for an answer, writes down all that are there, and sends more as far as there is room. Gives the number of
    /// those.
    async fn settle(
        &mut self,
        client: &Resumed,
        producer: &mut OutboxProducer,
        pending: &mut VecDeque<Unanswered>,
        room: Option<Room>,
    ) -> Result<usize, DispatchError> {
        let mut step = Advance::default();
        if let Some(room) = room {
            (step.items, step.bytes) = (room.items, room.bytes);
        }
        let mut failure = None;
        let mut receipts = 0;
        // The first is waited for, unless there is something else to do.
        let mut patient = room.is_none();
        while let Some(next) = pending.front_mut() {
            let answer = if patient {
                (&mut next.sending).await
            } else {
                match (&mut next.sending).now_or_never() {
                    Some(answer) => answer,
                    None => break,
                }
            };
            patient = false;
            match answer {
                Ok(_) => {
                    receipts += 1;
                    step.receipted = next.number;
                }
                Err(DeliveryError::Refused(code)) => {
                    tracing::warn!(server = %self.text, number = next.number, "refused: {code}");
                    step.refused.push((next.number, code.as_str()));
                }
                Err(DeliveryError::Failed { failure: why, .. }) => {
                    failure = Some(why);
                    break;
                }
                // Said before anything is sent, and to nobody who has a producer and a name that was checked.
                Err(error @ (DeliveryError::Mailbox(_) | DeliveryError::OnlyReads)) => {
                    failure = Some(Arc::new(Failure::Protocol(error.to_string())));
                    break;
                }
            }
            step.settled = next.number;
            pending.pop_front();
        }
        if failure.is_some() {
            (step.items, step.bytes) = (0, 0);
        }
        step.store = client.store();
        let refused = step.refused.len() as u64;
        let (after, new) = self.with(move |dispatch, id| dispatch.advance(id, &step)).await?;
        *producer = after;
        if receipts + refused > 0 {
            self.post(|progress| {
                progress.receipts += receipts;
                progress.refused += refused;
            });
        }
        let count = new.len();
        for (number, message) in new {
            pending.push_back(Unanswered {
                number,
                bytes: message.body.len() as u64,
                sending: client.send(message),
            });
        }
        match failure {
            None => Ok(count),
            Some(failure) => Err(match &*failure {
                Failure::Regressed(regressed) => self.regressed(producer, *regressed).await?,
                Failure::OtherStore { now, .. } => self
                    .other_store(producer, *now)
                    .await?
                    .unwrap_or(DispatchError::Failed(failure)),
                _ => DispatchError::Failed(failure),
            }),
        }
    }
}

/// What may be sent before something is answered.
#[derive(Clone, Copy)]
struct Room {
    items: usize,
    bytes: u64,
}

impl Room {
    /// Beside what is under way; none unless that is worth a flush.
    fn beside(pending: &VecDeque<Unanswered>) -> Option<Self> {
        let bytes: u64 = pending.iter().map(|pending| pending.bytes).sum();
        let room = Room {
            items: WINDOW.saturating_sub(pending.len()),
            bytes: WINDOW_BYTES.saturating_sub(bytes),
        };
        (room.items >= WINDOW / 2 && room.bytes >= WINDOW_BYTES / 2).then_some(room)
    }
}

/// A message under way.
struct Unanswered {
    number: u64,
    bytes: u64,
    sending: PendingReceipt,
}

/// Producers for which there are receipts, the last one first: if the server has that, it has the others. Only with their
/// own key can it be asked.
fn probes(producers: &[OutboxProducer], key: Fingerprint) -> impl Iterator<Item = &OutboxProducer> {
    producers
        .iter()
        .rev()
        .filter(move |producer| producer.sender == key && producer.has_receipts())
}

/// A producer with nothing in it, which nobody else has.
fn new_producer(sender: Fingerprint) -> OutboxProducer {
    OutboxProducer::new(ProducerId::from_bytes(random()), sender)
}
