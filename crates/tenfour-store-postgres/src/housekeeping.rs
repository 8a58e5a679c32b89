//! Deletes what need not be kept any more, whole packs, a piece at a time, by one server at a time.

use tenfour_store::ledger::{Mailbox, Policy, spares_keys};
use tenfour_store::{CURSOR_HOURS, REPLY_HOURS};

use crate::error::Trouble;
use crate::producers;
use crate::session::Session;
use crate::writer::Writer;

/// Packs deleted at once.
pub(crate) const PIECE: i64 = 64;

/// Rows looked at, or deleted, in one go.
const ROWS: i64 = 1_000;

/// What came since the sizes of a mailbox were last written down.
pub(crate) const COUNT: &str = "UPDATE mailbox SET counted = since.last, bytes = mailbox.bytes + since.bytes,
        synthetic = mailbox.synthetic + since.synthetic
    FROM (SELECT max(pack.last) AS last, sum(pack.bytes)::bigint AS bytes, sum(pack.synthetic)::bigint AS synthetic
            FROM pack JOIN mailbox ON mailbox.id = pack.mailbox WHERE pack.mailbox = $1 AND pack.last > counted) AS since
    WHERE mailbox.id = $1 AND since.last IS NOT NULL";

/// The offset of the last message must outlive it.
pub(crate) const DELETE: &str = "WITH deleted AS (
        DELETE FROM pack WHERE mailbox = $1 AND last IN
            (SELECT last FROM pack WHERE mailbox = $1 AND last <= $2 ORDER BY last LIMIT $3)
        RETURNING last, bytes, synthetic),
    gone AS (SELECT count(*) AS packs, max(last) AS last, sum(bytes)::bigint AS bytes, sum(synthetic)::bigint AS synthetic
               FROM deleted)
    UPDATE mailbox SET gone = greatest(gone, gone.last), bytes = mailbox.bytes - gone.bytes,
        synthetic = mailbox.synthetic - gone.synthetic
    FROM gone WHERE mailbox.id = $1 AND gone.packs > 0 RETURNING gone.packs, gone.last";

/// Nobody else keeps house meanwhile.
const HOUSE: &str = "SELECT 1 FROM store FOR NO KEY UPDATE SKIP LOCKED";

/// A mailbox, and the last offset of it that may go.
struct Old {
    mailbox: Mailbox,
    last: u64,
    is_quiet: bool,
}

impl Writer {
    /// A piece of what can wait; true when there is more.
    pub(crate) fn tidy_up(&mut self, is_idle: bool) -> Result<bool, Trouble> {
        if self.sizes.is_due() || self.hours.is_due() {
            let looked = self.beside(|writer, session| {
                if writer.hours.is_due() {
                    writer.hours.look(session)?;
                }
                writer.look_at_mailboxes(session)
            });
            if looked?.is_none() {
                return Ok(false);
            }
        }
        if !self.sizes.uncounted.is_empty() {
            self.count()?;
        }
        if is_idle && self.retention.swept != Some(self.hours.now()) {
            return self.sweep();
        }
        self.delete_old(is_idle)
    }

    /// Forgets old producers and replies; true when there are more.
    fn sweep(&mut self) -> Result<bool, Trouble> {
        let hours = self.hours.now();
        let is_more = self.transaction(|store, session, plan| {
            let more = session.run(async {
                store.lane.begin(session, Some(store.demand)).await?;
                if session.client().query_opt(HOUSE, &[]).await?.is_none() {
                    return Ok(false);
                }
                let replies = session
                    .client()
                    .execute(
                        "DELETE FROM reply WHERE (stream, sequence) IN
                         (SELECT stream, sequence FROM reply WHERE hours <= $1 LIMIT $2)",
                        &[&(hours - REPLY_HOURS), &ROWS],
                    )
                    .await?;
                // A server that was not seen for a day is gone. If it is not, it has lost its place.
                let lanes = "DELETE FROM lane WHERE seen < now() - interval '1 day'";
                session.client().batch_execute(lanes).await?;
                let done = "DELETE FROM done WHERE NOT EXISTS (SELECT 1 FROM lane WHERE id = done.lane)";
                session.client().batch_execute(done).await?;
                let before = |kind| Policy::forgotten_before(kind, hours).unwrap_or(i64::MIN);
                let old = session
                    .client()
                    .query(
                        "SELECT id FROM stream WHERE kind = 0 AND used < $1 OR kind = 3 AND used < $2
                         ORDER BY id LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED",
                        &[&before(Policy::ONE_SHOT), &before(Policy::DATAGRAM), &ROWS],
                    )
                    .await?;
                let old: Vec<i64> = old.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
                if !old.is_empty() {
                    producers::forget(session, &old).await?;
                    store.counts = producers::Counts::default();
                }
                Ok(replies >= ROWS.unsigned_abs() || old.len() as i64 >= ROWS)
            })?;
            *plan = Some(more);
            session.run(store.lane.end(session))
        })?;
        if !is_more {
            self.retention.swept = Some(hours);
        }
        Ok(is_more)
    }

