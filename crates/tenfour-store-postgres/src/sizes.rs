//! How many bytes each mailbox keeps: as they were at the last look, and what this server has added since.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What other servers do is seen after so long.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Sizes {
    by_mailbox: HashMap<i64, (u64, u64)>,
    synthetic: u64,
    /// Mailboxes to which much has come since their sizes were written down.
    pub(crate) uncounted: Vec<i64>,
    pub(crate) looked: Option<Instant>,
}

impl Sizes {
    pub(crate) fn set(&mut self, mailbox: i64, bytes: u64, synthetic: u64) {
        self.by_mailbox.insert(mailbox, (bytes, synthetic));
        self.synthetic += synthetic;
    }

    /// Messages were appended.
    pub(crate) fn add(&mut self, mailbox: i64, bytes: u64, synthetic: u64) {
        let size = self.by_mailbox.entry(mailbox).or_default();
        size.0 += bytes;
        size.1 += synthetic;
        self.synthetic += synthetic;
    }

    /// Bytes of bodies in a mailbox.
    pub(crate) fn of(&self, mailbox: i64) -> u64 {
        self.by_mailbox.get(&mailbox).map_or(0, |size| size.0)
    }

    /// What messages of senders without a key cost in a mailbox.
    pub(crate) fn synthetic_of(&self, mailbox: i64) -> u64 {
        self.by_mailbox.get(&mailbox).map_or(0, |size| size.1)
    }

    /// The same in all.
    pub(crate) fn synthetic(&self) -> u64 {
        self.synthetic
    }

    pub(crate) fn is_due(&self) -> bool {
        self.looked.is_none_or(|looked| looked.elapsed() >= LOOK)
    }
}
