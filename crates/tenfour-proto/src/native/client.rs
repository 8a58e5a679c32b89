//! The client's side: a producer, and the connection of now.

mod deadlines;
mod input;
mod requests;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::backup::BackupEnd;
use super::frame::Frame;
use super::handshake::{ErrorFrame, Hello, ProducerKind, ProducerWish, Resumption, Versions, Welcome};
use super::parcel::Parcel;
use super::read_frames::{ItemFrame, ReadEnd};
use super::removal::RemoveOutcome;
use super::send_window::{DeliveryState, ResumeState, SendWindow};
use super::splitter::Splitter;
use super::status::{StatusEnd, StatusRow};
use super::transfer::Credit;
use super::{Fault, PLACES, REPLICATED, VERSION};
use crate::{
    Durability, Item, MailboxName, Message, Moment, Place, ProducerId, Reply, Settlement, TemporaryCode,
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
    /// The producer to send as; without one the client only reads.
    pub producer: Option<(ProducerId, Resumption, ProducerKind)>,
    /// What happened on the producer before this process.
    pub resume_state: ResumeState,
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
    Regressed {
        /// The server's mark.
        high_water_mark: u64,
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
    /// The read begins behind this place.
    ReadStart(Place),
    /// The read ended.
    ReadEnd(ReadEnd),
    /// So many of the [`progress`](Client::progress) frames of this read are saved.
    Progressed(u64),
    /// The reply to the message of this sequence, which had asked.
    Reply(u64, Reply),
    /// A row of the answer to the [`status`](Client::status) of this number.
    Status(u32, StatusRow),
    /// Its end.
    StatusEnd(u32, StatusEnd),
    /// A piece of the answer to the [`backup`](Client::backup) of this number.
    Backup(u32, Bytes),
    /// Its end.
    BackupEnd(u32, BackupEnd),
    /// The answer to the [`remove`](Client::remove) of this number.
    Removed(u32, RemoveOutcome),
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
    window: SendWindow,
    splitter: Splitter,
    transmit: Vec<u8>,
    events: VecDeque<ClientEvent>,
    credit: Credit,
    max_message: u32,
    heartbeat: Duration,
    /// What the server and we both know.
    features: u64,
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
            store: options.resume_state.store,
            window: SendWindow::new(&options.resume_state),
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
            features: 0,
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
        let sequence = self.window.push(message);
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
        self.close_wanted = false;
        Frame::Hello(Hello {
            versions: Versions {
                min: VERSION,
                max: VERSION,
            },
            software: self.options.software.clone(),
            process: self.options.process,
            attempt: self.attempt,
            durability: self.options.durability,
            features: PLACES | REPLICATED,
            producer: self.options.producer.map(|(id, resumption, kind)| ProducerWish {
                id,
                receipted: self.window.receipted(),
                settled: self.window.settled(),
                resumption,
                kind,
            }),
            invitation: self.options.invitation,
            finished: self.options.resume_state.finished.clone(),
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

    /// Sends as no producer any more; what was not settled is given up. Later connections only read.
    pub fn abandon_producer(&mut self) {
        self.options.producer = None;
        self.options.resume_state = ResumeState::default();
        self.window = SendWindow::new(&self.options.resume_state);
        self.awaited.clear();
    }

    /// The server cannot be heard because we are not reading: it counts as alive.
    pub fn keep_alive(&mut self, now: Moment) {
        self.last_heard = now;
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
                regressed: None,
            })
            .encode(&mut self.transmit);
            self.phase = Phase::Ended;
        })
    }

    /// Says goodbye on this connection once every message has gone; the server answers with the last receipts and closes.
    pub fn close(&mut self) {
        self.close_wanted = true;
    }

    /// Appends what is to be sent, about `room` bytes of messages at most. Call it until nothing comes.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>, room: usize) {
        out.append(&mut self.transmit);
        if self.phase == Phase::Open {
            self.window.transmit(out, room, self.credit, self.max_message);
            if self.close_wanted && self.window.is_all_transmitted() {
                Frame::Close.encode(out);
                self.phase = Phase::Closing;
            }
        }
    }

    /// The next thing to act on.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// Connections so far, that of now included.
    pub fn attempts(&self) -> u64 {
        self.attempt
    }

    /// The id of the server's store, once it was told. Without a producer it may be another one with each connection.
    pub fn store(&self) -> Option<[u8; 16]> {
        self.store
    }

    /// Messages without an answer.
    pub fn unsettled(&self) -> usize {
        self.window.unsettled()
    }

    /// Bytes of their bodies.
    pub fn unsettled_bytes(&self) -> usize {
        self.window.unsettled_bytes()
    }

    /// The highest sequence that has its answer.
    pub fn settled(&self) -> u64 {
        self.window.settled()
    }

    /// What is known of a message that has no answer.
    pub fn fate(&self, sequence: u64) -> DeliveryState {
        self.window.fate(sequence)
    }

    /// The server has let us in, and takes requests.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Paused(_))
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
