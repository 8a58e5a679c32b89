//! The server's side of one native connection.

mod deadlines;
mod input;
mod responses;

use std::collections::VecDeque;
use std::time::Duration;

use super::frame::Frame;
use super::handshake::{ErrorFrame, Hello, Resumption, Welcome};
use super::parcel::Parcel;
use super::read_frames::ReadRequest;
use super::removal::RemoveRequest;
use super::reply_frames::AnswerFrame;
use super::splitter::Splitter;
use super::status::StatusRequest;
use super::transfer::{Credit, MessageFrame, Pause, ReceiptFrame};
use super::{ErrorCode, Fault, PLACES, REPLICATED, VERSION};
use crate::ack_sequencer::AckSequencer;
use crate::limits;
use crate::{
    Durability, MailboxName, Message, Moment, Place, Progress, RefusalCode, Settlement, Stored, TemporaryCode,
};

/// What a server allows.
#[derive(Clone, Copy, Debug)]
pub struct ServerOptions {
    /// Longest body of a message, in bytes.
    pub max_message: u32,
    /// How much may be sent and not settled.
    pub credit: Credit,
    /// Silence after which a PING is due; after twice this time the peer is dead.
    pub heartbeat: Duration,
    /// HELLO must be whole within this time.
    pub handshake_deadline: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            max_message: limits::DEFAULT_MAX_MESSAGE,
            credit: Credit {
                messages: limits::DEFAULT_CREDIT_MESSAGES,
                bytes: limits::DEFAULT_CREDIT_BYTES,
            },
            heartbeat: limits::HEARTBEAT,
            handshake_deadline: limits::HANDSHAKE_DEADLINE,
        }
    }
}

/// What the driver has to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// Who is there. Answer with [`Server::welcome`] or [`Server::fail`].
    Hello(Box<Hello>),
    /// Somebody wants to read. Answer with [`Server::send_items`] and [`Server::end_read`].
    Read(ReadRequest),
    /// A read may send more.
    ReadCredit,
    /// A reader says what it has done with what it was given. Answer with [`Server::progressed`].
    Progress(Vec<Progress>),
    /// A reader says that an earlier connection gave it the message at this place. Of messages that this connection did
    /// not give it, nothing else is to be believed.
    Claim(Place),
    /// A reader has handled a message, and this is the reply. Counts as a `Progress`.
    Answer(AnswerFrame),
    /// Somebody waits for the reply to this message of its producer. Answer with [`Server::send_reply`], once there is one.
    Await(u64),
    /// Somebody wants to know. Answer with [`Server::send_status`] and [`Server::end_status`].
    Status(StatusRequest),
    /// The client wants the whole store, under this number.
    Backup(u32),
    /// The client wants something removed; answer with [`removed`](Server::removed).
    Remove(RemoveRequest),
}

/// What the driver knows when it lets a client in.
#[derive(Clone, Debug)]
pub struct WelcomeTerms {
    /// Name and version of the server's software.
    pub software: String,
    /// The store's id.
    pub store: [u8; 16],
    /// What a receipt means here.
    pub durability: Durability,
    /// The mark of the producer wished for, read behind everything an older connection had deposited.
    pub high_water_mark: Option<u64>,
    /// What this key may do.
    pub rights: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing but HELLO may come, and soon.
    Hello,
    /// HELLO has come; the driver decides.
    Deciding,
    /// Messages and reads.
    Open,
    /// The last messages are being settled: the client sent CLOSE, or the server sent GOAWAY.
    Draining,
    /// Nothing more in either direction, but what is left to transmit.
    Ended,
}

/// Events that wait for the driver; the frames behind them stay bytes.
const MAX_EVENTS: usize = 64;

/// The machine. After each `handle_*` or other call take all of
/// [`take_messages`](Self::take_messages), [`poll_event`](Self::poll_event) and
/// [`poll_transmit`](Self::poll_transmit), then look at [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Server {
    options: ServerOptions,
    phase: Phase,
    splitter: Splitter,
    transmit: Vec<u8>,
    events: VecDeque<ServerEvent>,
    messages: Vec<(u64, Message)>,
    parcel: Option<Box<Parcel<MessageFrame>>>,
    sequencer: AckSequencer,
    durability: Durability,
    /// What the client and we both know.
    features: u64,
    /// The sequence that must come next; 0 when no producer was wished for.
    next: u64,
    /// A PAUSE is out: messages are dropped until RESUME.
    discarding: bool,
    /// Counts the RESUMEs: which messages belong together.
    epoch: u64,
    last_mailbox: Option<MailboxName>,
    read: Option<Box<ActiveRead>>,
    /// There was a READ.
    has_read: bool,
    items_sent: u64,
    progress: ProgressCount,
    began: Moment,
    last_heard: Moment,
    next_ping: Moment,
}

