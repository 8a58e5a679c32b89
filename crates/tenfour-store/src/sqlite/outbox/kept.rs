//! Delivered messages that stay for a while, in case their server goes back.

use std::collections::VecDeque;

use rusqlite::Connection;

use super::rows;
use crate::sqlite::columns::message_key;

/// What a message that is kept costs beside its body, in bytes.
const OVERHEAD: u64 = 100;

/// Kept messages that are counted together, and deleted together, after a start.
const PIECE: i64 = 1_000;

/// Delivered messages of one route that are still here.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Last number and bytes of each piece.
    pub(super) pieces: VecDeque<(u64, u64)>,
    pub(super) bytes: u64,
}

/// What a stretch of delivered messages costs.
pub(super) fn size(connection: &Connection, route: i64, first: u64, last: u64) -> rusqlite::Result<u64> {
    let bytes: i64 = connection
        .prepare_cached(
            "SELECT ifnull(sum(length(body) + ?3), 0) FROM message WHERE id BETWEEN ?1 AND ?2 AND refused IS NULL",
        )?
        .query_row(
            (
                message_key(route, first),
                message_key(route, last),
                OVERHEAD as i64,
            ),
            |row| row.get(0),
        )?;
    Ok(bytes as u64)
}

pub(super) fn count_kept(connection: &Connection, route: i64, settled: u64) -> rusqlite::Result<Kept> {
    let mut statement = connection.prepare_cached(
        "SELECT max(id) & 0xffffffffffff, sum(length(body) + ?3) FROM message
         WHERE id BETWEEN ?1 AND ?2 AND refused IS NULL GROUP BY id / ?4 ORDER BY 1",
    )?;
    let mut rows = statement.query((
        message_key(route, 0),
        message_key(route, settled),
        OVERHEAD as i64,
        PIECE,
    ))?;
    let mut kept = Kept::default();
    while let Some(row) = rows.next()? {
        let bytes = row.get::<_, i64>(1)? as u64;
        kept.pieces.push_back((row.get::<_, i64>(0)? as u64, bytes));
        kept.bytes += bytes;
    }
    Ok(kept)
}

/// Deletes the oldest delivered messages, down to `keep` bytes.
pub(super) fn trim(connection: &Connection, route: i64, kept: &mut Kept, keep: u64) -> rusqlite::Result<()> {
    let mut last = None;
    while kept.bytes > keep
        && let Some((number, bytes)) = kept.pieces.pop_front()
    {
        kept.bytes -= bytes;
        last = Some(number);
    }
    let Some(last) = last else { return Ok(()) };
    rows::keep_last(connection, route)?;
    connection
        .prepare_cached("DELETE FROM message WHERE id BETWEEN ?1 AND ?2 AND refused IS NULL")?
        .execute((message_key(route, 0), message_key(route, last)))?;
    Ok(())
}
