//! What listeners and the committer share.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, Weak};

use tenfour_proto::{CursorName, Durability, MailboxName};
use tenfour_store::{Reader, Store};
use tokio::sync::watch;

use super::commit_notifier::CommitNotifier;
use super::consumer_group::ConsumerGroup;
use super::job::Job;
use super::latency::Latency;
use super::memory_budget::Budget;
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
    pub(super) store: [u8; 16],
    pub(super) durability: Durability,
    pub(super) readers: Mutex<Vec<Box<dyn Reader>>>,
    /// Those that somebody reads by, or that are not saved yet.
    pub(super) cursors: Mutex<HashMap<(MailboxName, CursorName), Weak<ConsumerGroup>>>,
    /// Whoever holds the store does what is on the queue, in its order. Gone when the inbox is closed and empty.
    pub(super) owned: Mutex<Option<Box<dyn Store>>>,
    /// Each deposit holds it until it is answered.
    pub(super) under_way: Arc<()>,
    /// Something was done since the store last put itself in order, on whichever thread.
    pub(super) untidy: AtomicBool,
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) jobs: Vec<Job>,
    pub(super) closed: bool,
}
