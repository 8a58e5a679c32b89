//! Compares what was sent and what was said about it with what is there in the end.
//!
//! A [`History`] takes each message with its identity and each answer; [`History::check`] takes the final content and
//! says what does not fit the promises. It knows nothing of how either was made, so that one checker serves every test:
//! crashes, power cuts, broken networks, simulations.

#![forbid(unsafe_code)]

mod dice;
mod port;
mod rounds;

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

pub use dice::Dice;
pub use port::free_address;
pub use rounds::{each_seed, is_long, rounds, seed};

/// Findings of each kind that are kept in words; the others are only counted.
const EXAMPLES: usize = 5;

/// What was heard of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// A receipt: it is there, in this mailbox, at this offset.
    Receipt {
        /// The mailbox.
        mailbox: String,
        /// The offset.
        offset: u64,
    },
    /// It is not there: refused, or never sent.
    NotStored,
    /// Nobody knows.
    Unknown,
}

/// A message as it lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its mailbox.
    pub mailbox: String,
    /// Its offset.
    pub offset: u64,
    /// Its producer, by whatever name the history has it.
    pub producer: String,
    /// Its place among the messages of the producer.
    pub sequence: u64,
    /// What it says.
    pub body: Vec<u8>,
}

/// How a promise can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Breach {
    /// There is a receipt, and no message.
    Lost,
    /// The same identity is there more than once.
    Duplicated,
    /// A later message of a producer lies before an earlier one in the same mailbox.
    Reordered,
    /// Nobody sent it, or it was said that it is not there.
    Unexpected,
    /// The identity is there with another content.
    Conflicting,
    /// It lies elsewhere than its receipt says, or two receipts for it differ.
    Moved,
    /// A receipt names a place where another message lies.
    FalselyReceipted,
    /// An offset is left out, or there twice.
    Gap,
}

impl Breach {
    /// All of them.
    pub const ALL: [Breach; 8] = [
        Breach::Lost,
        Breach::Duplicated,
        Breach::Reordered,
        Breach::Unexpected,
        Breach::Conflicting,
        Breach::Moved,
        Breach::FalselyReceipted,
        Breach::Gap,
    ];

    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Breach::Lost => "lost",
            Breach::Duplicated => "twice",
            Breach::Reordered => "out of order",
            Breach::Unexpected => "unexpected",
            Breach::Conflicting => "other content",
            Breach::Moved => "moved",
            Breach::FalselyReceipted => "falsely receipted",
            Breach::Gap => "gaps",
        }
    }
}

/// What was sent, and what was heard of it.
#[derive(Clone, Debug, Default)]
pub struct History {
    producers: HashMap<String, u32>,
    sent: HashMap<(u32, u64), Sent>,
    /// How far each mailbox was emptied from its old end.
    gone: HashMap<String, u64>,
    breaches: Verdict,
}

#[derive(Clone, Debug)]
struct Sent {
    digest: u64,
    mailbox: String,
    receipt: Option<(String, u64)>,
    not_stored: bool,
}

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Messages that were sent.
    pub sent: u64,
    /// Messages with a receipt.
    pub receipted: u64,
    /// Messages that are there.
    pub stored: u64,
    counts: HashMap<Breach, u64>,
    examples: Vec<String>,
}

impl Verdict {
    /// How often a promise was broken that way.
    pub fn count(&self, breach: Breach) -> u64 {
        self.counts.get(&breach).copied().unwrap_or(0)
    }

    /// No promise was broken.
    pub fn is_clean(&self) -> bool {
        self.counts.values().all(|count| *count == 0)
    }

    fn add(&mut self, breach: Breach, words: impl FnOnce() -> String) {
        let count = self.counts.entry(breach).or_default();
        *count += 1;
        if *count <= EXAMPLES as u64 {
            self.examples.push(format!("{}: {}", breach.as_str(), words()));
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} sent, {} receipted, {} stored",
            self.sent, self.receipted, self.stored
        )?;
        for breach in Breach::ALL {
            write!(f, ", {} {}", self.count(breach), breach.as_str())?;
        }
        for example in &self.examples {
            write!(f, "\n  {example}")?;
        }
        Ok(())
    }
}

fn digest(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    hasher.finish()
}

impl History {
    /// A history in which nothing has happened.
    pub fn new() -> Self {
        Self::default()
    }

