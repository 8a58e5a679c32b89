//! The text protocol: however the bytes are cut, the same messages come out, and the answers can be read.

use tenfour_proto::text::{Answer, Client, Event, Server};
use tenfour_proto::{Durability, MailboxName, RefusalCode, Refused, Run, Settlement, Stored};

const MAX_MESSAGE: u32 = 64;

/// Everything that comes out of a connection.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    events: Vec<Event>,
    bytes: Vec<u8>,
}

/// Takes bytes in pieces, and settles each message at once: a third of them is refused.
fn converse<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Said {
    let mut server = Server::new(MAX_MESSAGE, Durability::Disk);
    let mut said = Said {
        events: Vec::new(),
        bytes: Vec::new(),
    };
    let mut drain = |server: &mut Server| {
        while let Some(event) = server.poll_event() {
            if let Event::Message { sequence, body } = &event {
                assert!(body.len() <= MAX_MESSAGE as usize);
                server.handle_stored(Stored::after_commit(settle(*sequence)));
            }
            said.events.push(event);
        }
        server.poll_transmit(&mut said.bytes);
    };
    for piece in pieces {
        server.handle_bytes(piece);
        // A first line may be a request of HTTP.
        assert!(server.buffered() <= 8 * 1024 + 1);
        drain(&mut server);
    }
    server.handle_end();
    drain(&mut server);
    assert!(server.is_settled(), "nobody is left without an answer");
    said
}

fn settle(sequence: u64) -> Settlement {
    let mut settlement = Settlement {
        settled: sequence,
        ..Settlement::default()
    };
    if sequence.is_multiple_of(3) {
        settlement
            .refused
            .push(Refused::one(sequence, RefusalCode::NotAllowed));
    } else {
        settlement.runs.push(Run {
            first: sequence,
            count: 1,
            mailbox: MailboxName::inbox(),
            offset: sequence,
            duplicate: false,
        });
    }
    settlement
}

/// The server's and the client's side, and an answer as a line.
pub fn text(input: &[u8]) {
    let whole = converse(std::iter::once(input));
    let in_bytes = converse(input.chunks(1));
    assert_eq!(whole.events, in_bytes.events);
    let sequences: Vec<u64> = whole
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Message { sequence, .. } => Some(*sequence),
            Event::Foreign(_) => None,
        })
        .collect();
    // Holes are what was too long.
    assert!(sequences.is_sorted_by(|before, after| before < after));

    let (mut whole, mut in_bytes) = (Client::new(), Client::new());
    let outcome = whole.handle_bytes(input);
    let piecewise = input.chunks(1).find_map(|byte| in_bytes.handle_bytes(byte));
    assert_eq!(outcome, piecewise);
    assert_eq!(whole.is_greeted(), in_bytes.is_greeted());

    if let Ok(line) = std::str::from_utf8(input)
        && let Some(answer) = Answer::parse(line)
    {
        assert_eq!(Answer::parse(&answer.to_string()), Some(answer));
    }
}
