//! A store that keeps nothing: bounded memory, gone when the process ends.

mod producers;
mod reader;
mod shared;
mod transaction;

use std::sync::{Arc, PoisonError, RwLock};

use tenfour_proto::{CursorName, Durability, MailboxName, ProducerId, Sender, Stored};

use crate::batch::{Batch, Committed};
use crate::cursor::CursorChange;
use crate::ledger;
use crate::mailboxes::Mailboxes;
use crate::quota::Quota;
use crate::retention::Rules;
use crate::{Readers, Removal, Store, StoreError};
use producers::Producers;
use reader::MemoryReader;
use shared::Shared;
use transaction::Transaction;

/// Memory for messages unless said otherwise, in bytes; then it refuses, like a full disk.
pub const DEFAULT_MEMORY_LIMIT: u64 = 256 * 1024 * 1024;

/// Messages in memory.
pub struct MemoryStore {
    id: [u8; 16],
    limit: u64,
    mailboxes: Mailboxes,
    producers: Producers,
    quota: Quota,
    rules: Option<Rules>,
    shared: Arc<RwLock<Shared>>,
}

impl MemoryStore {
    /// An empty store for at most `limit` bytes of messages.
    pub fn new(limit: u64) -> Self {
        let mut id = [0; 16];
        if getrandom::fill(&mut id).is_err() {
            // Only a distinction between stores hangs on it, and this one lives as long as we do.
            id = u128::from(std::process::id()).to_be_bytes();
        }
        MemoryStore {
            id,
            limit,
            mailboxes: Mailboxes::default(),
            producers: Producers::default(),
            quota: Quota::new(u64::MAX),
            rules: None,
            shared: Arc::default(),
        }
    }

    /// Senders without a key may hold so many bytes of bodies together; without this as much as everybody.
    #[must_use]
    pub fn with_anonymous_quota(mut self, bytes: u64) -> Self {
        self.quota = Quota::new(bytes);
        self
    }

    /// Says what mailboxes keep that get their first message from here on; without it, everything. Hours are not counted
    /// in memory: it keeps nothing for long.
    pub fn retain(&mut self, rules: Rules) {
        self.rules = Some(rules);
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        MemoryStore::new(DEFAULT_MEMORY_LIMIT)
    }
}

impl Store for MemoryStore {
    fn id(&self) -> [u8; 16] {
        self.id
    }

    fn durability(&self) -> Durability {
        Durability::Memory
    }

    fn blocks(&self) -> bool {
        false
    }

    fn commit(
        &mut self,
        batches: &[Batch],
        cursors: &[CursorChange],
        time: i64,
    ) -> Result<Committed, StoreError> {
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        let hours = shared.clock.hours();
        shared.used -= shared.replies.sweep(hours);
        let mut transaction = Transaction {
            shared: &mut shared,
            producers: &mut self.producers,
            limit: self.limit,
            rules: self.rules.as_ref(),
            time,
            hours,
            batch: None,
        };
        let Ok(draft) = ledger::draft(
            &mut transaction,
            &mut self.mailboxes,
            &self.quota,
            batches,
            cursors,
        );
        let raised = self.mailboxes.take_raised().into_iter();
        Ok(draft.after_commit(raised.map(|mailbox| (mailbox.name, mailbox.last))))
    }

    fn finish(&mut self, sender: &Sender, producers: &[ProducerId]) -> Result<bool, StoreError> {
        let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner);
        let hours = shared.clock.hours();
        self.producers.finish(sender, producers, hours);
        Ok(true)
    }

    fn remove_mailbox(&mut self, mailbox: &MailboxName, _: Option<u64>) -> Result<Removal, StoreError> {
        let Some(id) = self.mailboxes.find(mailbox) else {
            return Ok(Removal::Absent);
        };
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        shared.remove(mailbox);
        self.mailboxes.remove(id);
        Ok(Removal::Done)
    }

    fn remove_cursor(&mut self, mailbox: &MailboxName, name: &CursorName) -> Result<Removal, StoreError> {
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        let removed = shared.cursors.remove(&(mailbox.clone(), name.clone()));
        Ok(removed.map_or(Removal::Absent, |_| Removal::Done))
    }

    fn high_water_mark(&mut self, sender: &Sender, producer: ProducerId) -> Result<u64, StoreError> {
        let state = self.producers.get(sender, producer);
        Ok(state.map_or(0, |state| state.high_water_mark))
    }

    fn replay(
        &mut self,
        sender: &Sender,
        producer: ProducerId,
        after: u64,
        most: usize,
    ) -> Result<Stored, StoreError> {
        Ok(match self.producers.get(sender, producer) {
            Some(state) => ledger::replay(&self.mailboxes, self.producers.runs(state), after, most),
            None => ledger::replay(&self.mailboxes, [], after, most),
        })
    }

    fn readers(&self) -> Readers {
        let shared = Arc::clone(&self.shared);
        Readers::new(move || Ok(Box::new(MemoryReader(Arc::clone(&shared)))))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tenfour_proto::native::ProducerKind;
    use tenfour_proto::{Listener, Message, Reply, Source};

    use super::*;
    use crate::REPLY_HOURS;

    /// It gave a reply for ever, until the next reply swept it away.
    #[test]
    fn a_reply_is_kept_for_its_hours_and_no_longer() {
        let mut store = MemoryStore::default();
        let producer = ProducerId::of_key("s");
        let asked = Batch {
            sender: Sender::Anonymous,
            producer: Some((producer, ProducerKind::OneShot)),
            epoch: 0,
            source: Source {
                listener: Listener::Native,
                address: None,
            },
            messages: vec![(1, Message::new(MailboxName::inbox(), "?").asking())],
        };
        store.deposit(&[asked], 0).unwrap();
        let answer = CursorChange {
            mailbox: MailboxName::inbox(),
            name: "worker".parse().unwrap(),
            committed: 1,
            out_of_order: vec![],
            bury: vec![],
            answers: vec![(1, Reply::new("!"))],
            gives_back: false,
        };
        store.commit(&[], &[answer], 0).unwrap();
        let hour = Duration::from_secs(3600);
        let mut reader = store.reader().unwrap();
        let mut reply = || reader.reply(&Sender::Anonymous, producer, 1).unwrap();
        for _ in 1..REPLY_HOURS {
            store.shared.write().unwrap().clock.0 -= hour;
            assert_eq!(reply(), Some(Reply::new("!")));
        }
        store.shared.write().unwrap().clock.0 -= hour;
        assert_eq!(reply(), None);
    }
}
