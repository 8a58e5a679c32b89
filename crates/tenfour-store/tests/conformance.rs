//! What every store must do, said once and run on each of them.

use bytes::Bytes;
use tenfour_proto::native::ProducerKind;
use tenfour_proto::{
    Listener, MailboxName, Message, ProducerId, RefusalCode, Refused, Reply, Run, Sender, Settlement, Source,
    TemporaryCode,
};
use tenfour_store::{
    AckState, Batch, BatchOutcome, CursorChange, CursorOutcome, DEFAULT_MEMORY_LIMIT, MAX_CURSORS,
    MAX_MAILBOXES, MailboxInfo, MemoryStore, Retain, Rules, SqliteOptions, SqliteStore, Store,
};

use tenfour_store_postgres::{Address, Demand, PostgresOptions, PostgresStore};

const SOURCE: Source = Source {
    listener: Listener::Native,
    address: None,
};

/// Runs one conversation with each kind of store.
fn each(conversation: impl Fn(&mut dyn Store)) {
    each_with_memory(DEFAULT_MEMORY_LIMIT, conversation);
}

/// The same, where what is kept in memory may have no more than `limit` bytes.
fn each_with_memory(limit: u64, conversation: impl Fn(&mut dyn Store)) {
    conversation(&mut MemoryStore::new(limit));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    conversation(&mut SqliteStore::open(path, SqliteOptions::default()).unwrap());
    if let Some(mut store) = on_postgres() {
        conversation(&mut store);
    }
}

/// A new one, in a database of its own; `None` where there is no PostgreSQL.
fn on_postgres() -> Option<PostgresStore> {
    let cluster = tenfour_test_postgres::shared()?;
    let address: Address = cluster.url(&cluster.new_database()).parse().unwrap();
    tenfour_store_postgres::init(&address).unwrap();
    let options = PostgresOptions {
        demand: Demand::Disk,
        ..PostgresOptions::default()
    };
    Some(PostgresStore::open(&address, options).unwrap())
}

fn mailbox(name: &str) -> MailboxName {
    name.parse().unwrap()
}

fn message(to: &str, body: &str) -> Message {
    Message::new(mailbox(to), Bytes::copy_from_slice(body.as_bytes()))
}

fn producer(name: &str) -> ProducerId {
    ProducerId::of_key(name)
}

fn batch(id: &str, messages: &[(u64, &str, &str)]) -> Batch {
    Batch {
        sender: Sender::Anonymous,
        producer: Some((producer(id), ProducerKind::OneShot)),
        epoch: 0,
        source: SOURCE,
        messages: messages
            .iter()
            .map(|(sequence, to, body)| (*sequence, message(to, body)))
            .collect(),
    }
}

fn settle(store: &mut dyn Store, batch: Batch) -> Settlement {
    match store.deposit(&[batch], 1_000).unwrap().remove(0) {
        BatchOutcome::Settled(stored) => stored.into_settlement(),
        BatchOutcome::NotNow(code) => panic!("not now: {code}"),
        BatchOutcome::TakenOver => panic!("taken over"),
    }
}

fn run(first: u64, count: u64, to: &str, offset: u64, duplicate: bool) -> Run {
    Run {
        first,
        count,
        mailbox: mailbox(to),
        offset,
        duplicate,
    }
}

fn bodies(store: &dyn Store, name: &str) -> Vec<String> {
    let items = store
        .reader()
        .unwrap()
        .read(&mailbox(name), 1, 1_000_000, u64::MAX)
        .unwrap();
    for (index, item) in items.iter().enumerate() {
        assert_eq!(item.offset, index as u64 + 1, "offsets have no gap");
    }
    items
        .iter()
        .map(|item| String::from_utf8_lossy(&item.message.body).into_owned())
        .collect()
}

