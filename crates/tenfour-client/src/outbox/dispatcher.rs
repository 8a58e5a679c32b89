//! Carries what is in an outbox to its servers, to each at its own pace.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread::JoinHandle;

use tenfour_proto::Message;
use tenfour_store::{OpenError, Outbox, OutboxError};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::actor::Actor;
use super::destination::{Destination, Setup};
use super::error::DispatchError;
use super::progress::{Deliveries, DestinationProgress, Progress};
use crate::config::ClientConfig;
use tenfour_proto::Address;

/// Delivers everything in an outbox in the background, until it is dropped.
pub struct Dispatcher {
    actor: Actor,
    progress: watch::Receiver<Deliveries>,
    // Aborts what it holds when it is dropped.
    tasks: JoinSet<()>,
    thread: JoinHandle<()>,
}

impl Dispatcher {
    /// Claims the outbox and begins. `setup` gives how a client is set up, and is asked before each connection; `keep`
    /// is how many bytes of delivered messages stay for each server, in case it goes back.
    ///
    /// Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`OpenError::InUse`] while another process delivers.
    pub fn start(
        outbox: Outbox,
        keep: u64,
        setup: impl Fn() -> Result<ClientConfig, String> + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let path = outbox.path().to_owned();
        let mut dispatch = outbox.claim()?;
        dispatch.keep(keep);
        let (actor, thread) = Actor::start(dispatch).map_err(|source| OpenError::Io { path, source })?;
        let (tell, progress) = watch::channel(Deliveries::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(look_after(actor.clone(), tell, Arc::new(setup)));
        Ok(Dispatcher {
            actor,
            progress,
            tasks,
            thread,
        })
    }

    /// Ends the delivering, and returns when the outbox is free for others. What is left goes on with the next one.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
        drop(self.actor);
        let thread = self.thread;
        // It ends when the last of those tasks has let go.
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }

    /// Waits until the outbox is of no use any more, such as one that was moved away, and says why.
    pub async fn failed(&self) -> Arc<OutboxError> {
        self.actor.failed().await
    }

    /// Queues a message for a server; returns when it is on the disk.
    pub(super) async fn put(&self, address: Arc<str>, message: Message) -> Result<u64, Arc<OutboxError>> {
        self.actor.put(address, message).await
    }

    pub(super) async fn keep(&self, bytes: u64) -> Result<(), OutboxError> {
        let keep = move |dispatch: &mut tenfour_store::Dispatch| {
            dispatch.keep(bytes);
            Ok(())
        };
        self.actor.with(keep).await
    }

    /// The servers, and how far the delivering is. Changes wake it.
    pub fn watch(&self) -> watch::Receiver<Deliveries> {
        self.progress.clone()
    }

    /// How far the delivering to the server at `address` (`HOST:PORT`) is.
    pub fn progress(&self, address: &str) -> DestinationProgress {
        self.progress
            .borrow()
            .destinations
            .get(address)
            .cloned()
            .unwrap_or_default()
    }

    /// Waits until everything that was queued for the server at `address` before has its answer.
    ///
    /// # Errors
    ///
    /// What stands in the way and will not pass by waiting.
    pub async fn delivered(&self, address: &str) -> Result<(), Arc<DispatchError>> {
        // What another process has queued is seen after a glance only; what we have is counted already.
        let goal = *self.actor.changed().borrow();
        let servers = *self.actor.servers().borrow();
        let mut progress = self.progress.clone();
        loop {
            {
                let now = progress.borrow_and_update();
                match now.destinations.get(address) {
                    Some(progress) if progress.idle && progress.seen >= goal => return Ok(()),
                    Some(progress) => {
                        if let Some(error) = progress.error.as_ref().filter(|error| error.is_final()) {
                            return Err(Arc::clone(error));
                        }
                    }
                    None if now.seen.is_some_and(|seen| seen >= servers) => return Ok(()),
                    None => {}
                }
            }
            if progress.changed().await.is_err() {
                return Err(Arc::new(DispatchError::Outbox(OutboxError::Closed)));
            }
        }
    }
}

/// Starts a task for each server that turns up.
async fn look_after(actor: Actor, progress: Progress, setup: Setup) {
    let mut servers = actor.servers();
    let mut known = HashSet::new();
    let mut tasks = JoinSet::new();
    let progress = Arc::new(progress);
    loop {
        let seen = *servers.borrow_and_update();
        match actor.with(|dispatch| dispatch.addresses()).await {
            Ok(addresses) => {
                progress.send_modify(|progress| {
                    progress.seen = Some(seen);
                    for (_, text) in &addresses {
                        progress.destinations.entry(text.as_str().into()).or_default();
                    }
                });
                for (id, text) in addresses {
                    if !known.insert(id) {
                        continue;
                    }
                    match text.parse::<Address>() {
                        Ok(address) => {
                            let destination = Destination::new(
                                id,
                                address,
                                actor.clone(),
                                Arc::clone(&progress),
                                Arc::clone(&setup),
                            );
                            tasks.spawn(destination.run());
                        }
                        Err(error) => tracing::error!(%error, "a server in the outbox has no address"),
                    }
                }
            }
            Err(error) => tracing::error!(%error, "the outbox cannot be read"),
        }
        if servers.changed().await.is_err() {
            return;
        }
    }
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatcher").finish_non_exhaustive()
    }
}
