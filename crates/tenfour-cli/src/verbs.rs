//! One file a verb; `reading` is what several have in common.

pub mod ask;
pub mod backup;
pub mod bench;
pub mod check;
pub mod invite;
pub mod join;
pub mod keys;
pub mod queue;
mod read_client;
pub mod receive;
pub mod removal;
pub mod send;
pub mod serve;
pub mod shell;
pub mod status;
pub mod store;
pub mod tail;