#[test]
fn a_batch_gets_offsets_in_its_order() {
    each(|store| {
        let answer = settle(
            store,
            batch(
                "s",
                &[
                    (1, "a", "one"),
                    (2, "a", "two"),
                    (3, "b", "three"),
                    (4, "a", "four"),
                ],
            ),
        );
        assert_eq!(answer.settled, 4);
        assert_eq!(answer.refused, []);
        assert_eq!(
            answer.runs,
            [
                run(1, 2, "a", 1, false),
                run(3, 1, "b", 1, false),
                run(4, 1, "a", 3, false)
            ]
        );
        assert_eq!(bodies(store, "a"), ["one", "two", "four"]);
        assert_eq!(bodies(store, "b"), ["three"]);
        assert_eq!(bodies(store, "c"), Vec::<String>::new());
    });
}

#[test]
fn a_repeat_gets_the_first_receipt_again() {
    each(|store| {
        let first = [(1, "a", "one"), (2, "b", "two"), (3, "a", "three")];
        settle(store, batch("s", &first));
        settle(store, batch("other", &[(1, "a", "between")]));
        settle(store, batch("s", &[(4, "a", "four")]));
        let answer = settle(store, batch("s", &first));
        assert_eq!(
            answer.runs,
            [
                run(1, 1, "a", 1, true),
                run(2, 1, "b", 1, true),
                run(3, 1, "a", 2, true)
            ]
        );
        assert_eq!(bodies(store, "a"), ["one", "three", "between", "four"]);
        assert_eq!(
            store.high_water_mark(&Sender::Anonymous, producer("s")).unwrap(),
            4
        );
    });
}

#[test]
fn a_repeat_in_the_same_commit_is_one_too() {
    each(|store| {
        let one = batch("s", &[(1, "a", "one")]);
        let outcomes = store.deposit(&[one.clone(), one], 5).unwrap();
        let BatchOutcome::Settled(second) = &outcomes[1] else {
            panic!()
        };
        assert_eq!(second.settlement().runs, [run(1, 1, "a", 1, true)]);
        assert_eq!(bodies(store, "a"), ["one"]);
    });
}

#[test]
fn other_content_under_the_same_identity_is_a_conflict() {
    each(|store| {
        settle(store, batch("s", &[(1, "a", "one")]));
        let mut named = batch("s", &[(1, "a", "one")]);
        named.messages[0].1.name = Some("x".parse().unwrap());
        let mut typed = batch("s", &[(1, "a", "one")]);
        typed.messages[0].1.content_type = Some("x".parse().unwrap());
        for other in [
            batch("s", &[(1, "a", "uno")]),
            batch("s", &[(1, "b", "one")]),
            named,
            typed,
        ] {
            let answer = settle(store, other);
            assert_eq!((answer.settled, answer.runs), (1, vec![]));
            assert_eq!(answer.refused, [Refused::one(1, RefusalCode::Conflict)]);
        }
        assert_eq!(bodies(store, "a"), ["one"]);
        assert_eq!(bodies(store, "b"), Vec::<String>::new());
    });
}

#[test]
fn a_hole_below_the_mark_was_refused_and_stays_so() {
    each(|store| {
        settle(store, batch("s", &[(2, "a", "two"), (5, "a", "five")]));
        let answer = settle(
            store,
            batch(
                "s",
                &[
                    (1, "a", "one"),
                    (2, "a", "two"),
                    (3, "a", "three"),
                    (6, "a", "six"),
                ],
            ),
        );
        assert_eq!(
            answer.refused,
            [
                Refused::one(1, RefusalCode::RefusedEarlier),
                Refused::one(3, RefusalCode::RefusedEarlier)
            ]
        );
        assert_eq!(answer.runs, [run(2, 1, "a", 1, true), run(6, 1, "a", 3, false)]);
        let replay = store
            .replay(&Sender::Anonymous, producer("s"), 2, 1_000)
            .unwrap()
            .into_settlement();
        assert_eq!(replay.settled, 6);
        assert_eq!(
            replay.refused,
            [Refused {
                first: 3,
                count: 2,
                code: RefusalCode::RefusedEarlier
            }]
        );
        assert_eq!(replay.runs, [run(5, 2, "a", 2, true)]);
    });
}

