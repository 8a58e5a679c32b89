//! Clients we let in: `[OPTIONS] FINGERPRINT [COMMENT]`, one a line.

use std::fmt;
use std::io;

use tenfour_proto::{Fingerprint, MailboxName};

use super::key_list::without;
use super::{KeyList, Rights};

/// One line: a key and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizedKey {
    /// The key.
    pub fingerprint: Fingerprint,
    /// What it may do.
    pub rights: Rights,
    /// Whose it is, for people.
    pub comment: String,
}

impl AuthorizedKey {
    fn parse(line: &str) -> Result<Self, String> {
        let start = line.find("SHA256:").ok_or("there is no fingerprint in it")?;
        let (options, rest) = line.split_at(start);
        let (fingerprint, comment) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        // Somebody meant to limit the key: as a comment it would have all that a key without options has.
        if let Some(option) = comment.split_whitespace().find(|word| is_option(word)) {
            return Err(format!(
                "`{option}` stands behind the key; options stand before it"
            ));
        }
        Ok(AuthorizedKey {
            fingerprint: fingerprint.parse().map_err(|error| format!("{error}"))?,
            rights: options.trim().parse().map_err(|error| format!("{error}"))?,
            comment: comment.trim().to_owned(),
        })
    }

    fn line(&self) -> String {
        format!("{self}\n")
    }
}

/// As it stands in the file.
impl fmt::Display for AuthorizedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = format!("{} {} {}", self.rights, self.fingerprint, self.comment);
        f.write_str(line.trim_end())
    }
}

/// The keys that may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthorizedKeys {
    keys: Vec<AuthorizedKey>,
    /// What senders without a key may do beyond sending to `inbox`: a line `anonymous OPTIONS`.
    anonymous: Option<Rights>,
    /// Lines that cannot be read: the number of the line and why. They allow nothing.
    pub mistakes: Vec<(usize, String)>,
}

impl AuthorizedKeys {
    /// Reads the list; one that is not there allows nobody.
    pub fn load(list: &KeyList) -> io::Result<Self> {
        let mut all = AuthorizedKeys::default();
        for (number, line) in list.read()?.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(options) = line.strip_prefix(ANONYMOUS) {
                match only_send(options) {
                    Ok(rights) => all.anonymous = Some(rights),
                    Err(reason) => all.mistakes.push((number + 1, reason)),
                }
                continue;
            }
            match AuthorizedKey::parse(line) {
                Ok(key) => all.keys.push(key),
                Err(reason) => all.mistakes.push((number + 1, reason)),
            }
        }
        Ok(all)
    }

    /// Senders that showed neither key nor token may put messages there.
    pub fn anonymous_may_send(&self, mailbox: &MailboxName) -> bool {
        match &self.anonymous {
            Some(rights) => rights.may_send(mailbox),
            None => Rights::default().may_send(mailbox),
        }
    }

    /// The line of that key.
    pub fn find(&self, fingerprint: Fingerprint) -> Option<&AuthorizedKey> {
        self.keys.iter().find(|key| key.fingerprint == fingerprint)
    }

    /// All keys, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &AuthorizedKey> {
        self.keys.iter()
    }

    /// Adds a key, or replaces its line. Every other line stays as it is.
    pub fn replace(list: &KeyList, key: &AuthorizedKey) -> io::Result<()> {
        let is_it = |line: &str| is_key(line, |known| known.fingerprint == key.fingerprint);
        list.replace_lines(is_it, &key.line()).map(|_| ())
    }

    /// Adds a key, or adds to what it may do: nothing is taken away, and its comment stays unless there is a new one.
    /// Gives the line as it is then.
    pub fn allow(list: &KeyList, key: AuthorizedKey) -> io::Result<AuthorizedKey> {
        let mut now = key.clone();
        list.edit(|text| {
            now = key.clone();
            let is_it = |line: &str| is_key(line, |known| known.fingerprint == key.fingerprint);
            let known = text
                .lines()
                .filter_map(|line| AuthorizedKey::parse(line.trim()).ok());
            if let Some(known) = known
                .into_iter()
                .find(|known| known.fingerprint == key.fingerprint)
            {
                now.rights = known.rights.with(key.rights.clone());
                if now.comment.is_empty() {
                    now.comment = known.comment;
                }
            }
            Ok(without(text, is_it) + &now.line())
        })?;
        Ok(now)
    }

    /// Adds a line if every other one fits; false if one does not.
    pub(super) fn add(
        list: &KeyList,
        key: &AuthorizedKey,
        fits: impl Fn(&AuthorizedKey) -> bool,
    ) -> io::Result<bool> {
        list.edit(|text| {
            let all_fit = text
                .lines()
                .filter_map(|line| AuthorizedKey::parse(line.trim()).ok())
                .all(|known| fits(&known));
            let addition = if all_fit { key.line() } else { String::new() };
            Ok(without(text, |_| false) + &addition)
        })
    }

    /// Removes a key; false if it was not there.
    pub fn remove(list: &KeyList, fingerprint: Fingerprint) -> io::Result<bool> {
        Self::remove_where(list, |key| key.fingerprint == fingerprint)
    }

    /// Removes all such keys; false if there was none.
    pub(super) fn remove_where(list: &KeyList, is_it: impl Fn(&AuthorizedKey) -> bool) -> io::Result<bool> {
        list.replace_lines(|line| is_key(line, &is_it), "")
    }
}

/// It limits a key, or is meant to.
fn is_option(word: &str) -> bool {
    ["send=", "read=", "consume=", "answer=", "from=", "expires="]
        .iter()
        .any(|option| word.starts_with(option))
}

