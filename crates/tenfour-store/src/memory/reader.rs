//! Reading a store in memory.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tenfour_proto::{CursorName, Item, MailboxName, ProducerId, Reply, Sender};

use super::shared::{MemoryMailbox, Shared};
use crate::{CursorInfo, MailboxInfo, Position, ReadError, Reader};

pub(super) struct MemoryReader(pub(super) Arc<RwLock<Shared>>);

impl MemoryReader {
    fn shared(&self) -> RwLockReadGuard<'_, Shared> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader for MemoryReader {
    fn read(
        &mut self,
        mailbox: &MailboxName,
        from: u64,
        items: usize,
        bytes: u64,
    ) -> Result<Vec<Item>, ReadError> {
        let shared = self.shared();
        let mut found = Vec::new();
        let mut total = 0;
        let Some(mailbox) = shared.mailbox(mailbox) else {
            return Ok(found);
        };
        let first = from.max(mailbox.gone + 1);
        let skip = usize::try_from(first - mailbox.gone - 1).unwrap_or(usize::MAX);
        for (offset, kept) in (first..u64::MAX).zip(mailbox.kept.iter().skip(skip).take(items)) {
            let Some((sender, producer)) = shared.senders.get(kept.producer as usize) else {
                continue;
            };
            total += kept.message.body.len() as u64;
            let item = Item::new(offset, kept.time, sender.clone(), kept.message.clone())
                .numbered(*producer, kept.sequence)
                .come_from(kept.source)
                .buried_from(kept.origin.as_deref().cloned());
            found.push(item);
            if total >= bytes {
                break;
            }
        }
        Ok(found)
    }

    fn last_offset(&mut self, mailbox: &MailboxName) -> Result<u64, ReadError> {
        Ok(self.shared().mailbox(mailbox).map_or(0, MemoryMailbox::last))
    }

    fn first_since(&mut self, mailbox: &MailboxName, time: i64) -> Result<u64, ReadError> {
        Ok(self.shared().mailbox(mailbox).map_or(1, |mailbox| {
            mailbox.gone + mailbox.kept.partition_point(|kept| kept.time < time) as u64 + 1
        }))
    }

    fn cursors(&mut self) -> Result<Vec<CursorInfo>, ReadError> {
        let shared = self.shared();
        Ok(shared.cursors.iter().map(cursor_info).collect())
    }

    fn cursors_of(&mut self, mailbox: &MailboxName) -> Result<Vec<CursorInfo>, ReadError> {
        let shared = self.shared();
        let cursors = shared.cursors.iter().filter(|((of, _), _)| of == mailbox);
        Ok(cursors.map(cursor_info).collect())
    }

    fn position(&mut self, mailbox: &MailboxName, name: &CursorName) -> Result<Option<Position>, ReadError> {
        let key = (mailbox.clone(), name.clone());
        Ok(self.shared().cursors.get(&key).cloned())
    }

    fn reply(
        &mut self,
        sender: &Sender,
        producer: ProducerId,
        sequence: u64,
    ) -> Result<Option<Reply>, ReadError> {
        let shared = self.shared();
        let asked = (sender.clone(), producer, sequence);
        Ok(shared.replies.find(&asked, shared.clock.hours()))
    }

    fn sizes(&mut self) -> Result<Vec<(MailboxName, u64)>, ReadError> {
        let shared = self.shared();
        let boxes = shared.boxes.values();
        Ok(boxes
            .map(|mailbox| (mailbox.name.clone(), mailbox.bytes))
            .collect())
    }

    fn mailboxes(&mut self) -> Result<Vec<MailboxInfo>, ReadError> {
        let shared = self.shared();
        let mut mailboxes: Vec<_> = shared
            .boxes
            .values()
            .filter(|mailbox| !mailbox.is_removed)
            .map(mailbox_info)
            .collect();
        mailboxes.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(mailboxes)
    }

    fn mailbox(&mut self, name: &MailboxName) -> Result<Option<MailboxInfo>, ReadError> {
        let shared = self.shared();
        let mailbox = shared.mailbox(name).filter(|mailbox| !mailbox.is_removed);
        Ok(mailbox.map(mailbox_info))
    }
}

fn mailbox_info(mailbox: &MemoryMailbox) -> MailboxInfo {
    MailboxInfo {
        name: mailbox.name.clone(),
        first: mailbox.gone + 1,
        last: mailbox.last(),
    }
}

fn cursor_info(((mailbox, name), position): (&(MailboxName, CursorName), &Position)) -> CursorInfo {
    CursorInfo {
        mailbox: mailbox.clone(),
        name: name.clone(),
        committed: position.committed,
        done: position.out_of_order.values().filter(|given| given.done).count() as u64,
        expired: false,
    }
}
