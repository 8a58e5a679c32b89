//! The recipe's two lines. A follower like any other: it never holds back a receipt.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tenfour::MailboxName;
use tenfour::server::{Event, Mailboxes, OnEvent};

use crate::escape::{Escape, escape};
use crate::output;
use crate::verbs::bench::load::is_of_bench;

/// Further behind than this it skips, and says how much.
const PATIENCE: u64 = 10_000;

/// Messages read at once.
const ITEMS: usize = 1_000;

/// Prints who connects and what arrives.
pub struct Console {
    told: SyncSender<Event>,
    events: Receiver<Event>,
}

impl Console {
    pub fn new() -> Self {
        let (told, events) = sync_channel(PATIENCE as usize);
        Console { told, events }
    }

    /// What the server calls. When the console is too far behind, the event is left out.
    pub fn on_event(&self) -> OnEvent {
        let told = self.told.clone();
        Arc::new(move |event| {
            let _ = told.try_send(event);
        })
    }

    /// Prints from a thread of its own: a terminal that is scrolled up blocks, and may.
    pub fn start(self, mailboxes: Mailboxes) {
        let runtime = tokio::runtime::Handle::current();
        let printing = move || runtime.block_on(self.print(mailboxes));
        if let Err(error) = std::thread::Builder::new().name("console".into()).spawn(printing) {
            tracing::warn!(%error, "connections and messages are not printed");
        }
    }

    async fn print(self, mut mailboxes: Mailboxes) {
        // What was there before this start has been printed before.
        let mut printed: HashMap<MailboxName, u64> = mailboxes.last_offsets().await.into_iter().collect();
        loop {
            tokio::select! {
                alive = mailboxes.changed() => if !alive { return },
                // Connections that send nothing are printed too.
                () = tokio::time::sleep(std::time::Duration::from_millis(100)) => {}
            }
            // Whoever sent something connected before.
            let newest = mailboxes.last_offsets().await;
            if !self.print_events() {
                return;
            }
            for (mailbox, last) in newest {
                if is_of_bench(&mailbox) {
                    continue;
                }
                let from = printed.get(&mailbox).copied().unwrap_or(0);
                if from < last {
                    let Some(reached) = print_messages(&mailboxes, &mailbox, from, last).await else {
                        return;
                    };
                    printed.insert(mailbox, reached);
                }
            }
        }
    }

    fn print_events(&self) -> bool {
        let mut lines = String::new();
        for event in self.events.try_iter() {
            if let Event::Connected { peer, .. } = event {
                let (ip, port) = (peer.ip().to_canonical(), peer.port());
                lines.push_str(&format!("server: got connection from = {ip} and port = {port}\n"));
            }
        }
        lines.is_empty() || output::data(lines.as_bytes()).is_ok()
    }
}

/// Gives the last offset that is done with; `None` when nobody takes the output any more.
async fn print_messages(
    mailboxes: &Mailboxes,
    mailbox: &MailboxName,
    mut from: u64,
    last: u64,
) -> Option<u64> {
    if last - from > PATIENCE {
        let skipped = last - from - PATIENCE;
        output::talk(&format!(
            "tenfour: skipped {skipped} messages of {mailbox}; tenfour tail shows them"
        ));
        from = last - PATIENCE;
    }
    while from < last {
        let Ok(items) = mailboxes.read(mailbox.clone(), from + 1, ITEMS).await else {
            output::talk(&format!(
                "tenfour: messages of {mailbox} from #{} on cannot be read",
                from + 1
            ));
            return Some(last);
        };
        let Some(end) = items.last().map(|item| item.offset) else {
            return Some(last);
        };
        let mut lines = Vec::new();
        for item in items {
            lines.extend_from_slice(b"Got the message:");
            lines.extend_from_slice(&escape(&item.message.body, Escape::ForTerminal));
            lines.push(b'\n');
        }
        output::data(&lines).ok()?;
        from = end;
    }
    Some(from)
}
