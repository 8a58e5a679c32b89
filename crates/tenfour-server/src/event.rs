//! What a console may want to show.

use std::net::SocketAddr;
use std::sync::Arc;

/// Something happened that a console may want to show.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Somebody connected.
    Connected {
        /// From where.
        peer: SocketAddr,
        /// `text`, `native`, `http` or `modbus`.
        listener: &'static str,
    },
}

/// Called by connections; must return at once.
pub type OnEvent = Arc<dyn Fn(Event) + Send + Sync>;
