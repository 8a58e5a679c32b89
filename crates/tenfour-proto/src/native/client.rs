//! The client's side: a stream of messages, and the connection of now.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use super::backup::BackupEnd;
use super::frame::Frame;
use super::handshake::{ErrorFrame, Hello, Resumption, StreamKind, StreamWish, Versions, Welcome};
use super::outgoing::{Fate, Outgoing, Past};
use super::parcel::Parcel;
use super::reading::{self, ItemFrame, ProgressFrame, ReadCredit, ReadEnd, ReadRequest};
use super::replying::AnswerFrame;
use super::splitter::Splitter;
use super::status::{StatusEnd, StatusRequest, StatusRow};
use super::transfer::{Credit, Pause};
use super::{ErrorCode, Fault, VERSION};
use crate::{
    Durability, Item, MailboxName, Message, Moment, Progress, Reply, Settlement, StreamId, TemporaryCode,
    limits,
};

/// What a client is and wants.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Name and version of the software, for the server's log.
    pub software: String,
    /// Random; the same for everything this process does.
    pub process: [u8; 16],
    /// The least durability that counts.
    pub durability: Durability,
    /// The stream to send on; without one the client only reads.
    pub stream: Option<(StreamId, Resumption, StreamKind)>,
    /// What happened on the stream before this process.
    pub past: Past,
    /// The secret of an invitation to show.
    pub invitation: Option<[u8; 32]>,
}

/// What the driver has to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The server let us in.
    Welcomed(Box<Welcome>),
    /// These messages have their answers.
    Settled(Settlement, Durability),
    /// The server takes nothing for a while; the machine goes on by itself.
    Paused(TemporaryCode),
    /// The server stops or wants us elsewhere; after its last receipts it closes.
    GoingAway(TemporaryCode),
    /// The server ended the connection for a reason.
    Failed(ErrorFrame),
    /// The server lacks messages that we hold receipts for. Its store may be another one: its disk was wiped, or there
    /// are two servers of that name.
    WentBack {
        /// The server's mark.
        mark: u64,
        /// The last sequence we hold a receipt for.
        receipted: u64,
        /// The store that gave the receipts.
        first: [u8; 16],
        /// The store of this connection.
        now: [u8; 16],
    },
    /// The name leads to another store than before.
    OtherStore {
        /// The store of the first connection.
        first: [u8; 16],
        /// The store of this one.
        now: [u8; 16],
    },
    /// A message of the mailbox that is read.
    Item(Box<Item>),
    /// The read ended.
    ReadEnd(ReadEnd),
    /// So many of the [`progress`](Client::progress) frames of this read are saved.
    Progressed(u64),
    /// The reply to the message of this sequence, which had asked.
    Reply(u64, Reply),
    /// A row of the answer to [`status`](Client::status).
    Status(StatusRow),
    /// Its end.
    StatusEnd(StatusEnd),
    /// A piece of the answer to [`backup`](Client::backup).
    Backup(Bytes),
    /// Its end.
    BackupEnd(BackupEnd),
    /// The server closed in good order: whatever has no answer now is not stored.
    Closed,
    /// Nothing was heard for two heartbeats.
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No connection.
    Apart,
    /// HELLO is out.
    Greeting,
    /// Messages may go.
    Open,
    /// The server asked for silence until then.
    Paused(Moment),
    /// The server takes nothing more on this connection.
    Leaving,
    /// CLOSE is out.
    Closing,
    /// Nothing more comes or goes on this connection.
    Ended,
}

/// The machine. It outlives its connections: [`connected`](Self::connected) begins one,
/// [`disconnected`](Self::disconnected) ends it.
#[derive(Debug)]
pub struct Client {
    options: ClientOptions,
    phase: Phase,
    attempt: u64,
    store: Option<[u8; 16]>,
    outgoing: Outgoing,
    splitter: Splitter,
    transmit: Vec<u8>,
    events: VecDeque<ClientEvent>,
    credit: Credit,
    max_message: u32,
    heartbeat: std::time::Duration,
    read: Option<(u32, MailboxName)>,
    parcel: Option<Box<Parcel<ItemFrame>>>,
    /// Messages that asked, over all connections.
    awaited: BTreeSet<u64>,
    close_wanted: bool,
    last_heard: Moment,
    next_ping: Moment,
}

impl Client {
    /// A client without a connection.
    pub fn new(options: ClientOptions) -> Self {
        Client {
            phase: Phase::Apart,
            attempt: 0,
            store: options.past.store,
            outgoing: Outgoing::new(&options.past),
            options,
            splitter: Splitter::new(),
            transmit: Vec::new(),
            events: VecDeque::new(),
            credit: Credit {
                messages: 1,
                bytes: 0,
            },
            max_message: limits::CEILING_MAX_MESSAGE,
            heartbeat: limits::HEARTBEAT,
            read: None,
            parcel: None,
            awaited: BTreeSet::new(),
            close_wanted: false,
            last_heard: Moment::default(),
            next_ping: Moment::default(),
        }
    }

