//! How many bytes of bodies each mailbox keeps, and what the messages of senders without a key cost in it.
//!
//! Counted in memory, and written down now and then: a row more in each commit would cost a page. What came since is
//! counted again when the store is opened.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;
use tenfour_proto::MailboxName;

use super::columns::{LAST_OFFSET, OFFSET_MASK, message_key};
use crate::quota;

/// Messages after which the count of a mailbox is written down with a commit: what an opening has to look at, at most.
const MESSAGES: u64 = 100_000;

/// The same when there is nothing else to do.
const QUIET: u64 = 1_000;

/// A row of `message` is of a sender that showed neither key nor token, in SQL. There may be a million of their producers: a
/// list of them would be made anew by each statement.
pub(super) const IS_SYNTHETIC: &str = "(SELECT sender.name IN ('anonymous', 'datagram') FROM stream
    JOIN sender ON sender.id = stream.sender WHERE stream.id = message.stream)";

/// [`cost`](crate::quota::cost) of a row.
fn cost_of_row() -> String {
    let (row, producer) = (quota::ROW, quota::PRODUCER);
    format!(
        "length(body) + ifnull(octet_length(type), 0) + ifnull(octet_length(name), 0) + {row} + (sequence = 1) * {producer}"
    )
}

#[derive(Clone, Copy, Debug, Default)]
struct Size {
    bytes: u64,
    /// What the messages of senders without a key cost.
    synthetic: u64,
    last: u64,
    /// Up to this offset the count is written down.
    counted: u64,
}

#[derive(Debug, Default)]
pub(super) struct Sizes {
    by_mailbox: HashMap<i64, Size>,
    synthetic: u64,
}

impl Sizes {
    /// What is written down, and what came since.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut sizes = Sizes::default();
        let mut mailboxes = connection.prepare_cached(&format!(
            "SELECT id, {LAST_OFFSET}, bytes, pseudo, counted FROM mailbox"
        ))?;
        let cost = cost_of_row();
        let mut since = connection.prepare_cached(&format!(
            "SELECT ifnull(sum(length(body)), 0),
                    ifnull(sum(CASE WHEN {IS_SYNTHETIC} THEN {cost} END), 0)
               FROM message WHERE id > ?1 AND id <= ?2"
        ))?;
        let mut rows = mailboxes.query(())?;
        while let Some(row) = rows.next()? {
            let number = |column| Ok::<_, rusqlite::Error>(row.get::<_, i64>(column)?.unsigned_abs());
            let (id, counted): (i64, u64) = (row.get(0)?, number(4)?);
            let end = message_key(id, OFFSET_MASK.unsigned_abs());
            let (bytes, synthetic): (i64, i64) = since.query_row((message_key(id, counted), end), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
            let size = Size {
                bytes: number(2)? + bytes.unsigned_abs(),
                synthetic: number(3)? + synthetic.unsigned_abs(),
                last: number(1)?,
                counted,
            };
            sizes.synthetic += size.synthetic;
            sizes.by_mailbox.insert(id, size);
        }
        Ok(sizes)
    }

    /// Messages were appended, the last one at this offset; those of senders without a key cost so much.
    pub(super) fn add(&mut self, mailbox: i64, last: u64, bytes: u64, synthetic: u64) {
        let size = self.by_mailbox.entry(mailbox).or_default();
        size.bytes += bytes;
        size.last = size.last.max(last);
        size.synthetic += synthetic;
        self.synthetic += synthetic;
    }

    /// Bytes that a mailbox keeps.
    pub(super) fn of(&self, mailbox: i64) -> u64 {
        self.by_mailbox.get(&mailbox).map_or(0, |size| size.bytes)
    }

    /// What senders without a key cost in a mailbox.
    pub(super) fn synthetic_of(&self, mailbox: i64) -> u64 {
        self.by_mailbox.get(&mailbox).map_or(0, |size| size.synthetic)
    }

    /// What all senders without a key cost together.
    pub(super) fn synthetic(&self) -> u64 {
        self.synthetic
    }

    /// Writes a mailbox down, in the transaction of now, if it has grown a lot.
    pub(super) fn save(&mut self, connection: &Connection, mailbox: i64) -> rusqlite::Result<()> {
        match self.by_mailbox.get_mut(&mailbox) {
            Some(size) if size.last - size.counted >= MESSAGES => write_down(connection, mailbox, size),
            _ => Ok(()),
        }
    }

    /// The same for all of them, when there is time.
    pub(super) fn tidy(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        for (mailbox, size) in &mut self.by_mailbox {
            if size.last - size.counted >= QUIET {
                write_down(connection, *mailbox, size)?;
            }
        }
        Ok(())
    }

    /// Messages were deleted, in the transaction of now.
    pub(super) fn delete(
        &mut self,
        connection: &Connection,
        mailbox: i64,
        bytes: u64,
        synthetic: u64,
    ) -> rusqlite::Result<()> {
        let size = self.by_mailbox.entry(mailbox).or_default();
        size.bytes = size.bytes.saturating_sub(bytes);
        size.synthetic = size.synthetic.saturating_sub(synthetic);
        self.synthetic = self.synthetic.saturating_sub(synthetic);
        // What is gone must not be counted from an older offset on.
        write_down(connection, mailbox, size)
    }
}

fn write_down(connection: &Connection, mailbox: i64, size: &mut Size) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE mailbox SET bytes = ?2, pseudo = ?3, counted = ?4 WHERE id = ?1")?
        .execute((
            mailbox,
            size.bytes as i64,
            size.synthetic as i64,
            size.last as i64,
        ))?;
    size.counted = size.last;
    Ok(())
}

/// Bytes that each mailbox keeps, as readers see it: of what is committed.
#[derive(Debug, Default)]
pub(super) struct Published(Mutex<HashMap<MailboxName, u64>>);

impl Published {
    pub(super) fn put(&self, mailbox: &MailboxName, bytes: u64) {
        let mut sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match sizes.get_mut(mailbox) {
            Some(size) => *size = bytes,
            None => _ = sizes.insert(mailbox.clone(), bytes),
        }
    }

    pub(super) fn remove(&self, mailbox: &MailboxName) {
        let mut sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.remove(mailbox);
    }

    pub(super) fn all(&self) -> Vec<(MailboxName, u64)> {
        let sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sizes
            .iter()
            .map(|(mailbox, bytes)| (mailbox.clone(), *bytes))
            .collect()
    }
}

/// Of the messages with keys from one to another: bytes of all, and what those of senders without a key cost.
pub(super) fn of_stretch(connection: &Connection, first: i64, last: i64) -> rusqlite::Result<(u64, u64)> {
    let cost = cost_of_row();
    connection
        .prepare_cached(&format!(
            "SELECT ifnull(sum(length(body)), 0), ifnull(sum(CASE WHEN {IS_SYNTHETIC} THEN {cost} END), 0)
             FROM message WHERE id BETWEEN ?1 AND ?2"
        ))?
        .query_row((first, last), |row| {
            Ok((
                row.get::<_, i64>(0)?.unsigned_abs(),
                row.get::<_, i64>(1)?.unsigned_abs(),
            ))
        })
}
