//! Memory for messages that have arrived and are not stored yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Whose messages: half of the budget is kept for keys we know, and unauthenticated peers have a quarter together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Known,
    Stranger,
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
}

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        Budget(Arc::new(Account {
            limit,
            used: AtomicU64::new(0),
            unauthenticated: AtomicU64::new(0),
            freed: Notify::new(),
        }))
    }

    pub(crate) fn has_room(&self, class: Class) -> bool {
        let used = self.0.used.load(Ordering::Relaxed);
        match class {
            Class::Known => used < self.0.limit,
            Class::Stranger => {
                used < self.0.limit / 2 && self.0.unauthenticated.load(Ordering::Relaxed) < self.0.limit / 4
            }
        }
    }

    /// Waits until there is room.
    pub(crate) async fn room(&self, class: Class) {
        loop {
            let freed = self.0.freed.notified();
            if self.has_room(class) {
                return;
            }
            freed.await;
        }
    }

    /// Takes so many bytes until the charge is dropped.
    pub(crate) fn charge(&self, class: Class, bytes: usize) -> Charge {
        let bytes = bytes as u64;
        self.0.used.fetch_add(bytes, Ordering::Relaxed);
        if class == Class::Stranger {
            self.0.unauthenticated.fetch_add(bytes, Ordering::Relaxed);
        }
        Charge {
            budget: self.clone(),
            class,
            bytes,
        }
    }
}

/// Bytes taken from a budget.
pub(crate) struct Charge {
    budget: Budget,
    class: Class,
    bytes: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let inner = &self.budget.0;
        inner.used.fetch_sub(self.bytes, Ordering::Relaxed);
        if self.class == Class::Stranger {
            inner.unauthenticated.fetch_sub(self.bytes, Ordering::Relaxed);
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
        let first = budget.charge(Class::Stranger, 25);
        assert!(!budget.has_room(Class::Stranger) && budget.has_room(Class::Known));
        let second = budget.charge(Class::Known, 75);
        assert!(!budget.has_room(Class::Known));
        drop(first);
        assert!(budget.has_room(Class::Known) && !budget.has_room(Class::Stranger));
        drop(second);
        assert!(budget.has_room(Class::Stranger));
    }
}
