//! What a server says of messages it was given: stored where, or refused why.

use std::fmt;
use std::str::FromStr;

use crate::MailboxName;

/// How far a stored message is from being lost. A property of the store; ordered, more is safer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// In the server's memory: gone when the process ends.
    Memory,
    /// Given to the operating system: survives a crash of the process, not of the machine.
    Os,
    /// Flushed to stable storage: survives a crash of the machine.
    Disk,
}

impl Durability {
    /// The byte that stands for it on the wire.
    pub fn to_wire(self) -> u8 {
        match self {
            Durability::Memory => 0,
            Durability::Os => 1,
            Durability::Disk => 2,
        }
    }

    /// The durability that a byte of the wire stands for.
    pub fn from_wire(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Durability::Memory),
            1 => Some(Durability::Os),
            2 => Some(Durability::Disk),
            _ => None,
        }
    }

    /// `disk`, `os` or `memory`.
    pub fn as_str(self) -> &'static str {
        match self {
            Durability::Memory => "memory",
            Durability::Os => "os",
            Durability::Disk => "disk",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Durability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "disk" => Ok(Durability::Disk),
            "os" => Ok(Durability::Os),
            "memory" => Ok(Durability::Memory),
            other => Err(format!("`{other}` is none of `disk`, `os`, `memory`")),
        }
    }
}

/// A stretch of a producer that lies in one mailbox without a gap: sequence `first + i` is at
/// `offset + i`, for `i` below `count`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Sequence of the first message.
    pub first: u64,
    /// How many messages; at least one.
    pub count: u64,
    /// The mailbox they are in.
    pub mailbox: MailboxName,
    /// Offset of the first message.
    pub offset: u64,
    /// They had been stored before, and this is the first receipt again.
    pub duplicate: bool,
}

impl Run {
    /// Sequence of the last message.
    pub fn last(&self) -> u64 {
        self.first.saturating_add(self.count.saturating_sub(1))
    }

    /// The offset of `sequence`, if it lies in this run.
    pub fn offset_of(&self, sequence: u64) -> Option<u64> {
        (self.first..=self.last())
            .contains(&sequence)
            .then(|| self.offset.saturating_add(sequence - self.first))
    }
}

/// What became of a stretch of a producer: every sequence up to `settled` that was not settled
/// before is in exactly one run (stored) or in `refused`. *Settled is never success.*
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// The highest sequence that is settled now.
    pub settled: u64,
    /// What is stored, in the order of its sequences.
    pub runs: Vec<Run>,
    /// What is not and never will be, in the order of its sequences.
    pub refused: Vec<Refused>,
}

/// A stretch of a producer that is refused for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Sequence of the first message.
    pub first: u64,
    /// How many messages; at least one.
    pub count: u64,
    /// Why.
    pub code: RefusalCode,
}

impl Refused {
    /// One message.
    pub fn one(sequence: u64, code: RefusalCode) -> Self {
        Refused {
            first: sequence,
            count: 1,
            code,
        }
    }

    /// Sequence of the last message.
    pub fn last(&self) -> u64 {
        self.first.saturating_add(self.count.saturating_sub(1))
    }
}

/// One piece of a [`Settlement`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled<'a> {
    /// These are stored.
    Stored(&'a Run),
    /// These are not.
    Refused(&'a Refused),
}

impl Settlement {
    /// What it says of sequences up to `last`.
    #[must_use]
    pub fn up_to(mut self, last: u64) -> Self {
        self.settled = self.settled.min(last);
        self.runs.retain(|run| run.first <= last);
        self.refused.retain(|refusal| refusal.first <= last);
        if let Some(run) = self.runs.last_mut() {
            run.count = run.count.min((last - run.first).saturating_add(1));
        }
        if let Some(refusal) = self.refused.last_mut() {
            refusal.count = refusal.count.min((last - refusal.first).saturating_add(1));
        }
        self
    }

    /// Runs and refusals, in the order of their sequences.
    pub fn in_order(&self) -> impl Iterator<Item = Settled<'_>> {
        let mut runs = self.runs.iter().peekable();
        let mut refused = self.refused.iter().peekable();
        std::iter::from_fn(move || match (runs.peek(), refused.peek()) {
            (Some(run), Some(refusal)) if refusal.first < run.first => refused.next().map(Settled::Refused),
            (Some(_), _) => runs.next().map(Settled::Stored),
            (None, _) => refused.next().map(Settled::Refused),
        })
    }
}

