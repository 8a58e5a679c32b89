//! Tells followers that there is something to read. They read it from the store themselves.

use std::collections::HashMap;
use std::sync::Mutex;

use tenfour_proto::MailboxName;
use tokio::sync::watch;

use tenfour_identity::lock;

pub(super) struct CommitNotifier {
    followed: Mutex<HashMap<MailboxName, watch::Sender<u64>>>,
    commits: watch::Sender<u64>,
}

impl Default for CommitNotifier {
    fn default() -> Self {
        CommitNotifier {
            followed: Mutex::default(),
            commits: watch::Sender::new(0),
        }
    }
}

impl CommitNotifier {
    pub(super) fn follow(&self, mailbox: &MailboxName) -> watch::Receiver<u64> {
        lock(&self.followed)
            .entry(mailbox.clone())
            .or_insert_with(|| watch::Sender::new(0))
            .subscribe()
    }

    pub(super) fn follow_all(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    /// After a commit: the mailboxes it reached, with their newest offsets.
    pub(super) fn announce(&self, raised: &[(MailboxName, u64)]) {
        let mut followed = lock(&self.followed);
        if !followed.is_empty() {
            for (mailbox, last) in raised {
                if let Some(sender) = followed.get(mailbox) {
                    sender.send_modify(|known| *known = (*known).max(*last));
                }
            }
            followed.retain(|_, sender| sender.receiver_count() > 0);
        }
        drop(followed);
        self.commits.send_modify(|count| *count += 1);
    }
}
