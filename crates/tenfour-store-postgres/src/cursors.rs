//! Cursors in the database.

use std::collections::BTreeSet;

use futures_util::try_join;
use tenfour_proto::{CursorName, MailboxName};
use tenfour_store::{AckState, CursorChange, Position};
use tokio_postgres::Row;

use crate::error::Trouble;
use crate::session::Session;

/// Nobody else moves these meanwhile; in the order of their numbers.
pub(crate) const LOCK: &str = "SELECT cursor.mailbox, cursor.name FROM cursor
    JOIN unnest($1::text[], $2::text[]) AS wanted(mailbox, name) USING (mailbox, name)
    ORDER BY cursor.id FOR NO KEY UPDATE OF cursor";

/// Makes it, or says that it is used. What a server has done may lie beyond all that was drawn.
pub(crate) const MOVE: &str = "INSERT INTO cursor(mailbox, name, floor, next, used) VALUES ($1, $2, $3::bigint, $3::bigint + 1, $4)
    ON CONFLICT (mailbox, name) DO UPDATE SET next = greatest(cursor.next, excluded.next), used = excluded.used";

/// Blocks of a server that are all done up to an offset.
pub(crate) const END_BLOCKS: &str = "DELETE FROM block USING cursor WHERE block.cursor = cursor.id
    AND cursor.mailbox = $1 AND cursor.name = $2 AND block.lane = $3 AND block.last <= $4";

/// And one that is done in part.
pub(crate) const TRIM_BLOCK: &str =
    "UPDATE block SET first = $4::bigint + 1 FROM cursor WHERE block.cursor = cursor.id
    AND cursor.mailbox = $1 AND cursor.name = $2 AND block.lane = $3 AND block.first <= $4";

pub(crate) const GIVE_BACK: &str = "UPDATE block SET lane = NULL FROM cursor WHERE block.cursor = cursor.id
    AND cursor.mailbox = $1 AND cursor.name = $2 AND block.lane = $3";

/// All are done that were drawn and are in no block.
pub(crate) const RAISE: &str = "UPDATE cursor SET floor = greatest(floor, least(next, coalesce(
        (SELECT min(first) FROM block WHERE block.cursor = cursor.id), next)) - 1)
    WHERE mailbox = $1 AND name = $2";