/// PROGRESS frames of the latest read.
#[derive(Debug, Default)]
struct ProgressCount {
    request: u32,
    came: u64,
    /// Of them the store has this many.
    saved: u64,
}

#[derive(Debug)]
struct ActiveRead {
    request: u32,
    items: u64,
    bytes: u64,
}

impl Server {
    /// A connection whose TLS handshake has just ended.
    pub fn new(options: ServerOptions, now: Moment) -> Self {
        Server {
            options,
            phase: Phase::Hello,
            splitter: Splitter::new(),
            transmit: Vec::new(),
            events: VecDeque::new(),
            messages: Vec::new(),
            parcel: None,
            sequencer: AckSequencer::new(0),
            durability: Durability::Memory,
            features: 0,
            next: 0,
            discarding: false,
            epoch: 0,
            last_mailbox: None,
            read: None,
            has_read: false,
            items_sent: 0,
            progress: ProgressCount::default(),
            began: now,
            last_heard: now,
            next_ping: now + options.heartbeat,
        }
    }

    /// Takes what arrived. After a fault the ERROR frame is ready to be sent and the machine has ended.
    pub fn handle_bytes(&mut self, now: Moment, input: &[u8]) -> Result<(), Fault> {
        if self.phase == Phase::Ended {
            return Ok(());
        }
        self.last_heard = now;
        self.splitter.push(input);
        self.take_frames().inspect_err(|fault| {
            self.fail(fault.code, fault.text, String::new(), None);
        })
    }

    fn take_frames(&mut self) -> Result<(), Fault> {
        // While the driver decides about HELLO, what follows waits unread, and so does what follows on much that it has to
        // act on: an event takes more memory than its frame.
        while !matches!(self.phase, Phase::Deciding | Phase::Ended)
            && self.events.len() < MAX_EVENTS
            && let Some(frame) = self.splitter.take()?
        {
            self.take_frame(frame)?;
        }
        Ok(())
    }

