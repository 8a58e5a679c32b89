//! How much senders without a key may hold: nobody answers for them, and they must not fill the disk.

use std::sync::atomic::{AtomicBool, Ordering};

use tenfour_proto::Message;

use crate::batch::Batch;

/// What a message takes beside its words: its row, with its place in the table.
pub const ROW: u64 = 64;

/// What a producer takes that nobody knew before: its mark, in the table and the index. Its first message pays.
pub const PRODUCER: u64 = 128;

/// Bytes that a message of a sender without a key is charged: what it costs, not what it says. Empty lines filled a disk
/// while the quota counted nothing.
pub fn cost(sequence: u64, message: &Message) -> u64 {
    let words = message
        .content_type
        .as_ref()
        .map_or(0, |word| word.as_str().len())
        + message.name.as_ref().map_or(0, |word| word.as_str().len());
    let producer = if sequence == 1 { PRODUCER } else { 0 };
    (message.body.len() + words) as u64 + ROW + producer
}

/// The same of all in a batch.
pub fn cost_of(batch: &Batch) -> u64 {
    let sequence = |sequence| if batch.producer.is_some() { sequence } else { 0 };
    let costs = batch.messages.iter();
    costs
        .map(|(number, message)| cost(sequence(*number), message))
        .sum()
}

/// What they may hold together.
#[derive(Debug)]
pub struct Quota {
    bytes: u64,
    /// It was said that it is used up.
    said: AtomicBool,
}

impl Quota {
    /// So many bytes.
    pub fn new(bytes: u64) -> Self {
        Quota {
            bytes,
            said: AtomicBool::new(false),
        }
    }

    /// There is room for so much beside what is held already.
    pub fn has_room(&self, held: u64, wanted: u64) -> bool {
        let has_room = held + wanted <= self.bytes;
        if !has_room && !self.said.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                held,
                quota = self.bytes,
                "senders without a key hold all that they may; nothing more is taken from them"
            );
        }
        if has_room {
            self.said.store(false, Ordering::Relaxed);
        }
        has_room
    }
}
