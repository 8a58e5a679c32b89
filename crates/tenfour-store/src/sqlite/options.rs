//! How a store on disk is opened.

use tenfour_proto::Durability;

/// How a store on disk is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// [`Durability::Disk`]: each commit is flushed before it is answered. [`Durability::Os`]: it is
    /// not; receipts say so. Anything less is kept like `Os`.
    pub durability: Durability,
    /// Bytes of bodies that senders without a key may hold together; without it 1 GiB, or a tenth of the disk if that is
    /// less.
    pub anonymous_quota: Option<u64>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        SqliteOptions {
            durability: Durability::Disk,
            anonymous_quota: None,
        }
    }
}
