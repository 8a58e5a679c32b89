//! The server's side of one text connection.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Answer, Foreign, GREETING};
use crate::ack_sequencer::AckSequencer;
use crate::receive_buffer::ReceiveBuffer;
use crate::{Durability, RefusalCode, Settled, Settlement, Stored, TemporaryCode};

/// A first line of at least so many bytes is looked at as a whole, however it comes, whether it is a request of HTTP:
/// RFC 9112, section 3, recommends that 8,000 are supported.
const FIRST_LINE: usize = 8 * 1024;

/// What the driver has to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message for `inbox`; messages are numbered 1, 2, 3 ... within the connection.
    Message {
        /// Its number.
        sequence: u64,
        /// Its bytes.
        body: Bytes,
    },
    /// The other end speaks another protocol. Send what is left to send, then close.
    Foreign(Foreign),
}

/// The machine: bytes in, messages out; settlements in, answers out.
///
/// Drive it with [`handle_bytes`](Self::handle_bytes), [`handle_end`](Self::handle_end) and
/// [`handle_stored`](Self::handle_stored); after each, take all of
/// [`poll_event`](Self::poll_event) and then [`poll_transmit`](Self::poll_transmit).
#[derive(Debug)]
pub struct Server {
    state: State,
    max_message: usize,
    durability: Durability,
    /// A line that is not finished.
    partial: ReceiveBuffer,
    /// So much of it has no LF.
    scanned: usize,
    numbered: u64,
    sequencer: AckSequencer,
    events: VecDeque<Event>,
    /// The greeting, or what another protocol is told.
    notice: Vec<u8>,
    /// Answers that are due: they become lines when they can be sent, as one byte of a message may have forty of an answer.
    answers: VecDeque<Due>,
}

/// The same answer to some messages in a row.
#[derive(Debug)]
struct Due {
    answer: Answer,
    count: u64,
}

/// Bytes of lines that are made at once.
const PIECE: usize = 8 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first bytes could still be another protocol's.
    First,
    /// Reading lines.
    Lines,
    /// Inside a line that is too long; the refusal is on its way.
    Skipping,
    /// Nothing more is read.
    Ended,
}

impl Server {
    /// A connection that has just been accepted; the greeting is ready to be sent.
    pub fn new(max_message: u32, durability: Durability) -> Self {
        Server {
            state: State::First,
            max_message: max_message as usize,
            durability,
            partial: ReceiveBuffer::default(),
            scanned: 0,
            numbered: 0,
            sequencer: AckSequencer::new(0),
            events: VecDeque::new(),
            notice: GREETING.to_vec(),
            answers: VecDeque::new(),
        }
    }

    /// Takes what arrived.
    pub fn handle_bytes(&mut self, input: &[u8]) {
        if self.state == State::Ended || input.is_empty() {
            return;
        }
        self.partial.push(input);
        if self.state == State::First {
            match Foreign::in_prefix(self.partial.as_slice()) {
                None => return,
                Some(Some(protocol)) => return self.turn_away(protocol),
                Some(None) => {}
            }
        }
        self.take_lines();
    }

    fn take_lines(&mut self) {
        while let Some(end) = self.partial.find(b'\n', self.scanned) {
            self.scanned = 0;
            let mut line = self.partial.split_to(end + 1);
            line.truncate(end);
            if line.last() == Some(&b'\r') {
                line.truncate(end - 1);
            }
            match self.state {
                State::Skipping => self.state = State::Lines,
                State::First if Foreign::in_line(&line).is_some() => {
                    return self.turn_away(Foreign::Http);
                }
                _ => {
                    self.state = State::Lines;
                    self.take_message(line);
                }
            }
        }
        // One more byte than allowed may still be the CR before a LF.
        let over = self.partial.len().saturating_sub(self.longest());
        let is_too_long = over > 1 || (over == 1 && !self.partial.as_slice().ends_with(b"\r"));
        if self.state == State::First
            && is_too_long
            && let Some(protocol) = Foreign::in_long_line(self.partial.as_slice())
        {
            return self.turn_away(protocol);
        }
        if self.state != State::Skipping && is_too_long {
            self.state = State::Skipping;
            self.refuse_too_large();
        }
        if self.state == State::Skipping {
            self.partial.clear();
        } else {
            self.partial.rest();
        }
        self.scanned = self.partial.len();
    }

    /// What is kept of an unfinished line.
    fn longest(&self) -> usize {
        match self.state {
            State::First => self.max_message.max(FIRST_LINE),
            _ => self.max_message,
        }
    }

    fn take_message(&mut self, body: Bytes) {
        if body.len() > self.max_message {
            return self.refuse_too_large();
        }
        self.numbered += 1;
        self.events.push_back(Event::Message {
            sequence: self.numbered,
            body,
        });
    }

