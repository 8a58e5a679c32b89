//! Copies of messages that nobody could handle.

use std::collections::HashMap;

use rusqlite::Connection;

use super::columns::message_key;
use super::message_row::{known_producer, message_at};
use super::row_error::RowError;
use crate::cursor::CursorChange;
use crate::ledger::Letter;
use crate::source_word::source_word;

/// The message of that key; `None` if it is gone, or damaged.
pub(super) fn letter(
    connection: &Connection,
    change: &CursorChange,
    key: i64,
) -> rusqlite::Result<Option<Letter>> {
    let found = match message_at(connection, &mut HashMap::new(), &change.mailbox, key) {
        Ok(found) => found,
        Err(error @ RowError::Damaged { .. }) => {
            // It stays where it is; a copy would only make it look sound.
            tracing::error!(%error, "a damaged message is not copied to the dead letters");
            return Ok(None);
        }
        Err(RowError::Sqlite(error)) => return Err(error),
    };
    Ok(found.map(|(producer, item)| Letter {
        producer,
        sequence: item.sequence,
        source: item.source,
        origin: item.origin,
        is_synthetic: item.sender.is_synthetic(),
        message: item.message,
    }))
}

/// Puts a copy at an offset, in the transaction of now.
pub(super) fn bury(
    connection: &Connection,
    mailbox: i64,
    offset: u64,
    letter: &Letter,
    time: i64,
) -> rusqlite::Result<()> {
    let known = known_producer(connection, letter.producer)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let source = letter.source.as_ref().and_then(source_word);
    let message = &letter.message;
    let checksum = known.prefix.of(
        offset,
        letter.sequence,
        time,
        source.as_deref(),
        letter.origin.as_ref(),
        message,
    );
    connection
        .prepare_cached(
            "INSERT INTO message(id, stream, sequence, time, checksum, body, source, type, name, origin, asks)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute((
            message_key(mailbox, offset),
            letter.producer,
            letter.sequence as i64,
            time,
            checksum,
            &message.body[..],
            source,
            message.content_type.as_ref().map(|word| word.as_str()),
            message.name.as_ref().map(|word| word.as_str()),
            letter.origin.as_ref().map(ToString::to_string),
            message.asks.then_some(1),
        ))?;
    Ok(())
}
