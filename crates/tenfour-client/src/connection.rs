//! One connection: from a name to a checked key, then a task that keeps it up and moves all that goes over it.

pub(crate) mod attach;
pub(crate) mod dial;
pub(crate) mod driver;
mod group_state;
pub(crate) mod query;
pub(crate) mod read;
pub(crate) mod state;
pub(crate) mod wake;
