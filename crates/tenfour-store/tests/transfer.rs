//! From one kind of store to another and back: to whoever sends, reads or consumes, the copy is the store.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use rusqlite::Connection;
use tenfour_proto::native::ProducerKind;
use tenfour_proto::{
    CursorName, Fingerprint, Listener, MailboxName, Message, ProducerId, Reply, Sender, Settlement, Source,
};
use tenfour_store::{
    AckState, Batch, BatchOutcome, CursorChange, Import, MemoryStore, Removal, SqliteImport, SqliteOptions,
    SqliteStore, Store,
};
use tenfour_store_postgres::{Address, Demand, PostgresImport, PostgresOptions, PostgresStore, init};

static WANTED: AtomicBool = AtomicBool::new(true);

fn key() -> Sender {
    Sender::Key(Fingerprint::from_bytes([7; 32]))
}

fn mailbox(name: &str) -> MailboxName {
    name.parse().unwrap()
}

/// Messages of a producer, each with its body as its name.
fn batch(sender: &Sender, id: Option<&str>, messages: &[(u64, &str, &str)]) -> Batch {
    let listener = match sender {
        Sender::Key(_) => Listener::Native,
        _ => Listener::Text,
    };
    let message = |to: &str, body: &str| {
        let mut message = Message::new(mailbox(to), body.to_owned());
        if body.starts_with("all") {
            message.content_type = Some("text/plain".parse().unwrap());
            message.name = Some("name".parse().unwrap());
            message.asks = true;
        }
        message
    };
    Batch {
        sender: sender.clone(),
        producer: id.map(|id| (ProducerId::of_key(id), ProducerKind::Outbox)),
        epoch: 0,
        source: Source {
            listener,
            address: (listener == Listener::Text).then(|| "[::1]:9".parse().unwrap()),
        },
        messages: messages
            .iter()
            .map(|(sequence, to, body)| (*sequence, message(to, body)))
            .collect(),
    }
}

fn settle(store: &mut dyn Store, batch: Batch, time: i64) -> Settlement {
    match store.deposit(&[batch], time).unwrap().remove(0) {
        BatchOutcome::Settled(stored) => stored.into_settlement(),
        other => panic!("{other:?}"),
    }
}

fn change(name: &str, committed: u64) -> CursorChange {
    CursorChange {
        mailbox: MailboxName::inbox(),
        name: name.parse().unwrap(),
        committed,
        out_of_order: Vec::new(),
        bury: Vec::new(),
        answers: Vec::new(),
        gives_back: false,
    }
}

/// Something of everything.
fn fill(store: &mut dyn Store) {
    // Two mailboxes by turns: each message is a run of its own.
    for turn in 0..10 {
        let first = turn * 4 + 1;
        let messages = [
            (first, "inbox", "one"),
            (first + 1, "inbox", "two"),
            (first + 2, "other", "three"),
            (first + 3, "inbox", "all of it?"),
        ];
        settle(store, batch(&key(), Some("mixed"), &messages), 100 + turn as i64);
    }
    settle(
        store,
        batch(&Sender::Anonymous, None, &[(1, "inbox", "line")]),
        200,
    );
    // A hole: it was refused.
    let hole = [(1, "inbox", "a"), (3, "inbox", "b")];
    settle(store, batch(&key(), Some("hole"), &hole), 300);
    settle(store, batch(&key(), Some("done"), &[(1, "gone", "x")]), 400);
    store.finish(&key(), &[ProducerId::of_key("done")]).unwrap();
    assert_eq!(
        store.remove_mailbox(&mailbox("gone"), None).unwrap(),
        Removal::Done
    );
    let moved = CursorChange {
        out_of_order: vec![
            (
                6,
                AckState {
                    attempts: 2,
                    done: false,
                },
            ),
            (
                8,
                AckState {
                    attempts: 1,
                    done: true,
                },
            ),
        ],
        bury: vec![2],
        answers: vec![(3, Reply::new("yes").with_code(3))],
        ..change("worker", 4)
    };
    store.commit(&[], &[moved], 500).unwrap();
}

