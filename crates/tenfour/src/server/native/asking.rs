//! Messages that ask: their replies find the connection that waits for them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use tenfour_proto::native::ErrorCode;
use tenfour_proto::{Fingerprint, Reply, Sender, Settlement, StreamId};

use super::Connection;
use crate::inbox::{Inbox, Overflow, Pigeonhole};

/// What a stream has asked on this connection.
#[derive(Default)]
pub(super) struct Asked {
    /// Present once something was asked.
    hole: Option<Arc<Pigeonhole>>,
    /// Deposited, and not settled yet.
    open: BTreeSet<u64>,
    /// They were there before, so there may be a reply already.
    repeats: VecDeque<u64>,
}

impl Asked {
    pub(super) fn add(&mut self, sequence: u64, inbox: &Inbox, key: Fingerprint, stream: StreamId) {
        self.listen(inbox, key, stream);
        self.open.insert(sequence);
    }

    fn listen(&mut self, inbox: &Inbox, key: Fingerprint, stream: StreamId) {
        self.hole
            .get_or_insert_with(|| inbox.expect_replies(Sender::Key(key), stream));
    }

    pub(super) fn hole(&self) -> Option<Arc<Pigeonhole>> {
        self.hole.clone()
    }

    /// A new message cannot have had a reply before we listened; a repeat can.
    pub(super) fn settled(&mut self, settlement: &Settlement) {
        if self.open.is_empty() {
            return;
        }
        for run in settlement.runs.iter().filter(|run| run.duplicate) {
            self.repeats
                .extend(self.open.range(run.first..=run.last()).copied());
        }
        self.open = self.open.split_off(&settlement.settled.saturating_add(1));
    }
}

impl Connection {
    pub(super) fn reply_to_look_for(&mut self) -> Option<u64> {
        let stream = self.admitted.as_deref_mut()?.stream.as_mut()?;
        stream.asked.repeats.pop_front()
    }

    /// Sends the reply to a message if there is one already. Those that come later find us by themselves.
    pub(super) async fn look_for_reply(&mut self, sequence: u64) {
        let (Some(admitted), Some(key)) = (self.admitted.as_deref_mut(), self.key) else {
            return;
        };
        let Some(stream) = &mut admitted.stream else {
            return;
        };
        let inbox = &self.context.inbox;
        stream.asked.listen(inbox, key, stream.id.0);
        match inbox.reply(Sender::Key(key), stream.id.0, sequence).await {
            Ok(Some(reply)) => {
                self.machine.send_reply(sequence, reply);
                // One after the other: many long ones must not gather here. A failure shows at the next write.
                self.write().await;
            }
            Ok(None) => {}
            Err(error) => self
                .machine
                .fail(ErrorCode::Internal, &error.to_string(), String::new(), None),
        }
    }

    pub(super) fn take_replies(&mut self, replies: Result<Vec<(u64, Reply)>, Overflow>) {
        match replies {
            Ok(replies) => {
                for (sequence, reply) in replies {
                    self.machine.send_reply(sequence, reply);
                }
            }
            // A client that comes back asks for each that it lacks.
            Err(Overflow) => self.machine.fail(
                ErrorCode::TimedOut,
                "replies came faster than they were taken",
                String::new(),
                None,
            ),
        }
    }
}
