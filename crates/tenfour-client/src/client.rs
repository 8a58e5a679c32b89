//! The handle of a client.

use std::sync::Arc;

use bytes::Bytes;
use tenfour_proto::{
    Address, CursorName, CursorNameError, MailboxName, MailboxNameError, Message, ParseAddressError,
    ProducerId,
};

use crate::builder::ClientBuilder;
use crate::config::ClientConfig;
use crate::connection::state::Shared;
use crate::consumer::ConsumerBuilder;
use crate::error::{DeliveryError, ReaderError};
use crate::pending::PendingReceipt;
use crate::reader::ReaderBuilder;

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
    /// Begins to say how to connect to the server at an address (`HOST[:PORT]`).
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = tenfour_client::Client::builder("backup.example").connect().await?;
    /// let receipt = client.send("inbox", "backup done").await?.await?;
    /// println!("stored in {} at {}", receipt.mailbox, receipt.offset);
    /// client.close().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder<A>(address: A) -> ClientBuilder
    where
        A: TryInto<Address>,
        A::Error: Into<ParseAddressError>,
    {
        ClientBuilder::new(address)
    }

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

    /// Begins to say how a mailbox is read. Reading moves nothing on the server.
    pub fn reader<M>(&self, mailbox: M) -> ReaderBuilder
    where
        M: TryInto<MailboxName>,
        M::Error: Into<MailboxNameError>,
    {
        let mailbox = mailbox
            .try_into()
            .map_err(|error| ReaderError::Mailbox(error.into()));
        ReaderBuilder::new(self.clone(), mailbox)
    }

    /// Begins to say how a mailbox is consumed, by a cursor that the server keeps. Consumers with one name of a cursor
    /// share the work; each name sees every message.
    pub fn consumer<M, C>(&self, mailbox: M, cursor: C) -> ConsumerBuilder
    where
        M: TryInto<MailboxName>,
        M::Error: Into<MailboxNameError>,
        C: TryInto<CursorName>,
        C::Error: Into<CursorNameError>,
    {
        let mailbox = mailbox
            .try_into()
            .map_err(|error| ReaderError::Mailbox(error.into()));
        let cursor = cursor
            .try_into()
            .map_err(|error| ReaderError::Cursor(error.into()));
        ConsumerBuilder::new(self.clone(), mailbox, cursor)
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