    fn refuse_too_large(&mut self) {
        self.numbered += 1;
        if let Some(answer) = self.sequencer.refuse(self.numbered, RefusalCode::TooLarge) {
            self.write(&answer);
        }
    }

    fn turn_away(&mut self, protocol: Foreign) {
        self.state = State::Ended;
        self.partial.clear();
        self.notice.extend_from_slice(
            format!("no foreign this is a tenfour text listener, it does not speak {protocol}\n").as_bytes(),
        );
        self.events.push_back(Event::Foreign(protocol));
    }

    /// The other end finished sending, cleanly: what it left without LF is a message too.
    pub fn handle_end(&mut self) {
        self.decide();
        let last = self.partial.take();
        match self.state {
            State::First | State::Lines if !last.is_empty() => self.take_message(last),
            _ => {}
        }
        self.state = State::Ended;
    }

    /// The connection broke: an unfinished line is dropped. Gives the number of its bytes.
    pub fn handle_reset(&mut self) -> usize {
        self.decide();
        self.state = State::Ended;
        self.partial.take().len()
    }

    /// No more bytes come: what could still have become another protocol is text.
    fn decide(&mut self) {
        if self.state == State::First {
            self.take_lines();
        }
    }

    /// The store has settled the messages up to its last sequence.
    pub fn handle_stored(&mut self, stored: Stored) {
        let answer = self.sequencer.settle(stored.into_settlement());
        self.write(&answer);
    }

    /// The store took none of the messages up to `last`, for now.
    pub fn handle_not_now(&mut self, last: u64, code: TemporaryCode) {
        let first = self.sequencer.settled() + 1;
        let answer = self.sequencer.settle(Settlement {
            settled: last,
            ..Settlement::default()
        });
        // The ledger tells which of them had been refused for good; the others are `code`.
        let mut refused = answer.refused.iter().peekable();
        for sequence in first..=answer.settled {
            let line = match refused.next_if(|r| r.first == sequence) {
                Some(refusal) => Answer::Refused(refusal.code),
                None => Answer::NotNow(code),
            };
            self.owe(line, 1);
        }
    }

    fn write(&mut self, answer: &Settlement) {
        for piece in answer.in_order() {
            match piece {
                Settled::Stored(run) => {
                    let first = Answer::Stored {
                        mailbox: run.mailbox.clone(),
                        offset: run.offset,
                        durability: self.durability,
                    };
                    self.owe(first, run.count);
                }
                Settled::Refused(refusal) => self.owe(Answer::Refused(refusal.code), refusal.count),
            }
        }
    }

    /// The answer to `count` messages in a row; offsets rise by one.
    fn owe(&mut self, answer: Answer, count: u64) {
        match self.answers.back_mut() {
            Some(last) if last.answer == answer && !matches!(answer, Answer::Stored { .. }) => {
                last.count += count;
            }
            _ => self.answers.push_back(Due { answer, count }),
        }
    }

