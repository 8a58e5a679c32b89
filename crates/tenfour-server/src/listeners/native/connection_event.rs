//! What may happen beside bytes and answers, once a client was let in.

use std::future::pending;
use std::sync::Arc;

use tenfour_proto::Reply;

use super::admitted::Admitted;
use super::group_reads::GroupRead;
use super::reads::MailboxRead;
use crate::admission::producer_lease::Lease;
use crate::broker::{Overflow, ReplySlot};

pub(super) enum ConnectionEvent {
    RulesChanged,
    TakenOver,
    Replies(Result<Vec<(u64, Reply)>, Overflow>),
    MoreToRead,
}

/// Waits for the next of them.
pub(super) async fn next_event(admitted: Option<&mut Admitted>) -> ConnectionEvent {
    let Some(admitted) = admitted else {
        return pending().await;
    };
    let lease = admitted
        .producer
        .as_ref()
        .map(|producer| Arc::clone(producer.held.lease()));
    let slot = admitted
        .producer
        .as_ref()
        .and_then(|producer| producer.asked.slot());
    tokio::select! {
        Ok(()) = admitted.changes.changed() => ConnectionEvent::RulesChanged,
        replies = replies(slot) => ConnectionEvent::Replies(replies),
        () = taken(lease.as_deref()) => ConnectionEvent::TakenOver,
        () = more(admitted.mailbox_read.as_mut(), admitted.group_read.as_deref_mut()) => ConnectionEvent::MoreToRead,
    }
}

async fn replies(slot: Option<Arc<ReplySlot>>) -> Result<Vec<(u64, Reply)>, Overflow> {
    match slot {
        Some(slot) => slot.replies().await,
        None => pending().await,
    }
}

async fn taken(lease: Option<&Lease>) {
    match lease {
        Some(lease) => lease.taken().await,
        None => pending().await,
    }
}

async fn more(mailbox_read: Option<&mut MailboxRead>, group_read: Option<&mut GroupRead>) {
    match (mailbox_read, group_read) {
        (Some(mailbox_read), _) => mailbox_read.more().await,
        (None, Some(group_read)) => Box::pin(group_read.more()).await,
        (None, None) => pending().await,
    }
}
