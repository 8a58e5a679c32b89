//! HELLO: who is it, may it come in, whose is the producer, and where does it go on?

use std::sync::Arc;

use tenfour_proto::native::{self, ErrorCode, Hello, Resumption, Server as Machine, WelcomeTerms};
use tenfour_proto::{Fingerprint, Listener, ProducerId, Sender, Stored, TemporaryCode};
use tenfour_store::Claimant;

use super::admitted::{Admitted, ProducerHeld};
use super::connection::Connection;
use super::questions::Asked;
use super::status::{PAST, RUNS};
use crate::admission::counters::Counter;
use crate::broker::{NotResumed, Payer};

/// Runs of the past that come with a WELCOME. Whoever lacks more has been sending to many mailboxes at once.
const FEW_RUNS: usize = 256;

impl Connection {
    /// Who is it, may it, whose is the producer, where does it go on?
    pub(super) async fn take_hello(&mut self, hello: &Hello) {
        let context = Arc::clone(&self.context);
        let reference = reference();
        let deny = |machine: &mut Machine, code, text: &str| {
            machine.fail(code, text, reference.clone(), None);
        };
        let Some(key) = self.key else {
            return deny(&mut self.machine, ErrorCode::NotAllowed, "no key was shown");
        };
        if let Some(secret) = hello.invitation
            && let Err(error) = context.config.access.enrol(secret, key, self.peer.ip()).await
        {
            context.counters.count(Counter::NotAllowed);
            tracing::warn!(peer = %self.peer, %key, %error, reference, "an invitation was refused");
            return deny(&mut self.machine, ErrorCode::Invitation, &error.to_string());
        } else if hello.invitation.is_some() {
            tracing::info!(peer = %self.peer, %key, "an invitation was accepted");
        }
        let changes = context.config.access.changes();
        let Some(rights) = context.config.access.rights_after_a_look(key, self.peer.ip()) else {
            context.counters.count(Counter::NotAllowed);
            tracing::warn!(peer = %self.peer, %key, reference, "this key is not allowed");
            return deny(
                &mut self.machine,
                ErrorCode::NotAllowed,
                &format!("the key {key} is not allowed here"),
            );
        };
        let is_own = rights.is_admin();
        if !self.pass.identified(context.clock.now(), key, is_own) {
            context.counters.count(Counter::TooManyConnections);
            return self.machine.go_away(TemporaryCode::Busy);
        }
        let (mut high_water_mark, mut known) = (None, 0);
        let mut receipts = Stored::default();
        let mut producer = None;
        if context.broker.durability() < hello.durability {
            // Said before the producer is taken from a connection that works.
            let text = "this server's store is less durable than demanded";
            return deny(&mut self.machine, ErrorCode::Durability, text);
        }
        if let Some(wish) = &hello.producer {
            let sender = Sender::Key(key);
            let Some(held) = context
                .leases
                .claim(sender.clone(), wish.id, hello.process, hello.attempt)
            else {
                return self.taken_over();
            };
            let claim = Claimant {
                process: hello.process,
                attempt: hello.attempt,
                kind: wish.kind,
            };
            let after = (wish.resumption == Resumption::Continue).then_some(wish.settled);
            let epoch = match context
                .broker
                .resume(sender, wish.id, after, wish.receipted > 0, FEW_RUNS, Some(claim))
                .await
            {
                Ok(resumed) => {
                    // Of what we have forgotten a client that has all answers lacks nothing. One that lacks some would
                    // repeat what is here already: it is told to stop, as by a server that went back.
                    let forgotten =
                        Some(resumed.forgotten).filter(|high_water_mark| *high_water_mark <= wish.settled);
                    high_water_mark = Some(resumed.high_water_mark.max(forgotten.unwrap_or(0)));
                    known = resumed.high_water_mark;
                    receipts = resumed.receipts;
                    held.lease().claimed(resumed.epoch);
                    resumed.epoch
                }
                Err(NotResumed::TakenOver) => return self.taken_over(),
                Err(NotResumed::NotNow(code)) => return self.machine.go_away(code),
                Err(error) => return deny(&mut self.machine, ErrorCode::Internal, &error.to_string()),
            };
            producer = Some(ProducerHeld {
                held,
                high_water_mark: known,
                epoch,
                id: (wish.id, wish.kind),
                asked: Asked::default(),
            });
        }
        if !hello.finished.is_empty() {
            let finished = context.broker.finish(Sender::Key(key), hello.finished.clone());
            match finished.await {
                Ok(true) => {}
                // WELCOME would say that it is noted.
                Ok(false) => return self.machine.go_away(TemporaryCode::Full),
                Err(error) => return deny(&mut self.machine, ErrorCode::Internal, &error.to_string()),
            }
        }
        let terms = WelcomeTerms {
            software: native::SOFTWARE.to_owned(),
            store: context.broker.store_id(),
            durability: context.broker.durability(),
            high_water_mark,
            rights: rights.to_string(),
        };
        self.machine.welcome(terms, hello);
        if !self.machine.is_open() {
            if let (Some(wish), Some(high_water_mark)) = (&hello.producer, high_water_mark)
                && high_water_mark < wish.receipted
            {
                tracing::error!(peer = %self.peer, %key, high_water_mark, receipted = wish.receipted,
                    "this store is older than what the client holds receipts for");
            }
            return;
        }
        if let Some(held) = &producer
            && !self.replay(receipts, known, held.id.0, key).await
        {
            return;
        }
        context.tell_connected(self.peer, Listener::Native);
        tracing::debug!(peer = %self.peer, %key, software = %hello.software.escape_debug(), "client admitted");
        self.admitted = Some(Box::new(Admitted {
            payer: match is_own {
                true => Payer::Known,
                false => context.broker.budget().of_key(key),
            },
            rights,
            producer,
            mailbox_read: None,
            group_read: None,
            entry: context.connections.enter(self.peer, Listener::Native, Some(key)),
            changes,
        }));
    }

    /// Sends the receipts that a client lacks, in turns. False when there is nobody to send them to any more.
    async fn replay(
        &mut self,
        mut receipts: Stored,
        high_water_mark: u64,
        producer: ProducerId,
        key: Fingerprint,
    ) -> bool {
        let mut room = None;
        loop {
            let settlement = receipts.settlement();
            if settlement.runs.is_empty() && settlement.refused.is_empty() {
                break;
            }
            let settled = settlement.settled;
            self.machine.replay(&receipts);
            if settled >= high_water_mark {
                break;
            }
            if !self.write().await {
                return false;
            }
            // Few lack more, and those wait until others have taken theirs.
            let context = Arc::clone(&self.context);
            drop(receipts);
            if room.is_none() {
                room = context.outgoing.room_for(PAST).await;
                if room.is_none() {
                    let text = "no memory for the receipts of this producer";
                    self.machine.fail(ErrorCode::TimedOut, text, String::new(), None);
                    return false;
                }
            }
            let sender = Sender::Key(key);
            let more = context
                .broker
                .resume(sender, producer, Some(settled), false, RUNS, None);
            receipts = match more.await {
                Ok(resumed) => resumed.receipts,
                Err(error) => {
                    let text = error.to_string();
                    self.machine.fail(ErrorCode::Internal, &text, String::new(), None);
                    return false;
                }
            };
        }
        // Until they are written they are somebody's memory.
        room.is_none() || self.write().await
    }
}

/// A short random word that stands in both logs.
fn reference() -> String {
    let mut bytes = [0; 4];
    // Without randomness the reference is only less helpful.
    let _ = getrandom::fill(&mut bytes);
    format!("{:08x}", u32::from_be_bytes(bytes))
}
