//! One consumer: messages that a cursor gives to this connection, and what becomes of them.

use std::collections::VecDeque;

use tenfour_proto::native::{AnswerFrame, CursorUse, EndReason, ReadRequest, Server as Machine};
use tenfour_proto::{CursorName, Fingerprint, MailboxName, Place, Progress};

use super::read_memory::ReadMemory;
use super::reads::{bytes_of, end_read};
use crate::context::Context;
use crate::reading::group_reader::GroupReader;
use crate::reading::mailbox_reader::{BYTES, Broken};

pub(super) struct GroupRead {
    reader: GroupReader,
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
    /// The client was told that the cursor is there.
    started: bool,
    pub(super) memory: ReadMemory,
}

impl GroupRead {
    /// Joins the readers of the cursor.
    pub(super) async fn begin(
        context: &Context,
        request: &ReadRequest,
        by: &CursorUse,
        key: Option<Fingerprint>,
    ) -> Result<Self, Broken> {
        let mut reader = GroupReader::begin(
            &context.broker,
            &request.mailbox,
            &by.name,
            request.from,
            by.retries,
            key.filter(|key| *key != context.config.identity.fingerprint()),
        )
        .await?;
        Ok(GroupRead {
            until: (!request.follow).then(|| reader.last()),
            reader,
            reports: 0,
            unsaved: VecDeque::new(),
            idle: false,
            wants_more: false,
            started: false,
            memory: ReadMemory::new(context, BYTES),
        })
    }

    pub(super) fn mailbox(&self) -> &MailboxName {
        self.reader.mailbox()
    }

    pub(super) fn cursor(&self) -> &CursorName {
        self.reader.cursor()
    }

    /// The reader says what it has done.
    pub(super) fn report(&mut self, steps: &[Progress]) {
        let version = self.reader.report(steps);
        self.note(version);
    }

    /// The reader says that an earlier connection gave it that message.
    pub(super) async fn claim(&mut self, place: Place) {
        self.reader.claim(place).await;
    }

    /// The reader says that a message is done, and what the reply is.
    pub(super) fn answer(&mut self, answer: AnswerFrame) {
        let version = self.reader.answer(answer.offset, answer.reply);
        self.note(version);
    }

    fn note(&mut self, version: u64) {
        self.reports += 1;
        self.unsaved.push_back((self.reports, version));
    }

    /// Sends what there is, as far as credit goes, and says what is saved.
    pub(super) async fn feed(&mut self, machine: &mut Machine) {
        let saved = self.reader.look();
        while self.unsaved.front().is_some_and(|(_, version)| *version <= saved)
            && let Some((report, _)) = self.unsaved.pop_front()
        {
            machine.progressed(report);
        }
        self.idle = true;
        self.wants_more = false;
        if !machine.is_reading() {
            return;
        }
        if !self.started {
            match self.reader.is_made() {
                Ok(true) => {
                    self.started = true;
                    // The cursor itself knows where it is.
                    machine.start_read(Place::unseen(0));
                }
                Ok(false) => return,
                Err(broken) => return end_read(machine, broken, 0),
            }
        }
        let last = match self.until {
            Some(until) if self.reader.is_drained(until) => {
                return machine.end_read(until + 1, EndReason::CaughtUp);
            }
            Some(until) => until,
            None => self.reader.last(),
        };
        let Some((items, bytes)) = machine.read_room() else {
            return;
        };
        self.wants_more = true;
        if !self.memory.take() {
            return;
        }
        let most = usize::try_from(items).unwrap_or(usize::MAX);
        match self.reader.take(last, most, bytes).await {
            Ok(Some(items)) => {
                self.idle = false;
                self.memory.shrink_to(bytes_of(&items));
                machine.send_items(&items);
            }
            Ok(None) => self.memory.release(),
            Err(broken) => end_read(machine, broken, 0),
        }
    }

    /// Waits until there is more.
    pub(super) async fn more(&mut self) {
        if !self.idle {
            return;
        }
        let wants_memory = self.memory.is_wanted();
        tokio::select! {
            () = self.memory.made(), if wants_memory => {}
            () = self.reader.more(self.wants_more) => {}
        }
    }
}
