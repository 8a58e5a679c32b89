//! A store that keeps nothing: bounded memory, gone when the process ends.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use tenfour_proto::native::ProducerKind;
use tenfour_proto::{
    CursorName, Durability, Item, MailboxName, Message, Origin, ProducerId, Reply, Sender, Settlement,
    Source, TemporaryCode,
};

use crate::batch::{Answered, Batch, BatchOutcome, Committed, Stored};
use crate::bench_mailbox::{self, is_bench};
use crate::cursor::{CursorChange, CursorInfo, CursorOutcome, MAX_CURSORS, Position};
use crate::deposit::{self, Backend, Comparison, PlacedRun, ProducerState};
use crate::mailboxes::Mailboxes;
use crate::policy::Policy;
use crate::quota::Quota;
use crate::replies::{self, Replies};
use crate::{MailboxInfo, ReadError, Reader, Store, StoreError};

/// Memory for messages unless said otherwise, in bytes; then it refuses, like a full disk.
pub const DEFAULT_MEMORY_LIMIT: u64 = 256 * 1024 * 1024;

/// What a message costs beside its bytes.
const OVERHEAD: u64 = 160;

/// What a producer costs.
const PRODUCER: u64 = 300;

/// Messages in memory.
#[derive(Debug)]
pub struct MemoryStore {
    id: [u8; 16],
    limit: u64,
    mailboxes: Mailboxes,
    /// With the hour of their last use.
    producers: HashMap<(Sender, ProducerId), (ProducerState, Policy, i64)>,
    counts: HashMap<(Sender, i64), u64>,
    opened: Instant,
    replies: Replies,
    quota: Quota,
    /// Number of the producer -> its earlier runs, in order.
    runs: Vec<Vec<PlacedRun>>,
    shared: Arc<RwLock<Shared>>,
}

/// What readers see.
#[derive(Debug, Default)]
struct Shared {
    used: u64,
    /// Bytes of bodies of senders without a key.
    synthetic: u64,
    by_name: HashMap<MailboxName, i64>,
    /// Of `used`, in the mailboxes of `tenfour bench`.
    bench: u64,
    /// By number of the mailbox. One that was opened and got no message yet has no place here.
    boxes: HashMap<i64, MemoryMailbox>,
    senders: Vec<(String, ProducerId)>,
    cursors: BTreeMap<(MailboxName, CursorName), Position>,
}

#[derive(Debug)]
struct MemoryMailbox {
    name: MailboxName,
    /// Messages that are gone from the front.
    gone: u64,
    /// In the order of their offsets; the first has `gone + 1`.
    kept: VecDeque<Kept>,
    /// Of their bodies.
    bytes: u64,
}

impl MemoryMailbox {
    fn get(&self, offset: u64) -> Option<&Kept> {
        self.kept
            .get(usize::try_from(offset.checked_sub(self.gone + 1)?).ok()?)
    }

    fn last(&self) -> u64 {
        self.gone + self.kept.len() as u64
    }
}

