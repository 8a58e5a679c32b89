//! Two native machines, a model of a store, and a wire that can be cut after any byte.

mod pair;

use pair::{Pair, Script};
use proptest::prelude::*;
use tenfour_proto::native::{
    Client, ClientEvent, ClientOptions, Credit, CursorUse, ErrorCode, Frame, ReadFrom, ReadRequest,
    ResumeState, Resumption, Server, ServerEvent, ServerOptions, WelcomeTerms,
};
use tenfour_proto::{
    Durability, Item, MailboxName, Message, Moment, Progress, RefusalCode, Step, TemporaryCode,
};

/// Two mailboxes in one producer, refused messages in the middle and at both ends.
fn session() -> Script {
    Script::new()
        .refused("denied", "first of all", RefusalCode::NotAllowed)
        .stored("a", "one")
        .stored("a", "two")
        .stored("b", "")
        .refused("b", &"x".repeat(pair::MAX_MESSAGE + 1), RefusalCode::TooLarge)
        .refused("denied", "in the middle", RefusalCode::NotAllowed)
        .stored("b", "three\0\n")
        .stored("a", "four")
        .refused("denied", "at the end", RefusalCode::NotAllowed)
}

#[test]
fn a_whole_session() {
    let mut pair = Pair::new(session(), Resumption::Continue);
    pair.run_to_the_end();
    pair.check();
    assert_eq!(pair.connections, 1);
}

#[test]
fn a_cut_after_every_byte_loses_and_doubles_nothing() {
    for resumption in [Resumption::Continue, Resumption::Repeat] {
        for eager in [true, false] {
            let mut whole = Pair::new(session(), resumption);
            whole.commit_eagerly = eager;
            whole.run_to_the_end();
            let (up, down) = (whole.bytes_up, whole.bytes_down);
            assert!(up > 200 && down > 100, "the session is worth cutting");
            for cut in 0..=up {
                cut_once(resumption, eager, Some(cut), None);
            }
            for cut in 0..=down {
                cut_once(resumption, eager, None, Some(cut));
            }
        }
    }
}

fn cut_once(resumption: Resumption, eager: bool, up: Option<usize>, down: Option<usize>) {
    let mut pair = Pair::new(session(), resumption);
    pair.commit_eagerly = eager;
    pair.cut_up = up;
    pair.cut_down = down;
    pair.run_to_the_end();
    pair.check();
}

#[test]
fn a_large_message_is_cut_anywhere() {
    let script = || {
        Script::new()
            .stored("a", "before")
            .stored("big", &"0123456789abcdef".repeat(9_000))
            .stored("a", "after")
    };
    let mut whole = Pair::new(script(), Resumption::Continue);
    whole.max_message = 200_000;
    whole.run_to_the_end();
    whole.check();
    for cut in (0..whole.bytes_up).step_by(1_777).chain([65_535, 65_536, 65_700]) {
        let mut pair = Pair::new(script(), Resumption::Continue);
        pair.max_message = 200_000;
        pair.cut_up = Some(cut);
        pair.run_to_the_end();
        pair.check();
    }
}

#[test]
fn a_pause_discards_what_was_on_its_way_and_it_comes_again() {
    for resumption in [Resumption::Continue, Resumption::Repeat] {
        for full_at in 0..6 {
            let mut pair = Pair::new(session(), resumption);
            pair.full_at_commit = Some(full_at);
            pair.run_to_the_end();
            pair.check();
        }
    }
}

#[test]
fn a_stopping_server_settles_what_it_took_and_the_rest_goes_elsewhere() {
    let mut pair = Pair::new(session(), Resumption::Continue);
    pair.go_away_after = Some(150);
    pair.run_to_the_end();
    pair.check();
    assert!(pair.connections >= 2);
    assert!(
        pair.seen
            .contains(&ClientEvent::GoingAway(TemporaryCode::Stopping))
    );
}