    fn take_frame(&mut self, frame: Frame) -> Result<(), Fault> {
        if self.phase == Phase::Hello {
            let Frame::Hello(hello) = frame else {
                return match frame {
                    Frame::Error(_) => {
                        self.phase = Phase::Ended;
                        Ok(())
                    }
                    _ => Err(Fault::protocol("the first frame is not HELLO")),
                };
            };
            self.phase = Phase::Deciding;
            self.events.push_back(ServerEvent::Hello(Box::new(hello)));
            return Ok(());
        }
        match frame {
            Frame::Message(message) => self.take_message(message),
            Frame::Part(part) => self.take_part(&part),
            Frame::Ping(data) => {
                Frame::Pong(data).encode(&mut self.transmit);
                Ok(())
            }
            Frame::Pong(_) => Ok(()),
            Frame::Close => {
                if self.parcel.is_some() && !self.discarding {
                    return Err(Fault::protocol("CLOSE in the middle of a message"));
                }
                self.phase = Phase::Draining;
                self.read = None;
                self.finish_draining();
                Ok(())
            }
            Frame::Resume(next) => {
                if !self.discarding || next != self.next {
                    return Err(Fault::protocol("RESUME without a pause, or at another sequence"));
                }
                self.discarding = false;
                self.epoch += 1;
                Ok(())
            }
            Frame::Read(read) => {
                if self.read.is_some() {
                    return Err(Fault::protocol("a second READ while one is under way"));
                }
                if self.has_read && read.request == self.progress.request {
                    return Err(Fault::protocol("a READ with the number of the one before"));
                }
                self.has_read = true;
                if self.progress.came > self.progress.saved {
                    return Err(Fault::protocol(
                        "a READ before the progress of the last one is saved",
                    ));
                }
                self.progress = ProgressCount {
                    request: read.request,
                    ..ProgressCount::default()
                };
                self.read = Some(Box::new(ActiveRead {
                    request: read.request,
                    items: read.credit.messages.into(),
                    bytes: read.credit.bytes.into(),
                }));
                self.events.push_back(ServerEvent::Read(read));
                Ok(())
            }
            Frame::ReadCredit(more) => {
                if let Some(read) = self.read.as_mut().filter(|read| read.request == more.request) {
                    read.items = read.items.saturating_add(more.credit.messages.into());
                    read.bytes = read.bytes.saturating_add(more.credit.bytes.into());
                    self.events.push_back(ServerEvent::ReadCredit);
                }
                Ok(())
            }
            Frame::Progress(_) | Frame::Claim(_) | Frame::Answer(_) if !self.has_read => {
                Err(Fault::protocol("PROGRESS, CLAIM or ANSWER without a READ"))
            }
            Frame::Progress(frame) => {
                if frame.request == self.progress.request {
                    self.progress.came += 1;
                    self.events.push_back(ServerEvent::Progress(frame.steps));
                }
                Ok(())
            }
            Frame::Claim(claim) => {
                if claim.request == self.progress.request {
                    self.events.push_back(ServerEvent::Claim(claim.place));
                }
                Ok(())
            }
            Frame::Answer(answer) => {
                if answer.request == self.progress.request {
                    self.progress.came += 1;
                    self.events.push_back(ServerEvent::Answer(answer));
                }
                Ok(())
            }
            Frame::Await(sequence) => {
                if self.next == 0 {
                    return Err(Fault::protocol("AWAIT, but HELLO named no stream"));
                }
                self.events.push_back(ServerEvent::Await(sequence));
                Ok(())
            }
            Frame::Status(request) => {
                self.events.push_back(ServerEvent::Status(request));
                Ok(())
            }
            Frame::Backup(request) => {
                self.events.push_back(ServerEvent::Backup(request));
                Ok(())
            }
            Frame::Remove(request) => {
                self.events.push_back(ServerEvent::Remove(request));
                Ok(())
            }
            Frame::Error(_) => {
                self.phase = Phase::Ended;
                Ok(())
            }
            Frame::Hello(_) => Err(Fault::protocol("a second HELLO")),
            Frame::Welcome(_)
            | Frame::Receipt(_)
            | Frame::Credit(_)
            | Frame::Pause(_)
            | Frame::Reply(_)
            | Frame::GoAway(_)
            | Frame::Item(_)
            | Frame::ReadStart(_)
            | Frame::ReadEnd(_)
            | Frame::Progressed(_)
            | Frame::StatusRow(_)
            | Frame::StatusEnd(_)
            | Frame::BackupPart(_)
            | Frame::BackupEnd(_)
            | Frame::Removed(_) => Err(Fault::protocol("a frame that only a server sends")),
        }
    }

    /// Lets the client in.
    pub fn welcome(&mut self, terms: WelcomeTerms, hello: &Hello) {
        if self.phase != Phase::Deciding {
            return;
        }
        self.features = hello.features & (PLACES | REPLICATED);
        self.durability = match self.features & REPLICATED {
            0 => terms.durability.at_most_disk(),
            _ => terms.durability,
        };
        if self.durability < hello.durability {
            self.fail(
                ErrorCode::Durability,
                "this server's store is less durable than demanded",
                String::new(),
                None,
            );
            return;
        }
        if let (Some(wish), Some(high_water_mark)) = (&hello.producer, terms.high_water_mark) {
            if high_water_mark < wish.receipted {
                self.fail(
                    ErrorCode::Regressed,
                    "the client holds receipts for messages that this store does not have",
                    String::new(),
                    Some((high_water_mark, terms.store)),
                );
                return;
            }
            let resume_at = match wish.resumption {
                Resumption::Continue => wish.settled.max(high_water_mark),
                Resumption::Repeat => wish.settled,
            };
            self.next = resume_at.saturating_add(1);
            // In a continued producer the receipts for what lies below come from the store's runs.
            self.sequencer = AckSequencer::new(resume_at);
        }
        Frame::Welcome(Welcome {
            version: VERSION,
            software: terms.software,
            store: terms.store,
            max_message: self.options.max_message,
            credit: self.options.credit,
            heartbeat_ms: u32::try_from(self.options.heartbeat.as_millis()).unwrap_or(u32::MAX),
            durability: self.durability,
            high_water_mark: terms.high_water_mark,
            features: self.features,
            rights: terms.rights,
        })
        .encode(&mut self.transmit);
        self.splitter.allow_full_frames();
        self.phase = Phase::Open;
    }

    /// Sends the receipts that a continuing client lacks; `stored` covers all from its last settled
    /// sequence up to the mark. Call it directly after [`welcome`](Self::welcome), before
    /// [`go_on`](Self::go_on).
    pub fn replay(&mut self, stored: &Stored) {
        if self.phase == Phase::Open {
            self.transmit_receipt(stored.settlement());
        }
    }

