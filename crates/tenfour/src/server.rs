//! The server: sockets handed in, one store behind them, many clients at once, for ever.

mod access;
mod counters;
mod datagram;
mod draw;
mod gate;
mod handling;
mod http;
mod lease;
mod listen;
mod modbus;
mod native;
mod outgoing;
mod roster;
mod single;
mod status;
mod text;
mod trail;
mod watched;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tenfour_proto::{Item, Listener, MailboxName, Reply, limits};
use tenfour_store::{ReadError, Store};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, watch};

pub use access::Access;
pub use counters::{Counter, Counters};
use gate::Gate;
pub use handling::{HandlerError, HandlerOptions};
use lease::Leases;
use outgoing::Outgoing;
use roster::Roster;

use crate::clock::{Clock, wall_clock};
use crate::identity::Identity;
use crate::inbox::Inbox;

/// Sockets that listen already, by dialect.
#[derive(Debug, Default)]
pub struct Listeners {
    /// The recipe's wire. No identity, no secrecy: everyone who reaches them may send to `inbox`.
    pub text: Vec<TcpListener>,
    /// Datagrams: the same without a connection, and with an identity where the sender gives one.
    pub datagram: Vec<UdpSocket>,
    /// Native clients, over TLS.
    pub native: Vec<TcpListener>,
    /// Modbus/TCP, in the clear: a write to registers is a message.
    pub modbus: Vec<TcpListener>,
    /// HTTP, in the clear: for the loopback, or behind something that adds TLS.
    pub http: Vec<TcpListener>,
    /// HTTP over TLS, under the server's key.
    pub https: Vec<TcpListener>,
}

/// What a server may use and allows.
#[derive(Clone, Debug)]
pub struct ServerLimits {
    /// Longest body of a message, in bytes; at most [`limits::CEILING_MAX_MESSAGE`].
    pub max_message: u32,
    /// Connections of all listeners together. Each costs a file handle and 2 to 14 KiB.
    pub max_connections: usize,
    /// Bytes of messages that have arrived and are not stored yet.
    pub message_budget: u64,
    /// How long a stopping server waits for what is under way.
    pub drain: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        ServerLimits {
            max_message: limits::DEFAULT_MAX_MESSAGE,
            max_connections: 4_096,
            // With caches and connections this keeps the whole below 256 MiB.
            message_budget: 64 * 1024 * 1024,
            drain: Duration::from_secs(10),
        }
    }
}

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

/// How a server is set up.
#[derive(Clone)]
pub struct ServerConfig {
    /// The server's key.
    pub identity: Identity,
    /// Which keys may do what.
    pub access: Access,
    /// Ceilings.
    pub limits: ServerLimits,
    /// Names by which HTTP may be asked, beside `localhost` and addresses: all others are somebody's trick.
    pub http_names: Vec<String>,
    /// By HTTP everybody may send to `inbox` without a token, not only programs on this machine.
    pub http_open: bool,
    /// Where writes by Modbus go: all of them here, or without it each unit's to `modbus/UNIT`.
    pub modbus_mailbox: Option<MailboxName>,
    /// The mailboxes of which Modbus' input registers tell, in their order.
    pub modbus_watch: Vec<MailboxName>,
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
            http_names: Vec::new(),
            http_open: false,
            modbus_mailbox: None,
            modbus_watch: vec![MailboxName::inbox()],
            on_event: None,
        }
    }
}

