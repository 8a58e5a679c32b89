//! Mailboxes and cursors that are removed.

use bytes::Bytes;
use tenfour_proto::native::ProducerKind;
use tenfour_proto::{Fingerprint, Listener, MailboxName, Message, ProducerId, RefusalCode, Sender, Source};
use tenfour_store::{
    Batch, BatchOutcome, CursorChange, DEFAULT_MEMORY_LIMIT, MAX_MAILBOXES, MemoryStore, Removal,
    SqliteOptions, SqliteStore, Store,
};

/// Runs one conversation with each kind of store.
fn each(conversation: impl Fn(&mut dyn Store)) {
    conversation(&mut MemoryStore::new(DEFAULT_MEMORY_LIMIT));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    conversation(&mut SqliteStore::open(path, SqliteOptions::default()).unwrap());
}

fn mailbox(name: &str) -> MailboxName {
    name.parse().unwrap()
}

fn batch(producer: &str, first: u64, to: &str, count: u64) -> Batch {
    let message = |sequence| (sequence, Message::new(mailbox(to), Bytes::from_static(b"x")));
    Batch {
        sender: Sender::Key(Fingerprint::from_bytes([1; 32])),
        producer: Some((ProducerId::of_key(producer), ProducerKind::OneShot)),
        epoch: 0,
        source: Source {
            listener: Listener::Native,
            address: None,
        },
        messages: (first..first + count).map(message).collect(),
    }
}

/// The first offset, and whether it had been stored before; or why not.
fn settled(store: &mut dyn Store, batch: Batch) -> Result<(u64, bool), RefusalCode> {
    let BatchOutcome::Settled(stored) = store.deposit(&[batch], 1_000).unwrap().remove(0) else {
        panic!("not now");
    };
    let settlement = stored.into_settlement();
    match settlement.runs.first() {
        Some(run) => Ok((run.offset, run.duplicate)),
        None => Err(settlement.refused[0].code),
    }
}

fn remove(store: &mut dyn Store, name: &str) -> Removal {
    let mut last = None;
    loop {
        match store.remove_mailbox(&mailbox(name), last).unwrap() {
            Removal::More(up_to) => last = Some(up_to),
            removal => return removal,
        }
    }
}

fn names(store: &dyn Store) -> Vec<String> {
    let mailboxes = store.reader().unwrap().mailboxes().unwrap();
    mailboxes.iter().map(|info| info.name.to_string()).collect()
}

fn use_cursor(store: &mut dyn Store, to: &str, name: &str, committed: u64) {
    let change = CursorChange {
        mailbox: mailbox(to),
        name: name.parse().unwrap(),
        committed,
        out_of_order: vec![],
        bury: vec![],
        answers: vec![],
        gives_back: false,
    };
    store.commit(&[], &[change], 1_000).unwrap();
}

#[test]
fn a_mailbox_is_removed_with_all_that_is_in_it() {
    each(|store| {
        assert_eq!(settled(store, batch("a", 1, "gone", 5_000)), Ok((1, false)));
        assert_eq!(settled(store, batch("b", 1, "kept", 1)), Ok((1, false)));
        use_cursor(store, "gone", "worker", 7);
        use_cursor(store, "kept", "worker", 1);
        assert_eq!(remove(store, "gone"), Removal::Done);
        assert_eq!(names(store), ["kept"]);
        let mut reader = store.reader().unwrap();
        assert_eq!(reader.cursors().unwrap().len(), 1);
        assert!(reader.read(&mailbox("gone"), 1, 10, 100).unwrap().is_empty());
        assert_eq!(remove(store, "gone"), Removal::Absent);
        // What had a receipt has it still: it is not stored again.
        assert_eq!(settled(store, batch("a", 5_000, "gone", 1)), Ok((5_000, true)));
        assert_eq!(names(store), ["kept"]);
        // An offset is given once.
        assert_eq!(settled(store, batch("a", 5_001, "gone", 1)), Ok((5_001, false)));
        assert_eq!(names(store), ["gone", "kept"]);
        let items = store
            .reader()
            .unwrap()
            .read(&mailbox("gone"), 1, 10, 100)
            .unwrap();
        assert_eq!(items.iter().map(|item| item.offset).collect::<Vec<_>>(), [5_001]);
    });
}

