//! Where a connection gets the answers to what it deposited.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tenfour_proto::TemporaryCode;
use tenfour_store::Stored;
use tokio::sync::Notify;

use tenfour_identity::lock;

/// What became of one deposit.
#[derive(Debug)]
pub(crate) enum Completion {
    /// Each message is stored or refused.
    Settled(Stored),
    /// Nothing of it is stored, nor of anything deposited since in the same epoch. The last sequence is named.
    NotNow {
        epoch: u64,
        last: u64,
        code: TemporaryCode,
    },
    /// Nothing of it is stored: another server has the producer.
    TakenOver,
    /// The store failed: nobody knows.
    Gone,
}

/// One for each connection; the writer puts answers in and wakes the connection.
#[derive(Debug, Default)]
pub(crate) struct Completions {
    answers: Mutex<Vec<Completion>>,
    woken: Notify,
    outstanding: AtomicUsize,
    /// One more than the epoch in which a deposit was turned away; later ones of it must be too.
    turned_away: AtomicU64,
}

impl Completions {
    /// Waits for answers and takes them, in the order of the deposits.
    pub(crate) async fn answers(&self) -> Vec<Completion> {
        loop {
            let answers = std::mem::take(&mut *lock(&self.answers));
            if !answers.is_empty() {
                return answers;
            }
            self.woken.notified().await;
        }
    }

    /// Deposits without an answer.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Acquire)
    }

    pub(super) fn expect_answer(&self) {
        self.outstanding.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn put(&self, answer: Completion) {
        if let Completion::NotNow { epoch, .. } = answer {
            self.turned_away.store(epoch + 1, Ordering::Relaxed);
        }
        lock(&self.answers).push(answer);
        self.outstanding.fetch_sub(1, Ordering::AcqRel);
        self.woken.notify_one();
    }

    /// A deposit of this epoch was turned away, so this one must not overtake it.
    pub(super) fn turns_away(&self, epoch: u64) -> bool {
        self.turned_away.load(Ordering::Relaxed) == epoch + 1
    }
}