    /// Numbers a message and takes it for sending, now or once there is a connection.
    pub fn send(&mut self, message: Message) -> u64 {
        let asks = message.asks;
        let sequence = self.outgoing.push(message);
        if asks {
            self.awaited.insert(sequence);
        }
        sequence
    }

    /// Nobody waits for the reply to this message any more.
    pub fn forget_reply(&mut self, sequence: u64) {
        self.awaited.remove(&sequence);
    }

    /// A connection is there: HELLO is ready to be sent.
    pub fn connected(&mut self, now: Moment) {
        self.attempt += 1;
        self.phase = Phase::Greeting;
        self.last_heard = now;
        self.next_ping = now + self.heartbeat;
        self.events.clear();
        self.splitter = Splitter::new();
        self.splitter.allow_full_frames();
        self.transmit.clear();
        self.parcel = None;
        Frame::Hello(Hello {
            versions: Versions {
                min: VERSION,
                max: VERSION,
            },
            software: self.options.software.clone(),
            process: self.options.process,
            attempt: self.attempt,
            durability: self.options.durability,
            features: 0,
            stream: self.options.stream.map(|(id, resumption, kind)| StreamWish {
                id,
                receipted: self.outgoing.receipted(),
                settled: self.outgoing.settled(),
                resumption,
                kind,
            }),
            invitation: self.options.invitation,
            finished: self.options.past.finished.clone(),
        })
        .encode(&mut self.transmit);
    }

    /// The connection is gone.
    pub fn disconnected(&mut self) {
        self.phase = Phase::Apart;
        self.transmit.clear();
        self.read = None;
        self.parcel = None;
    }

    /// Takes what arrived. After a fault an ERROR frame is ready to be sent and the connection is of no more use.
    pub fn handle_bytes(&mut self, now: Moment, input: &[u8]) -> Result<(), Fault> {
        if matches!(self.phase, Phase::Apart | Phase::Ended) {
            return Ok(());
        }
        self.last_heard = now;
        self.splitter.push(input);
        self.take_frames(now).inspect_err(|fault| {
            Frame::Error(ErrorFrame {
                code: fault.code,
                text: fault.text.to_owned(),
                reference: String::new(),
                went_back: None,
            })
            .encode(&mut self.transmit);
            self.phase = Phase::Ended;
        })
    }

    fn take_frames(&mut self, now: Moment) -> Result<(), Fault> {
        while self.phase != Phase::Ended
            && let Some(frame) = self.splitter.take()?
        {
            self.take_frame(now, frame)?;
        }
        Ok(())
    }

    fn take_frame(&mut self, now: Moment, frame: Frame) -> Result<(), Fault> {
        match frame {
            Frame::Error(error) => {
                self.phase = Phase::Ended;
                self.events.push_back(match (error.code, error.went_back) {
                    (ErrorCode::WentBack, Some((mark, store))) => self.went_back(mark, store),
                    _ => ClientEvent::Failed(error),
                });
                Ok(())
            }
            Frame::GoAway(reason) => {
                if !matches!(self.phase, Phase::Closing) {
                    self.phase = Phase::Leaving;
                }
                self.events.push_back(ClientEvent::GoingAway(reason));
                Ok(())
            }
            Frame::Welcome(welcome) if self.phase == Phase::Greeting => self.take_welcome(welcome),
            _ if self.phase == Phase::Greeting => Err(Fault::protocol("the first frame is not WELCOME")),
            Frame::Receipt(receipt) => {
                if receipt.durability < self.options.durability {
                    return Err(Fault::protocol("a receipt is less durable than agreed"));
                }
                let settlement = self.outgoing.settle(receipt.settlement)?;
                self.events
                    .push_back(ClientEvent::Settled(settlement, receipt.durability));
                Ok(())
            }
            Frame::Credit(credit) => {
                self.credit = credit;
                self.credit.messages = credit.messages.max(1);
                Ok(())
            }
            Frame::Pause(pause) => self.take_pause(now, pause),
            Frame::Ping(data) => {
                Frame::Pong(data).encode(&mut self.transmit);
                Ok(())
            }
            Frame::Pong(_) => Ok(()),
            Frame::Close => {
                self.phase = Phase::Ended;
                self.outgoing.nothing_stored_above(self.outgoing.settled())?;
                self.events.push_back(ClientEvent::Closed);
                Ok(())
            }
            Frame::Item(item) => self.take_item(item),
            Frame::Part(part) => {
                let Some(parcel) = &mut self.parcel else {
                    return Err(Fault::protocol("a part without an item"));
                };
                parcel.add(&part)?;
                self.finish_item()
            }
            Frame::ReadEnd(end) => {
                if self.read.as_ref().is_some_and(|read| read.0 == end.request) {
                    self.read = None;
                    self.events.push_back(ClientEvent::ReadEnd(end));
                }
                Ok(())
            }
            Frame::Reply(frame) => {
                if self.awaited.remove(&frame.sequence) {
                    self.events
                        .push_back(ClientEvent::Reply(frame.sequence, frame.reply));
                }
                Ok(())
            }
            Frame::Progressed(saved) => {
                self.events.push_back(ClientEvent::Progressed(saved.count));
                Ok(())
            }
            Frame::StatusRow(frame) => {
                self.events.push_back(ClientEvent::Status(frame.row));
                Ok(())
            }
            Frame::StatusEnd(frame) => {
                self.events.push_back(ClientEvent::StatusEnd(frame.end));
                Ok(())
            }
            Frame::BackupPart(part) => {
                self.events.push_back(ClientEvent::Backup(part.bytes));
                Ok(())
            }
            Frame::BackupEnd(frame) => {
                self.events.push_back(ClientEvent::BackupEnd(frame.end));
                Ok(())
            }
            Frame::Welcome(_) => Err(Fault::protocol("a second WELCOME")),
            Frame::Hello(_)
            | Frame::Message(_)
            | Frame::Resume(_)
            | Frame::Await(_)
            | Frame::Answer(_)
            | Frame::Read(_)
            | Frame::Progress(_)
            | Frame::Status(_)
            | Frame::Backup(_)
            | Frame::ReadCredit(_) => Err(Fault::protocol("a frame that only a client sends")),
        }
    }

