//! Commits: what a store keeps and answers is what a naive model of it says.

use std::collections::{BTreeMap, HashMap};

use tenfour_checker::Dice;
use tenfour_proto::native::ProducerKind;
use tenfour_proto::{
    Fingerprint, Item, Listener, MailboxName, Message, Origin, ProducerId, RefusalCode, Reply, Sender,
    Settlement, Source,
};
use tenfour_store::{
    AckState, Batch, BatchOutcome, CursorChange, CursorOutcome, MemoryStore, Position, Store,
};

/// What senders without an identity may hold, in bytes that are charged: some twenty messages.
pub const QUOTA: u64 = 2_000;

const MAILBOXES: [&str; 3] = ["a", "b", "dead/worker"];
const BODIES: [&str; 4] = ["", "one", "other", "a longer one"];

/// Any commits at all, in memory.
pub fn commits(input: &[u8]) {
    let mut store = MemoryStore::default().with_anonymous_quota(QUOTA);
    play(
        &mut store,
        &mut Dice::of_bytes(input),
        1 + input.len() as u64 / 32,
    );
}

/// So many commits by chance, against a model.
pub fn play(store: &mut dyn Store, dice: &mut Dice, commits: u64) {
    let mut model = Model::default();
    for time in 0..commits.min(40) {
        let batches: Vec<Batch> = (0..dice.below(4)).map(|_| batch(dice, &model)).collect();
        let changes: Vec<CursorChange> = (0..dice.below(3)).map(|_| change(dice)).collect();
        let committed = store.commit(&batches, &changes, time as i64).unwrap();
        let mut full = false;
        for (batch, outcome) in batches.iter().zip(&committed.outcomes) {
            full |= batch.sender.is_synthetic() && model.held() + cost_of(batch) > QUOTA;
            match outcome {
                BatchOutcome::TakenOver => unreachable!("nobody claims"),
                BatchOutcome::NotNow(_) => assert!(full && batch.sender.is_synthetic(), "{batch:?}"),
                BatchOutcome::Settled(stored) => {
                    assert!(
                        !full || !batch.sender.is_synthetic(),
                        "beyond the quota: {batch:?}"
                    );
                    assert_eq!(spread(stored.settlement()), model.settle(batch), "{batch:?}");
                }
            }
        }
        let mut answered = Vec::new();
        for (change, outcome) in changes.iter().zip(&committed.cursors) {
            assert_eq!(*outcome, CursorOutcome::Moved);
            model.change(change, &mut answered);
        }
        let told = committed.answered.into_iter();
        let told: Vec<_> = told
            .map(|one| ((one.sender, one.producer, one.sequence), one.reply))
            .collect();
        assert_eq!(told, answered);
        model.compare(store);
    }
}

fn batch(dice: &mut Dice, model: &Model) -> Batch {
    let sender = match dice.below(3) {
        0 => Sender::Anonymous,
        1 => Sender::Datagram,
        _ => Sender::Key(Fingerprint::from_bytes([7; 32])),
    };
    let producer = (!dice.one_in(4)).then(|| {
        let id = ProducerId::of_key(if dice.one_in(2) { "p" } else { "q" });
        (id, ProducerKind::OneShot)
    });
    let known = producer.and_then(|(id, _)| model.producers.get(&(sender.clone(), id)));
    let mark = known.map_or(0, |known| known.high_water_mark);
    let mut sequence = (mark + dice.below(5)).saturating_sub(3);
    let messages = (0..1 + dice.below(6))
        .map(|_| {
            sequence += if dice.one_in(6) { 2 } else { 1 };
            let mailbox = MAILBOXES[dice.below(3) as usize].parse().unwrap();
            let body = BODIES[dice.below(4) as usize];
            let message = Message::new(mailbox, body);
            (sequence, if dice.one_in(3) { message.asking() } else { message })
        })
        .collect();
    Batch {
        sender,
        producer,
        epoch: 0,
        source: Source {
            listener: Listener::Native,
            address: None,
        },
        messages,
    }
}

