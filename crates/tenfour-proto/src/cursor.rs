//! The name of a cursor, and what a reader says of the messages that it was given.

use crate::from_text::from_text;
use std::fmt;
use std::str::FromStr;

use crate::{MailboxName, MailboxNameError};

/// Longest name of a cursor, in bytes.
const MAX_NAME: usize = 64;

/// Where the dead letters of a cursor lie: `dead/NAME`.
const DEAD: &str = "dead/";

/// A cursor's name: one segment of a mailbox's name, `[a-z0-9][a-z0-9._-]*`, at most 64 bytes.
///
/// Cheap to clone. A cursor belongs to one mailbox; the same name there is another cursor elsewhere.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CursorName(
    /// `dead/NAME`.
    MailboxName,
);

impl CursorName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str().strip_prefix(DEAD).unwrap_or_default()
    }

    /// The mailbox for what its readers could not handle.
    pub fn dead_letters(&self) -> &MailboxName {
        &self.0
    }

    /// Reads a name from bytes of the wire.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, CursorNameError> {
        std::str::from_utf8(bytes)
            .map_err(|_| CursorNameError::Malformed(MailboxNameError::Character))?
            .parse()
    }
}

impl FromStr for CursorName {
    type Err = CursorNameError;

    fn from_str(name: &str) -> Result<Self, CursorNameError> {
        if name.len() > MAX_NAME {
            return Err(CursorNameError::TooLong(name.len()));
        }
        if name.contains('/') {
            return Err(CursorNameError::Malformed(MailboxNameError::Character));
        }
        format!("{DEAD}{name}")
            .parse()
            .map(CursorName)
            .map_err(CursorNameError::Malformed)
    }
}

impl fmt::Display for CursorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CursorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Why a text is not the name of a cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorNameError {
    /// Empty, or with a character outside the alphabet.
    #[error("a cursor's name has a-z, 0-9, `.`, `_` and `-`, and starts with a letter or digit")]
    Malformed(#[source] MailboxNameError),
    /// Longer than 64 bytes; the length is given.
    #[error("a cursor's name has at most {MAX_NAME} bytes, this one has {0}")]
    TooLong(usize),
}

/// What has happened to a message that a cursor gave to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is being handled: from here on it counts as an attempt.
    InProgress,
    /// It was handled, and is never given out again.
    Ack,
    /// It was not handled; it is given out again later, or buried.
    Nack,
    /// Nothing was done with it; somebody else may have it. No attempt is counted.
    Release,
    /// It must not be handled: buried at once.
    Reject,
    /// Somebody had begun with it, and nothing was done: as released, and it counts as no attempt.
    Untried,
    /// Nobody has to handle it, whoever has it now: a damaged one stands in the way of all behind it.
    Skip,
}

/// The same step of a stretch of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The first offset.
    pub first: u64,
    /// How many; at most [`MAX_OUT_OF_ORDER`](crate::limits::MAX_OUT_OF_ORDER).
    pub count: u32,
    /// What has happened to each of them.
    pub step: Step,
}

impl Progress {
    /// Of one message.
    pub fn one(offset: u64, step: Step) -> Self {
        Progress {
            first: offset,
            count: 1,
            step,
        }
    }
}

from_text!(CursorName, CursorNameError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["worker", "a", "0.1_2-3"] {
            let name: CursorName = good.parse().unwrap();
            assert_eq!(name.as_str(), good);
            assert_eq!(name.dead_letters().as_str(), format!("dead/{good}"));
        }
        for bad in ["", "a/b", "A", ".a", "a b", "ä"] {
            assert!(
                matches!(bad.parse::<CursorName>(), Err(CursorNameError::Malformed(_))),
                "{bad}"
            );
        }
        assert_eq!(
            "a".repeat(65).parse::<CursorName>(),
            Err(CursorNameError::TooLong(65))
        );
    }
}
