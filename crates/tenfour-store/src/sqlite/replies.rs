//! Replies in the database.

use rusqlite::{Connection, OptionalExtension};
use tenfour_proto::{ProducerId, Reply, Sender};

use crate::checksum::reply_sum;
use crate::ledger::Question;
use crate::policy::REPLY_HOURS;

/// Rows deleted at once.
const SWEEP: u32 = 1_000;

/// Who asked by the message of that key; `None` if it did not ask, or is gone.
pub(super) fn question(connection: &Connection, message: i64) -> rusqlite::Result<Option<Question>> {
    let asked = connection
        .prepare_cached(
            "SELECT message.stream, message.sequence, sender.name, stream.stream
               FROM message JOIN stream ON stream.id = message.stream JOIN sender ON sender.id = stream.sender
              WHERE message.id = ?1 AND asks = 1 AND message.sequence > 0",
        )?
        .query_row([message], |row| {
            let name: String = row.get(2)?;
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                name,
                row.get::<_, [u8; 16]>(3)?,
            ))
        })
        .optional()?;
    Ok(asked.and_then(|(row, sequence, sender, producer)| {
        Some(Question {
            row,
            sender: sender.parse().ok()?,
            producer: ProducerId::from_bytes(producer),
            sequence: sequence as u64,
        })
    }))
}

/// Writes down a reply, in the transaction of now. True if it is the first to its question: that is the only one.
pub(super) fn keep(
    connection: &Connection,
    question: &Question,
    reply: &Reply,
    hours: i64,
) -> rusqlite::Result<bool> {
    let sequence = question.sequence as i64;
    let rows = connection
        .prepare_cached(
            "INSERT OR IGNORE INTO reply(stream, sequence, hours, code, checksum, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((
            question.row,
            sequence,
            hours,
            reply.code,
            reply_sum(question.row, question.sequence, reply),
            &reply.body[..],
        ))?;
    Ok(rows == 1)
}

/// The reply to a message, if there is one. One that is damaged is none.
pub(super) fn find(
    connection: &Connection,
    sender: &Sender,
    producer: ProducerId,
    sequence: u64,
    hours: i64,
) -> rusqlite::Result<Option<Reply>> {
    let found = connection
        .prepare_cached(
            "SELECT reply.stream, code, checksum, body
               FROM sender JOIN stream ON stream.sender = sender.id JOIN reply ON reply.stream = stream.id
              WHERE sender.name = ?1 AND stream.stream = ?2 AND sequence = ?3 AND hours > ?4",
        )?
        .query_row(
            (
                sender.to_string(),
                producer.as_bytes(),
                sequence as i64,
                hours - REPLY_HOURS,
            ),
            |row| {
                let mut reply = Reply::new(row.get::<_, Vec<u8>>(3)?);
                reply.code = row.get(1)?;
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(2)?, reply))
            },
        )
        .optional()?;
    Ok(found.and_then(|(row, sum, reply)| {
        let is_sound = i64::from(reply_sum(row, sequence, &reply)) == sum;
        if !is_sound {
            tracing::error!(%producer, sequence, "a reply is damaged");
        }
        is_sound.then_some(reply)
    }))
}

/// Deletes a piece of what is old; true when there is more.
pub(super) fn sweep(connection: &Connection, hours: i64) -> rusqlite::Result<bool> {
    // Those that came first have the lowest numbers.
    let oldest: Option<i64> = connection
        .prepare_cached("SELECT hours FROM reply ORDER BY id LIMIT 1")?
        .query_row((), |row| row.get(0))
        .optional()?;
    if oldest.is_none_or(|oldest| oldest > hours - REPLY_HOURS) {
        return Ok(false);
    }
    let deleted = connection
        .prepare_cached(
            "DELETE FROM reply WHERE hours <= ?1 AND id IN (SELECT id FROM reply ORDER BY id LIMIT ?2)",
        )?
        .execute((hours - REPLY_HOURS, SWEEP))?;
    Ok(deleted == SWEEP as usize)
}
