//! A client and a server machine, a model store between them, and a clock moved by hand.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod schedule;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use tenfour_proto::native::{
    Client, ClientEvent, ClientOptions, Credit, Fault, Hello, ProducerKind, ResumeState, Resumption, Server,
    ServerEvent, ServerOptions, WelcomeTerms,
};
use tenfour_proto::{
    Durability, MailboxName, Message, Moment, ProducerId, RefusalCode, Refused, Run, Settled, Settlement,
    Stored, TemporaryCode,
};

pub const MAX_MESSAGE: usize = 40;

/// What is sent, and what must become of it.
#[derive(Clone, Default)]
pub struct Script(pub Vec<(Message, Result<(), RefusalCode>)>);

impl Script {
    pub fn new() -> Self {
        Script::default()
    }

    pub fn stored(mut self, mailbox: &str, body: &str) -> Self {
        self.0.push((message(mailbox, body), Ok(())));
        self
    }

    pub fn refused(mut self, mailbox: &str, body: &str, code: RefusalCode) -> Self {
        self.0.push((message(mailbox, body), Err(code)));
        self
    }
}

fn message(mailbox: &str, body: &str) -> Message {
    Message::new(mailbox.parse().unwrap(), Bytes::copy_from_slice(body.as_bytes()))
}

/// The simplest store that keeps the promises.
#[derive(Clone)]
pub struct ModelStore {
    pub id: [u8; 16],
    pub durability: Durability,
    pub mailboxes: BTreeMap<String, Vec<Message>>,
    /// Of the one producer: sequence -> (mailbox, offset).
    places: BTreeMap<u64, (MailboxName, u64)>,
}

impl ModelStore {
    fn new() -> Self {
        ModelStore {
            id: [1; 16],
            durability: Durability::Disk,
            mailboxes: BTreeMap::new(),
            places: BTreeMap::new(),
        }
    }

    pub fn forget_messages(&mut self) {
        self.mailboxes.clear();
        self.places.clear();
    }

    fn high_water_mark(&self) -> u64 {
        self.places.keys().next_back().copied().unwrap_or(0)
    }

    fn commit(&mut self, batch: Vec<(u64, Message)>) -> Settlement {
        let mut settlement = Settlement::default();
        for (sequence, message) in batch {
            settlement.settled = sequence;
            let mut duplicate = false;
            if sequence <= self.high_water_mark() {
                match self.places.get(&sequence) {
                    None => {
                        settlement
                            .refused
                            .push(Refused::one(sequence, RefusalCode::RefusedEarlier));
                        continue;
                    }
                    Some((mailbox, offset)) => {
                        let there = &self.mailboxes[mailbox.as_str()][*offset as usize - 1];
                        if *there != message {
                            settlement
                                .refused
                                .push(Refused::one(sequence, RefusalCode::Conflict));
                            continue;
                        }
                        duplicate = true;
                    }
                }
            } else {
                let mailbox = self.mailboxes.entry(message.mailbox.to_string()).or_default();
                mailbox.push(message.clone());
                let offset = mailbox.len() as u64;
                self.places.insert(sequence, (message.mailbox, offset));
            }
            settlement.runs.push(self.run(sequence, duplicate));
        }
        settlement
    }

    fn run(&self, sequence: u64, duplicate: bool) -> Run {
        let (mailbox, offset) = self.places[&sequence].clone();
        Run {
            first: sequence,
            count: 1,
            mailbox,
            offset,
            duplicate,
        }
    }

    fn replay(&self, after: u64) -> Settlement {
        let mut settlement = Settlement {
            settled: self.high_water_mark(),
            ..Settlement::default()
        };
        for sequence in after + 1..=self.high_water_mark() {
            if self.places.contains_key(&sequence) {
                settlement.runs.push(self.run(sequence, true));
            } else {
                settlement
                    .refused
                    .push(Refused::one(sequence, RefusalCode::RefusedEarlier));
            }
        }
        settlement
    }
}

