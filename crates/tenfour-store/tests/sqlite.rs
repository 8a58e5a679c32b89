//! What only a store on disk can do wrong.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rusqlite::Connection;
use tenfour_proto::native::ProducerKind;
use tenfour_proto::{Durability, Listener, MailboxName, Message, ProducerId, Reply, Sender, Source};
use tenfour_store::{
    Batch, BatchOutcome, CursorChange, OpenError, ReadError, Retain, SqliteOptions, SqliteStore, Store, check,
};

const SOURCE: Source = Source {
    listener: Listener::Native,
    address: None,
};

fn open(path: &Path) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(path, SqliteOptions::default())
}

fn put(store: &mut SqliteStore, first: u64, count: u64) {
    let messages = (first..first + count)
        .map(|n| {
            (
                n,
                Message::new(MailboxName::inbox(), Bytes::from(format!("message {n}"))),
            )
        })
        .collect();
    let batch = Batch {
        sender: Sender::Anonymous,
        producer: Some((ProducerId::of_key("s"), ProducerKind::OneShot)),
        epoch: 0,
        source: SOURCE,
        messages,
    };
    let outcomes = store.deposit(&[batch], 1_700_000_000_000_000).unwrap();
    assert!(matches!(outcomes[..], [BatchOutcome::Settled(_)]));
}

#[test]
fn what_was_stored_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/deep/store.db");
    let mut store = open(&path).unwrap();
    let id = store.id();
    assert_eq!(store.durability(), Durability::Disk);
    #[cfg(unix)]
    for file in ["new/deep/store.db", "new/deep/store.db-wal"] {
        let metadata = fs::metadata(folder.path().join(file)).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
        assert_eq!(mode & 0o777, 0o600, "{file} is nobody else's business");
    }
    put(&mut store, 1, 100);
    drop(store);
    let mut store = open(&path).unwrap();
    assert_eq!(store.id(), id);
    assert_eq!(
        store
            .high_water_mark(&Sender::Anonymous, ProducerId::of_key("s"))
            .unwrap(),
        100
    );
    put(&mut store, 101, 1);
    let items = store
        .reader()
        .unwrap()
        .read(&MailboxName::inbox(), 1, 1_000, u64::MAX)
        .unwrap();
    assert_eq!(items.len(), 101);
    assert_eq!(items[100].offset, 101);
}

#[test]
fn people_can_read_it_with_sqlite3() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut store = open(&path).unwrap();
    put(&mut store, 1, 2);
    let row: (String, i64, String, String, i64, i64, String) = Connection::open(&path)
        .unwrap()
        .query_row(
            "SELECT mailbox, offset, time, sender, sequence, bytes, text FROM messages WHERE offset = 2",
            (),
            |row| {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                    row.get(5)?,
                    row.get(6)?,
                ))
            },
        )
        .unwrap();
    assert_eq!(
        row,
        (
            "inbox".into(),
            2,
            "2023-11-14T22:13:20.000Z".into(),
            "anonymous".into(),
            2,
            9,
            "message 2".into()
        )
    );
}

#[test]
fn a_second_owner_is_told_who_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let first = open(&path).unwrap();
    let Err(OpenError::InUse { owner, .. }) = open(&path) else {
        panic!()
    };
    assert_eq!(owner.unwrap(), format!("process {}", std::process::id()));
    drop(first);
    open(&path).unwrap();
}

#[test]
fn files_that_are_not_ours_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    fs::write(&text, "not a database").unwrap();
    assert!(matches!(open(&text), Err(OpenError::NotOurs(_))));
    assert_eq!(fs::read(&text).unwrap(), b"not a database");
    let other = folder.path().join("other.db");
    Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE t(x)")
        .unwrap();
    let before = fs::read(&other).unwrap();
    assert!(matches!(open(&other), Err(OpenError::NotOurs(_))));
    assert_eq!(fs::read(&other).unwrap(), before);
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        2,
        "no lock, no log beside them"
    );
}

