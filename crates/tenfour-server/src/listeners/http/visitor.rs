//! Who asks, on a connection, and by which request.

use std::net::SocketAddr;
use std::sync::Arc;

use super::config::HttpConfig;
use super::credentials::Credentials;
use super::problem::Problem;
use crate::admission::connections::RegistryEntry;
use crate::admission::gate::ConnectionPermit;
use crate::context::Context;
use crate::reading::response_budget::Piece;

/// Who asks.
#[derive(Clone)]
pub(super) struct Visitor {
    pub(super) context: Arc<Context>,
    pub(super) config: Arc<HttpConfig>,
    pub(super) peer: SocketAddr,
    pub(super) entry: Arc<RegistryEntry>,
    /// Of the request at hand.
    pub(super) credentials: Credentials,
    pub(super) permit: Arc<ConnectionPermit>,
}

impl Visitor {
    /// The gate looks at the time of the last word.
    pub(super) fn heard(&self, unfinished: usize) {
        self.permit.heard(self.context.clock.now(), unfinished);
    }

    /// Waits for memory for so many bytes, and one message more, which is as long as one may be.
    pub(super) async fn room_for(&self, bytes: u64) -> Result<Piece, Problem> {
        let most = bytes + u64::from(self.context.config.limits.max_message);
        let room = self.context.outgoing.room_for(most).await;
        room.ok_or_else(Problem::busy)
    }
}
