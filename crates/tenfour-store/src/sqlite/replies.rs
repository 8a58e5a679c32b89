//! Replies in the database.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};
use tenfour_proto::{ProducerId, Reply, Sender};

use super::columns::message_key;
use crate::StoreError;
use crate::batch::Answered;
use crate::cursor::CursorChange;
use crate::mailboxes::Mailboxes;
use crate::policy::REPLY_HOURS;

/// Rows deleted at once.
const SWEEP: u32 = 1_000;

/// Writes down the replies of a change, in the transaction of now.
pub(super) fn put_all(
    connection: &Connection,
    mailboxes: &Mailboxes,
    change: &CursorChange,
    hours: i64,
    answered: &mut Vec<Answered>,
) -> Result<(), StoreError> {
    let Some(mailbox) = mailboxes.find(&change.mailbox) else {
        return Ok(());
    };
    for (offset, reply) in change.replies() {
        answered.extend(put(connection, message_key(mailbox, offset), reply, hours)?);
    }
    Ok(())
}

/// `None` if the message did not ask, is gone, or has its reply already: the first is the only one.
fn put(
    connection: &Connection,
    message: i64,
    reply: Reply,
    hours: i64,
) -> rusqlite::Result<Option<Answered>> {
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
    let Some((row, sequence, sender, producer)) = asked else {
        return Ok(None);
    };
    let Ok(sender) = sender.parse() else {
        return Ok(None);
    };
    let is_first = connection
        .prepare_cached(
            "INSERT OR IGNORE INTO reply(stream, sequence, hours, code, checksum, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((
            row,
            sequence,
            hours,
            reply.code,
            checksum(row, sequence, &reply),
            &reply.body[..],
        ))?;
    Ok((is_first == 1).then(|| Answered {
        sender,
        producer: ProducerId::from_bytes(producer),
        sequence: sequence as u64,
        reply,
    }))
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
                let reply = Reply {
                    code: row.get(1)?,
                    body: Bytes::from(row.get::<_, Vec<u8>>(3)?),
                };
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(2)?, reply))
            },
        )
        .optional()?;
    Ok(found.and_then(|(row, sum, reply)| {
        let is_sound = i64::from(checksum(row, sequence as i64, &reply)) == sum;
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

fn checksum(producer: i64, sequence: i64, reply: &Reply) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&producer.to_le_bytes());
    hasher.update(&sequence.to_le_bytes());
    hasher.update(&[u8::from(reply.code.is_some()), reply.code.unwrap_or(0)]);
    hasher.update(&reply.body);
    hasher.finalize()
}
