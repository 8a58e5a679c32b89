//! The text listener: one task a connection, no buffer while it is idle.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tenfour_proto::text::{Event, Server as Machine};
use tenfour_proto::{Listener, MailboxName, Message, Sender, Source, TemporaryCode};
use tenfour_store::Batch;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::admission::connections::RegistryEntry;
use crate::admission::counters::Counter;
use crate::admission::gate::PlaintextPermit;
use crate::broker::{Charge, Completion, Completions, Payer, memory_of};
use crate::context::Context;
use crate::listeners::accept::{self, BLOCKED_WRITE};

/// Bytes of one read. Belongs to the thread, not to the connection.
const READ: usize = 64 * 1024;

/// Lines of a connection without an answer: beyond that it waits for them.
const MOST_UNSETTLED: u64 = 16_384;

/// Lines of one deposit: one read may bring thirty thousand empty ones, and a deposit goes into one commit.
const MOST_OF_A_DEPOSIT: usize = 512;

/// So long a connection waits for room before somebody has to make it.
const PATIENCE: Duration = Duration::from_millis(250);

/// For so long we listen to somebody who was turned away.
const LINGER: Duration = Duration::from_secs(1);

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// Listens until the server stops.
pub(crate) fn listen(listener: TcpListener, context: Arc<Context>, alive: mpsc::Sender<()>) {
    accept::answer_at_once(&listener);
    accept::look_for_the_vanished(&listener);
    tokio::spawn(accept::accept(listener, context, alive, accepted));
}

fn accepted(stream: TcpStream, peer: SocketAddr, context: &Arc<Context>, alive: &mpsc::Sender<()>) {
    let Some(pass) = context.gate.admit_plain(context.clock.now()) else {
        // There is room for a line in the socket's buffer; nobody waits for it to leave.
        let _ = stream.try_write(format!("no busy {}\n", TemporaryCode::Busy.reason()).as_bytes());
        return;
    };
    context.tell_connected(peer, Listener::Text);
    tracing::debug!(%peer, "text connection");
    let mut connection = Connection {
        machine: Machine::new(
            context.config.limits.max_message,
            context.broker.durability().at_most_disk(),
        ),
        stream,
        context: Arc::clone(context),
        pass,
        entry: context.connections.enter(peer, Listener::Text, None),
        completions: None,
        charge: None,
        deposits: 0,
        ended: false,
        broken: false,
    };
    let alive = alive.clone();
    tokio::spawn(async move {
        connection.run().await;
        drop(alive);
    });
}

struct Connection {
    machine: Machine,
    stream: TcpStream,
    context: Arc<Context>,
    pass: PlaintextPermit,
    entry: RegistryEntry,
    /// Made with the first message.
    completions: Option<Arc<Completions>>,
    /// For the bytes of an unfinished line.
    charge: Option<Charge>,
    deposits: u64,
    /// Nobody reads our answers any more.
    broken: bool,
    /// The peer sends nothing more.
    ended: bool,
}

/// Waits for room. When there is none for a while, whoever holds most of an unfinished line goes: others wait for that.
async fn room(context: &Context) {
    let room = context.broker.budget().room(&Payer::Stranger);
    tokio::pin!(room);
    while tokio::time::timeout(PATIENCE, &mut room).await.is_err() {
        context.gate.evict_largest();
    }
}

impl Connection {
    async fn run(&mut self) {
        loop {
            self.write().await;
            let outstanding = self
                .completions
                .as_ref()
                .is_some_and(|completions| completions.outstanding() > 0);
            if self.machine.has_ended() && self.machine.is_settled() && !outstanding {
                break;
            }
            // A single connection does not fill what all strangers have together.
            let reading = !self.machine.has_ended() && self.machine.unsettled() < MOST_UNSETTLED;
            let full = reading && !self.context.broker.budget().has_room(&Payer::Stranger);
            tokio::select! {
                ready = self.stream.readable(), if reading && !full => {
                    match ready {
                        Ok(()) => self.read(),
                        Err(_) => self.reset(),
                    }
                }
                () = room(&self.context), if full => {}
                answers = answers(self.completions.as_deref()) => {
                    if !self.take_answers(answers) {
                        return;
                    }
                }
                () = self.pass.permit.asked_to_leave(), if reading => {
                    self.reset();
                }
            }
        }
        if !self.ended {
            let _ = self.stream.shutdown().await;
            // Closing over unread bytes would reset the connection and take our one line with it.
            let _ = tokio::time::timeout(LINGER, self.read_away()).await;
        }
    }

