//! One line of the server: `10-4 MAILBOX OFFSET [DURABILITY]` or `no CODE reason`.

use std::fmt;

use crate::{Durability, MailboxName, RefusalCode, TemporaryCode};

/// The answer to one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Stored, at this offset.
    Stored {
        /// The mailbox it is in.
        mailbox: MailboxName,
        /// Its place there.
        offset: u64,
        /// How safe it is. Said on the wire only when it is less than `disk`.
        durability: Durability,
    },
    /// Not stored, and it never will be.
    Refused(RefusalCode),
    /// Not stored now; the same may be stored later.
    NotNow(TemporaryCode),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Stored {
                mailbox,
                offset,
                durability: Durability::Disk,
            } => write!(f, "10-4 {mailbox} {offset}"),
            Answer::Stored {
                mailbox,
                offset,
                durability,
            } => write!(f, "10-4 {mailbox} {offset} {durability}"),
            Answer::Refused(code) => write!(f, "no {} {}", code.as_str(), code.reason()),
            Answer::NotNow(code) => write!(f, "no {} {}", code.as_str(), code.reason()),
        }
    }
}

impl Answer {
    /// Reads a line without its line end; `None` for a line that is no answer.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        match words.next()? {
            "10-4" => {
                let mailbox = words.next()?.parse().ok()?;
                let offset = words.next()?.parse().ok()?;
                let durability = match words.next() {
                    None => Durability::Disk,
                    Some(word) => word.parse().ok()?,
                };
                Some(Answer::Stored {
                    mailbox,
                    offset,
                    durability,
                })
            }
            "no" => {
                let word = words.next()?;
                Some(match TemporaryCode::from_word(word) {
                    Some(code) => Answer::NotNow(code),
                    None => Answer::Refused(RefusalCode::from_word(word).unwrap_or(RefusalCode::Other(0))),
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_written_and_read_again() {
        for answer in [
            Answer::Stored {
                mailbox: MailboxName::inbox(),
                offset: 4127,
                durability: Durability::Disk,
            },
            Answer::Stored {
                mailbox: MailboxName::inbox(),
                offset: 1,
                durability: Durability::Memory,
            },
            Answer::Refused(RefusalCode::TooLarge),
            Answer::NotNow(TemporaryCode::Full),
        ] {
            assert_eq!(Answer::parse(&answer.to_string()), Some(answer));
        }
        assert_eq!(Answer::parse("10-4 inbox"), None);
        assert_eq!(Answer::parse("10-4 inbox x"), None);
        assert_eq!(Answer::parse("10-4 Inbox 1"), None);
        assert_eq!(Answer::parse("hello"), None);
    }
}
