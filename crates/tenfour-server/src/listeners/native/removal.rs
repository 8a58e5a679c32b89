//! REMOVE: what somebody has filled is given back.

use std::sync::Arc;

use tenfour_proto::native::{RemoveOutcome, RemoveRequest};
use tenfour_store::Removal;

use super::connection::Connection;

impl Connection {
    /// For whoever may do everything: what is removed is gone.
    pub(super) async fn remove(&mut self, asked: RemoveRequest) {
        let Some(admitted) = self.admitted.as_deref() else {
            return;
        };
        let outcome = if admitted.rights.is_admin() {
            let context = Arc::clone(&self.context);
            let removed = context.broker.remove(&asked.mailbox, asked.cursor.as_ref()).await;
            let outcome = match removed {
                Ok(Some(Removal::Done)) => RemoveOutcome::Removed,
                Ok(Some(Removal::Absent)) => RemoveOutcome::Absent,
                Ok(Some(Removal::Refilled)) => RemoveOutcome::Refilled,
                Ok(Some(Removal::Full)) => RemoveOutcome::Full,
                Ok(None) => RemoveOutcome::InUse,
                Ok(Some(Removal::More(_))) | Err(_) => RemoveOutcome::Failed,
            };
            let (key, mailbox) = (self.key, &asked.mailbox);
            tracing::info!(peer = %self.peer, ?key, %mailbox, cursor = ?asked.cursor, outcome = outcome.as_str(), "asked to remove");
            outcome
        } else {
            RemoveOutcome::NotAllowed
        };
        self.machine.removed(asked.request, outcome);
    }
}
