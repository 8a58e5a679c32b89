//! How a client is set up.

use std::time::Duration;

use tenfour_identity::{Identity, KnownHosts};
use tenfour_proto::native::{ClientOptions, Past, Resumption, SOFTWARE, StreamKind};
use tenfour_proto::{Durability, StreamId};

use crate::random::random;

/// How a client is set up.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The client's key. A server that shows the same key is trusted under any name.
    pub identity: Identity,
    /// The servers that are known.
    pub known_hosts: KnownHosts,
    /// From a message's acceptance to its receipt; also for connecting.
    pub timeout: Duration,
    /// The least durability that counts as stored.
    pub durability: Durability,
    /// Names the stream, so that the same messages under the same id are stored once, whoever repeats
    /// them. Without it the client draws an id of its own.
    pub id: Option<String>,
}

impl ClientConfig {
    /// The defaults: 30 seconds, on disk, a stream of its own.
    pub fn new(identity: Identity, known_hosts: KnownHosts) -> Self {
        ClientConfig {
            identity,
            known_hosts,
            timeout: Duration::from_secs(30),
            durability: Durability::Disk,
            id: None,
        }
    }
}

/// What a client says of itself in HELLO.
pub(crate) fn options(
    config: &ClientConfig,
    stream: Option<(StreamId, Resumption, StreamKind)>,
    invitation: Option<[u8; 32]>,
) -> ClientOptions {
    ClientOptions {
        software: SOFTWARE.to_owned(),
        process: random(),
        durability: config.durability,
        stream,
        past: Past::default(),
        invitation,
    }
}
