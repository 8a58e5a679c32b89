//! What `check` finds: nothing in a store that is as it was written, and each kind of damage by its name.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rusqlite::Connection;
use tempfile::TempDir;
use tenfour_proto::native::ProducerKind;
use tenfour_proto::{Listener, Message, ProducerId, Reply, Sender, Source};
use tenfour_store::{
    AckState, Batch, Checked, CursorChange, Retain, SqliteOptions, SqliteStore, Store, check,
};

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, SqliteOptions::default()).unwrap()
}

fn batch(producer: Option<&str>, to: &[&str], first: u64) -> Batch {
    Batch {
        sender: Sender::Anonymous,
        producer: producer.map(|id| (ProducerId::of_key(id), ProducerKind::OneShot)),
        epoch: 0,
        source: Source {
            listener: Listener::Native,
            address: None,
        },
        messages: to
            .iter()
            .zip(first..)
            .map(|(to, sequence)| {
                let body = Bytes::from(format!("message {sequence} to {to}"));
                (sequence, Message::new(to.parse().unwrap(), body))
            })
            .collect(),
    }
}

/// A store with a past: producers that jump between mailboxes, repeats, dead letters, a reply; and deletions.
fn store_with_a_past() -> (TempDir, PathBuf) {
    let (folder, path) = store_with_a_short_past();
    let mut store = open(&path);
    let mut large = batch(None, &["bench"; 9_000], 1);
    for (_, message) in &mut large.messages {
        message.body = vec![b'x'; 10_000].into();
    }
    store.deposit(&[large], 3).unwrap();
    while store.tidy().unwrap() {}
    drop(store);
    let mut store = open(&path);
    store.retain(Box::new(|mailbox| Retain {
        bytes: (mailbox.as_str() == "bench").then_some(0),
        ..Retain::FOREVER
    }));
    while store.tidy().unwrap() {}
    (folder, path)
}

fn store_with_a_short_past() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut store = open(&path);
    let mut put = |batch| {
        store.deposit(&[batch], 1).unwrap();
    };
    put(batch(Some("s"), &["a", "a", "b", "a", "b", "b"], 1));
    put(batch(Some("t"), &["a", "c"], 1));
    put(batch(Some("s"), &["b", "b", "a"], 5));
    put(batch(None, &["a", "b"], 1));
    let mut asked = batch(Some("q"), &["a"], 1);
    asked.messages[0].1.asks = true;
    put(asked);
    let change = CursorChange {
        mailbox: "a".parse().unwrap(),
        name: "worker".parse().unwrap(),
        committed: 2,
        out_of_order: vec![(
            4,
            AckState {
                attempts: 1,
                done: false,
            },
        )],
        bury: vec![2],
        answers: vec![(1, Reply::new("yes"))],
        gives_back: false,
    };
    store.commit(&[], &[change], 2).unwrap();
    (folder, path)
}

fn findings(path: &Path) -> (Checked, Vec<String>) {
    let mut found = Vec::new();
    let checked = check(path, |finding| found.push(finding.to_string()), |_| {}).unwrap();
    assert_eq!(checked.findings, found.len() as u64);
    (checked, found)
}

#[test]
fn nothing_is_wrong_with_a_store_that_has_a_past() {
    let (_folder, path) = store_with_a_past();
    let (checked, found) = findings(&path);
    assert_eq!(found, [""; 0]);
    assert_eq!((checked.messages, checked.mailboxes), (13, 5));
    // Beside its owner, too, and with messages that are in the log only.
    let mut store = open(&path);
    store.deposit(&[batch(Some("u"), &["a"; 5], 1)], 4).unwrap();
    let (checked, found) = findings(&path);
    assert_eq!((checked.messages, found), (18, Vec::new()));
}

/// Each of its questions saw the store at another moment: beside a busy server it found damage that was none.
#[test]
fn a_busy_store_is_seen_at_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut store = open(&path);
    // The first mailbox takes a while to be read; meanwhile the others change.
    store.deposit(&[batch(None, &["large"; 20_000], 1)], 1).unwrap();
    store.retain(Box::new(|mailbox| Retain {
        bytes: (mailbox.as_str() != "large").then_some(10_000),
        ..Retain::FOREVER
    }));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let mailbox = ["a", "b", "c"][n as usize % 3];
                let batch = batch(Some(&format!("s{}", n % 7)), &[mailbox; 20], n / 7 * 20 + 1);
                store.deposit(&[batch], 1).unwrap();
                store.tidy().unwrap();
            }
        });
        for _ in 0..10 {
            let (_, found) = findings(&path);
            if !found.is_empty() {
                over.store(true, Ordering::Relaxed);
            }
            assert_eq!(found, Vec::<String>::new());
        }
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn each_kind_of_damage_is_named() {
    for (damage, wanted) in [
        (
            "UPDATE message SET body = x'00' WHERE id = (SELECT id << 48 | 3 FROM mailbox WHERE name = 'a')",
            &["a #3: the message does not match its checksum"][..],
        ),
        (
            "UPDATE message SET asks = 1 WHERE id = (SELECT id << 48 | 1 FROM mailbox WHERE name = 'b')",
            &["b #1: the message does not match"],
        ),
        (
            "UPDATE message SET time = time + 1 WHERE id = (SELECT id << 48 | 2 FROM mailbox WHERE name = 'b')",
            &["b #2: the message does not match"],
        ),
        (
            "DELETE FROM message WHERE id = (SELECT id << 48 | 2 FROM mailbox WHERE name = 'b')",
            &["b #2 to #2: missing"],
        ),
        (
            "DELETE FROM message WHERE id = (SELECT id << 48 | 1 FROM mailbox WHERE name = 'a')",
            &["a #1 to #1: missing"],
        ),
        (
            "UPDATE mailbox SET gone = 1 WHERE name = 'c'",
            &["c #1: deleted, and there all the same"],
        ),
        (
            "DELETE FROM run WHERE first = 1",
            &["a #1: not in the marks", "a #2: not in the marks"],
        ),
        (
            "UPDATE run SET offset = offset + 1 WHERE first = 1",
            &["not in the marks", "its marks do not lead to them"],
        ),
        (
            "UPDATE stream SET mark = mark + 1 WHERE mark = 7",
            &["messages 7 to 7: its marks do not lead to them"],
        ),
        (
            "UPDATE stream SET count = 5 WHERE mark = 2",
            &["its marks do not lead to them"],
        ),
        (
            "DELETE FROM mailbox WHERE name = 'c'",
            &["1 messages belong to mailbox number"],
        ),
        (
            "UPDATE mailbox SET name = 'A B' WHERE name = 'c'",
            &["mailbox `A B`"],
        ),
        (
            "UPDATE cursor SET floor = 99",
            &["cursor worker of a: it is at #99, behind the last message"],
        ),
        (
            "UPDATE mailbox SET bytes = 1, counted = 0 WHERE name = 'a'",
            &["a: 1 bytes are counted, and 0 are there"],
        ),
    ] {
        let (_folder, path) = store_with_a_short_past();
        let changed = Connection::open(&path).unwrap().execute(damage, ()).unwrap();
        assert!(changed > 0, "{damage}");
        let (_, found) = findings(&path);
        for words in wanted {
            let said = found.iter().any(|finding| finding.contains(words));
            assert!(said, "`{words}` is not in {found:?}: {damage}");
        }
    }
}

#[test]
fn what_is_no_store_is_said_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    assert!(check(&path, |_| {}, |_| {}).is_err());
    assert!(!path.exists());
    std::fs::write(&path, "notes").unwrap();
    assert!(check(&path, |_| {}, |_| {}).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"notes");
}
