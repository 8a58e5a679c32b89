//! The producers of an outbox, as their rows have them.

use rusqlite::Connection;
use tenfour_proto::{Fingerprint, ProducerId};

/// Finished producers of a server that are remembered: about one for each start.
const REMEMBERED: usize = 256;

/// A stretch of numbers that is, or was, sent as one producer. The message of number `first` has sequence 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxProducer {
    /// Its id.
    pub id: ProducerId,
    /// The key under which it is sent: another key would make other messages of these.
    pub sender: Fingerprint,
    /// Its first number.
    pub first: u64,
    /// Its last number so far.
    pub numbered: u64,
    /// Up to this number there are answers.
    pub settled: u64,
    /// The last number with a receipt.
    pub receipted: u64,
    /// The server knows that nothing of it is repeated.
    pub finished: bool,
    /// From this number on the server lacks what it gave receipts for.
    pub lost: Option<u64>,
}

impl OutboxProducer {
    /// One with nothing in it.
    pub fn new(id: ProducerId, sender: Fingerprint) -> Self {
        OutboxProducer {
            id,
            sender,
            first: 1,
            numbered: 0,
            settled: 0,
            receipted: 0,
            finished: false,
            lost: None,
        }
    }

    /// The sequence of a number; 0 for one before the producer.
    pub fn sequence(&self, number: u64) -> u64 {
        (number + 1).saturating_sub(self.first)
    }

    /// The number of a sequence.
    pub fn number(&self, sequence: u64) -> u64 {
        (self.first + sequence).saturating_sub(1)
    }

    /// Nothing is in it yet.
    pub fn is_empty(&self) -> bool {
        self.numbered < self.first
    }

    /// The server holds something of it for which there is a receipt.
    pub fn has_receipts(&self) -> bool {
        self.receipted >= self.first
    }

    /// Something of it has no answer.
    pub fn is_unsettled(&self) -> bool {
        self.settled < self.numbered
    }
}

pub(super) fn producers(connection: &Connection, route: i64) -> rusqlite::Result<Vec<OutboxProducer>> {
    let mut statement = connection.prepare_cached(
        "SELECT stream, sender, first, numbered, settled, receipted, finished, lost FROM stream
         WHERE route = ?1 ORDER BY first, id",
    )?;
    let rows = statement.query_map([route], |row| {
        let number = |column| row.get::<_, i64>(column).map(|number| number as u64);
        Ok(OutboxProducer {
            id: ProducerId::from_bytes(row.get(0)?),
            sender: row
                .get_ref(1)?
                .as_str()?
                .parse()
                .map_err(|_| rusqlite::Error::InvalidQuery)?,
            first: number(2)?,
            numbered: number(3)?,
            settled: number(4)?,
            receipted: number(5)?,
            finished: row.get(6)?,
            lost: row.get::<_, Option<i64>>(7)?.map(|number| number as u64),
        })
    })?;
    rows.collect()
}

pub(super) fn save(connection: &Connection, route: i64, producer: &OutboxProducer) -> rusqlite::Result<()> {
    if producer.is_empty() {
        return Ok(());
    }
    connection
        .prepare_cached(
            "INSERT INTO stream(route, stream, sender, first, numbered, settled, receipted, finished, lost)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT(stream) DO UPDATE SET
                numbered = max(numbered, ?5), settled = ?6, receipted = ?7, finished = ?8, lost = ?9",
        )?
        .execute((
            route,
            producer.id.as_bytes(),
            producer.sender.to_string(),
            producer.first as i64,
            producer.numbered as i64,
            producer.settled as i64,
            producer.receipted as i64,
            producer.finished,
            producer.lost.map(|number| number as i64),
        ))?;
    Ok(())
}

/// Forgets finished producers, except the last ones: by them it is found out what a server that went back lacks.
pub(super) fn drop_old_producers(connection: &Connection, route: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM stream WHERE route = ?1 AND finished AND lost IS NULL AND first <
             (SELECT first FROM stream WHERE route = ?1 ORDER BY first DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute((route, REMEMBERED as i64))?;
    Ok(())
}