pub struct Pair {
    pub script: Script,
    resumption: Resumption,
    pub store: ModelStore,
    pub now: Moment,
    /// How far the server's clock is from the client's.
    pub skew: Duration,
    pub client: Client,
    server: Server,
    hello: Option<Hello>,
    /// Deposited, not yet committed: (epoch, messages).
    queue: Vec<(u64, Vec<(u64, Message)>)>,
    pub commit_eagerly: bool,
    pub max_message: usize,
    pub cut_up: Option<usize>,
    pub cut_down: Option<usize>,
    /// At a cut only that direction goes silent, and the other goes on.
    pub one_way: bool,
    pub chunks: Vec<usize>,
    chunk: usize,
    pub full_at_commit: Option<usize>,
    pub commits: usize,
    /// A batch of this epoch found no room.
    turned_away: Option<u64>,
    pub go_away_after: Option<usize>,
    pub deaf: bool,
    pub bytes_up: usize,
    pub bytes_down: usize,
    pub connections: usize,
    pub seen: Vec<ClientEvent>,
    /// sequence -> (mailbox, offset, duplicate)
    pub receipts: HashMap<u64, Result<(String, u64, bool), RefusalCode>>,
}

impl Pair {
    pub fn new(script: Script, resumption: Resumption) -> Self {
        let mut client = Client::new(ClientOptions {
            software: "test".into(),
            process: [7; 16],
            durability: Durability::Disk,
            producer: Some((ProducerId::of_key("test"), resumption, ProducerKind::OneShot)),
            resume_state: ResumeState::default(),
            invitation: None,
        });
        for (message, _) in &script.0 {
            client.send(message.clone());
        }
        let now = Moment::default();
        Pair {
            script,
            resumption,
            store: ModelStore::new(),
            now,
            skew: Duration::ZERO,
            client,
            server: Server::new(ServerOptions::default(), now),
            hello: None,
            queue: Vec::new(),
            commit_eagerly: true,
            max_message: MAX_MESSAGE,
            cut_up: None,
            cut_down: None,
            one_way: false,
            chunks: Vec::new(),
            chunk: 0,
            full_at_commit: None,
            commits: 0,
            turned_away: None,
            go_away_after: None,
            deaf: false,
            bytes_up: 0,
            bytes_down: 0,
            connections: 0,
            seen: Vec::new(),
            receipts: HashMap::new(),
        }
    }

    /// The sender is killed, and the next process goes on with its outbox, in which all messages were numbered and the
    /// answers up to `settled` are noted.
    pub fn kill_sender(&mut self, settled: u64) {
        let receipted = (1..=settled)
            .rev()
            .find(|sequence| matches!(self.receipts.get(sequence), Some(Ok(_))));
        let last = self.script.0.len() as u64;
        self.receipts.retain(|sequence, _| *sequence <= settled);
        self.client = Client::new(ClientOptions {
            software: "test".into(),
            process: [8; 16],
            durability: Durability::Disk,
            producer: Some((ProducerId::of_key("test"), self.resumption, ProducerKind::Outbox)),
            resume_state: ResumeState {
                settled,
                receipted: receipted.unwrap_or(0),
                numbered: last,
                end: Some(last),
                store: Some(self.store.id),
                finished: Vec::new(),
            },
            invitation: None,
        });
        for (message, _) in self.script.0.iter().skip(settled as usize) {
            self.client.send(message.clone());
        }
    }

    pub fn on_store(mut self, store: ModelStore) -> Self {
        self.store = store;
        self
    }

    pub fn bare_server(&self) -> Server {
        Server::new(
            ServerOptions {
                max_message: self.max_message as u32,
                credit: Credit {
                    messages: 4,
                    bytes: 64,
                },
                ..ServerOptions::default()
            },
            self.server_now(),
        )
    }

    fn server_now(&self) -> Moment {
        self.now + self.skew
    }

    pub fn connect(&mut self) {
        self.connections += 1;
        self.bytes_up = 0;
        self.bytes_down = 0;
        // What the older connection deposited is committed, though nobody hears of it.
        self.commit_all(false);
        self.client.disconnected();
        self.client.connected(self.now);
        self.server = self.bare_server();
        self.turned_away = None;
    }

    /// The server ends at once: what was not committed is gone.
    pub fn crash_server(&mut self) {
        self.queue.clear();
    }

