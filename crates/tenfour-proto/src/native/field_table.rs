//! `docs/protocol/fields.csv` names the fields that are sent, and no other.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::fields;
use super::handshake::{ErrorFrame, Hello, ProducerKind, ProducerWish, Resumption, Versions, Welcome};
use super::read_frames::{CursorUse, ItemFrame, ReadFrom, ReadRequest};
use super::removal::RemoveRequest;
use super::status::{RowFrame, StatusRequest, StatusRow};
use super::transfer::{Credit, MessageFrame};
use crate::{Durability, MailboxName, Message, Place, ProducerId, Stamp};

/// A row of the table: frame, tag and how long the value is.
type Row = (&'static str, u8, String);

/// What the table says of a value of that length.
fn length(frame: &str, tag: u8, value: &Bytes) -> String {
    let texts: &[(&str, &[u8])] = &[
        ("HELLO", &[0x02]),
        ("WELCOME", &[0x02, 0x0a]),
        ("ERROR", &[0x02, 0x03]),
        ("MESSAGE", &[0x01, 0x02]),
        ("READ", &[0x82, 0x88]),
        ("ITEM", &[0x01, 0x02, 0x03, 0x04, 0x05]),
        ("STATUS_ROW", &[0x01, 0x02, 0x03]),
        ("REMOVE", &[0x82, 0x83]),
    ];
    match () {
        () if texts
            .iter()
            .any(|(name, tags)| *name == frame && tags.contains(&tag)) =>
        {
            "any".to_owned()
        }
        () if (frame, tag) == ("HELLO", 0x09) => {
            assert_eq!(value.len() % 16, 0);
            "16 each".to_owned()
        }
        () => value.len().to_string(),
    }
}

/// The fields in what a frame appended, behind its first `fixed` bytes.
fn rows(frame: &'static str, fixed: usize, encode: impl Fn(&mut Vec<u8>)) -> Vec<Row> {
    let mut out = Vec::new();
    encode(&mut out);
    let mut body = Bytes::from(out.split_off(fixed));
    let mut found = Vec::new();
    while let Some((tag, value)) = fields::next(&mut body).unwrap() {
        found.push((frame, tag, length(frame, tag, &value)));
    }
    found
}

fn credit() -> Credit {
    Credit {
        messages: 1,
        bytes: 1,
    }
}

fn of_the_handshake() -> Vec<Row> {
    let hello = Hello {
        versions: Versions { min: 1, max: 1 },
        software: "x".to_owned(),
        process: [1; 16],
        attempt: 1,
        durability: Durability::Disk,
        features: 1,
        producer: Some(ProducerWish {
            id: ProducerId::of_key("x"),
            receipted: 0,
            settled: 0,
            resumption: Resumption::Continue,
            kind: ProducerKind::OneShot,
        }),
        invitation: Some([1; 32]),
        finished: vec![ProducerId::of_key("x")],
    };
    let welcome = Welcome {
        version: 1,
        software: "x".to_owned(),
        store: [1; 16],
        max_message: 1,
        credit: credit(),
        heartbeat_ms: 1,
        durability: Durability::Disk,
        high_water_mark: Some(1),
        features: 1,
        rights: "x".to_owned(),
    };
    let error = ErrorFrame {
        code: super::ErrorCode::Regressed,
        text: "x".to_owned(),
        reference: "x".to_owned(),
        regressed: Some((1, [1; 16])),
    };
    let mut found = rows("HELLO", 0, |out| hello.encode(out));
    found.extend(rows("WELCOME", 0, |out| welcome.encode(out)));
    found.extend(rows("ERROR", 0, |out| error.encode(out)));
    found
}

fn of_messages() -> Vec<Row> {
    let word = || Some(Bytes::from_static(b"x"));
    let mut message = Message::new(MailboxName::inbox(), "");
    message.content_type = Some("text/plain".parse().unwrap());
    message.name = Some("x".parse().unwrap());
    let message = MessageFrame::starting(1, &message, false);
    let item = ItemFrame {
        request: 0,
        offset: 1,
        time: 1,
        sequence: 1,
        producer: [1; 16],
        total: 0,
        sender: Bytes::new(),
        content_type: word(),
        name: word(),
        listener: word(),
        address: word(),
        origin: word(),
        attempts: 1,
        asks: true,
        body: Bytes::new(),
    };
    let mut found = rows("MESSAGE", 16 + "inbox".len(), |out| message.encode(out));
    found.extend(rows("ITEM", 52, |out| item.encode(out)));
    found
}

fn of_reads() -> Vec<Row> {
    let place = Place {
        offset: 1,
        stamp: Some(Stamp {
            time: 1,
            sequence: 1,
            producer: ProducerId::of_key("x"),
        }),
    };
    let from = [
        ReadFrom::Offset(1),
        ReadFrom::Last(1),
        ReadFrom::Since(1),
        ReadFrom::Ago(1),
        ReadFrom::After(place),
    ];
    let reads = from.into_iter().flat_map(|from| {
        let read = ReadRequest {
            request: 0,
            mailbox: MailboxName::inbox(),
            from,
            cursor: Some(CursorUse {
                name: "x".parse().unwrap(),
                retries: Some(1),
            }),
            follow: true,
            credit: credit(),
        };
        rows("READ", 0, |out| read.encode(out))
    });
    reads.collect()
}

fn of_status() -> Vec<Row> {
    let request = StatusRequest {
        request: 0,
        producer: Some(ProducerId::of_key("x")),
    };
    let row = RowFrame {
        request: 0,
        row: StatusRow::new("x").with("a", "text").with("b", 1),
    };
    let removal = RemoveRequest {
        request: 0,
        mailbox: MailboxName::inbox(),
        cursor: Some("x".parse().unwrap()),
    };
    let mut found = rows("REMOVE", 0, |out| removal.encode(out));
    found.extend(rows("STATUS", 0, |out| request.encode(out)));
    found.extend(rows("STATUS_ROW", 4, |out| row.encode(out)));
    found
}

#[test]
fn the_fields_are_those_of_the_table() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol/fields.csv");
    let table = std::fs::read_to_string(path).unwrap();
    let named: BTreeSet<String> = table
        .lines()
        .skip(1)
        .map(|line| line.rsplit_once(',').unwrap().0.to_owned())
        .collect();
    let sent: BTreeSet<String> = [of_the_handshake(), of_messages(), of_reads(), of_status()]
        .concat()
        .into_iter()
        .map(|(frame, tag, length)| format!("{frame},{tag:#04x},{length}"))
        .collect();
    assert_eq!(named, sent);
}
