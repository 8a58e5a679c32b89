//! What is done with the store, in its turn.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use tenfour_proto::{CursorName, Listener, MailboxName, ProducerId, Sender, Source, Stored, TemporaryCode};
use tenfour_store::{Batch, Claimant, Removal};
use tokio::sync::oneshot;

use super::completions::{Completion, Completions};
use super::consumer_group::ConsumerGroup;
use super::fair_queue::{Peer, Rank};
use super::memory_budget::Charge;
use crate::neighbourhood::neighbourhood;

/// The store can give no answer: it failed, or the server has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store has failed or is closed")]
pub(crate) struct StoreGone;

/// Where a producer goes on.
#[derive(Debug, Default)]
pub(crate) struct Resumed {
    /// To be named with what is deposited; 0 without a claim.
    pub(crate) epoch: u64,
    /// The highest sequence that is settled.
    pub(crate) high_water_mark: u64,
    /// What the mark was before the producer was forgotten.
    pub(crate) forgotten: u64,
    pub(crate) receipts: Stored,
}

/// Why a producer does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotResumed {
    #[error(transparent)]
    Gone(#[from] StoreGone),
    #[error("another connection sends on this stream now")]
    TakenOver,
    #[error("not now: {0}")]
    NotNow(TemporaryCode),
}

pub(super) enum Job {
    Deposit(Deposit),
    Resume {
        sender: Sender,
        producer: ProducerId,
        after: Option<u64>,
        has_receipts: bool,
        /// Runs of its past.
        most: usize,
        /// It is for a connection that sends from here on.
        claim: Option<Claimant>,
        reply: oneshot::Sender<Result<Resumed, NotResumed>>,
    },
    /// What has changed of a cursor until the commit.
    SaveCursor(Arc<ConsumerGroup>),
    /// Messages for its readers, of a cursor that other servers have, too.
    Draw(Arc<ConsumerGroup>),
    /// A piece of a mailbox, up to that offset, or a cursor.
    Remove {
        mailbox: MailboxName,
        cursor: Option<CursorName>,
        last: Option<u64>,
        tell: oneshot::Sender<Removal>,
    },
    /// Nothing will be repeated of these producers.
    Finish {
        sender: Sender,
        producers: Vec<ProducerId>,
        tell: oneshot::Sender<bool>,
    },
}

/// Whoever has no key has an address; on this machine all have the same, and each connection counts. Datagrams are answered in
/// their order, so those of a socket stay together.
fn stranger(source: Source) -> Option<(IpAddr, u16)> {
    let address = source.address.filter(|_| source.listener != Listener::Datagram)?;
    let port = match address.ip().to_canonical().is_loopback() {
        true => address.port(),
        false => 0,
    };
    Some((neighbourhood(address.ip()), port))
}

/// Nobody can foresee it, and make up peers that stand in each other's way.
fn number(peer: &impl Hash) -> Peer {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    KEYS.hash_one(peer)
}

pub(super) struct Deposit {
    pub(super) batch: Batch,
    pub(super) epoch: u64,
    pub(super) completions: Arc<Completions>,
    pub(super) arrived: Instant,
    pub(super) charge: Charge,
    pub(super) _under_way: UnderWay,
}

/// Counts a deposit until it is answered.
pub(super) struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    pub(super) fn count(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(all))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Deposit {
    pub(super) fn last(&self) -> u64 {
        self.batch.messages.last().map_or(0, |message| message.0)
    }

    pub(super) fn turn_away(self, code: TemporaryCode) {
        self.completions.put(Completion::NotNow {
            epoch: self.epoch,
            last: self.last(),
            code,
        });
    }
}

/// Bytes of bodies that cost about as much as a message.
const BYTES_OF_ONE: u64 = 512;

/// What a batch with a producer costs beside its messages.
const PRODUCER: u64 = 4;

/// What a job that is no message costs, in messages: a look at the disk, or a row.
const OTHER: u64 = 32;

impl Job {
    /// Whose turn it is: of a key or a token, of a cursor, or of somebody whom nobody knows. Two with the same number share
    /// their turns.
    pub(super) fn peer(&self) -> (Rank, Peer) {
        match self {
            Job::Deposit(deposit) => match &deposit.batch.sender {
                Sender::Anonymous | Sender::Datagram => {
                    (Rank::Stranger, number(&stranger(deposit.batch.source)))
                }
                sender => (Rank::Known, number(sender)),
            },
            Job::Resume { sender, .. } | Job::Finish { sender, .. } => (Rank::Known, number(sender)),
            Job::SaveCursor(cursor) | Job::Draw(cursor) => (Rank::Known, number(&Arc::as_ptr(cursor))),
            Job::Remove { mailbox, .. } => (Rank::Known, number(mailbox)),
        }
    }

    /// About so many small messages.
    pub(super) fn cost(&self) -> u64 {
        match self {
            Job::Deposit(deposit) => {
                // A producer that nobody knows yet is a row more, and two searches.
                let producer = if deposit.batch.producer.is_some() {
                    PRODUCER
                } else {
                    0
                };
                let messages = deposit.batch.messages.len() as u64;
                messages + deposit.charge.bytes() / BYTES_OF_ONE + producer
            }
            _ => OTHER,
        }
    }

    /// Somebody waits for the answer, who is the one that asks.
    pub(super) fn is_question(&self) -> bool {
        match self {
            Job::Deposit(_) | Job::SaveCursor(_) | Job::Draw(_) => false,
            Job::Resume { .. } | Job::Finish { .. } | Job::Remove { .. } => true,
        }
    }

    /// The inbox is closed: nobody will do this. It says nothing of what was deposited before and is
    /// still on its way, so it must not claim that nothing is stored.
    pub(super) fn refuse(self) {
        if let Job::Deposit(deposit) = self {
            deposit.completions.put(Completion::Gone);
        }
    }
}