#[derive(Clone, Debug)]
struct Kept {
    producer: u32,
    is_synthetic: bool,
    sequence: u64,
    time: i64,
    source: Source,
    origin: Option<Box<Origin>>,
    message: Message,
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
            producers: HashMap::new(),
            counts: HashMap::new(),
            opened: Instant::now(),
            replies: Replies::default(),
            quota: Quota::new(u64::MAX),
            runs: Vec::new(),
            shared: Arc::default(),
        }
    }

    /// Senders without a key may hold so many bytes of bodies together; without this as much as everybody.
    #[must_use]
    pub fn with_anonymous_quota(mut self, bytes: u64) -> Self {
        self.quota = Quota::new(bytes);
        self
    }

    fn hours(&self) -> i64 {
        i64::try_from(self.opened.elapsed().as_secs() / 3600).unwrap_or(0)
    }

    /// Number of the producer, made if it is new.
    fn open_producer(&mut self, shared: &mut Shared, batch: &Batch) -> Option<(ProducerState, Policy)> {
        let (producer, kind) = batch
            .producer
            .unwrap_or((ProducerId::from_bytes([0; 16]), ProducerKind::OneShot));
        let key = (batch.sender.clone(), producer);
        let hours = self.hours();
        if let Some((state, policy, used)) = self.producers.get_mut(&key) {
            *used = hours;
            return Some((*state, *policy));
        }
        let policy = Policy::of(&batch.sender, kind);
        let counted = (batch.sender.clone(), policy.kind);
        if self
            .counts
            .get(&counted)
            .is_some_and(|count| *count >= policy.most)
        {
            self.forget_old(hours);
        }
        let count = self.counts.entry(counted).or_default();
        if *count >= policy.most {
            return None;
        }
        *count += 1;
        shared.used += PRODUCER;
        let state = ProducerState {
            row: i64::try_from(self.runs.len()).ok()?,
            high_water_mark: 0,
            last_run: None,
        };
        self.runs.push(Vec::new());
        shared.senders.push((batch.sender.to_string(), producer));
        self.producers.insert(key, (state, policy, hours));
        Some((state, policy))
    }

    /// Moves a cursor, or makes it.
    fn change_cursor(&mut self, shared: &mut Shared, change: &CursorChange, time: i64) -> CursorOutcome {
        let key = (change.mailbox.clone(), change.name.clone());
        if shared.cursors.len() >= MAX_CURSORS && !shared.cursors.contains_key(&key) {
            return CursorOutcome::TooMany;
        }
        let from = shared.mailbox(&change.mailbox);
        let letters: Vec<Kept> = change
            .bury
            .iter()
            .filter_map(|offset| {
                let mut letter = from?.get(*offset)?.clone();
                letter.time = time;
                letter.message.mailbox = change.name.dead_letters().clone();
                letter.origin.get_or_insert_with(|| {
                    Box::new(Origin {
                        mailbox: change.mailbox.clone(),
                        offset: *offset,
                    })
                });
                Some(letter)
            })
            .collect();
        let size: u64 = letters.iter().map(Kept::size).sum();
        if !letters.is_empty() {
            // Room first: what is opened here stays open.
            if shared.used + size > self.limit {
                return CursorOutcome::NotNow;
            }
            let Some(dead) = self.mailboxes.open(change.name.dead_letters()) else {
                return CursorOutcome::NotNow;
            };
            for letter in letters {
                dead.last += 1;
                dead.raised = true;
                shared.push(dead.id, letter);
            }
        }
        let position = shared.cursors.entry(key).or_default();
        position.committed = change.committed;
        position.out_of_order.extend(change.out_of_order.iter().copied());
        position.out_of_order = position.out_of_order.split_off(&(change.committed + 1));
        CursorOutcome::Moved
    }

    /// Writes down the replies of a change.
    fn put_replies(&mut self, shared: &mut Shared, change: &CursorChange, answered: &mut Vec<Answered>) {
        let hours = self.hours();
        shared.used -= self.replies.sweep(hours);
        for (offset, reply) in change.replies() {
            let Some(kept) = shared
                .mailbox(&change.mailbox)
                .and_then(|mailbox| mailbox.get(offset))
            else {
                continue;
            };
            let (producer, sequence) = (kept.producer, kept.sequence);
            if !kept.message.asks || sequence == 0 {
                continue;
            }
            let Some((name, id)) = shared.senders.get(producer as usize) else {
                continue;
            };
            let Ok(sender) = name.parse::<Sender>() else {
                continue;
            };
            let asked = (sender, *id, sequence);
            if let Some(size) = self.replies.put(&asked, &reply, hours) {
                shared.used += size;
                let (sender, producer, sequence) = asked;
                answered.push(Answered {
                    sender,
                    producer,
                    sequence,
                    reply,
                });
            }
        }
    }

    /// Old producers are looked for only when somebody has too many.
    fn forget_old(&mut self, hours: i64) {
        let (counts, runs) = (&mut self.counts, &mut self.runs);
        self.producers.retain(|(sender, _), (state, policy, used)| {
            let old = Policy::forgotten_before(policy.kind, hours).is_some_and(|before| *used < before);
            if old {
                if let Some(count) = counts.get_mut(&(sender.clone(), policy.kind)) {
                    *count -= 1;
                }
                if let Some(runs) = runs.get_mut(state.row as usize) {
                    *runs = Vec::new();
                }
            }
            !old
        });
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        MemoryStore::new(DEFAULT_MEMORY_LIMIT)
    }
}

struct Work<'w> {
    shared: &'w mut Shared,
    runs: &'w mut Vec<Vec<PlacedRun>>,
    time: i64,
    producer: i64,
    source: Source,
    numbered: bool,
    is_synthetic: bool,
}

