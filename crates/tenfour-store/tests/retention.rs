//! What a mailbox need not keep goes from its old end, and nothing else does.

use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;
use tenfour_proto::native::ProducerKind;
use tenfour_proto::{Listener, MailboxName, Message, ProducerId, Sender, Source};
use tenfour_store::{
    Batch, BatchOutcome, Checked, CursorChange, Retain, SqliteOptions, SqliteStore, Store, check,
};

const SOURCE: Source = Source {
    listener: Listener::Native,
    address: None,
};

struct Kept {
    folder: TempDir,
    retain: Retain,
}

impl Kept {
    fn new(retain: Retain) -> Self {
        Kept {
            folder: tempfile::tempdir().unwrap(),
            retain,
        }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("store.db")
    }

    fn open(&self) -> SqliteStore {
        let mut store = SqliteStore::open(self.path(), SqliteOptions::default()).unwrap();
        let retain = self.retain;
        let other: MailboxName = "other".parse().unwrap();
        store.retain(Box::new(move |mailbox| {
            if *mailbox == other {
                Retain::FOREVER
            } else {
                retain
            }
        }));
        store
    }
}

fn pass_hours(path: &Path, hours: i64) {
    let connection = Connection::open(path).unwrap();
    connection
        .execute("UPDATE store SET hours = hours + ?1", [hours])
        .unwrap();
}

fn put(store: &mut SqliteStore, mailbox: &str, first: u64, count: u64, size: usize) -> BatchOutcome {
    let message = Message::new(mailbox.parse().unwrap(), vec![b'x'; size]);
    let batch = Batch {
        sender: Sender::Anonymous,
        producer: Some((ProducerId::of_key(mailbox), ProducerKind::OneShot)),
        epoch: 0,
        source: SOURCE,
        messages: (first..first + count)
            .map(|sequence| (sequence, message.clone()))
            .collect(),
    };
    store.deposit(&[batch], 1).unwrap().remove(0)
}

fn tidy(store: &mut SqliteStore) {
    while store.tidy().unwrap() {}
}

/// First and last offset.
fn range(store: &SqliteStore, mailbox: &str) -> (u64, u64) {
    let all = store.reader().unwrap().mailboxes().unwrap();
    let info = all.iter().find(|info| info.name.as_str() == mailbox).unwrap();
    (info.first, info.last)
}

fn read_to(store: &mut SqliteStore, committed: u64) {
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
}

#[test]
fn the_oldest_go_while_there_are_too_many_bytes() {
    let kept = Kept::new(Retain {
        bytes: Some(1_000),
        ..Retain::FOREVER
    });
    let mut store = kept.open();
    for mailbox in ["inbox", "other"] {
        put(&mut store, mailbox, 1, 5_000, 10);
    }
    tidy(&mut store);
    assert_eq!(range(&store, "inbox"), (4_901, 5_000));
    assert_eq!(range(&store, "other"), (1, 5_000));
    // A repeat of what is gone is still a repeat, and the next offset is a new one.
    let BatchOutcome::Settled(stored) = put(&mut store, "inbox", 1, 1, 10) else {
        panic!()
    };
    let run = &stored.settlement().runs[0];
    assert!(run.duplicate && run.offset == 1);
    put(&mut store, "inbox", 5_001, 200, 10);
    tidy(&mut store);
    assert_eq!(range(&store, "inbox"), (5_101, 5_200));
    drop(store);
    let found = check(&kept.path(), |finding| panic!("{finding}"), |_| ()).unwrap();
    assert!(
        matches!(
            found,
            Checked {
                messages: 5_100,
                findings: 0,
                ..
            }
        ),
        "{found:?}"
    );
}

#[test]
fn what_is_too_old_goes_by_the_hours_of_the_store() {
    let kept = Kept::new(Retain {
        hours: Some(24),
        ..Retain::FOREVER
    });
    let mut store = kept.open();
    put(&mut store, "inbox", 1, 10, 1);
    put(&mut store, "other", 1, 10, 1);
    // Wall clocks say nothing: these were stored in 1970.
    tidy(&mut store);
    drop(store);
    pass_hours(&kept.path(), 20);
    let mut store = kept.open();
    put(&mut store, "inbox", 11, 10, 1);
    tidy(&mut store);
    assert_eq!(range(&store, "inbox"), (1, 20));
    drop(store);
    pass_hours(&kept.path(), 4);
    let mut store = kept.open();
    tidy(&mut store);
    assert_eq!(range(&store, "inbox"), (1, 20), "not a moment too early");
    drop(store);
    pass_hours(&kept.path(), 1);
    let mut store = kept.open();
    tidy(&mut store);
    assert_eq!(range(&store, "inbox"), (11, 20));
    drop(store);
    pass_hours(&kept.path(), 20);
    let mut store = kept.open();
    tidy(&mut store);
    assert_eq!(range(&store, "inbox"), (21, 20), "all of it");
    assert_eq!(range(&store, "other"), (1, 10));
    put(&mut store, "inbox", 21, 1, 1);
    assert_eq!(range(&store, "inbox"), (21, 21));
}

#[test]
fn what_a_cursor_has_not_passed_stays() {
    let rule = Retain {
        bytes: Some(10),
        ..Retain::FOREVER
    };
    let kept = Kept::new(rule);
    let mut store = kept.open();
    put(&mut store, "inbox", 1, 100, 1);
    read_to(&mut store, 30);
    tidy(&mut store);
    assert_eq!(range(&store, "inbox"), (31, 100));
    read_to(&mut store, 60);
    tidy(&mut store);
    assert_eq!(range(&store, "inbox"), (61, 100));
    drop(store);
    // One that nobody uses any more holds nothing back.
    pass_hours(&kept.path(), 720);
    let mut store = kept.open();
    tidy(&mut store);
    assert_eq!(range(&store, "inbox"), (91, 100));
    // And somebody may say that it does not matter.
    let kept = Kept::new(Retain { unread: true, ..rule });
    let mut store = kept.open();
    put(&mut store, "inbox", 1, 100, 1);
    read_to(&mut store, 30);
    tidy(&mut store);
    assert_eq!(range(&store, "inbox"), (91, 100));
}
