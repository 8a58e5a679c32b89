//! The store on disk: SQLite in WAL mode, flushed before anything is said to be stored.

mod check;
mod checkpoint;
mod cursors;
mod hours;
mod open;
mod outbox;
mod reader;
mod replies;
mod retention;
mod schema;
mod sizes;
mod streams;
mod work;
mod writer;

pub use check::check;
pub use open::SqliteOptions;
pub use outbox::{
    Advance, Dispatch, Dropped, Outbox, OutboxError, OutboxItem, OutboxRoute, OutboxStream, Verdict,
};
pub use writer::SqliteStore;

use tenfour_proto::{Listener, Source};

/// The low bits of a message's key are its offset, the high bits the number of its mailbox.
const OFFSET_BITS: u32 = 48;

/// The key of a message: one integer that orders by mailbox, then offset, so that an append touches no
/// second index.
fn message_key(mailbox: i64, offset: u64) -> i64 {
    mailbox << OFFSET_BITS | (offset as i64 & OFFSET_MASK)
}

/// The highest offset of a row of `mailbox`, in SQL. A commit does not write it down: it is the offset of the
/// last message, and only who deletes messages has to remember it.
const LAST_OFFSET: &str = "max(gone, ifnull((SELECT max(message.id) & 0xffffffffffff FROM message
    WHERE message.id BETWEEN mailbox.id << 48 AND mailbox.id << 48 | 0xffffffffffff), 0))";

/// The offset of the oldest message of a row of `mailbox`, in SQL; null if there is none.
const FIRST_OFFSET: &str = "(SELECT min(message.id) & 0xffffffffffff FROM message
    WHERE message.id BETWEEN mailbox.id << 48 AND mailbox.id << 48 | 0xffffffffffff)";

/// A source as it is stored: nothing for the native listener, else `LISTENER` or `LISTENER ADDRESS`.
fn source_word(source: &Source) -> Option<String> {
    match (source.listener, source.address) {
        (Listener::Native, _) => None,
        (listener, None) => Some(listener.to_string()),
        (listener, Some(address)) => Some(format!("{listener} {address}")),
    }
}

/// The source that a stored word stands for.
fn source_of(word: Option<&str>) -> Option<Source> {
    let Some(word) = word else {
        return Some(Source {
            listener: Listener::Native,
            address: None,
        });
    };
    let (listener, address) = match word.split_once(' ') {
        Some((listener, address)) => (listener, Some(address.parse().ok()?)),
        None => (word, None),
    };
    Some(Source {
        listener: listener.parse().ok()?,
        address,
    })
}

const OFFSET_MASK: i64 = (1 << OFFSET_BITS) - 1;
