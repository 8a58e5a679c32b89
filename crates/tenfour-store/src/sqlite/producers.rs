//! The producers of a store as its writer sees them: a cache over their rows.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};
use tenfour_proto::{ProducerId, Sender};

use crate::checksum::Prefix;
use crate::ledger::{PlacedRun, ProducerState};
use crate::policy::Policy;

/// Producers kept in memory. Each takes about 250 bytes; the others are read again when they come back.
const CACHED: usize = 16_384;

/// Senders whose producers are counted in memory.
const CACHED_SENDERS: usize = 16_384;

/// Rows looked at for old producers in one go: about a millisecond, for which a message may have to wait.
const SWEEP: i64 = 2_000;

/// Which producers of a piece of the table are old enough to be forgotten; of the others no age is asked.
const OLD: &str = "id > ?1 AND id <= ?2 AND (kind = 0 AND used < ?3 OR kind = 3 AND used < ?4)";

/// A producer, and what is hashed the same for all of its messages.
pub(super) struct KnownProducer {
    pub(super) state: ProducerState,
    pub(super) prefix: Prefix,
    /// The hour that its row names as the last of its use.
    pub(super) used: i64,
}

#[derive(Default)]
pub(super) struct Producers {
    known: HashMap<(Sender, ProducerId), KnownProducer>,
    senders: HashMap<Sender, KnownSender>,
    /// The sweep for old producers goes on behind this row; none is under way otherwise.
    sweep: Option<i64>,
    /// The hour of the last sweep.
    swept: i64,
}

/// A sender's row, and the number of its producers by kind. A row of its own for the count would be one more page in the
/// commit of each single message.
struct KnownSender {
    row: i64,
    /// One-shot producers; of `datagram`, its producers.
    others: Count,
    outbox: Count,
    /// Behind this row the next one is looked for that makes room for another.
    recycled: i64,
}

/// A number of producers.
#[derive(Clone, Copy)]
struct Count {
    /// There are no more than so many.
    most: u64,
    /// And no fewer, as far as is known. To count a million takes a tenth of a second, for which everybody waits: it is done
    /// when the bound says that there may be too many, and not before.
    is_exact: bool,
}

impl Count {
    const NONE: Count = Count {
        most: 0,
        is_exact: true,
    };
}

