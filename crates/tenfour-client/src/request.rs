//! Asking: a message, and the reply to it.

use std::sync::Arc;

use bytes::Bytes;
use tenfour_proto::{MailboxName, MailboxNameError, Message, Reply};
use tokio::time::Instant;

use crate::client::Client;
use crate::connection::state::Shared;
use crate::error::{DeliveryError, Failure};
use crate::pending::PendingReceipt;
use crate::receipt::Receipt;

/// There is no reply.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The message itself has no receipt.
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    /// It is stored, and nobody has answered before the deadline. Who asks again under the same id gets the reply, once
    /// there is one.
    #[error("it is stored in {} as #{}, and nobody has answered", .0.mailbox, .0.offset)]
    NoReply(Receipt),
    /// It is stored, and the connection to the server is lost for good.
    #[error("it is stored in {} as #{}, and the reply cannot be had: {failure}", receipt.mailbox, receipt.offset)]
    Lost {
        /// Where it is.
        receipt: Receipt,
        /// Why there is no connection.
        failure: Arc<Failure>,
    },
}

/// Stops waiting when nobody awaits any more.
struct Waiting<'a> {
    shared: &'a Shared,
    sequence: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.forget_reply(self.sequence);
    }
}

impl Client {
    /// Sends a message that asks, and waits for its receipt and the reply to it, until the client's timeout is over.
    ///
    /// The message is done with its first reply, which is kept for an hour: whoever asks the same under the same id gets
    /// it again, without anybody being asked twice. A reply finds its way over a reconnect.
    ///
    /// # Errors
    ///
    /// [`AskError`]; it says whether the message is stored.
    pub async fn ask<M>(&self, mailbox: M, body: impl Into<Bytes>) -> Result<(Receipt, Reply), AskError>
    where
        M: TryInto<MailboxName>,
        M::Error: Into<MailboxNameError>,
    {
        let mailbox = mailbox
            .try_into()
            .map_err(|error| DeliveryError::from(error.into()))?;
        self.ask_message(Message::new(mailbox, body)).await
    }

    /// The same with all that a message may have.
    ///
    /// # Errors
    ///
    /// As for [`ask`](Self::ask).
    pub async fn ask_message(&self, message: Message) -> Result<(Receipt, Reply), AskError> {
        let shared = self.sending()?;
        let deadline = Instant::now() + shared.timeout();
        let (sequence, reply) = shared.ask(message.asking()).await?;
        let waiting = Waiting { shared, sequence };
        let receipt = PendingReceipt::of(shared, sequence).await?;
        let reply = tokio::time::timeout_at(deadline, reply).await;
        drop(waiting);
        match reply {
            Ok(Ok(reply)) => Ok((receipt, reply)),
            Ok(Err(_)) => {
                let failure = shared.failure().unwrap_or_else(|| Arc::new(Failure::Closed));
                Err(AskError::Lost { receipt, failure })
            }
            Err(_) => Err(AskError::NoReply(receipt)),
        }
    }
}
