//! A message as a row, and whose it is.

use std::collections::HashMap;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};
use tenfour_proto::{Item, MailboxName, Message, ProducerId, Sender};

use super::columns::OFFSET_MASK;
use super::row_error::RowError;
use crate::checksum::Prefix;
use crate::source_word::source_of;

/// Producers whose sender is kept in memory.
const CACHED_PRODUCERS: usize = 1_024;

pub(super) struct KnownProducer {
    sender: Sender,
    producer: ProducerId,
    pub(super) prefix: Prefix,
}

/// Messages with keys from ?1 to ?2, at most ?3; `item` knows the columns.
pub(super) const MESSAGES: &str =
    "SELECT id, stream, sequence, time, checksum, body, source, type, name, origin, asks FROM message
    WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3";

/// The message of that key with the number of its producer, which is in `producers` then; `None` if it is gone.
pub(super) fn message_at(
    connection: &Connection,
    producers: &mut HashMap<i64, KnownProducer>,
    mailbox: &MailboxName,
    key: i64,
) -> Result<Option<(i64, Item)>, RowError> {
    let mut statement = connection.prepare_cached(MESSAGES)?;
    let mut rows = statement.query((key, key, 1))?;
    rows.next()?
        .map(|row| Ok((row.get(1)?, item(connection, producers, mailbox, row)?)))
        .transpose()
}

/// Makes a message of its row, if all of it is as it was written.
pub(super) fn item(
    connection: &Connection,
    producers: &mut HashMap<i64, KnownProducer>,
    mailbox: &MailboxName,
    row: &rusqlite::Row<'_>,
) -> Result<Item, RowError> {
    let offset = (row.get::<_, i64>(0)? & OFFSET_MASK) as u64;
    let damaged = || RowError::Damaged {
        mailbox: mailbox.clone(),
        offset,
    };
    let producer_row: i64 = row.get(1).map_err(|_| damaged())?;
    if !producers.contains_key(&producer_row) {
        if producers.len() >= CACHED_PRODUCERS {
            producers.clear();
        }
        let known = known_producer(connection, producer_row)?.ok_or_else(damaged)?;
        producers.insert(producer_row, known);
    }
    let known = producers.get(&producer_row).ok_or_else(damaged)?;
    let sequence = row.get::<_, i64>(2).map_err(|_| damaged())? as u64;
    let time: i64 = row.get(3).map_err(|_| damaged())?;
    let checksum: i64 = row.get(4).map_err(|_| damaged())?;
    let word = |column| {
        row.get_ref(column)
            .ok()
            .and_then(|value| value.as_str_or_null().ok())
            .ok_or_else(damaged)
    };
    let body = row.get_ref(5)?.as_blob().map_err(|_| damaged())?;
    let source = word(6)?;
    let mut message = Message::new(mailbox.clone(), Bytes::copy_from_slice(body));
    message.content_type = word(7)?.map(str::parse).transpose().map_err(|_| damaged())?;
    message.name = word(8)?.map(str::parse).transpose().map_err(|_| damaged())?;
    message.asks = row.get::<_, Option<bool>>(10).map_err(|_| damaged())? == Some(true);
    let origin = word(9)?.map(str::parse).transpose().map_err(|()| damaged())?;
    let sum = known
        .prefix
        .of(offset, sequence, time, source, origin.as_ref(), &message);
    if i64::from(sum) != checksum {
        return Err(damaged());
    }
    let source = source_of(source).ok_or_else(damaged)?;
    Ok(Item::new(offset, time, known.sender.clone(), message)
        .numbered(known.producer, sequence)
        .come_from(Some(source))
        .buried_from(origin))
}

/// Whose it is, by its number.
pub(super) fn known_producer(connection: &Connection, row: i64) -> rusqlite::Result<Option<KnownProducer>> {
    let found = connection
        .prepare_cached(
            "SELECT sender.name, stream.stream FROM stream JOIN sender ON sender.id = stream.sender WHERE stream.id = ?1",
        )?
        .query_row([row], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))
        .optional()?;
    Ok(found.and_then(|(name, producer)| {
        let producer = ProducerId::from_bytes(producer);
        Some(KnownProducer {
            sender: name.parse().ok()?,
            producer,
            prefix: Prefix::new(&name, producer),
        })
    }))
}
