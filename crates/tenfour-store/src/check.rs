//! What is wrong with a store, in words.

use tenfour_proto::{CursorName, MailboxName, ProducerId};

/// Something that is not as it was written, or does not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// SQLite's own check of its file.
    #[error("the file: {0}")]
    File(String),
    /// A message is not what was stored.
    #[error("{mailbox} #{offset}: the message does not match its checksum")]
    Damaged {
        /// Its mailbox.
        mailbox: MailboxName,
        /// Its offset.
        offset: u64,
    },
    /// Messages that were stored are not there.
    #[error("{mailbox} #{first} to #{last}: missing")]
    Missing {
        /// Their mailbox.
        mailbox: MailboxName,
        /// The first offset.
        first: u64,
        /// The last.
        last: u64,
    },
    /// A message was deleted because it need not be kept, and is there.
    #[error("{mailbox} #{offset}: deleted, and there all the same")]
    Deleted {
        /// Its mailbox.
        mailbox: MailboxName,
        /// Its offset.
        offset: u64,
    },
    /// A message belongs to no mailbox that is known.
    #[error("{count} messages belong to mailbox number {number}, which is not there")]
    Homeless {
        /// The mailbox's number.
        number: i64,
        /// How many.
        count: u64,
    },
    /// The producer's marks do not know this message: a repeat of it would be stored again.
    #[error("{mailbox} #{offset}: not in the marks of its stream {producer}, a repeat would be stored twice")]
    Unmarked {
        /// Its mailbox.
        mailbox: MailboxName,
        /// Its offset.
        offset: u64,
        /// Its producer.
        producer: ProducerId,
    },
    /// The producer's marks name messages that are not there, or are others: a repeat would get a false receipt.
    #[error("stream {producer}, messages {first} to {last}: its marks do not lead to them")]
    FalseMark {
        /// The producer.
        producer: ProducerId,
        /// The first sequence.
        first: u64,
        /// The last.
        last: u64,
    },
    /// A cursor is further than its mailbox.
    #[error("cursor {name} of {mailbox}: it is at #{committed}, behind the last message")]
    Ahead {
        /// The mailbox.
        mailbox: MailboxName,
        /// The cursor.
        name: CursorName,
        /// Where it is.
        committed: u64,
    },
    /// The bytes of a mailbox are counted wrongly.
    #[error("{mailbox}: {counted} bytes are counted, and {found} are there")]
    Size {
        /// The mailbox.
        mailbox: MailboxName,
        /// What is written down.
        counted: u64,
        /// What is there.
        found: u64,
    },
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Messages.
    pub messages: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Mailboxes.
    pub mailboxes: u64,
    /// Producers.
    pub producers: u64,
    /// Findings.
    pub findings: u64,
}
