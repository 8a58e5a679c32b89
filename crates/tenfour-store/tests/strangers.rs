//! What senders without a key may use up, and what they may not.

use bytes::Bytes;
use tenfour_proto::native::ProducerKind;
use tenfour_proto::{Fingerprint, Listener, MailboxName, Message, ProducerId, Sender, Source, TemporaryCode};
use tenfour_store::{
    Batch, BatchOutcome, DEFAULT_MEMORY_LIMIT, MAX_DATAGRAM_PRODUCERS, MemoryStore, Retain, Rules,
    SqliteOptions, SqliteStore, Store,
};

const SOURCE: Source = Source {
    listener: Listener::Datagram,
    address: None,
};

/// Runs one conversation with each kind of store, in which strangers may hold so much.
fn each(quota: u64, conversation: impl Fn(&mut dyn Store)) {
    conversation(&mut MemoryStore::new(DEFAULT_MEMORY_LIMIT).with_anonymous_quota(quota));
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions {
        anonymous_quota: Some(quota),
        ..SqliteOptions::default()
    };
    conversation(&mut SqliteStore::open(folder.path().join("store.db"), options).unwrap());
}

fn batch(sender: Sender, producer: Option<u64>, sequence: u64, body: &str) -> Batch {
    let message = Message::new(MailboxName::inbox(), Bytes::copy_from_slice(body.as_bytes()));
    Batch {
        sender,
        producer: producer.map(|number| (ProducerId::of_key(&number.to_string()), ProducerKind::OneShot)),
        epoch: 0,
        source: SOURCE,
        messages: vec![(sequence, message)],
    }
}

/// The offset of the only message, and whether it had been stored before.
fn settled(store: &mut dyn Store, batch: Batch) -> Option<(u64, bool)> {
    match store.deposit(&[batch], 1_000).unwrap().remove(0) {
        BatchOutcome::Settled(stored) => {
            let run = stored.into_settlement().runs.pop();
            run.map(|run| (run.offset, run.duplicate))
        }
        BatchOutcome::NotNow(TemporaryCode::Full) => None,
        BatchOutcome::NotNow(code) => panic!("not now: {code}"),
        BatchOutcome::TakenOver => panic!("taken over"),
    }
}

/// A third of a second of made-up streams kept every new device out for a day.
#[test]
fn nobody_uses_up_the_producers_of_datagrams() {
    each(u64::MAX, |store| {
        // A device that is in use.
        assert_eq!(
            settled(store, batch(Sender::Datagram, Some(0), 1, "one")),
            Some((1, false))
        );
        assert_eq!(
            settled(store, batch(Sender::Datagram, Some(0), 2, "two")),
            Some((2, false))
        );
        let flood: Vec<u64> = (1..=MAX_DATAGRAM_PRODUCERS + 10).collect();
        for numbers in flood.chunks(4_096) {
            let batches: Vec<Batch> = numbers
                .iter()
                .map(|number| batch(Sender::Datagram, Some(*number), 1, ""))
                .collect();
            for outcome in store.deposit(&batches, 1_000).unwrap() {
                assert!(matches!(outcome, BatchOutcome::Settled(_)), "{outcome:?}");
            }
        }
        let next = MAX_DATAGRAM_PRODUCERS + 13;
        // It keeps its mark: a repeat is one, and the next message is the next.
        assert_eq!(
            settled(store, batch(Sender::Datagram, Some(0), 2, "two")),
            Some((2, true))
        );
        assert_eq!(
            settled(store, batch(Sender::Datagram, Some(0), 3, "three")),
            Some((next, false))
        );
        // A new one is let in, and so is what has no producer.
        let new = batch(Sender::Datagram, Some(u64::MAX), 1, "new");
        assert_eq!(settled(store, new.clone()), Some((next + 1, false)));
        assert_eq!(settled(store, new), Some((next + 1, true)));
        let plain = batch(Sender::Anonymous, None, 1, "plain");
        assert_eq!(settled(store, plain), Some((next + 2, false)));
    });
}

/// Empty lines filled the disk while the quota counted 498 bytes.
#[test]
fn the_quota_counts_what_a_message_costs() {
    each(100_000, |store| {
        let mut stored = 0;
        while settled(store, batch(Sender::Anonymous, None, 1, "")).is_some() {
            stored += 1;
            assert!(stored < 10_000, "empty messages cost nothing");
        }
        assert!(stored > 500, "{stored}");
        // Names and types count, and so does a producer that nobody knew.
        let mut named = batch(Sender::Anonymous, None, 1, "");
        named.messages[0].1.name = Some("x".repeat(200).parse().unwrap());
        assert_eq!(settled(store, named), None);
        assert_eq!(settled(store, batch(Sender::Datagram, Some(1), 1, "")), None);
        // Those whom somebody knows are not concerned.
        let key = Sender::Key(Fingerprint::from_bytes([1; 32]));
        assert!(settled(store, batch(key, Some(1), 1, "known")).is_some());
    });
}