/// Begins the line of those who show no key.
const ANONYMOUS: &str = "anonymous ";

/// Nobody in particular may send, and nothing else.
fn only_send(options: &str) -> Result<Rights, String> {
    let rights: Rights = options.trim().parse().map_err(|error| format!("{error}"))?;
    let mut sending = Rights::default();
    sending.send.clone_from(&rights.send);
    if rights == sending {
        Ok(rights)
    } else {
        Err("`anonymous` may have `send=` and nothing else".to_owned())
    }
}

/// A line of the file is such a key.
fn is_key(line: &str, is_it: impl Fn(&AuthorizedKey) -> bool) -> bool {
    AuthorizedKey::parse(line.trim()).is_ok_and(|key| is_it(&key))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn list(path: &Path) -> KeyList {
        path.into()
    }

    #[test]
    fn those_without_a_key_may_send_where_their_line_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authorized_keys");
        let load = |text: &str| {
            std::fs::write(&path, text).unwrap();
            AuthorizedKeys::load(&list(&path)).unwrap()
        };
        let may = |keys: &AuthorizedKeys, name: &str| keys.anonymous_may_send(&name.parse().unwrap());
        let usual = load("");
        assert!(may(&usual, "inbox") && !may(&usual, "logs/a"));
        let more = load("anonymous send=\"inbox,logs/*\"\n");
        assert!(may(&more, "inbox") && may(&more, "logs/a") && !may(&more, "other"));
        assert!(!may(&load("anonymous send=\n"), "inbox"));
        for bad in ["read=inbox", "admin", "status", "expires=2027-01-01", "nonsense"] {
            let keys = load(&format!("anonymous {bad}\n"));
            assert_eq!(keys.mistakes.len(), 1, "{bad}");
            assert!(may(&keys, "inbox") && !may(&keys, "other"));
        }
    }

    /// The order of `keys list`, typed by hand: the limit was taken for a comment, and the key had all that one without limits
    /// has.
    #[test]
    fn a_limit_behind_the_key_allows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authorized_keys");
        let key = Fingerprint::of_public_key(b"1");
        for limit in [
            "from=\"10.9.9.9\"",
            "expires=2020-01-01",
            "of the shop, read=inbox",
            "send=logs/*",
        ] {
            std::fs::write(&path, format!("{key} {limit}\n")).unwrap();
            let keys = AuthorizedKeys::load(&list(&path)).unwrap();
            assert_eq!(keys.find(key), None, "{limit}");
            assert!(keys.mistakes[0].1.contains("before it"), "{:?}", keys.mistakes);
        }
        std::fs::write(&path, format!("read=inbox {key} sender of logs\n")).unwrap();
        assert!(AuthorizedKeys::load(&list(&path)).unwrap().find(key).is_some());
    }

    #[test]
    fn lines_are_kept_when_one_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authorized_keys");
        let (one, two) = (Fingerprint::of_public_key(b"1"), Fingerprint::of_public_key(b"2"));
        std::fs::write(
            &path,
            format!("# ours\nnonsense\nread=inbox,send=\"a,b\" {one} the first one\n{two}\n"),
        )
        .unwrap();
        let keys = AuthorizedKeys::load(&list(&path)).unwrap();
        assert_eq!(keys.mistakes.len(), 1);
        assert_eq!(keys.find(one).unwrap().comment, "the first one");
        assert_eq!(keys.find(two).unwrap().rights, Rights::default());
        assert!(AuthorizedKeys::remove(&list(&path), one).unwrap());
        assert!(!AuthorizedKeys::remove(&list(&path), one).unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("# ours\nnonsense\n{two}\n"));
        let key = AuthorizedKey {
            fingerprint: two,
            rights: "admin".parse().unwrap(),
            comment: "web".into(),
        };
        AuthorizedKeys::replace(&list(&path), &key).unwrap();
        assert_eq!(AuthorizedKeys::load(&list(&path)).unwrap().find(two), Some(&key));
    }

    /// What was added with `keys allow`, or by an invitation, replaced what the key could do before.
    #[test]
    fn what_is_added_takes_nothing_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authorized_keys");
        let key = Fingerprint::of_public_key(b"1");
        std::fs::write(&path, format!("send=logs/*,admin {key} the first one\n")).unwrap();
        let more = |rights: &str, comment: &str| AuthorizedKey {
            fingerprint: key,
            rights: rights.parse().unwrap(),
            comment: comment.to_owned(),
        };
        let now = AuthorizedKeys::allow(&list(&path), more("send=inbox,read=inbox", "")).unwrap();
        assert_eq!(now.comment, "the first one");
        assert!(now.rights.admin);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("logs/*") && text.contains("read="), "{text}");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_write_says_nothing() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authorized_keys");
        let key = Fingerprint::of_public_key(b"1");
        std::fs::write(&path, format!("{key}\n")).unwrap();
        for (mode, is_sound) in [(0o644, true), (0o664, false), (0o602, false), (0o600, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(AuthorizedKeys::load(&list(&path)).is_ok(), is_sound, "{mode:o}");
        }
    }

    /// The link was replaced by a file, and the next change of the real one went unnoticed.
    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, real) = (folder.path().join("authorized_keys"), folder.path().join("real"));
        std::fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, &path).unwrap();
        let key = AuthorizedKey {
            fingerprint: Fingerprint::of_public_key(b"1"),
            rights: Rights::default(),
            comment: String::new(),
        };
        AuthorizedKeys::allow(&list(&path), key).unwrap();
        assert!(std::fs::symlink_metadata(&path).unwrap().is_symlink());
        assert_eq!(AuthorizedKeys::load(&list(&real)).unwrap().iter().count(), 1);
    }
}
