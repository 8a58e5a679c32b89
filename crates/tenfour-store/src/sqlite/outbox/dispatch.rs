//! Delivering what is in an outbox, as far as the disk is concerned.

use std::collections::HashMap;

use tenfour_proto::{Message, ProducerId};

use super::error::OutboxError;
use super::item::OutboxDestination;
use super::kept::{Kept, count_kept, size, trim};
use super::producer::{OutboxProducer, drop_old_producers, producers, save};
use super::queue::Outbox;
use super::rows;
use crate::error::OpenError;
use crate::lock::Lock;
use crate::sqlite::columns::{OFFSET_MASK, message_key};
use crate::sqlite::open::own;

/// A step of a delivery: written down with one flush.
#[derive(Clone, Debug, Default)]
pub struct Advance {
    /// Up to this number there are answers.
    pub settled: u64,
    /// The last number with a receipt.
    pub receipted: u64,
    /// Numbers that the server refused for good, with its reasons.
    pub refused: Vec<(u64, &'static str)>,
    /// The id of the store over there.
    pub store: Option<[u8; 16]>,
    /// So many messages more are wanted.
    pub items: usize,
    /// Or as many as have so many bytes together.
    pub bytes: u64,
}

/// An outbox whose messages this process delivers, alone.
pub struct Dispatch {
    pub(super) outbox: Outbox,
    /// Bytes of delivered messages that are kept for each server, in case it goes back.
    keep: u64,
    pub(super) kept: HashMap<i64, Kept>,
    /// The producer of each route that is being carried.
    carried: HashMap<i64, Carried>,
    flushes: bool,
    _lock: Lock,
}

#[derive(Debug)]
struct Carried {
    producer: OutboxProducer,
    /// New messages are put into it.
    grows: bool,
    /// Up to this number its messages were handed out.
    given: u64,
}

impl Outbox {
    /// Takes the delivering of this outbox: one process at a time may have it. Returns when everything that can be
    /// read is durable.
    ///
    /// # Errors
    ///
    /// [`OpenError::InUse`] while another process delivers.
    pub fn claim(self) -> Result<Dispatch, OpenError> {
        let lock = Lock::take(&self.path)?;
        own(&self.path, &self.connection)?;
        self.connection.set_prepared_statement_cache_capacity(64);
        Ok(Dispatch {
            outbox: self,
            keep: 0,
            kept: HashMap::new(),
            carried: HashMap::new(),
            flushes: true,
            _lock: lock,
        })
    }
}

impl Dispatch {
    /// Keeps so many bytes of delivered messages for each server.
    pub fn keep(&mut self, bytes: u64) {
        self.keep = bytes;
    }

    /// As [`Outbox::put`]. While a producer to that server grows, the messages are in it at once.
    pub fn put(&mut self, address: &str, messages: &[Message]) -> Result<u64, OutboxError> {
        self.flush_commits(true)?;
        let mut grown = None;
        let carried = &self.carried;
        let first = self
            .outbox
            .put_and(address, messages, |transaction, route, first| {
                let last = first + messages.len() as u64 - 1;
                if let Some(carried) = carried.get(&route).filter(|carried| carried.grows)
                    && !carried.producer.is_empty()
                    && carried.producer.numbered + 1 == first
                {
                    let mut producer = carried.producer.clone();
                    producer.numbered = last;
                    save(transaction, route, &producer)?;
                    grown = Some((route, last));
                }
                Ok(())
            })?;
        if let Some((route, last)) = grown
            && let Some(carried) = self.carried.get_mut(&route)
        {
            carried.producer.numbered = last;
        }
        Ok(first)
    }

    /// Begins to carry a producer, of which messages up to the number `given` were handed out. With `grows`, new
    /// messages are put into it. Before, and after [`end`](Self::end), they are in none.
    pub fn begin(&mut self, route: i64, producer: OutboxProducer, given: u64, grows: bool) {
        self.carried.insert(
            route,
            Carried {
                producer,
                grows,
                given,
            },
        );
    }

    /// Carries no producer to that server any more.
    pub fn end(&mut self, route: i64) {
        self.carried.remove(&route);
    }