    /// Connects until every message has its answer.
    pub fn run_to_the_end(&mut self) {
        for _ in 0..30 {
            self.connect();
            self.exchange();
            if self.client.unsettled() == 0 {
                return;
            }
        }
        let last = self.seen.len().saturating_sub(3);
        panic!("no end after 30 connections: ... {:?}", &self.seen[last..]);
    }

    pub fn run_until_cut(&mut self) {
        self.connect();
        self.exchange();
        self.cut_up = None;
        self.cut_down = None;
    }

    /// Moves bytes until nothing moves, or the wire is cut.
    pub fn exchange(&mut self) {
        let (mut silent_up, mut silent_down) = (false, false);
        loop {
            let mut up = Vec::new();
            self.client.poll_transmit(&mut up, 64);
            let mut down = Vec::new();
            self.server.poll_transmit(&mut down);
            if silent_up {
                up.clear();
            }
            if silent_down {
                down.clear();
            }
            let idle = up.is_empty() && down.is_empty();
            if idle {
                if !self.commit_all(true) {
                    if self.client.is_paused() && !(silent_up || silent_down) {
                        self.sleep(1);
                        continue;
                    }
                    return;
                }
                continue;
            }
            let cut_up = limit(&mut up, &mut self.bytes_up, &mut self.cut_up);
            let cut_down = limit(&mut down, &mut self.bytes_down, &mut self.cut_down);
            for chunk in self.cut_into_chunks(&up) {
                let _ = self.server.handle_bytes(self.server_now(), &chunk);
                self.serve();
            }
            for chunk in self.cut_into_chunks(&down) {
                let _ = self.client.handle_bytes(self.now, &chunk);
                self.note_events();
            }
            silent_up |= cut_up;
            silent_down |= cut_down;
            if (cut_up || cut_down) && !self.one_way {
                return;
            }
            if self.go_away_after.is_some_and(|after| self.bytes_up > after) {
                self.go_away_after = None;
                self.server.go_away(TemporaryCode::Stopping);
            }
        }
    }

