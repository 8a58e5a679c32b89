//! Whose messages they are: the rows that messages name by number.

use std::collections::HashMap;

use tenfour_proto::{Item, MailboxName, ProducerId, Sender};
use tenfour_store::ReadError;
use tenfour_store::ledger::{Prefix, source_of};

use crate::error::Trouble;
use crate::pack::{Stored, StoredEntry};
use crate::session::Session;

/// Kept in memory; the others are read again when they come back.
const CACHED: usize = 4_096;

pub(crate) const SELECT: &str =
    "SELECT stream.id, sender.name, stream.stream FROM stream JOIN sender ON sender.id = stream.sender
    WHERE stream.id = ANY($1)";

/// A stream, and what is hashed the same for all of its messages.
#[derive(Clone, Debug)]
pub(crate) struct KnownStream {
    pub(crate) sender: Sender,
    pub(crate) producer: ProducerId,
    pub(crate) prefix: Prefix,
}

/// Streams by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Streams(HashMap<i64, KnownStream>);

impl Streams {
    pub(crate) fn get(&self, id: i64) -> Option<&KnownStream> {
        self.0.get(&id)
    }

    /// Reads those that are not known yet.
    pub(crate) async fn know(
        &mut self,
        session: &Session,
        wanted: impl Iterator<Item = i64>,
    ) -> Result<(), Trouble> {
        let mut unknown: Vec<i64> = wanted.filter(|id| !self.0.contains_key(id)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        if unknown.is_empty() {
            return Ok(());
        }
        if self.0.len() >= CACHED {
            self.0.clear();
        }
        let rows = session
            .client()
            .query(session.statement(SELECT)?, &[&unknown])
            .await?;
        for row in rows {
            let name: &str = row.try_get(1)?;
            let producer: &[u8] = row.try_get(2)?;
            if let (Ok(sender), Ok(producer)) = (name.parse(), producer.try_into()) {
                let producer = ProducerId::from_bytes(producer);
                let known = KnownStream {
                    prefix: Prefix::new(name, producer),
                    sender,
                    producer,
                };
                self.0.insert(row.try_get(0)?, known);
            }
        }
        Ok(())
    }

    /// The message at an offset of a pack, if all of it is as it was written. Its stream is known.
    pub(crate) fn item(
        &self,
        mailbox: &MailboxName,
        pack: &Stored<'_>,
        offset: u64,
    ) -> Result<Item, ReadError> {
        let item = pack.get(offset).and_then(|entry| self.checked(mailbox, &entry));
        item.ok_or_else(|| ReadError::Damaged {
            mailbox: mailbox.clone(),
            offset,
        })
    }

    fn checked(&self, mailbox: &MailboxName, entry: &StoredEntry<'_>) -> Option<Item> {
        let known = self.get(entry.stream)?;
        let message = entry.message(mailbox)?;
        let origin = entry.origin.map(str::parse).transpose().ok()?;
        let sum = known.prefix.of(
            entry.offset,
            entry.sequence,
            entry.time,
            entry.source,
            origin.as_ref(),
            &message,
        );
        if sum != entry.sum {
            return None;
        }
        let source = source_of(entry.source)?;
        Some(
            Item::new(entry.offset, entry.time, known.sender.clone(), message)
                .numbered(known.producer, entry.sequence)
                .come_from(Some(source))
                .buried_from(origin),
        )
    }
}