    fn producer(&mut self, name: &str) -> u32 {
        match self.producers.get(name) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.producers.len()).unwrap_or(u32::MAX);
                self.producers.insert(name.to_owned(), number);
                number
            }
        }
    }

    /// A message is sent. A repeat is sent again; with another content it is a message that must be refused, so it is
    /// not to be told here.
    pub fn send(&mut self, producer: &str, sequence: u64, mailbox: &str, body: &[u8]) {
        let producer = self.producer(producer);
        self.sent.entry((producer, sequence)).or_insert_with(|| Sent {
            digest: digest(body),
            mailbox: mailbox.to_owned(),
            receipt: None,
            not_stored: false,
        });
    }

    /// Something was heard of a message.
    pub fn hear(&mut self, producer: &str, sequence: u64, outcome: Observation) {
        let number = self.producer(producer);
        let Some(sent) = self.sent.get_mut(&(number, sequence)) else {
            let words = || format!("an answer to message {sequence} of {producer}, which was never sent");
            return self.breaches.add(Breach::FalselyReceipted, words);
        };
        match outcome {
            Observation::Receipt { mailbox, offset } => {
                let now = (mailbox, offset);
                match &sent.receipt {
                    Some(before) if *before != now => {
                        let words = format!(
                            "message {sequence} of {producer} has receipts for {} #{} and {} #{}",
                            before.0, before.1, now.0, now.1
                        );
                        self.breaches.add(Breach::Moved, || words);
                    }
                    _ => sent.receipt = Some(now),
                }
            }
            // A later answer may know better: the next process repeats what the one before gave up.
            Observation::NotStored => sent.not_stored = true,
            Observation::Unknown => {}
        }
    }

    /// The messages of a mailbox up to that offset were kept long enough: they need not be there.
    pub fn let_go(&mut self, mailbox: &str, last: u64) {
        let gone = self.gone.entry(mailbox.to_owned()).or_default();
        *gone = last.max(*gone);
    }

    /// Messages that have a receipt.
    pub fn receipted(&self) -> u64 {
        self.sent.values().filter(|sent| sent.receipt.is_some()).count() as u64
    }

    /// Compares with what is there: every mailbox, in the order of offsets, from the first message on.
    pub fn check(&self, content: impl IntoIterator<Item = Found>) -> Verdict {
        let mut verdict = Verdict {
            sent: self.sent.len() as u64,
            receipted: self.receipted(),
            ..self.breaches.clone()
        };
        let names: HashMap<u32, &str> = self
            .producers
            .iter()
            .map(|(name, number)| (*number, name.as_str()))
            .collect();
        let called = |identity: &(u32, u64)| {
            format!(
                "message {} of {}",
                identity.1,
                names.get(&identity.0).unwrap_or(&"?")
            )
        };
        let mut there: HashMap<(u32, u64), (String, u64)> = HashMap::new();
        let mut last: HashMap<(u32, String), u64> = HashMap::new();
        let mut offsets: HashMap<String, u64> = HashMap::new();
        let mut places: HashMap<(String, u64), (u32, u64)> = HashMap::new();
        for found in content {
            verdict.stored += 1;
            let place = || format!("{} #{}", found.mailbox, found.offset);
            let expected = offsets.entry(found.mailbox.clone()).or_default();
            if *expected > 0 && found.offset != *expected + 1 {
                verdict.add(Breach::Gap, || format!("{} after #{expected}", place()));
            }
            *expected = found.offset;
            let identity = self
                .producers
                .get(&found.producer)
                .map(|number| (*number, found.sequence));
            let Some((identity, sent)) =
                identity.and_then(|identity| Some((identity, self.sent.get(&identity)?)))
            else {
                verdict.add(Breach::Unexpected, || {
                    format!("{}: message {} of {}", place(), found.sequence, found.producer)
                });
                continue;
            };
            places.insert((found.mailbox.clone(), found.offset), identity);
            if sent.not_stored && sent.receipt.is_none() {
                verdict.add(Breach::Unexpected, || {
                    format!("{}: {} was said not to be stored", place(), called(&identity))
                });
            }
            if sent.digest != digest(&found.body) || sent.mailbox != found.mailbox {
                verdict.add(Breach::Conflicting, || {
                    format!("{}: {}", place(), called(&identity))
                });
            }
            let before = last.entry((identity.0, found.mailbox.clone())).or_default();
            if found.sequence < *before {
                verdict.add(Breach::Reordered, || {
                    format!("{}: {} after {before}", place(), called(&identity))
                });
            }
            *before = found.sequence;
            if let Some(first) = there.get(&identity) {
                verdict.add(Breach::Duplicated, || {
                    format!(
                        "{} at {} #{} and {}",
                        called(&identity),
                        first.0,
                        first.1,
                        place()
                    )
                });
                continue;
            }
            there.insert(identity, (found.mailbox.clone(), found.offset));
        }
        for (identity, sent) in &self.sent {
            let Some(receipt) = &sent.receipt else { continue };
            match there.get(identity) {
                Some(place) if place == receipt => {}
                Some(place) => verdict.add(Breach::Moved, || {
                    format!(
                        "{}: its receipt says {} #{}, it is at {} #{}",
                        called(identity),
                        receipt.0,
                        receipt.1,
                        place.0,
                        place.1
                    )
                }),
                None if self.gone.get(&receipt.0).is_some_and(|last| receipt.1 <= *last) => {}
                None => verdict.add(Breach::Lost, || {
                    format!("{} at {} #{}", called(identity), receipt.0, receipt.1)
                }),
            }
            if let Some(other) = places.get(receipt).filter(|other| *other != identity) {
                verdict.add(Breach::FalselyReceipted, || {
                    format!(
                        "{} at {} #{}, where {} lies",
                        called(identity),
                        receipt.0,
                        receipt.1,
                        called(other)
                    )
                });
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(offset: u64, sequence: u64, body: &str) -> Found {
        Found {
            mailbox: "inbox".into(),
            offset,
            producer: "s".into(),
            sequence,
            body: body.into(),
        }
    }

    fn receipt(offset: u64) -> Observation {
        Observation::Receipt {
            mailbox: "inbox".into(),
            offset,
        }
    }

    /// Three messages, the first two with receipts.
    fn three() -> History {
        let mut history = History::new();
        for (sequence, body) in [(1, "a"), (2, "b"), (3, "c")] {
            history.send("s", sequence, "inbox", body.as_bytes());
        }
        history.hear("s", 1, receipt(1));
        history.hear("s", 2, receipt(2));
        history.hear("s", 3, Observation::Unknown);
        history
    }

    #[test]
    fn what_nobody_knows_may_be_there_or_not() {
        let two = [found(1, 1, "a"), found(2, 2, "b")];
        let all = [two[0].clone(), two[1].clone(), found(3, 3, "c")];
        for content in [&two[..], &all[..]] {
            let verdict = three().check(content.to_vec());
            assert!(verdict.is_clean(), "{verdict}");
            assert_eq!(
                (verdict.sent, verdict.receipted, verdict.stored),
                (3, 2, content.len() as u64)
            );
        }
    }

    #[test]
    fn what_was_let_go_is_not_lost() {
        let mut history = three();
        history.let_go("inbox", 1);
        assert!(history.check([found(2, 2, "b")]).is_clean());
        assert_eq!(history.check([]).count(Breach::Lost), 1);
    }

    #[test]
    fn each_breach_is_seen() {
        let (a, b, c) = (found(1, 1, "a"), found(2, 2, "b"), found(3, 3, "c"));
        let refused = |mut history: History| {
            history.hear("s", 3, Observation::NotStored);
            history
        };
        let twice = |mut history: History| {
            history.hear("s", 1, receipt(7));
            history
        };
        for (history, content, breach) in [
            (three(), vec![a.clone()], Breach::Lost),
            (
                three(),
                vec![a.clone(), b.clone(), found(3, 2, "b")],
                Breach::Duplicated,
            ),
            (
                three(),
                vec![found(1, 2, "b"), found(2, 1, "a")],
                Breach::Reordered,
            ),
            (
                three(),
                vec![a.clone(), b.clone(), found(3, 9, "x")],
                Breach::Unexpected,
            ),
            (
                refused(three()),
                vec![a.clone(), b.clone(), c.clone()],
                Breach::Unexpected,
            ),
            (three(), vec![a.clone(), found(2, 2, "B")], Breach::Conflicting),
            (
                three(),
                vec![a.clone(), found(2, 3, "c"), found(3, 2, "b")],
                Breach::Moved,
            ),
            (twice(three()), vec![a.clone(), b.clone()], Breach::Moved),
            (
                three(),
                vec![a.clone(), found(2, 3, "c")],
                Breach::FalselyReceipted,
            ),
            (three(), vec![a.clone(), b.clone(), found(4, 3, "c")], Breach::Gap),
        ] {
            let verdict = history.check(content);
            assert!(verdict.count(breach) > 0, "{breach:?}: {verdict}");
        }
    }
}
