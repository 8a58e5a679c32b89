//! What every connection shares.

use std::net::SocketAddr;

use tenfour_identity::clock::Clock;
use tenfour_proto::Listener;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::admission::connections::ConnectionRegistry;
use crate::admission::counters::Counters;
use crate::admission::gate::Gate;
use crate::admission::producer_lease::Leases;
use crate::broker::Broker;
use crate::config::ServerConfig;
use crate::event::Event;
use crate::reading::response_budget::Outgoing;

/// What every connection shares.
pub(crate) struct Context {
    pub(crate) broker: Broker,
    pub(crate) config: ServerConfig,
    pub(crate) tls: TlsAcceptor,
    pub(crate) clock: Clock,
    pub(crate) gate: Gate,
    pub(crate) leases: Leases,
    pub(crate) counters: Counters,
    pub(crate) connections: ConnectionRegistry,
    pub(crate) outgoing: Outgoing,
    /// A copy of the store is made: each looks first whether there is room.
    pub(crate) copying: Semaphore,
    /// Microseconds since 1970-01-01 UTC.
    pub(crate) since: i64,
    pub(crate) stopping: watch::Sender<bool>,
}

impl Context {
    pub(crate) fn tell_connected(&self, peer: SocketAddr, listener: Listener) {
        if let Some(on_event) = &self.config.on_event {
            on_event(Event::Connected {
                peer,
                listener: listener.as_str(),
            });
        }
    }
}
