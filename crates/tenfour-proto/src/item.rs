//! A message where it rests.

use crate::{Message, Source, StreamId};

/// A stored message as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its place in the mailbox.
    pub offset: u64,
    /// When it was stored, in microseconds since 1970-01-01 UTC by the server's clock.
    pub time: i64,
    /// Who sent it: a fingerprint, or the name of a pseudo-sender.
    pub sender: String,
    /// The stream it was numbered in; all zero for none.
    pub stream: StreamId,
    /// Its number there; 0 for none.
    pub sequence: u64,
    /// Where it came in; `None` if that is not known here.
    pub source: Option<Source>,
    /// The message.
    pub message: Message,
}