    /// The next thing to act on.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if event.is_none() {
            // One read may have brought thirty thousand empty lines; the next is likely to bring one.
            self.events = VecDeque::new();
        }
        event
    }

    /// Moves a piece of what is to be sent behind the bytes of `out`, some kilobytes at most. Nothing: that was all.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) {
        out.append(&mut std::mem::take(&mut self.notice));
        let most = out.len() + PIECE;
        while out.len() < most
            && let Some(due) = self.answers.front_mut()
        {
            out.extend_from_slice(due.answer.to_string().as_bytes());
            out.push(b'\n');
            due.count -= 1;
            if let Answer::Stored { offset, .. } = &mut due.answer {
                *offset = offset.saturating_add(1);
            }
            if due.count == 0 {
                self.answers.pop_front();
            }
        }
        // An idle connection keeps no buffer.
        if self.answers.is_empty() {
            self.answers = VecDeque::new();
        }
    }

    /// Messages that came and have no answer yet.
    pub fn unsettled(&self) -> u64 {
        self.numbered - self.sequencer.settled()
    }

    /// Bytes of a line that is not finished.
    pub fn buffered(&self) -> usize {
        self.partial.len()
    }

    /// Every message that arrived has been answered.
    pub fn is_settled(&self) -> bool {
        self.sequencer.settled() == self.numbered
    }

    /// No more messages will come.
    pub fn has_ended(&self) -> bool {
        self.state == State::Ended
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{MailboxName, Run};

    const MAX: u32 = 8;

    fn machine() -> Server {
        Server::new(MAX, Durability::Disk)
    }

    fn events(server: &mut Server) -> Vec<Event> {
        std::iter::from_fn(|| server.poll_event()).collect()
    }

    fn sent(server: &mut Server) -> String {
        let mut out = Vec::new();
        server.poll_transmit(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn message(sequence: u64, body: &'static [u8]) -> Event {
        Event::Message {
            sequence,
            body: Bytes::from_static(body),
        }
    }

    fn stored(first: u64, count: u64, offset: u64) -> Settlement {
        Settlement {
            settled: first + count - 1,
            runs: vec![Run {
                first,
                count,
                mailbox: MailboxName::inbox(),
                offset,
                duplicate: false,
            }],
            refused: vec![],
        }
    }

    #[test]
    fn the_recipe() {
        let mut server = machine();
        assert_eq!(sent(&mut server), "You are connected!");
        server.handle_bytes(b"hi");
        assert_eq!(events(&mut server), []);
        server.handle_end();
        assert_eq!(events(&mut server), [message(1, b"hi")]);
        server.handle_stored(Stored::after_commit(stored(1, 1, 4127)));
        assert_eq!(sent(&mut server), "10-4 inbox 4127\n");
        assert!(server.is_settled() && server.has_ended());
    }

    #[test]
    fn lines_end_in_lf_and_an_empty_line_is_a_message() {
        let mut server = machine();
        server.handle_bytes(b"a\r\n\n\0\xff\nb\r\r\nhi\n");
        server.handle_end();
        assert_eq!(
            events(&mut server),
            [
                message(1, b"a"),
                message(2, b""),
                message(3, b"\0\xff"),
                message(4, b"b\r"),
                message(5, b"hi")
            ]
        );
    }

    #[test]
    fn no_bytes_are_no_message() {
        let mut server = machine();
        server.handle_end();
        assert_eq!(events(&mut server), []);
    }

    #[test]
    fn a_reset_drops_and_counts_the_unfinished_line() {
        let mut server = machine();
        server.handle_bytes(b"one\ntwo");
        assert_eq!(server.handle_reset(), 3);
        assert_eq!(events(&mut server), [message(1, b"one")]);
    }

    #[test]
    fn a_long_line_is_refused_in_its_place_and_the_next_is_read() {
        let mut server = machine();
        sent(&mut server);
        server.handle_bytes(b"12345678\r\n123456789\nok\n");
        assert_eq!(events(&mut server), [message(1, b"12345678"), message(3, b"ok")]);
        assert_eq!(sent(&mut server), "");
        server.handle_stored(Stored::after_commit(stored(1, 1, 7)));
        assert_eq!(
            sent(&mut server),
            "10-4 inbox 7\nno too-large the message is larger than the server allows\n"
        );
        server.handle_not_now(3, TemporaryCode::Full);
        assert_eq!(sent(&mut server), "no full the store is full, try again later\n");
        assert!(server.is_settled());
    }

    #[test]
    fn less_than_disk_is_said() {
        let mut server = Server::new(MAX, Durability::Memory);
        sent(&mut server);
        server.handle_bytes(b"x\n");
        server.handle_stored(Stored::after_commit(stored(1, 1, 1)));
        assert_eq!(sent(&mut server), "10-4 inbox 1 memory\n");
    }

    /// A long request of HTTP that came in pieces was refused as a long line, and its headers were stored as messages.
    #[test]
    fn a_long_request_of_http_is_one_however_it_comes() {
        let request = b"GET /a/long/way HTTP/1.1\r\nHost: x\r\n\r\n";
        for size in [1, 3, request.len()] {
            let mut server = machine();
            for piece in request.chunks(size) {
                server.handle_bytes(piece);
            }
            assert_eq!(events(&mut server), [Event::Foreign(Foreign::Http)]);
        }
    }

    /// A web page may choose its path, and what follows: with a path that was longer than any message, its words were stored.
    #[test]
    fn a_request_whose_path_is_too_long_leaves_nothing() {
        let path = "a".repeat(3 * FIRST_LINE);
        let request = format!("POST /{path} HTTP/1.1\r\nHost: x\r\n\r\nEVIL LINE\n");
        for size in [1_000, request.len()] {
            let mut server = machine();
            for piece in request.as_bytes().chunks(size) {
                server.handle_bytes(piece);
            }
            assert_eq!(events(&mut server), [Event::Foreign(Foreign::Http)]);
        }
        // A long line of text is refused, and the next one is read.
        let mut server = machine();
        server.handle_bytes(path.as_bytes());
        server.handle_bytes(b"\nhi\n");
        assert_eq!(events(&mut server), [message(2, b"hi")]);
    }

    /// One byte of a message may have forty of an answer: 500 connections that read nothing held a gigabyte.
    #[test]
    fn answers_are_made_when_they_can_be_sent() {
        let mut server = machine();
        sent(&mut server);
        server.handle_bytes(&b"x\n".repeat(20_000));
        assert_eq!(events(&mut server).len(), 20_000);
        assert_eq!(server.events.capacity(), 0);
        server.handle_not_now(10_000, TemporaryCode::Full);
        server.handle_stored(Stored::after_commit(stored(10_001, 10_000, 1)));
        assert!(server.answers.len() < 10);
        let (mut pieces, mut lines) = (0, 0);
        loop {
            let piece = sent(&mut server);
            if piece.is_empty() {
                break;
            }
            assert!(piece.len() < 2 * PIECE);
            pieces += 1;
            lines += piece.lines().count();
        }
        assert!(pieces > 10 && lines == 20_000, "{pieces} pieces, {lines} lines");
        assert_eq!(server.unsettled(), 0);
    }

    /// Each read joined, looked through and copied the whole unfinished line: one of a MiB that came byte by byte cost
    /// its square, and one stranger a core.
    #[test]
    fn a_line_that_drips_costs_its_length() {
        const LENGTH: usize = 1024 * 1024;
        for piece in [1, 7, 1500] {
            let mut server = Server::new(LENGTH as u32, Durability::Disk);
            let line = vec![b'x'; LENGTH];
            for piece in line.chunks(piece) {
                server.handle_bytes(piece);
            }
            server.handle_bytes(b"\n");
            assert!(
                matches!(&events(&mut server)[..], [Event::Message { body, .. }] if body.len() == LENGTH)
            );
            let touched = server.partial.touched;
            assert!(
                touched <= 5 * LENGTH,
                "{touched} bytes were touched, in pieces of {piece}"
            );
        }
    }

    #[test]
    fn other_protocols_are_turned_away_with_one_line() {
        let cases: [(&[u8], Foreign); 8] = [
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Foreign::Http),
            (b"\x16\x03\x01\x02\x0a\x01", Foreign::Tls),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Foreign::Ssh),
            (b"\0\0\0\x0a\xfeSMB\n", Foreign::Smb),
            (b"\x03\0\0\x13\x0e", Foreign::Rdp),
            (b"\0\x01\0\0\x21\x12\xa4\x42abc", Foreign::Stun),
            // A request to a TURN server, and one to a peer behind the length of ICE.
            (b"\0\x03\0\x24\x21\x12\xa4\x42abc\n", Foreign::Stun),
            (b"\0\x64\0\x01\0\x50\x21\x12\xa4\x42abc\n", Foreign::Stun),
        ];
        for (bytes, protocol) in cases {
            let mut server = Server::new(100, Durability::Disk);
            sent(&mut server);
            server.handle_bytes(bytes);
            assert_eq!(events(&mut server), [Event::Foreign(protocol)]);
            assert!(sent(&mut server).starts_with("no foreign "));
            assert!(server.has_ended());
        }
    }

    /// A STUN header has a length that may contain LF, so these bytes were held back as one piece
    /// and became one message with line ends in it.
    #[test]
    fn bytes_held_back_for_their_looks_are_lines_all_the_same() {
        let mut server = machine();
        server.handle_bytes(b"\0\0\n\n");
        server.handle_end();
        assert_eq!(events(&mut server), [message(1, b"\0\0"), message(2, b"")]);
        let mut server = machine();
        server.handle_bytes(b"\0\0\nx");
        assert_eq!(server.handle_reset(), 1);
        assert_eq!(events(&mut server), [message(1, b"\0\0")]);
    }

    #[test]
    fn only_first_bytes_are_judged() {
        let mut server = Server::new(100, Durability::Disk);
        server.handle_bytes(b"hi\nGET / HTTP/1.1\nS\n");
        assert_eq!(events(&mut server).len(), 3);
        let mut server = Server::new(100, Durability::Disk);
        server.handle_bytes(b"SSH");
        server.handle_end();
        assert_eq!(events(&mut server), [message(1, b"SSH")]);
    }

    proptest! {
        #[test]
        fn every_chunking_gives_the_same_events(
            input in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), Just(0u8), Just(1u8), Just(0x16u8), Just(3u8), Just(b'S'), any::<u8>()], 0..60),
            cuts in proptest::collection::vec(0usize..60, 0..8),
        ) {
            let run = |chunks: Vec<&[u8]>| {
                let mut server = machine();
                for chunk in chunks { server.handle_bytes(chunk); }
                server.handle_end();
                (events(&mut server), sent(&mut server))
            };
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(input.len())).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts { chunks.push(&input[from..cut]); from = cut; }
            chunks.push(&input[from..]);
            prop_assert_eq!(run(chunks), run(vec![&input]));
        }
    }
}
