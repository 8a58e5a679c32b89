//! One read under way: from the store to the client, as far as the client's credit goes.

use tenfour_proto::native::{EndReason, ReadRequest, Server as Machine};
use tenfour_proto::{Item, MailboxName, Place};

use super::read_memory::ReadMemory;
use crate::context::Context;
use crate::reading::mailbox_reader::{BYTES, Broken, MailboxReader};

pub(super) struct MailboxRead {
    reader: MailboxReader,
    /// A read that does not follow ends here: what comes later is not its business.
    until: Option<u64>,
    /// The client's credit is used up; its next frame wakes the connection anyway.
    out_of_credit: bool,
    pub(super) memory: ReadMemory,
}

impl MailboxRead {
    /// Finds where to begin.
    pub(super) async fn begin(context: &Context, request: &ReadRequest) -> Result<Self, Broken> {
        let mut reader = MailboxReader::begin(&context.broker, &request.mailbox, request.from).await?;
        Ok(MailboxRead {
            until: (!request.follow).then(|| reader.last()),
            reader,
            out_of_credit: false,
            memory: ReadMemory::new(context, BYTES),
        })
    }

    /// The place behind which it begins.
    pub(super) fn before(&self) -> Place {
        self.reader.before()
    }

    pub(super) fn mailbox(&self) -> &MailboxName {
        self.reader.mailbox()
    }

    /// Sends what there is, as far as credit goes. True when the read is over.
    pub(super) async fn feed(&mut self, machine: &mut Machine) -> bool {
        let room = machine.read_room();
        self.out_of_credit = room.is_none();
        let next = self.reader.next;
        if self.until.is_some_and(|until| next > until) {
            machine.end_read(next, EndReason::CaughtUp);
            return true;
        }
        let Some((items, bytes)) = room else {
            return false;
        };
        if next > self.reader.last() || !self.memory.take() {
            return false;
        }
        let left = self.until.map_or(u64::MAX, |until| until - next + 1);
        let most = usize::try_from(items.min(left)).unwrap_or(usize::MAX);
        match self.reader.read(most, bytes).await {
            Ok(found) => {
                self.memory.shrink_to(bytes_of(&found));
                machine.send_items(&found);
                false
            }
            Err(broken) => {
                end_read(machine, broken, next);
                true
            }
        }
    }

    /// Waits until there is more; at once if the end has not been reached.
    pub(super) async fn more(&mut self) {
        if self.out_of_credit {
            std::future::pending::<()>().await;
        } else if self.memory.is_wanted() {
            self.memory.made().await;
        } else if self.until.is_none() {
            self.reader.more().await;
        }
    }
}

/// Of all bodies.
pub(super) fn bytes_of(items: &[Item]) -> u64 {
    items.iter().map(|item| item.message.body.len() as u64).sum()
}

/// Ends a read that cannot begin or go on; it would go on at `next`.
pub(super) fn end_read(machine: &mut Machine, broken: Broken, next: u64) {
    match broken {
        Broken::Damaged(offset) => machine.end_read(offset, EndReason::Damaged),
        Broken::Regressed(last) => machine.end_read(last.saturating_add(1), EndReason::Regressed),
        Broken::TooManyCursors => machine.end_read(next, EndReason::TooManyCursors),
        Broken::Failed => machine.end_read(next, EndReason::Failed),
    }
}
