//! From the machine to the inbox, and the answers back.

use std::time::Duration;

use tenfour_proto::native::ErrorCode;
use tenfour_proto::{Listener, MailboxName, RefusalCode, Sender, Source};
use tenfour_store::Batch;

use super::connection::Connection;
use crate::admission::counters::Counter;
use crate::broker::{Completion, Payer, memory_of};

/// How long a client is asked to wait when the store is full or busy.
const PAUSE: Duration = Duration::from_millis(500);

impl Connection {
    /// Puts what the machine has understood on the queue, and refuses what this key may not send.
    pub(super) fn deposit(&mut self) {
        let broker = &self.context.broker;
        let messages = self.machine.take_messages();
        let unfinished = self.machine.buffered();
        let payer = self.admitted.as_deref().map_or(&Payer::Stranger, |a| &a.payer);
        self.charge = (unfinished > 0).then(|| broker.budget().charge(payer, unfinished));
        let Some(admitted) = self.admitted.as_deref_mut() else {
            return;
        };
        let (Some(producer), Some(key)) = (&mut admitted.producer, self.key) else {
            return;
        };
        if messages.is_empty() {
            return;
        }
        let mut allowed = Vec::with_capacity(messages.len());
        let mut refused = Vec::new();
        let mut latest: Option<(MailboxName, bool)> = None;
        let mut bytes = 0;
        for (sequence, message) in messages {
            let may = match &latest {
                _ if sequence <= producer.high_water_mark => true,
                Some((mailbox, may)) if *mailbox == message.mailbox => *may,
                _ => {
                    let may = admitted.rights.may_send(&message.mailbox);
                    latest = Some((message.mailbox.clone(), may));
                    may
                }
            };
            if may {
                bytes += memory_of(&message);
                if message.asks {
                    // Before the deposit: nobody may answer before we listen.
                    producer.asked.add(sequence, broker, key, producer.id.0);
                }
                allowed.push((sequence, message));
            } else {
                refused.push(sequence);
            }
        }
        let mut still_ours = true;
        if !allowed.is_empty() {
            let batch = Batch {
                sender: Sender::Key(key),
                producer: Some(producer.id),
                epoch: producer.epoch,
                // Its key says who it is.
                source: Source {
                    listener: Listener::Native,
                    address: None,
                },
                messages: allowed,
            };
            admitted.entry.count_received(batch.messages.len());
            let charge = broker.budget().charge(&admitted.payer, bytes);
            let epoch = self.machine.epoch();
            still_ours = producer
                .held
                .lease()
                .while_held(|| broker.deposit(batch, epoch, charge, &self.completions));
        }
        self.count_refused(refused.len() as u64, RefusalCode::NotAllowed);
        for sequence in refused {
            self.machine.refuse(sequence, RefusalCode::NotAllowed);
        }
        if !still_ours {
            self.taken_over();
        }
    }

    /// What is refused is seen.
    fn count_refused(&self, count: u64, code: RefusalCode) {
        if count == 0 {
            return;
        }
        self.context.counters.count_many(Counter::Refused, count);
        if let Some(key) = self.key {
            tracing::info!(peer = %self.peer, %key, count, reason = code.as_str(), "messages were refused");
        }
    }

    pub(super) fn taken_over(&mut self) {
        self.machine.fail(
            ErrorCode::TakenOver,
            "another connection sends on this stream now",
            String::new(),
            None,
        );
    }

    pub(super) fn take_answers(&mut self, answers: Vec<Completion>) {
        for answer in answers {
            match answer {
                Completion::Settled(stored) => {
                    for refused in &stored.settlement().refused {
                        self.count_refused(refused.count, refused.code);
                    }
                    if let Some(producer) = self.admitted.as_deref_mut().and_then(|a| a.producer.as_mut()) {
                        producer.asked.settled(stored.settlement());
                    }
                    self.machine.handle_stored(stored);
                }
                Completion::NotNow { epoch, code, .. } => {
                    self.context.counters.count(Counter::NotNow);
                    self.machine.handle_not_now(epoch, code, PAUSE);
                }
                Completion::TakenOver => self.taken_over(),
                Completion::Gone => self.machine.fail(
                    ErrorCode::Internal,
                    "the store failed; nothing without a receipt is stored for certain",
                    String::new(),
                    None,
                ),
            }
        }
    }
}
