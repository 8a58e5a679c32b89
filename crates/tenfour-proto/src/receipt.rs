//! What a server says of messages it was given: stored where, or refused why.

use crate::codes::codes;
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
    /// Flushed on a second machine, too: survives the loss of one.
    Replicated,
}

impl Durability {
    /// The byte that stands for it on the wire.
    pub fn to_wire(self) -> u8 {
        match self {
            Durability::Memory => 0,
            Durability::Os => 1,
            Durability::Disk => 2,
            Durability::Replicated => 3,
        }
    }

    /// The durability that a byte of the wire stands for.
    pub fn from_wire(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Durability::Memory),
            1 => Some(Durability::Os),
            2 => Some(Durability::Disk),
            3 => Some(Durability::Replicated),
            _ => None,
        }
    }

    /// What of it is said to those who know no more than `disk`: that is true, too.
    pub fn at_most_disk(self) -> Self {
        self.min(Durability::Disk)
    }

    /// `replicated`, `disk`, `os` or `memory`.
    pub fn as_str(self) -> &'static str {
        match self {
            Durability::Memory => "memory",
            Durability::Os => "os",
            Durability::Disk => "disk",
            Durability::Replicated => "replicated",
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
            "replicated" => Ok(Durability::Replicated),
            "os" => Ok(Durability::Os),
            "memory" => Ok(Durability::Memory),
            other => Err(format!(
                "`{other}` is none of `replicated`, `disk`, `os`, `memory`"
            )),
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

codes! {
    /// Why a message is refused for good. The code is the interface; the words are not.
    pub enum RefusalCode, otherwise "refused" "the server refused it" {
        /// Larger than the server's limit.
        TooLarge = 1 "too-large" "the message is larger than the server allows",
        /// The mailbox's name is malformed.
        BadMailbox = 2 "bad-mailbox" "the mailbox name is not valid",
        /// This sender may not put messages there.
        NotAllowed = 3 "not-allowed" "this sender may not send to that mailbox",
        /// Another message was stored under the same identity.
        Conflict = 4 "conflict" "another message was stored under the same id",
        /// It was refused before; a later message of the producer is stored, so it cannot be any more.
        RefusedEarlier = 5 "refused-earlier" "it was refused before, and later messages of its id are stored",
        /// The server keeps no more mailboxes.
        TooManyMailboxes = 6 "too-many-mailboxes" "the server keeps no more mailboxes",
        /// The message's name or content type is malformed.
        BadMessage = 7 "bad-message" "the message's name or content type is not valid",
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
    fn more_durable_is_greater() {
        assert!(Durability::Disk > Durability::Os && Durability::Os > Durability::Memory);
    }
}
