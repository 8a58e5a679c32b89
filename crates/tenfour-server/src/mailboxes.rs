//! A look at the mailboxes from within the server's process.

use tenfour_proto::{Item, MailboxName};
use tenfour_store::ReadError;
use tokio::sync::watch;

use crate::broker::Broker;

/// What is in the store, for a console beside the server. It lags rather than hold anybody up.
pub struct Mailboxes {
    commits: watch::Receiver<u64>,
    broker: Broker,
}

impl Mailboxes {
    pub(crate) fn of(broker: &Broker) -> Self {
        Mailboxes {
            commits: broker.follow_all(),
            broker: broker.clone(),
        }
    }

    /// Waits for a commit since the last call; false once the server is gone.
    pub async fn changed(&mut self) -> bool {
        self.commits.changed().await.is_ok()
    }

    /// All mailboxes with their last offsets; none once the server is gone.
    pub async fn last_offsets(&self) -> Vec<(MailboxName, u64)> {
        match self.broker.read(|reader| reader.mailboxes()).await {
            Ok(Ok(mailboxes)) => mailboxes.into_iter().map(|info| (info.name, info.last)).collect(),
            _ => Vec::new(),
        }
    }

    /// Messages of `mailbox` from offset `from` on, at most `items`, about 1 MiB at most.
    pub async fn read(&self, mailbox: MailboxName, from: u64, items: usize) -> Result<Vec<Item>, ReadError> {
        const BYTES: u64 = 1024 * 1024;
        match self
            .broker
            .read(move |reader| reader.read(&mailbox, from, items, BYTES))
            .await
        {
            Ok(result) => result,
            Err(_) => Ok(Vec::new()),
        }
    }
}

impl std::fmt::Debug for Mailboxes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailboxes").finish_non_exhaustive()
    }
}
