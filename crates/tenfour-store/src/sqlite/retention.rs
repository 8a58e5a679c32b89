//! Deletes what need not be kept any more, a piece at a time.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension};

use super::columns::{OFFSET_MASK, message_key};
use super::sizes::{self, IS_SYNTHETIC, Sizes};
use crate::cursor::CURSOR_HOURS;
use crate::mailboxes::{Mailbox, Mailboxes};
use crate::retention::{Retain, Rules, spares_keys};

/// Rows deleted at once: a few milliseconds, for which a message may have to wait.
pub(super) const PIECE: u32 = 2_000;

/// The rules, and what is on its way out by them.
#[derive(Default)]
pub(super) struct Retention {
    rules: Option<Rules>,
    /// What each mailbox keeps, by its number.
    known: HashMap<i64, Retain>,
    /// The hour in which ages were noted last.
    noted: Option<i64>,
    /// Messages up to here are old enough, by the number of the mailbox.
    old: HashMap<i64, u64>,
    /// Mailboxes of which it has been said in this hour that a cursor holds messages back.
    said: HashMap<i64, i64>,
    /// Mailboxes that take no more of strangers: what would have to go is a key's.
    closed: HashSet<i64>,
}

impl Retention {
    pub(super) fn by(rules: Rules) -> Self {
        Retention {
            rules: Some(rules),
            ..Retention::default()
        }
    }

    /// Nothing is said of what goes there.
    pub(super) fn is_quiet(&self, mailbox: i64) -> bool {
        self.known.get(&mailbox).is_some_and(|retain| retain.idle)
    }

    pub(super) fn closed_to_strangers(&self) -> &HashSet<i64> {
        &self.closed
    }

    /// What comes next to be deleted: the mailbox, and the last offset that may go.
    pub(super) fn next(
        &mut self,
        connection: &Connection,
        mailboxes: &Mailboxes,
        sizes: &Sizes,
        hours: i64,
        is_idle: bool,
    ) -> rusqlite::Result<Option<(i64, u64)>> {
        let Some(rules) = &self.rules else { return Ok(None) };
        for mailbox in mailboxes.iter().filter(|mailbox| !mailbox.is_new) {
            self.known
                .entry(mailbox.id)
                .or_insert_with(|| rules(&mailbox.name));
        }
        if self.noted != Some(hours) {
            self.note_ages(connection, mailboxes, hours)?;
            self.noted = Some(hours);
        }
        for mailbox in mailboxes.iter() {
            let Some(retain) = self.known.get(&mailbox.id).copied() else {
                continue;
            };
            if retain.idle && !is_idle {
                continue;
            }
            let too_large = retain.bytes.is_some_and(|bytes| sizes.of(mailbox.id) > bytes);
            let old = self.old.get(&mailbox.id).copied();
            if !too_large {
                self.closed.remove(&mailbox.id);
                if old.is_none() {
                    continue;
                }
            }
            let large = match retain.bytes.filter(|_| too_large) {
                Some(bytes) => self.beyond(connection, mailbox, bytes, sizes)?,
                None => 0,
            };
            let wanted = large.max(old.unwrap_or(0));
            let last = match held(connection, mailbox, hours)? {
                Some((committed, cursor)) if !retain.unread && committed < wanted => {
                    if self.said.insert(mailbox.id, hours) != Some(hours) {
                        tracing::warn!(mailbox = %mailbox.name, cursor, committed, wanted,
                            "messages that need not be kept are held back by a cursor");
                    }
                    committed
                }
                _ => wanted,
            };
            let oldest = oldest(connection, mailbox.id)?;
            if oldest.is_some_and(|oldest| oldest <= last) {
                return Ok(Some((mailbox.id, last)));
            }
            self.old.remove(&mailbox.id);
        }
        Ok(None)
    }

    /// How far a mailbox is beyond its size; where that would be a key's message for the sake of strangers, they wait.
    fn beyond(
        &mut self,
        connection: &Connection,
        mailbox: &Mailbox,
        limit: u64,
        sizes: &Sizes,
    ) -> rusqlite::Result<u64> {
        let (all, strangers) = (sizes.of(mailbox.id), sizes.synthetic_of(mailbox.id));
        let spares_keys = spares_keys(limit, all.saturating_sub(strangers), strangers);
        let last = beyond(connection, mailbox.id, all - limit, spares_keys)?;
        if last > 0 {
            self.closed.remove(&mailbox.id);
        } else if self.closed.insert(mailbox.id) {
            tracing::debug!(mailbox = %mailbox.name, "takes no more of senders without a key");
        }
        Ok(last)
    }