/// A client that had gone away once left the server making a copy of all of its store.
#[test]
fn a_copy_that_nobody_wants_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder.path().join("store.db")).unwrap();
    put(&mut store, 1, 5_000);
    let files = || fs::read_dir(folder.path()).unwrap().count();
    let before = files();
    let wanted = Arc::new(AtomicBool::new(false));
    let mut reader = store.reader().unwrap();
    let given_up = reader.copy(&wanted).unwrap_err();
    assert!(given_up.to_string().contains("interrupted"), "{given_up}");
    assert_eq!(files(), before, "nothing of it is left");
    wanted.store(true, Ordering::Relaxed);
    let copy = reader.copy(&wanted).unwrap().metadata().unwrap();
    assert!(copy.len() > 0);
    // While it has a name, nobody else may look into it.
    #[cfg(unix)]
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&copy.permissions()) & 0o777,
        0o600
    );
}

/// A server was killed, and a backup put in the place of its store. The log that had been left was written into it: what
/// a file has belonged to, SQLite does not ask.
#[test]
fn a_log_that_another_store_has_left_is_not_written_into_a_backup() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let log = folder.path().join("store.db-wal");
    let mut store = open(&path).unwrap();
    let wanted = Arc::new(AtomicBool::new(true));
    let mut copy = store.reader().unwrap().copy(&wanted).unwrap();
    put(&mut store, 1, 3);
    let left = fs::read(&log).unwrap();
    drop(store);
    fs::remove_file(&path).unwrap();
    fs::write(&log, &left).unwrap();
    // Without a store.
    assert!(matches!(open(&path), Err(OpenError::ForeignLog { log: found }) if found == log));
    // With a backup in its place.
    std::io::copy(&mut copy, &mut fs::File::create(&path).unwrap()).unwrap();
    assert!(matches!(open(&path), Err(OpenError::ForeignLog { .. })));
    assert_eq!(fs::read(&log).unwrap(), left);
    fs::remove_file(&log).unwrap();
    assert_eq!(open(&path).unwrap().reader().unwrap().mailboxes().unwrap(), []);
}

#[test]
fn an_empty_file_is_no_new_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    fs::write(&path, "").unwrap();
    assert!(matches!(open(&path), Err(OpenError::NotOurs(_))));
}

#[test]
fn a_newer_format_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(open(&path).unwrap());
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(
        open(&path),
        Err(OpenError::Newer {
            found: 99,
            known: 2,
            ..
        })
    ));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn damage_is_noticed_and_what_comes_before_it_is_given() {
    for change in [
        "UPDATE message SET body = CAST('messagE 2' AS BLOB) WHERE id & 0xffff = 2",
        "UPDATE message SET time = time + 1 WHERE id & 0xffff = 2",
        "UPDATE message SET sequence = 3 WHERE id & 0xffff = 2",
        "UPDATE message SET name = 'x' WHERE id & 0xffff = 2",
        "UPDATE message SET type = 'x' WHERE id & 0xffff = 2",
        "UPDATE message SET origin = 'inbox 1' WHERE id & 0xffff = 2",
        "UPDATE message SET origin = 'nonsense' WHERE id & 0xffff = 2",
        "UPDATE message SET source = 'text' WHERE id & 0xffff = 2",
        "UPDATE message SET source = 'nonsense' WHERE id & 0xffff = 2",
        "UPDATE message SET source = 'text [::1]:1' WHERE id & 0xffff = 2",
        "UPDATE message SET checksum = checksum + 1 WHERE id & 0xffff = 2",
        "UPDATE sender SET name = 'SHA256:somebody'",
        "UPDATE stream SET stream = zeroblob(16)",
        "UPDATE mailbox SET name = 'inbux'",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let mut store = open(&path).unwrap();
        put(&mut store, 1, 3);
        Connection::open(&path).unwrap().execute_batch(change).unwrap();
        let mut reader = store.reader().unwrap();
        let name = if change.contains("inbux") {
            "inbux"
        } else {
            "inbox"
        };
        let mailbox: MailboxName = name.parse().unwrap();
        if change.contains("UPDATE message") {
            assert_eq!(
                reader.read(&mailbox, 1, 10, u64::MAX).unwrap().len(),
                1,
                "{change}"
            );
        }
        assert!(
            matches!(
                reader.read(&mailbox, 2, 10, u64::MAX),
                Err(ReadError::Damaged { offset: 2, .. })
            ),
            "{change}"
        );
    }
}

