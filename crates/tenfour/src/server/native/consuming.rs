//! One consumer: messages that a cursor gives to this connection, and what becomes of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use tenfour_proto::native::{CursorUse, EndReason, ReadRequest, Server as Machine};
use tenfour_proto::{Item, MailboxName, Progress};
use tenfour_store::{ReadError, Reader};
use tokio::sync::watch;

use super::reading::end_read;
use crate::clock::sleep_until;
use crate::inbox::{Cursor, Inbox};
use crate::server::trail::{BYTES, ITEMS, start, unbroken};

pub(super) struct Consuming {
    inbox: Inbox,
    cursor: Arc<Cursor>,
    reader: u64,
    mailbox: MailboxName,
    retries: Option<u32>,
    newest: watch::Receiver<u64>,
    changes: watch::Receiver<()>,
    /// The last offset that is known to be there.
    last: u64,
    /// A read that does not follow ends here.
    until: Option<u64>,
    /// Reports that came.
    reports: u64,
    /// Of them, those that are not saved, with the version of the cursor that holds them.
    unsaved: VecDeque<(u64, u64)>,
    /// There is nothing to send now.
    idle: bool,
    /// The reader would take more.
    wants_more: bool,
}

impl Consuming {
    /// Joins the readers of the cursor. A new one is saved before anything is given out by it.
    pub(super) async fn begin(
        inbox: &Inbox,
        request: &ReadRequest,
        by: &CursorUse,
    ) -> Result<Self, EndReason> {
        let newest = inbox.follow(&request.mailbox);
        let (first, last) = start(inbox, &request.mailbox, request.from)
            .await
            .map_err(|_| EndReason::Failed)?;
        let known = inbox.cursor(&request.mailbox, &by.name).await;
        let cursor = match known.map_err(|_| EndReason::Failed)? {
            Some(cursor) => cursor,
            None => inbox.new_cursor(&request.mailbox, &by.name, first - 1),
        };
        make(inbox, &cursor).await?;
        Ok(Consuming {
            inbox: inbox.clone(),
            reader: cursor.join(),
            mailbox: request.mailbox.clone(),
            retries: by.retries,
            newest,
            changes: cursor.changes(),
            cursor,
            last,
            until: (!request.follow).then_some(last),
            reports: 0,
            unsaved: VecDeque::new(),
            idle: false,
            wants_more: false,
        })
    }

    pub(super) fn mailbox(&self) -> &MailboxName {
        &self.mailbox
    }

    /// The reader says what it has done.
    pub(super) fn report(&mut self, steps: &[Progress]) {
        self.last = self.last.max(*self.newest.borrow());
        let version = self
            .cursor
            .report(self.reader, steps, self.last, self.retries, Instant::now());
        self.reports += 1;
        self.unsaved.push_back((self.reports, version));
        self.inbox.save_cursor(&self.cursor);
    }

    /// Sends what there is, as far as credit goes, and says what is saved.
    pub(super) async fn feed(&mut self, machine: &mut Machine) {
        self.changes.borrow_and_update();
        self.last = self.last.max(*self.newest.borrow_and_update());
        self.inbox.save_cursor(&self.cursor);
        let saved = self.cursor.saved();
        while let Some((report, _)) = self.unsaved.pop_front_if(|(_, version)| *version <= saved) {
            machine.progressed(report);
        }
        self.idle = true;
        self.wants_more = false;
        if !machine.is_reading() {
            return;
        }
        let last = self.until.unwrap_or(self.last);
        if self.until.is_some() && self.cursor.is_drained(self.reader, last) {
            return machine.end_read(last + 1, EndReason::CaughtUp);
        }
        let Some((items, bytes)) = machine.read_room() else {
            return;
        };
        self.wants_more = true;
        let most = usize::try_from(items).map_or(ITEMS, |items| items.min(ITEMS));
        let offered = self.cursor.offer(self.reader, last, most, Instant::now());
        if offered.is_empty() {
            return;
        }
        self.idle = false;
        let (mailbox, wanted) = (self.mailbox.clone(), offered.clone());
        let found = self
            .inbox
            .read(move |reader| fetch(reader, &mailbox, &wanted, bytes.min(BYTES)))
            .await;
        let found = match unbroken(found) {
            Ok(found) => found,
            Err(broken) => {
                self.cursor.take_back(&offered);
                return end_read(machine, broken, 0);
            }
        };
        if let Some(first) = found.gone_below {
            self.cursor.gone_below(first);
        }
        machine.send_items(&found.items);
        // What did not fit any more is for whoever asks next.
        self.cursor
            .take_back(offered.get(found.looked_at..).unwrap_or_default());
    }

    /// Waits until there is more.
    pub(super) async fn more(&mut self) {
        if !self.idle {
            return;
        }
        tokio::select! {
            Ok(()) = self.newest.changed() => {}
            Ok(()) = self.changes.changed() => {}
            () = sleep_until(self.cursor.due(self.wants_more).map(Into::into)) => {}
        }
    }
}

impl Drop for Consuming {
    fn drop(&mut self) {
        self.cursor.leave(self.reader, self.retries, Instant::now());
        self.inbox.save_cursor(&self.cursor);
    }
}

/// Waits until the store has the cursor, whoever was the first to want it.
async fn make(inbox: &Inbox, cursor: &Arc<Cursor>) -> Result<(), EndReason> {
    let (mut changes, mut failed) = (cursor.changes(), inbox.failed());
    loop {
        inbox.save_cursor(cursor);
        if cursor.is_refused() {
            return Err(EndReason::TooManyCursors);
        }
        if cursor.is_made() {
            return Ok(());
        }
        tokio::select! {
            changed = changes.changed() => changed.map_err(|_| EndReason::Failed)?,
            () = sleep_until(cursor.due(false).map(Into::into)) => {}
            _ = failed.wait_for(|failed| *failed) => return Err(EndReason::Failed),
        }
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
