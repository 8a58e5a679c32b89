//! The rows of an outbox.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior};
use tenfour_proto::{Message, ProducerId, RefusalCode};

use super::error::OutboxError;
use super::item::{OutboxDestination, OutboxItem};
use super::verdict::Verdict;
use crate::checksum::Prefix;
use crate::sqlite::columns::{OFFSET_MASK, message_key};

/// A transaction that writes. Begun as one, so that it waits for its turn instead of failing half-way.
pub(super) fn write(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// The number of the route to a server.
pub(super) fn route(connection: &Connection, address: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM route WHERE address = ?1")?
        .query_row([address], |row| row.get(0))
        .optional()
}

pub(super) fn add_route(connection: &Connection, address: &str) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("INSERT INTO route(address, last, verdict) VALUES (?1, 0, 0)")?
        .execute([address])?;
    Ok(connection.last_insert_rowid())
}

fn number(connection: &Connection, sql: &str, route: i64) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(sql)?
        .query_row([route], |row| row.get::<_, i64>(0))
        .map(|number| number as u64)
}

/// The highest number given.
pub(super) fn last(connection: &Connection, route: i64) -> rusqlite::Result<u64> {
    number(
        connection,
        "SELECT max(last, ifnull((SELECT max(message.id) & 0xffffffffffff FROM message
         WHERE message.id BETWEEN route.id << 48 AND route.id << 48 | 0xffffffffffff), 0)) FROM route WHERE id = ?1",
        route,
    )
}

/// Writes down the highest number given: the message that has it is about to go.
pub(super) fn keep_last(connection: &Connection, route: i64) -> rusqlite::Result<()> {
    let last = last(connection, route)?;
    connection
        .prepare_cached("UPDATE route SET last = ?2 WHERE id = ?1 AND last < ?2")?
        .execute((route, last as i64))?;
    Ok(())
}

/// The last number that is in a producer.
pub(super) fn numbered(connection: &Connection, route: i64) -> rusqlite::Result<u64> {
    number(
        connection,
        "SELECT ifnull(max(numbered), 0) FROM stream WHERE route = ?1",
        route,
    )
}

/// Up to this number there are answers.
pub(super) fn settled(connection: &Connection, route: i64) -> rusqlite::Result<u64> {
    number(
        connection,
        "SELECT ifnull(min(settled), (SELECT ifnull(max(numbered), 0) FROM stream WHERE route = ?1))
         FROM stream WHERE route = ?1 AND settled < numbered",
        route,
    )
}

/// `None` if there is no such message.
pub(super) fn is_refused(connection: &Connection, route: i64, number: u64) -> rusqlite::Result<Option<bool>> {
    connection
        .prepare_cached("SELECT refused IS NOT NULL FROM message WHERE id = ?1")?
        .query_row([message_key(route, number)], |row| row.get(0))
        .optional()
}

/// Deletes messages, refused ones too.
pub(super) fn delete(connection: &Connection, route: i64, first: u64, last: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM message WHERE id BETWEEN ?1 AND ?2")?
        .execute((message_key(route, first), message_key(route, last)))?;
    Ok(())
}

fn checksum(address: &str, number: u64, time: i64, message: &Message) -> u32 {
    Prefix::new(address, ProducerId::from_bytes([0; 16])).of(number, 0, time, None, None, message)
}

pub(super) fn insert(
    connection: &Connection,
    address: &str,
    route: i64,
    number: u64,
    time: i64,
    message: &Message,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO message(id, time, checksum, mailbox, body, type, name) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((
            message_key(route, number),
            time,
            checksum(address, number, time, message),
            message.mailbox.as_str(),
            &message.body[..],
            message.content_type.as_ref().map(|word| word.as_str()),
            message.name.as_ref().map(|word| word.as_str()),
        ))?;
    Ok(())
}

const COLUMNS: &str = "SELECT id, time, checksum, mailbox, body, type, name, refused FROM message";

/// Makes a message of its row, if all of it is as it was queued.
fn read(address: &str, row: &Row<'_>) -> Result<OutboxItem, OutboxError> {
    let number = (row.get::<_, i64>(0)? & OFFSET_MASK) as u64;
    let whole = || -> Option<OutboxItem> {
        let word = |column| row.get_ref(column).ok()?.as_str_or_null().ok();
        let body = row.get_ref(4).ok()?.as_blob().ok()?;
        let time = row.get(1).ok()?;
        let mut message = Message::new(word(3)??.parse().ok()?, Bytes::copy_from_slice(body));
        message.content_type = word(5)?.map(str::parse).transpose().ok()?;
        message.name = word(6)?.map(str::parse).transpose().ok()?;
        let sum = i64::from(checksum(address, number, time, &message));
        (row.get::<_, i64>(2).ok()? == sum).then_some(OutboxItem {
            number,
            time,
            refused: word(7)?.map(str::to_owned),
            identity: None,
            message,
        })
    };
    whole().ok_or_else(|| OutboxError::Damaged {
        address: address.to_owned(),
        number,
    })
}

pub(super) fn item(
    connection: &Connection,
    address: &str,
    route: i64,
    number: u64,
) -> Result<Option<OutboxItem>, OutboxError> {
    let mut found = stretch(connection, address, route, number, number, 1, u64::MAX)?;
    Ok(found.pop())
}

