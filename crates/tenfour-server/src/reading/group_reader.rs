//! Drawing messages by a cursor: what is given to this reader is given to no other one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use tenfour_proto::native::ReadFrom;
use tenfour_proto::{CursorName, Fingerprint, Item, MailboxName, Place, Progress, Reply, limits};
use tenfour_store::{ReadError, Reader};
use tokio::sync::watch;

use crate::broker::{Broker, ConsumerGroup};
use crate::reading::mailbox_reader::{
    BYTES, Broken, ITEMS, Presence, is_there, last_offset, start, unbroken,
};
use tenfour_identity::clock::sleep_until;

/// A reader of a cursor. When it is dropped, what it had begun with has failed, and the rest is given back.
pub(crate) struct GroupReader {
    broker: Broker,
    cursor: Arc<ConsumerGroup>,
    reader: u64,
    mailbox: MailboxName,
    retries: Option<u32>,
    newest: watch::Receiver<u64>,
    changes: watch::Receiver<()>,
    /// The last offset that is known to be there.
    last: u64,
    /// Messages that this reader had on an earlier connection, and that are still there.
    proven: BTreeSet<u64>,
}

impl GroupReader {
    /// Joins the readers of the cursor. A new one counts for `maker`, if it is not the server's own key, and is yet to be saved: nothing is given out before [`is_made`](Self::is_made).
    pub(crate) async fn begin(
        broker: &Broker,
        mailbox: &MailboxName,
        name: &CursorName,
        from: ReadFrom,
        retries: Option<u32>,
        maker: Option<Fingerprint>,
    ) -> Result<Self, Broken> {
        let newest = broker.follow(mailbox);
        let cursor = match broker.cursor(mailbox, name, None, maker).await? {
            Some(cursor) => cursor,
            None => {
                let begin = start(broker, mailbox, from).await?.first - 1;
                let cursor = broker.cursor(mailbox, name, Some(begin), maker).await?;
                cursor.ok_or(Broken::Failed)?
            }
        };
        let last = last_offset(broker, mailbox).await?;
        broker.save_cursor(&cursor);
        Ok(GroupReader {
            broker: broker.clone(),
            reader: cursor.join(),
            mailbox: mailbox.clone(),
            retries,
            newest,
            changes: cursor.changes(),
            cursor,
            last,
            proven: BTreeSet::new(),
        })
    }

    /// The store has the cursor. On a full disk that takes a while, and whoever waits for it has other things to answer.
    pub(crate) fn is_made(&mut self) -> Result<bool, Broken> {
        self.look();
        if self.cursor.is_refused() {
            return Err(Broken::TooManyCursors);
        }
        Ok(self.cursor.is_made())
    }

    /// Waits until the store has the cursor.
    pub(crate) async fn made(&mut self) -> Result<(), Broken> {
        let mut failed = self.broker.failed();
        while !self.is_made()? {
            tokio::select! {
                changed = self.changes.changed() => changed.map_err(|_| Broken::Failed)?,
                () = sleep_until(self.cursor.due(false).map(Into::into)) => {}
                _ = failed.wait_for(|failed| *failed) => return Err(Broken::Failed),
            }
        }
        Ok(())
    }

    pub(crate) fn mailbox(&self) -> &MailboxName {
        &self.mailbox
    }

    pub(crate) fn cursor(&self) -> &CursorName {
        self.cursor.name()
    }

    /// The last offset that is known to be there.
    pub(crate) fn last(&mut self) -> u64 {
        self.last = self.last.max(*self.newest.borrow_and_update());
        self.last
    }

    /// An earlier connection gave this reader the message at that place. If it is still there, the reader is believed.
    pub(crate) async fn claim(&mut self, place: Place) {
        let (mailbox, offset) = (self.mailbox.clone(), place.offset);
        let read = self.broker.read(move |reader| is_there(reader, &mailbox, place));
        // What cannot be read is not believed; the log says why.
        let Ok(presence) = unbroken(read.await) else {
            return;
        };
        if presence == Presence::There {
            if self.proven.len() >= limits::MAX_OUT_OF_ORDER {
                self.proven.pop_first();
            }
            self.proven.insert(offset);
        } else {
            let mailbox = &self.mailbox;
            tracing::info!(%mailbox, offset, "a reader had another message from this offset: what it did with it does not count here");
        }
    }

    /// Says what was done with messages. Gives the version of the cursor that holds it.
    pub(crate) fn report(&mut self, steps: &[Progress]) -> u64 {
        let last = self.last();
        let (retries, now) = (self.retries, Instant::now());
        let version = self
            .cursor
            .report(self.reader, steps, &self.proven, last, retries, now);
        self.broker.save_cursor(&self.cursor);
        version
    }

