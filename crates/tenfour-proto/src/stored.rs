//! The proof that stands behind a receipt.

use crate::Settlement;

/// The proof that a commit has happened. The machines make receipts of this, and of nothing else.
///
/// Only a store makes one, behind its flush, or of what it reads back; a test of the repository's structure holds that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored(Settlement);

impl Stored {
    /// For stores: this is committed, as durable as the store says.
    pub fn after_commit(settlement: Settlement) -> Self {
        Stored(settlement)
    }

    /// What became of the messages.
    pub fn settlement(&self) -> &Settlement {
        &self.0
    }

    /// What became of the messages, taken out: it is a proof no more.
    pub fn into_settlement(self) -> Settlement {
        self.0
    }
}
