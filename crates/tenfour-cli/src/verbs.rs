//! One file a verb.

pub mod ask;
pub mod backup;
pub mod bench;
pub mod check;
pub mod invite;
pub mod join;
pub mod keys;
pub mod queue;
pub mod receive;
pub mod send;
pub mod serve;
pub mod shell;
pub mod status;
pub mod tail;
