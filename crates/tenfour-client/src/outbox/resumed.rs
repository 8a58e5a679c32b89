//! A connection that goes on with a producer of an outbox.

use std::sync::Arc;

use tenfour_identity::clock::Clock;
use tenfour_proto::native::{ProducerKind, ResumeState, Resumption};
use tenfour_proto::{Address, Message, ProducerId};

use crate::config::{ClientConfig, options};
use crate::connection::driver::{self, Tries};
use crate::connection::state::Shared;
use crate::error::{ConnectError, DeliveryError, Failure, MaybeStored};
use crate::pending::PendingReceipt;

/// The outbox has a window of its own, and numbers of its own: it needs no more of a client than this.
pub(super) struct Resumed(Arc<Shared>);

impl Resumed {
    /// Connects for a producer, of which these messages come next.
    pub(super) async fn connect(
        address: &Address,
        config: ClientConfig,
        producer: ProducerId,
        resume_state: ResumeState,
        messages: impl IntoIterator<Item = Message>,
    ) -> Result<(Self, Vec<PendingReceipt>), ConnectError> {
        let config = ClientConfig {
            window: usize::MAX,
            window_bytes: usize::MAX,
            ..config
        };
        let wish = (producer, Resumption::Continue, ProducerKind::Outbox);
        let mut options = options(&config, Some(wish), None);
        options.resume_state = resume_state;
        let resumed = Resumed(Arc::new(Shared::new(options, Clock::start(), &config)));
        // Before the server tells of them.
        let pending = messages
            .into_iter()
            .map(|message| resumed.send(message))
            .collect();
        driver::start(Arc::clone(&resumed.0), vec![address.clone()], config, Tries::Once).await?;
        Ok((resumed, pending))
    }

    /// Numbers a message and takes it for sending.
    pub(super) fn send(&self, message: Message) -> PendingReceipt {
        match self.0.try_send(message) {
            Ok(Ok(sequence)) => PendingReceipt::of(&self.0, sequence),
            Ok(Err(error)) => PendingReceipt::failed(error),
            // There is a place for as many as memory holds.
            Err(_) => PendingReceipt::failed(DeliveryError::Failed {
                stored: MaybeStored::No,
                failure: Arc::new(Failure::Closed),
            }),
        }
    }

    /// The id of the server's store.
    pub(super) fn store(&self) -> Option<[u8; 16]> {
        self.0.store()
    }

    /// Connections so far.
    pub(super) fn attempts(&self) -> u64 {
        self.0.attempts()
    }

    /// Waits until nothing more goes over it.
    pub(super) async fn finished(&self) {
        self.0.finished().await;
    }

    /// Says goodbye: waits for all answers, then for the server's.
    pub(super) async fn close(self) {
        self.0.finish();
        self.0.finished().await;
    }
}

impl Drop for Resumed {
    fn drop(&mut self) {
        self.0.finish();
    }
}
