//! What is known of a client that was let in.

use tenfour_identity::{AuthorizedKeys, Rights};
use tenfour_proto::ProducerId;
use tenfour_proto::native::ProducerKind;
use tokio::sync::watch;

use super::group_reads::GroupRead;
use super::questions::Asked;
use super::reads::MailboxRead;
use crate::admission::connections::RegistryEntry;
use crate::admission::producer_lease::Held;
use crate::broker::Payer;

/// What is known of a client that was let in.
pub(super) struct Admitted {
    pub(super) rights: Rights,
    /// Whom its messages are charged to.
    pub(super) payer: Payer,
    pub(super) producer: Option<ProducerHeld>,
    pub(super) mailbox_read: Option<MailboxRead>,
    /// Until the next read: what was given out is still its reader's.
    pub(super) group_read: Option<Box<GroupRead>>,
    pub(super) entry: RegistryEntry,
    pub(super) changes: watch::Receiver<AuthorizedKeys>,
}

pub(super) struct ProducerHeld {
    pub(super) held: Held,
    /// At the time of WELCOME. Up to here a message is a repeat, and the store says what became of it.
    pub(super) high_water_mark: u64,
    /// Of the claim.
    pub(super) epoch: u64,
    pub(super) id: (ProducerId, ProducerKind),
    pub(super) asked: Asked,
}
