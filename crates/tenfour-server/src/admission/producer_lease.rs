//! Who may send on a producer: of one process the later attempt, of two processes the later one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tenfour_proto::{ProducerId, Sender};
use tokio::sync::Notify;

use tenfour_identity::lock;

type Key = (Sender, ProducerId);

/// The producers that are connected.
#[derive(Clone, Default)]
pub(crate) struct Leases(Arc<Mutex<HashMap<Key, Holder>>>);

struct Holder {
    process: [u8; 16],
    attempt: u64,
    lease: Arc<Lease>,
}

/// The right to deposit as a producer, until another connection takes it.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    /// Of the claim in the store, once there is one.
    epoch: AtomicU64,
    taken: Mutex<bool>,
    told: Notify,
}

impl Lease {
    /// Deposits, unless the lease is lost. Whoever takes it waits for this to end, so that everything
    /// deposited here is on the queue before the new holder reads the mark.
    pub(crate) fn while_held(&self, deposit: impl FnOnce()) -> bool {
        let taken = lock(&self.taken);
        if !*taken {
            deposit();
        }
        !*taken
    }

    /// The store has given the producer to this connection.
    pub(crate) fn claimed(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::Relaxed);
    }

    /// Waits until another connection has it.
    pub(crate) async fn taken(&self) {
        loop {
            if *lock(&self.taken) {
                return;
            }
            self.told.notified().await;
        }
    }

    fn take(&self) {
        *lock(&self.taken) = true;
        self.told.notify_one();
    }
}

/// A lease in somebody's hands; given back when dropped.
pub(crate) struct Held {
    leases: Leases,
    key: Key,
    lease: Arc<Lease>,
}

impl Held {
    pub(crate) fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }
}

impl Leases {
    /// Takes the producer, from an older connection if need be. `None`: the one that has it is newer.
    pub(crate) fn claim(
        &self,
        sender: Sender,
        producer: ProducerId,
        process: [u8; 16],
        attempt: u64,
    ) -> Option<Held> {
        let key = (sender, producer);
        let mut all = lock(&self.0);
        if let Some(holder) = all.get(&key) {
            if holder.process == process && holder.attempt >= attempt {
                return None;
            }
            holder.lease.take();
        }
        let lease = Arc::new(Lease::default());
        let holder = Holder {
            process,
            attempt,
            lease: Arc::clone(&lease),
        };
        all.insert(key.clone(), holder);
        Some(Held {
            leases: self.clone(),
            key,
            lease,
        })
    }
}

impl Leases {
    /// A connection to another server has claimed the producer.
    pub(crate) fn claimed_elsewhere(&self, sender: Sender, producer: ProducerId, epoch: u64) {
        if let Some(holder) = lock(&self.0).get(&(sender, producer)) {
            let own = holder.lease.epoch.load(Ordering::Relaxed);
            if own != 0 && own < epoch {
                holder.lease.take();
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut all = lock(&self.leases.0);
        if all
            .get(&self.key)
            .is_some_and(|holder| Arc::ptr_eq(&holder.lease, &self.lease))
        {
            all.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_one_process_the_later_attempt_and_of_two_the_later_one() {
        let leases = Leases::default();
        let claim = |process, attempt| {
            leases.claim(Sender::Anonymous, ProducerId::of_key("s"), [process; 16], attempt)
        };
        let first = claim(1, 2).unwrap();
        assert!(claim(1, 1).is_none(), "an older attempt came late");
        assert!(first.lease().while_held(|| {}));
        let second = claim(1, 3).unwrap();
        assert!(!first.lease().while_held(|| panic!("taken")));
        let other = claim(2, 1).unwrap();
        assert!(!second.lease().while_held(|| panic!("taken")));
        drop(first);
        drop(second);
        assert!(
            other.lease().while_held(|| {}),
            "an old holder gives back only its own"
        );
        drop(other);
        assert!(lock(&leases.0).is_empty());
    }

    #[test]
    fn a_later_claim_at_another_server_ends_the_one_here() {
        let leases = Leases::default();
        let held = leases
            .claim(Sender::Anonymous, ProducerId::of_key("s"), [1; 16], 1)
            .unwrap();
        let elsewhere = |epoch| leases.claimed_elsewhere(Sender::Anonymous, ProducerId::of_key("s"), epoch);
        elsewhere(7);
        assert!(
            held.lease().while_held(|| {}),
            "not claimed here yet: the store decides"
        );
        held.lease().claimed(8);
        elsewhere(7);
        assert!(held.lease().while_held(|| {}), "heard late");
        elsewhere(9);
        assert!(!held.lease().while_held(|| panic!("taken")));
    }
}
