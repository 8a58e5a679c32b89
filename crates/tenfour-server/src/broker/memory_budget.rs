//! Memory for messages that have arrived and are not stored yet.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use tenfour_identity::lock;
use tenfour_proto::{Fingerprint, Message};
use tokio::sync::Notify;

/// Shares beyond which those of nobody are looked for.
const MANY_SHARES: usize = 256;

/// Whose messages: half of the budget is kept for those we know, unauthenticated peers have a quarter together, and a key
/// that is not the server's own has half of it at most.
#[derive(Clone, Debug)]
pub(crate) enum Payer {
    /// Nobody knows who it is.
    Stranger,
    /// A token, or the server's own key.
    Known,
    /// A key, with what all its connections hold.
    Key(Share),
}

/// What all connections of a key hold, in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Share(Arc<AtomicU64>);

/// What a message takes while it is on its way: its body, and it lies in two lists.
pub(crate) fn memory_of(message: &Message) -> usize {
    message.body.len() + 2 * size_of::<Message>()
}

/// Counts bytes. A connection reads only while there is room, so the sum passes the limit by at most
/// one read of each thread.
#[derive(Clone)]
pub(crate) struct Budget(Arc<Account>);

struct Account {
    limit: u64,
    used: AtomicU64,
    unauthenticated: AtomicU64,
    freed: Notify,
    /// Of the keys that hold something, or may.
    shares: Mutex<HashMap<Fingerprint, Weak<AtomicU64>>>,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        Budget(Arc::new(Account {
            limit,
            used: AtomicU64::new(0),
            unauthenticated: AtomicU64::new(0),
            freed: Notify::new(),
            shares: Mutex::default(),
        }))
    }

    /// The share of a key, the same for all its connections.
    pub(crate) fn of_key(&self, key: Fingerprint) -> Payer {
        let mut shares = lock(&self.0.shares);
        let share = shares.get(&key).and_then(Weak::upgrade).unwrap_or_default();
        if shares.len() >= MANY_SHARES {
            shares.retain(|_, share| share.strong_count() > 0);
        }
        shares.insert(key, Arc::downgrade(&share));
        Payer::Key(Share(share))
    }

    pub(crate) fn has_room(&self, payer: &Payer) -> bool {
        let used = self.0.used.load(Ordering::Relaxed);
        match payer {
            Payer::Known => used < self.0.limit,
            Payer::Key(share) => used < self.0.limit && share.0.load(Ordering::Relaxed) < self.0.limit / 2,
            Payer::Stranger => {
                used < self.0.limit / 2 && self.0.unauthenticated.load(Ordering::Relaxed) < self.0.limit / 4
            }
        }
    }

    /// Waits until there is room.
    pub(crate) async fn room(&self, payer: &Payer) {
        loop {
            let freed = self.0.freed.notified();
            if self.has_room(payer) {
                return;
            }
            freed.await;
        }
    }

    /// Takes so many bytes until the charge is dropped.
    pub(crate) fn charge(&self, payer: &Payer, bytes: usize) -> Charge {
        let bytes = bytes as u64;
        self.0.used.fetch_add(bytes, Ordering::Relaxed);
        if let Some(own) = self.own_count(payer) {
            own.fetch_add(bytes, Ordering::Relaxed);
        }
        Charge {
            budget: self.clone(),
            payer: payer.clone(),
            bytes,
        }
    }

    /// What is counted beside the sum.
    fn own_count<'a>(&'a self, payer: &'a Payer) -> Option<&'a AtomicU64> {
        match payer {
            Payer::Stranger => Some(&self.0.unauthenticated),
            Payer::Known => None,
            Payer::Key(share) => Some(&share.0),
        }
    }
}

/// Bytes taken from a budget.
pub(crate) struct Charge {
    budget: Budget,
    payer: Payer,
    bytes: u64,
}

impl Charge {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let inner = &self.budget.0;
        inner.used.fetch_sub(self.bytes, Ordering::Relaxed);
        if let Some(own) = self.budget.own_count(&self.payer) {
            own.fetch_sub(self.bytes, Ordering::Relaxed);
        }
        inner.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_leave_half_for_those_we_know() {
        let budget = Budget::new(100);
        let first = budget.charge(&Payer::Stranger, 25);
        assert!(!budget.has_room(&Payer::Stranger) && budget.has_room(&Payer::Known));
        let second = budget.charge(&Payer::Known, 75);
        assert!(!budget.has_room(&Payer::Known));
        drop(first);
        assert!(budget.has_room(&Payer::Known) && !budget.has_room(&Payer::Stranger));
        drop(second);
        assert!(budget.has_room(&Payer::Stranger));
    }

    /// Eighty unfinished messages of one key stopped all others.
    #[test]
    fn one_key_leaves_half_to_the_others() {
        let budget = Budget::new(100);
        let key = |number| budget.of_key(Fingerprint::from_bytes([number; 32]));
        let (one, same, other) = (key(1), key(1), key(2));
        let first = budget.charge(&one, 50);
        assert!(!budget.has_room(&one) && !budget.has_room(&same));
        assert!(budget.has_room(&other) && budget.has_room(&Payer::Known));
        drop(first);
        assert!(budget.has_room(&same));
        drop((one, same, other));
        assert!(
            lock(&budget.0.shares)
                .values()
                .all(|share| share.strong_count() == 0)
        );
    }
}