/// A client may claim to have settled any number. Its hole is one refusal, however long: it once was
/// one for each sequence, and a claim of 2^40 would have taken all memory.
#[test]
fn a_hole_of_any_length_costs_nothing() {
    each(|store| {
        settle(store, batch("s", &[(1 << 40, "a", "far away")]));
        let replay = store
            .replay(&Sender::Anonymous, producer("s"), 0, 1_000)
            .unwrap()
            .into_settlement();
        assert_eq!(replay.refused[0].count, (1 << 40) - 1);
        assert_eq!(replay.runs, [run(1 << 40, 1, "a", 1, true)]);
    });
}

#[test]
fn a_replay_begins_in_the_middle_of_a_run() {
    each(|store| {
        settle(
            store,
            batch(
                "s",
                &[
                    (1, "a", "1"),
                    (2, "a", "2"),
                    (3, "b", "3"),
                    (4, "a", "4"),
                    (5, "a", "5"),
                ],
            ),
        );
        let replay = store
            .replay(&Sender::Anonymous, producer("s"), 1, 1_000)
            .unwrap()
            .into_settlement();
        assert_eq!(
            replay.runs,
            [
                run(2, 1, "a", 2, true),
                run(3, 1, "b", 1, true),
                run(4, 2, "a", 3, true)
            ]
        );
        assert_eq!(replay.refused, [], "where runs touch, nothing was refused");
        let nothing = store
            .replay(&Sender::Anonymous, producer("s"), 5, 1_000)
            .unwrap()
            .into_settlement();
        assert_eq!((nothing.settled, nothing.runs), (5, vec![]));
        let unknown = store
            .replay(&Sender::Anonymous, producer("unknown"), 0, 1_000)
            .unwrap()
            .into_settlement();
        assert_eq!((unknown.settled, unknown.runs), (0, vec![]));
    });
}

#[test]
fn without_a_producer_nothing_is_a_repeat() {
    each(|store| {
        let mut plain = batch("ignored", &[(1, "inbox", "hi"), (2, "inbox", "hi")]);
        plain.producer = None;
        settle(store, plain.clone());
        let answer = settle(store, plain);
        assert_eq!(answer.runs, [run(1, 2, "inbox", 3, false)]);
        let items = store
            .reader()
            .unwrap()
            .read(&mailbox("inbox"), 1, 10, u64::MAX)
            .unwrap();
        assert!(
            items
                .iter()
                .all(|item| item.sender == Sender::Anonymous && item.sequence == 0)
        );
    });
}

#[test]
fn senders_do_not_share_producers() {
    each(|store| {
        settle(store, batch("s", &[(1, "a", "mine")]));
        let key = Sender::Key(tenfour_proto::Fingerprint::of_public_key(b"k"));
        let theirs = Batch {
            sender: key.clone(),
            ..batch("s", &[(1, "a", "theirs")])
        };
        assert_eq!(store.high_water_mark(&key, producer("s")).unwrap(), 0);
        assert_eq!(settle(store, theirs).runs, [run(1, 1, "a", 2, false)]);
    });
}

#[test]
fn everything_about_a_message_is_read_again() {
    each(|store| {
        let mut sent = batch("s", &[(7, "a/b", "")]);
        sent.messages[0].1.name = Some("größe.txt".parse().unwrap());
        sent.messages[0].1.content_type = Some("text/plain".parse().unwrap());
        sent.messages[0].1.body = Bytes::from_static(b"\0\xff\n");
        sent.source = Source {
            listener: Listener::Text,
            address: Some("[::1]:36702".parse().unwrap()),
        };
        settle(store, sent.clone());
        let item = store
            .reader()
            .unwrap()
            .read(&mailbox("a/b"), 1, 1, 1)
            .unwrap()
            .remove(0);
        assert_eq!(item.message, sent.messages[0].1);
        assert_eq!(item.source, Some(sent.source));
        assert_eq!((item.offset, item.time, item.sequence), (1, 1_000, 7));
        assert_eq!(
            (item.sender.to_string(), item.producer),
            ("anonymous".to_owned(), producer("s"))
        );
    });
}