/// Why a message is refused for good. The code is the interface; the words are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalCode {
    /// Larger than the server's limit.
    TooLarge,
    /// The mailbox's name is malformed.
    BadMailbox,
    /// This sender may not put messages there.
    NotAllowed,
    /// Another message was stored under the same identity.
    Conflict,
    /// It was refused before; a later message of the producer is stored, so it cannot be any more.
    RefusedEarlier,
    /// The server keeps no more mailboxes.
    TooManyMailboxes,
    /// The message's name or content type is malformed.
    BadMessage,
    /// A code this version does not know.
    Other(u16),
}

impl RefusalCode {
    const TABLE: [(RefusalCode, u16, &'static str, &'static str); 7] = [
        (
            RefusalCode::TooLarge,
            1,
            "too-large",
            "the message is larger than the server allows",
        ),
        (
            RefusalCode::BadMailbox,
            2,
            "bad-mailbox",
            "the mailbox name is not valid",
        ),
        (
            RefusalCode::NotAllowed,
            3,
            "not-allowed",
            "this sender may not send to that mailbox",
        ),
        (
            RefusalCode::Conflict,
            4,
            "conflict",
            "another message was stored under the same id",
        ),
        (
            RefusalCode::RefusedEarlier,
            5,
            "refused-earlier",
            "it was refused before, and later messages of its id are stored",
        ),
        (
            RefusalCode::TooManyMailboxes,
            6,
            "too-many-mailboxes",
            "the server keeps no more mailboxes",
        ),
        (
            RefusalCode::BadMessage,
            7,
            "bad-message",
            "the message's name or content type is not valid",
        ),
    ];

    /// The number that stands for it on the wire.
    pub fn to_wire(self) -> u16 {
        match self {
            RefusalCode::Other(number) => number,
            known => Self::TABLE
                .iter()
                .find(|row| row.0 == known)
                .map_or(0, |row| row.1),
        }
    }

    /// The code that a number of the wire stands for.
    pub fn from_wire(number: u16) -> Self {
        Self::TABLE
            .iter()
            .find(|row| row.1 == number)
            .map_or(RefusalCode::Other(number), |row| row.0)
    }

    /// One lower-case word, the same in every dialect and in `--json`.
    pub fn as_str(self) -> &'static str {
        Self::TABLE
            .iter()
            .find(|row| row.0 == self)
            .map_or("refused", |row| row.2)
    }

    /// The code that a word stands for.
    pub fn from_word(word: &str) -> Self {
        Self::TABLE
            .iter()
            .find(|row| row.2 == word)
            .map_or(RefusalCode::Other(0), |row| row.0)
    }

    /// The reason in words.
    pub fn reason(self) -> &'static str {
        Self::TABLE
            .iter()
            .find(|row| row.0 == self)
            .map_or("the server refused it", |row| row.3)
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_one_number_and_one_word_each() {
        for (code, number, word, _) in RefusalCode::TABLE {
            assert_eq!(RefusalCode::from_wire(number), code);
            assert_eq!(code.to_wire(), number);
            assert_eq!(RefusalCode::from_word(word), code);
        }
        assert_eq!(RefusalCode::from_wire(999).to_wire(), 999);
    }

    #[test]
    fn more_durable_is_greater() {
        assert!(Durability::Disk > Durability::Os && Durability::Os > Durability::Memory);
    }
}
