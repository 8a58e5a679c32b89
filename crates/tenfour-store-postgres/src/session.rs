//! A connection to the primary, and the runtime that drives it.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{LocalBoxFuture, try_join_all};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Notification, Socket, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::address::Address;
use crate::error::Trouble;

/// A transaction that takes longer has met a primary that waits for a standby that is gone, or that is gone itself.
pub(crate) const LONGEST: Duration = Duration::from_secs(8);

/// Between two looks at all hosts when none was the primary.
pub(crate) const PAUSE: Duration = Duration::from_millis(200);

/// What a session is set to. A server whose machine is gone must not hold rows for ever; and no limit that cancels: that would
/// end the wait for a standby, and leave a commit that is not replicated.
const SETTINGS: &str = "SET search_path = tenfour; SET client_encoding = 'UTF8'; SET TimeZone = 'UTC';
    SET idle_in_transaction_session_timeout = '10s'; SET statement_timeout = 0; SET client_min_messages = 'warning'";

/// How a transaction begins that writes. Also in a pool of connections that share sessions.
const BEGIN: &str = "BEGIN; SET LOCAL synchronous_commit = on";

/// One connection.
pub(crate) struct Session {
    /// Gone in `drop` only: a runtime may not end where tasks run.
    runtime: Option<Runtime>,
    client: Client,
    statements: HashMap<&'static str, Statement>,
    /// The wait for a standby was cancelled: what was committed then is not replicated.
    unreplicated: Arc<AtomicBool>,
    notifications: UnboundedReceiver<Notification>,
    /// Which one of the address.
    host: usize,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Session {
    /// Connects to the first host that seems to be the primary: from the one that was it last, or so many behind it.
    pub(crate) fn connect(
        address: &Address,
        behind: usize,
        statements: &[&'static str],
    ) -> Result<Self, Trouble> {
        let mut hosts: Vec<_> = address.hosts().into_iter().enumerate().collect();
        let turn = (address.primary() + behind) % hosts.len().max(1);
        hosts.rotate_left(turn);
        let mut last = Trouble::Lost("no host is named".to_owned());
        for (host, (config, is_encrypted)) in hosts {
            let tls = if is_encrypted { Some(tls(address)?) } else { None };
            match Session::connect_to(&config, tls, statements) {
                Ok(mut session) => {
                    session.host = host;
                    return Ok(session);
                }
                Err(trouble) => last = trouble,
            }
        }
        Err(last)
    }

    fn connect_to(
        config: &Config,
        tls: Option<MakeRustlsConnect>,
        statements: &[&'static str],
    ) -> Result<Self, Trouble> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Trouble::Lost(error.to_string()))?;
        let unreplicated = Arc::new(AtomicBool::new(false));
        let (notify, notifications) = unbounded_channel();
        let opening = async {
            match tls {
                Some(tls) => open(config, tls, Arc::clone(&unreplicated), notify).await,
                None => open(config, NoTls, Arc::clone(&unreplicated), notify).await,
            }
        };
        let preparing = async {
            let client = opening.await?;
            client.batch_execute(SETTINGS).await?;
            let is_standby: bool = client
                .query_one("SELECT pg_is_in_recovery()", &[])
                .await?
                .try_get(0)?;
            if is_standby {
                return Err(Trouble::Lost("it is a standby".to_owned()));
            }
            let prepared = statements.iter().map(|sql| client.prepare(sql));
            let prepared = try_join_all(prepared).await?;
            Ok((client, prepared))
        };
        let limited = runtime.block_on(async { tokio::time::timeout(LONGEST, preparing).await });
        let (client, prepared) = limited.map_err(|_| Trouble::Lost("it does not answer".to_owned()))??;
        Ok(Session {
            runtime: Some(runtime),
            client,
            statements: statements.iter().copied().zip(prepared).collect(),
            unreplicated,
            notifications,
            host: 0,
        })
    }

    /// Which host of the address it is connected to.
    pub(crate) fn host(&self) -> usize {
        self.host
    }

    /// Waits for a word of another server, for which this session listens; `None` when the connection is lost.
    pub(crate) async fn notification(&mut self) -> Option<Notification> {
        self.notifications.recv().await
    }

    /// One that is here already.
    pub(crate) fn next_notification(&mut self) -> Option<Notification> {
        self.notifications.try_recv().ok()
    }

    /// The runtime, for what borrows the session itself.
    pub(crate) fn take_runtime(&mut self) -> Option<Runtime> {
        self.runtime.take()
    }

    /// Gives it back.
    pub(crate) fn give_runtime(&mut self, runtime: Runtime) {
        self.runtime = Some(runtime);
    }

    /// To be used within [`run`](Self::run).
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// What was prepared for these words.
    pub(crate) fn statement(&self, sql: &'static str) -> Result<&Statement, Trouble> {
        let prepared = self.statements.get(sql);
        prepared.ok_or_else(|| Trouble::Failed(format!("not prepared: {sql}").into()))
    }

    /// Does what is to be done with the database, within the limit.
    pub(crate) fn run<T>(&self, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        let Some(runtime) = &self.runtime else {
            return Err(Trouble::Lost("closed".to_owned()));
        };
        let limited = runtime.block_on(async { tokio::time::timeout(LONGEST, work).await });
        limited.unwrap_or_else(|_| Err(Trouble::Lost("it does not answer".to_owned())))
    }

    /// The same without a limit: for work that is long, and that nobody waits for. What a server does in between may have one.
    pub(crate) fn run_patiently<T>(
        &self,
        work: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        let Some(runtime) = &self.runtime else {
            return Err(Trouble::Lost("closed".to_owned()));
        };
        runtime.block_on(work)
    }

    /// Prepares more statements.
    pub(crate) fn prepare(&mut self, statements: &[&'static str]) -> Result<(), Trouble> {
        let prepared = self.run(async {
            let prepared = statements.iter().map(|sql| self.client.prepare(sql));
            Ok(try_join_all(prepared).await?)
        })?;
        self.statements.extend(statements.iter().copied().zip(prepared));
        Ok(())
    }

    /// Begins a transaction; what is polled after it is sent after it.
    pub(crate) async fn begin(&self) -> Result<(), Trouble> {
        Ok(self.client.batch_execute(BEGIN).await?)
    }

    /// Ends it. Only after this, and without a word that a wait was cancelled, is it replicated.
    pub(crate) async fn commit(&self) -> Result<(), Trouble> {
        self.client.batch_execute("COMMIT").await?;
        if self.unreplicated.load(Ordering::Relaxed) {
            return Err(Trouble::Lost("its wait for a standby was cancelled".to_owned()));
        }
        Ok(())
    }

    /// Takes it back; where that fails, the connection is of no use.
    pub(crate) fn roll_back(&self) -> Result<(), Trouble> {
        self.run(async { Ok(self.client.batch_execute("ROLLBACK").await?) })
    }
}

/// A statement on its way.
pub(crate) type Sent<'a> = LocalBoxFuture<'a, Result<(), Trouble>>;

/// Sends all in this order, and waits for all. What ends a transaction comes last, so the order must not hang on how a join
/// goes about it.
pub(crate) async fn pipeline(all: Vec<Sent<'_>>) -> Result<(), Trouble> {
    let mut begun = Vec::with_capacity(all.len());
    let mut all = all.into_iter();
    poll_fn(|context| {
        for mut one in all.by_ref() {
            match one.as_mut().poll(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => begun.push(one),
            }
        }
        Poll::Ready(Ok(()))
    })
    .await?;
    try_join_all(begun).await?;
    Ok(())
}

/// Connects, and has the connection driven by the runtime of now.
async fn open<T>(
    config: &Config,
    tls: T,
    unreplicated: Arc<AtomicBool>,
    notify: UnboundedSender<Notification>,
) -> Result<Client, Trouble>
where
    T: MakeTlsConnect<Socket> + 'static,
    T::Stream: Send + 'static,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    let (client, mut connection) = config.connect(tls).await?;
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            match message {
                AsyncMessage::Notice(notice) => {
                    // The only word of it that a client gets (PostgreSQL's src/backend/replication/syncrep.c).
                    if notice.message().contains("synchronous replication") {
                        unreplicated.store(true, Ordering::Relaxed);
                    }
                    tracing::warn!(notice = notice.message(), "the database says");
                }
                // Nobody listens where this fails.
                AsyncMessage::Notification(notification) => _ = notify.send(notification),
                _ => {}
            }
        }
    });
    Ok(client)
}

/// The database shows a certificate for its name, by somebody who is believed.
fn tls(address: &Address) -> Result<MakeRustlsConnect, Trouble> {
    let mut roots = RootCertStore::empty();
    match &address.roots {
        Some(file) => {
            let unreadable = |error: &dyn std::error::Error| {
                Trouble::Failed(format!("cannot read `{}`: {error}", file.display()).into())
            };
            let found = CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))?;
            for certificate in found {
                let certificate = certificate.map_err(|error| unreadable(&error))?;
                roots.add(certificate).map_err(|error| unreadable(&error))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Trouble::Failed(error.into()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
