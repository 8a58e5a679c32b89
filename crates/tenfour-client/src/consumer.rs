//! Consuming a mailbox by a durable cursor: each message is given out until somebody says that it is done.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use tenfour_proto::native::{Credit, CursorUse, ReadFrom, ReadRequest};
use tenfour_proto::{CursorName, CursorNameError, Item, MailboxName, MailboxNameError, Reply, Step};
use tenfour_worker::{DEFAULT_RETRIES, Source, Taken};

use crate::client::Client;
use crate::connection::attach::attach;
use crate::connection::read::{Read, Saved};
use crate::delivery::Delivery;
use crate::error::ReaderError;

/// Messages that are here and not settled, at most, unless said.
const WINDOW: u32 = 16;

impl Client {
    /// Begins to say how a mailbox is consumed, by a cursor that the server keeps. Consumers with one name of a cursor
    /// share the work; each name sees every message.
    pub fn consumer<M, C>(&self, mailbox: M, cursor: C) -> ConsumerBuilder
    where
        M: TryInto<MailboxName>,
        M::Error: Into<MailboxNameError>,
        C: TryInto<CursorName>,
        C::Error: Into<CursorNameError>,
    {
        let (mailbox, cursor) = (ReaderError::mailbox(mailbox), ReaderError::cursor(cursor));
        ConsumerBuilder::new(self.clone(), mailbox, cursor)
    }
}

/// Says how a mailbox is consumed; [`open`](Self::open) begins.
#[derive(Clone, Debug)]
#[must_use = "nothing is consumed yet"]
pub struct ConsumerBuilder {
    client: Client,
    mailbox: Result<MailboxName, ReaderError>,
    cursor: Result<CursorName, ReaderError>,
    from: ReadFrom,
    retries: Option<u32>,
    follow: bool,
    window: u32,
    skip: Vec<u64>,
}

impl ConsumerBuilder {
    pub(crate) fn new(
        client: Client,
        mailbox: Result<MailboxName, ReaderError>,
        cursor: Result<CursorName, ReaderError>,
    ) -> Self {
        ConsumerBuilder {
            client,
            mailbox,
            cursor,
            from: ReadFrom::Oldest,
            retries: Some(DEFAULT_RETRIES),
            follow: true,
            window: WINDOW,
            skip: Vec::new(),
        }
    }

    /// Where a cursor begins that is not there yet. At the oldest message unless said.
    pub fn from(mut self, from: ReadFrom) -> Self {
        self.from = from;
        self
    }

    /// A message that failed more often than this goes to `dead/CURSOR`. 5 unless said.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = Some(retries);
        self
    }

    /// A message that fails is tried for ever.
    pub fn retry_for_ever(mut self) -> Self {
        self.retries = None;
        self
    }

    /// Ends when all that were there are done, instead of waiting for new messages.
    pub fn drain(mut self) -> Self {
        self.follow = false;
        self
    }

    /// Most messages that are here and not settled: more than can be handled at once are better with other consumers. 16
    /// unless said.
    pub fn window(mut self, messages: u32) -> Self {
        self.window = messages;
        self
    }

    /// Passes over these messages, for every consumer of the cursor, before any is given out: a damaged one stands in the way
    /// of all behind it.
    pub fn skip(mut self, offsets: impl IntoIterator<Item = u64>) -> Self {
        self.skip.extend(offsets);
        self
    }

    /// Begins to consume. From then on the cursor is there, and what is stored comes.
    ///
    /// # Errors
    ///
    /// When a name is none, or there is no connection. What the server says to it comes with the first message.
    pub async fn open(self) -> Result<Consumer, ReaderError> {
        let request = ReadRequest {
            request: 0,
            mailbox: self.mailbox?,
            from: self.from,
            cursor: Some(CursorUse {
                name: self.cursor?,
                retries: self.retries,
            }),
            follow: self.follow,
            credit: Credit::NONE,
        };
        let consumer = Consumer {
            read: attach(
                self.client.shared(),
                self.client.way(),
                request,
                self.window,
                &self.skip,
            )
            .await?,
        };
        consumer.read.started().await;
        Ok(consumer)
    }
}

/// A consumer. It outlives its connections, and a task of its own keeps them up: whoever handles a message may take as long
/// as it takes.
///
/// A message is ours until its [`Delivery`] is settled or dropped, or the connection is lost: then it may be given out
/// again, to anybody.
#[derive(Debug)]
pub struct Consumer {
    read: Arc<Read>,
}

impl Consumer {
    /// The next message; `None` when all that were there are done, for a consumer that drains. May be given up at any
    /// await. From here on it counts as an attempt.
    ///
    /// # Errors
    ///
    /// When the server ends the read. A lost connection is made again.
    pub async fn try_next(&mut self) -> Result<Option<Delivery>, ReaderError> {
        let next = std::future::poll_fn(|context| self.read.poll_next(context.waker())).await;
        Ok(next.transpose()?.map(|item| Delivery::of(&self.read, item)))
    }

    /// A message that has come already.
    pub fn ready(&mut self) -> Option<Delivery> {
        let item = self.read.take_ready()?;
        Some(Delivery::of(&self.read, item))
    }

    /// Passes over a message that was not given to us, such as one that is damaged, for every consumer of the cursor.
    pub fn skip(&self, offset: u64) -> Saved {
        self.read.skip(offset)
    }

    /// Waits until the server has saved all that was said, as safely as a receipt says.
    ///
    /// # Errors
    ///
    /// When there is no connection, and none can be made.
    pub async fn saved(&self) -> Result<(), ReaderError> {
        self.read.everything().await
    }

    /// Takes no more messages, and waits until all that was said is saved.
    ///
    /// # Errors
    ///
    /// As for [`saved`](Self::saved).
    pub async fn close(self) -> Result<(), ReaderError> {
        self.read.leave();
        self.saved().await
    }
}

/// So a worker handles its messages.
impl Source for Consumer {
    type Error = ReaderError;

    async fn take(&mut self, most: usize) -> Result<Taken, ReaderError> {
        let items: Vec<Item> = std::iter::from_fn(|| self.read.take_ready()).take(most).collect();
        if !items.is_empty() {
            return Ok(Taken::Items(items));
        }
        Ok(if self.read.look()? {
            Taken::Nothing
        } else {
            Taken::Drained
        })
    }

    async fn more(&mut self) {
        std::future::poll_fn(|context| self.read.poll_more(context.waker())).await;
    }

    async fn begin(&mut self, items: Vec<Item>) -> Result<Vec<Item>, ReaderError> {
        let begun: Vec<Saved> = items.iter().map(|item| self.read.begin(item)).collect();
        let mut ours = Vec::with_capacity(items.len());
        for (item, begun) in items.into_iter().zip(begun) {
            match begun.await {
                Ok(()) => ours.push(item),
                // The connection was lost: it may be somebody else's by now.
                Err(_) => drop(self.read.settle(&item, Step::Release)),
            }
        }
        Ok(ours)
    }

    fn settle(&mut self, item: &Item, step: Step) {
        drop(self.read.settle(item, step));
    }

    fn answer(&mut self, item: &Item, reply: Reply) {
        drop(self.read.answer(item, reply));
    }
}

impl Stream for Consumer {
    type Item = Result<Delivery, ReaderError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.read.poll_next(context.waker());
        next.map(|next| next.map(|item| item.map(|item| Delivery::of(&self.read, item))))
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.read.leave();
    }
}
