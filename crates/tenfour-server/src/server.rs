//! The server: sockets handed in, one store behind them, many clients at once, for ever.

use std::sync::Arc;

use tenfour_identity::clock::{Clock, wall_clock};
use tenfour_identity::tls;
use tenfour_proto::{CursorName, CursorNameError, MailboxName, MailboxNameError};
use tenfour_store::Store;
use tenfour_worker::{Handler, HandlerOptions, NameError};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Semaphore, broadcast, mpsc, watch};

use crate::admission::connections::ConnectionRegistry;
use crate::admission::counters::Counters;
use crate::admission::gate::Gate;
use crate::admission::producer_lease::Leases;
use crate::broker::Broker;
use crate::config::ServerConfig;
use crate::context::Context;
use crate::error::ServeError;
use crate::handler;
#[cfg(feature = "http")]
use crate::listeners::http::{self, HttpListeners};
#[cfg(feature = "modbus")]
use crate::listeners::modbus::{self, ModbusListeners};
use crate::listeners::{datagram, native, text};
use crate::mailboxes::Mailboxes;
use crate::plain_runtime::PlainRuntime;
use crate::reading::response_budget::Outgoing;

/// Sockets that listen already, by dialect.
#[derive(Debug, Default)]
pub struct Listeners {
    /// The recipe's wire. No identity, no secrecy: everyone who reaches them may send to `inbox`.
    pub text: Vec<TcpListener>,
    /// Datagrams: the same without a connection, and with an identity where the sender gives one.
    pub datagram: Vec<UdpSocket>,
    /// Native clients, over TLS.
    pub native: Vec<TcpListener>,
    /// HTTP, in the clear and over TLS.
    #[cfg(feature = "http")]
    pub http: HttpListeners,
    /// Modbus/TCP, in the clear: a write to registers is a message.
    #[cfg(feature = "modbus")]
    pub modbus: ModbusListeners,
}

/// A server with its store, not yet listening.
pub struct Server {
    context: Arc<Context>,
    writer: Option<std::thread::JoinHandle<()>>,
    handlers: Vec<handler::Start>,
}

impl Server {
    /// Takes the store. Nothing is received before [`run`](Self::run).
    pub fn new(store: Box<dyn Store>, config: ServerConfig) -> Result<Self, ServeError> {
        let tls = tls::server_config(&config.identity).map_err(|error| ServeError::Identity(error.into()))?;
        let (broker, writer) =
            Broker::start(store, config.limits.message_budget).map_err(ServeError::Start)?;
        let counters = Counters::default();
        let context = Context {
            broker,
            tls: tls.into(),
            clock: Clock::start(),
            gate: Gate::new(config.limits.max_connections, counters.clone()),
            leases: Leases::default(),
            counters,
            connections: ConnectionRegistry::default(),
            outgoing: Outgoing::new(config.limits.message_budget),
            copying: Semaphore::new(1),
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

    /// Handles messages of a mailbox in this process, from [`run`](Self::run) on, by a function from message to reply. When
    /// it fails, the message comes again.
    ///
    /// Each message is handled at least once: one that came before has `attempts` in its [`Item`](tenfour_proto::Item).
    ///
    /// ```no_run
    /// use tenfour_proto::{Item, Reply};
    /// use tenfour_server::{HandlerError, Server, ServerConfig};
    /// use tenfour_store::MemoryStore;
    ///
    /// # fn example(config: ServerConfig) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut server = Server::new(Box::new(MemoryStore::default()), config)?;
    /// server.handle("inbox", "upper", |item: Item| async move {
    ///     Ok::<_, HandlerError>(Reply::new(item.message.body.to_ascii_uppercase()))
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When a name is none.
    pub fn handle<M, C>(&mut self, mailbox: M, cursor: C, handler: impl Handler) -> Result<(), NameError>
    where
        M: TryInto<MailboxName>,
        M::Error: Into<MailboxNameError>,
        C: TryInto<CursorName>,
        C::Error: Into<CursorNameError>,
    {
        self.handle_with(HandlerOptions::named(mailbox, cursor)?, handler);
        Ok(())
    }

    /// The same with options of one's own.
    pub fn handle_with(&mut self, options: HandlerOptions, handler: impl Handler) {
        self.handlers.push(handler::start(options, handler));
    }

    /// A view of the mailboxes, for a console.
    pub fn mailboxes(&self) -> Mailboxes {
        Mailboxes::of(&self.context.broker)
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
        for listener in listeners.native {
            native::listen(listener, Arc::clone(&context), alive.clone());
        }
        let plain = PlainRuntime::start().map_err(ServeError::Start)?;
        {
            let _entered = plain.enter();
            for listener in listeners.text {
                let listener = plain.own_listener(listener).map_err(ServeError::Start)?;
                text::listen(listener, Arc::clone(&context), alive.clone());
            }
            for socket in listeners.datagram {
                let socket = plain.own_socket(socket).map_err(ServeError::Start)?;
                datagram::listen(socket, Arc::clone(&context), alive.clone());
            }
            #[cfg(feature = "http")]
            http::listen(listeners.http, &context, &alive)?;
            #[cfg(feature = "modbus")]
            modbus::listen(listeners.modbus, &context, &alive);
        }
        for start in handlers {
            start(Arc::clone(&context), alive.clone());
        }
        let (leases, mut claims) = (context.leases.clone(), context.broker.claims_elsewhere());
        let elsewhere = tokio::spawn(async move {
            loop {
                match claims.recv().await {
                    Ok((sender, producer, epoch)) => leases.claimed_elsewhere(sender, producer, epoch),
                    // What was missed shows with the next message.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        });
        drop(alive);
        let mut failed = context.broker.failed();
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
        context.broker.close();
        elsewhere.abort();
        if let Some(writer) = writer {
            let _ = tokio::task::spawn_blocking(move || writer.join()).await;
        }
        if store_failed || *context.broker.failed().borrow() {
            Err(ServeError::StoreFailed)
        } else {
            Ok(())
        }
    }
}

/// Serves `listeners` with `store` until `shutdown` completes; only one's own key may connect natively.
///
/// ```no_run
/// use tenfour_identity::Identity;
/// use tenfour_server::{Listeners, ServerConfig};
/// use tenfour_store::MemoryStore;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut listeners = Listeners::default();
/// listeners.text.push(tokio::net::TcpListener::bind("127.0.0.1:50544").await?);
/// let config = ServerConfig::new(Identity::generate()?);
/// tenfour_server::serve(listeners, Box::new(MemoryStore::default()), config, std::future::pending()).await?;
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

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("identity", &self.context.config.identity)
            .finish_non_exhaustive()
    }
}
