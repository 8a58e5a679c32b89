//! How a server is set up, whatever it listens to.

use std::time::Duration;

use tenfour_identity::Identity;
use tenfour_proto::limits;

use crate::admission::access::Access;
use crate::event::OnEvent;

/// What a server may use and allows.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerLimits {
    /// Longest body of a message, in bytes; at most [`limits::CEILING_MAX_MESSAGE`].
    pub max_message: u32,
    /// Connections of all listeners together. Each costs a file handle and 2 to 14 KiB.
    pub max_connections: usize,
    /// Bytes of messages that have arrived and are not stored yet.
    pub message_budget: u64,
    /// How long a stopping server waits for what is under way.
    pub drain: Duration,
    /// Silence after which a native peer is asked whether it lives; after twice this time it is cut.
    pub heartbeat: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        ServerLimits {
            max_message: limits::DEFAULT_MAX_MESSAGE,
            max_connections: 4_096,
            // With caches and connections this keeps the whole below 256 MiB.
            message_budget: 64 * 1024 * 1024,
            drain: Duration::from_secs(10),
            heartbeat: limits::HEARTBEAT,
        }
    }
}

/// How a server is set up.
#[derive(Clone)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The server's key.
    pub identity: Identity,
    /// Which keys may do what.
    pub access: Access,
    /// Ceilings.
    pub limits: ServerLimits,
    /// Who is told what happens.
    pub on_event: Option<OnEvent>,
}

impl ServerConfig {
    /// A server for one's own key only, with default limits.
    pub fn new(identity: Identity) -> Self {
        ServerConfig {
            access: Access::own_key_only(identity.fingerprint()),
            identity,
            limits: ServerLimits::default(),
            on_event: None,
        }
    }
}

impl std::fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerConfig")
            .field("identity", &self.identity)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
