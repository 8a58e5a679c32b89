//! What other servers have done with the same store reaches whoever waits for it here.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tenfour_store::{Heard, News};

use super::shared::Shared;

/// So often it is looked whether the server goes on.
const LOOK: Duration = Duration::from_secs(1);

/// Works until nothing more is taken.
pub(super) fn run(mut news: Box<dyn News>, shared: &Shared) {
    while !shared.stopping.load(Ordering::Relaxed) {
        let mut raised = Vec::new();
        let mut answered = Vec::new();
        for heard in news.wait(LOOK) {
            match heard {
                Heard::Raised(mailbox, last) => raised.push((mailbox, last)),
                Heard::Answered(answer) => answered.push(answer),
                Heard::Claimed {
                    sender,
                    producer,
                    epoch,
                } => {
                    // An error says that nobody listens.
                    let _ = shared.claims.send((sender, producer, epoch));
                }
            }
        }
        if !raised.is_empty() {
            shared.notifier.announce(&raised);
        }
        shared.replies.deliver(answered);
    }
}