/// What those who used the store before find in the copy, and in the store.
fn know(store: &mut dyn Store) {
    let again = [
        (2, "inbox", "two"),
        (3, "other", "three"),
        (4, "inbox", "all of it?"),
    ];
    let settlement = settle(store, batch(&key(), Some("mixed"), &again), 900);
    let places: Vec<(u64, u64, bool)> = settlement
        .runs
        .iter()
        .map(|run| (run.first, run.offset, run.duplicate))
        .collect();
    assert_eq!(places, [(2, 2, true), (3, 1, true), (4, 3, true)]);
    assert_eq!(
        store
            .high_water_mark(&key(), ProducerId::of_key("mixed"))
            .unwrap(),
        40
    );
    let filled = settle(store, batch(&key(), Some("hole"), &[(2, "inbox", "c")]), 900);
    assert_eq!(filled.refused.len(), 1, "{filled:?}");
    let mut reader = store.reader().unwrap();
    let name: CursorName = "worker".parse().unwrap();
    let position = reader.position(&MailboxName::inbox(), &name).unwrap().unwrap();
    assert_eq!(position.committed, 4);
    assert_eq!(position.out_of_order.len(), 2);
    assert_eq!(reader.read(&mailbox("dead/worker"), 1, 9, 99).unwrap().len(), 1);
    let reply = reader.reply(&key(), ProducerId::of_key("mixed"), 4).unwrap();
    assert_eq!(reply, Some(Reply::new("yes").with_code(3)));
    assert_eq!(reader.last_offset(&MailboxName::inbox()).unwrap(), 33);
    let items = reader.read(&MailboxName::inbox(), 31, 1, 99).unwrap();
    assert_eq!(items[0].source.unwrap().address.unwrap().port(), 9);
    assert!(reader.mailbox(&mailbox("gone")).unwrap().is_none());
    drop(reader);
    let revived = settle(store, batch(&key(), Some("late"), &[(1, "gone", "y")]), 950);
    assert_eq!(revived.runs[0].offset, 2, "an offset was given again");
}

fn in_file(path: &Path) -> SqliteStore {
    SqliteStore::open(path, SqliteOptions::default()).unwrap()
}

fn in_database(address: &Address) -> PostgresStore {
    let options = PostgresOptions {
        demand: Demand::Disk,
        ..PostgresOptions::default()
    };
    PostgresStore::open(address, options).unwrap()
}

fn to_file(store: &dyn Store, path: &Path) {
    let mut import = SqliteImport::create(path).unwrap();
    store.reader().unwrap().export(&mut import, &WANTED).unwrap();
    import.finish().unwrap();
    let checked = tenfour_store::check(path, |finding| panic!("{finding}"), |_| {}).unwrap();
    assert_eq!(checked.findings, 0);
}

fn to_database(store: &dyn Store, address: &Address) {
    let mut import = PostgresImport::create(address).unwrap().unwrap();
    store.reader().unwrap().export(&mut import, &WANTED).unwrap();
    import.finish().unwrap();
}

/// All rows, but what is counted anew.
fn rows_of(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let tables = [
        "SELECT hex(id), created, hours FROM store",
        "SELECT id, name, gone FROM mailbox",
        "SELECT * FROM removed",
        "SELECT * FROM sender",
        "SELECT id, sender, hex(stream), kind, mark, first, count, mailbox, offset, used FROM stream",
        "SELECT * FROM run",
        "SELECT id, stream, sequence, time, checksum, hex(body), source, type, name, asks, origin FROM message",
        "SELECT * FROM age",
        "SELECT * FROM cursor",
        "SELECT * FROM given",
        "SELECT stream, sequence, hours, code, checksum, hex(body) FROM reply",
    ];
    let mut rows = Vec::new();
    for sql in tables {
        let mut statement = connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let mut found = statement.query(()).unwrap();
        while let Some(row) = found.next().unwrap() {
            let values: Vec<String> = (0..columns)
                .map(|column| format!("{:?}", row.get_ref(column).unwrap()))
                .collect();
            rows.push(format!("{sql}: {}", values.join(" ")));
        }
    }
    rows
}

