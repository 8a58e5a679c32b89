//! An outbox that is delivered: queued on this machine's disk, then carried to its servers whatever happens.

mod actor;
mod destination;
mod dispatcher;
mod error;
mod progress;
mod resumed;

use std::path::PathBuf;
use std::sync::Arc;

use tenfour_proto::{Address, Message};
pub use tenfour_store::{Dropped, OpenError, Outbox, OutboxDestination, OutboxError, OutboxItem, Verdict};

use crate::config::ClientConfig;
pub use dispatcher::Dispatcher;
pub use error::DispatchError;
pub use progress::{Deliveries, DestinationProgress};

/// A client that survives its own end. Dropping it ends the delivering; what is left goes on with the next one.
pub struct OutboxClient {
    destination: Arc<str>,
    dispatcher: Dispatcher,
}

impl OutboxClient {
    /// What is [queued](Self::queue) is on this machine's disk, in the
    /// outbox at `path`, and is delivered to the server at `address` as soon as that can be reached, by this process or
    /// by the next one that opens the outbox. Each message arrives exactly once.
    ///
    /// Needs a tokio runtime, and no server yet. One process at a time may have an outbox.
    ///
    /// # Errors
    ///
    /// When the outbox cannot be opened; [`OpenError::InUse`] while another process delivers from it.
    pub fn open(path: impl Into<PathBuf>, address: Address, config: ClientConfig) -> Result<Self, OpenError> {
        let dispatcher = Dispatcher::start(Outbox::open(path)?, 0, move || Ok(config.clone()))?;
        Ok(OutboxClient {
            destination: address.to_string().into(),
            dispatcher,
        })
    }

    /// Queues a message and gives its number. When this returns, the message is on this machine's disk.
    ///
    /// # Errors
    ///
    /// When it cannot be written. It is not queued then.
    pub async fn queue(&self, message: Message) -> Result<u64, Arc<OutboxError>> {
        self.dispatcher.put(Arc::clone(&self.destination), message).await
    }

    /// Waits until everything that was queued before has its answer. For how long is for the caller to say, by
    /// `tokio::time::timeout`.
    ///
    /// # Errors
    ///
    /// What stands in the way and will not pass by waiting.
    pub async fn flush(&self) -> Result<(), Arc<DispatchError>> {
        self.dispatcher.delivered(&self.destination).await
    }

    /// How far the delivering is.
    pub fn progress(&self) -> DestinationProgress {
        self.dispatcher.progress(&self.destination)
    }

    /// Ends the delivering, and returns when the outbox is free for others.
    pub async fn stop(self) {
        self.dispatcher.stop().await;
    }

    /// Keeps so many bytes of delivered messages, to send them again should the server go back.
    pub async fn keep(&self, bytes: u64) -> Result<(), OutboxError> {
        self.dispatcher.keep(bytes).await
    }
}

impl std::fmt::Debug for OutboxClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutboxClient")
            .field("destination", &self.destination)
            .finish_non_exhaustive()
    }
}