#[test]
fn many_producers_are_read_again_from_their_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut store = open(&path).unwrap();
    let one = |n: u32| Batch {
        sender: Sender::Anonymous,
        producer: Some((ProducerId::of_key(&n.to_string()), ProducerKind::OneShot)),
        epoch: 0,
        source: SOURCE,
        messages: vec![(1, Message::new(MailboxName::inbox(), "x"))],
    };
    let all: Vec<Batch> = (0..20_000).map(one).collect();
    store.deposit(&all, 1).unwrap();
    let again = store.deposit(&[one(3)], 2).unwrap();
    let BatchOutcome::Settled(stored) = &again[0] else {
        panic!()
    };
    assert!(stored.settlement().runs[0].duplicate);
    assert_eq!(stored.settlement().runs[0].offset, 4);
}

#[test]
fn the_log_stays_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut store = open(&path).unwrap();
    for n in 0..200 {
        put(&mut store, n * 2_000 + 1, 2_000);
    }
    let log = fs::metadata(folder.path().join("store.db-wal")).unwrap().len();
    assert!(log < 64 * 1024 * 1024, "the log has {log} bytes");
}

/// The ages of producers count in hours for which the store was open; this sets its clock forward.
fn pass_hours(path: &Path, hours: i64) {
    Connection::open(path)
        .unwrap()
        .execute("UPDATE store SET hours = hours + ?1", [hours])
        .unwrap();
}

fn tidy(store: &mut SqliteStore) {
    while store.tidy().unwrap() {}
}

#[test]
fn a_one_shot_producer_is_known_for_thirty_days_of_the_stores_own_time_after_its_last_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let producer = ProducerId::of_key("s");
    let high_water_mark =
        |store: &mut SqliteStore| store.high_water_mark(&Sender::Anonymous, producer).unwrap();
    put(&mut open(&path).unwrap(), 1, 3);
    pass_hours(&path, 700);
    let mut store = open(&path).unwrap();
    tidy(&mut store);
    assert_eq!(high_water_mark(&mut store), 3);
    // A repeat is a use.
    put(&mut store, 1, 3);
    drop(store);
    pass_hours(&path, 700);
    let mut store = open(&path).unwrap();
    tidy(&mut store);
    assert_eq!(
        high_water_mark(&mut store),
        3,
        "1,400 hours old, but used 700 hours ago"
    );
    drop(store);
    pass_hours(&path, 21);
    let mut store = open(&path).unwrap();
    tidy(&mut store);
    assert_eq!(high_water_mark(&mut store), 0, "forgotten after 721 hours");
    let forgotten = |store: &mut SqliteStore| {
        store
            .forgotten_high_water_mark(&Sender::Anonymous, producer)
            .unwrap()
    };
    assert_eq!(forgotten(&mut store), 3, "for whom has receipts for it");
    // Its messages still say whose they are, and the id begins anew.
    put(&mut store, 1, 3);
    let items = store
        .reader()
        .unwrap()
        .read(&MailboxName::inbox(), 1, 10, u64::MAX)
        .unwrap();
    let sequences: Vec<_> = items.iter().map(|item| (item.offset, item.sequence)).collect();
    assert_eq!(sequences, [(1, 1), (2, 2), (3, 3), (4, 1), (5, 2), (6, 3)]);
    assert!(items.iter().all(|item| item.producer == producer));
    assert_eq!((high_water_mark(&mut store), forgotten(&mut store)), (3, 0));
}

