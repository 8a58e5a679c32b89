//! Many servers in front of one PostgreSQL.
//!
//! A [`PostgresStore`] is a [`Store`](tenfour_store::Store) whose truth is in a database: any number of servers may have one
//! on the same tables, and none of them owns anything for long. What a commit means is decided by the ledger that all
//! stores share; here it becomes rows. Rows are locked, and what is new is inserted; nothing that is used often is ever
//! updated. `docs/scale-out.md` describes the tables and what the operator of the database must know.
//!
//! Synchronous, owned by one thread, like the other stores; never to be called on a thread that runs tasks.

#![forbid(unsafe_code)]
// What comes from another machine must not stop us. Tests may.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod address;
mod claim;
mod commit;
mod cursors;
mod draw;
mod durability;
mod error;
mod export;
mod hours;
mod housekeeping;
mod import;
mod key_lists;
mod lane;
mod mailboxes;
mod news;
mod pack;
mod past;
mod producers;
mod reader;
mod removal;
mod replies;
mod retention;
mod runs;
mod schema;
mod session;
mod sizes;
mod sql;
mod store;
mod streams;
mod transaction;
mod writer;

pub use address::Address;
pub use durability::Demand;
pub use error::PostgresError;
pub use import::PostgresImport;
pub use key_lists::KeyLists;
pub use schema::init;
pub use store::{PostgresOptions, PostgresStore};
