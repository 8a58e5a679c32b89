//! What is in an outbox.

use tenfour_proto::{Message, ProducerId};

use super::verdict::Verdict;

/// One server, as far as the outbox knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxDestination {
    /// Number of the route.
    pub id: i64,
    /// `HOST:PORT`
    pub address: String,
    /// Messages without an answer.
    pub waiting: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// When the oldest of them was queued, in microseconds since 1970-01-01 UTC.
    pub oldest: Option<i64>,
    /// Of these, messages that may have left already.
    pub numbered: u64,
    /// Messages that the server refused.
    pub refused: u64,
    /// Of these, messages that it does not allow us to send.
    pub not_allowed: u64,
    /// Messages with a receipt that are still here.
    pub kept: u64,
    /// Messages that the server lacks although it gave receipts for them; from, to.
    pub lost: Option<(u64, u64)>,
    /// So many of them are still here.
    pub lost_here: u64,
    /// What was decided about them, and is not done yet.
    pub verdict: Option<Verdict>,
    /// Why nothing is delivered, as it was noted last.
    pub error: Option<String>,
}

/// A message in an outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxItem {
    /// Its number among those for the same server.
    pub number: u64,
    /// When it was queued, in microseconds since 1970-01-01 UTC.
    pub time: i64,
    /// The server's reason, if it refused.
    pub refused: Option<String>,
    /// Its producer and sequence, if it may have left already.
    pub identity: Option<(ProducerId, u64)>,
    /// What it is.
    pub message: Message,
}

/// What became of a wish to drop a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// It is gone, and never left.
    Gone,
    /// It may have left already; it stays.
    OnItsWay,
    /// There is none of that number.
    NotThere,
}
