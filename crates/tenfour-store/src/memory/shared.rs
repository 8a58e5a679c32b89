//! What readers of a store in memory see.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Instant;

use tenfour_proto::{CursorName, MailboxName, Message, Origin, ProducerId, Sender, Source};

use crate::cursor::Position;
use crate::quota::cost;
use crate::replies::Replies;
use crate::retention::{Retain, Rules, spares_keys};

/// What a message costs beside its bytes.
pub(super) const OVERHEAD: u64 = 160;

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) used: u64,
    /// What the messages of senders without an identity cost.
    pub(super) synthetic: u64,
    by_name: HashMap<MailboxName, i64>,
    /// By number of the mailbox. One that was opened and got no message yet has no place here.
    pub(super) boxes: HashMap<i64, MemoryMailbox>,
    /// Those that take no more of strangers: what would have to go is a key's.
    pub(super) closed: HashSet<i64>,
    pub(super) senders: Vec<(Sender, ProducerId)>,
    pub(super) cursors: BTreeMap<(MailboxName, CursorName), Position>,
    pub(super) replies: Replies,
    pub(super) clock: Clock,
}

/// The store's own time.
#[derive(Debug)]
pub(super) struct Clock(pub(super) Instant);

impl Default for Clock {
    fn default() -> Self {
        Clock(Instant::now())
    }
}

impl Clock {
    /// For so many whole hours it was open.
    pub(super) fn hours(&self) -> i64 {
        i64::try_from(self.0.elapsed().as_secs() / 3600).unwrap_or(0)
    }
}

#[derive(Debug)]
pub(super) struct MemoryMailbox {
    pub(super) name: MailboxName,
    /// Nobody sees it, until somebody sends to it again.
    pub(super) is_removed: bool,
    /// Messages that are gone from the front.
    pub(super) gone: u64,
    /// In the order of their offsets; the first has `gone + 1`.
    pub(super) kept: VecDeque<Kept>,
    /// Of their bodies.
    pub(super) bytes: u64,
    /// What those of senders without an identity cost.
    synthetic: u64,
    /// What it keeps.
    retain: Retain,
}

#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) producer: u32,
    pub(super) is_synthetic: bool,
    pub(super) sequence: u64,
    pub(super) time: i64,
    pub(super) source: Option<Source>,
    pub(super) origin: Option<Box<Origin>>,
    pub(super) message: Message,
}

impl MemoryMailbox {
    pub(super) fn get(&self, offset: u64) -> Option<&Kept> {
        self.kept
            .get(usize::try_from(offset.checked_sub(self.gone + 1)?).ok()?)
    }

    pub(super) fn last(&self) -> u64 {
        self.gone + self.kept.len() as u64
    }
}

impl Kept {
    fn size(&self) -> u64 {
        self.message.body.len() as u64 + OVERHEAD
    }

    fn synthetic_cost(&self) -> u64 {
        match self.is_synthetic {
            true => cost(self.sequence, &self.message),
            false => 0,
        }
    }
}

impl Shared {
    /// Removes all messages and cursors of a mailbox; its offsets go on when it is used again.
    pub(super) fn remove(&mut self, name: &MailboxName) {
        let id = self.by_name.get(name);
        let Some((id, mailbox)) = id.and_then(|id| Some((id, self.boxes.get_mut(id)?))) else {
            return;
        };
        self.closed.remove(id);
        mailbox.gone = mailbox.last();
        (mailbox.bytes, mailbox.synthetic) = (0, 0);
        mailbox.is_removed = true;
        for kept in mailbox.kept.drain(..) {
            self.synthetic -= kept.synthetic_cost();
            self.used -= kept.size();
        }
        self.cursors.retain(|(mailbox, _), _| mailbox != name);
    }

    pub(super) fn mailbox(&self, name: &MailboxName) -> Option<&MemoryMailbox> {
        self.by_name.get(name).and_then(|id| self.boxes.get(id))
    }

    /// Appends a message. What it keeps is asked for once.
    pub(super) fn push(&mut self, id: i64, kept: Kept, rules: Option<&Rules>) {
        self.used += kept.size();
        let body = kept.message.body.len() as u64;
        let synthetic = kept.synthetic_cost();
        self.synthetic += synthetic;
        let by_name = &mut self.by_name;
        let mailbox = self.boxes.entry(id).or_insert_with(|| {
            let name = kept.message.mailbox.clone();
            by_name.insert(name.clone(), id);
            MemoryMailbox {
                is_removed: false,
                gone: 0,
                kept: VecDeque::new(),
                bytes: 0,
                synthetic: 0,
                retain: rules.map_or(Retain::FOREVER, |rules| rules(&name)),
                name,
            }
        });
        mailbox.is_removed = false;
        mailbox.bytes += body;
        mailbox.synthetic += synthetic;
        mailbox.kept.push_back(kept);
        let Some(most) = mailbox.retain.bytes.filter(|most| mailbox.bytes > *most) else {
            return;
        };
        let last = if mailbox.retain.unread {
            u64::MAX
        } else {
            let of_mailbox = self.cursors.iter().filter(|((name, _), _)| *name == mailbox.name);
            let held = of_mailbox.map(|(_, position)| position.committed).min();
            held.unwrap_or(u64::MAX)
        };
        while mailbox.bytes > most && mailbox.gone < last {
            let known = mailbox.bytes.saturating_sub(mailbox.synthetic);
            let is_spared = spares_keys(most, known, mailbox.synthetic)
                && mailbox.kept.front().is_some_and(|oldest| !oldest.is_synthetic);
            if is_spared {
                self.closed.insert(id);
                return;
            }
            let Some(oldest) = mailbox.kept.pop_front() else {
                break;
            };
            let body = oldest.message.body.len() as u64;
            mailbox.bytes -= body;
            mailbox.gone += 1;
            mailbox.synthetic -= oldest.synthetic_cost();
            self.synthetic -= oldest.synthetic_cost();
            self.used -= oldest.size();
        }
        self.closed.remove(&id);
    }
}