    async fn read_away(&mut self) {
        while self.stream.readable().await.is_ok() {
            let done = BUFFER.with_borrow_mut(|buffer| match self.stream.try_read(buffer) {
                Ok(count) => count == 0,
                Err(error) => error.kind() != io::ErrorKind::WouldBlock,
            });
            if done {
                return;
            }
        }
    }

    fn read(&mut self) {
        // There was room when the wait for bytes began; others have waited as well.
        if !self.context.broker.budget().has_room(&Payer::Stranger) {
            return;
        }
        BUFFER.with_borrow_mut(|buffer| match self.stream.try_read(buffer) {
            Ok(0) => {
                self.ended = true;
                self.machine.handle_end();
            }
            Ok(count) => self.machine.handle_bytes(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => {
                // A peer that closed with our answers unread looks like this.
                self.reset();
                self.broken = true;
                self.ended = true;
            }
        });
        self.deposit();
    }

    /// What was finished with LF counts, the rest does not.
    fn reset(&mut self) {
        if self.machine.handle_reset() > 0 {
            self.context.counters.count(Counter::Unfinished);
        }
    }

    /// Puts what the machine has understood on the queue.
    fn deposit(&mut self) {
        let mut messages = Vec::new();
        let inbox = MailboxName::inbox();
        while let Some(event) = self.machine.poll_event() {
            match event {
                Event::Message { sequence, body } => {
                    messages.push((sequence, Message::new(inbox.clone(), body)));
                }
                Event::Foreign(protocol) => {
                    self.context.counters.count(Counter::Foreign);
                    tracing::debug!(%protocol, "another protocol at the text listener");
                }
            }
        }
        let broker = &self.context.broker;
        let unfinished = self.machine.buffered();
        self.charge = (unfinished > 0).then(|| broker.budget().charge(&Payer::Stranger, unfinished));
        self.pass.permit.heard(self.context.clock.now(), unfinished);
        if messages.is_empty() {
            return;
        }
        let source = Source {
            listener: Listener::Text,
            // Asked for here: most connections that are held are silent, and each byte of them counts.
            address: self.stream.peer_addr().ok(),
        };
        self.entry.count_received(messages.len());
        let completions = self.completions.get_or_insert_default();
        let mut messages = messages.into_iter();
        while messages.len() > 0 {
            let messages: Vec<_> = messages.by_ref().take(MOST_OF_A_DEPOSIT).collect();
            let bytes = messages.iter().map(|(_, message)| memory_of(message)).sum();
            // Each deposit stands alone: what is turned away now says nothing about the next line.
            self.deposits += 1;
            broker.deposit(
                Batch {
                    sender: Sender::Anonymous,
                    producer: None,
                    epoch: 0,
                    source,
                    messages,
                },
                self.deposits,
                broker.budget().charge(&Payer::Stranger, bytes),
                completions,
            );
        }
    }

    /// False when the store is gone and nothing true can be said any more.
    fn take_answers(&mut self, answers: Vec<Completion>) -> bool {
        for answer in answers {
            match answer {
                Completion::Settled(stored) => self.machine.handle_stored(stored),
                Completion::NotNow { last, code, .. } => {
                    self.context.counters.count(Counter::NotNow);
                    self.machine.handle_not_now(last, code);
                    // The rest would be refused as well, to nobody: thousands of these kept a full server at it for half a minute.
                    if self.broken && code == TemporaryCode::Full {
                        self.reset();
                    }
                }
                Completion::TakenOver | Completion::Gone => return false,
            }
        }
        true
    }

    /// Sends what is due, a piece after the other; nothing more is read until that is done.
    async fn write(&mut self) {
        let mut out = Vec::new();
        loop {
            out.clear();
            self.machine.poll_transmit(&mut out);
            if out.is_empty() {
                return;
            }
            if !self.broken {
                self.write_piece(&out).await;
            }
        }
    }

    async fn write_piece(&mut self, piece: &[u8]) {
        // Nearly always there is room at once.
        let sent = self.stream.try_write(piece).unwrap_or(0);
        let rest = piece.get(sent..).unwrap_or_default();
        if rest.is_empty() {
            return;
        }
        let written = tokio::time::timeout(BLOCKED_WRITE, self.stream.write_all(rest)).await;
        if !matches!(written, Ok(Ok(()))) {
            if written.is_err() {
                self.context.counters.count(Counter::SlowReader);
            }
            self.broken = true;
            // What it finished with LF is stored all the same; a peer that reads nothing is read no more.
            if written.is_err() {
                self.reset();
            }
        }
    }
}

async fn answers(completions: Option<&Completions>) -> Vec<Completion> {
    match completions {
        Some(completions) => completions.answers().await,
        None => std::future::pending().await,
    }
}