/// Whatever the killed process had noted of the answers, all or none: each message is stored once, and the next one
/// hears of every message that it did not know of.
#[test]
fn a_sender_that_is_killed_after_any_byte_goes_on_with_its_outbox() {
    let mut whole = Pair::new(session(), Resumption::Continue);
    whole.run_to_the_end();
    let (up, down) = (whole.bytes_up, whole.bytes_down);
    for noted in [true, false] {
        for (cut_up, cut_down) in (0..=up)
            .map(|byte| (Some(byte), None))
            .chain((0..=down).map(|byte| (None, Some(byte))))
        {
            let mut pair = Pair::new(session(), Resumption::Continue);
            (pair.cut_up, pair.cut_down) = (cut_up, cut_down);
            pair.run_until_cut();
            let settled = if noted { pair.client.settled() } else { 0 };
            pair.kill_sender(settled);
            pair.run_to_the_end();
            pair.check();
            assert_eq!(
                pair.store.mailboxes, whole.store.mailboxes,
                "{cut_up:?} {cut_down:?}"
            );
        }
    }
}

/// A copy of an outbox does not know what its twin sent after the copy was made. It passes over the receipts for that.
#[test]
fn a_copy_of_an_outbox_ends_where_its_numbers_end() {
    let mut pair = Pair::new(session(), Resumption::Continue);
    pair.run_to_the_end();
    let all = pair.store.mailboxes.clone();
    pair.script.0.truncate(5);
    for settled in 0..=5 {
        pair.kill_sender(settled);
        pair.connect();
        pair.exchange();
        assert_eq!(
            (pair.client.unsettled(), pair.client.settled()),
            (0, 5),
            "{:?}",
            pair.seen
        );
        assert_eq!(pair.store.mailboxes, all);
    }
}

#[test]
fn a_repeat_under_the_same_id_gets_the_first_receipts_again() {
    let mut first = Pair::new(session(), Resumption::Repeat);
    first.run_to_the_end();
    let mut second = Pair::new(session(), Resumption::Repeat).on_store(first.store.clone());
    second.run_to_the_end();
    second.check();
    assert_eq!(second.store.mailboxes, first.store.mailboxes);
    assert!(
        second
            .receipts
            .values()
            .all(|r| r.is_err() || r.as_ref().unwrap().2)
    );
}

#[test]
fn other_content_under_the_same_id_is_a_conflict() {
    let mut first = Pair::new(Script::new().stored("a", "one"), Resumption::Repeat);
    first.run_to_the_end();
    let script = Script::new().refused("a", "uno", RefusalCode::Conflict);
    let mut second = Pair::new(script, Resumption::Repeat).on_store(first.store);
    second.run_to_the_end();
    assert_eq!(second.receipts[&1], Err(RefusalCode::Conflict));
    assert_eq!(second.store.mailboxes["a"].len(), 1);
}

#[test]
fn a_server_that_went_back_is_noticed_by_both() {
    let mut pair = Pair::new(session(), Resumption::Continue);
    pair.run_to_the_end();
    pair.store.forget_messages();
    pair.connect();
    pair.exchange();
    assert!(matches!(
        pair.seen.last(),
        Some(ClientEvent::Regressed {
            high_water_mark: 0,
            receipted: 8,
            first,
            now,
        }) if first == now
    ));
    assert!(pair.server_has_ended());
}

#[test]
fn another_store_under_the_same_name_gets_nothing() {
    let mut pair = Pair::new(Script::new().stored("a", "one"), Resumption::Continue);
    pair.cut_down = Some(150);
    pair.run_until_cut();
    pair.store.id = [9; 16];
    pair.connect();
    pair.exchange();
    assert!(
        matches!(pair.seen.last(), Some(ClientEvent::OtherStore { .. })),
        "{:?}",
        pair.seen
    );
}

#[test]
fn a_wiped_disk_is_a_server_that_went_back() {
    let mut pair = Pair::new(session(), Resumption::Continue);
    pair.run_to_the_end();
    pair.store.forget_messages();
    pair.store.id = [9; 16];
    pair.connect();
    pair.exchange();
    assert!(
        matches!(pair.seen.last(), Some(ClientEvent::Regressed { high_water_mark: 0, receipted: 8, first, now }) if first != now),
        "{:?}",
        pair.seen
    );
}

#[test]
fn less_durability_than_demanded_is_refused_before_any_message() {
    let mut pair = Pair::new(session(), Resumption::Continue);
    pair.store.durability = Durability::Memory;
    pair.connect();
    pair.exchange();
    assert!(matches!(
        pair.seen.last(),
        Some(ClientEvent::Failed(error)) if error.code == ErrorCode::Durability
    ));
    assert!(pair.store.mailboxes.is_empty());
}

