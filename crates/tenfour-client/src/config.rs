//! How a client is set up.

use std::time::Duration;

use tenfour_identity::{Home, Identity, KnownHosts};
use tenfour_proto::native::{ClientOptions, ProducerKind, ResumeState, Resumption, SOFTWARE};
use tenfour_proto::{Durability, ProducerId};

use crate::error::SetupError;
use crate::random::random;

/// Messages without an answer at a time: enough to keep the wire full.
const WINDOW: usize = 1_000;

/// Their bytes: a window of large messages must not fill the memory.
const WINDOW_BYTES: usize = 64 * 1024 * 1024;

/// How a client is set up. Make one with [`new`](Self::new) or [`from_home`](Self::from_home), then change what differs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientConfig {
    /// The client's key. A server that shows the same key is trusted under any name.
    pub identity: Identity,
    /// The servers that are known.
    pub known_hosts: KnownHosts,
    /// From a message's acceptance to its receipt; also for connecting. 30 seconds unless said.
    pub timeout: Duration,
    /// The least durability that counts as stored. [`Durability::Disk`] unless said.
    pub durability: Durability,
    /// Names the producer, so that the same messages under the same id are stored once, whoever repeats
    /// them. Without it the client draws an id of its own.
    pub id: Option<String>,
    /// Most messages without an answer; [`send`](crate::Client::send) waits for a place among them. 1,000 unless said.
    pub window: usize,
    /// Most bytes of their bodies; a single message may have more. 64 MiB unless said.
    pub window_bytes: usize,
}

impl ClientConfig {
    /// The defaults, with this key and these servers.
    pub fn new(identity: Identity, known_hosts: KnownHosts) -> Self {
        ClientConfig {
            identity,
            known_hosts,
            timeout: Duration::from_secs(30),
            durability: Durability::Disk,
            id: None,
            window: WINDOW,
            window_bytes: WINDOW_BYTES,
        }
    }

    /// The defaults, with the user's own key, made on first use, and the servers that the user knows.
    ///
    /// # Errors
    ///
    /// When there is no home, or its files cannot be read.
    pub fn from_home() -> Result<Self, SetupError> {
        let home = Home::from_environment().map_err(SetupError::new)?;
        let identity = Identity::load_or_create(&home.identity()).map_err(SetupError::new)?;
        let known_hosts = KnownHosts::load(&home.known_hosts()).map_err(SetupError::new)?;
        Ok(ClientConfig::new(identity, known_hosts))
    }
}

/// What a client says of itself in HELLO.
pub(crate) fn options(
    config: &ClientConfig,
    producer: Option<(ProducerId, Resumption, ProducerKind)>,
    invitation: Option<[u8; 32]>,
) -> ClientOptions {
    ClientOptions {
        software: SOFTWARE.to_owned(),
        process: random(),
        durability: config.durability,
        producer,
        resume_state: ResumeState::default(),
        invitation,
    }
}
