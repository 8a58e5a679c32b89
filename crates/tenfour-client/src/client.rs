//! The handle of a client.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tenfour_identity::clock::Clock;
#[cfg(feature = "outbox")]
use tenfour_proto::native::Past;
use tenfour_proto::native::{Resumption, StreamKind};
use tenfour_proto::{Address, Message, StreamId};

use crate::config::{ClientConfig, options};
use crate::connection::driver;
use crate::connection::state::Shared;
use crate::error::{ConnectError, DeliveryError};
use crate::random::random_id;
use crate::receipt::Receipt;

/// A connection that repairs itself, and the stream of messages on it. Cheap to clone.
#[derive(Clone)]
pub struct Client(pub(crate) Arc<Handle>);

pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    stream: StreamId,
    id: String,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.finish();
    }
}

impl Client {
    /// Connects to the first of `addresses` that answers, and says who we are.
    ///
    /// # Errors
    ///
    /// When no address answers, the server is not the one we know, or it does not let us in.
    /// Later disturbances do not surface here: the client reconnects until the deadline of a message.
    pub async fn connect(addresses: &[Address], config: ClientConfig) -> Result<Self, ConnectError> {
        let (id, resumption) = match &config.id {
            Some(id) => (id.clone(), Resumption::Repeat),
            None => (random_id(), Resumption::Continue),
        };
        let stream = StreamId::of_key(&id);
        let options = options(&config, Some((stream, resumption, StreamKind::OneShot)), None);
        let shared = Arc::new(Shared::new(options, Clock::start(), config.timeout));
        driver::start(Arc::clone(&shared), addresses.to_vec(), config).await?;
        Ok(Client(Arc::new(Handle { shared, stream, id })))
    }

    /// Goes on with a stream of an outbox, of which these messages come next.
    #[cfg(feature = "outbox")]
    pub(crate) async fn resume(
        address: &Address,
        config: ClientConfig,
        stream: StreamId,
        past: Past,
        messages: impl IntoIterator<Item = Message>,
    ) -> Result<(Self, Vec<Sending>), ConnectError> {
        let mut options = options(
            &config,
            Some((stream, Resumption::Continue, StreamKind::Outbox)),
            None,
        );
        options.past = past;
        let shared = Arc::new(Shared::new(options, Clock::start(), config.timeout));
        let client = Client(Arc::new(Handle {
            shared,
            stream,
            id: stream.to_string(),
        }));
        // Before the server tells of them.
        let sendings = messages.into_iter().map(|message| client.send(message)).collect();
        driver::start(Arc::clone(&client.0.shared), vec![address.clone()], config).await?;
        Ok((client, sendings))
    }

    /// Shows the secret of an invitation, once; the server then knows our key. Gives the rights it has.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect); [`ConnectError::Invitation`] when the server does not take it.
    pub async fn join(
        addresses: &[Address],
        secret: [u8; 32],
        config: ClientConfig,
    ) -> Result<(Address, String), ConnectError> {
        let options = options(&config, None, Some(secret));
        let shared = Arc::new(Shared::new(options, Clock::start(), config.timeout));
        let welcomed = driver::start(Arc::clone(&shared), addresses.to_vec(), config).await?;
        shared.finish();
        Ok(welcomed)
    }

    /// The id of the stream: under the same id the same messages are stored once.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The stream that the id stands for.
    pub fn stream(&self) -> StreamId {
        self.0.stream
    }

    /// Waits until fewer than `window` messages are without an answer, or the client has failed. Call
    /// it before [`send`](Self::send) to bound memory.
    pub async fn ready(&self, window: usize) {
        self.0.shared.ready(window).await;
    }

    /// Numbers the message and takes it for sending. The value's `await` is the receipt; many may be
    /// under way. Dropping the value does not take the message back.
    pub fn send(&self, message: Message) -> Sending {
        let sequence = self.0.shared.send(message);
        Sending::new(Arc::clone(&self.0.shared), sequence)
    }

    /// Says goodbye: waits for all answers, then for the server's.
    pub async fn close(self) {
        self.0.shared.finish();
        self.0.shared.finished().await;
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.0.id)
            .finish_non_exhaustive()
    }
}

/// A message on its way. Its output is the receipt, or what is known instead.
#[must_use = "only the awaited receipt says that the message is stored"]
pub struct Sending {
    shared: Arc<Shared>,
    sequence: u64,
    taken: bool,
}

impl Sending {
    pub(crate) fn new(shared: Arc<Shared>, sequence: u64) -> Self {
        Sending {
            shared,
            sequence,
            taken: false,
        }
    }
}

impl Sending {
    /// The message's number in the stream.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl Future for Sending {
    type Output = Result<Receipt, DeliveryError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = self.shared.poll_answer(self.sequence, context.waker());
        if answer.is_ready() {
            self.taken = true;
        }
        answer
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if !self.taken {
            self.shared.forget(self.sequence);
        }
    }
}