#[test]
fn reading_begins_and_ends_where_it_is_told() {
    each(|store| {
        for time in 1..=10 {
            let body = time.to_string();
            let one = batch("s", &[(time, "a", &body[..1])]);
            store.deposit(&[one], time as i64 * 10).unwrap();
        }
        let mut reader = store.reader().unwrap();
        let a = mailbox("a");
        let offsets =
            |items: Vec<tenfour_proto::Item>| items.iter().map(|item| item.offset).collect::<Vec<_>>();
        assert_eq!(offsets(reader.read(&a, 0, 2, u64::MAX).unwrap()), [1, 2]);
        assert_eq!(offsets(reader.read(&a, 9, 100, u64::MAX).unwrap()), [9, 10]);
        assert_eq!(offsets(reader.read(&a, 3, 100, 2).unwrap()), [3, 4]);
        assert_eq!(offsets(reader.read(&a, 11, 100, 1).unwrap()), [0; 0]);
        assert_eq!(offsets(reader.read(&a, u64::MAX, 100, 1).unwrap()), [0; 0]);
        assert_eq!(reader.last_offset(&a).unwrap(), 10);
        assert_eq!(reader.last_offset(&mailbox("none")).unwrap(), 0);
        assert_eq!(reader.first_since(&a, 55).unwrap(), 6);
        assert_eq!(reader.first_since(&a, 0).unwrap(), 1);
        assert_eq!(reader.first_since(&a, 101).unwrap(), 11);
        let info = MailboxInfo {
            name: a,
            first: 1,
            last: 10,
        };
        assert_eq!(reader.mailboxes().unwrap(), [info]);
    });
}

#[test]
fn a_sender_makes_half_of_the_mailboxes_and_the_others_go_on() {
    each(|store| {
        let names: Vec<String> = (0..=MAX_MAILBOXES).map(|n| format!("box{n}")).collect();
        let many: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(n, name)| (n as u64 + 1, name.as_str(), "x"))
            .collect();
        let (half, all) = (MAX_MAILBOXES as u64 / 2, MAX_MAILBOXES as u64 + 1);
        let answer = settle(store, batch("s", &many));
        let refused = |sequence| Refused::one(sequence, RefusalCode::TooManyMailboxes);
        assert_eq!(answer.refused, (half + 1..=all).map(refused).collect::<Vec<_>>());
        assert_eq!(
            settle(store, batch("t", &[(1, "box7", "y")])).runs,
            [run(1, 1, "box7", 2, false)]
        );
        // The next one has half of what is left.
        let mut another = batch("u", &many);
        another.sender = Sender::Datagram;
        another.producer = None;
        let answer = settle(store, another);
        assert_eq!(answer.refused.len() as u64, all - half - half / 2);
    });
}

#[test]
fn a_mailbox_that_is_worth_nobodys_time_keeps_the_newest() {
    let rules = || -> Rules {
        Box::new(|mailbox| Retain {
            bytes: (mailbox.as_str() == "bench").then_some(64 * 1024 * 1024),
            unread: true,
            idle: true,
            ..Retain::FOREVER
        })
    };
    let mut memory = MemoryStore::default();
    memory.retain(rules());
    let folder = tempfile::tempdir().unwrap();
    let mut disk = SqliteStore::open(folder.path().join("store.db"), SqliteOptions::default()).unwrap();
    disk.retain(rules());
    let stores: [&mut dyn Store; 2] = [&mut memory, &mut disk];
    stores.into_iter().for_each(|store| {
        let body = "x".repeat(1024 * 1024);
        for n in 0..80 {
            settle(store, batch("s", &[(n + 1, "bench", &body)]));
            settle(store, batch("t", &[(n + 1, "a", "kept")]));
        }
        while store.tidy().unwrap() {}
        let bench = store
            .reader()
            .unwrap()
            .read(&mailbox("bench"), 1, 1_000, u64::MAX)
            .unwrap();
        assert!((60..=64).contains(&bench.len()), "{}", bench.len());
        assert_eq!(bench.last().unwrap().offset, 80);
        assert_eq!(bodies(store, "a").len(), 80);
    });
}