/// The server could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The thread for the store cannot be started, or a listener is unusable.
    #[error("the server cannot start")]
    Start(#[source] std::io::Error),
    /// The identity does not fit TLS.
    #[error("the key cannot be used for TLS")]
    Identity(#[source] rustls::Error),
    /// The store failed. What was receipted is safe; the process should be started again.
    #[error("the store failed")]
    StoreFailed,
}

/// A server with its store, not yet listening.
pub struct Server {
    context: Arc<Context>,
    writer: Option<std::thread::JoinHandle<()>>,
    handlers: Vec<handling::Start>,
}

/// What every connection shares.
struct Context {
    inbox: Inbox,
    config: ServerConfig,
    tls: tokio_rustls::TlsAcceptor,
    clock: Clock,
    gate: Gate,
    leases: Leases,
    counters: Counters,
    roster: Roster,
    outgoing: Outgoing,
    units: modbus::Units,
    /// Microseconds since 1970-01-01 UTC.
    since: i64,
    stopping: watch::Sender<bool>,
}

impl Context {
    fn tell_connected(&self, peer: SocketAddr, listener: Listener) {
        if let Some(on_event) = &self.config.on_event {
            on_event(Event::Connected {
                peer,
                listener: listener.as_str(),
            });
        }
    }
}

impl Server {
    /// Takes the store. Nothing is received before [`run`](Self::run).
    pub fn new(store: Box<dyn Store>, config: ServerConfig) -> Result<Self, ServeError> {
        let tls = crate::tls::server_config(&config.identity).map_err(ServeError::Identity)?;
        let (inbox, writer) = Inbox::start(store, config.limits.message_budget).map_err(ServeError::Start)?;
        let counters = Counters::default();
        let context = Context {
            inbox,
            tls: tls.into(),
            clock: Clock::start(),
            gate: Gate::new(config.limits.max_connections, counters.clone()),
            leases: Leases::default(),
            counters,
            roster: Roster::default(),
            outgoing: Outgoing::new(config.limits.message_budget),
            units: modbus::Units::default(),
            since: wall_clock(),
            stopping: watch::Sender::new(false),
            config,
        };
        Ok(Server {
            context: Arc::new(context),
            writer,
            handlers: Vec::new(),
        })
    }

    /// Handles messages of a mailbox in this process, from [`run`](Self::run) on. The service gets each message, and what
    /// it gives back is the reply, for those who asked. When it fails, the message comes again.
    ///
    /// Each message is handled at least once: one that came before has `attempts` in its [`Item`].
    ///
    /// ```no_run
    /// use tenfour::{HandlerError, HandlerOptions, Item, MailboxName, MemoryStore, Reply, Server, ServerConfig};
    ///
    /// # fn example(config: ServerConfig) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut server = Server::new(Box::new(MemoryStore::default()), config)?;
    /// let options = HandlerOptions::new(MailboxName::inbox(), "upper".parse()?);
    /// server.handle(options, tower::service_fn(|item: Item| async move {
    ///     Ok::<_, HandlerError>(Reply::new(item.message.body.to_ascii_uppercase()))
    /// }));
    /// # Ok(())
    /// # }
    /// ```
    pub fn handle<S>(&mut self, options: HandlerOptions, service: S)
    where
        S: tower::Service<Item, Response = Reply> + Send + 'static,
        S::Error: Into<HandlerError>,
        S::Future: Send + 'static,
    {
        self.handlers.push(handling::start(options, service));
    }

    /// A view of the mailboxes, for a console.
    pub fn mailboxes(&self) -> Mailboxes {
        Mailboxes {
            commits: self.context.inbox.follow_all(),
            inbox: self.context.inbox.clone(),
        }
    }

    /// What was refused and dropped, by reason.
    pub fn counters(&self) -> Counters {
        self.context.counters.clone()
    }

    /// Serves until `shutdown` completes, then takes nothing more, answers what is under way and returns.
    ///
    /// # Errors
    ///
    /// [`ServeError::StoreFailed`] when the store fails: the server stops rather than guess.
    pub async fn run(
        self,
        listeners: Listeners,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let Server {
            context,
            writer,
            handlers,
        } = self;
        // Every task holds a sender; when all are gone, so are the tasks.
        let (alive, mut all_gone) = mpsc::channel::<()>(1);
        context
            .config
            .access
            .watch_files(&alive, &context.stopping.subscribe());
        for listener in listeners.text {
            text::listen(listener, Arc::clone(&context), alive.clone());
        }
        for socket in listeners.datagram {
            datagram::listen(socket, Arc::clone(&context), alive.clone());
        }
        for listener in listeners.native {
            native::listen(listener, Arc::clone(&context), alive.clone());
        }
        for listener in listeners.http {
            http::listen(listener, None, Arc::clone(&context), alive.clone());
        }
        for listener in listeners.https {
            let tls = crate::tls::web_config(&context.config.identity).map_err(ServeError::Identity)?;
            http::listen(listener, Some(tls.into()), Arc::clone(&context), alive.clone());
        }
        for listener in listeners.modbus {
            modbus::listen(listener, Arc::clone(&context), alive.clone());
        }
        for start in handlers {
            start(Arc::clone(&context), alive.clone());
        }
        drop(alive);
        let mut failed = context.inbox.failed();
        let store_failed = tokio::select! {
            () = shutdown => false,
            _ = failed.wait_for(|failed| *failed) => true,
        };
        context.stopping.send_replace(true);
        context.gate.close();
        let drained = tokio::time::timeout(context.config.limits.drain, all_gone.recv()).await;
        if drained.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        context.inbox.close();
        if let Some(writer) = writer {
            let _ = tokio::task::spawn_blocking(move || writer.join()).await;
        }
        if store_failed || *context.inbox.failed().borrow() {
            Err(ServeError::StoreFailed)
        } else {
            Ok(())
        }
    }
}

/// Serves `listeners` with `store` until `shutdown` completes; only one's own key may connect natively.
///
/// ```no_run
/// use tenfour::identity::Identity;
/// use tenfour::{Listeners, MemoryStore, ServerConfig};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut listeners = Listeners::default();
/// listeners.text.push(tokio::net::TcpListener::bind("127.0.0.1:50544").await?);
/// let config = ServerConfig::new(Identity::generate()?);
/// tenfour::serve(listeners, Box::new(MemoryStore::default()), config, std::future::pending()).await?;
/// # Ok(())
/// # }
/// ```
pub async fn serve(
    listeners: Listeners,
    store: Box<dyn Store>,
    config: ServerConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    Server::new(store, config)?.run(listeners, shutdown).await
}

/// What is in the store, for a console beside the server. It lags rather than hold anybody up.
pub struct Mailboxes {
    commits: watch::Receiver<u64>,
    inbox: Inbox,
}

impl Mailboxes {
    /// Waits for a commit since the last call; false once the server is gone.
    pub async fn changed(&mut self) -> bool {
        self.commits.changed().await.is_ok()
    }

    /// All mailboxes with their last offsets; none once the server is gone.
    pub async fn last_offsets(&self) -> Vec<(MailboxName, u64)> {
        match self.inbox.read(|reader| reader.mailboxes()).await {
            Ok(Ok(mailboxes)) => mailboxes.into_iter().map(|info| (info.name, info.last)).collect(),
            _ => Vec::new(),
        }
    }

    /// Messages of `mailbox` from offset `from` on, at most `items`, about 1 MiB at most.
    pub async fn read(&self, mailbox: MailboxName, from: u64, items: usize) -> Result<Vec<Item>, ReadError> {
        const BYTES: u64 = 1024 * 1024;
        match self
            .inbox
            .read(move |reader| reader.read(&mailbox, from, items, BYTES))
            .await
        {
            Ok(result) => result,
            Err(_) => Ok(Vec::new()),
        }
    }
}
