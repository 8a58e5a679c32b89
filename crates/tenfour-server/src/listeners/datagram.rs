//! The datagram listener: one task a socket, and nothing that is kept for a peer.

#[cfg_attr(target_os = "linux", path = "datagram/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "datagram/portable.rs")]
mod kernel;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tenfour_proto::datagram::{Receipt, Request, Verdict, is_ours};
use tenfour_proto::native::ProducerKind;
use tenfour_proto::text::Foreign;
use tenfour_proto::{Listener, MailboxName, Message, ProducerId, RefusalCode, Sender, Source};
use tenfour_store::Batch;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use self::kernel::Local;
use crate::admission::counters::Counter;
use crate::broker::{Completion, Completions, Payer, memory_of};
use crate::context::Context;

/// Datagrams taken from the kernel in one call.
const AT_ONCE: usize = 64;

/// Calls before other tasks have their turn.
const TURNS: usize = 8;

/// How often the kernel is asked what it dropped; of what follows a drop at once each datagram tells.
const LOOK: Duration = Duration::from_secs(1);

/// The log tells of drops at most so often.
const TELL: Duration = Duration::from_secs(10);

/// Serves a socket until the server stops.
pub(crate) fn listen(socket: UdpSocket, context: Arc<Context>, alive: mpsc::Sender<()>) {
    kernel::prepare(&socket);
    let listening = Listening {
        socket,
        context,
        completions: Arc::default(),
        expected: VecDeque::new(),
        deposits: 0,
        kernel_drops: 0,
        told: 0,
        told_at: None,
    };
    tokio::spawn(async move {
        listening.run().await;
        drop(alive);
    });
}

struct Listening {
    socket: UdpSocket,
    context: Arc<Context>,
    completions: Arc<Completions>,
    /// For each deposit without an answer, in their order.
    expected: VecDeque<Expected>,
    deposits: u64,
    /// What the kernel has dropped since the socket was made, as far as we know.
    kernel_drops: u32,
    /// The drops that the log knows of, and since when.
    told: u64,
    told_at: Option<Instant>,
}

/// Who is to hear what became of a deposit.
enum Expected {
    /// Nobody: so many plain datagrams.
    Plain(u64),
    Request {
        peer: SocketAddr,
        local: Local,
        producer: ProducerId,
        sequence: u64,
    },
}

/// A datagram, and what the kernel had dropped before it.
struct Arrival {
    peer: SocketAddr,
    local: Local,
    payload: Payload,
    kernel_drops: Option<u32>,
}

enum Payload {
    Plain(Bytes),
    Request(Request),
    Malformed,
    /// Another protocol's: nothing of it is a message.
    Foreign,
}

