//! One native connection: its machine, its socket, and what it waits for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tenfour_identity::Rights;
use tenfour_identity::clock::sleep_until;
use tenfour_proto::native::{
    AnswerFrame, EndReason, ErrorCode, Fault, Server as Machine, ServerEvent, ServerOptions,
};
use tenfour_proto::{CursorName, Fingerprint, MailboxName, Progress, Step, TemporaryCode, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::admitted::Admitted;
use super::connection_event::{ConnectionEvent, next_event};
use super::group_reads::GroupRead;
use super::reads::{MailboxRead, end_read};
use super::socket::{ReadOutcome, read_some};
use crate::admission::counters::Counter;
use crate::admission::gate::UnauthenticatedPermit;
use crate::broker::{Charge, Completions, Payer};
use crate::context::Context;
use crate::listeners::accept::{BLOCKED_WRITE, WAIT_FOR_ROOM};

/// For so long we listen to somebody after our last word.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes of answers that are written before anything else is looked at.
pub(super) const LONG_ANSWER: usize = 64 * 1024;

pub(super) struct Connection {
    pub(super) machine: Machine,
    pub(super) tls: TlsStream<TcpStream>,
    pub(super) peer: SocketAddr,
    pub(super) context: Arc<Context>,
    pub(super) pass: UnauthenticatedPermit,
    pub(super) key: Option<Fingerprint>,
    /// Present once HELLO was accepted.
    pub(super) admitted: Option<Box<Admitted>>,
    pub(super) completions: Arc<Completions>,
    /// For the bytes of unfinished frames and messages.
    pub(super) charge: Option<Charge>,
    /// The peer sends nothing more.
    pub(super) ended: bool,
    /// The peer takes nothing more.
    is_broken: bool,
}

impl Connection {
    pub(super) fn new(
        tls: TlsStream<TcpStream>,
        peer: SocketAddr,
        context: Arc<Context>,
        pass: UnauthenticatedPermit,
    ) -> Self {
        let options = ServerOptions {
            max_message: context.config.limits.max_message,
            heartbeat: context.config.limits.heartbeat,
            ..ServerOptions::default()
        };
        let key = tls
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first())
            .and_then(|certificate| tenfour_identity::tls::fingerprint_of(certificate).ok());
        Connection {
            machine: Machine::new(options, context.clock.now()),
            tls,
            peer,
            context,
            pass,
            key,
            admitted: None,
            completions: Arc::default(),
            charge: None,
            ended: false,
            is_broken: false,
        }
    }

    /// Borrows: a future that takes the connection would hold it twice, and an idle one is little else.
    pub(super) async fn run(&mut self) {
        let mut stopping = self.context.stopping.subscribe();
        let mut told = false;
        loop {
            self.deposit();
            if !self.take_events().await || (self.ended && !self.machine.is_draining()) {
                break;
            }
            self.feed_reader().await;
            while let Some(sequence) = self.reply_to_look_for() {
                Box::pin(self.look_for_reply(sequence)).await;
            }
            if !self.write().await || self.machine.has_ended() {
                break;
            }
            self.release_read_memory();
            // Before HELLO a peer holds one small frame at most, and whoever has a key must get that far: what strangers
            // hold elsewhere is nothing to wait for.
            let payer = self.admitted.as_deref().map_or(Payer::Known, |a| a.payer.clone());
            let context = Arc::clone(&self.context);
            let full = !context.broker.budget().has_room(&payer);
            let timeout = self.machine.poll_timeout().map(|at| context.clock.instant(at));
            let completions = Arc::clone(&self.completions);
            let holds_some = self.machine.buffered() > 0;
            tokio::select! {
                result = read_some(&mut self.tls, &mut self.machine, &context, &payer), if !full && !self.ended => {
                    self.after_read(result);
                }
                made = wait_for_room(&context, &payer, holds_some), if full => {
                    self.machine.keep_alive(context.clock.now());
                    if !made {
                        self.machine.fail(ErrorCode::TimedOut, "no memory for the rest of the message", String::new(), None);
                    }
                }
                answers = completions.answers() => self.take_answers(answers),
                () = sleep_until(timeout) => self.machine.handle_timeout(context.clock.now()),
                happened = next_event(self.admitted.as_deref_mut()) => self.take_happening(happened),
                () = self.pass.asked_to_leave(), if self.admitted.is_none() => {
                    self.machine.go_away(TemporaryCode::Busy);
                }
                _ = stopping.wait_for(|stopping| *stopping), if !told => {
                    told = true;
                    self.machine.go_away(TemporaryCode::Stopping);
                }
            }
        }
        self.write().await;
        let _ = tokio::time::timeout(BLOCKED_WRITE, self.tls.shutdown()).await;
        if !self.ended {
            // Closing over unread bytes would reset the connection and take our last words with it.
            let _ = tokio::time::timeout(LINGER, self.read_away()).await;
        }
    }

    /// What was understood is acted on all the same; whoever said CLOSE still gets its answers.
    fn after_read(&mut self, result: Result<ReadOutcome, Fault>) {
        match result {
            Ok(ReadOutcome::More) => {}
            Ok(ReadOutcome::End) => self.ended = true,
            Err(fault) => self.broke(&fault),
        }
    }

    fn broke(&self, fault: &Fault) {
        self.context.counters.count(Counter::Protocol);
        tracing::info!(peer = %self.peer, %fault, "connection ended");
    }

    /// Acts on what came, one after the other. An answer that is long is on its way before the next one is made: what a peer
    /// asks for in a few bytes must not gather here while it does not read. False when it does not take it: what it asked for
    /// besides would be made for nobody.
    async fn take_events(&mut self) -> bool {
        while !self.is_broken {
            let Some(event) = self.machine.poll_event() else {
                return true;
            };
            self.take_event(event).await;
            if self.machine.unsent() >= LONG_ANSWER && !self.write().await {
                return false;
            }
            if let Err(fault) = self.machine.go_on() {
                self.broke(&fault);
            }
            self.deposit();
        }
        false
    }

    async fn take_event(&mut self, event: ServerEvent) {
        match event {
            // Once a connection: its state must not stay part of the connection's.
            ServerEvent::Hello(hello) => Box::pin(self.take_hello(&hello)).await,
            ServerEvent::Read(request) => {
                let Some(admitted) = self.admitted.as_deref_mut() else {
                    return;
                };
                if !may(
                    &admitted.rights,
                    &request.mailbox,
                    request.cursor.as_ref().map(|by| &by.name),
                ) {
                    return self.machine.end_read(0, EndReason::NotAllowed);
                }
                admitted.group_read = None;
                let context = &self.context;
                let begun = match &request.cursor {
                    Some(by) => Box::pin(GroupRead::begin(context, &request, by, self.key))
                        .await
                        .map(|group_read| admitted.group_read = Some(Box::new(group_read))),
                    None => Box::pin(MailboxRead::begin(context, &request))
                        .await
                        .map(|mailbox_read| {
                            self.machine.start_read(mailbox_read.before());
                            admitted.mailbox_read = Some(mailbox_read);
                        }),
                };
                if let Err(broken) = begun {
                    end_read(&mut self.machine, broken, 0);
                }
            }
            ServerEvent::ReadCredit => {}
            ServerEvent::Status(request) => Box::pin(self.tell_status(request)).await,
            ServerEvent::Remove(request) => Box::pin(self.remove(request)).await,
            ServerEvent::Backup(request) => Box::pin(self.tell_backup(request)).await,
            ServerEvent::Progress(steps) => {
                if let Some(group_read) = self.group_read() {
                    group_read.report(&steps);
                }
            }
            ServerEvent::Claim(place) => {
                if let Some(group_read) = self.group_read() {
                    Box::pin(group_read.claim(place)).await;
                }
            }
            ServerEvent::Answer(answer) => self.take_answer(answer),
            ServerEvent::Await(sequence) => Box::pin(self.look_for_reply(sequence)).await,
        }
    }

    /// A reply is believed by whoever asked: it takes a right of its own.
    fn take_answer(&mut self, answer: AnswerFrame) {
        if self.group_read().is_none() {
            return;
        }
        let Some(admitted) = self.admitted.as_deref_mut() else {
            return;
        };
        let Some(group_read) = &mut admitted.group_read else {
            return;
        };
        if admitted.rights.may_answer(group_read.mailbox()) {
            group_read.answer(answer);
        } else {
            let mailbox = group_read.mailbox().clone();
            // The message has no part in it: a key without the right must not use up its attempts.
            group_read.report(&[Progress::one(answer.offset, Step::Untried)]);
            self.context.counters.count(Counter::NotAllowed);
            tracing::info!(peer = %self.peer, %mailbox, "cut off: the key may not answer messages");
            let text = format!("this key may not answer messages of `{mailbox}` (answer={mailbox})");
            self.machine
                .fail(ErrorCode::NotAllowed, &text, String::new(), None);
        }
    }

    /// What a reader without a cursor says has no meaning.
    fn group_read(&mut self) -> Option<&mut GroupRead> {
        let group_read = self
            .admitted
            .as_deref_mut()
            .and_then(|a| a.group_read.as_deref_mut());
        if group_read.is_none() {
            let text = "PROGRESS without a cursor";
            self.machine.fail(ErrorCode::Protocol, text, String::new(), None);
        }
        group_read
    }

    /// Sends what is ready. False when the peer does not take it.
    pub(super) async fn write(&mut self) -> bool {
        let mut out = Vec::new();
        self.machine.poll_transmit(&mut out);
        if self.is_broken || out.is_empty() {
            return !self.is_broken;
        }
        let writing = async {
            self.tls.write_all(&out).await?;
            self.tls.flush().await
        };
        let written = tokio::time::timeout(BLOCKED_WRITE, writing).await;
        if written.is_err() {
            self.context.counters.count(Counter::SlowReader);
            tracing::info!(peer = %self.peer, "cut off: it does not read");
        }
        self.is_broken = !matches!(written, Ok(Ok(())));
        !self.is_broken
    }

    async fn read_away(&mut self) {
        let mut buffer = [0; 512];
        while matches!(self.tls.get_mut().0.read(&mut buffer).await, Ok(count) if count > 0) {}
    }

    fn take_happening(&mut self, happened: ConnectionEvent) {
        match happened {
            ConnectionEvent::RulesChanged => {
                let Some(key) = self.key else { return };
                match (
                    self.context.config.access.rights(key, self.peer.ip()),
                    &mut self.admitted,
                ) {
                    (Some(rights), Some(admitted)) => {
                        let mailbox_read = admitted.mailbox_read.as_ref();
                        let group_read = admitted.group_read.as_ref();
                        let may_still_read = mailbox_read
                            .is_none_or(|read| may(&rights, read.mailbox(), None))
                            && group_read
                                .is_none_or(|read| may(&rights, read.mailbox(), Some(read.cursor())));
                        admitted.rights = rights;
                        if !may_still_read {
                            admitted.mailbox_read = None;
                            admitted.group_read = None;
                            self.machine.end_read(0, EndReason::NotAllowed);
                        }
                    }
                    _ => {
                        self.context.counters.count(Counter::NotAllowed);
                        tracing::info!(peer = %self.peer, %key, "cut off: the key is not allowed any more");
                        self.machine.fail(
                            ErrorCode::NotAllowed,
                            &format!("the key {key} is not allowed here any more"),
                            String::new(),
                            None,
                        );
                    }
                }
            }
            ConnectionEvent::TakenOver => self.taken_over(),
            ConnectionEvent::Replies(replies) => self.take_replies(replies),
            ConnectionEvent::MoreToRead => {}
        }
    }

    /// What readers were given is with the system now.
    fn release_read_memory(&mut self) {
        let Some(admitted) = self.admitted.as_deref_mut() else {
            return;
        };
        if let Some(mailbox_read) = &mut admitted.mailbox_read {
            mailbox_read.memory.release();
        }
        if let Some(group_read) = &mut admitted.group_read {
            group_read.memory.release();
        }
    }

    /// Sends what the reader may have.
    async fn feed_reader(&mut self) {
        let Some(admitted) = self.admitted.as_deref_mut() else {
            return;
        };
        if let Some(mailbox_read) = &mut admitted.mailbox_read {
            // Most connections never read: this has no place in their state.
            let over = Box::pin(mailbox_read.feed(&mut self.machine)).await;
            if over || !self.machine.is_reading() {
                admitted.mailbox_read = None;
            }
        }
        if let Some(group_read) = &mut admitted.group_read {
            Box::pin(group_read.feed(&mut self.machine)).await;
        }
        admitted.entry.set_sent(self.machine.items_sent());
    }
}

/// Whether a key may look at a mailbox, or consume it by that cursor.
fn may(rights: &Rights, mailbox: &MailboxName, cursor: Option<&CursorName>) -> bool {
    match cursor {
        Some(cursor) => rights.may_consume(mailbox, cursor),
        None => rights.may_read(mailbox),
    }
}

/// False when a connection that holds memory itself has waited for too long.
async fn wait_for_room(context: &Context, payer: &Payer, holds_some: bool) -> bool {
    let room = context.broker.budget().room(payer);
    if holds_some {
        tokio::time::timeout(WAIT_FOR_ROOM, room).await.is_ok()
    } else {
        // Wakes up now and then, so that the peer hears that we live.
        let _ = tokio::time::timeout(limits::HEARTBEAT, room).await;
        true
    }
}