    /// Once an hour: how far each mailbox is, and what was that far long enough ago.
    fn note_ages(
        &mut self,
        connection: &Connection,
        mailboxes: &Mailboxes,
        hours: i64,
    ) -> rusqlite::Result<()> {
        let transaction = connection.unchecked_transaction()?;
        for mailbox in mailboxes.iter() {
            let Some(keep) = self.known.get(&mailbox.id).and_then(|retain| retain.hours) else {
                continue;
            };
            transaction
                .prepare_cached(
                    "INSERT INTO age(mailbox, hours, last) SELECT ?1, ?2, ?3
                     WHERE ?3 > ifnull((SELECT max(last) FROM age WHERE mailbox = ?1), 0)
                     ON CONFLICT(mailbox, hours) DO NOTHING",
                )?
                .execute((mailbox.id, hours, mailbox.last as i64))?;
            // Noted in the course of an hour: the next one says nothing yet of its end.
            let before = hours - i64::from(keep) - 1;
            let old: Option<i64> = transaction
                .prepare_cached("SELECT max(last) FROM age WHERE mailbox = ?1 AND hours <= ?2")?
                .query_row((mailbox.id, before), |row| row.get(0))?;
            if let Some(old) = old {
                self.old.insert(mailbox.id, old as u64);
                transaction
                    .prepare_cached("DELETE FROM age WHERE mailbox = ?1 AND last < ?2")?
                    .execute((mailbox.id, old))?;
            }
        }
        transaction.commit()
    }
}

/// The first offset that is there.
fn oldest(connection: &Connection, mailbox: i64) -> rusqlite::Result<Option<u64>> {
    let oldest: Option<i64> = connection
        .prepare_cached("SELECT min(id) & 0xffffffffffff FROM message WHERE id BETWEEN ?1 AND ?2")?
        .query_row(
            (message_key(mailbox, 0), message_key(mailbox, OFFSET_MASK as u64)),
            |row| row.get(0),
        )?;
    Ok(oldest.map(|oldest| oldest as u64))
}

/// The offset up to which the oldest messages have so many bytes, or what a piece of them has; with `spares_keys` it ends
/// before the first one of a key.
fn beyond(connection: &Connection, mailbox: i64, bytes: u64, spares_keys: bool) -> rusqlite::Result<u64> {
    let may_go = if spares_keys { IS_SYNTHETIC } else { "true" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT id & 0xffffffffffff, length(body), {may_go} FROM message WHERE id BETWEEN ?1 AND ?2
         ORDER BY id LIMIT ?3"
    ))?;
    let mut rows = statement.query((
        message_key(mailbox, 0),
        message_key(mailbox, OFFSET_MASK as u64),
        PIECE,
    ))?;
    let (mut last, mut sum) = (0, 0);
    while sum < bytes
        && let Some(row) = rows.next()?
        && row.get::<_, Option<bool>>(2)? == Some(true)
    {
        last = row.get::<_, i64>(0)? as u64;
        sum += row.get::<_, i64>(1)? as u64;
    }
    Ok(last)
}

/// The cursor that is furthest behind, of those that are in use.
fn held(connection: &Connection, mailbox: &Mailbox, hours: i64) -> rusqlite::Result<Option<(u64, String)>> {
    connection
        .prepare_cached(
            "SELECT floor, name FROM cursor WHERE mailbox = ?1 AND ?2 - used < ?3 ORDER BY floor LIMIT 1",
        )?
        .query_row((mailbox.name.as_str(), hours, CURSOR_HOURS), |row| {
            Ok((row.get::<_, i64>(0)? as u64, row.get(1)?))
        })
        .optional()
}

/// Deletes the oldest messages of a mailbox up to an offset, a piece of them. Gives how many there were.
pub(super) fn delete(
    connection: &Connection,
    sizes: &mut Sizes,
    mailbox: i64,
    last: u64,
) -> rusqlite::Result<usize> {
    let transaction = connection.unchecked_transaction()?;
    let first = message_key(mailbox, 0);
    let last: Option<i64> = transaction
        .prepare_cached(
            "SELECT max(id) FROM (SELECT id FROM message WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3)",
        )?
        .query_row((first, message_key(mailbox, last), PIECE), |row| row.get(0))?;
    let Some(last) = last else { return Ok(0) };
    let (bytes, synthetic) = sizes::of_stretch(&transaction, first, last)?;
    sizes.delete(&transaction, mailbox, bytes, synthetic)?;
    // The offset of the last message must outlive it.
    transaction
        .prepare_cached("UPDATE mailbox SET gone = ?2 WHERE id = ?1 AND gone < ?2")?
        .execute((mailbox, last & OFFSET_MASK))?;
    let deleted = transaction
        .prepare_cached("DELETE FROM message WHERE id BETWEEN ?1 AND ?2")?
        .execute((first, last))?;
    transaction.commit()?;
    Ok(deleted)
}
