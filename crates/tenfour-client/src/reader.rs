//! Reading a mailbox: what is there, and what comes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use tenfour_proto::native::{Credit, ReadFrom, ReadRequest};
use tenfour_proto::{Item, MailboxName, MailboxNameError};

use crate::client::Client;
use crate::connection::attach::attach;
use crate::connection::read::Read;
use crate::error::ReaderError;

impl Client {
    /// Begins to say how a mailbox is read. Reading moves nothing on the server.
    pub fn reader<M>(&self, mailbox: M) -> ReaderBuilder
    where
        M: TryInto<MailboxName>,
        M::Error: Into<MailboxNameError>,
    {
        ReaderBuilder::new(self.clone(), ReaderError::mailbox(mailbox))
    }
}

/// Says how a mailbox is read; [`open`](Self::open) begins.
#[derive(Clone, Debug)]
#[must_use = "nothing is read yet"]
pub struct ReaderBuilder {
    client: Client,
    mailbox: Result<MailboxName, ReaderError>,
    from: ReadFrom,
    follow: bool,
}

impl ReaderBuilder {
    pub(crate) fn new(client: Client, mailbox: Result<MailboxName, ReaderError>) -> Self {
        ReaderBuilder {
            client,
            mailbox,
            from: ReadFrom::Oldest,
            follow: false,
        }
    }

    /// Where to begin. At the oldest message unless said.
    pub fn from(mut self, from: ReadFrom) -> Self {
        self.from = from;
        self
    }

    /// Waits for new messages at the end, instead of ending there.
    pub fn follow(mut self, follow: bool) -> Self {
        self.follow = follow;
        self
    }

    /// Begins to read. For a reader that follows, what is stored from then on comes, whatever happens to the connection.
    ///
    /// # Errors
    ///
    /// When the name of the mailbox is none, or there is no connection. What the server says to it comes with the first
    /// message.
    pub async fn open(self) -> Result<Reader, ReaderError> {
        let request = ReadRequest {
            request: 0,
            mailbox: self.mailbox?,
            from: self.from,
            cursor: None,
            follow: self.follow,
            credit: Credit::NONE,
        };
        let reader = Reader {
            read: attach(self.client.shared(), self.client.way(), request, 0, &[]).await?,
        };
        reader.read.started().await;
        Ok(reader)
    }
}

/// Messages of one mailbox, in order. One that follows outlives its connections and goes on at the next offset.
#[derive(Debug)]
pub struct Reader {
    read: Arc<Read>,
}

impl Reader {
    /// The next message; `None` at the end of a read that does not follow. May be given up at any await.
    ///
    /// # Errors
    ///
    /// When the server ends the read. A lost connection is made again if the reader follows.
    pub async fn try_next(&mut self) -> Result<Option<Item>, ReaderError> {
        std::future::poll_fn(|context| self.read.poll_next(context.waker()))
            .await
            .transpose()
    }
}

impl Reader {
    /// A message that has come already.
    pub fn ready(&mut self) -> Option<Item> {
        self.read.take_ready()
    }
}

impl Stream for Reader {
    type Item = Result<Item, ReaderError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.read.poll_next(context.waker())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.read.leave();
    }
}
