//! What listeners and the committer share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Condvar, Mutex, Weak};

use tenfour_proto::{CursorName, Durability, MailboxName, ProducerId, Sender};
use tenfour_store::Store;
use tokio::sync::{Semaphore, broadcast, watch};

use super::commit_notifier::CommitNotifier;
use super::consumer_group::ConsumerGroup;
use super::cursor_shares::CursorShares;
use super::fair_queue::FairQueue;
use super::job::Job;
use super::latency::Latency;
use super::memory_budget::Budget;
use super::reader_pool::ReaderPool;
use super::reply_router::Replies;

/// All that listeners and the committer share.
pub(super) struct Shared {
    pub(super) queue: Mutex<Queue>,
    pub(super) wake: Condvar,
    pub(super) budget: Budget,
    pub(super) notifier: CommitNotifier,
    pub(super) latency: Latency,
    pub(super) replies: Replies,
    pub(super) failed: watch::Sender<bool>,
    /// The store was not in its place at the last look.
    pub(super) displaced: AtomicBool,
    pub(super) store: [u8; 16],
    pub(super) durability: Durability,
    /// The store's calls may wait.
    pub(super) blocks: bool,
    /// They wait for another machine.
    pub(super) is_remote: bool,
    pub(super) readers: ReaderPool,
    /// Reads of the store at once.
    pub(super) read_turns: Semaphore,
    pub(super) groups: Mutex<Groups>,
    /// Whoever holds the store does what is on the queue, in its order. Gone when the inbox is closed and empty.
    pub(super) owned: Mutex<Option<Box<dyn Store>>>,
    /// Deposits that are not answered.
    pub(super) under_way: Arc<AtomicUsize>,
    /// Something was done since the store last put itself in order, on whichever thread.
    pub(super) untidy: AtomicBool,
    /// Producers that other servers have claimed.
    pub(super) claims: broadcast::Sender<(Sender, ProducerId, u64)>,
    /// Nothing more is taken.
    pub(super) stopping: Arc<AtomicBool>,
}

/// The consumer groups that somebody reads in, or that are not saved yet.
#[derive(Default)]
pub(super) struct Groups {
    pub(super) live: HashMap<(MailboxName, CursorName), Weak<ConsumerGroup>>,
    /// Counts those that there were. What was read of a store while it rose may be old.
    pub(super) made: u64,
    pub(super) shares: CursorShares,
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) jobs: FairQueue<Job>,
    pub(super) closed: bool,
}