fn change(dice: &mut Dice) -> CursorChange {
    let committed = dice.below(4);
    let some = |dice: &mut Dice| (0..dice.below(3)).map(|_| 1 + dice.below(8)).collect::<Vec<_>>();
    let out_of_order = some(dice).into_iter().map(|offset| {
        let state = AckState {
            attempts: offset as u32,
            done: offset % 2 == 0,
        };
        (committed + offset, state)
    });
    CursorChange {
        mailbox: MAILBOXES[dice.below(3) as usize].parse().unwrap(),
        name: "worker".parse().unwrap(),
        committed,
        out_of_order: out_of_order.collect(),
        bury: some(dice),
        answers: some(dice)
            .into_iter()
            .map(|offset| (offset, Reply::new(format!("to {offset}"))))
            .collect(),
        gives_back: false,
    }
}

/// What a message is charged: its body, its row, and the mark of a producer that nobody knew before.
fn cost(sequence: u64, message: &Message) -> u64 {
    message.body.len() as u64 + 64 + if sequence == 1 { 128 } else { 0 }
}

fn cost_of(batch: &Batch) -> u64 {
    let is_numbered = batch.producer.is_some();
    let costs = batch.messages.iter();
    costs
        .map(|(sequence, message)| cost(if is_numbered { *sequence } else { 0 }, message))
        .sum()
}

/// Where a message lies and whether it is a repeat, or why not.
type Answer = Result<(MailboxName, u64, bool), RefusalCode>;

/// A settlement message by message, with the last sequence that it settles.
fn spread(settlement: &Settlement) -> (u64, BTreeMap<u64, Answer>) {
    let mut answers = BTreeMap::new();
    for run in &settlement.runs {
        for index in 0..run.count {
            let place = (run.mailbox.clone(), run.offset + index, run.duplicate);
            assert_eq!(
                answers.insert(run.first + index, Ok(place)),
                None,
                "answered twice"
            );
        }
    }
    for refused in &settlement.refused {
        for index in 0..refused.count {
            assert_eq!(answers.insert(refused.first + index, Err(refused.code)), None);
        }
    }
    (settlement.settled, answers)
}

type Asked = (Sender, ProducerId, u64);

#[derive(Default)]
struct Model {
    producers: HashMap<(Sender, ProducerId), Producer>,
    mailboxes: BTreeMap<MailboxName, Vec<Kept>>,
    cursors: BTreeMap<MailboxName, Position>,
    replies: HashMap<Asked, Reply>,
}

#[derive(Default)]
struct Producer {
    high_water_mark: u64,
    receipts: BTreeMap<u64, (MailboxName, u64)>,
}

#[derive(Clone)]
struct Kept {
    sender: Sender,
    producer: ProducerId,
    sequence: u64,
    origin: Option<Origin>,
    message: Message,
}

impl Model {
    fn held(&self) -> u64 {
        let all = self.mailboxes.values().flatten();
        all.filter(|stored| stored.sender.is_synthetic())
            .map(|stored| cost(stored.sequence, &stored.message))
            .sum()
    }

    fn settle(&mut self, batch: &Batch) -> (u64, BTreeMap<u64, Answer>) {
        let mut answers = BTreeMap::new();
        let mut settled = 0;
        for (sequence, message) in &batch.messages {
            let sequence = *sequence;
            let numbered = batch.producer.map(|(id, _)| id);
            let mut unnumbered = Producer::default();
            let producer = match numbered {
                Some(id) => self.producers.entry((batch.sender.clone(), id)).or_default(),
                None => &mut unnumbered,
            };
            let is_known = numbered.is_some() && sequence <= producer.high_water_mark;
            if numbered.is_some()
                && batch.sender == Sender::Datagram
                && sequence > producer.high_water_mark + 1
            {
                continue;
            }
            settled = sequence;
            let answer = if !is_known {
                let mailbox = self.mailboxes.entry(message.mailbox.clone()).or_default();
                mailbox.push(Kept {
                    sender: batch.sender.clone(),
                    producer: numbered.unwrap_or(ProducerId::from_bytes([0; 16])),
                    sequence: if numbered.is_some() { sequence } else { 0 },
                    origin: None,
                    message: message.clone(),
                });
                let place = (message.mailbox.clone(), mailbox.len() as u64);
                producer.high_water_mark = sequence;
                producer.receipts.insert(sequence, place.clone());
                Ok((place.0, place.1, false))
            } else if let Some((mailbox, offset)) = producer.receipts.get(&sequence) {
                let stored = &self.mailboxes[mailbox][*offset as usize - 1].message;
                if stored == message {
                    Ok((mailbox.clone(), *offset, true))
                } else {
                    Err(RefusalCode::Conflict)
                }
            } else {
                Err(RefusalCode::RefusedEarlier)
            };
            answers.insert(sequence, answer);
        }
        (settled, answers)
    }

