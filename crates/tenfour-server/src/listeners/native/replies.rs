//! Replies, to the connection that waits for them.

use tenfour_proto::native::ErrorCode;
use tenfour_proto::{Reply, Sender};

use super::connection::Connection;
use crate::broker::Overflow;

impl Connection {
    pub(super) fn reply_to_look_for(&mut self) -> Option<u64> {
        let producer = self.admitted.as_deref_mut()?.producer.as_mut()?;
        producer.asked.repeats.pop_front()
    }

    /// Sends the reply to a message if there is one already. Those that come later find us by themselves.
    pub(super) async fn look_for_reply(&mut self, sequence: u64) {
        let (Some(admitted), Some(key)) = (self.admitted.as_deref_mut(), self.key) else {
            return;
        };
        let Some(producer) = &mut admitted.producer else {
            return;
        };
        let broker = &self.context.broker;
        producer.asked.listen(broker, key, producer.id.0);
        match broker.reply(Sender::Key(key), producer.id.0, sequence).await {
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