    /// Whether commits are flushed. What only notes answers need not be: without the note they are given again.
    pub(super) fn flush_commits(&mut self, flushes: bool) -> rusqlite::Result<()> {
        if self.flushes != flushes {
            let word = if flushes { "FULL" } else { "NORMAL" };
            self.outbox.connection.pragma_update(None, "synchronous", word)?;
            self.flushes = flushes;
        }
        Ok(())
    }

    /// Changes whenever another process has changed something.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Gone`] when the file is not in its place any more.
    pub fn version(&self) -> Result<i64, OutboxError> {
        self.outbox.verify()?;
        Ok(self.outbox.version()?)
    }

    /// All servers.
    pub fn routes(&self) -> Result<Vec<OutboxDestination>, OutboxError> {
        self.outbox.routes()
    }

    /// The numbers and addresses of all servers.
    pub fn addresses(&self) -> Result<Vec<(i64, String)>, OutboxError> {
        let mut statement = self
            .outbox
            .connection
            .prepare_cached("SELECT id, address FROM route ORDER BY id")?;
        let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The id of the store that messages went to last.
    pub fn store(&self, route: i64) -> Result<Option<[u8; 16]>, OutboxError> {
        Ok(self
            .outbox
            .connection
            .prepare_cached("SELECT store FROM route WHERE id = ?1")?
            .query_row([route], |row| row.get(0))?)
    }

    /// Messages go to another store from here on, and nothing that was there before is missing in it.
    pub fn accept_store(&mut self, route: i64, store: [u8; 16]) -> Result<(), OutboxError> {
        self.outbox
            .connection
            .prepare_cached("UPDATE route SET store = ?2 WHERE id = ?1")?
            .execute((route, store))?;
        Ok(())
    }

    /// The producers to a server in the order of their numbers, the oldest first.
    pub fn producers(&self, route: i64) -> Result<Vec<OutboxProducer>, OutboxError> {
        Ok(producers(&self.outbox.connection, route)?)
    }

    /// The first number that is in no producer yet.
    pub fn next_new(&self, route: i64) -> Result<Option<u64>, OutboxError> {
        let connection = &self.outbox.connection;
        let first = rows::numbered(connection, route)? + 1;
        Ok(connection
            .prepare_cached("SELECT min(id) & 0xffffffffffff FROM message WHERE id BETWEEN ?1 AND ?2")?
            .query_row(
                (message_key(route, first), message_key(route, OFFSET_MASK as u64)),
                |row| row.get::<_, Option<i64>>(0),
            )?
            .map(|number| number as u64))
    }

    /// The next messages of a producer that have no answers: at most `items`, and no more once they have `bytes` bytes.
    pub fn unsettled(
        &self,
        route: i64,
        producer: &OutboxProducer,
        items: usize,
        bytes: u64,
    ) -> Result<Vec<(u64, Message)>, OutboxError> {
        let address = self.address(route)?;
        let (first, last) = (producer.settled + 1, producer.numbered);
        let found = rows::stretch(
            &self.outbox.connection,
            &address,
            route,
            first,
            last,
            items,
            bytes,
        )?;
        let gap = (first..)
            .zip(&found)
            .find(|(number, item)| item.number != *number);
        if let Some(number) = gap.map_or((found.is_empty() && first <= last).then_some(first), |gap| {
            Some(gap.0)
        }) {
            return Err(OutboxError::Damaged { address, number });
        }
        Ok(found
            .into_iter()
            .map(|item| (item.number, item.message))
            .collect())
    }

    fn address(&self, route: i64) -> rusqlite::Result<String> {
        self.outbox
            .connection
            .prepare_cached("SELECT address FROM route WHERE id = ?1")?
            .query_row([route], |row| row.get(0))
    }

    /// Writes down what the server answered, and gives the next messages of the producer that is carried: they are in it,
    /// on the disk, and may leave. None when the next one does not follow the last without a gap; it needs a producer of
    /// its own.
    pub fn advance(
        &mut self,
        route: i64,
        step: &Advance,
    ) -> Result<(OutboxProducer, Vec<(u64, Message)>), OutboxError> {
        let Some(mut carried) = self.carried.remove(&route) else {
            return Err(OutboxError::Closed);
        };
        let advanced = self.try_advance(route, &mut carried, step);
        if advanced.is_err() {
            // It may count what was rolled back.
            self.kept.remove(&route);
        }
        let producer = carried.producer.clone();
        self.carried.insert(route, carried);
        Ok((producer, advanced?))
    }

    fn try_advance(
        &mut self,
        route: i64,
        carried: &mut Carried,
        step: &Advance,
    ) -> Result<Vec<(u64, Message)>, OutboxError> {
        loop {
            let new = self.next(route, carried, step)?;
            let producer = &carried.producer;
            let mut after = producer.clone();
            if let (Some((first, _)), Some((last, _))) = (new.first(), new.last()) {
                if producer.is_empty() {
                    after.first = *first;
                    after.settled = first - 1;
                    after.receipted = first - 1;
                }
                after.numbered = after.numbered.max(*last);
            }
            if step.settled > after.settled {
                after.settled = step.settled;
                after.receipted = after.receipted.max(step.receipted);
            }
            // Somebody may have dropped one of them since they were read. Then they are read again.
            if !self.write(route, producer, &after, step)? {
                continue;
            }
            carried.given = new.last().map_or(carried.given, |last| last.0);
            carried.producer = after;
            return Ok(new);
        }
    }

    /// Writes a step down, with a flush if something gets a number by it. False if a message that should get one is not
    /// there any more; nothing is written then.
    fn write(
        &mut self,
        route: i64,
        before: &OutboxProducer,
        after: &OutboxProducer,
        step: &Advance,
    ) -> Result<bool, OutboxError> {
        if after == before && step.refused.is_empty() {
            return Ok(true);
        }
        // Before they leave.
        self.flush_commits(after.numbered != before.numbered)?;
        let transaction = rows::write(&mut self.outbox.connection)?;
        let first = after.first.max(before.numbered + 1);
        if rows::count(&transaction, route, first, after.numbered)?
            != (after.numbered + 1).saturating_sub(first)
        {
            return Ok(false);
        }
        save(&transaction, route, after)?;
        for (number, reason) in &step.refused {
            transaction
                .prepare_cached("UPDATE message SET refused = ?2 WHERE id = ?1")?
                .execute((message_key(route, *number), reason))?;
        }
        if step.store.is_some() {
            transaction
                .prepare_cached("UPDATE route SET store = ?2 WHERE id = ?1 AND store IS NOT ?2")?
                .execute((route, step.store))?;
        }
        if after.settled > before.settled && !before.is_empty() {
            let kept = match self.kept.get_mut(&route) {
                Some(kept) => kept,
                None => self
                    .kept
                    .entry(route)
                    .or_insert(count_kept(&transaction, route, before.settled)?),
            };
            let bytes = size(&transaction, route, before.settled + 1, after.settled)?;
            kept.pieces.push_back((after.settled, bytes));
            kept.bytes += bytes;
            trim(&transaction, route, kept, self.keep)?;
        }
        transaction.commit()?;
        Ok(true)
    }

    /// Messages that may leave next, if the producer covers them or can.
    fn next(
        &self,
        route: i64,
        carried: &Carried,
        step: &Advance,
    ) -> Result<Vec<(u64, Message)>, OutboxError> {
        let producer = &carried.producer;
        if step.items == 0 {
            return Ok(Vec::new());
        }
        let connection = &self.outbox.connection;
        let is_last = producer.is_empty() || rows::numbered(connection, route)? == producer.numbered;
        let first = if producer.is_empty() {
            rows::numbered(connection, route)? + 1
        } else {
            carried.given + 1
        };
        let last = if is_last && carried.grows {
            OFFSET_MASK as u64
        } else {
            producer.numbered
        };
        let address = self.address(route)?;
        let found = rows::stretch(connection, &address, route, first, last, step.items, step.bytes)?;
        let begin = match found.first() {
            Some(item) if producer.is_empty() => item.number,
            _ => first,
        };
        Ok((begin..)
            .zip(found)
            .take_while(|(number, item)| item.number == *number)
            .map(|(number, item)| (number, item.message))
            .collect())
    }

    /// The server knows that these producers are finished.
    pub fn finished(&mut self, route: i64, producers: &[ProducerId]) -> Result<(), OutboxError> {
        self.flush_commits(true)?;
        let transaction = rows::write(&mut self.outbox.connection)?;
        for producer in producers {
            transaction
                .prepare_cached("UPDATE stream SET finished = 1 WHERE stream = ?1")?
                .execute([producer.as_bytes()])?;
        }
        drop_old_producers(&transaction, route)?;
        transaction.commit()?;
        Ok(())
    }

    /// Drops everything for a server that has no receipt. Gives the number of messages, and how many of them may have
    /// left already. What was delivered and is kept stays, in case the server goes back, and so does what is known of that.
    pub fn abandon(&mut self, address: &str) -> Result<(u64, u64), OutboxError> {
        self.flush_commits(true)?;
        let transaction = rows::write(&mut self.outbox.connection)?;
        let Some(route) = rows::route(&transaction, address)? else {
            return Ok((0, 0));
        };
        let settled = rows::settled(&transaction, route)?;
        let numbered = rows::numbered(&transaction, route)?;
        let last = OFFSET_MASK as u64;
        let left = rows::count(&transaction, route, settled + 1, numbered)?;
        let waiting = rows::count(&transaction, route, settled + 1, last)?;
        rows::keep_last(&transaction, route)?;
        let refused = transaction.execute(
            "DELETE FROM message WHERE id BETWEEN ?1 AND ?2 AND refused IS NOT NULL",
            (message_key(route, 0), message_key(route, settled)),
        )?;
        rows::delete(&transaction, route, settled + 1, last)?;
        let dropped = waiting + refused as u64;
        // Their sequences are spent.
        transaction.execute("UPDATE stream SET settled = numbered WHERE route = ?1", [route])?;
        transaction.execute(
            "UPDATE route SET trouble = NULL WHERE id = ?1
             AND NOT EXISTS(SELECT 1 FROM stream WHERE route = route.id AND lost IS NOT NULL)",
            [route],
        )?;
        transaction.commit()?;
        Ok((dropped, left))
    }

    /// Notes why nothing is delivered, or that the trouble is over.
    pub fn note(&mut self, route: i64, error: Option<&str>) -> Result<(), OutboxError> {
        self.outbox
            .connection
            .prepare_cached("UPDATE route SET trouble = ?2 WHERE id = ?1 AND trouble IS NOT ?2")?
            .execute((route, error))?;
        Ok(())
    }
}

impl std::fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatch")
            .field("path", &self.outbox.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use rusqlite::Connection;
    use tenfour_proto::{Fingerprint, MailboxName};

    use super::*;

    thread_local! {
        /// Somebody who writes when it is our turn.
        static OTHER: RefCell<Option<Connection>> = const { RefCell::new(None) };
    }

    fn busy(_attempt: i32) -> bool {
        if let Some(other) = OTHER.take() {
            other.execute_batch("COMMIT").unwrap();
        }
        true
    }

    fn message(body: &'static str) -> Message {
        Message::new(MailboxName::inbox(), body)
    }

    /// `queue --drop` said that a message had never left, while it was being numbered. It left, or, after a crash in
    /// between, stood in the way of all others for good.
    #[test]
    fn a_message_that_is_dropped_while_it_gets_its_number_does_not_leave() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.db");
        let address = "localhost:1";
        let mut outbox = Outbox::open(&path).unwrap();
        outbox
            .put(address, &[message("1"), message("2"), message("3")])
            .unwrap();
        let mut dispatch = outbox.claim().unwrap();
        let route = dispatch.addresses().unwrap()[0].0;
        let producer = OutboxProducer::new(ProducerId::of_key("s"), Fingerprint::from_bytes([7; 32]));
        dispatch.begin(route, producer, 0, true);
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        rows::delete(&other, route, 2, 2).unwrap();
        OTHER.set(Some(other));
        dispatch.outbox.connection.busy_handler(Some(busy)).unwrap();
        let step = Advance {
            items: 10,
            bytes: 1_000,
            ..Advance::default()
        };
        let (producer, given) = dispatch.advance(route, &step).unwrap();
        assert!(OTHER.take().is_none(), "somebody had dropped it in between");
        let given: Vec<u64> = given.iter().map(|(number, _)| *number).collect();
        assert_eq!((given.as_slice(), producer.numbered), (&[1][..], 1));
    }
}
