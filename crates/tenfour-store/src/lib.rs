//! Where tenfour's messages rest.
//!
//! A [`Store`] takes batches of messages and answers for each stretch of them: stored at which
//! offsets, or refused why. One batch or a thousand, there is one transaction and one flush, and the
//! producers' marks are in it: that is what makes *exactly once* and *durable* the same promise.
//!
//! Synchronous, owned by one thread. No sockets, no frames, no async. Two kinds: [`SqliteStore`] on
//! disk, [`MemoryStore`] for tests and for those who want speed and nothing kept. `docs/storage.md`
//! describes the file.

#![forbid(unsafe_code)]
// What lies on a disk may be damaged; that must not stop us either. Tests may.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod batch;
mod check;
mod checksum;
mod cursor;
mod data_directory;
mod error;
mod file_identity;
pub mod ledger;
mod lock;
mod mailboxes;
mod memory;
mod policy;
mod quota;
mod replies;
mod retention;
mod room;
mod source_word;
mod sqlite;
mod store;
mod store_files;
mod transfer;

pub use batch::{Answered, Batch, BatchOutcome, Committed};
pub use check::{Checked, Finding};
pub use cursor::{
    AckState, CURSOR_HOURS, CursorChange, CursorInfo, CursorOutcome, MAX_CURSORS, Portion, Position,
};
pub use error::{Cause, CopyError, OpenError, ReadError, StoreError};
pub use memory::{DEFAULT_MEMORY_LIMIT, MemoryStore};
pub use policy::{
    DATAGRAM_HOURS, MAX_DATAGRAM_PRODUCERS, MAX_ONE_SHOT_PRODUCERS, MAX_OUTBOX_PRODUCERS, ONE_SHOT_HOURS,
    REPLY_HOURS,
};
pub use retention::{Retain, Rules};
pub use sqlite::{
    Advance, Dispatch, Dropped, Outbox, OutboxDestination, OutboxError, OutboxItem, OutboxProducer,
    SqliteImport, SqliteOptions, SqliteStore, Verdict, check,
};
pub use store::{
    Claim, Claimant, Heard, MAX_MAILBOXES, MailboxInfo, News, Reader, Readers, Removal, ServerInfo, Store,
};
pub use tenfour_proto::Stored;
pub use transfer::{Import, Record};
