//! The handle of a client.

use std::sync::Arc;

use bytes::Bytes;
use tenfour_proto::{Address, MailboxName, MailboxNameError, Message, ProducerId};

use crate::config::ClientConfig;
use crate::connection::state::Shared;
use crate::error::DeliveryError;
use crate::pending::PendingReceipt;

/// A connection that repairs itself, and all that goes over it: messages and their receipts, questions, reading. Cheap to
/// clone.
///
/// The connection ends when the last clone is dropped, and its readers with it have ended. [`close`](Self::close) waits for
/// that.
#[derive(Clone)]
pub struct Client(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    producer: Producer,
    /// The one that answered, and what it was asked with: for connections beside this one.
    address: Address,
    config: ClientConfig,
}

/// What numbers the messages.
pub(crate) struct Producer {
    pub(crate) producer: ProducerId,
    pub(crate) id: String,
    /// Of a client that only reads the server knows nothing of it.
    pub(crate) sends: bool,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.finish();
    }
}

impl Client {
    pub(crate) fn new(
        shared: Arc<Shared>,
        producer: Producer,
        address: Address,
        config: ClientConfig,
    ) -> Self {
        Client(Arc::new(Handle {
            shared,
            producer,
            address,
            config,
        }))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// With what another connection to the same server is made.
    pub(crate) fn way(&self) -> (&Address, &ClientConfig) {
        (&self.0.address, &self.0.config)
    }

    /// The id of the producer: under the same id the same messages are stored once.
    pub fn id(&self) -> &str {
        &self.0.producer.id
    }

    /// The producer that the id stands for.
    pub fn producer(&self) -> ProducerId {
        self.0.producer.producer
    }

    /// Sends a message. The first `await` is for a place among those without an answer, the second for the receipt: many
    /// may be under way. Dropping what the first gives does not take the message back.
    ///
    /// # Errors
    ///
    /// The first `await` fails when the name of the mailbox is none, or the producer has ended: nothing was sent then.
    pub async fn send<M>(&self, mailbox: M, body: impl Into<Bytes>) -> Result<PendingReceipt, DeliveryError>
    where
        M: TryInto<MailboxName>,
        M::Error: Into<MailboxNameError>,
    {
        let mailbox = mailbox.try_into().map_err(Into::into)?;
        self.send_message(Message::new(mailbox, body)).await
    }

    /// The same with all that a message may have.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    pub async fn send_message(&self, message: Message) -> Result<PendingReceipt, DeliveryError> {
        let shared = self.sending()?;
        let sequence = shared.send(message).await?;
        Ok(PendingReceipt::of(shared, sequence))
    }

    /// The same if there is a place at once; else the message comes back.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    pub fn try_send_message(
        &self,
        message: Message,
    ) -> Result<Result<PendingReceipt, Message>, DeliveryError> {
        let shared = self.sending()?;
        match shared.try_send(message) {
            Ok(sent) => sent.map(|sequence| Ok(PendingReceipt::of(shared, sequence))),
            Err(message) => Ok(Err(message)),
        }
    }

    /// A client that only reads has no producer.
    pub(crate) fn sending(&self) -> Result<&Arc<Shared>, DeliveryError> {
        if self.0.producer.sends {
            Ok(&self.0.shared)
        } else {
            Err(DeliveryError::OnlyReads)
        }
    }

    /// Says goodbye: waits for all answers, for readers and consumers to end, then for the server's goodbye.
    pub async fn close(self) {
        self.0.shared.finish();
        self.0.shared.finished().await;
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.0.address)
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}