#[test]
fn a_receipt_for_something_never_sent_is_a_fault() {
    let mut pair = Pair::new(Script::new().stored("a", "one"), Resumption::Continue);
    pair.connect();
    pair.exchange();
    let fault = pair.inject_down(&pair::receipt_bytes(5)).unwrap_err();
    assert_eq!(fault.text, "a receipt for something never sent");
}

#[test]
fn a_gap_is_an_error_and_nothing_of_it_is_stored() {
    let mut pair = Pair::new(Script::new().stored("a", "one"), Resumption::Continue);
    pair.connect();
    pair.exchange();
    let fault = pair.inject_up(&pair::message_bytes(7, "a", b"x")).unwrap_err();
    assert_eq!(fault.code, ErrorCode::Gap);
    assert_eq!(pair.store.mailboxes["a"].len(), 1);
}

#[test]
fn unknown_frames_are_skipped_unless_critical() {
    let mut pair = Pair::new(Script::new().stored("a", "one"), Resumption::Continue);
    pair.connect();
    pair.exchange();
    assert_eq!(pair.inject_up(&[0, 0, 0, 2, 0x7f, 0, 0, 0, 1, 2]), Ok(()));
    assert_eq!(pair.inject_down(&[0, 0, 0, 0, 0x7e, 0, 0, 0]), Ok(()));
    assert!(pair.inject_up(&[0, 0, 0, 0, 0x7f, 0x80, 0, 0]).is_err());
}

#[test]
fn silence_is_answered_by_a_ping_and_then_by_the_end() {
    let mut pair = Pair::new(Script::new(), Resumption::Continue);
    pair.connect();
    pair.exchange();
    pair.sleep(15);
    pair.exchange();
    assert!(!pair.server_has_ended(), "both answered");
    pair.deaf = true;
    pair.sleep(15);
    pair.sleep(15);
    assert!(pair.server_has_ended());
    assert!(pair.seen.contains(&ClientEvent::Dead));
}

