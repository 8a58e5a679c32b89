//! Brings replies to the connections that wait for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use tenfour_proto::{ProducerId, Reply, Sender};
use tenfour_store::Answered;
use tokio::sync::Notify;

use tenfour_identity::lock;

/// Bytes that wait for one connection; then it has to ask again.
const MAX_WAITING: usize = 1024 * 1024;

/// Who waits, by producer: a producer has one sending connection at a time.
#[derive(Debug, Default)]
pub(super) struct Replies(Mutex<HashMap<(Sender, ProducerId), Weak<ReplySlot>>>);

/// Where a connection finds its replies.
#[derive(Debug, Default)]
pub(crate) struct ReplySlot {
    inside: Mutex<SlotState>,
    woken: Notify,
}

#[derive(Debug, Default)]
struct SlotState {
    replies: Vec<(u64, Reply)>,
    bytes: usize,
    overflowed: bool,
}

/// More came than the connection took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overflow;

impl Replies {
    /// From here on all replies to the producer come here.
    pub(super) fn expect(&self, sender: Sender, producer: ProducerId) -> Arc<ReplySlot> {
        let slot = Arc::new(ReplySlot::default());
        let mut waiting = lock(&self.0);
        // Now and then, so that it costs next to nothing each time.
        if waiting.len().is_power_of_two() {
            waiting.retain(|_, slot| slot.strong_count() > 0);
        }
        waiting.insert((sender, producer), Arc::downgrade(&slot));
        slot
    }

    pub(super) fn deliver(&self, answered: Vec<Answered>) {
        if answered.is_empty() {
            return;
        }
        let mut waiting = lock(&self.0);
        for Answered {
            sender,
            producer,
            sequence,
            reply,
        } in answered
        {
            let to = (sender, producer);
            match waiting.get(&to).map(Weak::upgrade) {
                Some(Some(slot)) => slot.put(sequence, reply),
                // It is in the store, for whoever asks again.
                Some(None) => drop(waiting.remove(&to)),
                None => {}
            }
        }
    }
}

impl ReplySlot {
    fn put(&self, sequence: u64, reply: Reply) {
        let mut inside = lock(&self.inside);
        inside.bytes += reply.body.len() + size_of::<(u64, Reply)>();
        if inside.bytes > MAX_WAITING {
            inside.overflowed = true;
            inside.replies = Vec::new();
        } else {
            inside.replies.push((sequence, reply));
        }
        drop(inside);
        self.woken.notify_one();
    }

    /// Waits for replies and takes them.
    pub(crate) async fn replies(&self) -> Result<Vec<(u64, Reply)>, Overflow> {
        loop {
            {
                let mut inside = lock(&self.inside);
                if inside.overflowed {
                    return Err(Overflow);
                }
                if !inside.replies.is_empty() {
                    inside.bytes = 0;
                    return Ok(std::mem::take(&mut inside.replies));
                }
            }
            self.woken.notified().await;
        }
    }
}
