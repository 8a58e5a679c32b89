//! The store on disk: SQLite in WAL mode, flushed before anything is said to be stored.

mod check;
mod checkpoint;
mod columns;
mod connection;
mod cursors;
mod dead_letters;
mod export;
mod format;
mod hours;
mod import;
mod message_row;
mod open;
mod options;
mod outbox;
mod producers;
mod reader;
mod replies;
mod retention;
mod row_error;
mod schema;
mod sizes;
mod transaction;
mod writer;

pub use check::check;
pub use import::SqliteImport;
pub use options::SqliteOptions;
pub use outbox::{
    Advance, Dispatch, Dropped, Outbox, OutboxDestination, OutboxError, OutboxItem, OutboxProducer, Verdict,
};
pub use writer::SqliteStore;
