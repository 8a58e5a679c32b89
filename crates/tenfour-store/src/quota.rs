//! How much senders without a key may hold: nobody answers for them, and they must not fill the disk.

use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug)]
pub(crate) struct Quota {
    bytes: u64,
    /// It was said that it is used up.
    said: AtomicBool,
}

impl Quota {
    pub(crate) fn new(bytes: u64) -> Self {
        Quota {
            bytes,
            said: AtomicBool::new(false),
        }
    }

    /// There is room for so much beside what is held already.
    pub(crate) fn has_room(&self, held: u64, wanted: u64) -> bool {
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