#[test]
fn a_full_memory_refuses_like_a_full_disk_and_for_everything_behind_it() {
    let mut store = MemoryStore::new(1_000);
    let large = "x".repeat(900);
    let outcomes = store
        .deposit(
            &[batch("s", &[(1, "a", &large)]), batch("s", &[(2, "a", "small")])],
            1,
        )
        .unwrap();
    assert_eq!(
        outcomes,
        [
            BatchOutcome::NotNow(TemporaryCode::Full),
            BatchOutcome::NotNow(TemporaryCode::Full)
        ]
    );
    assert_eq!(settle(&mut store, batch("s", &[(1, "a", "small")])).settled, 1);
}

#[test]
fn a_long_past_is_told_in_turns() {
    each(|store| {
        // Two mailboxes in turn: each message is a run of its own. The third is a hole: it was refused.
        let boxes = ["a", "b"];
        for n in (1..=20).filter(|n| *n != 3) {
            settle(store, batch("s", &[(n, boxes[n as usize % 2], "x")]));
        }
        let mut settled = 0;
        let mut told = Vec::new();
        while settled < 20 {
            let page = store
                .replay(&Sender::Anonymous, producer("s"), settled, 4)
                .unwrap()
                .into_settlement();
            assert!(page.runs.len() <= 4 && page.settled > settled);
            for run in &page.runs {
                told.extend(run.first..=run.last());
            }
            settled = page.settled;
        }
        assert_eq!(told, (1..=20).filter(|n| *n != 3).collect::<Vec<_>>());
    });
}

/// Datagrams overtake each other: what comes out of turn is neither stored nor refused, so nobody hears of it.
#[test]
fn of_datagrams_only_the_next_is_stored() {
    each(|store| {
        let datagram = |sequence: u64, body: &str| Batch {
            sender: Sender::Datagram,
            ..batch("s", &[(sequence, "a", body)])
        };
        assert_eq!(settle(store, datagram(2, "two")), Settlement::default());
        assert_eq!(settle(store, datagram(1, "one")).runs, [run(1, 1, "a", 1, false)]);
        assert_eq!(settle(store, datagram(3, "three")), Settlement::default());
        assert_eq!(settle(store, datagram(2, "two")).runs, [run(2, 1, "a", 2, false)]);
        assert_eq!(settle(store, datagram(1, "one")).runs, [run(1, 1, "a", 1, true)]);
        let conflict = settle(store, datagram(1, "other"));
        assert_eq!(conflict.refused, [Refused::one(1, RefusalCode::Conflict)]);
        assert_eq!(bodies(store, "a"), ["one", "two"]);
    });
}

fn cursor(committed: u64, out_of_order: &[(u64, AckState)], bury: &[u64]) -> CursorChange {
    CursorChange {
        answers: Vec::new(),
        mailbox: mailbox("inbox"),
        name: "worker".parse().unwrap(),
        committed,
        out_of_order: out_of_order.to_vec(),
        bury: bury.to_vec(),
        gives_back: false,
    }
}

#[test]
fn a_cursor_is_where_the_last_commit_left_it() {
    each(|store| {
        let (inbox, worker) = (mailbox("inbox"), "worker".parse().unwrap());
        assert_eq!(store.reader().unwrap().position(&inbox, &worker).unwrap(), None);
        let given = |attempts, done| AckState { attempts, done };
        let first = cursor(2, &[(3, given(1, false)), (5, given(2, true))], &[]);
        let committed = store.commit(&[], &[first], 1).unwrap();
        assert_eq!(committed.cursors, [CursorOutcome::Moved]);
        let position = store
            .reader()
            .unwrap()
            .position(&inbox, &worker)
            .unwrap()
            .unwrap();
        assert_eq!(position.committed, 2);
        assert_eq!(
            position.out_of_order.into_iter().collect::<Vec<_>>(),
            [(3, given(1, false)), (5, given(2, true))]
        );
        // What lies below a floor that rose is forgotten.
        store
            .commit(&[], &[cursor(3, &[(5, given(3, true))], &[])], 2)
            .unwrap();
        let position = store
            .reader()
            .unwrap()
            .position(&inbox, &worker)
            .unwrap()
            .unwrap();
        assert_eq!(
            position.out_of_order.into_iter().collect::<Vec<_>>(),
            [(5, given(3, true))]
        );
        assert_eq!(
            store
                .reader()
                .unwrap()
                .position(&mailbox("other"), &worker)
                .unwrap(),
            None
        );
        let listed = store.reader().unwrap().cursors().unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(
            (listed[0].committed, listed[0].done, listed[0].expired),
            (3, 1, false)
        );
    });
}

