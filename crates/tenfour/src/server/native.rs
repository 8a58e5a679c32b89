//! The native listener: TLS, then one machine a connection.

mod asking;
mod consuming;
mod depositing;
mod happening;
mod hello;
mod reading;
mod telling;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tenfour_proto::native::{ErrorCode, Server as Machine, ServerEvent, ServerOptions};
use tenfour_proto::{Fingerprint, StreamId, TemporaryCode, limits};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::server::TlsStream;

use super::gate::StrangerPass;
use super::lease::Held;
use super::listen::{self, BLOCKED_WRITE, WAIT_FOR_ROOM};
use super::roster::Entry;
use super::{Context, Counter};
use crate::clock::sleep_until;
use crate::identity::{AuthorizedKeys, Rights};
use crate::inbox::{Charge, Class, Slip};
use asking::Asked;
use consuming::Consuming;
use happening::happenings;
use reading::Reading;
use wire::{ReadOutcome, read_some};

/// How long a client is asked to wait when the store is full or busy.
const PAUSE: Duration = Duration::from_millis(500);

/// For so long we listen to somebody after our last word.
const LINGER: Duration = Duration::from_secs(1);

/// Listens until the server stops.
pub(super) fn listen(listener: TcpListener, context: Arc<Context>, alive: mpsc::Sender<()>) {
    listen::answer_at_once(&listener);
    tokio::spawn(listen::accept(listener, context, alive, accepted));
}

fn accepted(stream: TcpStream, peer: SocketAddr, context: &Arc<Context>, alive: &mpsc::Sender<()>) {
    let Some(pass) = context.gate.admit_stranger(peer.ip(), context.clock.now()) else {
        return;
    };
    let context = Arc::clone(context);
    let alive = alive.clone();
    tokio::spawn(async move {
        // The handshake's state is large and short-lived: it has a box of its own.
        if let Some(tls) = Box::pin(handshake(stream, peer, &context)).await {
            let mut connection = Connection::new(tls, peer, context, pass);
            connection.run().await;
        }
        drop(alive);
    });
}

async fn handshake(stream: TcpStream, peer: SocketAddr, context: &Context) -> Option<TlsStream<TcpStream>> {
    let handshake = context.tls.accept(stream);
    let mut stopping = context.stopping.subscribe();
    let result = tokio::select! {
        result = tokio::time::timeout(limits::HANDSHAKE_DEADLINE, handshake) => result,
        _ = stopping.wait_for(|stopping| *stopping) => return None,
    };
    let error = match result {
        Ok(Ok(tls)) => return Some(tls),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it took too long".to_owned(),
    };
    context.counters.count(Counter::Handshake);
    tracing::debug!(%peer, error, "no TLS handshake");
    None
}

struct Connection {
    machine: Machine,
    tls: TlsStream<TcpStream>,
    peer: SocketAddr,
    context: Arc<Context>,
    pass: StrangerPass,
    key: Option<Fingerprint>,
    /// Present once HELLO was accepted.
    admitted: Option<Box<Admitted>>,
    slip: Arc<Slip>,
    /// For the bytes of unfinished frames and messages.
    charge: Option<Charge>,
    /// The peer sends nothing more.
    ended: bool,
}

/// What is known of a client that was let in.
struct Admitted {
    rights: Rights,
    stream: Option<StreamHeld>,
    reading: Option<Reading>,
    /// Until the next read: what was given out is still its reader's.
    consuming: Option<Box<Consuming>>,
    entry: Entry,
    changes: watch::Receiver<AuthorizedKeys>,
}

struct StreamHeld {
    held: Held,
    /// At the time of WELCOME. Up to here a message is a repeat, and the store says what became of it.
    mark: u64,
    id: (StreamId, tenfour_proto::native::StreamKind),
    asked: Asked,
}

