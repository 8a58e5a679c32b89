//! Cursors in the database.

use rusqlite::{Connection, OptionalExtension};
use tenfour_proto::{CursorName, MailboxName};

use crate::cursor::{AckState, CursorChange, Position};

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

/// It is there already.
pub(super) fn exists(
    connection: &Connection,
    mailbox: &MailboxName,
    name: &CursorName,
) -> rusqlite::Result<bool> {
    Ok(find(connection, mailbox, name)?.is_some())
}

/// How many there are.
pub(super) fn count(connection: &Connection) -> rusqlite::Result<usize> {
    let count: i64 = connection
        .prepare_cached("SELECT count(*) FROM cursor")?
        .query_row((), |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// Moves a cursor, or makes it, in the transaction of now.
pub(super) fn advance(connection: &Connection, change: &CursorChange, hours: i64) -> rusqlite::Result<()> {
    let id: i64 = connection
        .prepare_cached(
            "INSERT INTO cursor(mailbox, name, floor, used) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT(mailbox, name) DO UPDATE SET floor = ?3, used = ?4 RETURNING id",
        )?
        .query_row(
            (
                change.mailbox.as_str(),
                change.name.as_str(),
                change.committed as i64,
                hours,
            ),
            |row| row.get(0),
        )?;
    connection
        .prepare_cached("DELETE FROM given WHERE cursor = ?1 AND offset <= ?2")?
        .execute((id, change.committed as i64))?;
    let mut put = connection.prepare_cached(
        "INSERT OR REPLACE INTO given(cursor, offset, attempts, done) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (offset, state) in &change.out_of_order {
        put.execute((id, *offset as i64, state.attempts, state.done))?;
    }
    Ok(())
}

/// Removes a cursor, or all of a mailbox. Gives how many there were.
pub(super) fn remove(
    connection: &Connection,
    mailbox: &MailboxName,
    name: Option<&CursorName>,
) -> rusqlite::Result<usize> {
    let of = (mailbox.as_str(), name.map(CursorName::as_str));
    connection
        .prepare_cached(
            "DELETE FROM given WHERE cursor IN
             (SELECT id FROM cursor WHERE mailbox = ?1 AND ifnull(name = ?2, true))",
        )?
        .execute(of)?;
    connection
        .prepare_cached("DELETE FROM cursor WHERE mailbox = ?1 AND ifnull(name = ?2, true)")?
        .execute(of)
}
