//! A server that went back: what it lacks, and what is done about it.

use rusqlite::{Connection, OptionalExtension};
use tenfour_proto::ProducerId;

use super::dispatch::Dispatch;
use super::error::OutboxError;
use super::producer::{producers, save};
use super::rows;
use super::verdict::Verdict;
use crate::sqlite::columns::message_key;

impl Dispatch {
    /// Notes that the server lacks what it gave receipts for: of each producer, from this number on. `store` is the one
    /// that it has now.
    pub fn note_lost(
        &mut self,
        route: i64,
        lost: &[(ProducerId, u64)],
        store: [u8; 16],
    ) -> Result<(), OutboxError> {
        self.flush_commits(true)?;
        // What is queued from here on belongs to no producer that is decided about.
        self.end(route);
        let transaction = rows::write(&mut self.outbox.connection)?;
        // What was decided about that store stays so, when it is found out again.
        transaction.execute(
            "UPDATE route SET now = ?2, verdict = CASE WHEN now IS ?2 THEN verdict ELSE 0 END WHERE id = ?1",
            (route, store),
        )?;
        for (producer, from) in lost {
            transaction.execute(
                "UPDATE stream SET lost = ?2 WHERE stream = ?1",
                (producer.as_bytes(), *from as i64),
            )?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Does what was decided about lost messages, if anything was. Gives the number of messages that will go again and
    /// of those that are not here any more.
    pub fn take_verdict(&mut self, route: i64) -> Result<Option<(u64, u64)>, OutboxError> {
        self.flush_commits(true)?;
        let transaction = rows::write(&mut self.outbox.connection)?;
        let verdict: i64 =
            transaction.query_row("SELECT verdict FROM route WHERE id = ?1", [route], |row| {
                row.get(0)
            })?;
        let Some(verdict) = Verdict::of_row(verdict) else {
            return Ok(None);
        };
        let resend = verdict == Verdict::Resend;
        let (mut again, mut gone) = (0, 0);
        let producers = producers(&transaction, route)?;
        let regressed = producers
            .iter()
            .any(|producer| producer.lost.is_some_and(|lost| lost <= producer.receipted));
        for mut producer in producers {
            let Some(lost) = producer.lost.take() else {
                continue;
            };
            let receipted = producer.receipted;
            // The server's mark is there now.
            producer.receipted = receipted.min(lost - 1);
            let here: Option<i64> = transaction
                .query_row(
                    "SELECT min(id) & 0xffffffffffff FROM message WHERE id BETWEEN ?1 AND ?2 AND refused IS NULL",
                    (message_key(route, lost), message_key(route, producer.numbered)),
                    |row| row.get(0),
                )
                .optional()?
                .flatten();
            let here = here.map(|number| number as u64);
            gone += here
                .map_or(receipted + 1, |here| here.min(receipted + 1))
                .saturating_sub(lost);
            if !resend && !regressed {
                // Another store, which lacks nothing: the verdict is about what may be in the first one.
                rows::keep_last(&transaction, route)?;
                rows::delete(&transaction, route, lost, producer.numbered)?;
                gone += (producer.numbered + 1).saturating_sub(lost);
                producer.settled = producer.numbered;
            }
            match here.filter(|_| resend) {
                // Nothing is missing from there on: it goes on as it was, under the same identities.
                Some(here) if rows::whole(&transaction, route, here, producer.numbered)? => {
                    again += (receipted + 1).saturating_sub(here);
                    producer.settled = here - 1;
                    producer.finished = false;
                    save(&transaction, route, &producer)?;
                }
                Some(here) => {
                    again += move_to_the_end(&transaction, route, here, producer.settled)?;
                    save(&transaction, route, &producer)?;
                }
                None => save(&transaction, route, &producer)?,
            }
        }
        transaction.execute(
            "UPDATE route SET verdict = 0, trouble = NULL, store = now, now = NULL WHERE id = ?1",
            [route],
        )?;
        transaction.commit()?;
        self.kept.remove(&route);
        Ok(Some((again, gone)))
    }
}

/// Queues delivered messages again, as new ones: their producer has a gap that cannot be filled.
fn move_to_the_end(connection: &Connection, route: i64, first: u64, last: u64) -> Result<u64, OutboxError> {
    let address: String =
        connection.query_row("SELECT address FROM route WHERE id = ?1", [route], |row| {
            row.get(0)
        })?;
    let found = rows::stretch(connection, &address, route, first, last, usize::MAX, u64::MAX)?;
    let mut moved = 0;
    for item in found.into_iter().filter(|item| item.refused.is_none()) {
        let new = rows::last(connection, route)? + 1;
        rows::insert(connection, &address, route, new, item.time, &item.message)?;
        rows::delete(connection, route, item.number, item.number)?;
        moved += 1;
    }
    Ok(moved)
}
