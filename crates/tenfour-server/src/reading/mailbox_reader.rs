//! A walk through a mailbox, in its order, at the reader's pace.

use tenfour_proto::native::ReadFrom;
use tenfour_proto::{Item, MailboxName};
use tenfour_store::ReadError;
use tokio::sync::watch;

use crate::broker::Broker;

/// Of one look into the store.
pub(crate) const ITEMS: usize = 1_000;
pub(crate) const BYTES: u64 = 256 * 1024;

pub(crate) struct MailboxReader {
    broker: Broker,
    mailbox: MailboxName,
    /// The next offset.
    pub(crate) next: u64,
    newest: watch::Receiver<u64>,
    /// The last offset that is known to be there.
    last: u64,
}

/// The store cannot be read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Broken {
    /// The message at this offset is not what was stored.
    Damaged(u64),
    /// The log says why.
    Failed,
}

impl MailboxReader {
    /// Finds where to begin.
    pub(crate) async fn begin(
        broker: &Broker,
        mailbox: &MailboxName,
        from: ReadFrom,
    ) -> Result<Self, Broken> {
        // Whatever is committed from here on raises it.
        let newest = broker.follow(mailbox);
        let (next, last) = start(broker, mailbox, from).await?;
        Ok(MailboxReader {
            broker: broker.clone(),
            mailbox: mailbox.clone(),
            next,
            newest,
            last,
        })
    }

    pub(crate) fn mailbox(&self) -> &MailboxName {
        &self.mailbox
    }

    /// The last offset that is known to be there; 0 if there is none.
    pub(crate) fn last(&mut self) -> u64 {
        self.last = self.last.max(*self.newest.borrow_and_update());
        self.last
    }

    /// The next messages: at most `items`, and about `bytes`. None: there are no more now.
    pub(crate) async fn read(&mut self, items: usize, bytes: u64) -> Result<Vec<Item>, Broken> {
        if self.next > self.last() {
            return Ok(Vec::new());
        }
        let (mailbox, next) = (self.mailbox.clone(), self.next);
        let (items, bytes) = (items.min(ITEMS), bytes.min(BYTES));
        let read = self
            .broker
            .read(move |reader| reader.read(&mailbox, next, items, bytes));
        let found = unbroken(read.await)?;
        // What is not there any more is passed over.
        self.next = found.last().map_or(self.last, |item| item.offset) + 1;
        Ok(found)
    }

    /// Waits until there is more; for ever if the server stops.
    pub(crate) async fn more(&mut self) {
        while self.next > self.last() {
            if self.newest.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Where a walk begins, and the last offset of now.
pub(crate) async fn start(
    broker: &Broker,
    mailbox: &MailboxName,
    from: ReadFrom,
) -> Result<(u64, u64), Broken> {
    let mailbox = mailbox.clone();
    let read = broker.read(move |reader| {
        let last = reader.last_offset(&mailbox)?;
        let first = match from {
            ReadFrom::Oldest => 1,
            ReadFrom::Offset(offset) => offset.max(1),
            ReadFrom::Last(count) => last.saturating_sub(count) + 1,
            ReadFrom::Since(time) => reader.first_since(&mailbox, time)?,
        };
        Ok((first, last))
    });
    unbroken(read.await)
}

/// Says in the log what is wrong.
pub(crate) fn unbroken<T, E>(read: Result<Result<T, ReadError>, E>) -> Result<T, Broken> {
    match read {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(ReadError::Damaged { mailbox, offset })) => {
            tracing::error!(%mailbox, offset, "a message is damaged");
            Err(Broken::Damaged(offset))
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "the store cannot be read");
            Err(Broken::Failed)
        }
        Err(_) => Err(Broken::Failed),
    }
}
