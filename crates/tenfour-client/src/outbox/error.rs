//! What stands in the way of a delivery.

use std::sync::Arc;

use tenfour_proto::Fingerprint;
use tenfour_store::{OutboxError, OutboxProducer};

use crate::error::{ConnectError, Failure};

/// Why nothing is delivered to a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DispatchError {
    /// No connection.
    #[error("{0}")]
    Connect(ConnectError),
    /// A connection came to nothing.
    #[error("{0}")]
    Failed(Arc<Failure>),
    /// The server lacks messages that it gave receipts for. Nothing more goes there until it is decided what to do.
    #[error("the server went back: it lacks messages #{from} to #{to}, which it gave receipts for")]
    Regressed {
        /// The first number of those.
        from: u64,
        /// The last.
        to: u64,
    },
    /// Another store answers than the one that messages without a receipt went to. Nothing more goes there until it is
    /// decided what to do.
    #[error("another store answers there now, and messages #{from} to #{to} may be in the first one")]
    OtherStore {
        /// The first number of those.
        from: u64,
        /// The last.
        to: u64,
    },
    /// Messages that may have left under another key cannot leave under this one: they would be others.
    #[error("messages that are under way were sent with the key {theirs}, this is {ours}")]
    OtherKey {
        /// The key they were sent with.
        theirs: Fingerprint,
        /// The key of now.
        ours: Fingerprint,
    },
    /// The outbox itself.
    #[error("{0}")]
    Outbox(OutboxError),
    /// The client cannot be set up.
    #[error("{0}")]
    Setup(String),
}

impl DispatchError {
    /// It does not pass by waiting.
    pub fn is_final(&self) -> bool {
        match self {
            DispatchError::Connect(error) => !error.is_temporary(),
            DispatchError::Failed(failure) => !matches!(
                **failure,
                Failure::Deadline { .. } | Failure::Protocol(_) | Failure::Closed
            ),
            DispatchError::Regressed { .. }
            | DispatchError::OtherStore { .. }
            | DispatchError::OtherKey { .. }
            | DispatchError::Outbox(_)
            | DispatchError::Setup(_) => true,
        }
    }
}

impl From<OutboxError> for DispatchError {
    fn from(error: OutboxError) -> Self {
        DispatchError::Outbox(error)
    }
}

/// What a server lacks of these producers.
pub(super) fn lost(producers: &[OutboxProducer]) -> DispatchError {
    let lost = |to: fn(&OutboxProducer) -> u64| {
        let producers = producers
            .iter()
            .filter(move |producer| producer.lost.is_some_and(|lost| lost <= to(producer)));
        let from = producers.clone().filter_map(|producer| producer.lost).min()?;
        Some((from, producers.map(to).max()?))
    };
    match (
        lost(|producer| producer.receipted),
        lost(|producer| producer.numbered).unwrap_or_default(),
    ) {
        (Some((from, to)), _) => DispatchError::Regressed { from, to },
        (None, (from, to)) => DispatchError::OtherStore { from, to },
    }
}