/// Messages from number `first` to `last`, in order: at most `items`, and no more once their bodies have `bytes`
/// bytes together.
pub(super) fn stretch(
    connection: &Connection,
    address: &str,
    route: i64,
    first: u64,
    last: u64,
    items: usize,
    bytes: u64,
) -> Result<Vec<OutboxItem>, OutboxError> {
    let mut statement = connection.prepare_cached(&format!(
        "{COLUMNS} WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3"
    ))?;
    let mut rows = statement.query((
        message_key(route, first),
        message_key(route, last),
        i64::try_from(items).unwrap_or(i64::MAX),
    ))?;
    let mut found = Vec::new();
    let mut total = 0;
    while let Some(row) = rows.next()? {
        let item = match read(address, row) {
            // What came before is whole, and goes first.
            Err(OutboxError::Damaged { .. }) if !found.is_empty() => break,
            other => other?,
        };
        total += item.message.body.len() as u64;
        found.push(item);
        if total >= bytes {
            break;
        }
    }
    Ok(found)
}

/// Messages without a receipt, with what is known of their identities.
pub(super) fn waiting(
    connection: &Connection,
    address: &str,
    route: i64,
    from: u64,
    items: usize,
) -> Result<Vec<OutboxItem>, OutboxError> {
    let settled = settled(connection, route)?;
    let mut producers = connection.prepare_cached(
        "SELECT stream, first FROM stream WHERE route = ?1 AND ?2 BETWEEN first AND numbered",
    )?;
    let mut statement = connection.prepare_cached(&format!(
        "{COLUMNS} WHERE id BETWEEN ?1 AND ?2 AND (refused IS NOT NULL OR id > ?3) ORDER BY id LIMIT ?4"
    ))?;
    let mut rows = statement.query((
        message_key(route, from),
        message_key(route, OFFSET_MASK as u64),
        message_key(route, settled),
        i64::try_from(items).unwrap_or(i64::MAX),
    ))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let mut item = read(address, row)?;
        item.identity = producers
            .query_row((route, item.number as i64), |row| {
                let first: i64 = row.get(1)?;
                Ok((
                    ProducerId::from_bytes(row.get(0)?),
                    item.number - first as u64 + 1,
                ))
            })
            .optional()?;
        found.push(item);
    }
    Ok(found)
}

/// So many messages there are, of these numbers.
pub(super) fn count(connection: &Connection, route: i64, first: u64, last: u64) -> rusqlite::Result<u64> {
    // Keys alone: what stands behind a body is far away.
    let count: i64 = connection
        .prepare_cached("SELECT count(*) FROM message WHERE id BETWEEN ?1 AND ?2")?
        .query_row((message_key(route, first), message_key(route, last)), |row| {
            row.get(0)
        })?;
    Ok(count as u64)
}

/// There is a message for each number, and none of them was refused.
pub(super) fn whole(connection: &Connection, route: i64, first: u64, last: u64) -> rusqlite::Result<bool> {
    let count: i64 = connection.query_row(
        "SELECT count(*) FROM message WHERE id BETWEEN ?1 AND ?2 AND refused IS NULL",
        (message_key(route, first), message_key(route, last)),
        |row| row.get(0),
    )?;
    Ok(count as u64 == last + 1 - first)
}

pub(super) fn routes(connection: &Connection) -> rusqlite::Result<Vec<OutboxDestination>> {
    let mut statement =
        connection.prepare_cached("SELECT id, address, trouble, verdict FROM route ORDER BY address")?;
    let mut rows = statement.query(())?;
    let mut routes = Vec::new();
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        let settled = settled(connection, id)?;
        let key = |number| message_key(id, number);
        let end = key(OFFSET_MASK as u64);
        let (waiting, bytes, oldest) = connection
            .prepare_cached(
                "SELECT count(*), ifnull(sum(length(body)), 0), min(time) FROM message
                 WHERE id > ?1 AND id <= ?2 AND refused IS NULL",
            )?
            .query_row((key(settled), end), |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get(2)?))
            })?;
        let count = |sql: &str, from: i64, to: i64| -> rusqlite::Result<u64> {
            let count: i64 = connection
                .prepare_cached(sql)?
                .query_row((from, to), |row| row.get(0))?;
            Ok(count as u64)
        };
        let plain = "SELECT count(*) FROM message WHERE id BETWEEN ?1 AND ?2 AND refused IS NULL";
        let refused = "SELECT count(*) FROM message WHERE id BETWEEN ?1 AND ?2 AND refused IS NOT NULL";
        let not_allowed: i64 = connection
            .prepare_cached("SELECT count(*) FROM message WHERE id BETWEEN ?1 AND ?2 AND refused = ?3")?
            .query_row((key(0), end, RefusalCode::NotAllowed.as_str()), |row| row.get(0))?;
        let lost = connection
            .prepare_cached(
                "SELECT min(lost), max(receipted) FROM stream WHERE route = ?1 AND lost IS NOT NULL",
            )?
            .query_row([id], |row| {
                Ok(row
                    .get::<_, Option<i64>>(0)?
                    .zip(row.get::<_, Option<i64>>(1)?)
                    .map(|(from, to)| (from as u64, to as u64)))
            })?;
        routes.push(OutboxDestination {
            id,
            address: row.get(1)?,
            waiting: waiting as u64,
            bytes: bytes as u64,
            oldest,
            numbered: count(plain, key(settled + 1), key(numbered(connection, id)?))?,
            refused: count(refused, key(0), end)?,
            not_allowed: not_allowed as u64,
            kept: count(plain, key(0), key(settled))?,
            lost,
            lost_here: match lost {
                Some((from, to)) => count(plain, key(from), key(to))?,
                None => 0,
            },
            error: row.get(2)?,
            verdict: Verdict::of_row(row.get(3)?),
        });
    }
    Ok(routes)
}