#[test]
fn a_dead_letter_keeps_all_that_is_known_of_it() {
    each(|store| {
        let mut one = batch("s", &[(1, "inbox", "one"), (2, "inbox", "two")]);
        one.messages[1].1 = one.messages[1].1.clone().with_name("n".parse().unwrap());
        one.source.listener = Listener::Http;
        settle(store, one);
        let committed = store.commit(&[], &[cursor(2, &[], &[2, 7])], 9).unwrap();
        assert_eq!(committed.raised, [(mailbox("dead/worker"), 1)]);
        let mut reader = store.reader().unwrap();
        let first = reader.read(&mailbox("inbox"), 2, 1, 1).unwrap().remove(0);
        let letters = reader.read(&mailbox("dead/worker"), 1, 9, 1 << 20).unwrap();
        let [letter] = &letters[..] else {
            panic!("{letters:?}")
        };
        assert_eq!(letter.origin.as_ref().unwrap().to_string(), "inbox 2");
        assert_eq!((letter.offset, letter.time), (1, 9));
        assert_eq!(
            (&letter.sender, letter.producer, letter.sequence),
            (&first.sender, first.producer, first.sequence)
        );
        assert_eq!(
            (letter.source, &letter.message.name),
            (first.source, &first.message.name)
        );
        assert_eq!(letter.message.body, first.message.body);
        // A letter that dies again still says where it was first.
        let again = CursorChange {
            mailbox: mailbox("dead/worker"),
            name: "second".parse().unwrap(),
            ..cursor(1, &[], &[1])
        };
        store.commit(&[], &[again], 10).unwrap();
        let second = reader
            .read(&mailbox("dead/second"), 1, 9, 1 << 20)
            .unwrap()
            .remove(0);
        assert_eq!(second.origin, letter.origin);
    });
}

/// A store that had no room for a dead letter once gave a receipt for the first message of the next new mailbox, and
/// dropped it: the mailbox of dead letters had been opened before there was known to be room, and the places of
/// mailboxes were found by their numbers.
#[test]
fn a_dead_letter_without_room_takes_nothing_from_others() {
    each_with_memory(6 * 1024, |store| {
        let large = "x".repeat(4 * 1024);
        settle(store, batch("s", &[(1, "inbox", &large)]));
        let buried = store.commit(&[], &[cursor(1, &[], &[1])], 1).unwrap().cursors[0];
        assert_eq!(
            settle(store, batch("s", &[(2, "fresh", "small")])).runs,
            [run(2, 1, "fresh", 1, false)]
        );
        assert_eq!(bodies(store, "fresh"), ["small"]);
        let letters = bodies(store, "dead/worker");
        assert_eq!(letters.len(), usize::from(buried == CursorOutcome::Moved));
        // What has room goes where it belongs, and the sizes are those of what is there.
        settle(store, batch("s", &[(3, "inbox", "lost")]));
        let committed = store.commit(&[], &[cursor(2, &[], &[2])], 1).unwrap();
        assert_eq!(committed.cursors, [CursorOutcome::Moved]);
        assert_eq!(bodies(store, "dead/worker").last().unwrap(), "lost");
        for (name, size) in store.reader().unwrap().sizes().unwrap() {
            let there: usize = bodies(store, name.as_str()).iter().map(String::len).sum();
            assert_eq!(size, there as u64, "{name}");
        }
    });
}

