//! A message where it rests.

use std::fmt;
use std::str::FromStr;

use crate::{MailboxName, Message, ProducerId, Sender, Source};

/// A stored message as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Item {
    /// Its place in the mailbox.
    pub offset: u64,
    /// When it was stored, in microseconds since 1970-01-01 UTC by the server's clock.
    pub time: i64,
    /// Who sent it.
    pub sender: Sender,
    /// The producer that numbered it; all zero for none.
    pub producer: ProducerId,
    /// Its number there; 0 for none.
    pub sequence: u64,
    /// Where it came in; `None` if that is not known here.
    pub source: Option<Source>,
    /// A dead letter's first place.
    pub origin: Option<Origin>,
    /// How many readers of the cursor have begun with it before; 0 for the first, and without a cursor.
    pub attempts: u32,
    /// The message.
    pub message: Message,
}

impl Item {
    /// A message that nobody numbered, at its first place.
    pub fn new(offset: u64, time: i64, sender: Sender, message: Message) -> Self {
        Item {
            offset,
            time,
            sender,
            producer: ProducerId::from_bytes([0; 16]),
            sequence: 0,
            source: None,
            origin: None,
            attempts: 0,
            message,
        }
    }

    /// The same, numbered by a producer.
    #[must_use]
    pub fn numbered(mut self, producer: ProducerId, sequence: u64) -> Self {
        (self.producer, self.sequence) = (producer, sequence);
        self
    }

    /// The same, come in there.
    #[must_use]
    pub fn come_from(mut self, source: Option<Source>) -> Self {
        self.source = source;
        self
    }

    /// The same, as a dead letter that was there first.
    #[must_use]
    pub fn buried_from(mut self, origin: Option<Origin>) -> Self {
        self.origin = origin;
        self
    }

    /// The same, after so many attempts.
    #[must_use]
    pub fn tried(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }
}

/// Where a dead letter was first. As text: `MAILBOX OFFSET`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The mailbox that it was sent to.
    pub mailbox: MailboxName,
    /// Its place there.
    pub offset: u64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.mailbox, self.offset)
    }
}

impl FromStr for Origin {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (mailbox, offset) = text.split_once(' ').ok_or(())?;
        Ok(Origin {
            mailbox: mailbox.parse().map_err(|_| ())?,
            offset: offset.parse().map_err(|_| ())?,
        })
    }
}
