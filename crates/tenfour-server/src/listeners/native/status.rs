//! STATUS: what the server is doing, and what became of messages.

use std::sync::Arc;

use tenfour_proto::Sender;
use tenfour_proto::native::{StatusEnd, StatusRequest};

use super::connection::Connection;
use crate::status;

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
                    let found = context
                        .broker
                        .resume(Sender::Key(key), producer, Some(after), false)
                        .await;
                    let Ok(found) = found else {
                        break StatusEnd::Failed;
                    };
                    let (high_water_mark, settlement) =
                        (found.high_water_mark, found.receipts.into_settlement());
                    for row in status::fate(&settlement) {
                        self.machine.send_status(asked.request, row);
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
                        self.machine.send_status(asked.request, row);
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
}
