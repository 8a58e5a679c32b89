//! One read under way: from the store to the client, as far as the client's credit goes.

use tenfour_proto::MailboxName;
use tenfour_proto::native::{EndReason, ReadFrom, ReadRequest, Server as Machine};
use tenfour_store::ReadError;
use tokio::sync::watch;

use crate::inbox::Inbox;

/// Of one look into the store.
pub(super) const ITEMS: u64 = 1_000;
pub(super) const BYTES: u64 = 256 * 1024;

pub(super) struct Reading {
    mailbox: MailboxName,
    next: u64,
    /// A read that does not follow ends here: what comes later is not its business.
    until: Option<u64>,
    newest: watch::Receiver<u64>,
    caught_up: bool,
    /// The client's credit is used up; its next frame wakes the connection anyway.
    out_of_credit: bool,
}

impl Reading {
    /// Finds where to begin.
    pub(super) async fn begin(inbox: &Inbox, request: &ReadRequest) -> Result<Self, EndReason> {
        let newest = inbox.follow(&request.mailbox);
        let (next, last) = start(inbox, request).await?;
        Ok(Reading {
            mailbox: request.mailbox.clone(),
            next,
            until: (!request.follow).then_some(last),
            newest,
            caught_up: false,
            out_of_credit: false,
        })
    }

    pub(super) fn mailbox(&self) -> &MailboxName {
        &self.mailbox
    }

    /// Sends what there is, as far as credit goes. True when the read is over.
    pub(super) async fn feed(&mut self, inbox: &Inbox, machine: &mut Machine) -> bool {
        let room = machine.read_room();
        self.out_of_credit = room.is_none();
        if self.until.is_some_and(|until| self.next > until) {
            machine.end_read(self.next, EndReason::CaughtUp);
            return true;
        }
        let Some((items, bytes)) = room.filter(|_| !self.caught_up) else {
            return false;
        };
        // Whatever is committed from here on raises the watched offset again.
        self.newest.borrow_and_update();
        let (mailbox, next) = (self.mailbox.clone(), self.next);
        let left = self.until.map_or(u64::MAX, |until| until - next + 1);
        let most = usize::try_from(items.min(ITEMS).min(left)).unwrap_or(1);
        let found = inbox
            .read(move |reader| reader.read(&mailbox, next, most, bytes.min(BYTES)))
            .await;
        match found {
            Ok(Ok(found)) => {
                match found.last() {
                    Some(last) => self.next = last.offset + 1,
                    None if self.until.is_some() => {
                        machine.end_read(self.next, EndReason::CaughtUp);
                        return true;
                    }
                    None => self.caught_up = true,
                }
                machine.send_items(&found);
                false
            }
            Ok(Err(error)) => {
                end_read(machine, &error, self.next);
                true
            }
            Err(_) => {
                machine.end_read(self.next, EndReason::Failed);
                true
            }
        }
    }

    /// Waits until there is more; at once if the end has not been reached.
    pub(super) async fn more(&mut self) {
        if self.out_of_credit {
            std::future::pending::<()>().await;
        } else if self.caught_up {
            if self.newest.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            self.caught_up = false;
        }
    }
}

/// Where a read begins, and the last offset of now.
pub(super) async fn start(inbox: &Inbox, request: &ReadRequest) -> Result<(u64, u64), EndReason> {
    let (mailbox, from) = (request.mailbox.clone(), request.from);
    let found = inbox
        .read(move |reader| {
            let last = reader.last_offset(&mailbox)?;
            let first = match from {
                ReadFrom::Oldest => 1,
                ReadFrom::Offset(offset) => offset.max(1),
                ReadFrom::Last(count) => last.saturating_sub(count) + 1,
                ReadFrom::Since(time) => reader.first_since(&mailbox, time)?,
            };
            Ok((first, last))
        })
        .await;
    match found {
        Ok(Ok(found)) => Ok(found),
        _ => Err(EndReason::Failed),
    }
}

/// Ends a read because the store cannot be read; it would go on at `next`.
pub(super) fn end_read(machine: &mut Machine, error: &ReadError, next: u64) {
    match error {
        ReadError::Damaged { mailbox, offset } => {
            tracing::error!(%mailbox, offset, "a message is damaged");
            machine.end_read(*offset, EndReason::Damaged);
        }
        error => {
            tracing::error!(%error, "the store cannot be read");
            machine.end_read(next, EndReason::Failed);
        }
    }
}