/// What was known of messages that are all done.
pub(crate) const FORGET: &str = "DELETE FROM given USING cursor
    WHERE given.cursor = cursor.id AND cursor.mailbox = $1 AND cursor.name = $2 AND (given.\"offset\" <= cursor.floor
       OR given.\"offset\" < cursor.next AND NOT EXISTS (
          SELECT 1 FROM block WHERE block.cursor = cursor.id AND given.\"offset\" BETWEEN block.first AND block.last))";

pub(crate) const GIVE: &str = "INSERT INTO given(cursor, \"offset\", attempts, done)
    SELECT cursor.id, new.\"offset\", new.attempts, new.done
      FROM unnest($3::bigint[], $4::integer[], $5::boolean[]) AS new(\"offset\", attempts, done), cursor
     WHERE cursor.mailbox = $1 AND cursor.name = $2 AND new.\"offset\" > cursor.floor
    ON CONFLICT (cursor, \"offset\") DO UPDATE
       SET attempts = excluded.attempts, done = excluded.done OR given.done";

/// Locks those that are there, and gives their names.
pub(crate) async fn lock(session: &Session, changes: &[CursorChange]) -> Result<Vec<Row>, Trouble> {
    let all: BTreeSet<(&str, &str)> = changes
        .iter()
        .map(|change| (change.mailbox.as_str(), change.name.as_str()))
        .collect();
    let (mailboxes, names): (Vec<&str>, Vec<&str>) = all.into_iter().unzip();
    if mailboxes.is_empty() {
        return Ok(Vec::new());
    }
    let statement = session.statement(LOCK)?;
    Ok(session.client().query(statement, &[&mailboxes, &names]).await?)
}

/// Which one a row of [`LOCK`] names.
pub(crate) fn key(row: &Row) -> Result<(MailboxName, CursorName), Trouble> {
    let mailbox = row.try_get::<_, &str>(0)?.parse();
    let name = row.try_get::<_, &str>(1)?.parse();
    match (mailbox, name) {
        (Ok(mailbox), Ok(name)) => Ok((mailbox, name)),
        _ => Err(Trouble::Failed("a cursor with a strange name".into())),
    }
}

/// Moves a cursor, or makes it, in the transaction of now.
pub(crate) async fn advance(
    session: &Session,
    lane: i64,
    change: &CursorChange,
    hours: i64,
) -> Result<(), Trouble> {
    let client = session.client();
    let (mailbox, name) = (change.mailbox.as_str(), change.name.as_str());
    let offsets: Vec<i64> = change
        .out_of_order
        .iter()
        .map(|(offset, _)| *offset as i64)
        .collect();
    let attempts: Vec<i32> = change
        .out_of_order
        .iter()
        .map(|(_, state)| i32::try_from(state.attempts).unwrap_or(i32::MAX))
        .collect();
    let done: Vec<bool> = change.out_of_order.iter().map(|(_, state)| state.done).collect();
    let floor = change.committed as i64;
    let moved = async {
        let statement = session.statement(MOVE)?;
        client
            .execute(statement, &[&mailbox, &name, &floor, &hours])
            .await?;
        Ok::<_, Trouble>(())
    };
    let of_lane = |sql: &'static str| async move {
        let statement = session.statement(sql)?;
        client
            .execute(statement, &[&mailbox, &name, &lane, &floor])
            .await?;
        Ok::<_, Trouble>(())
    };
    let given_back = async {
        if change.gives_back {
            let statement = session.statement(GIVE_BACK)?;
            client.execute(statement, &[&mailbox, &name, &lane]).await?;
        }
        Ok(())
    };
    let of_all = |sql: &'static str| async move {
        client
            .execute(session.statement(sql)?, &[&mailbox, &name])
            .await?;
        Ok::<_, Trouble>(())
    };
    let given = async {
        if !offsets.is_empty() {
            let statement = session.statement(GIVE)?;
            client
                .execute(statement, &[&mailbox, &name, &offsets, &attempts, &done])
                .await?;
        }
        Ok(())
    };
    try_join!(
        moved,
        of_lane(END_BLOCKS),
        of_lane(TRIM_BLOCK),
        given,
        given_back,
        of_all(RAISE),
        of_all(FORGET)
    )?;
    Ok(())
}

/// Where a cursor is; `None` if there is none of that name. As it is at one moment.
pub(crate) async fn position(
    session: &Session,
    mailbox: &MailboxName,
    name: &CursorName,
) -> Result<Option<Position>, Trouble> {
    let rows = session
        .client()
        .query(
            "SELECT floor, \"offset\", attempts, done FROM cursor LEFT JOIN given ON given.cursor = cursor.id
             WHERE mailbox = $1 AND name = $2",
            &[&mailbox.as_str(), &name.as_str()],
        )
        .await?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let mut position = Position {
        committed: first.try_get::<_, i64>(0)? as u64,
        ..Position::default()
    };
    for row in &rows {
        if let Some(offset) = row.try_get::<_, Option<i64>>(1)? {
            let state = AckState {
                attempts: row.try_get::<_, i32>(2)?.unsigned_abs(),
                done: row.try_get(3)?,
            };
            position.out_of_order.insert(offset as u64, state);
        }
    }
    Ok(Some(position))
}

/// Deletes one cursor of a mailbox, or all, in the transaction of now. Gives how many there were.
pub(crate) async fn delete(
    session: &Session,
    mailbox: &MailboxName,
    name: Option<&CursorName>,
) -> Result<u64, Trouble> {
    let (mailbox, name) = (mailbox.as_str(), name.map(CursorName::as_str));
    session
        .client()
        .execute(
            "DELETE FROM block USING cursor WHERE block.cursor = cursor.id AND cursor.mailbox = $1
               AND coalesce(cursor.name = $2, true)",
            &[&mailbox, &name],
        )
        .await?;
    session
        .client()
        .execute(
            "DELETE FROM given USING cursor WHERE given.cursor = cursor.id AND cursor.mailbox = $1
               AND coalesce(cursor.name = $2, true)",
            &[&mailbox, &name],
        )
        .await?;
    Ok(session
        .client()
        .execute(
            "DELETE FROM cursor WHERE mailbox = $1 AND coalesce(name = $2, true)",
            &[&mailbox, &name],
        )
        .await?)
}