    /// Says that a message is done, with the reply to it. Gives the version of the cursor that holds it.
    pub(crate) fn answer(&mut self, offset: u64, reply: Reply) -> u64 {
        let version = self.cursor.answer(self.reader, offset, reply, &self.proven);
        self.broker.save_cursor(&self.cursor);
        version
    }

    /// Looks at what is new, and has what is not saved yet saved. Up to the version that it gives, all is.
    pub(crate) fn look(&mut self) -> u64 {
        self.changes.borrow_and_update();
        self.last();
        self.broker.save_cursor(&self.cursor);
        self.cursor.saved()
    }

    /// Waits until a version is saved. False: the store has failed.
    pub(crate) async fn saved(&mut self, version: u64) -> bool {
        let mut failed = self.broker.failed();
        while self.look() < version {
            tokio::select! {
                changed = self.changes.changed() => if changed.is_err() { return false },
                () = sleep_until(self.cursor.due(false).map(Into::into)) => {}
                _ = failed.wait_for(|failed| *failed) => return false,
            }
        }
        true
    }

    /// Nothing up to `last` is left to be given out, and nothing that was given to us is open.
    pub(crate) fn is_drained(&self, last: u64) -> bool {
        self.cursor.is_drained(self.reader, last)
    }

    /// Messages up to offset `last`, each with its number of attempts; at most `items`, about `bytes`. `None`: there
    /// is nothing to be given out now.
    pub(crate) async fn take(
        &mut self,
        last: u64,
        items: usize,
        bytes: u64,
    ) -> Result<Option<Vec<Item>>, Broken> {
        let offered = self
            .cursor
            .offer(self.reader, last, items.min(ITEMS), Instant::now());
        if offered.is_empty() {
            self.broker.draw(&self.cursor, last);
            return Ok(None);
        }
        let (mailbox, wanted) = (self.mailbox.clone(), offered.clone());
        let read = self
            .broker
            .read(move |reader| fetch(reader, &mailbox, &wanted, bytes.min(BYTES)));
        let found = match unbroken(read.await) {
            Ok(found) => found,
            Err(broken) => {
                self.cursor.take_back(&offered);
                return Err(broken);
            }
        };
        if let Some(first) = found.gone_below {
            self.cursor.gone_below(first);
        }
        // What did not fit any more is for whoever asks next.
        self.cursor
            .take_back(offered.get(found.looked_at..).unwrap_or_default());
        Ok(Some(found.items))
    }

    /// Waits until there may be more.
    pub(crate) async fn more(&mut self, wants_more: bool) {
        tokio::select! {
            Ok(()) = self.newest.changed() => {}
            Ok(()) = self.changes.changed() => {}
            () = sleep_until(self.cursor.due(wants_more).map(Into::into)) => {}
        }
    }
}

impl Drop for GroupReader {
    fn drop(&mut self) {
        self.cursor.leave(self.reader, self.retries, Instant::now());
        self.broker.save_cursor(&self.cursor);
    }
}

#[derive(Default)]
struct Found {
    items: Vec<Item>,
    /// So many of the offsets wanted were looked at.
    looked_at: usize,
    /// Messages below are not kept any more.
    gone_below: Option<u64>,
}

/// Reads the messages of these offsets, each with its number of attempts, about `bytes` at most.
fn fetch(
    reader: &mut dyn Reader,
    mailbox: &MailboxName,
    wanted: &[(u64, u32)],
    bytes: u64,
) -> Result<Found, ReadError> {
    let mut found = Found::default();
    let mut total = 0;
    for stretch in wanted.chunk_by(|(one, _), (next, _)| one + 1 == *next) {
        let Some((first, _)) = stretch.first() else {
            continue;
        };
        let items = match reader.read(mailbox, *first, stretch.len(), bytes.saturating_sub(total).max(1)) {
            Ok(items) => items,
            // What came before is whole, and goes first.
            Err(_) if !found.items.is_empty() => return Ok(found),
            Err(error) => return Err(error),
        };
        let lowest = items
            .first()
            .map_or(first + stretch.len() as u64, |item| item.offset);
        if lowest > *first {
            // Only the oldest messages of a mailbox are ever deleted.
            found.gone_below = found.gone_below.max(Some(lowest));
        }
        let mut items = items.into_iter().peekable();
        for (offset, attempts) in stretch {
            match items.next_if(|item| item.offset == *offset) {
                Some(mut item) => {
                    item.attempts = *attempts;
                    total += item.message.body.len() as u64;
                    found.items.push(item);
                }
                None if *offset < lowest => {}
                // The bytes are used up.
                None => return Ok(found),
            }
            found.looked_at += 1;
        }
        if total >= bytes {
            return Ok(found);
        }
    }
    Ok(found)
}
