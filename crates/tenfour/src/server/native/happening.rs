//! What may happen beside bytes and answers, once a client was let in.

use std::future::pending;
use std::sync::Arc;

use tenfour_proto::Reply;
use tenfour_proto::native::{EndReason, ErrorCode};

use super::consuming::Consuming;
use super::reading::Reading;
use super::{Admitted, Connection};
use crate::inbox::{Overflow, Pigeonhole};
use crate::server::Counter;
use crate::server::lease::Lease;

pub(super) enum Happening {
    RulesChanged,
    TakenOver,
    Replies(Result<Vec<(u64, Reply)>, Overflow>),
    MoreToRead,
}

/// Waits for the next of them.
pub(super) async fn happenings(admitted: Option<&mut Admitted>) -> Happening {
    let Some(admitted) = admitted else {
        return pending().await;
    };
    let lease = admitted
        .stream
        .as_ref()
        .map(|stream| Arc::clone(stream.held.lease()));
    let hole = admitted.stream.as_ref().and_then(|stream| stream.asked.hole());
    tokio::select! {
        Ok(()) = admitted.changes.changed() => Happening::RulesChanged,
        replies = replies(hole) => Happening::Replies(replies),
        () = taken(lease.as_deref()) => Happening::TakenOver,
        () = more(admitted.reading.as_mut(), admitted.consuming.as_deref_mut()) => Happening::MoreToRead,
    }
}

async fn replies(hole: Option<Arc<Pigeonhole>>) -> Result<Vec<(u64, Reply)>, Overflow> {
    match hole {
        Some(hole) => hole.replies().await,
        None => pending().await,
    }
}

async fn taken(lease: Option<&Lease>) {
    match lease {
        Some(lease) => lease.taken().await,
        None => pending().await,
    }
}

async fn more(reading: Option<&mut Reading>, consuming: Option<&mut Consuming>) {
    match (reading, consuming) {
        (Some(reading), _) => reading.more().await,
        (None, Some(consuming)) => Box::pin(consuming.more()).await,
        (None, None) => pending().await,
    }
}

impl Connection {
    pub(super) fn take_happening(&mut self, happened: Happening) {
        match happened {
            Happening::RulesChanged => {
                let Some(key) = self.key else { return };
                match (
                    self.context.config.access.rights(key, self.peer.ip()),
                    &mut self.admitted,
                ) {
                    (Some(rights), Some(admitted)) => {
                        let reading = admitted.reading.as_ref().map(Reading::mailbox);
                        let consuming = admitted.consuming.as_ref().map(|consuming| consuming.mailbox());
                        let may_still_read = reading
                            .or(consuming)
                            .is_none_or(|mailbox| rights.may_read(mailbox));
                        admitted.rights = rights;
                        if !may_still_read {
                            admitted.reading = None;
                            admitted.consuming = None;
                            self.machine.end_read(0, EndReason::NotAllowed);
                        }
                    }
                    _ => {
                        self.context.counters.count(Counter::NotAllowed);
                        tracing::info!(peer = %self.peer, %key, "cut off: the key is not allowed any more");
                        self.machine.fail(
                            ErrorCode::NotAllowed,
                            &format!("the key {key} is not allowed here any more"),
                            String::new(),
                            None,
                        );
                    }
                }
            }
            Happening::TakenOver => self.taken_over(),
            Happening::Replies(replies) => self.take_replies(replies),
            Happening::MoreToRead => {}
        }
    }
}