#[test]
fn a_removed_mailbox_stays_removed_and_its_offsets_go_on_after_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let open = || SqliteStore::open(folder.path().join("store.db"), SqliteOptions::default()).unwrap();
    let mut store = open();
    settled(&mut store, batch("a", 1, "gone", 10)).unwrap();
    assert_eq!(remove(&mut store, "gone"), Removal::Done);
    drop(store);
    let mut store = open();
    assert!(names(&store).is_empty());
    assert_eq!(remove(&mut store, "gone"), Removal::Absent);
    assert_eq!(settled(&mut store, batch("a", 11, "gone", 1)), Ok((11, false)));
    drop(store);
    assert_eq!(names(&open()), ["gone"]);
}

#[test]
fn what_comes_meanwhile_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut store = SqliteStore::open(path, SqliteOptions::default()).unwrap();
    settled(&mut store, batch("a", 1, "busy", 5_000)).unwrap();
    let removal = store.remove_mailbox(&mailbox("busy"), None).unwrap();
    assert_eq!(removal, Removal::More(5_000));
    settled(&mut store, batch("a", 5_001, "busy", 1)).unwrap();
    let mut removal = removal;
    while let Removal::More(last) = removal {
        removal = store.remove_mailbox(&mailbox("busy"), Some(last)).unwrap();
    }
    assert_eq!(removal, Removal::Refilled);
    let items = store
        .reader()
        .unwrap()
        .read(&mailbox("busy"), 1, 10, 100)
        .unwrap();
    assert_eq!(items.len(), 1);
}

#[test]
fn a_cursor_is_removed_and_begins_anew() {
    each(|store| {
        settled(store, batch("a", 1, "jobs", 5)).unwrap();
        use_cursor(store, "jobs", "one", 3);
        use_cursor(store, "jobs", "two", 4);
        let mut remove = |name: &str| {
            store
                .remove_cursor(&mailbox("jobs"), &name.parse().unwrap())
                .unwrap()
        };
        assert_eq!((remove("one"), remove("one")), (Removal::Done, Removal::Absent));
        let mut reader = store.reader().unwrap();
        let mut position = |name: &str| reader.position(&mailbox("jobs"), &name.parse().unwrap()).unwrap();
        assert!(position("one").is_none());
        assert_eq!(position("two").unwrap().committed, 4);
    });
}

/// One key filled all ten thousand in half a second, for good, and `inbox` was refused as well.
#[test]
fn a_store_full_of_mailboxes_has_inbox_and_what_was_removed_makes_room() {
    each(|store| {
        // Of as many keys: one alone does not get all.
        let fill: Vec<Batch> = (0..MAX_MAILBOXES)
            .map(|number| {
                let mut key = [2; 32];
                key[..8].copy_from_slice(&number.to_be_bytes());
                let mut one = batch("s", 1, &format!("junk/{number}"), 1);
                one.sender = Sender::Key(Fingerprint::from_bytes(key));
                one
            })
            .collect();
        store.deposit(&fill, 1_000).unwrap();
        let more = |name: &str| batch(name, 1, name, 1);
        assert_eq!(
            settled(store, more("another")),
            Err(RefusalCode::TooManyMailboxes)
        );
        assert_eq!(settled(store, more("inbox")), Ok((1, false)));
        assert_eq!(settled(store, more("dead/worker")), Ok((1, false)));
        for number in 0..3 {
            assert_eq!(remove(store, &format!("junk/{number}")), Removal::Done);
        }
        assert_eq!(settled(store, batch("another", 2, "another", 1)), Ok((1, false)));
        assert_eq!(
            settled(store, batch("x", 1, "yet-another", 1)),
            Err(RefusalCode::TooManyMailboxes)
        );
    });
}

/// What a key has made counts against it after a start too, until it is removed.
#[test]
fn a_share_of_the_mailboxes_outlives_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let open = || SqliteStore::open(folder.path().join("store.db"), SqliteOptions::default()).unwrap();
    let made = |store: &mut dyn Store, number: usize| {
        settled(
            store,
            batch(&format!("s{number}"), 1, &format!("junk/{number}"), 1),
        )
        .is_ok()
    };
    let mut store = open();
    let many: Vec<Batch> = (0..MAX_MAILBOXES)
        .map(|number| batch(&number.to_string(), 1, &format!("junk/{number}"), 1))
        .collect();
    store.deposit(&many, 1_000).unwrap();
    assert_eq!(names(&store).len(), MAX_MAILBOXES / 2);
    drop(store);
    let mut store = open();
    assert!(!made(&mut store, MAX_MAILBOXES));
    for number in 0..2 {
        assert_eq!(remove(&mut store, &format!("junk/{number}")), Removal::Done);
    }
    assert!(made(&mut store, MAX_MAILBOXES));
    let mut other = batch("t", 1, "other", 1);
    other.sender = Sender::Anonymous;
    assert!(settled(&mut store, other).is_ok());
}
