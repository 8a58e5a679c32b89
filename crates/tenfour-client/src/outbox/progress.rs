//! How far the delivering is.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::error::DispatchError;

/// How far the delivering to one server is.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DestinationProgress {
    /// Messages stored over there since the start.
    pub receipts: u64,
    /// Messages refused since the start; they stay in the outbox.
    pub refused: u64,
    /// Changes of the outbox that have been looked at; nothing of them is left when `idle`.
    pub(super) seen: u64,
    /// Nothing was left when it was looked at last.
    pub idle: bool,
    /// What stands in the way.
    pub error: Option<Arc<DispatchError>>,
}

/// How far the delivering to all of them is.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Deliveries {
    /// By `HOST:PORT`.
    pub destinations: BTreeMap<Arc<str>, DestinationProgress>,
    /// So often it was looked for new servers.
    pub(super) seen: Option<u64>,
}

pub(super) type Progress = watch::Sender<Deliveries>;
