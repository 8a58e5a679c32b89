//! A real server in this process, for the listeners that are no machines of their own.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenfour::Server;
use tenfour::identity::Identity;
use tenfour::server::{Listeners, ServerConfig};
use tenfour::store::MemoryStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// After so many conversations there is a new one: it keeps all that it is given.
const ROUNDS: u32 = 5_000;

/// Nobody is waited for any longer.
const LONG: Duration = Duration::from_secs(10);

/// A server, and what a target knows of it.
pub(crate) struct Served<T> {
    runtime: Runtime,
    http: SocketAddr,
    modbus: SocketAddr,
    rounds: u32,
    pub(crate) known: T,
}

impl<T: Default> Served<T> {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let bind = || {
            runtime
                .block_on(TcpListener::bind("127.0.0.1:0"))
                .expect("a port")
        };
        let (http, modbus) = (bind(), bind());
        let addresses = [&http, &modbus].map(|listener| listener.local_addr().expect("an address"));
        let mut listeners = Listeners::default();
        listeners.http.plain.push(http);
        listeners.modbus.sockets.push(modbus);
        let config = ServerConfig::new(Identity::generate().expect("a key"));
        let server = Server::new(Box::new(MemoryStore::default()), config).expect("a server");
        runtime.spawn(server.run(listeners, std::future::pending()));
        Served {
            runtime,
            http: addresses[0],
            modbus: addresses[1],
            rounds: 0,
            known: T::default(),
        }
    }

    /// The one of this target.
    pub(crate) fn get(place: &Mutex<Option<Self>>) -> MutexGuard<'_, Option<Self>> {
        let mut served = place.lock().unwrap_or_else(PoisonError::into_inner);
        if served.as_ref().is_none_or(|served| served.rounds >= ROUNDS)
            && let Some(old) = served.replace(Self::start())
        {
            old.runtime.shutdown_background();
        }
        served
    }

    /// Says all of it to the HTTP listener and hears what comes back, but nothing that comes late.
    pub(crate) fn ask_http(&mut self, request: &[u8]) -> Vec<u8> {
        self.rounds += 1;
        let late = Duration::from_millis(30);
        self.runtime.block_on(converse(self.http, request, Some(late)))
    }

    /// Says all of it to the Modbus listener, and hears what comes back until it closes.
    pub(crate) fn ask_modbus(&mut self, requests: &[u8]) -> Vec<u8> {
        self.rounds += 1;
        self.runtime.block_on(converse(self.modbus, requests, None))
    }
}

async fn converse(address: SocketAddr, request: &[u8], late: Option<Duration>) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let mut heard = Vec::new();
    // It may have heard enough before we are done.
    if stream.write_all(request).await.is_ok() {
        let _ = stream.shutdown().await;
    }
    let mut buffer = [0; 16 * 1024];
    loop {
        let patience = if heard.is_empty() {
            LONG
        } else {
            late.unwrap_or(LONG)
        };
        match tokio::time::timeout(patience, stream.read(&mut buffer)).await {
            Ok(Ok(count @ 1..)) => heard.extend_from_slice(&buffer[..count]),
            _ => return heard,
        }
    }
}