/// A store with a question of the producer `q`, and this reply to it.
fn answered(path: &Path, reply: &'static str) {
    let mut store = open(path).unwrap();
    let question = Batch {
        sender: Sender::Anonymous,
        producer: Some((ProducerId::of_key("q"), ProducerKind::OneShot)),
        epoch: 0,
        source: SOURCE,
        messages: vec![(1, Message::new(MailboxName::inbox(), "?").asking())],
    };
    store.deposit(&[question], 1).unwrap();
    let answer = CursorChange {
        mailbox: MailboxName::inbox(),
        name: "worker".parse().unwrap(),
        committed: 1,
        out_of_order: Vec::new(),
        bury: Vec::new(),
        answers: vec![(1, Reply::new(reply))],
        gives_back: false,
    };
    store.commit(&[], &[answer], 1).unwrap();
}

#[test]
fn a_reply_is_kept_for_an_hour_of_the_stores_own_time_and_then_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    answered(&path, "!");
    let reply = |store: &mut SqliteStore| {
        store
            .reader()
            .unwrap()
            .reply(&Sender::Anonymous, ProducerId::of_key("q"), 1)
            .unwrap()
    };
    pass_hours(&path, 1);
    let mut store = open(&path).unwrap();
    tidy(&mut store);
    assert_eq!(reply(&mut store), Some(Reply::new("!")));
    drop(store);
    pass_hours(&path, 1);
    let mut store = open(&path).unwrap();
    assert_eq!(reply(&mut store), None);
    tidy(&mut store);
    drop(store);
    let count = "SELECT count(*) FROM reply";
    let left: i64 = Connection::open(&path)
        .unwrap()
        .query_row(count, (), |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0);
}

#[test]
fn a_damaged_reply_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    answered(&path, "yes");
    Connection::open(&path)
        .unwrap()
        .execute("UPDATE reply SET body = x'6e6f'", ())
        .unwrap();
    let store = open(&path).unwrap();
    let found = store
        .reader()
        .unwrap()
        .reply(&Sender::Anonymous, ProducerId::of_key("q"), 1);
    assert_eq!(found.unwrap(), None);
}

#[test]
fn a_cursor_that_nobody_used_for_thirty_days_holds_nothing_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let used = |store: &mut SqliteStore, committed| {
        let change = CursorChange {
            mailbox: MailboxName::inbox(),
            name: "worker".parse().unwrap(),
            committed,
            out_of_order: Vec::new(),
            bury: Vec::new(),
            answers: Vec::new(),
            gives_back: false,
        };
        store.commit(&[], &[change], 1).unwrap();
    };
    let expired = |store: &SqliteStore| store.reader().unwrap().cursors().unwrap()[0].expired;
    let mut store = open(&path).unwrap();
    used(&mut store, 0);
    drop(store);
    pass_hours(&path, 719);
    let mut store = open(&path).unwrap();
    assert!(!expired(&store));
    drop(store);
    pass_hours(&path, 1);
    store = open(&path).unwrap();
    assert!(expired(&store), "after 720 hours");
    // It is still there, and a use brings it back.
    used(&mut store, 0);
    assert!(!expired(&store));
}

