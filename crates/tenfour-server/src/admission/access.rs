//! Who may do what, now.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tenfour_proto::{Fingerprint, MailboxName, TokenName};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::admission::watched_list::Watched;
use tenfour_identity::{AuthorizedKeys, InvitationError, Invitations, KeyList, Rights, Token};

/// How often the lists are looked at: a key that was removed is cut off within a second.
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
    /// One at a time: whoever comes with secrets that are made up keeps nobody waiting but others that come with secrets.
    enrolling: Arc<Semaphore>,
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
            enrolling: Arc::new(Semaphore::new(1)),
        }
    }

    /// Also the keys in this list, a file or another, which is read again whenever it changes.
    ///
    /// # Errors
    ///
    /// When the list is there and cannot be read.
    pub fn with_authorized_keys(mut self, list: impl Into<KeyList>) -> std::io::Result<Self> {
        self.keys = Watched::load(list.into())?;
        Ok(self)
    }

    /// Also, for HTTP, the tokens whose hashes are in this list, which is read again whenever it changes.
    ///
    /// # Errors
    ///
    /// When the list is there and cannot be read.
    pub fn with_tokens(mut self, list: impl Into<KeyList>) -> std::io::Result<Self> {
        self.tokens = Watched::load(list.into())?;
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

    /// The same, after a look at the list: a key that was let in a moment ago need not wait for the next one.
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

    /// Lets the holder of an invitation in. Waits for a disk, or a database, and for nobody else's tasks.
    pub(crate) async fn enrol(
        &self,
        secret: [u8; 32],
        key: Fingerprint,
        from: IpAddr,
    ) -> Result<(), InvitationError> {
        let invitations = self.invitations.clone().ok_or(InvitationError::Unknown)?;
        let keys = self.keys.clone();
        // It is never closed.
        let _turn = self.enrolling.acquire().await;
        let accepted = tokio::task::spawn_blocking(move || {
            invitations.accept(&secret, key, &from.to_string())?;
            keys.look(true);
            Ok(())
        });
        accepted
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
    }

    /// Tells that the rules for keys changed.
    pub(crate) fn changes(&self) -> watch::Receiver<AuthorizedKeys> {
        self.keys.changes()
    }

    /// Tells that the rules for tokens changed.
    pub(crate) fn token_changes(&self) -> watch::Receiver<AuthorizedKeys> {
        self.tokens.changes()
    }

    /// Reads the lists again when they change, until the server stops.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> Fingerprint {
        Fingerprint::from_bytes([number; 32])
    }

    fn here() -> IpAddr {
        [127, 0, 0, 1].into()
    }

    fn elsewhere() -> IpAddr {
        [192, 0, 2, 1].into()
    }

    fn rights(text: &str) -> Rights {
        text.parse().unwrap()
    }

    fn broker() -> MailboxName {
        MailboxName::inbox()
    }

    /// Everything that can be given: keys, tokens, invitations.
    fn given(folder: &std::path::Path) -> Access {
        let (keys, tokens) = (folder.join("authorized_keys"), folder.join("tokens"));
        std::fs::write(
            &keys,
            format!(
                "send=logs/* {} web server\nfrom=127.0.0.0/8,send=inbox {}\nanonymous send=drop\n",
                key(2),
                key(3)
            ),
        )
        .unwrap();
        Access::own_key_only(key(1))
            .with_authorized_keys(keys.as_path())
            .unwrap()
            .with_tokens(tokens)
            .unwrap()
            .with_invitations(Invitations::new(folder.join("invitations"), keys))
    }

    #[tokio::test]
    async fn nobody_but_the_own_key() {
        let access = Access::own_key_only(key(1));
        assert_eq!(access.rights(key(1), here()), Some(Rights::everything()));
        assert_eq!(access.rights(key(2), here()), None);
        assert_eq!(access.rights_after_a_look(key(2), here()), None);
        assert_eq!(access.token(key(2), here()), None);
        assert!(access.anonymous_may_send(&broker()));
        assert!(!access.anonymous_may_send(&"logs".parse().unwrap()));
        assert_eq!(access.name_of(key(1)), "own key");
        assert_eq!(access.name_of(key(2)), "");
        assert!(access.enrol([7; 32], key(2), here()).await.is_err());
    }

    #[test]
    fn each_key_what_its_line_says() {
        let folder = tempfile::tempdir().unwrap();
        let access = given(folder.path());
        assert_eq!(access.rights(key(1), here()), Some(Rights::everything()));
        assert_eq!(access.rights(key(2), elsewhere()), Some(rights("send=logs/*")));
        assert!(access.rights(key(3), here()).is_some());
        assert_eq!(access.rights(key(3), elsewhere()), None, "not from there");
        assert_eq!(access.rights(key(4), here()), None);
        assert_eq!(access.name_of(key(2)), "web server");
        assert!(access.anonymous_may_send(&"drop".parse().unwrap()));
        assert!(!access.anonymous_may_send(&"logs/a".parse().unwrap()));
    }

    #[test]
    fn an_open_server_takes_every_key_but_not_from_everywhere_what_is_bound_to_a_place() {
        let folder = tempfile::tempdir().unwrap();
        let access = given(folder.path()).open_to_everybody();
        assert_eq!(access.rights(key(4), here()), Some(Rights::default()));
        assert_eq!(access.rights(key(3), elsewhere()), None);
        assert_eq!(access.rights(key(1), here()), Some(Rights::everything()));
    }

    #[test]
    fn a_key_of_a_moment_ago_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let access = given(folder.path());
        let line = tenfour_identity::AuthorizedKey {
            fingerprint: key(5),
            rights: rights("send=inbox"),
            comment: String::new(),
        };
        AuthorizedKeys::replace(&folder.path().join("authorized_keys").into(), &line).unwrap();
        assert_eq!(access.rights_after_a_look(key(5), here()), Some(line.rights));
    }

    #[test]
    fn tokens_are_known_by_their_hashes() {
        let folder = tempfile::tempdir().unwrap();
        let access = given(folder.path());
        let name: TokenName = "backup".parse().unwrap();
        let file = folder.path().join("tokens").into();
        let token = Token::create(&file, &name, rights("from=127.0.0.0/8,read=inbox"))
            .unwrap()
            .unwrap();
        let (found, its) = access.token(token.hash(), here()).unwrap();
        assert_eq!(
            (&found, its.may_read(&broker()), its.is_admin()),
            (&name, true, false)
        );
        assert_eq!(access.token(token.hash(), elsewhere()), None);
        assert_eq!(access.token(key(9), here()), None);
        // One more for the page, which has every right and is written nowhere.
        let (page, its_name) = (Token::generate().unwrap(), "page".parse::<TokenName>().unwrap());
        let access = access.with_token_of_everything(its_name.clone(), &page);
        assert_eq!(
            access.token(page.hash(), elsewhere()),
            Some((its_name, Rights::everything()))
        );
        assert!(access.token(token.hash(), here()).is_some());
        assert_eq!(access.token(key(9), here()), None);
    }

    #[tokio::test]
    async fn whoever_was_invited_is_let_in_once_and_from_then_on() {
        let folder = tempfile::tempdir().unwrap();
        let access = given(folder.path());
        let changes = access.changes();
        let invitations = access.invitations.clone().unwrap();
        let secret = invitations
            .invite(rights("send=inbox"), Duration::from_secs(60))
            .unwrap();
        access.enrol(secret, key(6), here()).await.unwrap();
        assert!(access.rights(key(6), here()).is_some());
        assert!(changes.has_changed().unwrap());
        assert!(access.enrol(secret, key(7), here()).await.is_err());
        assert_eq!(access.rights(key(7), here()), None);
    }

    /// A key or token that was taken away, or has expired, is cut off without a word from anybody.
    #[tokio::test(start_paused = true)]
    async fn files_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let access = given(folder.path());
        let (alive, mut gone) = mpsc::channel(1);
        let (stop, stopping) = watch::channel(false);
        access.watch_files(&alive, &stopping);
        drop(alive);
        let mut changes = access.changes();
        AuthorizedKeys::remove(&folder.path().join("authorized_keys").into(), key(2)).unwrap();
        changes.changed().await.unwrap();
        assert_eq!(access.rights(key(2), here()), None);
        let mut changes = access.token_changes();
        let name = "new".parse().unwrap();
        Token::create(&folder.path().join("tokens").into(), &name, rights("read=inbox")).unwrap();
        changes.changed().await.unwrap();
        stop.send_replace(true);
        assert_eq!(gone.recv().await, None);
    }

    #[tokio::test]
    async fn what_expires_is_told_when_it_does() {
        let folder = tempfile::tempdir().unwrap();
        let access = given(folder.path());
        let end = Timestamp::now() + jiff::SignedDuration::from_secs(1);
        let line = tenfour_identity::AuthorizedKey {
            fingerprint: key(8),
            rights: rights(&format!("send=inbox,expires={end}")),
            comment: String::new(),
        };
        AuthorizedKeys::replace(&folder.path().join("authorized_keys").into(), &line).unwrap();
        assert!(access.rights_after_a_look(key(8), here()).is_some());
        let (alive, _gone) = mpsc::channel(1);
        let (_stop, stopping) = watch::channel(false);
        let mut changes = access.changes();
        access.watch_files(&alive, &stopping);
        changes.changed().await.unwrap();
        assert_eq!(access.rights(key(8), here()), None);
    }
}
