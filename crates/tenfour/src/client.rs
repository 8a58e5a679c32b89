//! The client: messages out, receipts back, over whatever the network does in between.

mod asking;
mod backup;
mod consumer;
mod datagram;
mod dial;
mod driver;
mod error;
mod follower;
mod outbox;
mod session;
mod state;
mod status;
mod text;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tenfour_proto::native::{ClientOptions, Past, Resumption, StreamKind};
use tenfour_proto::{Durability, MailboxName, Message, StreamId};

use crate::Address;
use crate::clock::Clock;
use crate::identity::{Identity, KnownHosts};
pub use asking::AskError;
pub use backup::{BackupError, backup};
pub use consumer::{Consumer, ConsumerOptions};
pub use datagram::{deliver_datagram, send_datagram};
pub use error::{ConnectError, DeliveryError, Failure, Stored, WentBack};
pub use follower::{FollowError, Follower};
pub use outbox::{Courier, Deliveries, OutboxClient, RouteProgress, Trouble};
use state::Shared;
pub use status::{StatusError, Watch};
pub use text::{TextDelivery, deliver_text};

/// How a client is set up.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The client's key. A server that shows the same key is trusted under any name.
    pub identity: Identity,
    /// The servers that are known.
    pub known_hosts: KnownHosts,
    /// From a message's acceptance to its receipt; also for connecting.
    pub timeout: Duration,
    /// The least durability that counts as stored.
    pub durability: Durability,
    /// Names the stream, so that the same messages under the same id are stored once, whoever repeats
    /// them. Without it the client draws an id of its own.
    pub id: Option<String>,
}

impl ClientConfig {
    /// The defaults: 30 seconds, on disk, a stream of its own.
    pub fn new(identity: Identity, known_hosts: KnownHosts) -> Self {
        ClientConfig {
            identity,
            known_hosts,
            timeout: Duration::from_secs(30),
            durability: Durability::Disk,
            id: None,
        }
    }
}

/// The server has the message, at this place, this safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Where it is.
    pub mailbox: MailboxName,
    /// Its place there.
    pub offset: u64,
    /// How safe it is.
    pub durability: Durability,
    /// It had been stored before, and this is the first receipt again.
    pub duplicate: bool,
    /// Its number in the stream.
    pub sequence: u64,
}

/// A connection that repairs itself, and the stream of messages on it. Cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
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
    async fn resume(
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
        Sending {
            shared: Arc::clone(&self.0.shared),
            sequence,
            taken: false,
        }
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

/// What a client says of itself in HELLO.
fn options(
    config: &ClientConfig,
    stream: Option<(StreamId, Resumption, StreamKind)>,
    invitation: Option<[u8; 32]>,
) -> ClientOptions {
    ClientOptions {
        software: crate::SOFTWARE.to_owned(),
        process: random(),
        durability: config.durability,
        stream,
        past: Past::default(),
        invitation,
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() {
        // No randomness, no new streams: two of them could meet. There is no sensible way to go on.
        std::process::abort();
    }
    bytes
}

/// An id that nobody else draws: 128 bits, as people can type it.
pub fn random_id() -> String {
    hex(random())
}

fn hex(bytes: [u8; 16]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