    /// Reads on where [`poll_event`](Self::poll_event) gives nothing more: behind a HELLO that the driver decided, and behind
    /// many events.
    pub fn go_on(&mut self) -> Result<(), Fault> {
        self.take_frames().inspect_err(|fault| {
            self.fail(fault.code, fault.text, String::new(), None);
        })
    }

    /// Ends the connection with an ERROR frame.
    pub fn fail(
        &mut self,
        code: ErrorCode,
        text: &str,
        reference: String,
        regressed: Option<(u64, [u8; 16])>,
    ) {
        if self.phase != Phase::Ended {
            Frame::Error(ErrorFrame {
                code,
                text: text.to_owned(),
                reference,
                regressed,
            })
            .encode(&mut self.transmit);
            self.end();
        }
    }

    fn end(&mut self) {
        self.phase = Phase::Ended;
        self.parcel = None;
        self.read = None;
        self.messages = Vec::new();
    }

    /// Refuses a message that [`take_messages`](Self::take_messages) gave; higher ones may follow.
    pub fn refuse(&mut self, sequence: u64, code: RefusalCode) {
        if self.discarding || self.phase == Phase::Ended {
            return;
        }
        if let Some(answer) = self.sequencer.refuse(sequence, code) {
            self.transmit_receipt(&answer);
            self.finish_draining();
        }
    }

    /// The store has settled what was taken, up to its last sequence.
    pub fn handle_stored(&mut self, stored: Stored) {
        if self.phase == Phase::Ended || self.discarding {
            return;
        }
        let answer = self.sequencer.settle(stored.into_settlement());
        self.transmit_receipt(&answer);
        self.finish_draining();
    }

    fn transmit_receipt(&mut self, settlement: &Settlement) {
        for frame in ReceiptFrame::frames(settlement, self.durability) {
            Frame::Receipt(frame).encode(&mut self.transmit);
        }
    }

    /// The store took none of the messages of `epoch` that are not settled yet.
    pub fn handle_not_now(&mut self, epoch: u64, reason: TemporaryCode, wait: Duration) {
        if epoch != self.epoch || self.discarding || self.phase == Phase::Ended {
            return;
        }
        self.discarding = true;
        self.sequencer.forget_waiting();
        self.messages = Vec::new();
        self.parcel = None;
        let settled = self.sequencer.settled();
        self.next = settled.saturating_add(1);
        Frame::Pause(Pause {
            reason,
            wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
            settled,
        })
        .encode(&mut self.transmit);
        self.finish_draining();
    }

    /// The server stops: no more messages are taken, the last receipts go out, then CLOSE.
    pub fn go_away(&mut self, reason: TemporaryCode) {
        match self.phase {
            Phase::Open => {
                Frame::GoAway(reason).encode(&mut self.transmit);
                self.phase = Phase::Draining;
                self.parcel = None;
                self.read = None;
                self.finish_draining();
            }
            Phase::Hello | Phase::Deciding => {
                Frame::GoAway(reason).encode(&mut self.transmit);
                self.end();
            }
            Phase::Draining | Phase::Ended => {}
        }
    }

    fn finish_draining(&mut self) {
        let all_settled = self.discarding || self.sequencer.settled() + 1 >= self.next;
        let all_saved = self.progress.saved >= self.progress.came;
        if self.phase == Phase::Draining && all_settled && all_saved && self.messages.is_empty() {
            Frame::Close.encode(&mut self.transmit);
            self.end();
        }
    }

    /// The next thing to act on.
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }

    /// The messages that came, in the order of their sequences. Each must be deposited or refused.
    pub fn take_messages(&mut self) -> Vec<(u64, Message)> {
        std::mem::take(&mut self.messages)
    }

    /// To which of the stretches between pauses the messages of now belong.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Moves what is to be sent behind the bytes of `out`.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) {
        if out.is_empty() {
            std::mem::swap(out, &mut self.transmit);
        } else {
            out.append(&mut self.transmit);
        }
        self.transmit = Vec::new();
    }

    /// Bytes that wait to be sent.
    pub fn unsent(&self) -> usize {
        self.transmit.len()
    }

    /// Bytes held of unfinished frames and messages.
    pub fn buffered(&self) -> usize {
        self.splitter.buffered() + self.parcel.as_ref().map_or(0, |parcel| parcel.buffered())
    }

    /// The connection may be closed once everything is transmitted.
    pub fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// The client has said its last word, or was sent away; only answers are left.
    pub fn is_draining(&self) -> bool {
        self.phase == Phase::Draining
    }

    /// HELLO was accepted.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Draining)
    }
}
