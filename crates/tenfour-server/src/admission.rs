//! May it: who is let in, who may do what, who sends as a producer. Everything that is refused is counted.

pub(crate) mod access;
pub(crate) mod connections;
pub(crate) mod counters;
pub(crate) mod gate;
pub(crate) mod producer_lease;
mod watched_list;
