//! Cursors in the database.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};
use tenfour_proto::{CursorName, MailboxName, Origin, Sender};

use super::columns::{message_key, source_word};
use super::reader::message_at;
use super::sizes::Sizes;
use crate::cursor::{AckState, CursorChange, CursorOutcome, MAX_CURSORS, Position};
use crate::mailboxes::Mailboxes;
use crate::{ReadError, StoreError};

/// Where the cursor is; `None` if there is none of that name.
pub(super) fn position(
    connection: &Connection,
    mailbox: &MailboxName,
    name: &CursorName,
) -> rusqlite::Result<Option<Position>> {
    let Some((id, committed)) = find(connection, mailbox, name)? else {
        return Ok(None);
    };
    let out_of_order = connection
        .prepare_cached("SELECT offset, attempts, done FROM given WHERE cursor = ?1")?
        .query_map([id], |row| {
            let given = AckState {
                attempts: row.get(1)?,
                done: row.get(2)?,
            };
            Ok((row.get::<_, i64>(0)? as u64, given))
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(Position {
        committed,
        out_of_order,
    }))
}

fn find(
    connection: &Connection,
    mailbox: &MailboxName,
    name: &CursorName,
) -> rusqlite::Result<Option<(i64, u64)>> {
    connection
        .prepare_cached("SELECT id, floor FROM cursor WHERE mailbox = ?1 AND name = ?2")?
        .query_row((mailbox.as_str(), name.as_str()), |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)? as u64))
        })
        .optional()
}

/// Moves a cursor, or makes it, in the transaction of now. With `full` nothing is buried.
pub(super) fn change(
    connection: &Connection,
    mailboxes: &mut Mailboxes,
    sizes: &mut Sizes,
    change: &CursorChange,
    full: bool,
    hours: i64,
    time: i64,
) -> Result<CursorOutcome, StoreError> {
    let id = match find(connection, &change.mailbox, &change.name)? {
        Some((id, _)) => id,
        None => {
            let count: i64 = connection.query_row("SELECT count(*) FROM cursor", (), |row| row.get(0))?;
            if count >= MAX_CURSORS as i64 {
                return Ok(CursorOutcome::TooMany);
            }
            connection
                .prepare_cached("INSERT INTO cursor(mailbox, name, floor, used) VALUES (?1, ?2, 0, ?3)")?
                .execute((change.mailbox.as_str(), change.name.as_str(), hours))?;
            connection.last_insert_rowid()
        }
    };
    let buries = !change.bury.is_empty();
    let adds = buries || !change.answers.is_empty();
    if full && adds || buries && mailboxes.open(change.name.dead_letters()).is_none() {
        return Ok(CursorOutcome::NotNow);
    }
    for offset in &change.bury {
        bury(connection, mailboxes, sizes, change, *offset, time)?;
    }
    connection
        .prepare_cached("UPDATE cursor SET floor = ?2, used = ?3 WHERE id = ?1")?
        .execute((id, change.committed as i64, hours))?;
    connection
        .prepare_cached("DELETE FROM given WHERE cursor = ?1 AND offset <= ?2")?
        .execute((id, change.committed as i64))?;
    let mut put = connection.prepare_cached(
        "INSERT OR REPLACE INTO given(cursor, offset, attempts, done) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (offset, given) in &change.out_of_order {
        put.execute((id, *offset as i64, given.attempts, given.done))?;
    }
    Ok(CursorOutcome::Moved)
}

/// Copies a message to the dead letters, with all that is known of it.
fn bury(
    connection: &Connection,
    mailboxes: &mut Mailboxes,
    sizes: &mut Sizes,
    change: &CursorChange,
    offset: u64,
    time: i64,
) -> Result<(), StoreError> {
    let Some(from) = mailboxes.find(&change.mailbox) else {
        return Ok(());
    };
    let mut producers = HashMap::new();
    let found = match message_at(
        connection,
        &mut producers,
        &change.mailbox,
        message_key(from, offset),
    ) {
        Ok(found) => found,
        Err(error @ ReadError::Damaged { .. }) => {
            // It stays where it is; a copy would only make it look sound.
            tracing::error!(%error, "a damaged message is not copied to the dead letters");
            return Ok(());
        }
        Err(ReadError::Sqlite(error)) => return Err(StoreError::Failed(error)),
    };
    let Some((producer, mut item)) = found else {
        return Ok(());
    };
    let Some(dead) = mailboxes.open(change.name.dead_letters()) else {
        return Ok(());
    };
    dead.last += 1;
    dead.raised = true;
    let key = message_key(dead.id, dead.last);
    let is_synthetic = item
        .sender
        .parse()
        .is_ok_and(|sender: Sender| sender.is_synthetic());
    sizes.add(dead.id, dead.last, item.message.body.len() as u64, is_synthetic);
    item.message.mailbox = dead.name.clone();
    let origin = item.origin.unwrap_or(Origin {
        mailbox: change.mailbox.clone(),
        offset,
    });
    let source = item.source.as_ref().and_then(source_word);
    let Some(prefix) = producers.get(&producer).map(|known| &known.prefix) else {
        return Ok(());
    };
    let checksum = prefix.of(
        dead.last,
        item.sequence,
        time,
        source.as_deref(),
        Some(&origin),
        &item.message,
    );
    connection
        .prepare_cached(
            "INSERT INTO message(id, stream, sequence, time, checksum, body, source, type, name, origin, asks)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute((
            key,
            producer,
            item.sequence as i64,
            time,
            checksum,
            &item.message.body[..],
            source,
            item.message.content_type.as_ref().map(|word| word.as_str()),
            item.message.name.as_ref().map(|word| word.as_str()),
            origin.to_string(),
            item.message.asks.then_some(1),
        ))?;
    Ok(())
}
