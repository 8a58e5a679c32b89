//! The key file of a server that runs: another key in it is what the next start will show.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tenfour::identity::{FileStamp, Identity};
use tenfour::proto::Fingerprint;

/// How often it is looked at. A restore or a wrong copy is to be said while whoever did it is still there.
const LOOK: Duration = Duration::from_secs(1);

/// What the file holds.
#[derive(Clone, PartialEq)]
enum Content {
    Key(Fingerprint),
    Missing,
    Unreadable(String),
}

/// Says in the log when the file does not hold the server's key any more, for as long as the server runs. The server goes on
/// with the key that it has: its clients know that one.
pub(super) fn watch(file: PathBuf, own: Fingerprint) {
    tokio::spawn(async move {
        let mut before = Content::Key(own);
        let mut looked = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let (place, last) = (file.clone(), looked);
            let looking = tokio::task::spawn_blocking(move || {
                let stamp = FileStamp::of(&place);
                // A private key is not read each second for nothing.
                (stamp.is_none() || stamp != last).then(|| (stamp, look(&place)))
            });
            let now = match looking.await {
                Ok(Some((stamp, now))) => {
                    // What cannot be read now, for want of a handle too, is tried again.
                    looked = stamp.filter(|_| matches!(now, Content::Key(_)));
                    now
                }
                Ok(None) => continue,
                Err(_) => return,
            };
            if now != before {
                tell(&file, &now, own);
                before = now;
            }
        }
    });
}

fn look(file: &Path) -> Content {
    match Identity::load(file) {
        Ok(identity) => Content::Key(identity.fingerprint()),
        Err(_) if !file.exists() => Content::Missing,
        Err(error) => Content::Unreadable(error.to_string()),
    }
}

fn tell(file: &Path, now: &Content, own: Fingerprint) {
    let file = file.display();
    match now {
        Content::Key(key) if *key == own => tracing::info!(%file, "holds this server's key again"),
        Content::Key(key) => tracing::error!(
            %file, %key,
            "holds another key than the one that this server shows, {own}; after the next start its clients would end with 76: put the file back, or run `tenfour keys trust` on each of them"
        ),
        Content::Missing => tracing::error!(
            %file,
            "is gone; the next start makes a new key, which no client knows: put the file back from a backup"
        ),
        Content::Unreadable(reason) => tracing::error!(
            %file, %reason,
            "cannot be used any more, and the next start would fail; this server goes on with the key that it has"
        ),
    }
}
