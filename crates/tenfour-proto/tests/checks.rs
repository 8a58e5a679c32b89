//! What a server does not take from a client that is wrong: each is an ERROR with its code, and nothing else happens.

use tenfour_proto::Moment;
use tenfour_proto::native::{ErrorCode, Hello, Server, ServerEvent, ServerOptions, WelcomeTerms};

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    frame.extend([kind, 0, 0, 0]);
    frame.extend(body);
    frame
}

fn field(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut field = vec![tag];
    field.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
    field.extend(value);
    field
}

/// Version 1 to 1, with a process and a stream.
fn hello(stream: [u8; 16], more: &[Vec<u8>]) -> Vec<u8> {
    let mut wish = stream.to_vec();
    wish.extend([0; 18]);
    let fields = [
        field(0x81, &[0, 1, 0, 1]),
        field(0x83, &[7; 16]),
        field(0x85, &[0]),
        field(0x87, &wish),
    ];
    frame(0x01, &[&fields[..], more].concat().concat())
}

fn server() -> Server {
    Server::new(ServerOptions::default(), Moment::default())
}

/// A server that has let a client in.
fn open() -> Server {
    let mut server = server();
    server
        .handle_bytes(Moment::default(), &hello([9; 16], &[]))
        .unwrap();
    let Some(ServerEvent::Hello(hello)) = server.poll_event() else {
        panic!("no HELLO");
    };
    let terms = WelcomeTerms {
        software: "test".into(),
        store: [1; 16],
        durability: tenfour_proto::Durability::Disk,
        high_water_mark: Some(0),
        rights: String::new(),
    };
    let hello: &Hello = &hello;
    server.welcome(terms, hello);
    server
}

fn code(mut server: Server, bytes: &[u8]) -> Option<ErrorCode> {
    server
        .handle_bytes(Moment::default(), bytes)
        .err()
        .map(|fault| fault.code)
}

/// A client of version 2 could not tell "this server is too old" from "I am wrong".
#[test]
fn the_version_comes_first() {
    let later = [field(0x9f, b"what version 2 needs"), field(0x81, &[0, 2, 0, 3])].concat();
    assert_eq!(code(server(), &frame(0x01, &later)), Some(ErrorCode::Version));
    let unknown = [field(0x9f, b"?"), field(0x81, &[0, 1, 0, 3])].concat();
    assert_eq!(code(server(), &frame(0x01, &unknown)), Some(ErrorCode::Protocol));
    assert_eq!(
        code(server(), &frame(0x01, &field(0x81, &[0, 2, 0, 1]))),
        Some(ErrorCode::Version)
    );
}

#[test]
fn a_hello_says_everything_once() {
    assert_eq!(code(server(), &hello([9; 16], &[])), None);
    for (wrong, bytes) in [
        ("a field twice", hello([9; 16], &[field(0x85, &[0])])),
        (
            "a field twice that may be unknown",
            hello([9; 16], &[field(0x02, b"a"), field(0x02, b"b")]),
        ),
        ("a stream of zeros", hello([0; 16], &[])),
        (
            "65 finished streams",
            hello([9; 16], &[field(0x09, &[5; 65 * 16])]),
        ),
    ] {
        assert_eq!(code(server(), &bytes), Some(ErrorCode::Protocol), "{wrong}");
    }
    assert_eq!(
        code(server(), &hello([9; 16], &[field(0x09, &[5; 64 * 16])])),
        None
    );
}

fn read(request: u32, more: &[Vec<u8>]) -> Vec<u8> {
    let fields = [field(0x81, &request.to_be_bytes()), field(0x82, b"inbox")];
    frame(0x20, &[&fields[..], more].concat().concat())
}

#[test]
fn a_read_begins_in_one_place_and_has_a_number_of_its_own() {
    let offset = |tag| field(tag, &1_u64.to_be_bytes());
    let place = field(0x8a, &[0; 40]);
    assert_eq!(code(open(), &read(1, &[offset(0x83)])), None);
    for wrong in [
        [offset(0x83), offset(0x84)],
        [offset(0x84), offset(0x85)],
        [offset(0x83), place.clone()],
        [offset(0x8b), offset(0x83)],
        [offset(0x83), offset(0x83)],
    ] {
        assert_eq!(
            code(open(), &read(1, &wrong)),
            Some(ErrorCode::Protocol),
            "{wrong:?}"
        );
    }
    let mut server = open();
    server.handle_bytes(Moment::default(), &read(7, &[])).unwrap();
    server.end_read(1, tenfour_proto::native::EndReason::CaughtUp);
    assert_eq!(code(server, &read(7, &[])), Some(ErrorCode::Protocol));
}

#[test]
fn nothing_is_said_of_messages_that_nobody_reads() {
    for request in [0_u32, 7] {
        let mut body = request.to_be_bytes().to_vec();
        let progress = frame(0x24, &body);
        assert_eq!(code(open(), &progress), Some(ErrorCode::Protocol));
        body.extend([0; 8]);
        body.extend([0, 0]);
        assert_eq!(code(open(), &frame(0x26, &body)), Some(ErrorCode::Protocol));
        body.extend([0; 30]);
        assert_eq!(code(open(), &frame(0x28, &body)), Some(ErrorCode::Protocol));
    }
}

#[test]
fn a_message_has_one_name_and_one_type() {
    let words = [field(0x02, b"a"), field(0x02, b"b")].concat();
    let mut body = 1_u64.to_be_bytes().to_vec();
    body.extend(0_u32.to_be_bytes());
    body.extend([5, 0]);
    body.extend(u16::try_from(words.len()).unwrap().to_be_bytes());
    body.extend(b"inbox");
    body.extend(&words);
    assert_eq!(code(open(), &frame(0x10, &body)), Some(ErrorCode::Protocol));
}