    fn take_welcome(&mut self, welcome: Welcome) -> Result<(), Fault> {
        if welcome.version != VERSION {
            return Err(Fault {
                code: ErrorCode::Version,
                text: "the server chose a version that was not offered",
            });
        }
        if welcome.durability < self.options.durability {
            return Err(Fault {
                code: ErrorCode::Durability,
                text: "the server welcomes with less durability than demanded",
            });
        }
        let mark = welcome.mark.unwrap_or(0);
        if self.options.stream.is_some() && mark < self.outgoing.receipted() {
            self.phase = Phase::Ended;
            self.events.push_back(self.went_back(mark, welcome.store));
            return Ok(());
        }
        let first = *self.store.get_or_insert(welcome.store);
        if first != welcome.store {
            self.phase = Phase::Ended;
            self.events.push_back(ClientEvent::OtherStore {
                first,
                now: welcome.store,
            });
            return Ok(());
        }
        if let Some((_, resumption, _)) = self.options.stream {
            let mark = welcome
                .mark
                .ok_or(Fault::protocol("WELCOME lacks the mark of the stream"))?;
            self.outgoing.resume(mark, resumption == Resumption::Continue)?;
        }
        self.credit = welcome.credit;
        self.max_message = welcome.max_message;
        self.heartbeat = std::time::Duration::from_millis(welcome.heartbeat_ms.into());
        self.phase = Phase::Open;
        // Replies may have come while there was no connection.
        for sequence in &self.awaited {
            Frame::Await(*sequence).encode(&mut self.transmit);
        }
        self.events.push_back(ClientEvent::Welcomed(Box::new(welcome)));
        Ok(())
    }

    fn went_back(&self, mark: u64, store: [u8; 16]) -> ClientEvent {
        ClientEvent::WentBack {
            mark,
            receipted: self.outgoing.receipted(),
            first: self.store.unwrap_or(store),
            now: store,
        }
    }

    fn take_pause(&mut self, now: Moment, pause: Pause) -> Result<(), Fault> {
        self.outgoing.nothing_stored_above(pause.settled)?;
        if self.phase == Phase::Open {
            let wait = std::time::Duration::from_millis(pause.wait_ms.into());
            self.phase = Phase::Paused(now + wait);
        }
        self.events.push_back(ClientEvent::Paused(pause.reason));
        Ok(())
    }

    fn take_item(&mut self, mut frame: ItemFrame) -> Result<(), Fault> {
        if self.parcel.is_some() {
            return Err(Fault::protocol("an item in the middle of another"));
        }
        if frame.total > limits::CEILING_MAX_MESSAGE {
            return Err(Fault::protocol("an item is longer than any message may be"));
        }
        let total = frame.total as usize;
        let first = std::mem::take(&mut frame.body);
        self.parcel = Some(Box::new(Parcel::begin(frame, total, &first)));
        self.finish_item()
    }

