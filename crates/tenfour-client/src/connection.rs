//! One connection: from a name to a checked key, then a task that keeps it up.

pub(crate) mod dial;
pub(crate) mod driver;
pub(crate) mod session;
pub(crate) mod state;
