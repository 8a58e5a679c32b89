//! Rot: bits that flip and files that end too early, in the store and in its log. Whatever is read is as it was stored,
//! and what `check` says nothing about is all there.
//!
//! Each damage is drawn from a seed. `TENFOUR_TEST_SEED=N` does that one alone; `TENFOUR_TEST_LONG=1` does many more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempfile::TempDir;
use tenfour_checker::{Dice, each_seed};
use tenfour_proto::native::ProducerKind;
use tenfour_proto::{Item, Listener, MailboxName, Message, ProducerId, Sender, Source};
use tenfour_store::{Batch, SqliteOptions, SqliteStore, Store, check};

type Content = BTreeMap<MailboxName, Vec<Item>>;

const MAILBOXES: [&str; 3] = ["a", "b", "b/c"];
const PRODUCERS: u64 = 5;
const BATCHES: u64 = 8;

/// Five messages of a producer; there are 200 in all.
fn batch(producer: u64, number: u64) -> Batch {
    let messages = (1..=5).map(|n| {
        let sequence = number * 5 + n;
        let mailbox = MAILBOXES[(sequence % 3) as usize];
        // So long that messages have pages of their own, which are missed where a file ends too early.
        let body = Bytes::from(format!("message {sequence:0>1000} of stream {producer}"));
        (sequence, Message::new(mailbox.parse().unwrap(), body))
    });
    Batch {
        sender: Sender::Anonymous,
        producer: Some((ProducerId::of_key(&producer.to_string()), ProducerKind::OneShot)),
        epoch: 0,
        source: Source {
            listener: Listener::Native,
            address: None,
        },
        messages: messages.collect(),
    }
}

fn deposit_all(
    store: &mut SqliteStore,
    batches: std::ops::Range<u64>,
) -> Result<(), tenfour_store::StoreError> {
    let all: Vec<_> = batches
        .flat_map(|number| (0..PRODUCERS).map(move |producer| batch(producer, number)))
        .collect();
    store.deposit(&all, 1_000)?;
    Ok(())
}

fn open(path: &Path) -> Result<SqliteStore, tenfour_store::OpenError> {
    SqliteStore::open(path, SqliteOptions::default())
}

/// What can be read, up to whatever cannot.
fn content(store: &SqliteStore) -> Content {
    let mut content = Content::new();
    let Ok(mut reader) = store.reader() else {
        return content;
    };
    for mailbox in MAILBOXES {
        let mailbox: MailboxName = mailbox.parse().unwrap();
        let found = content.entry(mailbox.clone()).or_default();
        let mut from = 1;
        // A reader that is told of a damaged message goes on behind it.
        while from <= 200 {
            match reader.read(&mailbox, from, 1, u64::MAX) {
                Ok(items) => match items.into_iter().next() {
                    Some(item) => {
                        from = item.offset + 1;
                        found.push(item);
                    }
                    None => break,
                },
                Err(_) => from += 1,
            }
        }
    }
    content
}

/// A store of 200 messages, half of them in its log, as a crash would leave it.
struct Original {
    store: Vec<u8>,
    log: Vec<u8>,
    content: Content,
}

impl Original {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let mut store = open(&path).unwrap();
        deposit_all(&mut store, 0..BATCHES / 2).unwrap();
        drop(store);
        let mut store = open(&path).unwrap();
        for number in BATCHES / 2..BATCHES {
            deposit_all(&mut store, number..number + 1).unwrap();
        }
        let mut log = std::fs::read(log_of(&path)).unwrap();
        // It is as long as it may become; what was not written yet is zero.
        let written = log.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        log.truncate(written);
        let original = Original {
            store: std::fs::read(&path).unwrap(),
            log,
            content: content(&store),
        };
        let count: usize = original.content.values().map(Vec::len).sum();
        assert_eq!(count, 200);
        original
    }
}

fn log_of(path: &Path) -> PathBuf {
    path.with_extension("db-wal")
}

/// What has happened in all of them.
#[derive(Debug, Default)]
struct Tally {
    named: u64,
    refused: u64,
    without_consequence: u64,
}

fn damage(original: &Original, dice: &mut Dice, tally: &mut Tally) {
    let (mut store, mut log) = (original.store.clone(), original.log.clone());
    let is_log = dice.one_in(3);
    let file = if is_log { &mut log } else { &mut store };
    let at = dice.below(file.len() as u64) as usize;
    if dice.one_in(4) {
        file.truncate(at);
    } else {
        file[at] ^= 1 << dice.below(8);
    }
    let folder: TempDir = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    std::fs::write(&path, store).unwrap();
    std::fs::write(log_of(&path), log).unwrap();

    let mut findings = 0;
    let is_named = check(&path, |_| findings += 1, |_| {}).is_err() || findings > 0;
    let Ok(mut opened) = open(&path) else {
        tally.refused += 1;
        assert!(is_named, "what cannot be opened is not as it should be");
        return;
    };
    let found = content(&opened);
    for (mailbox, items) in &found {
        for item in items {
            let stored = &original.content[mailbox][item.offset as usize - 1];
            assert_eq!(item, stored, "read is what was stored");
        }
    }
    let repeated = deposit_all(&mut opened, 0..BATCHES);
    if is_named {
        tally.named += 1;
        return;
    }
    tally.without_consequence += 1;
    if is_log {
        // A log that ends in the middle is what a crash leaves; so are lost messages that nobody has a receipt for. For
        // the others there is the sender, who is told of a server that went back.
        for (mailbox, items) in &found {
            assert_eq!(items[..], original.content[mailbox][..items.len()]);
        }
    } else {
        assert_eq!(found, original.content);
    }
    // Whoever repeats all of it finds it there once.
    repeated.unwrap();
    let bodies = |content: &Content| -> Vec<Bytes> {
        let mut all: Vec<_> = content
            .values()
            .flatten()
            .map(|item| item.message.body.clone())
            .collect();
        all.sort();
        all
    };
    assert_eq!(bodies(&content(&opened)), bodies(&original.content));
}

#[test]
fn nothing_wrong_is_read_as_right() {
    let original = Original::new();
    let mut tally = Tally::default();
    let is_all = each_seed(500, 10_000, |dice| damage(&original, dice, &mut tally));
    let all = [tally.named, tally.refused, tally.without_consequence];
    assert!(!is_all || all.iter().all(|count| *count > 10), "{tally:?}");
}