#[test]
fn cursors_have_a_ceiling_and_the_others_go_on() {
    each(|store| {
        let make = |n: usize| CursorChange {
            name: format!("c{n}").parse().unwrap(),
            ..cursor(0, &[], &[])
        };
        let all: Vec<_> = (0..MAX_CURSORS).map(make).collect();
        let committed = store.commit(&[], &all, 1).unwrap();
        assert!(
            committed
                .cursors
                .iter()
                .all(|outcome| *outcome == CursorOutcome::Moved)
        );
        let committed = store
            .commit(
                &[batch("s", &[(1, "inbox", "one")])],
                &[make(MAX_CURSORS), make(0)],
                1,
            )
            .unwrap();
        assert_eq!(committed.cursors, [CursorOutcome::TooMany, CursorOutcome::Moved]);
        assert!(matches!(committed.outcomes[..], [BatchOutcome::Settled(_)]));
    });
}

#[test]
fn the_first_reply_to_a_question_is_the_only_one() {
    each(|store| {
        let mut asked = batch(
            "s",
            &[(1, "inbox", "one?"), (2, "inbox", "two"), (3, "inbox", "three?")],
        );
        for (_, message) in asked.messages.iter_mut().filter(|(sequence, _)| *sequence != 2) {
            message.asks = true;
        }
        settle(store, asked.clone());
        let reply = |store: &mut dyn Store, sequence| {
            store
                .reader()
                .unwrap()
                .reply(&Sender::Anonymous, producer("s"), sequence)
                .unwrap()
        };
        assert_eq!(reply(store, 1), None);
        let answer = |offset, reply| CursorChange {
            answers: vec![(offset, reply)],
            ..cursor(offset, &[], &[])
        };
        let committed = store
            .commit(&[], &[answer(1, Reply::new("yes").with_code(3))], 1)
            .unwrap();
        let [answered] = &committed.answered[..] else {
            panic!("{committed:?}")
        };
        assert_eq!(
            (&answered.sender, answered.producer, answered.sequence),
            (&Sender::Anonymous, producer("s"), 1)
        );
        assert_eq!(answered.reply, Reply::new("yes").with_code(3));
        // Another one comes too late, one to what did not ask is none, and what is not there has none.
        let late = [
            answer(1, Reply::new("no")),
            answer(2, Reply::new("?")),
            answer(9, Reply::new("?")),
        ];
        assert_eq!(store.commit(&[], &late, 1).unwrap().answered, []);
        assert_eq!(reply(store, 1), Some(Reply::new("yes").with_code(3)));
        assert_eq!(reply(store, 2), None);
        assert_eq!(
            store
                .reader()
                .unwrap()
                .reply(&Sender::Datagram, producer("s"), 1)
                .unwrap(),
            None
        );
        assert_eq!(
            store
                .reader()
                .unwrap()
                .reply(&Sender::Anonymous, producer("t"), 1)
                .unwrap(),
            None
        );
        // Who asked what is buried is told so.
        let committed = store.commit(&[], &[cursor(3, &[], &[3])], 1).unwrap();
        assert_eq!(committed.answered[0].reply, Reply::dead());
        assert_eq!(reply(store, 3), Some(Reply::dead()));
        // To ask is part of the content.
        assert_eq!(settle(store, asked.clone()).runs, [run(1, 3, "inbox", 1, true)]);
        asked.messages[1].1.asks = true;
        assert_eq!(
            settle(store, asked).refused,
            [Refused::one(2, RefusalCode::Conflict)]
        );
        let items = store.reader().unwrap().read(&mailbox("inbox"), 1, 9, 99).unwrap();
        let asks: Vec<bool> = items.iter().map(|item| item.message.asks).collect();
        assert_eq!(asks, [true, false, true]);
    });
}

#[test]
fn the_size_of_a_mailbox_is_that_of_its_bodies() {
    each(|store| {
        assert_eq!(store.reader().unwrap().sizes().unwrap(), []);
        settle(
            store,
            batch("s", &[(1, "a", "12345"), (2, "b", ""), (3, "a", "678")]),
        );
        settle(store, batch("s", &[(3, "a", "678")]));
        let mut sizes = store.reader().unwrap().sizes().unwrap();
        sizes.sort();
        assert_eq!(sizes, [(mailbox("a"), 8), (mailbox("b"), 0)]);
    });
}
