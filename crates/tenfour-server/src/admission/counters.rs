//! Everything that was refused or dropped, by reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A reason to refuse or drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[non_exhaustive]
pub enum Counter {
    /// Another protocol knocked at the text listener.
    Foreign,
    /// A text connection broke in the middle of a line.
    Unfinished,
    /// A connection beyond the limits.
    TooManyConnections,
    /// A silent text connection that had to make room.
    Evicted,
    /// A TLS handshake that failed or took too long.
    Handshake,
    /// A key that may not connect.
    NotAllowed,
    /// A peer that broke the protocol.
    Protocol,
    /// A peer that did not read what it was sent.
    SlowReader,
    /// `accept` failed.
    AcceptFailed,
    /// Requests by HTTP that were wrong, or not allowed (a 4xx).
    HttpRefused,
    /// Requests by Modbus that were answered by an exception other than 6.
    ModbusRefused,
    /// Messages of keys that were refused for good: not allowed, too large, a conflict.
    Refused,
    /// Messages that no handler got, since their senders showed neither key nor token.
    Unauthenticated,
    /// Messages were turned away for the moment: full, busy, stopping.
    NotNow,
    /// Datagrams that the kernel dropped, because its buffer for us was full.
    DatagramKernel,
    /// Datagrams for which there was no room, in memory or in the store.
    DatagramDropped,
    /// Datagrams that begin like ours and are malformed.
    DatagramMalformed,
    /// Datagrams with another sequence than the next one; their senders repeat them.
    DatagramOutOfTurn,
}

const NAMES: [&str; 18] = [
    "foreign",
    "unfinished",
    "too-many-connections",
    "evicted",
    "handshake",
    "not-allowed",
    "protocol",
    "slow-reader",
    "accept-failed",
    "http-refused",
    "modbus-refused",
    "refused",
    "no-key",
    "not-now",
    "datagram-kernel",
    "datagram-dropped",
    "datagram-malformed",
    "datagram-out-of-turn",
];

/// The counts since the server started. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Counters(Arc<[AtomicU64; NAMES.len()]>);

impl Counters {
    pub(crate) fn count(&self, counter: Counter) {
        self.count_many(counter, 1);
    }

    pub(crate) fn count_many(&self, counter: Counter, times: u64) {
        if let Some(count) = self.0.get(counter as usize) {
            count.fetch_add(times, Ordering::Relaxed);
        }
    }

    /// How often it happened.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0
            .get(counter as usize)
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// All counts, with the names of their reasons.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        NAMES
            .iter()
            .zip(self.0.iter())
            .map(|(name, count)| (*name, count.load(Ordering::Relaxed)))
    }
}
