//! Trouble that passes.

use crate::codes::codes;
use std::fmt;

codes! {
    /// Why a server cannot store anything at the moment.
    pub enum TemporaryCode, otherwise "not-now" "the server does not accept messages now" {
        /// The disk, or the memory given to the store, is full.
        Full = 1 "full" "the store is full, try again later",
        /// Too much to do, or too many connections.
        Busy = 2 "busy" "the server has too much to do, try again later",
        /// The server is going down.
        Stopping = 3 "stopping" "the server is stopping, try again later",
        /// The store is not in its place: what is stored there now would be lost.
        Displaced = 4 "displaced" "the server's store was removed, replaced or restored while it was in use; whoever runs it has to look",
    }
}

impl fmt::Display for TemporaryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}
