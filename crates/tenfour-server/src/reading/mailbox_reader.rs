//! A walk through a mailbox, in its order, at the reader's pace.

use tenfour_proto::native::ReadFrom;
use tenfour_proto::{Item, MailboxName, Place};
use tenfour_store::{ReadError, Reader};
use tokio::sync::watch;

use crate::broker::{Broker, NoCursor, StoreGone};
use tenfour_identity::clock::wall_clock;

/// Of one look into the store.
pub(crate) const ITEMS: usize = 1_000;
pub(crate) const BYTES: u64 = 256 * 1024;

pub(crate) struct MailboxReader {
    broker: Broker,
    mailbox: MailboxName,
    before: Place,
    /// The next offset.
    pub(crate) next: u64,
    newest: watch::Receiver<u64>,
    /// The last offset that is known to be there.
    last: u64,
}

/// Why a read cannot begin or go on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Broken {
    /// The message at this offset is not what was stored.
    Damaged(u64),
    /// The mailbox ends here, before the place where reading was to begin, or another message is there.
    Regressed(u64),
    /// The cursor is new, and the store takes no further one, or none of that key.
    TooManyCursors,
    /// The store cannot be read; the log says why.
    Failed,
}

impl From<StoreGone> for Broken {
    fn from(_: StoreGone) -> Self {
        Broken::Failed
    }
}

impl From<NoCursor> for Broken {
    fn from(none: NoCursor) -> Self {
        match none {
            NoCursor::Gone => Broken::Failed,
            NoCursor::TooMany => Broken::TooManyCursors,
        }
    }
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
        let Start { first, last, before } = start(broker, mailbox, from).await?;
        Ok(MailboxReader {
            broker: broker.clone(),
            mailbox: mailbox.clone(),
            before,
            next: first,
            newest,
            last,
        })
    }

    /// Goes on behind a message that somebody has seen: at this offset, stored at this time, if he knows it.
    pub(crate) async fn resume(
        broker: &Broker,
        mailbox: &MailboxName,
        offset: u64,
        time: Option<i64>,
    ) -> Result<Self, Broken> {
        let reader = Self::begin(broker, mailbox, ReadFrom::After(Place::unseen(offset))).await?;
        match (time, reader.before.stamp) {
            (Some(seen), Some(now)) if seen != now.time => Err(Broken::Regressed(reader.last)),
            _ => Ok(reader),
        }
    }

    /// The place behind which it began.
    pub(crate) fn before(&self) -> Place {
        self.before
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

/// Where a walk begins.
pub(crate) struct Start {
    pub(crate) first: u64,
    /// The last offset of now.
    pub(crate) last: u64,
    /// What is before the first.
    pub(crate) before: Place,
}

/// Finds where a walk begins.
pub(crate) async fn start(broker: &Broker, mailbox: &MailboxName, from: ReadFrom) -> Result<Start, Broken> {
    let mailbox = mailbox.clone();
    let read = broker.read(move |reader| {
        let last = reader.last_offset(&mailbox)?;
        let first = match from {
            ReadFrom::Oldest => 1,
            ReadFrom::Offset(offset) => offset.max(1),
            ReadFrom::Last(count) => last.saturating_sub(count) + 1,
            ReadFrom::Since(time) => reader.first_since(&mailbox, time)?,
            ReadFrom::Ago(ago) => {
                let ago = i64::try_from(ago).unwrap_or(i64::MAX);
                reader.first_since(&mailbox, wall_clock().saturating_sub(ago))?
            }
            ReadFrom::After(place) => {
                if is_there(reader, &mailbox, place)? == Presence::Other {
                    return Ok(Err(Broken::Regressed(last)));
                }
                place.offset.saturating_add(1)
            }
        };
        if first > last.saturating_add(1) {
            return Ok(Err(Broken::Regressed(last)));
        }
        let before = place_of(reader, &mailbox, first - 1)?;
        Ok(Ok(Start { first, last, before }))
    });
    unbroken(read.await)?
}

/// The last offset of now; 0 if there is none.
pub(crate) async fn last_offset(broker: &Broker, mailbox: &MailboxName) -> Result<u64, Broken> {
    let mailbox = mailbox.clone();
    unbroken(broker.read(move |reader| reader.last_offset(&mailbox)).await)
}

/// What is at a place where somebody saw a message, or nobody did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// That message.
    There,
    /// Nothing that could be compared: it is deleted or damaged, or nobody saw one.
    Unknown,
    /// Another message, or the mailbox ends before it.
    Other,
}

/// Looks whether the message that somebody saw at a place is there.
pub(crate) fn is_there(
    reader: &mut dyn Reader,
    mailbox: &MailboxName,
    place: Place,
) -> Result<Presence, ReadError> {
    if place.offset > reader.last_offset(mailbox)? {
        return Ok(Presence::Other);
    }
    let now = place_of(reader, mailbox, place.offset)?;
    Ok(match (place.stamp, now.stamp) {
        (Some(seen), Some(now)) if seen == now => Presence::There,
        (Some(_), Some(_)) => Presence::Other,
        _ => Presence::Unknown,
    })
}

/// The place of that offset, with what is there.
fn place_of(reader: &mut dyn Reader, mailbox: &MailboxName, offset: u64) -> Result<Place, ReadError> {
    let unseen = Place::unseen(offset);
    if offset == 0 {
        return Ok(unseen);
    }
    match reader.read(mailbox, offset, 1, 1) {
        Ok(items) => Ok(items
            .first()
            .filter(|item| item.offset == offset)
            .map_or(unseen, Item::place)),
        // Whoever reads it is told.
        Err(ReadError::Damaged { .. }) => Ok(unseen),
        Err(error) => Err(error),
    }
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
