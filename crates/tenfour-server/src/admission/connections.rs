//! Who is connected now.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tenfour_proto::{Fingerprint, Listener, Sender, TokenName};

use tenfour_identity::clock::wall_clock;
use tenfour_identity::lock;

/// All connections. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct ConnectionRegistry(Arc<Mutex<RegistryState>>);

#[derive(Default)]
struct RegistryState {
    present: HashMap<u64, Arc<ConnectionInfo>>,
    next: u64,
}

/// One connection, as others see it.
pub(crate) struct ConnectionInfo {
    pub(crate) peer: SocketAddr,
    pub(crate) listener: Listener,
    /// Its key, where it has one.
    pub(crate) key: Option<Fingerprint>,
    /// Microseconds since 1970-01-01 UTC.
    pub(crate) since: i64,
    received: AtomicU64,
    sent: AtomicU64,
    /// The token that it showed last.
    token: Mutex<Option<TokenName>>,
}

/// On the roster until it is dropped.
pub(crate) struct RegistryEntry {
    connections: ConnectionRegistry,
    number: u64,
    visit: Arc<ConnectionInfo>,
}

impl ConnectionRegistry {
    pub(crate) fn enter(
        &self,
        peer: SocketAddr,
        listener: Listener,
        key: Option<Fingerprint>,
    ) -> RegistryEntry {
        let visit = Arc::new(ConnectionInfo {
            peer,
            listener,
            key,
            since: wall_clock(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            token: Mutex::default(),
        });
        let mut inner = lock(&self.0);
        inner.next += 1;
        let number = inner.next;
        inner.present.insert(number, Arc::clone(&visit));
        RegistryEntry {
            connections: self.clone(),
            number,
            visit,
        }
    }

    /// Everybody, the longest there first.
    pub(crate) fn all(&self) -> Vec<Arc<ConnectionInfo>> {
        let mut all: Vec<_> = lock(&self.0)
            .present
            .iter()
            .map(|(number, visit)| (*number, Arc::clone(visit)))
            .collect();
        all.sort_unstable_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, visit)| visit).collect()
    }
}

impl ConnectionInfo {
    /// Messages that came.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Who it is, as far as it has shown.
    pub(crate) fn sender(&self) -> Sender {
        match (self.key, lock(&self.token).clone()) {
            (Some(key), _) => Sender::Key(key),
            (None, Some(token)) => Sender::Token(token),
            (None, None) => Sender::Anonymous,
        }
    }

    /// Messages that went out to a reader.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl RegistryEntry {
    pub(crate) fn count_received(&self, messages: usize) {
        self.visit.received.fetch_add(messages as u64, Ordering::Relaxed);
    }

    /// It showed a token.
    pub(crate) fn showed(&self, token: &TokenName) {
        *lock(&self.visit.token) = Some(token.clone());
    }

    pub(crate) fn count_sent(&self, messages: usize) {
        self.visit.sent.fetch_add(messages as u64, Ordering::Relaxed);
    }

    /// Over the whole connection.
    pub(crate) fn set_sent(&self, messages: u64) {
        self.visit.sent.store(messages, Ordering::Relaxed);
    }
}

impl Drop for RegistryEntry {
    fn drop(&mut self) {
        lock(&self.connections.0).present.remove(&self.number);
    }
}