    /// Writes down the sizes of mailboxes that have grown a lot: they are added up from there on, at each look of each server.
    fn count(&mut self) -> Result<(), Trouble> {
        let grown = std::mem::take(&mut self.sizes.uncounted);
        self.transaction(|store, session, plan| {
            session.run(async {
                store.lane.begin(session, Some(store.demand)).await?;
                if session.client().query_opt(HOUSE, &[]).await?.is_some() {
                    for mailbox in &grown {
                        let count = session.statement(COUNT)?;
                        session.client().execute(count, &[&(*mailbox as i32)]).await?;
                    }
                }
                Ok(())
            })?;
            *plan = Some(());
            session.run(store.lane.end(session))
        })
    }

    fn delete_old(&mut self, is_idle: bool) -> Result<bool, Trouble> {
        self.retention
            .know(self.mailboxes.iter().filter(|mailbox| !mailbox.is_new));
        if self
            .retention
            .known
            .values()
            .all(|retain| retain.hours.is_none() && retain.bytes.is_none())
        {
            return Ok(false);
        }
        let old = self.beside(|writer, session| writer.next_old(session, is_idle))?;
        let Some(old) = old.flatten() else {
            return Ok(false);
        };
        let deleted = self.transaction(|store, session, plan| {
            session.run(store.lane.begin(session, Some(store.demand)))?;
            *plan = Some(delete(session, old.mailbox.id, old.last)?);
            session.run(store.lane.end(session))
        })?;
        self.sizes.looked = None;
        if deleted > 0 && !old.is_quiet {
            tracing::info!(mailbox = %old.mailbox.name, packs = deleted, up_to = old.last, "deleted the oldest messages");
        }
        Ok(deleted > 0)
    }

    /// What comes next to be deleted.
    fn next_old(&mut self, session: &Session, is_idle: bool) -> Result<Option<Old>, Trouble> {
        let hours = self.hours.now();
        if self.retention.noted != Some(hours) {
            self.note_ages(session, hours)?;
            self.retention.noted = Some(hours);
        }
        let mailboxes: Vec<Mailbox> = self.mailboxes.iter().cloned().collect();
        for mailbox in mailboxes {
            let Some(retain) = self.retention.known.get(&mailbox.id).copied() else {
                continue;
            };
            if retain.idle && !is_idle {
                continue;
            }
            let size = self.sizes.of(mailbox.id);
            let excess = retain
                .bytes
                .and_then(|bytes| size.checked_sub(bytes))
                .filter(|excess| *excess > 0);
            let old = self.retention.old.get(&mailbox.id).copied();
            let large = match (excess, retain.bytes) {
                (Some(excess), Some(limit)) => self.beyond(session, &mailbox, excess, limit)?,
                _ => {
                    self.retention.closed.remove(&mailbox.id);
                    0
                }
            };
            let wanted = large.max(old.unwrap_or(0));
            if wanted == 0 {
                continue;
            }
            let last = match held(session, &mailbox, hours)? {
                Some((committed, cursor)) if !retain.unread && committed < wanted => {
                    if self.retention.said.insert(mailbox.id, hours) != Some(hours) {
                        tracing::warn!(mailbox = %mailbox.name, cursor, committed, wanted,
                            "messages that need not be kept are held back by a cursor");
                    }
                    committed
                }
                _ => wanted,
            };
            if oldest(session, mailbox.id)?.is_some_and(|oldest| oldest <= last) {
                let is_quiet = retain.idle;
                return Ok(Some(Old {
                    mailbox,
                    last,
                    is_quiet,
                }));
            }
            self.retention.old.remove(&mailbox.id);
        }
        Ok(None)
    }

