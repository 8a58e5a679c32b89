//! A list of keys that is read again when it changes.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use tenfour_proto::Fingerprint;
use tokio::sync::watch;

use tenfour_identity::lock;
use tenfour_identity::{AuthorizedKey, AuthorizedKeys, KeyList, Stamp};

/// Without a list: nobody. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched(Arc<WatchedState>);

#[derive(Debug, Default)]
struct WatchedState {
    list: Option<KeyList>,
    /// What the list looked like before it was read.
    seen: Mutex<Option<Stamp>>,
    keys: watch::Sender<AuthorizedKeys>,
}

impl Watched {
    /// Reads the list; one that is not there allows nobody.
    pub(crate) fn load(list: KeyList) -> std::io::Result<Self> {
        let stamp = list.stamp();
        let keys = AuthorizedKeys::load(&list)?;
        warn_of_mistakes(&list, &keys);
        Ok(Watched(Arc::new(WatchedState {
            list: Some(list),
            seen: Mutex::new(stamp),
            keys: watch::Sender::new(keys),
        })))
    }

    /// The line of that key, as it is now.
    pub(crate) fn find(&self, key: Fingerprint) -> Option<AuthorizedKey> {
        self.0.keys.borrow().find(key).cloned()
    }

    /// Looks at the list as it is now.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&AuthorizedKeys) -> T) -> T {
        look(&self.0.keys.borrow())
    }

    /// Tells that something changed.
    pub(crate) fn changes(&self) -> watch::Receiver<AuthorizedKeys> {
        self.0.keys.subscribe()
    }

    /// The next moment at which a line ceases to count.
    pub(crate) fn earliest_expiry(&self) -> Option<Timestamp> {
        let now = Timestamp::now();
        self.0
            .keys
            .borrow()
            .iter()
            .filter_map(|key| key.rights.expires())
            .filter(|end| *end > now)
            .min()
    }

    /// Reads the list if it has changed, or in any case. True if it was read.
    pub(crate) fn look(&self, in_any_case: bool) -> bool {
        let Some(list) = &self.0.list else {
            return false;
        };
        let now = list.stamp();
        let mut seen = lock(&self.0.seen);
        if now == *seen && !in_any_case {
            return false;
        }
        *seen = now;
        let name = list.place();
        match AuthorizedKeys::load(list) {
            Ok(fresh) => {
                warn_of_mistakes(list, &fresh);
                self.0.keys.send_replace(fresh);
                tracing::info!(list = %name, "read again");
            }
            Err(error) if is_passing(&error) => {
                // As it was, and it is tried again at the next look.
                *seen = None;
                tracing::error!(list = %name, %error, "cannot be read now; what it said before counts");
                return false;
            }
            Err(error) => {
                // Nobody knows who is still allowed, so nobody is.
                tracing::error!(list = %name, %error, "cannot be read; nobody listed there is let in");
                self.0.keys.send_replace(AuthorizedKeys::default());
            }
        }
        true
    }
}

/// It says nothing of the list: there are no handles, or no memory.
fn is_passing(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let passing = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::INTR,
        Errno::AGAIN,
    ];
    error
        .raw_os_error()
        .is_some_and(|code| passing.iter().any(|errno| errno.raw_os_error() == code))
}

fn warn_of_mistakes(list: &KeyList, keys: &AuthorizedKeys) {
    for (line, reason) in &keys.mistakes {
        tracing::warn!(list = %list.place(), line, reason, "a line allows nothing");
    }
}