#[test]
fn a_file_that_was_in_a_database_is_the_same_row_for_row() {
    let Some(cluster) = tenfour_test_postgres::shared() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first.db"), folder.path().join("second.db"));
    let address: Address = cluster.url(&cluster.new_database()).parse().unwrap();
    let mut store = in_file(&first);
    let id = store.id();
    fill(&mut store);
    drop(store);
    // A producer that was forgotten, and a mailbox that keeps its messages for a time: both take days.
    Connection::open(&first)
        .unwrap()
        .execute_batch(
            "UPDATE store SET hours = 2000; UPDATE reply SET hours = 2000; INSERT INTO age VALUES (1, 1990, 5);
             INSERT INTO stream(id, sender, stream, kind, mark, used) VALUES (900, 1, x'00112233445566778899aabbccddeeff', 2, 77, 1)",
        )
        .unwrap();
    let store = in_file(&first);
    to_database(&store, &address);
    assert!(PostgresImport::create(&address).unwrap().is_none(), "twice");
    drop(store);
    let mut copy = in_database(&address);
    assert_eq!(copy.id(), id);
    to_file(&copy, &second);
    assert_eq!(rows_of(&first), rows_of(&second));
    // Both go on as one store would.
    know(&mut copy);
    know(&mut in_file(&second));
    let forgotten =
        ProducerId::from_bytes(*b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff");
    let mark = copy.forgotten_high_water_mark(&key(), forgotten).unwrap();
    assert_eq!(mark, 77);
    // New rows have numbers of their own.
    settle(&mut copy, batch(&Sender::Datagram, None, &[(1, "new", "z")]), 960);
}

/// What is done and no more written down, because nobody has the messages below it: that it was drawn, and is in no block, says
/// so.
#[test]
fn what_another_server_has_done_is_done_in_the_copy() {
    let Some(cluster) = tenfour_test_postgres::shared() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.db");
    let address: Address = cluster.url(&cluster.new_database()).parse().unwrap();
    init(&address).unwrap();
    let (mut one, mut other) = (in_database(&address), in_database(&address));
    fill(&mut one);
    let (inbox, name) = (MailboxName::inbox(), "shared".parse().unwrap());
    one.commit(&[], &[change("shared", 0)], 600).unwrap();
    assert_eq!(one.draw(&inbox, &name, 4, false).unwrap().ranges, [(1, 4)]);
    assert_eq!(other.draw(&inbox, &name, 4, false).unwrap().ranges, [(5, 8)]);
    other.commit(&[], &[change("shared", 8)], 601).unwrap();
    assert!(!one.be_alone().unwrap());
    to_file(&one, &path);
    let mut copy = in_file(&path);
    let position = copy.reader().unwrap().position(&inbox, &name).unwrap().unwrap();
    assert_eq!(position.committed, 0);
    let done: Vec<u64> = position.out_of_order.keys().copied().collect();
    assert_eq!(done, [5, 6, 7, 8]);
    know(&mut copy);
    // And in a database that the file becomes, they are given to nobody.
    let third: Address = cluster.url(&cluster.new_database()).parse().unwrap();
    to_database(&copy, &third);
    let mut third = in_database(&third);
    let drawn = third.draw(&inbox, &name, 6, true).unwrap();
    assert_eq!(drawn.ranges, [(1, 6)]);
    assert!(
        drawn
            .states
            .iter()
            .all(|(offset, state)| *offset > 4 && state.done)
    );
    assert_eq!(drawn.states.len(), 2);
    drop(other);
    assert!(one.be_alone().unwrap());
}

/// Nobody takes half of a store for one.
#[test]
fn what_is_not_finished_is_not_there() {
    let Some(cluster) = tenfour_test_postgres::shared() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut store = in_file(&folder.path().join("store.db"));
    fill(&mut store);
    let address: Address = cluster.url(&cluster.new_database()).parse().unwrap();
    let mut import = PostgresImport::create(&address).unwrap().unwrap();
    let unwanted = AtomicBool::new(false);
    let mut reader = store.reader().unwrap();
    assert!(reader.export(&mut import, &unwanted).is_err());
    reader.export(&mut import, &WANTED).unwrap();
    drop(import);
    assert!(init(&address).unwrap(), "there is a store");
    let path = folder.path().join("half.db");
    let mut half = SqliteImport::create(&path).unwrap();
    reader.export(&mut half, &WANTED).unwrap();
    drop(half);
    assert!(SqliteStore::open(&path, SqliteOptions::default()).is_err());
    assert!(SqliteImport::create(&path).is_err(), "it overwrites");
    // In memory there is nothing to copy.
    struct Nothing;
    impl Import for Nothing {
        fn put(&mut self, record: tenfour_store::Record) -> Result<(), tenfour_store::CopyError> {
            panic!("{record:?}")
        }
    }
    let memory = MemoryStore::default();
    assert!(memory.reader().unwrap().export(&mut Nothing, &WANTED).is_err());
}