impl Producers {
    /// Forgets everything: after a rollback only the rows are true.
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.senders.clear();
    }

    /// One that was opened.
    pub(super) fn known(&mut self, sender: &Sender, producer: ProducerId) -> Option<&mut KnownProducer> {
        self.known.get_mut(&(sender.clone(), producer))
    }

    /// The producer, made if it is new. `None`: the sender has too many.
    pub(super) fn open(
        &mut self,
        connection: &Connection,
        sender: &Sender,
        producer: ProducerId,
        policy: Policy,
        hours: i64,
    ) -> rusqlite::Result<Option<&mut KnownProducer>> {
        let key = (sender.clone(), producer);
        if !self.known.contains_key(&key) {
            if self.known.len() >= CACHED {
                self.known.clear();
            }
            let (state, used) = match find(connection, sender, producer)? {
                Some(Found::Live(state, used)) => (state, used),
                found => {
                    let forgotten = matches!(found, Some(Found::Forgotten(_)));
                    match self.create(connection, sender, producer, policy, hours, forgotten)? {
                        Some(state) => (state, hours),
                        None => return Ok(None),
                    }
                }
            };
            let prefix = Prefix::new(&sender.to_string(), producer);
            self.known
                .insert(key.clone(), KnownProducer { state, prefix, used });
        }
        Ok(self.known.get_mut(&key))
    }

    /// Begins a producer; one that was forgotten has a row already, for the sake of its messages.
    fn create(
        &mut self,
        connection: &Connection,
        sender: &Sender,
        producer: ProducerId,
        policy: Policy,
        hours: i64,
        forgotten: bool,
    ) -> rusqlite::Result<Option<ProducerState>> {
        if !self.senders.contains_key(sender) {
            if self.senders.len() >= CACHED_SENDERS {
                self.senders.clear();
            }
            self.senders.insert(sender.clone(), know(connection, sender)?);
        }
        let Some(known) = self.senders.get_mut(sender) else {
            return Ok(None);
        };
        let count = match policy.kind {
            Policy::OUTBOX => &mut known.outbox,
            _ => &mut known.others,
        };
        // What is without a producer has one of zeros, which is there whatever others have used up.
        let is_counted = *producer.as_bytes() != [0; 16];
        if is_counted && count.most >= policy.most && !count.is_exact {
            *count = count_producers(connection, known.row, policy.kind)?;
        }
        if is_counted && count.most >= policy.most {
            if !sender.is_synthetic() {
                return Ok(None);
            }
            // Nobody answers for it, so nobody may use it up: the oldest makes room.
            let oldest = recycle(connection, known.row, policy.kind, known.recycled)?;
            known.recycled = oldest.map_or(0, |(row, _)| row);
            if let Some((_, oldest)) = oldest {
                self.known.remove(&(sender.clone(), oldest));
            }
        } else if is_counted {
            count.most += 1;
        }
        let row = if forgotten {
            connection
                .prepare_cached(
                    "UPDATE stream SET kind = ?3, used = ?4, mark = 0 WHERE sender = ?1 AND stream = ?2 RETURNING id",
                )?
                .query_row((known.row, producer.as_bytes(), policy.kind, hours), |row| row.get(0))?
        } else {
            connection
                .prepare_cached(
                    "INSERT INTO stream(sender, stream, kind, mark, used) VALUES (?1, ?2, ?3, 0, ?4)",
                )?
                .execute((known.row, producer.as_bytes(), policy.kind, hours))?;
            connection.last_insert_rowid()
        };
        Ok(Some(ProducerState {
            row,
            high_water_mark: 0,
            last_run: None,
        }))
    }

    /// Makes producers of an outbox one-shot producers, in a transaction of its own.
    pub(super) fn finish(
        &mut self,
        connection: &Connection,
        sender: &Sender,
        producers: &[ProducerId],
        hours: i64,
    ) -> rusqlite::Result<()> {
        let transaction = connection.unchecked_transaction()?;
        for producer in producers {
            transaction
                .prepare_cached(&format!(
                    "UPDATE stream SET kind = {}, used = ?3 WHERE kind = {} AND stream = ?2
                     AND sender = (SELECT id FROM sender WHERE name = ?1)",
                    Policy::ONE_SHOT,
                    Policy::OUTBOX
                ))?
                .execute((sender.to_string(), producer.as_bytes(), hours))?;
            self.known.remove(&(sender.clone(), *producer));
        }
        transaction.commit()?;
        self.senders.remove(sender);
        Ok(())
    }

    /// Forgets a piece of the producers that were not used for so long; true when there is more to look at.
    pub(super) fn sweep(&mut self, connection: &Connection, hours: i64) -> rusqlite::Result<bool> {
        let after = match self.sweep {
            Some(after) => after,
            None if hours == self.swept => return Ok(false),
            None => {
                self.swept = hours;
                0
            }
        };
        let last = after + SWEEP;
        let before = |kind| Policy::forgotten_before(kind, hours);
        let old = (after, last, before(Policy::ONE_SHOT), before(Policy::DATAGRAM));
        let any: bool = connection
            .prepare_cached(&format!("SELECT EXISTS(SELECT 1 FROM stream WHERE {OLD})"))?
            .query_row(old, |row| row.get(0))?;
        if any {
            let transaction = connection.unchecked_transaction()?;
            transaction
                .prepare_cached(&format!(
                    "DELETE FROM run WHERE stream IN (SELECT id FROM stream WHERE {OLD})"
                ))?
                .execute(old)?;
            transaction
                .prepare_cached(&format!(
                    "UPDATE stream SET kind = {}, first = NULL, count = NULL, mailbox = NULL, offset = NULL
                     WHERE {OLD}",
                    Policy::FORGOTTEN
                ))?
                .execute(old)?;
            transaction.commit()?;
            self.forget();
        }
        let end: i64 = connection
            .prepare_cached("SELECT ifnull(max(id), 0) FROM stream")?
            .query_row((), |row| row.get(0))?;
        self.sweep = (last < end).then_some(last);
        Ok(self.sweep.is_some())
    }
}

