//! The name of a mailbox, checked once.

use crate::from_text::from_text;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::limits::{MAX_MAILBOX_NAME, MAX_MAILBOX_SEGMENTS};

/// A mailbox's name: one to four segments `[a-z0-9][a-z0-9._-]*` joined by `/`, at most 128 bytes.
///
/// Cheap to clone. Holding one is the proof that the name is well formed.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxName(Arc<str>);

impl MailboxName {
    /// The mailbox that is meant when none is named.
    pub const INBOX: &'static str = "inbox";

    /// `inbox`, where a message goes that names no mailbox.
    pub fn inbox() -> Self {
        MailboxName(Arc::from(Self::INBOX))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a name from bytes of the wire.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, MailboxNameError> {
        std::str::from_utf8(bytes)
            .map_err(|_| MailboxNameError::Character)?
            .parse()
    }
}

impl FromStr for MailboxName {
    type Err = MailboxNameError;

    fn from_str(name: &str) -> Result<Self, MailboxNameError> {
        if name.is_empty() {
            return Err(MailboxNameError::Empty);
        }
        if name.len() > MAX_MAILBOX_NAME {
            return Err(MailboxNameError::TooLong(name.len()));
        }
        let mut segments = 0;
        for segment in name.split('/') {
            segments += 1;
            let mut bytes = segment.bytes();
            match bytes.next() {
                None => return Err(MailboxNameError::EmptySegment),
                Some(b'a'..=b'z' | b'0'..=b'9') => {}
                Some(_) => return Err(MailboxNameError::Character),
            }
            if !bytes.all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')) {
                return Err(MailboxNameError::Character);
            }
        }
        if segments > MAX_MAILBOX_SEGMENTS {
            return Err(MailboxNameError::TooManySegments(segments));
        }
        Ok(MailboxName(Arc::from(name)))
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// Why a text is not the name of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailboxNameError {
    /// No name at all.
    #[error("a mailbox name is never empty")]
    Empty,
    /// Two slashes in a row, or one at an end.
    #[error("a mailbox name has no empty segment")]
    EmptySegment,
    /// A character outside the alphabet, or a segment that starts with a mark.
    #[error(
        "a mailbox name has segments of a-z, 0-9, `.`, `_` and `-`, each starting with a letter or digit"
    )]
    Character,
    /// Longer than 128 bytes; the length is given.
    #[error("a mailbox name has at most {MAX_MAILBOX_NAME} bytes, this one has {0}")]
    TooLong(usize),
    /// More than four segments; their number is given.
    #[error("a mailbox name has at most {MAX_MAILBOX_SEGMENTS} segments, this one has {0}")]
    TooManySegments(usize),
}

from_text!(MailboxName, MailboxNameError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["inbox", "a/b/c/d", "0", "logs/web-1/2026.11", "a_b"] {
            assert_eq!(good.parse::<MailboxName>().unwrap().as_str(), good);
        }
        for (bad, why) in [
            ("", MailboxNameError::Empty),
            ("a//b", MailboxNameError::EmptySegment),
            ("/a", MailboxNameError::EmptySegment),
            ("a/", MailboxNameError::EmptySegment),
            ("..", MailboxNameError::Character),
            ("a/.b", MailboxNameError::Character),
            ("Inbox", MailboxNameError::Character),
            ("a b", MailboxNameError::Character),
            ("ä", MailboxNameError::Character),
            ("a\0", MailboxNameError::Character),
            ("a/b/c/d/e", MailboxNameError::TooManySegments(5)),
        ] {
            assert_eq!(bad.parse::<MailboxName>(), Err(why), "{bad:?}");
        }
        assert_eq!(
            "a".repeat(129).parse::<MailboxName>(),
            Err(MailboxNameError::TooLong(129))
        );
        assert_eq!(MailboxName::from_wire(&[0xff]), Err(MailboxNameError::Character));
    }
}
