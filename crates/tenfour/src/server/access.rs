//! Who may do what, now.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use tenfour_proto::{Fingerprint, MailboxName, TokenName};
use tokio::sync::{mpsc, watch};

use super::watched::Watched;
use crate::identity::{AuthorizedKeys, InvitationError, Invitations, Rights, Token};

/// How often the files are looked at: a key that was removed is cut off within a second.
const LOOK: Duration = Duration::from_millis(400);

/// The rules of a server: its own key has every right, `authorized_keys` says the rest, everyone else is denied.
#[derive(Clone, Debug)]
pub struct Access {
    own: Fingerprint,
    open: bool,
    keys: Watched,
    tokens: Watched,
    page: Option<(Fingerprint, TokenName)>,
    invitations: Option<Invitations>,
}

impl Access {
    /// Nobody but the holder of the server's own key.
    pub fn own_key_only(own: Fingerprint) -> Self {
        Access {
            own,
            open: false,
            keys: Watched::default(),
            tokens: Watched::default(),
            page: None,
            invitations: None,
        }
    }

    /// Also the keys in this file, which is read again whenever it changes.
    ///
    /// # Errors
    ///
    /// When the file is there and cannot be read.
    pub fn with_authorized_keys(mut self, file: PathBuf) -> std::io::Result<Self> {
        self.keys = Watched::load(file)?;
        Ok(self)
    }

    /// Also, for HTTP, the tokens whose hashes are in this file, which is read again whenever it changes.
    ///
    /// # Errors
    ///
    /// When the file is there and cannot be read.
    pub fn with_tokens(mut self, file: PathBuf) -> std::io::Result<Self> {
        self.tokens = Watched::load(file)?;
        Ok(self)
    }

    /// Also, for HTTP, one token that has every right and is written nowhere.
    pub fn with_token_of_everything(mut self, name: TokenName, token: &Token) -> Self {
        self.page = Some((token.hash(), name));
        self
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
        match self.keys.find(key) {
            Some(line) => line.rights.hold(from, Timestamp::now()).then_some(line.rights),
            None => self.open.then(Rights::default),
        }
    }

    /// The same, after a look at the file: a key that was let in a moment ago need not wait for the next one.
    pub(crate) fn rights_after_a_look(&self, key: Fingerprint, from: IpAddr) -> Option<Rights> {
        self.rights(key, from).or_else(|| {
            self.keys.look(false);
            self.rights(key, from)
        })
    }

    /// Whose token has this hash, and what it may do from an address at this moment.
    pub(crate) fn token(&self, hash: Fingerprint, from: IpAddr) -> Option<(TokenName, Rights)> {
        if let Some((_, name)) = self.page.as_ref().filter(|(page, _)| *page == hash) {
            return Some((name.clone(), Rights::everything()));
        }
        let line = self.tokens.find(hash).or_else(|| {
            self.tokens.look(false);
            self.tokens.find(hash)
        })?;
        let name = line.comment.parse().ok()?;
        line.rights
            .hold(from, Timestamp::now())
            .then_some((name, line.rights))
    }

    /// Senders that showed neither key nor token may put messages there: into `inbox`, unless a line says more.
    pub(crate) fn anonymous_may_send(&self, mailbox: &MailboxName) -> bool {
        self.keys.with(|keys| keys.anonymous_may_send(mailbox))
    }

    /// Whose key it is, as far as we were told.
    pub(crate) fn name_of(&self, key: Fingerprint) -> String {
        match self.keys.find(key) {
            Some(line) => line.comment,
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
        self.keys.look(true);
        Ok(())
    }

    /// Tells that the rules for keys changed.
    pub(crate) fn changes(&self) -> watch::Receiver<AuthorizedKeys> {
        self.keys.changes()
    }

    /// Tells that the rules for tokens changed.
    pub(crate) fn token_changes(&self) -> watch::Receiver<AuthorizedKeys> {
        self.tokens.changes()
    }

    /// Reads the files again when they change, until the server stops.
    pub(crate) fn watch_files(&self, alive: &mpsc::Sender<()>, stopping: &watch::Receiver<bool>) {
        for list in [&self.keys, &self.tokens] {
            let (list, alive, mut stopping) = (list.clone(), alive.clone(), stopping.clone());
            tokio::spawn(async move {
                let mut next_expiry = list.earliest_expiry();
                loop {
                    tokio::select! {
                        _ = stopping.wait_for(|stopping| *stopping) => break,
                        () = tokio::time::sleep(LOOK) => {}
                    }
                    if list.look(next_expiry.is_some_and(|end| end <= Timestamp::now())) {
                        next_expiry = list.earliest_expiry();
                    }
                }
                drop(alive);
            });
        }
    }
}
