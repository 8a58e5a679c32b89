//! Datagrams over a network that loses, doubles, delays and reorders them, into a real store whose clock is
//! wrong by years: what has a receipt is there
//! once, where it says, in the order of its producer.
//!
//! Each history is drawn from a seed. `TENFOUR_TEST_SEED=N` plays that one alone; `TENFOUR_TEST_LONG=1` plays many more.

use std::collections::BTreeMap;
use std::time::Duration;

use tenfour_checker::{Dice, Found, History, Observation, each_seed};
use tenfour_proto::datagram::{Client, Outcome as Answer, Receipt, Request, Verdict};
use tenfour_proto::native::ProducerKind;
use tenfour_proto::{Listener, MailboxName, Message, Moment, ProducerId, Sender, Source};
use tenfour_store::{Batch, BatchOutcome as Fate, MemoryStore, Store};

/// What is on its way, by the millisecond of its arrival.
#[derive(Default)]
struct Network {
    up: BTreeMap<(u64, u64), Vec<u8>>,
    down: BTreeMap<(u64, u64), Vec<u8>>,
    count: u64,
}

/// Lost, or there some time later, perhaps twice. `loss` is how many of ten.
fn throw(
    into: &mut BTreeMap<(u64, u64), Vec<u8>>,
    count: &mut u64,
    dice: &mut Dice,
    now: u64,
    loss: u64,
    bytes: &[u8],
) {
    for _ in 0..1 + u64::from(dice.one_in(5)) {
        if dice.below(10) >= loss {
            *count += 1;
            into.insert((now + dice.below(1_500), *count), bytes.to_vec());
        }
    }
}

/// The wall clock says anything from 1900 to 2100.
fn wrong_time(dice: &mut Dice) -> i64 {
    (dice.below(200 * 31_557_600) as i64 - 70 * 31_557_600) * 1_000_000
}

/// The server: the store's answer is the receipt; nothing is said of what came out of turn.
fn serve(store: &mut MemoryStore, dice: &mut Dice, datagram: &[u8]) -> Option<Vec<u8>> {
    let request = Request::decode(datagram).unwrap();
    let batch = Batch {
        sender: Sender::Datagram,
        producer: Some((request.producer, ProducerKind::OneShot)),
        epoch: 0,
        source: Source {
            listener: Listener::Datagram,
            address: None,
        },
        messages: vec![(request.sequence, Message::new(request.mailbox, request.body))],
    };
    let durability = store.durability();
    let Fate::Settled(stored) = store.deposit(&[batch], wrong_time(dice)).unwrap().remove(0) else {
        panic!()
    };
    let settlement = stored.into_settlement();
    let verdict = match (settlement.runs.first(), settlement.refused.first()) {
        (Some(run), _) => Verdict::Stored {
            mailbox: run.mailbox.clone(),
            offset: run.offset,
            durability,
            duplicate: run.duplicate,
        },
        (None, Some(refusal)) => Verdict::Refused(refusal.code),
        (None, None) => return None,
    };
    let receipt = Receipt {
        producer: request.producer,
        sequence: request.sequence,
        verdict,
    };
    Some(receipt.encode())
}

fn play(dice: &mut Dice) -> u64 {
    let mut store = MemoryStore::default();
    let mut network = Network::default();
    let mut history = History::new();
    let loss = dice.below(8);
    let mut now = 0;
    for name in ["s1", "s2"] {
        for sequence in 1..=1 + dice.below(6) {
            let body = format!("{name} {sequence}");
            history.send(name, sequence, "inbox", body.as_bytes());
            let request = Request {
                producer: ProducerId::of_key(name),
                sequence,
                mailbox: MailboxName::inbox(),
                body: body.into_bytes().into(),
            };
            let at = |now| Moment::after_start(Duration::from_millis(now));
            let mut client = Client::new(request, at(now), at(now + 20_000));
            // Milliseconds pass; datagrams of earlier messages are still on their way.
            let answer = loop {
                if let Some(bytes) = client.poll_transmit(at(now)) {
                    throw(&mut network.up, &mut network.count, dice, now, loss, &bytes);
                }
                while let Some(entry) = network.up.first_entry().filter(|entry| entry.key().0 <= now) {
                    if let Some(answer) = serve(&mut store, dice, &entry.remove()) {
                        throw(&mut network.down, &mut network.count, dice, now, loss, &answer);
                    }
                }
                let mut answer = client.handle_timeout(at(now));
                while let Some(entry) = network.down.first_entry().filter(|entry| entry.key().0 <= now) {
                    answer = client.handle_datagram(&entry.remove()).or(answer);
                }
                if let Some(answer) = answer {
                    break answer;
                }
                now += 1;
            };
            let outcome = match answer {
                Answer::Answered(Verdict::Stored { mailbox, offset, .. }) => Observation::Receipt {
                    mailbox: mailbox.to_string(),
                    offset,
                },
                Answer::Answered(Verdict::Refused(_)) => Observation::NotStored,
                Answer::NoAnswer => Observation::Unknown,
            };
            let stuck = outcome == Observation::Unknown;
            history.hear(name, sequence, outcome);
            if stuck {
                // What follows would come out of turn.
                break;
            }
        }
    }
    // What is still on its way arrives as well.
    for datagram in std::mem::take(&mut network.up).into_values() {
        let _ = serve(&mut store, dice, &datagram);
    }
    let items = store
        .reader()
        .unwrap()
        .read(&MailboxName::inbox(), 1, 1_000, u64::MAX)
        .unwrap();
    let verdict = history.check(items.into_iter().map(|item| {
        Found {
            mailbox: "inbox".to_owned(),
            offset: item.offset,
            producer: String::from_utf8_lossy(&item.message.body)
                .split(' ')
                .next()
                .unwrap()
                .to_owned(),
            sequence: item.sequence,
            body: item.message.body.to_vec(),
        }
    }));
    assert!(verdict.is_clean(), "{verdict}");
    verdict.receipted
}

#[test]
fn what_has_a_receipt_is_there_once_whatever_the_network_does() {
    let mut receipted = 0;
    each_seed(2_000, 100_000, |dice| receipted += play(dice));
    assert!(receipted > 0);
}