    fn finish_item(&mut self) -> Result<(), Fault> {
        let Some(parcel) = self.parcel.take_if(|parcel| parcel.is_whole()) else {
            return Ok(());
        };
        let (frame, body) = parcel.finish();
        // Items of a read that is over may still be on their way.
        if let Some((_, mailbox)) = self.read.as_ref().filter(|read| read.0 == frame.request) {
            let item = frame.into_item(mailbox.clone(), body.unwrap_or_default())?;
            self.events.push_back(ClientEvent::Item(Box::new(item)));
        }
        Ok(())
    }

    /// Asks for the messages of a mailbox. Give it an id that this client has not used before.
    pub fn read(&mut self, request: ReadRequest) {
        self.read = Some((request.request, request.mailbox.clone()));
        Frame::Read(request).encode(&mut self.transmit);
    }

    /// Lets the active read send so much more.
    pub fn grant(&mut self, items: u32, bytes: u32) {
        if let Some((request, _)) = self.read {
            Frame::ReadCredit(ReadCredit {
                request,
                credit: Credit {
                    messages: items,
                    bytes,
                },
            })
            .encode(&mut self.transmit);
        }
    }

    /// Asks for the whole store.
    pub fn backup(&mut self, request: u32) {
        Frame::Backup(request).encode(&mut self.transmit);
    }

    /// Asks what the server is doing, or what became of the messages of a stream of ours.
    pub fn status(&mut self, request: StatusRequest) {
        Frame::Status(request).encode(&mut self.transmit);
    }

    /// Reports what was done with messages of the read; gives the number of frames that it takes. Works for
    /// messages of an earlier connection too.
    pub fn progress(&mut self, request: u32, steps: &[Progress]) -> u64 {
        let mut frames = 0;
        for steps in steps.chunks(reading::MAX_STEPS) {
            frames += 1;
            Frame::Progress(ProgressFrame {
                request,
                steps: steps.to_vec(),
            })
            .encode(&mut self.transmit);
        }
        frames
    }

    /// Reports that a message of the read is done, with the reply to it: one frame, counted with those of
    /// [`progress`](Self::progress).
    pub fn answer(&mut self, request: u32, offset: u64, reply: Reply) {
        Frame::Answer(AnswerFrame {
            request,
            offset,
            reply,
        })
        .encode(&mut self.transmit);
    }

    /// Says goodbye once every message has gone; the server answers with the last receipts and closes.
    pub fn close(&mut self) {
        self.close_wanted = true;
    }

    /// Appends what is to be sent, about `room` bytes of messages at most. Call it until nothing comes.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>, room: usize) {
        out.append(&mut self.transmit);
        if self.phase == Phase::Open {
            self.outgoing.transmit(out, room, self.credit, self.max_message);
            if self.close_wanted && self.outgoing.is_all_transmitted() {
                Frame::Close.encode(out);
                self.phase = Phase::Closing;
            }
        }
    }

    /// The next thing to act on.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// Acts on the time.
    pub fn handle_timeout(&mut self, now: Moment) {
        if let Phase::Paused(until) = self.phase
            && now >= until
        {
            Frame::Resume(self.outgoing.settled() + 1).encode(&mut self.transmit);
            self.phase = Phase::Open;
        }
        if matches!(
            self.phase,
            Phase::Open | Phase::Paused(_) | Phase::Leaving | Phase::Closing
        ) {
            let silence = now.since(self.last_heard);
            if silence >= self.heartbeat * 2 {
                self.phase = Phase::Ended;
                self.events.push_back(ClientEvent::Dead);
            } else if now >= self.next_ping {
                // Whether or not the other end was heard: it must hear us even while it only talks.
                self.next_ping = now + self.heartbeat;
                Frame::Ping([0; 8]).encode(&mut self.transmit);
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Moment> {
        let due = self.next_ping.min(self.last_heard + self.heartbeat * 2);
        match self.phase {
            Phase::Open | Phase::Leaving | Phase::Closing => Some(due),
            Phase::Paused(until) => Some(until.min(due)),
            Phase::Apart | Phase::Greeting | Phase::Ended => None,
        }
    }

    /// The id of the server's store, once it was told.
    pub fn store(&self) -> Option<[u8; 16]> {
        self.store
    }

    /// Messages without an answer.
    pub fn unsettled(&self) -> usize {
        self.outgoing.unsettled()
    }

    /// The highest sequence that has its answer.
    pub fn settled(&self) -> u64 {
        self.outgoing.settled()
    }

    /// What is known of a message that has no answer.
    pub fn fate(&self, sequence: u64) -> Fate {
        self.outgoing.fate(sequence)
    }

    /// Nothing more comes or goes on this connection.
    pub fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// The server asked for a pause, and it lasts.
    pub fn is_paused(&self) -> bool {
        matches!(self.phase, Phase::Paused(_))
    }
}