fn know(connection: &Connection, sender: &Sender) -> rusqlite::Result<KnownSender> {
    let name = sender.to_string();
    let found: Option<i64> = connection
        .prepare_cached("SELECT id FROM sender WHERE name = ?1")?
        .query_row([&name], |row| row.get(0))
        .optional()?;
    let Some(row) = found else {
        connection
            .prepare_cached("INSERT INTO sender(name) VALUES (?1)")?
            .execute([&name])?;
        return Ok(KnownSender {
            row: connection.last_insert_rowid(),
            others: Count::NONE,
            outbox: Count::NONE,
            recycled: 0,
        });
    };
    // No sender has more than there are.
    let most: i64 = connection
        .prepare_cached("SELECT ifnull(max(id), 0) FROM stream")?
        .query_row((), |row| row.get(0))?;
    let bound = Count {
        most: most.unsigned_abs(),
        is_exact: false,
    };
    Ok(KnownSender {
        row,
        others: bound,
        outbox: bound,
        recycled: 0,
    })
}

/// How many producers of that kind a sender has.
fn count_producers(connection: &Connection, sender: i64, kind: i64) -> rusqlite::Result<Count> {
    let count = |sql| -> rusqlite::Result<u64> {
        let count: i64 = connection
            .prepare_cached(sql)?
            .query_row([sender], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    };
    let outbox = count("SELECT count(*) FROM stream WHERE sender = ?1 AND kind = 1")?;
    let most = match kind {
        Policy::OUTBOX => outbox,
        _ => {
            let all = count("SELECT count(*) FROM stream WHERE sender = ?1")?;
            let forgotten = count("SELECT count(*) FROM stream WHERE sender = ?1 AND kind = 2")?;
            all.saturating_sub(outbox + forgotten)
        }
    };
    Ok(Count { most, is_exact: true })
}

/// Forgets the oldest producer of that kind behind a row, of those that stored one message: a device that goes on sending
/// keeps its mark. Gives its row; where there is none, the search begins again at the next time.
fn recycle(
    connection: &Connection,
    sender: i64,
    kind: i64,
    behind: i64,
) -> rusqlite::Result<Option<(i64, ProducerId)>> {
    let oldest: Option<(i64, [u8; 16])> = connection
        .prepare_cached(
            "SELECT id, stream FROM stream WHERE sender = ?1 AND kind = ?2 AND id > ?3 AND mark <= 1 AND stream <> zeroblob(16)
             ORDER BY id LIMIT 1",
        )?
        .query_row((sender, kind, behind), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((row, producer)) = oldest else {
        return Ok(None);
    };
    connection
        .prepare_cached("DELETE FROM run WHERE stream = ?1")?
        .execute([row])?;
    connection
        .prepare_cached(&format!(
            "UPDATE stream SET kind = {}, first = NULL, count = NULL, mailbox = NULL, offset = NULL WHERE id = ?1",
            Policy::FORGOTTEN
        ))?
        .execute([row])?;
    Ok(Some((row, ProducerId::from_bytes(producer))))
}

/// What there is of a producer.
enum Found {
    /// With the hour of its last use.
    Live(ProducerState, i64),
    /// Only the row that its messages name, with the mark that it had.
    Forgotten(u64),
}

/// Reads what is known of a producer; nothing of one that is new or forgotten.
pub(super) fn state(
    connection: &Connection,
    sender: &Sender,
    producer: ProducerId,
) -> rusqlite::Result<Option<ProducerState>> {
    Ok(match find(connection, sender, producer)? {
        Some(Found::Live(state, _)) => Some(state),
        Some(Found::Forgotten(_)) | None => None,
    })
}

/// The mark that a producer had which is forgotten; 0 for any other.
pub(super) fn forgotten_high_water_mark(
    connection: &Connection,
    sender: &Sender,
    producer: ProducerId,
) -> rusqlite::Result<u64> {
    Ok(match find(connection, sender, producer)? {
        Some(Found::Forgotten(high_water_mark)) => high_water_mark,
        Some(Found::Live(..)) | None => 0,
    })
}

fn find(connection: &Connection, sender: &Sender, producer: ProducerId) -> rusqlite::Result<Option<Found>> {
    connection
        .prepare_cached(
            "SELECT stream.id, mark, first, count, mailbox, offset, kind, used FROM stream
             JOIN sender ON sender.id = stream.sender WHERE sender.name = ?1 AND stream.stream = ?2",
        )?
        .query_row((sender.to_string(), producer.as_bytes()), found)
        .optional()
}

/// The same by the producer's number.
pub(super) fn by_row(connection: &Connection, producer: i64) -> rusqlite::Result<Option<ProducerState>> {
    let row = connection
        .prepare_cached(
            "SELECT id, mark, first, count, mailbox, offset, kind, used FROM stream WHERE id = ?1",
        )?
        .query_row([producer], found)
        .optional()?;
    Ok(match row {
        Some(Found::Live(state, _)) => Some(state),
        Some(Found::Forgotten(_)) | None => None,
    })
}

fn found(row: &rusqlite::Row<'_>) -> rusqlite::Result<Found> {
    if row.get::<_, i64>(6)? == Policy::FORGOTTEN {
        return Ok(Found::Forgotten(row.get::<_, i64>(1)? as u64));
    }
    let last_run = match row.get::<_, Option<i64>>(2)? {
        None => None,
        Some(first) => Some(PlacedRun {
            first: first as u64,
            count: row.get::<_, i64>(3)? as u64,
            mailbox: row.get(4)?,
            offset: row.get::<_, i64>(5)? as u64,
        }),
    };
    let state = ProducerState {
        row: row.get(0)?,
        high_water_mark: row.get::<_, i64>(1)? as u64,
        last_run,
    };
    Ok(Found::Live(state, row.get(7)?))
}

/// Writes a producer's row after its messages.
pub(super) fn save(connection: &Connection, state: &ProducerState, hours: i64) -> rusqlite::Result<()> {
    let run = state.last_run;
    connection
        .prepare_cached(
            "UPDATE stream SET mark = ?2, first = ?3, count = ?4, mailbox = ?5, offset = ?6, used = ?7 WHERE id = ?1",
        )?
        .execute((
            state.row,
            state.high_water_mark as i64,
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
    producer: i64,
    sequence: u64,
) -> rusqlite::Result<Option<PlacedRun>> {
    connection
        .prepare_cached(
            "SELECT first, count, mailbox, offset FROM run WHERE stream = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1",
        )?
        .query_row((producer, sequence as i64), placed_run)
        .optional()
}

/// The first `most` kept runs that reach above `after`, in order.
pub(super) fn runs_above(
    connection: &Connection,
    producer: i64,
    after: u64,
    most: usize,
) -> rusqlite::Result<Vec<PlacedRun>> {
    connection
        .prepare_cached(
            "SELECT first, count, mailbox, offset FROM run WHERE stream = ?1 AND first + count - 1 > ?2
             ORDER BY first LIMIT ?3",
        )?
        .query_map((producer, after as i64, most as i64), placed_run)?
        .collect()
}

pub(super) fn keep_run(connection: &Connection, producer: i64, run: PlacedRun) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO run(stream, first, count, mailbox, offset) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute((
            producer,
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
