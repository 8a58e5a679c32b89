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
        let mut followed = lock(&self.followed);
        // A reader may ask for mailboxes that are not there while nobody commits. Now and then, so that it costs next to
        // nothing each time.
        if followed.len().is_power_of_two() {
            followed.retain(|_, sender| sender.receiver_count() > 0);
        }
        followed
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads of mailboxes that are not there cost 112 MiB in 20 s.
    #[test]
    fn whoever_follows_no_more_is_forgotten_without_a_commit() {
        let notifier = CommitNotifier::default();
        let kept = notifier.follow(&MailboxName::inbox());
        for number in 0..10_000 {
            drop(notifier.follow(&format!("absent/{number}").parse().unwrap()));
        }
        let followed = lock(&notifier.followed).len();
        assert!(followed <= 2, "{followed}");
        notifier.announce(&[(MailboxName::inbox(), 7)]);
        assert_eq!(*kept.borrow(), 7);
    }
}