    fn change(&mut self, change: &CursorChange, answered: &mut Vec<(Asked, Reply)>) {
        let there = self.mailboxes.get(&change.mailbox).cloned().unwrap_or_default();
        let at = |offset: &u64| there.get(*offset as usize - 1);
        for offset in &change.bury {
            let Some(mut letter) = at(offset).cloned() else {
                continue;
            };
            letter.message.mailbox = change.name.dead_letters().clone();
            letter.origin.get_or_insert_with(|| Origin {
                mailbox: change.mailbox.clone(),
                offset: *offset,
            });
            let dead = self.mailboxes.entry(letter.message.mailbox.clone()).or_default();
            dead.push(letter);
        }
        let dead = change.bury.iter().map(|offset| (*offset, Reply::dead()));
        for (offset, reply) in change.answers.iter().cloned().chain(dead) {
            let Some(asked) = at(&offset).filter(|stored| stored.message.asks && stored.sequence > 0) else {
                continue;
            };
            let asked = (asked.sender.clone(), asked.producer, asked.sequence);
            if !self.replies.contains_key(&asked) {
                self.replies.insert(asked.clone(), reply.clone());
                answered.push((asked, reply));
            }
        }
        let position = self.cursors.entry(change.mailbox.clone()).or_default();
        position.committed = change.committed;
        position.out_of_order.extend(change.out_of_order.iter().copied());
        position
            .out_of_order
            .retain(|offset, _| *offset > change.committed);
    }

    /// All that can be asked of the store.
    fn compare(&self, store: &mut dyn Store) {
        let mut reader = store.reader().unwrap();
        for (mailbox, expected) in &self.mailboxes {
            let found = reader.read(mailbox, 1, usize::MAX, u64::MAX).unwrap();
            assert_eq!(found.len(), expected.len(), "{mailbox}");
            for ((offset, expected), found) in (1..).zip(expected).zip(&found) {
                assert_eq!(found.offset, offset);
                assert!(is_same(expected, found), "{mailbox} #{offset}: {found:?}");
            }
        }
        for (mailbox, expected) in &self.cursors {
            let found = reader.position(mailbox, &"worker".parse().unwrap()).unwrap();
            assert_eq!(found.as_ref(), Some(expected), "{mailbox}");
        }
        for ((sender, producer, sequence), expected) in &self.replies {
            let found = reader.reply(sender, *producer, *sequence).unwrap();
            assert_eq!(found.as_ref(), Some(expected));
        }
        for ((sender, producer), expected) in &self.producers {
            let mark = store.high_water_mark(sender, *producer).unwrap();
            assert_eq!(mark, expected.high_water_mark);
            let replayed = store.replay(sender, *producer, 0, usize::MAX).unwrap();
            let (settled, answers) = spread(replayed.settlement());
            assert_eq!(settled, mark);
            for sequence in 1..=mark {
                let expected = match expected.receipts.get(&sequence) {
                    Some((mailbox, offset)) => Ok((mailbox.clone(), *offset, true)),
                    None => Err(RefusalCode::RefusedEarlier),
                };
                assert_eq!(answers.get(&sequence), Some(&expected), "{sequence}");
            }
        }
    }
}

fn is_same(expected: &Kept, found: &Item) -> bool {
    found.sender == expected.sender
        && found.producer == expected.producer
        && found.sequence == expected.sequence
        && found.origin == expected.origin
        && found.message == expected.message
}