impl<'a> Backend<'a> for Work<'_> {
    fn append(&mut self, mailbox: i64, _offset: u64, sequence: u64, message: &'a Message) {
        let shared = &mut *self.shared;
        let size = shared.push(
            mailbox,
            Kept {
                producer: self.producer as u32,
                is_synthetic: self.is_synthetic,
                sequence: if self.numbered { sequence } else { 0 },
                time: self.time,
                source: self.source,
                origin: None,
                message: message.clone(),
            },
        );
        if is_bench(&message.mailbox)
            && let Some(mailbox) = shared.boxes.get_mut(&mailbox)
        {
            shared.bench += size;
            while shared.bench > bench_mailbox::LIMIT
                && let Some(oldest) = mailbox.kept.pop_front()
            {
                let size = oldest.size();
                let body = oldest.message.body.len() as u64;
                mailbox.bytes -= body;
                shared.synthetic -= if oldest.is_synthetic { body } else { 0 };
                mailbox.gone += 1;
                shared.bench -= size;
                shared.used -= size;
            }
        }
    }

    fn keep_run(&mut self, producer: i64, run: PlacedRun) -> Result<(), StoreError> {
        if let Some(runs) = self.runs.get_mut(producer as usize) {
            runs.push(run);
        }
        Ok(())
    }

    fn earlier_run(&mut self, producer: i64, sequence: u64) -> Result<Option<PlacedRun>, StoreError> {
        Ok(self.runs.get(producer as usize).and_then(|runs| {
            let after = runs.partition_point(|run| run.first <= sequence);
            runs.get(after.checked_sub(1)?).copied()
        }))
    }

    fn compare(&mut self, mailbox: i64, offset: u64, message: &Message) -> Result<Comparison, StoreError> {
        let kept = self
            .shared
            .boxes
            .get(&mailbox)
            .and_then(|mailbox| mailbox.get(offset));
        Ok(match kept {
            Some(kept) if kept.message == *message => Comparison::Same,
            Some(_) => Comparison::Different,
            None => Comparison::Gone,
        })
    }
}

impl Store for MemoryStore {
    fn id(&self) -> [u8; 16] {
        self.id
    }

    fn durability(&self) -> Durability {
        Durability::Memory
    }

    fn commit(
        &mut self,
        batches: &[Batch],
        cursors: &[CursorChange],
        time: i64,
    ) -> Result<Committed, StoreError> {
        let shared = Arc::clone(&self.shared);
        let mut shared = write(&shared);
        let mut outcomes = Vec::with_capacity(batches.len());
        let mut full = false;
        for batch in batches {
            let wanted: u64 = batch
                .messages
                .iter()
                .map(|(_, message)| message.body.len() as u64 + OVERHEAD)
                .sum();
            // Once full, full for all that follow: a later batch may belong to the same producer.
            full |= shared.used + wanted > self.limit;
            if full || batch.sender.is_synthetic() && !self.quota.has_room(shared.synthetic, batch) {
                outcomes.push(BatchOutcome::NotNow(TemporaryCode::Full));
                continue;
            }
            let Some((mut state, policy)) = self.open_producer(&mut shared, batch) else {
                outcomes.push(BatchOutcome::NotNow(TemporaryCode::Busy));
                continue;
            };
            let mut work = Work {
                shared: &mut shared,
                runs: &mut self.runs,
                time,
                producer: state.row,
                source: batch.source,
                numbered: batch.producer.is_some(),
                is_synthetic: batch.sender.is_synthetic(),
            };
            let producer = batch.producer.is_some().then_some(&mut state);
            let settlement = deposit::deposit(
                &mut work,
                &mut self.mailboxes,
                producer,
                policy.in_turn,
                &batch.messages,
            )?;
            if let Some((producer, _)) = batch.producer
                && let Some((kept, ..)) = self.producers.get_mut(&(batch.sender.clone(), producer))
            {
                *kept = state;
            }
            outcomes.push(BatchOutcome::Settled(Stored::after_commit(settlement)));
        }
        let mut answered = Vec::new();
        let cursors = cursors
            .iter()
            .map(|change| {
                let size: u64 = change.answers.iter().map(|(_, reply)| replies::size(reply)).sum();
                if size > 0 && shared.used + size > self.limit {
                    return CursorOutcome::NotNow;
                }
                let outcome = self.change_cursor(&mut shared, change, time);
                if outcome == CursorOutcome::Moved {
                    self.put_replies(&mut shared, change, &mut answered);
                }
                outcome
            })
            .collect();
        let raised = self.mailboxes.take_raised().into_iter();
        Ok(Committed {
            outcomes,
            cursors,
            answered,
            raised: raised.map(|mailbox| (mailbox.name, mailbox.last)).collect(),
        })
    }

