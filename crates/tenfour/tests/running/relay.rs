//! What lies between a client and a server: it can hold back what the server says, and cut a connection after any byte.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use socket2::SockRef;
use tenfour::Address;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Whose bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The client's.
    Up,
    /// The server's.
    Down,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Both sides are told that it is broken.
    Reset,
    /// Both sides are told that nothing more comes.
    Close,
    /// Nobody is told anything: no more bytes come that way, and the other way goes on.
    Stall,
}

/// After so many bytes of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub way: Way,
    pub after: u64,
    pub end: End,
}

struct State {
    server: Mutex<String>,
    cut: Mutex<Option<Cut>>,
    up: AtomicU64,
    down: AtomicU64,
}

pub struct Relay {
    pub address: Address,
    open: watch::Sender<bool>,
    lost: watch::Sender<()>,
    state: Arc<State>,
}

impl Relay {
    pub async fn to(server: &Address) -> Self {
        Self::that_cuts(server, None).await
    }

    /// Cuts its first connection.
    pub async fn that_cuts(server: &Address, cut: Option<Cut>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, gate) = watch::channel(true);
        let (lost, losing) = watch::channel(());
        let state = Arc::new(State {
            server: Mutex::new(server.to_string()),
            cut: Mutex::new(cut),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
        });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = shared.server.lock().unwrap().clone();
                let Ok(server) = TcpStream::connect(server).await else {
                    continue;
                };
                let cut = shared.cut.lock().unwrap().take();
                let (state, mut losing) = (Arc::clone(&shared), losing.clone());
                let gate = gate.clone();
                losing.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        biased;
                        _ = losing.changed() => {}
                        () = relay(client, server, gate, cut, state) => {}
                    }
                });
            }
        });
        Relay {
            address: Address::from_ip(address.ip(), address.port()),
            open,
            lost,
            state,
        }
    }

    pub fn hold(&self) {
        self.open.send_replace(false);
    }

    pub fn let_go(&self) {
        self.open.send_replace(true);
    }

    /// Ends all connections; what is held is lost.
    pub fn lose(&self) {
        self.lost.send_replace(());
    }

    /// The connections from now on lead to another server.
    pub fn lead_to(&self, server: &Address) {
        *self.state.server.lock().unwrap() = server.to_string();
    }

    /// Bytes of all connections so far, of the client and of the server.
    pub fn passed(&self) -> (u64, u64) {
        let count = |side: &AtomicU64| side.load(Ordering::SeqCst);
        (count(&self.state.up), count(&self.state.down))
    }
}

async fn relay(
    mut client: TcpStream,
    mut server: TcpStream,
    gate: watch::Receiver<bool>,
    cut: Option<Cut>,
    state: Arc<State>,
) {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let limit = |way| cut.filter(|cut| cut.way == way).map(|cut| cut.after);
    let is_cut = {
        let up = pump(from_client, to_server, None, limit(Way::Up), &state.up);
        let down = pump(from_server, to_client, Some(gate), limit(Way::Down), &state.down);
        tokio::pin!(up, down);
        let (is_cut, first) = tokio::select! {
            is_cut = &mut up => (is_cut, Way::Up),
            is_cut = &mut down => (is_cut, Way::Down),
        };
        if is_cut && cut.is_some_and(|cut| cut.end == End::Stall) {
            match first {
                Way::Up => down.await,
                Way::Down => up.await,
            };
        }
        is_cut
    };
    if is_cut && cut.is_some_and(|cut| cut.end == End::Reset) {
        for stream in [&client, &server] {
            let _ = SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
        }
    }
}

/// Moves bytes until an end, or until the limit is reached; says whether it was that.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut gate: Option<watch::Receiver<bool>>,
    limit: Option<u64>,
    count: &AtomicU64,
) -> bool {
    let mut left = limit.unwrap_or(u64::MAX);
    let mut bytes = [0; 4096];
    while left > 0 {
        let Ok(length @ 1..) = from.read(&mut bytes).await else {
            return false;
        };
        if let Some(gate) = &mut gate
            && gate.wait_for(|open| *open).await.is_err()
        {
            return false;
        }
        let length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        if to.write_all(&bytes[..length]).await.is_err() {
            return false;
        }
        left -= length as u64;
        count.fetch_add(length as u64, Ordering::SeqCst);
    }
    true
}
