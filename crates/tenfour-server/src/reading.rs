//! Out again: messages from the store, at the reader's pace.

pub(crate) mod group_reader;
pub(crate) mod mailbox_reader;
pub(crate) mod response_budget;