impl Listening {
    async fn run(mut self) {
        let mut stopping = self.context.stopping.subscribe();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let completions = Arc::clone(&self.completions);
            tokio::select! {
                ready = self.socket.readable() => match ready {
                    Ok(()) => self.read(),
                    Err(error) => {
                        tracing::error!(%error, "the datagram listener cannot be waited for");
                        return;
                    }
                },
                answers = completions.answers() => self.take_answers(answers),
                _ = look.tick() => self.look_at_kernel(),
                _ = stopping.wait_for(|stopping| *stopping) => break,
            }
        }
        self.look_at_kernel();
        while self.completions.outstanding() > 0 || !self.expected.is_empty() {
            let answers = self.completions.answers().await;
            self.take_answers(answers);
        }
    }

    fn read(&mut self) {
        let mut arrivals = Vec::with_capacity(AT_ONCE);
        for _ in 0..TURNS {
            let result = kernel::receive(&self.socket, AT_ONCE, |datagram| {
                arrivals.push(Arrival {
                    peer: datagram.peer,
                    local: datagram.local,
                    payload: payload(datagram.bytes),
                    kernel_drops: datagram.drops,
                });
            });
            let last = arrivals.len() < AT_ONCE;
            self.deposit(&mut arrivals);
            match result {
                Ok(()) if !last => {}
                // Errors here are those of answers that could not be delivered; they concern nobody.
                Ok(()) | Err(_) => return,
            }
        }
    }

    fn deposit(&mut self, arrivals: &mut Vec<Arrival>) {
        if let Some(drops) = arrivals.iter().rev().find_map(|arrival| arrival.kernel_drops) {
            self.count_kernel_drops(drops);
        }
        let mut arrivals = arrivals.drain(..).peekable();
        let mut plain: Vec<(u64, Message)> = Vec::new();
        while let Some(arrival) = arrivals.next() {
            let peer = arrival.peer;
            if !self.context.broker.budget().has_room(&Payer::Stranger) {
                self.context.counters.count(Counter::DatagramDropped);
                continue;
            }
            match arrival.payload {
                Payload::Malformed => self.context.counters.count(Counter::DatagramMalformed),
                Payload::Foreign => self.context.counters.count(Counter::Foreign),
                Payload::Request(request) => self.deposit_request(peer, arrival.local, request),
                Payload::Plain(body) => {
                    let number = plain.len() as u64 + 1;
                    plain.push((number, Message::new(MailboxName::inbox(), body)));
                    let goes_on = arrivals
                        .peek()
                        .is_some_and(|next| next.peer == peer && matches!(next.payload, Payload::Plain(_)));
                    if !goes_on {
                        let count = plain.len() as u64;
                        let messages = std::mem::take(&mut plain);
                        self.put(Sender::Anonymous, None, peer, messages, Expected::Plain(count));
                    }
                }
            }
        }
    }

    fn deposit_request(&mut self, peer: SocketAddr, local: Local, request: Request) {
        let Request {
            producer,
            sequence,
            mailbox,
            body,
        } = request;
        let refuse = |code| Receipt {
            producer,
            sequence,
            verdict: Verdict::Refused(code),
        };
        if body.len() > self.context.config.limits.max_message as usize {
            return self.answer(peer, local, &refuse(RefusalCode::TooLarge));
        }
        // Nobody has shown a key.
        if !self.context.config.access.anonymous_may_send(&mailbox) {
            self.context.counters.count(Counter::NotAllowed);
            return self.answer(peer, local, &refuse(RefusalCode::NotAllowed));
        }
        let expected = Expected::Request {
            peer,
            local,
            producer,
            sequence,
        };
        let messages = vec![(sequence, Message::new(mailbox, body))];
        let producer = Some((producer, ProducerKind::OneShot));
        self.put(Sender::Datagram, producer, peer, messages, expected);
    }

    fn put(
        &mut self,
        sender: Sender,
        producer: Option<(ProducerId, ProducerKind)>,
        peer: SocketAddr,
        messages: Vec<(u64, Message)>,
        expected: Expected,
    ) {
        let bytes = messages.iter().map(|(_, message)| memory_of(message)).sum();
        let batch = Batch {
            sender,
            producer,
            epoch: 0,
            source: Source {
                listener: Listener::Datagram,
                address: Some(peer),
            },
            messages,
        };
        // Each deposit stands alone: what is turned away now says nothing about the next one.
        self.deposits += 1;
        self.expected.push_back(expected);
        let broker = &self.context.broker;
        let charge = broker.budget().charge(&Payer::Stranger, bytes);
        broker.deposit(batch, self.deposits, charge, &self.completions);
    }

    fn take_answers(&mut self, answers: Vec<Completion>) {
        for answer in answers {
            let Some(expected) = self.expected.pop_front() else {
                return;
            };
            match (answer, expected) {
                (Completion::Settled(stored), Expected::Plain(_)) => {
                    let refused = stored
                        .settlement()
                        .refused
                        .iter()
                        .map(|refused| refused.count)
                        .sum();
                    self.context
                        .counters
                        .count_many(Counter::DatagramDropped, refused);
                }
                (
                    Completion::Settled(stored),
                    Expected::Request {
                        peer,
                        local,
                        producer,
                        sequence,
                    },
                ) => match Verdict::of(&stored, self.context.broker.durability().at_most_disk()) {
                    Some(verdict) => self.answer(
                        peer,
                        local,
                        &Receipt {
                            producer,
                            sequence,
                            verdict,
                        },
                    ),
                    // Not the next one: silence, so that reordering makes no false receipt.
                    None => self.context.counters.count(Counter::DatagramOutOfTurn),
                },
                (
                    Completion::NotNow { .. } | Completion::TakenOver | Completion::Gone,
                    Expected::Plain(count),
                ) => {
                    self.context.counters.count_many(Counter::DatagramDropped, count);
                }
                // Its sender repeats it.
                (
                    Completion::NotNow { .. } | Completion::TakenOver | Completion::Gone,
                    Expected::Request { .. },
                ) => {
                    self.context.counters.count(Counter::DatagramDropped);
                }
            }
        }
    }

    /// An answer that the kernel does not take is lost; its sender repeats, and gets another.
    fn answer(&self, peer: SocketAddr, local: Local, receipt: &Receipt) {
        let _ = kernel::answer(&self.socket, &receipt.encode(), peer, local);
    }

    fn look_at_kernel(&mut self) {
        if let Some(drops) = kernel::drops(&self.socket) {
            self.count_kernel_drops(drops);
        }
        let counters = &self.context.counters;
        let (kernel, here) = (
            counters.get(Counter::DatagramKernel),
            counters.get(Counter::DatagramDropped),
        );
        // Nobody else tells of them: a datagram has no answer in which its loss could be said.
        let due = self.told_at.is_none_or(|told| told.elapsed() >= TELL);
        if kernel + here > self.told && due {
            self.told = kernel + here;
            self.told_at = Some(Instant::now());
            tracing::warn!(kernel, here, "datagrams were dropped, so many since the start");
        }
    }

    fn count_kernel_drops(&mut self, drops: u32) {
        // The kernel's number wraps; a datagram from before the last look may tell an older one.
        let more = drops.wrapping_sub(self.kernel_drops);
        if more < u32::MAX / 2 {
            self.context
                .counters
                .count_many(Counter::DatagramKernel, more.into());
            self.kernel_drops = drops;
        }
    }
}

fn payload(bytes: &[u8]) -> Payload {
    if !is_ours(bytes) {
        if Foreign::in_datagram(bytes).is_some() {
            return Payload::Foreign;
        }
        return Payload::Plain(Bytes::copy_from_slice(bytes));
    }
    Request::decode(bytes).map_or(Payload::Malformed, Payload::Request)
}