    fn cut_into_chunks(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut chunks = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let size = match self.chunks.len() {
                0 => rest.len(),
                n => self.chunks[self.chunk % n],
            };
            self.chunk += 1;
            let (chunk, after) = rest.split_at(size.min(rest.len()));
            chunks.push(chunk.to_vec());
            rest = after;
        }
        chunks
    }

    /// The server's driver.
    fn serve(&mut self) {
        while let Some(event) = self.server.poll_event() {
            if let ServerEvent::Hello(hello) = event {
                let high_water_mark = self.store.high_water_mark();
                let terms = WelcomeTerms {
                    software: "test".into(),
                    store: self.store.id,
                    durability: self.store.durability,
                    high_water_mark: hello.producer.is_some().then_some(high_water_mark),
                    rights: String::new(),
                };
                self.server.welcome(terms, &hello);
                let wish = hello.producer.unwrap();
                if self.resumption == Resumption::Continue && high_water_mark > wish.settled {
                    let receipts = Stored::after_commit(self.store.replay(wish.settled));
                    self.server.replay(&receipts);
                }
                let _ = self.server.go_on();
                self.hello = Some(*hello);
            }
        }
        let mut batch = Vec::new();
        for (sequence, message) in self.server.take_messages() {
            if message.mailbox.as_str() == "denied" {
                self.server.refuse(sequence, RefusalCode::NotAllowed);
            } else {
                batch.push((sequence, message));
            }
        }
        if !batch.is_empty() {
            self.queue.push((self.server.epoch(), batch));
        }
        if self.commit_eagerly {
            self.commit_all(true);
        }
    }

    fn commit_all(&mut self, tell: bool) -> bool {
        let queue = std::mem::take(&mut self.queue);
        let any = !queue.is_empty();
        for (epoch, batch) in queue {
            let full = self.full_at_commit == Some(self.commits);
            self.commits += 1;
            if full || self.turned_away == Some(epoch) {
                // All later ones of that epoch, too: else the producer would get a hole.
                self.turned_away = Some(epoch);
                self.server
                    .handle_not_now(epoch, TemporaryCode::Full, Duration::from_millis(500));
                continue;
            }
            let settlement = self.store.commit(batch);
            if tell {
                self.server.handle_stored(Stored::after_commit(settlement));
            }
        }
        any
    }

    fn note_events(&mut self) {
        while let Some(event) = self.client.poll_event() {
            if let ClientEvent::Settled(settlement, _) = &event {
                for piece in settlement.in_order() {
                    match piece {
                        Settled::Stored(run) => {
                            for sequence in run.first..=run.last() {
                                let offset = run.offset_of(sequence).unwrap();
                                let receipt = (run.mailbox.to_string(), offset, run.duplicate);
                                assert!(self.receipts.insert(sequence, Ok(receipt)).is_none());
                            }
                        }
                        Settled::Refused(refusal) => {
                            for sequence in refusal.first..=refusal.last() {
                                assert!(self.receipts.insert(sequence, Err(refusal.code)).is_none());
                            }
                        }
                    }
                }
            }
            self.seen.push(event);
        }
    }

    /// Every message is stored once, in order, where its receipt says; none that was refused is there.
    pub fn check(&self) {
        let mut wanted: BTreeMap<String, Vec<Message>> = BTreeMap::new();
        for (index, (message, outcome)) in self.script.0.iter().enumerate() {
            let sequence = index as u64 + 1;
            match (&self.receipts[&sequence], outcome) {
                (Ok((mailbox, offset, _)), Ok(())) => {
                    let there = &self.store.mailboxes[mailbox][*offset as usize - 1];
                    assert_eq!(there, message, "receipt of {sequence}");
                    wanted.entry(mailbox.clone()).or_default().push(message.clone());
                }
                // A message below the mark says only that it was refused, not why.
                (Err(code), Err(want)) => {
                    assert!(code == want || *code == RefusalCode::RefusedEarlier);
                }
                (receipt, want) => panic!("{sequence}: {receipt:?} instead of {want:?}"),
            }
        }
        assert_eq!(self.store.mailboxes, wanted);
    }

    pub fn inject_up(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.server.handle_bytes(self.server_now(), bytes)
    }

    pub fn inject_down(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.client.handle_bytes(self.now, bytes)
    }

    pub fn server_has_ended(&self) -> bool {
        self.server.has_ended()
    }

    pub fn sleep(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        self.client.handle_timeout(self.now);
        self.server.handle_timeout(self.server_now());
        if self.deaf {
            self.note_events();
        }
    }
}

/// Lets through what comes before the cut; says whether it is reached.
fn limit(bytes: &mut Vec<u8>, passed: &mut usize, cut: &mut Option<usize>) -> bool {
    if let Some(at) = *cut
        && *passed + bytes.len() > at
    {
        bytes.truncate(at.saturating_sub(*passed));
        *passed += bytes.len();
        *cut = None;
        return true;
    }
    *passed += bytes.len();
    false
}

/// A RECEIPT frame, byte by byte as in docs/protocol.md, for sequence 1 up to `last`.
pub fn receipt_bytes(last: u64) -> Vec<u8> {
    let mut body = last.to_be_bytes().to_vec();
    body.push(2); // disk
    body.push(0); // stored
    body.extend_from_slice(&2u64.to_be_bytes());
    body.extend_from_slice(&(last - 1).to_be_bytes());
    body.extend_from_slice(&1u64.to_be_bytes());
    body.push(1);
    body.push(b'a');
    frame(0x12, &body)
}

/// A MESSAGE frame, byte by byte as in docs/protocol.md.
pub fn message_bytes(sequence: u64, mailbox: &str, content: &[u8]) -> Vec<u8> {
    let mut body = sequence.to_be_bytes().to_vec();
    body.extend_from_slice(&(content.len() as u32).to_be_bytes());
    body.extend_from_slice(&[mailbox.len() as u8, 0, 0, 0]);
    body.extend_from_slice(mailbox.as_bytes());
    body.extend_from_slice(content);
    frame(0x10, &body)
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(&[kind, 0, 0, 0]);
    frame.extend_from_slice(body);
    frame
}
