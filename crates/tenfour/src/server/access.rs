//! Which key may do what, now.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tenfour_proto::Fingerprint;
use tokio::sync::{mpsc, watch};

use crate::identity::{AuthorizedKeys, InvitationError, Invitations, Rights};
use crate::lock::lock;

/// How often `authorized_keys` is looked at: a key that was removed is cut off within a second.
const LOOK: Duration = Duration::from_millis(400);

/// The rules of a server: its own key has every right, `authorized_keys` says the rest, everyone else is denied.
#[derive(Clone, Debug)]
pub struct Access {
    own: Fingerprint,
    open: bool,
    file: Option<Arc<Watched>>,
    invitations: Option<Invitations>,
    keys: Arc<watch::Sender<AuthorizedKeys>>,
}

/// A file that is read again when it changes.
#[derive(Debug)]
struct Watched {
    path: PathBuf,
    /// What it looked like before it was read.
    seen: Mutex<Option<Stamp>>,
}

impl Access {
    /// Nobody but the holder of the server's own key.
    pub fn own_key_only(own: Fingerprint) -> Self {
        Access {
            own,
            open: false,
            file: None,
            invitations: None,
            keys: Arc::new(watch::Sender::new(AuthorizedKeys::default())),
        }
    }

    /// Also the keys in this file, which is read again whenever it changes.
    ///
    /// # Errors
    ///
    /// When the file is there and cannot be read.
    pub fn with_authorized_keys(mut self, file: PathBuf) -> std::io::Result<Self> {
        let stamp = stamp(&file);
        let keys = AuthorizedKeys::load(&file)?;
        warn_of_mistakes(&keys);
        self.keys.send_replace(keys);
        self.file = Some(Arc::new(Watched {
            path: file,
            seen: Mutex::new(stamp),
        }));
        Ok(self)
    }

    /// Also whoever shows the secret of an open invitation, from then on.
    pub fn with_invitations(mut self, invitations: Invitations) -> Self {
        self.invitations = Some(invitations);
        self
    }

    /// Every key may send to `inbox`.
    pub fn open_to_everybody(mut self) -> Self {
        self.open = true;
        self
    }

    /// What a key may do from an address at this moment; `None`: it may not even connect.
    pub(crate) fn rights(&self, key: Fingerprint, from: IpAddr) -> Option<Rights> {
        if key == self.own {
            return Some(Rights::everything());
        }
        let listed = self.keys.borrow().find(key).map(|line| line.rights.clone());
        match listed {
            Some(rights) => rights.hold(from, Timestamp::now()).then_some(rights),
            None => self.open.then(Rights::default),
        }
    }

    /// Whose key it is, as far as we were told.
    pub(crate) fn name_of(&self, key: Fingerprint) -> String {
        let listed = self.keys.borrow().find(key).map(|line| line.comment.clone());
        match listed {
            Some(comment) => comment,
            None if key == self.own => "own key".to_owned(),
            None => String::new(),
        }
    }

    /// Lets the holder of an invitation in.
    pub(crate) fn enrol(
        &self,
        secret: &[u8; 32],
        key: Fingerprint,
        from: IpAddr,
    ) -> Result<(), InvitationError> {
        let invitations = self.invitations.as_ref().ok_or(InvitationError::Unknown)?;
        invitations.accept(secret, key, &from.to_string())?;
        self.look(true);
        Ok(())
    }

    /// Tells that the rules changed.
    pub(crate) fn changes(&self) -> watch::Receiver<AuthorizedKeys> {
        self.keys.subscribe()
    }

    /// The same, after a look at the file: a key that was let in a moment ago need not wait for the next one.
    pub(crate) fn rights_after_a_look(&self, key: Fingerprint, from: IpAddr) -> Option<Rights> {
        self.rights(key, from).or_else(|| {
            self.look(false);
            self.rights(key, from)
        })
    }

    /// Reads the file again when it changes, until the server stops.
    pub(crate) fn watch_file(&self, alive: mpsc::Sender<()>, mut stopping: watch::Receiver<bool>) {
        if self.file.is_none() {
            return;
        }
        let access = self.clone();
        tokio::spawn(async move {
            let mut next_expiry = earliest_expiry(&access.keys.borrow());
            loop {
                tokio::select! {
                    _ = stopping.wait_for(|stopping| *stopping) => break,
                    () = tokio::time::sleep(LOOK) => {}
                }
                if access.look(next_expiry.is_some_and(|end| end <= Timestamp::now())) {
                    next_expiry = earliest_expiry(&access.keys.borrow());
                }
            }
            drop(alive);
        });
    }

    /// Reads the file if it has changed, or in any case. True if it was read.
    fn look(&self, in_any_case: bool) -> bool {
        let Some(file) = &self.file else {
            return false;
        };
        let now = stamp(&file.path);
        let mut seen = lock(&file.seen);
        if now == *seen && !in_any_case {
            return false;
        }
        *seen = now;
        match AuthorizedKeys::load(&file.path) {
            Ok(fresh) => {
                warn_of_mistakes(&fresh);
                self.keys.send_replace(fresh);
                tracing::info!("authorized_keys was read again");
            }
            Err(error) => {
                // Nobody knows who is still allowed, so nobody is.
                tracing::error!(%error, "authorized_keys cannot be read; nobody listed there is let in");
                self.keys.send_replace(AuthorizedKeys::default());
            }
        }
        true
    }
}

fn earliest_expiry(keys: &AuthorizedKeys) -> Option<Timestamp> {
    let now = Timestamp::now();
    keys.iter()
        .filter_map(|key| key.rights.expires())
        .filter(|end| *end > now)
        .min()
}

/// What changes when a file does: its time, its length, and (as we replace files) which file it is.
type Stamp = (SystemTime, u64, u64);

fn stamp(file: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(file).ok()?;
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let inode = 0;
    Some((metadata.modified().ok()?, metadata.len(), inode))
}

fn warn_of_mistakes(keys: &AuthorizedKeys) {
    for (line, reason) in &keys.mistakes {
        tracing::warn!(line, reason, "a line of authorized_keys allows nothing");
    }
}
