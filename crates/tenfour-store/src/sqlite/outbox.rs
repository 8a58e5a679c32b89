//! A sender's own durable queue: messages that no server has given a receipt for yet.
//!
//! Any process may put messages into it ([`Outbox`]); one at a time delivers them ([`Dispatch`]). Each server has its
//! own row of numbers, 1, 2, 3 ... A producer covers a stretch of them without a gap, so a message's sequence follows
//! from its number, and numbering a thousand messages changes one row. Numbers are in a producer, and that is on the
//! disk, before the first byte of them leaves.

mod dispatch;
mod error;
mod item;
mod kept;
mod lost;
mod producer;
mod queue;
mod rows;
mod schema;
mod verdict;

pub use dispatch::{Advance, Dispatch};
pub use error::OutboxError;
pub use item::{Dropped, OutboxDestination, OutboxItem};
pub use producer::OutboxProducer;
pub use queue::Outbox;
pub use verdict::Verdict;