#[test]
fn sizes_are_counted_over_restarts_and_deletions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let size = |store: &SqliteStore, name: &str| {
        let sizes = store.reader().unwrap().sizes().unwrap();
        sizes
            .iter()
            .find(|(mailbox, _)| mailbox.as_str() == name)
            .unwrap()
            .1
    };
    let rows = |name: &str| -> u64 {
        let connection = Connection::open(&path).unwrap();
        let sql = "SELECT sum(length(body)) FROM message JOIN mailbox ON mailbox.id = message.id >> 48 WHERE mailbox.name = ?1";
        connection
            .query_row(sql, [name], |row| row.get::<_, i64>(0))
            .unwrap()
            .unsigned_abs()
    };
    let fill = |store: &mut SqliteStore, name: &str, count: u64| {
        let message = Message::new(name.parse().unwrap(), vec![b'x'; 10_000]);
        let batch = Batch {
            sender: Sender::Anonymous,
            producer: None,
            epoch: 0,
            source: SOURCE,
            messages: (1..=count).map(|n| (n, message.clone())).collect(),
        };
        store.deposit(&[batch], 1).unwrap();
    };
    let keep = |store: &mut SqliteStore, bytes: u64| {
        store.retain(Box::new(move |mailbox| Retain {
            bytes: (mailbox.as_str() == "bench").then_some(bytes),
            ..Retain::FOREVER
        }));
    };
    let mut store = open(&path).unwrap();
    keep(&mut store, 64_000_000);
    fill(&mut store, "inbox", 1_500);
    fill(&mut store, "bench", 3_000);
    // Written down, and counted further.
    tidy(&mut store);
    fill(&mut store, "inbox", 7);
    fill(&mut store, "bench", 6_000);
    tidy(&mut store);
    fill(&mut store, "bench", 10);
    for _ in 0..2 {
        assert_eq!(size(&store, "inbox"), 15_070_000);
        assert_eq!(size(&store, "inbox"), rows("inbox"));
        assert_eq!(size(&store, "bench"), rows("bench"));
        assert!(size(&store, "bench") < 90_000_000, "the oldest are deleted");
        drop(store);
        store = open(&path).unwrap();
    }
    // All of it may go.
    keep(&mut store, 0);
    tidy(&mut store);
    assert_eq!(size(&store, "bench"), 0);
    assert_eq!(size(&store, "inbox"), 15_070_000);
}

#[test]
fn an_outbox_is_never_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut store = open(&path).unwrap();
    let batch = Batch {
        sender: Sender::Anonymous,
        producer: Some((ProducerId::of_key("o"), ProducerKind::Outbox)),
        epoch: 0,
        source: SOURCE,
        messages: vec![(1, Message::new(MailboxName::inbox(), "x"))],
    };
    store.deposit(&[batch], 1).unwrap();
    drop(store);
    pass_hours(&path, 100_000);
    let mut store = open(&path).unwrap();
    tidy(&mut store);
    assert_eq!(
        store
            .high_water_mark(&Sender::Anonymous, ProducerId::of_key("o"))
            .unwrap(),
        1
    );
}

#[test]
fn an_outbox_that_is_finished_is_forgotten_like_any_producer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let producer = ProducerId::of_key("o");
    let batch = |kind| Batch {
        sender: Sender::Anonymous,
        producer: Some((producer, kind)),
        epoch: 0,
        source: SOURCE,
        messages: vec![(1, Message::new(MailboxName::inbox(), "x"))],
    };
    let mut store = open(&path).unwrap();
    store.deposit(&[batch(ProducerKind::Outbox)], 1).unwrap();
    let unknown = ProducerId::of_key("never seen");
    store.finish(&Sender::Anonymous, &[producer, unknown]).unwrap();
    store.finish(&Sender::Datagram, &[producer]).unwrap();
    drop(store);
    for (hours, high_water_mark) in [(720, 1), (1, 0)] {
        pass_hours(&path, hours);
        let mut store = open(&path).unwrap();
        tidy(&mut store);
        assert_eq!(
            store.high_water_mark(&Sender::Anonymous, producer).unwrap(),
            high_water_mark
        );
    }
}

