//! The native protocol: its frames, and each machine alone with a peer that says anything.

use std::time::Duration;

use bytes::Bytes;
use tenfour_proto::native::{
    Client, ClientEvent, ClientOptions, Credit, ErrorCode, Frame, Hello, ProducerKind, ResumeState,
    Resumption, Server, ServerEvent, ServerOptions, Splitter, WelcomeTerms,
};
use tenfour_proto::{
    Durability, MailboxName, Message, Moment, ProducerId, RefusalCode, Run, Settlement, Stored, TemporaryCode,
};

use crate::bytes::Input;

/// What can be decoded is the same once it was encoded, and does not depend on how its bytes were cut.
pub fn frames(input: &[u8]) {
    let whole = decode(std::iter::once(input));
    assert_eq!(whole, decode(input.chunks(1 + input.len() / 512)));
    let mut encoded = Vec::new();
    for frame in &whole.0 {
        frame.encode(&mut encoded);
    }
    let again = decode(std::iter::once(&encoded[..]));
    assert_eq!(again, (whole.0, false));
}

/// The frames, and whether what follows them is none.
fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, bool) {
    let mut splitter = Splitter::new();
    splitter.allow_full_frames();
    let mut frames = Vec::new();
    for piece in pieces {
        splitter.push(piece);
        loop {
            match splitter.take() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
    }
    (frames, false)
}

const OPTIONS: ServerOptions = ServerOptions {
    max_message: 128 * 1024,
    credit: Credit {
        messages: 16,
        bytes: 1024,
    },
    heartbeat: Duration::from_secs(15),
    handshake_deadline: Duration::from_secs(10),
};

/// A server whose peer says anything, in an order that the input decides, while its store does anything.
pub fn native_server(input: &[u8]) {
    let mut input = Input(input);
    let mut now = Moment::default();
    let mut server = Server::new(OPTIONS, now);
    let mut next = None;
    let mut waiting: Vec<(u64, Message)> = Vec::new();
    let mut out = Vec::new();
    while !input.is_empty() {
        match input.byte() % 12 {
            0..=4 => {
                if server.handle_bytes(now, input.piece()).is_err() {
                    assert!(server.has_ended());
                }
            }
            // The store has committed what was waiting.
            5 => {
                if let Some((last, _)) = waiting.last() {
                    let settled = *last;
                    let runs = waiting.drain(..).map(|(sequence, message)| Run {
                        first: sequence,
                        count: 1,
                        mailbox: message.mailbox,
                        offset: sequence,
                        duplicate: input.byte() % 2 == 0,
                    });
                    let settlement = Settlement {
                        settled,
                        runs: runs.collect(),
                        refused: Vec::new(),
                    };
                    server.handle_stored(Stored::after_commit(settlement));
                }
            }
            6 => {
                let epoch = server.epoch();
                waiting.clear();
                next = None;
                server.handle_not_now(epoch, TemporaryCode::Full, Duration::from_millis(5));
            }
            7 => {
                if let Some((sequence, _)) = waiting.pop() {
                    // Only the last one, so that what is waiting stays without holes.
                    server.refuse(sequence, RefusalCode::NotAllowed);
                }
            }
            8 => server.go_away(TemporaryCode::Stopping),
            9 => server.fail(ErrorCode::Internal, "no", String::new(), None),
            10 => {
                now = now + Duration::from_secs(u64::from(input.byte()));
                server.handle_timeout(now);
            }
            _ => server.poll_transmit(&mut out),
        }
        while let Some(event) = server.poll_event() {
            if let ServerEvent::Hello(hello) = event {
                let terms = terms(&hello, input.byte());
                server.welcome(terms, &hello);
                let _ = server.go_on();
            }
        }
        for (sequence, message) in server.take_messages() {
            assert!(message.body.len() <= OPTIONS.max_message as usize);
            assert!(next.is_none_or(|next| next == sequence), "without holes");
            next = Some(sequence + 1);
            waiting.push((sequence, message));
        }
        assert!(server.buffered() <= 512 * 1024, "{}", server.buffered());
        assert!(!server.has_ended() || server.take_messages().is_empty());
        // Its clock goes on.
        let _ = server.poll_timeout();
    }
    server.poll_transmit(&mut out);
    assert!(!decode(std::iter::once(&out[..])).1, "what it says is frames");
}

fn terms(hello: &Hello, high_water_mark: u8) -> WelcomeTerms {
    WelcomeTerms {
        software: "fuzz".to_owned(),
        store: [1; 16],
        durability: Durability::Os,
        high_water_mark: hello.producer.is_some().then_some(u64::from(high_water_mark)),
        rights: String::new(),
    }
}

/// A client whose peer says anything.
pub fn native_client(input: &[u8]) {
    let mut input = Input(input);
    let mut now = Moment::default();
    let resumption = if input.byte() % 2 == 0 {
        Resumption::Continue
    } else {
        Resumption::Repeat
    };
    let mut client = Client::new(ClientOptions {
        software: "fuzz".to_owned(),
        process: [7; 16],
        durability: Durability::Memory,
        producer: Some((ProducerId::of_key("fuzz"), resumption, ProducerKind::OneShot)),
        resume_state: ResumeState::default(),
        invitation: None,
    });
    let (mut sent, mut settled) = (0, 0);
    let mut out = Vec::new();
    client.connected(now);
    while !input.is_empty() {
        match input.byte() % 10 {
            0..=4 => {
                if client.handle_bytes(now, input.piece()).is_err() {
                    assert!(client.has_ended());
                }
            }
            5 => {
                let body = Bytes::copy_from_slice(input.piece());
                sent = client.send(Message::new(MailboxName::inbox(), body));
            }
            6 => {
                client.disconnected();
                client.connected(now);
                out.clear();
            }
            7 => {
                now = now + Duration::from_secs(u64::from(input.byte()));
                client.handle_timeout(now);
            }
            8 => client.close(),
            _ => client.poll_transmit(&mut out, 1 << 12),
        }
        while let Some(event) = client.poll_event() {
            if let ClientEvent::Settled(settlement, _) = event {
                // Each message once, in order, and nothing that was never sent.
                for piece in settlement.in_order() {
                    let (first, last) = match piece {
                        tenfour_proto::Settled::Stored(run) => (run.first, run.last()),
                        tenfour_proto::Settled::Refused(refused) => (refused.first, refused.last()),
                    };
                    assert_eq!(first, settled + 1);
                    assert!(last >= first && last <= sent);
                    settled = last;
                }
                assert_eq!(settlement.settled, settled);
            }
        }
        assert_eq!(client.settled(), settled);
        let _ = client.poll_timeout();
    }
    client.poll_transmit(&mut out, 1 << 20);
    assert!(!decode(std::iter::once(&out[..])).1, "what it says is frames");
}