    fn cursor(&mut self, mailbox: &MailboxName, name: &CursorName) -> Result<Option<Position>, StoreError> {
        let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner);
        Ok(shared.cursors.get(&(mailbox.clone(), name.clone())).cloned())
    }

    fn sizes(&self) -> Vec<(MailboxName, u64)> {
        let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner);
        let boxes = shared.boxes.values();
        boxes
            .map(|mailbox| (mailbox.name.clone(), mailbox.bytes))
            .collect()
    }

    fn finish(&mut self, sender: &Sender, producers: &[ProducerId]) -> Result<(), StoreError> {
        let hours = self.hours();
        for producer in producers {
            if let Some((_, policy, used)) = self.producers.get_mut(&(sender.clone(), *producer))
                && policy.kind == Policy::OUTBOX
            {
                *policy = Policy::of(sender, ProducerKind::OneShot);
                *used = hours;
                if let Some(count) = self.counts.get_mut(&(sender.clone(), Policy::OUTBOX)) {
                    *count -= 1;
                }
                *self.counts.entry((sender.clone(), Policy::ONE_SHOT)).or_default() += 1;
            }
        }
        Ok(())
    }

    fn reply(
        &mut self,
        sender: &Sender,
        producer: ProducerId,
        sequence: u64,
    ) -> Result<Option<Reply>, StoreError> {
        Ok(self
            .replies
            .find(&(sender.clone(), producer, sequence), self.hours()))
    }

    fn high_water_mark(&mut self, sender: &Sender, producer: ProducerId) -> Result<u64, StoreError> {
        Ok(self
            .producers
            .get(&(sender.clone(), producer))
            .map_or(0, |(state, ..)| state.high_water_mark))
    }

    fn replay(
        &mut self,
        sender: &Sender,
        producer: ProducerId,
        after: u64,
        most: usize,
    ) -> Result<Settlement, StoreError> {
        let Some((state, ..)) = self.producers.get(&(sender.clone(), producer)) else {
            return Ok(deposit::replay(&self.mailboxes, [], after, most));
        };
        let runs = self.runs.get(state.row as usize).into_iter().flatten().copied();
        Ok(deposit::replay(
            &self.mailboxes,
            runs.chain(state.last_run),
            after,
            most,
        ))
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(MemoryReader(Arc::clone(&self.shared))))
    }
}

fn write(shared: &RwLock<Shared>) -> RwLockWriteGuard<'_, Shared> {
    shared.write().unwrap_or_else(PoisonError::into_inner)
}

struct MemoryReader(Arc<RwLock<Shared>>);

impl MemoryReader {
    fn shared(&self) -> RwLockReadGuard<'_, Shared> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn size(&self) -> u64 {
        self.message.body.len() as u64 + OVERHEAD
    }
}

impl Shared {
    /// Appends a message; gives what it costs.
    fn push(&mut self, mailbox: i64, kept: Kept) -> u64 {
        let size = kept.size();
        self.used += size;
        let body = kept.message.body.len() as u64;
        self.synthetic += if kept.is_synthetic { body } else { 0 };
        let by_name = &mut self.by_name;
        let mailbox = self.boxes.entry(mailbox).or_insert_with(|| {
            by_name.insert(kept.message.mailbox.clone(), mailbox);
            MemoryMailbox {
                name: kept.message.mailbox.clone(),
                gone: 0,
                kept: VecDeque::new(),
                bytes: 0,
            }
        });
        mailbox.bytes += body;
        mailbox.kept.push_back(kept);
        size
    }

    fn mailbox(&self, name: &MailboxName) -> Option<&MemoryMailbox> {
        self.by_name.get(name).and_then(|id| self.boxes.get(id))
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
            found.push(Item {
                offset,
                time: kept.time,
                sender: sender.clone(),
                producer: *producer,
                sequence: kept.sequence,
                source: Some(kept.source),
                origin: kept.origin.as_deref().cloned(),
                attempts: 0,
                message: kept.message.clone(),
            });
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
        let infos = shared
            .cursors
            .iter()
            .map(|((mailbox, name), position)| CursorInfo {
                mailbox: mailbox.clone(),
                name: name.clone(),
                committed: position.committed,
                done: position.out_of_order.values().filter(|given| given.done).count() as u64,
                expired: false,
            });
        Ok(infos.collect())
    }

    fn mailboxes(&mut self) -> Result<Vec<MailboxInfo>, ReadError> {
        let shared = self.shared();
        let mut mailboxes: Vec<_> = shared
            .boxes
            .values()
            .map(|mailbox| MailboxInfo {
                name: mailbox.name.clone(),
                first: mailbox.gone + 1,
                last: mailbox.last(),
            })
            .collect();
        mailboxes.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(mailboxes)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tenfour_proto::Listener;

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
        };
        store.commit(&[], &[answer], 0).unwrap();
        let hour = Duration::from_secs(3600);
        let reply = |store: &mut MemoryStore| store.reply(&Sender::Anonymous, producer, 1).unwrap();
        for _ in 1..REPLY_HOURS {
            store.opened -= hour;
            assert_eq!(reply(&mut store), Some(Reply::new("!")));
        }
        store.opened -= hour;
        assert_eq!(reply(&mut store), None);
    }
}
