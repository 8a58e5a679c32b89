//! Wakes the task of a connection.

use std::sync::Arc;

use tokio::sync::Notify;

/// Cheap to clone. Wakes that come while the task runs are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wake(Arc<Notify>);

impl Wake {
    /// There is something to do.
    pub(crate) fn wake(&self) {
        self.0.notify_one();
    }

    /// Waits for that.
    pub(crate) async fn woken(&self) {
        self.0.notified().await;
    }
}