#[test]
fn a_stranger_gets_one_small_frame_and_one_deadline() {
    let mut pair = Pair::new(Script::new(), Resumption::Continue);
    let mut server = pair.bare_server();
    let fault = server
        .handle_bytes(pair.now, b"GET / HTTP/1.1\r\n\r\n")
        .unwrap_err();
    assert_eq!(fault.code, ErrorCode::Protocol);
    let mut server = pair.bare_server();
    server
        .handle_bytes(pair.now, &[0, 0, 0x0f, 0xff, 1, 0, 0, 0])
        .unwrap();
    pair.sleep(10);
    server.handle_timeout(pair.now);
    assert!(server.has_ended());
    let mut server = pair.bare_server();
    assert!(
        server
            .handle_bytes(pair.now, &[0, 0, 0x10, 1, 1, 0, 0, 0])
            .is_err()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_chunking_gives_the_same_events(sizes in proptest::collection::vec(1usize..90, 1..40)) {
        let mut whole = Pair::new(session(), Resumption::Continue);
        whole.run_to_the_end();
        let mut chunked = Pair::new(session(), Resumption::Continue);
        chunked.chunks = sizes;
        chunked.run_to_the_end();
        chunked.check();
        prop_assert_eq!(whole.store.mailboxes, chunked.store.mailboxes);
        prop_assert_eq!(whole.receipts, chunked.receipts);
    }

    #[test]
    fn many_cuts_in_one_session(cuts in proptest::collection::vec((any::<bool>(), 0usize..600), 0..12), eager in any::<bool>(), repeat in any::<bool>()) {
        let resumption = if repeat { Resumption::Repeat } else { Resumption::Continue };
        let mut pair = Pair::new(session(), resumption);
        pair.commit_eagerly = eager;
        for (up, at) in cuts {
            if up { pair.cut_up = Some(at) } else { pair.cut_down = Some(at) }
            pair.run_until_cut();
        }
        pair.run_to_the_end();
        pair.check();
    }

    #[test]
    fn arbitrary_bytes_never_panic(input in proptest::collection::vec(any::<u8>(), 0..300), kind in 0u8..0x30) {
        let mut pair = Pair::new(Script::new().stored("a", "one"), Resumption::Continue);
        pair.connect();
        pair.exchange();
        let mut frame = u32::try_from(input.len()).unwrap().to_be_bytes().to_vec();
        frame.extend_from_slice(&[kind, 0, 0, 0]);
        frame.extend_from_slice(&input);
        let _ = pair.inject_up(&frame);
        let _ = pair.inject_down(&frame);
        let mut server = pair.bare_server();
        let _ = server.handle_bytes(pair.now, &input);
        while let Some(event) = server.poll_event() {
            let _: ServerEvent = event;
        }
    }
}

/// A server and a client that consumes, both open.
fn consuming() -> (Client, Server) {
    let now = Moment::default();
    let mut client = Client::new(ClientOptions {
        software: "test".into(),
        process: [1; 16],
        durability: Durability::Disk,
        producer: None,
        resume_state: ResumeState::default(),
        invitation: None,
    });
    let mut server = Server::new(ServerOptions::default(), now);
    client.connected(now);
    carry_up(&mut client, &mut server);
    let Some(ServerEvent::Hello(hello)) = server.poll_event() else {
        panic!("no HELLO")
    };
    let terms = WelcomeTerms {
        software: "test".into(),
        store: [2; 16],
        durability: Durability::Disk,
        high_water_mark: None,
        rights: String::new(),
    };
    server.welcome(terms, &hello);
    carry_down(&mut server, &mut client);
    client.read(ReadRequest {
        request: 7,
        mailbox: MailboxName::inbox(),
        from: ReadFrom::Last(0),
        cursor: Some(CursorUse {
            name: "worker".parse().unwrap(),
            retries: Some(3),
        }),
        follow: true,
        credit: Credit {
            messages: 10,
            bytes: 1_000,
        },
    });
    carry_up(&mut client, &mut server);
    (client, server)
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

#[test]
fn a_consumer_says_what_it_did_and_hears_that_it_is_saved() {
    let (mut client, mut server) = consuming();
    let Some(ServerEvent::Read(read)) = server.poll_event() else {
        panic!("no READ")
    };
    let by = read.cursor.unwrap();
    assert_eq!((by.name.as_str(), by.retries), ("worker", Some(3)));
    let item = Item::new(
        41,
        5,
        tenfour_proto::Sender::Anonymous,
        Message::new(MailboxName::inbox(), vec![b'x'; 200_000]),
    )
    .buried_from(Some("inbox 7".parse().unwrap()))
    .tried(2);
    server.send_items(std::slice::from_ref(&item));
    carry_down(&mut server, &mut client);
    let welcomed = client.poll_event();
    assert!(matches!(welcomed, Some(ClientEvent::Welcomed(_))));
    assert_eq!(client.poll_event(), Some(ClientEvent::Item(Box::new(item))));
    let steps = [
        Step::InProgress,
        Step::Ack,
        Step::Nack,
        Step::Release,
        Step::Reject,
    ]
    .map(|step| Progress {
        first: 41,
        count: 1,
        step,
    });
    assert_eq!(client.progress(7, &steps), 1);
    // CLOSE comes behind it, and is answered only when it is saved.
    client.close();
    carry_up(&mut client, &mut server);
    assert_eq!(server.poll_event(), Some(ServerEvent::Progress(steps.to_vec())));
    carry_down(&mut server, &mut client);
    assert_eq!(client.poll_event(), None);
    assert!(!server.has_ended());
    server.progressed(1);
    carry_down(&mut server, &mut client);
    assert_eq!(client.poll_event(), Some(ClientEvent::Progressed(1)));
    assert_eq!(client.poll_event(), Some(ClientEvent::Closed));
    assert!(server.has_ended());
}

#[test]
fn progress_beyond_what_a_cursor_gives_out_is_a_fault() {
    let (_, mut server) = consuming();
    let mut frame = vec![0, 0, 0, 17, 0x24, 0, 0, 0, 0, 0, 0, 7];
    frame.extend_from_slice(&1u64.to_be_bytes());
    frame.extend_from_slice(&1_025u32.to_be_bytes());
    frame.push(1);
    assert!(server.handle_bytes(Moment::default(), &frame).is_err());
    let (_, mut server) = consuming();
    let unknown_step = [&frame[..20], &[0, 0, 0, 1, 9]].concat();
    assert!(server.handle_bytes(Moment::default(), &unknown_step).is_err());
}

/// The type is public for fuzzers and tools; it must stay printable.
#[test]
fn frames_are_printable() {
    assert_eq!(format!("{:?}", Frame::Close), "Close");
}