/// The first start used to make the tables in the log, with a file in front of it that named nobody. Killed before the
/// first checkpoint, it left a store that the next start called somebody else's.
#[test]
fn a_first_start_that_is_killed_leaves_nothing_that_stops_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    fs::write(folder.path().join("store.db.new"), "half").unwrap();
    fs::write(folder.path().join("store.db.new-wal"), "half").unwrap();
    let store = open(&path).unwrap();
    let id = store.id();
    // As a kill leaves it: no checkpoint, no closing; a power cut may take the log with it.
    for files in [&["store.db", "store.db-wal"][..], &["store.db"]] {
        let killed = tempfile::tempdir().unwrap();
        for file in files {
            fs::copy(folder.path().join(file), killed.path().join(file)).unwrap();
        }
        assert_eq!(open(&killed.path().join("store.db")).unwrap().id(), id);
    }
}

#[test]
fn offsets_are_not_used_again_after_their_messages_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let bench: MailboxName = "bench".parse().unwrap();
    let one = |n: u64| Batch {
        sender: Sender::Anonymous,
        producer: Some((ProducerId::of_key("b"), ProducerKind::OneShot)),
        epoch: 0,
        source: SOURCE,
        messages: vec![(n, Message::new("bench".parse().unwrap(), "x"))],
    };
    let mut store = open(&path).unwrap();
    for n in 1..=5 {
        store.deposit(&[one(n)], 1).unwrap();
    }
    drop(store);
    let mut store = open(&path).unwrap();
    store.retain(Box::new(|_| Retain {
        bytes: Some(0),
        ..Retain::FOREVER
    }));
    tidy(&mut store);
    assert_eq!(store.reader().unwrap().read(&bench, 1, 10, u64::MAX).unwrap(), []);
    assert_eq!(store.reader().unwrap().last_offset(&bench).unwrap(), 5);
    drop(store);
    let mut store = open(&path).unwrap();
    let outcomes = store.deposit(&[one(6)], 1).unwrap();
    let BatchOutcome::Settled(stored) = &outcomes[0] else {
        panic!()
    };
    assert_eq!(stored.settlement().runs[0].offset, 6);
}

#[test]
fn producers_of_datagrams_are_known_for_a_day() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let producer = ProducerId::of_key("d");
    let batch = Batch {
        sender: Sender::Datagram,
        producer: Some((producer, ProducerKind::OneShot)),
        epoch: 0,
        source: SOURCE,
        messages: vec![(1, Message::new(MailboxName::inbox(), "x"))],
    };
    open(&path).unwrap().deposit(&[batch], 1).unwrap();
    for (hours, high_water_mark) in [(24, 1), (1, 0)] {
        pass_hours(&path, hours);
        let mut store = open(&path).unwrap();
        tidy(&mut store);
        assert_eq!(
            store.high_water_mark(&Sender::Datagram, producer).unwrap(),
            high_water_mark
        );
    }
}

/// What an older program has written is brought to the format of today, with all that it knows.
#[test]
fn a_store_of_version_1_is_upgraded_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut store = open(&path).unwrap();
    put(&mut store, 1, 10);
    let id = store.id();
    drop(store);
    let old = Connection::open(&path).unwrap();
    // Version 2 has one table more; `pseudo` was the length of bodies.
    old.execute_batch("DROP TABLE removed; UPDATE mailbox SET bytes = 91, pseudo = 91, counted = 10; PRAGMA user_version = 1")
        .unwrap();
    drop(old);
    let looked = check(&path, |finding| panic!("{finding}"), |_| ()).unwrap();
    assert_eq!(looked.messages, 10, "it is read as it is");
    let mut store = open(&path).unwrap();
    assert_eq!(store.id(), id);
    put(&mut store, 1, 12);
    let info = store.reader().unwrap().mailboxes().unwrap().remove(0);
    assert_eq!((info.first, info.last), (1, 12), "ten were known");
    drop(store);
    check(&path, |finding| panic!("{finding}"), |_| ()).unwrap();
    let version: u32 = Connection::open(&path)
        .unwrap()
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, 2);
}
