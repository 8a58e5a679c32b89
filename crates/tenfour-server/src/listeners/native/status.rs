//! STATUS: what the server is doing, and what became of messages.

use std::sync::Arc;

use tenfour_proto::Sender;
use tenfour_proto::native::{StatusEnd, StatusRequest, StatusRow};

use super::connection::{Connection, LONG_ANSWER};
use crate::status;

/// Runs of one look at the past of a producer. There may be as many refusals between them.
pub(super) const RUNS: usize = 2_048;

/// What they hold.
pub(super) const PAST: u64 = 256 * 1024;

impl Connection {
    /// Everybody may ask what became of their own messages; the rest is for whoever runs the server.
    pub(super) async fn tell_status(&mut self, asked: StatusRequest) {
        let (Some(admitted), Some(key)) = (self.admitted.as_deref(), self.key) else {
            return;
        };
        let context = Arc::clone(&self.context);
        let end = match asked.producer {
            Some(producer) => {
                let mut after = 0;
                loop {
                    // What is found of the past lies here until it is written.
                    let Some(_room) = context.outgoing.room_for(PAST).await else {
                        break StatusEnd::Failed;
                    };
                    let found = context
                        .broker
                        .resume(Sender::Key(key), producer, Some(after), false, RUNS, None)
                        .await;
                    let Ok(found) = found else {
                        break StatusEnd::Failed;
                    };
                    let (high_water_mark, settlement) =
                        (found.high_water_mark, found.receipts.into_settlement());
                    for row in status::fate(&settlement) {
                        if !self.send_row(asked.request, row).await {
                            return;
                        }
                    }
                    if settlement.settled <= after || settlement.settled >= high_water_mark {
                        break StatusEnd::Complete;
                    }
                    after = settlement.settled;
                    if !self.write().await {
                        return;
                    }
                }
            }
            None if !admitted.rights.may_see_status() => StatusEnd::NotAllowed,
            None => match status::server(&context).await {
                Ok((rows, _until_written)) => {
                    for row in rows {
                        if !self.send_row(asked.request, row).await {
                            return;
                        }
                    }
                    self.machine.end_status(asked.request, StatusEnd::Complete);
                    self.write().await;
                    return;
                }
                Err(_) => StatusEnd::Failed,
            },
        };
        self.machine.end_status(asked.request, end);
    }

    /// Rows are on their way before many more are made. False: the peer does not take them.
    async fn send_row(&mut self, request: u32, row: StatusRow) -> bool {
        self.machine.send_status(request, row);
        self.machine.unsent() < LONG_ANSWER || self.write().await
    }
}
