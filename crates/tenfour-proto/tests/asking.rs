//! Questions and replies between two native machines: over one connection, over the next, and from a reader.

use tenfour_proto::native::{
    AnswerFrame, Client, ClientEvent, ClientOptions, Credit, CursorUse, ProducerKind, ReadFrom, ReadRequest,
    ResumeState, Resumption, Server, ServerEvent, ServerOptions, WelcomeTerms,
};
use tenfour_proto::{
    Durability, Item, MailboxName, Message, Moment, ProducerId, Reply, Run, Settlement, Stored, limits,
};

fn client() -> Client {
    Client::new(ClientOptions {
        software: "test".into(),
        process: [1; 16],
        durability: Durability::Disk,
        producer: Some((
            ProducerId::of_key("s"),
            Resumption::Continue,
            ProducerKind::OneShot,
        )),
        resume_state: ResumeState::default(),
        invitation: None,
    })
}

/// A new connection, with the producer at this mark.
fn connect(client: &mut Client, high_water_mark: u64) -> Server {
    let now = Moment::default();
    let mut server = Server::new(ServerOptions::default(), now);
    client.connected(now);
    carry_up(client, &mut server);
    let Some(ServerEvent::Hello(hello)) = server.poll_event() else {
        panic!("no HELLO")
    };
    let terms = WelcomeTerms {
        software: "test".into(),
        store: [2; 16],
        durability: Durability::Disk,
        high_water_mark: Some(high_water_mark),
        rights: String::new(),
    };
    server.welcome(terms, &hello);
    carry_down(&mut server, client);
    server
}

fn carry_up(client: &mut Client, server: &mut Server) {
    let mut bytes = Vec::new();
    client.poll_transmit(&mut bytes, usize::MAX);
    server.handle_bytes(Moment::default(), &bytes).unwrap();
}

fn carry_down(server: &mut Server, client: &mut Client) {
    let mut bytes = Vec::new();
    server.poll_transmit(&mut bytes);
    client.handle_bytes(Moment::default(), &bytes).unwrap();
}

fn question() -> Message {
    Message::new(MailboxName::inbox(), "what time is it?").asking()
}

fn replies(client: &mut Client) -> Vec<(u64, Reply)> {
    std::iter::from_fn(|| client.poll_event())
        .filter_map(|event| match event {
            ClientEvent::Reply(sequence, reply) => Some((sequence, reply)),
            _ => None,
        })
        .collect()
}

fn stored(server: &mut Server, count: u64) {
    server.handle_stored(Stored::after_commit(Settlement {
        settled: count,
        runs: vec![Run {
            first: 1,
            count,
            mailbox: MailboxName::inbox(),
            offset: 1,
            duplicate: false,
        }],
        refused: Vec::new(),
    }));
}

#[test]
fn a_reply_is_told_once_and_only_of_what_asked() {
    let mut client = client();
    let mut server = connect(&mut client, 0);
    client.send(question());
    client.send(Message::new(MailboxName::inbox(), "no question"));
    carry_up(&mut client, &mut server);
    let asks: Vec<bool> = server
        .take_messages()
        .iter()
        .map(|(_, message)| message.asks)
        .collect();
    assert_eq!(asks, [true, false]);
    stored(&mut server, 2);
    let reply = Reply::new("ten past four").with_code(3);
    server.send_reply(1, reply.clone());
    server.send_reply(1, Reply::new("another one"));
    server.send_reply(2, Reply::new("for nobody"));
    server.send_reply(9, Reply::new("for a message that was never sent"));
    carry_down(&mut server, &mut client);
    assert_eq!(replies(&mut client), [(1, reply)]);
}

#[test]
fn after_a_reconnect_the_client_asks_for_what_it_lacks() {
    let mut client = client();
    let mut server = connect(&mut client, 0);
    for _ in 0..3 {
        client.send(question());
    }
    carry_up(&mut client, &mut server);
    server.take_messages();
    stored(&mut server, 3);
    server.send_reply(2, Reply::dead());
    carry_down(&mut server, &mut client);
    assert_eq!(replies(&mut client), [(2, Reply::dead())]);
    client.forget_reply(3);
    client.disconnected();
    let mut server = connect(&mut client, 3);
    carry_up(&mut client, &mut server);
    assert_eq!(server.poll_event(), Some(ServerEvent::Await(1)));
    assert_eq!(server.poll_event(), None);
    let longest = Reply::new(vec![b'x'; limits::MAX_REPLY]);
    server.send_reply(1, longest.clone());
    carry_down(&mut server, &mut client);
    assert_eq!(replies(&mut client), [(1, longest)]);
}

#[test]
fn a_reader_answers_and_hears_that_it_is_saved() {
    let mut client = client();
    let mut server = connect(&mut client, 0);
    client.read(ReadRequest {
        request: 7,
        mailbox: MailboxName::inbox(),
        from: ReadFrom::Oldest,
        cursor: Some(CursorUse {
            name: "worker".parse().unwrap(),
            retries: None,
        }),
        follow: true,
        credit: Credit {
            messages: 10,
            bytes: 1_000,
        },
    });
    carry_up(&mut client, &mut server);
    assert!(matches!(server.poll_event(), Some(ServerEvent::Read(_))));
    let item = Item::new(41, 5, tenfour_proto::Sender::Anonymous, question())
        .numbered(ProducerId::from_bytes([3; 16]), 1);
    server.send_items(std::slice::from_ref(&item));
    carry_down(&mut server, &mut client);
    let item = std::iter::from_fn(|| client.poll_event()).find_map(|event| match event {
        ClientEvent::Item(item) => Some(item),
        _ => None,
    });
    assert!(item.unwrap().message.asks);
    let reply = Reply::new("four").with_code(255);
    client.answer(7, 41, reply.clone());
    carry_up(&mut client, &mut server);
    let Some(ServerEvent::Answer(AnswerFrame {
        offset, reply: came, ..
    })) = server.poll_event()
    else {
        panic!("no ANSWER")
    };
    assert_eq!((offset, came), (41, reply));
    server.progressed(1);
    carry_down(&mut server, &mut client);
    assert_eq!(client.poll_event(), Some(ClientEvent::Progressed(1)));
}

#[test]
fn answers_that_cannot_be_are_faults() {
    // ANSWER: request 7, offset 1, outcome "nobody could do it", which is for the server to say.
    let dead = [
        &[0, 0, 0, 14, 0x26, 0, 0, 0][..],
        &7u32.to_be_bytes(),
        &1u64.to_be_bytes(),
        &[1, 0],
    ]
    .concat();
    let mut first = client();
    let mut server = connect(&mut first, 0);
    assert!(server.handle_bytes(Moment::default(), &dead).is_err());
    let long = vec![0; limits::MAX_REPLY + 1];
    let length = u32::try_from(14 + long.len()).unwrap().to_be_bytes();
    let too_long = [&length[..], &dead[4..20], &[0, 0], &long].concat();
    let mut third = client();
    let mut server = connect(&mut third, 0);
    assert!(server.handle_bytes(Moment::default(), &too_long).is_err());
    let unknown = [&dead[..20], &[2, 0]].concat();
    let mut second = client();
    let mut server = connect(&mut second, 0);
    assert!(server.handle_bytes(Moment::default(), &unknown).is_err());
}