/// What is counted when the store is opened is what was counted when it was stored.
#[test]
fn the_quota_is_the_same_after_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let open = |quota| {
        let options = SqliteOptions {
            anonymous_quota: Some(quota),
            ..SqliteOptions::default()
        };
        SqliteStore::open(&path, options).unwrap()
    };
    let mut store = open(10_000);
    let message = |number| {
        let mut batch = batch(Sender::Datagram, Some(number), 1, "body");
        batch.messages[0].1.name = Some("größe".parse().unwrap());
        batch.messages[0].1.content_type = Some("text/plain".parse().unwrap());
        batch
    };
    let mut stored = 0;
    while settled(&mut store, message(stored)).is_some() {
        stored += 1;
    }
    drop(store);
    assert_eq!(settled(&mut open(10_000), message(stored)), None);
    // There was room for so many, and for one more there is room now.
    let each = 10_000 / stored;
    assert!(settled(&mut open(10_000 + each), message(stored)).is_some());
}

/// With `--retain inbox=4M` a stranger's 30 MB pushed out a key's message that nobody had read.
#[test]
fn strangers_push_out_their_own_messages_and_no_keys() {
    const LIMIT: u64 = 20_000;
    let rules = || -> Rules {
        Box::new(|mailbox| Retain {
            bytes: (*mailbox == MailboxName::inbox()).then_some(LIMIT),
            ..Retain::FOREVER
        })
    };
    let folder = tempfile::tempdir().unwrap();
    let mut memory = MemoryStore::new(DEFAULT_MEMORY_LIMIT);
    memory.retain(rules());
    let mut sqlite = SqliteStore::open(folder.path().join("store.db"), SqliteOptions::default()).unwrap();
    sqlite.retain(rules());
    for store in [&mut memory as &mut dyn Store, &mut sqlite] {
        let text = "x".repeat(100);
        let key = Sender::Key(Fingerprint::from_bytes([1; 32]));
        let tidy = |store: &mut dyn Store| while store.tidy().unwrap() {};
        let first = |store: &mut dyn Store| {
            let inbox = store.reader().unwrap().mailbox(&MailboxName::inbox());
            inbox.unwrap().unwrap().first
        };
        // Alone they have all of it, and the newest stay.
        for _ in 0..300 {
            assert!(settled(store, batch(Sender::Anonymous, None, 1, &text)).is_some());
            tidy(store);
        }
        let (known, _) = settled(store, batch(key.clone(), Some(1), 1, "a key's")).unwrap();
        let mut stored = 0;
        while settled(store, batch(Sender::Anonymous, None, 1, &text)).is_some() {
            tidy(store);
            stored += 1;
            assert!(
                stored <= 2 * LIMIT / 100,
                "what is beside the key's message grows without end"
            );
        }
        assert_eq!(first(store), known, "theirs went, and the key's did not");
        // Elsewhere they go on.
        let mut elsewhere = batch(Sender::Anonymous, None, 1, &text);
        elsewhere.messages[0].1.mailbox = "elsewhere".parse().unwrap();
        assert!(settled(store, elsewhere).is_some());
        // Keys push out whatever is oldest, and make room for strangers by it.
        for sequence in 2..=3 * LIMIT / 100 {
            assert!(settled(store, batch(key.clone(), Some(1), sequence, &text)).is_some());
            tidy(store);
        }
        assert!(first(store) > known);
        assert!(settled(store, batch(Sender::Anonymous, None, 1, &text)).is_some());
    }
}

/// A count of all producers held everybody up for seconds at each start. One that is not counted must be found all the same.
#[test]
fn the_producers_of_a_sender_have_a_ceiling_after_a_start_too() {
    let folder = tempfile::tempdir().unwrap();
    let open = || SqliteStore::open(folder.path().join("store.db"), SqliteOptions::default()).unwrap();
    let numbers: Vec<u64> = (0..MAX_DATAGRAM_PRODUCERS).collect();
    let mut store = open();
    for numbers in numbers.chunks(8_192) {
        let batches: Vec<Batch> = numbers
            .iter()
            .map(|number| batch(Sender::Datagram, Some(*number), 1, ""))
            .collect();
        store.deposit(&batches, 1_000).unwrap();
    }
    drop(store);
    let mut store = open();
    let new = batch(Sender::Datagram, Some(MAX_DATAGRAM_PRODUCERS), 1, "");
    assert!(settled(&mut store, new).is_some());
    // It took the place of the oldest: that one's repeat is a new message.
    let oldest = batch(Sender::Datagram, Some(0), 1, "");
    assert_eq!(
        settled(&mut store, oldest),
        Some((MAX_DATAGRAM_PRODUCERS + 2, false))
    );
    let kept = batch(Sender::Datagram, Some(MAX_DATAGRAM_PRODUCERS - 1), 1, "");
    assert_eq!(settled(&mut store, kept), Some((MAX_DATAGRAM_PRODUCERS, true)));
}
