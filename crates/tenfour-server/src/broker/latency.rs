//! How long receipts take: from the deposit to the answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper ends of the buckets, in microseconds; there is one more for what took longer.
pub(crate) const BOUNDS: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// Counts messages that were stored, by how long it took. Written by whoever holds the store, read by anybody.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    /// Microseconds of all of them together.
    total: AtomicU64,
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Messages of each bucket.
    pub(crate) buckets: [u64; BOUNDS.len() + 1],
    /// Microseconds of all messages together.
    pub(crate) total: u64,
}

impl Latency {
    pub(super) fn count(&self, messages: u64, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < took);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(messages, Ordering::Relaxed);
        }
        self.total
            .fetch_add(took.saturating_mul(messages), Ordering::Relaxed);
    }

    pub(crate) fn counted(&self) -> Counted {
        Counted {
            buckets: std::array::from_fn(|at| {
                self.buckets
                    .get(at)
                    .map_or(0, |bucket| bucket.load(Ordering::Relaxed))
            }),
            total: self.total.load(Ordering::Relaxed),
        }
    }
}

impl Counted {
    /// Messages that were stored.
    pub(crate) fn messages(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_in_the_bucket_whose_end_it_does_not_exceed() {
        let latency = Latency::default();
        latency.count(2, Duration::from_micros(100));
        latency.count(3, Duration::from_micros(101));
        latency.count(1, Duration::from_secs(3_600));
        let counted = latency.counted();
        assert_eq!(
            (counted.buckets[0], counted.buckets[1], counted.buckets[16]),
            (2, 3, 1)
        );
        assert_eq!(counted.messages(), 6);
    }
}