impl Connection {
    fn new(tls: TlsStream<TcpStream>, peer: SocketAddr, context: Arc<Context>, pass: StrangerPass) -> Self {
        let options = ServerOptions {
            max_message: context.config.limits.max_message,
            ..ServerOptions::default()
        };
        let key = tls
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first())
            .and_then(|certificate| crate::identity::fingerprint_of(certificate).ok());
        Connection {
            machine: Machine::new(options, context.clock.now()),
            tls,
            peer,
            context,
            pass,
            key,
            admitted: None,
            slip: Arc::default(),
            charge: None,
            ended: false,
        }
    }

    /// Borrows: a future that takes the connection would hold it twice, and an idle one is little else.
    async fn run(&mut self) {
        let mut stopping = self.context.stopping.subscribe();
        let mut told = false;
        loop {
            self.deposit();
            while let Some(event) = self.machine.poll_event() {
                self.take_event(event).await;
                self.deposit();
            }
            self.feed_reader().await;
            while let Some(sequence) = self.reply_to_look_for() {
                Box::pin(self.look_for_reply(sequence)).await;
            }
            if !self.write().await || self.machine.has_ended() {
                break;
            }
            // Before HELLO a peer holds one small frame at most, and whoever has a key must get that far: what strangers
            // hold elsewhere is nothing to wait for.
            let class = Class::Known;
            let context = Arc::clone(&self.context);
            let full = !context.inbox.budget().has_room(class);
            let timeout = self.machine.poll_timeout().map(|at| context.clock.instant(at));
            let slip = Arc::clone(&self.slip);
            let holds_some = self.machine.buffered() > 0;
            tokio::select! {
                result = read_some(&mut self.tls, &mut self.machine, &context), if !full && !self.ended => {
                    if !self.after_read(result) {
                        break;
                    }
                }
                made = wait_for_room(&context, class, holds_some), if full => {
                    self.machine.keep_alive(context.clock.now());
                    if !made {
                        self.machine.fail(ErrorCode::TimedOut, "no memory for the rest of the message", String::new(), None);
                    }
                }
                answers = slip.answers() => self.take_answers(answers),
                () = sleep_until(timeout) => self.machine.handle_timeout(context.clock.now()),
                happened = happenings(self.admitted.as_deref_mut()) => self.take_happening(happened),
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

    fn after_read(&mut self, result: Result<ReadOutcome, tenfour_proto::native::Fault>) -> bool {
        match result {
            Ok(ReadOutcome::More) => true,
            Ok(ReadOutcome::End) => {
                self.ended = true;
                // What was understood is deposited all the same; whoever said CLOSE still gets its answers.
                self.deposit();
                self.machine.is_draining()
            }
            Err(fault) => {
                self.context.counters.count(Counter::Protocol);
                tracing::info!(peer = %self.peer, %fault, "connection ended");
                self.deposit();
                true
            }
        }
    }

    async fn take_event(&mut self, event: ServerEvent) {
        match event {
            // Once a connection: its state must not stay part of the connection's.
            ServerEvent::Hello(hello) => Box::pin(self.take_hello(&hello)).await,
            ServerEvent::Read(request) => {
                let Some(admitted) = self.admitted.as_deref_mut() else {
                    return;
                };
                if !admitted.rights.may_read(&request.mailbox) {
                    return self
                        .machine
                        .end_read(0, tenfour_proto::native::EndReason::NotAllowed);
                }
                admitted.consuming = None;
                let inbox = &self.context.inbox;
                let begun = match &request.cursor {
                    Some(by) => Box::pin(Consuming::begin(inbox, &request, by))
                        .await
                        .map(|consuming| admitted.consuming = Some(Box::new(consuming))),
                    None => Box::pin(Reading::begin(inbox, &request))
                        .await
                        .map(|reading| admitted.reading = Some(reading)),
                };
                if let Err(reason) = begun {
                    self.machine.end_read(0, reason);
                }
            }
            ServerEvent::ReadCredit => {}
            ServerEvent::Status(request) => Box::pin(self.tell_status(request)).await,
            ServerEvent::Backup(request) => Box::pin(self.tell_backup(request)).await,
            ServerEvent::Progress(steps) => {
                if let Some(consuming) = self.consuming() {
                    consuming.report(&steps);
                }
            }
            ServerEvent::Answer(answer) => {
                if let Some(consuming) = self.consuming() {
                    consuming.answer(answer);
                }
            }
            ServerEvent::Await(sequence) => Box::pin(self.look_for_reply(sequence)).await,
        }
    }

    /// What a reader without a cursor says has no meaning.
    fn consuming(&mut self) -> Option<&mut Consuming> {
        let consuming = self
            .admitted
            .as_deref_mut()
            .and_then(|a| a.consuming.as_deref_mut());
        if consuming.is_none() {
            let text = "PROGRESS without a cursor";
            self.machine.fail(ErrorCode::Protocol, text, String::new(), None);
        }
        consuming
    }

    /// Sends what the reader may have.
    async fn feed_reader(&mut self) {
        let Some(admitted) = self.admitted.as_deref_mut() else {
            return;
        };
        if let Some(reading) = &mut admitted.reading {
            // Most connections never read: this has no place in their state.
            let over = Box::pin(reading.feed(&mut self.machine)).await;
            if over || !self.machine.is_reading() {
                admitted.reading = None;
            }
        }
        if let Some(consuming) = &mut admitted.consuming {
            Box::pin(consuming.feed(&mut self.machine)).await;
        }
        admitted.entry.set_sent(self.machine.items_sent());
    }
}

/// False when a connection that holds memory itself has waited for too long.
async fn wait_for_room(context: &Context, class: Class, holds_some: bool) -> bool {
    let room = context.inbox.budget().room(class);
    if holds_some {
        tokio::time::timeout(WAIT_FOR_ROOM, room).await.is_ok()
    } else {
        // Wakes up now and then, so that the peer hears that we live.
        let _ = tokio::time::timeout(limits::HEARTBEAT, room).await;
        true
    }
}