    /// The end of the oldest packs that have no more than `excess` bytes; where those are a key's and only strangers' messages are
    /// too many, strangers wait.
    fn beyond(
        &mut self,
        session: &Session,
        mailbox: &Mailbox,
        excess: u64,
        limit: u64,
    ) -> Result<u64, Trouble> {
        let strangers = self.sizes.synthetic_of(mailbox.id);
        let known = self.sizes.of(mailbox.id).saturating_sub(strangers);
        let spares_keys = spares_keys(limit, known, strangers);
        let rows = session.run(async {
            Ok(session
                .client()
                .query(
                    "SELECT last, bytes, synthetic > 0 FROM pack WHERE mailbox = $1 ORDER BY last LIMIT $2",
                    &[&(mailbox.id as i32), &PIECE],
                )
                .await?)
        })?;
        let (mut last, mut sum, mut is_spared) = (0, 0, false);
        for row in rows {
            sum += row.try_get::<_, i64>(1)?.unsigned_abs();
            is_spared = spares_keys && !row.try_get::<_, bool>(2)?;
            if is_spared || sum > excess {
                break;
            }
            last = row.try_get::<_, i64>(0)?.unsigned_abs();
        }
        if last > 0 || !is_spared {
            self.retention.closed.remove(&mailbox.id);
        } else if self.retention.closed.insert(mailbox.id) {
            tracing::debug!(mailbox = %mailbox.name, "takes no more of senders without a key");
        }
        Ok(last)
    }

    /// Once an hour: how far each mailbox is, and what was that far long enough ago.
    fn note_ages(&mut self, session: &Session, hours: i64) -> Result<(), Trouble> {
        for mailbox in self.mailboxes.iter() {
            let Some(keep) = self
                .retention
                .known
                .get(&mailbox.id)
                .and_then(|retain| retain.hours)
            else {
                continue;
            };
            let (id, last) = (mailbox.id as i32, mailbox.last as i64);
            // Noted in the course of an hour: the next one says nothing yet of its end.
            let before = hours - i64::from(keep) - 1;
            let old = session.run(async {
                let client = session.client();
                client
                    .execute(
                        "INSERT INTO age(mailbox, hours, last) SELECT $1, $2, $3
                         WHERE $3 > coalesce((SELECT max(last) FROM age WHERE mailbox = $1), 0)
                         ON CONFLICT (mailbox, hours) DO NOTHING",
                        &[&id, &hours, &last],
                    )
                    .await?;
                let old: Option<i64> = client
                    .query_one(
                        "SELECT max(last) FROM age WHERE mailbox = $1 AND hours <= $2",
                        &[&id, &before],
                    )
                    .await?
                    .try_get(0)?;
                if let Some(old) = old {
                    client
                        .execute("DELETE FROM age WHERE mailbox = $1 AND last < $2", &[&id, &old])
                        .await?;
                }
                Ok(old)
            })?;
            if let Some(old) = old {
                self.retention.old.insert(mailbox.id, old.unsigned_abs());
            }
        }
        Ok(())
    }
}

/// The end of the oldest pack.
fn oldest(session: &Session, mailbox: i64) -> Result<Option<u64>, Trouble> {
    session.run(async {
        let row = session
            .client()
            .query_opt(
                "SELECT last FROM pack WHERE mailbox = $1 ORDER BY last LIMIT 1",
                &[&(mailbox as i32)],
            )
            .await?;
        Ok(row
            .map(|row| row.try_get::<_, i64>(0))
            .transpose()?
            .map(i64::unsigned_abs))
    })
}

/// The cursor that is furthest behind, of those that are in use.
fn held(session: &Session, mailbox: &Mailbox, hours: i64) -> Result<Option<(u64, String)>, Trouble> {
    session.run(async {
        let row = session
            .client()
            .query_opt(
                "SELECT floor, name FROM cursor WHERE mailbox = $1 AND $2 - used < $3 ORDER BY floor LIMIT 1",
                &[&mailbox.name.as_str(), &hours, &CURSOR_HOURS],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some((row.try_get::<_, i64>(0)?.unsigned_abs(), row.try_get(1)?)))
    })
}

/// Deletes the oldest packs of a mailbox up to an offset, a piece of them, in the transaction of now. Gives how many there were.
pub(crate) fn delete(session: &Session, mailbox: i64, last: u64) -> Result<u64, Trouble> {
    session.run(async {
        let id = mailbox as i32;
        session
            .client()
            .execute(session.statement(COUNT)?, &[&id])
            .await?;
        let deleted = session
            .client()
            .query_opt(session.statement(DELETE)?, &[&id, &(last as i64), &PIECE])
            .await?;
        Ok(deleted
            .map(|row| row.try_get::<_, i64>(0))
            .transpose()?
            .map_or(0, i64::unsigned_abs))
    })
}
