//! The streams of a store as its writer sees them: a cache over their rows.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};
use tenfour_proto::native::StreamKind;
use tenfour_proto::{Sender, StreamId};

use crate::checksum::Origin;
use crate::deposit::{PlacedRun, StreamState};
use crate::{MAX_ONE_SHOT_STREAMS, MAX_OUTBOX_STREAMS};

/// Streams kept in memory. Each takes about 250 bytes; the others are read again when they come back.
const CACHED: usize = 16_384;

/// A stream, and what is hashed the same for all of its messages.
pub(super) struct KnownStream {
    pub(super) state: StreamState,
    pub(super) origin: Origin,
}

#[derive(Default)]
pub(super) struct Streams {
    known: HashMap<(Sender, StreamId), KnownStream>,
}

impl Streams {
    /// Forgets everything: after a rollback only the rows are true.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// The stream, made if it is new. `None`: the sender has too many.
    pub(super) fn open(
        &mut self,
        connection: &Connection,
        sender: &Sender,
        stream: StreamId,
        kind: StreamKind,
        hours: i64,
    ) -> rusqlite::Result<Option<&mut KnownStream>> {
        let key = (sender.clone(), stream);
        if !self.known.contains_key(&key) {
            if self.known.len() >= CACHED {
                self.known.clear();
            }
            let state = match find(connection, sender, stream)? {
                Some(state) => state,
                None => match create(connection, sender, stream, kind, hours)? {
                    Some(state) => state,
                    None => return Ok(None),
                },
            };
            let origin = Origin::new(&sender.to_string(), stream);
            self.known.insert(key.clone(), KnownStream { state, origin });
        }
        Ok(self.known.get_mut(&key))
    }
}

/// Reads a stream's row.
pub(super) fn find(
    connection: &Connection,
    sender: &Sender,
    stream: StreamId,
) -> rusqlite::Result<Option<StreamState>> {
    connection
        .prepare_cached(
            "SELECT stream.id, mark, first, count, mailbox, offset FROM stream
             JOIN sender ON sender.id = stream.sender WHERE sender.name = ?1 AND stream.stream = ?2",
        )?
        .query_row((sender.to_string(), stream.as_bytes()), |row| {
            let last_run = match row.get::<_, Option<i64>>(2)? {
                None => None,
                Some(first) => Some(PlacedRun {
                    first: first as u64,
                    count: row.get::<_, i64>(3)? as u64,
                    mailbox: row.get(4)?,
                    offset: row.get::<_, i64>(5)? as u64,
                }),
            };
            Ok(StreamState {
                row: row.get(0)?,
                mark: row.get::<_, i64>(1)? as u64,
                last_run,
            })
        })
        .optional()
}

fn create(
    connection: &Connection,
    sender: &Sender,
    stream: StreamId,
    kind: StreamKind,
    hours: i64,
) -> rusqlite::Result<Option<StreamState>> {
    let (sender_row, streams, outboxes): (i64, u64, u64) = connection
        .prepare_cached(
            "INSERT INTO sender(name, streams, outboxes) VALUES (?1, 0, 0)
             ON CONFLICT(name) DO UPDATE SET name = name RETURNING id, streams, outboxes",
        )?
        .query_row([sender.to_string()], |row| {
            Ok((
                row.get(0)?,
                row.get::<_, i64>(1)? as u64,
                row.get::<_, i64>(2)? as u64,
            ))
        })?;
    let (column, too_many) = match kind {
        StreamKind::OneShot => ("streams", streams >= MAX_ONE_SHOT_STREAMS),
        StreamKind::Outbox => ("outboxes", outboxes >= MAX_OUTBOX_STREAMS),
    };
    if too_many {
        return Ok(None);
    }
    connection
        .prepare_cached(&format!(
            "UPDATE sender SET {column} = {column} + 1 WHERE id = ?1"
        ))?
        .execute([sender_row])?;
    let kind = match kind {
        StreamKind::OneShot => 0,
        StreamKind::Outbox => 1,
    };
    connection
        .prepare_cached("INSERT INTO stream(sender, stream, kind, mark, used) VALUES (?1, ?2, ?3, 0, ?4)")?
        .execute((sender_row, stream.as_bytes(), kind, hours))?;
    Ok(Some(StreamState {
        row: connection.last_insert_rowid(),
        mark: 0,
        last_run: None,
    }))
}

/// Writes a stream's row after its messages.
pub(super) fn save(connection: &Connection, state: &StreamState, hours: i64) -> rusqlite::Result<()> {
    let run = state.last_run;
    connection
        .prepare_cached(
            "UPDATE stream SET mark = ?2, first = ?3, count = ?4, mailbox = ?5, offset = ?6, used = ?7 WHERE id = ?1",
        )?
        .execute((
            state.row,
            state.mark as i64,
            run.map(|run| run.first as i64),
            run.map(|run| run.count as i64),
            run.map(|run| run.mailbox),
            run.map(|run| run.offset as i64),
            hours,
        ))?;
    Ok(())
}

/// A run that has begun at or before `sequence`, the latest of them.
pub(super) fn earlier_run(
    connection: &Connection,
    stream: i64,
    sequence: u64,
) -> rusqlite::Result<Option<PlacedRun>> {
    connection
        .prepare_cached(
            "SELECT first, count, mailbox, offset FROM run WHERE stream = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1",
        )?
        .query_row((stream, sequence as i64), placed_run)
        .optional()
}

/// All kept runs that reach above `after`, in order.
pub(super) fn runs_above(
    connection: &Connection,
    stream: i64,
    after: u64,
) -> rusqlite::Result<Vec<PlacedRun>> {
    connection
        .prepare_cached(
            "SELECT first, count, mailbox, offset FROM run WHERE stream = ?1 AND first + count - 1 > ?2 ORDER BY first",
        )?
        .query_map((stream, after as i64), placed_run)?
        .collect()
}

pub(super) fn keep_run(connection: &Connection, stream: i64, run: PlacedRun) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO run(stream, first, count, mailbox, offset) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute((
            stream,
            run.first as i64,
            run.count as i64,
            run.mailbox,
            run.offset as i64,
        ))?;
    Ok(())
}

fn placed_run(row: &rusqlite::Row<'_>) -> rusqlite::Result<PlacedRun> {
    Ok(PlacedRun {
        first: row.get::<_, i64>(0)? as u64,
        count: row.get::<_, i64>(1)? as u64,
        mailbox: row.get(2)?,
        offset: row.get::<_, i64>(3)? as u64,
    })
}
