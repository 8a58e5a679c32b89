//! Invitations: one secret that enrols one key, once, soon.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use tenfour_proto::Fingerprint;

use super::{AuthorizedKey, AuthorizedKeys, KeyList, Rights};
use tenfour_proto::Address;

/// What is handed to the other side: where the server is, its pin, and the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Where it may be reached; the first that answers is taken.
    pub addresses: Vec<Address>,
    /// The server's key.
    pub server: Fingerprint,
    /// What shows that the holder was invited.
    pub secret: [u8; 32],
}

const PREFIX: &str = "10-4.";

impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<String> = self.addresses.iter().map(Address::to_string).collect();
        let mut bytes = self.server.as_bytes().to_vec();
        bytes.extend_from_slice(&self.secret);
        bytes.extend_from_slice(addresses.join(" ").as_bytes());
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secret stays out of logs.
        f.debug_struct("Invitation")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// A text that is not an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not an invitation, or it is cut short: it begins with `{PREFIX}`")]
pub struct ParseInvitationError;

impl FromStr for Invitation {
    type Err = ParseInvitationError;

    fn from_str(text: &str) -> Result<Self, ParseInvitationError> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(ParseInvitationError)?;
        let bytes = URL_SAFE_NO_PAD
            .decode(encoded)
            .map_err(|_| ParseInvitationError)?;
        let (server, rest) = bytes.split_first_chunk::<32>().ok_or(ParseInvitationError)?;
        let (secret, addresses) = rest.split_first_chunk::<32>().ok_or(ParseInvitationError)?;
        let addresses = std::str::from_utf8(addresses)
            .map_err(|_| ParseInvitationError)?
            .split(' ')
            .map(|address| address.parse().map_err(|_| ParseInvitationError))
            .collect::<Result<_, _>>()?;
        Ok(Invitation {
            addresses,
            server: Fingerprint::from_bytes(*server),
            secret: *secret,
        })
    }
}

/// The server's list of open invitations: `HASH EXPIRES KEY-OR-- RIGHTS`, one a line.
#[derive(Clone, Debug)]
pub struct Invitations {
    list: KeyList,
    authorized_keys: KeyList,
}

#[derive(Clone)]
struct Line {
    hash: String,
    expires: Timestamp,
    /// Who has used it. Kept until it expires, so that a repeat of the same key is understood.
    used_by: Option<Fingerprint>,
    rights: Rights,
}

/// An invitation was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvitationError {
    /// Nobody made it, or it is too old.
    #[error("the invitation is not known, or its time is over")]
    Unknown,
    /// Another key has used it.
    #[error("the invitation has been used by another key")]
    Used,
    /// The lists cannot be changed.
    #[error("the invitation cannot be recorded")]
    Io(#[from] io::Error),
}

impl Invitations {
    /// Those in `list`; whoever is let in is written to `authorized_keys`.
    pub fn new(list: impl Into<KeyList>, authorized_keys: impl Into<KeyList>) -> Self {
        Invitations {
            list: list.into(),
            authorized_keys: authorized_keys.into(),
        }
    }

    /// Makes an invitation that counts for `lifetime`, and gives its secret. Only a hash of it is kept.
    pub fn invite(&self, rights: Rights, lifetime: Duration) -> io::Result<[u8; 32]> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| io::Error::other(error.to_string()))?;
        let now = Timestamp::now();
        let line = Line {
            hash: hash(&secret),
            expires: now + jiff::SignedDuration::try_from(lifetime).map_err(io::Error::other)?,
            used_by: None,
            rights,
        };
        self.change(now, |lines| {
            lines.push(line.clone());
            Ok(())
        })?;
        Ok(secret)
    }

    /// Lets `key` in if `secret` is open, or was used by the same key.
    pub fn accept(&self, secret: &[u8; 32], key: Fingerprint, from: &str) -> Result<Rights, InvitationError> {
        let wanted = hash(secret);
        let now = Timestamp::now();
        let answer = self.change(now, |lines| {
            let Some(line) = lines.iter_mut().find(|line| line.hash == wanted) else {
                return Ok(Err(InvitationError::Unknown));
            };
            match line.used_by {
                Some(other) if other != key => return Ok(Err(InvitationError::Used)),
                Some(_) => {}
                None => {
                    let allowed = AuthorizedKey {
                        fingerprint: key,
                        rights: line.rights.clone(),
                        comment: format!("invited, joined from {from}"),
                    };
                    AuthorizedKeys::allow(&self.authorized_keys, allowed)?;
                    line.used_by = Some(key);
                }
            }
            Ok(Ok(line.rights.clone()))
        });
        answer?
    }

    fn change<T>(
        &self,
        now: Timestamp,
        mut edit: impl FnMut(&mut Vec<Line>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut result = Err(io::Error::other("the list was not looked at"));
        self.list.edit(|text| {
            let mut lines: Vec<Line> = text
                .lines()
                .filter_map(Line::parse)
                .filter(|line| line.expires > now)
                .collect();
            let whole = |lines: &[Line]| lines.iter().map(Line::text).collect::<String>();
            let before = whole(&lines);
            result = Ok(edit(&mut lines)?);
            let after = whole(&lines);
            // A secret that somebody has made up costs no write, and no flush.
            Ok(if after == before { text.to_owned() } else { after })
        })?;
        result
    }
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(4, ' ');
        Some(Line {
            hash: words.next()?.to_owned(),
            expires: words.next()?.parse().ok()?,
            used_by: match words.next()? {
                "-" => None,
                key => Some(key.parse().ok()?),
            },
            rights: words.next()?.parse().ok()?,
        })
    }

    fn text(&self) -> String {
        let used_by = self.used_by.map_or("-".to_owned(), |key| key.to_string());
        format!("{} {} {used_by} {}\n", self.hash, self.expires, self.rights)
    }
}

fn hash(secret: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(hmac_sha256::Hash::hash(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_is_for_one_key_and_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("authorized_keys");
        let path = folder.path().join("invitations");
        let invitations = Invitations::new(path.as_path(), keys.as_path());
        let secret = invitations
            .invite(Rights::default(), Duration::from_secs(60))
            .unwrap();
        assert!(
            !std::fs::read_to_string(&path)
                .unwrap()
                .contains(&URL_SAFE_NO_PAD.encode(secret))
        );
        let (one, two) = (Fingerprint::of_public_key(b"1"), Fingerprint::of_public_key(b"2"));
        invitations.accept(&secret, one, "10.0.0.1").unwrap();
        invitations.accept(&secret, one, "10.0.0.1").unwrap();
        let written = || std::fs::metadata(&path).unwrap().modified().unwrap();
        let before = written();
        assert!(matches!(
            invitations.accept(&secret, two, "x"),
            Err(InvitationError::Used)
        ));
        assert!(matches!(
            invitations.accept(&[9; 32], two, "x"),
            Err(InvitationError::Unknown)
        ));
        assert_eq!(written(), before);
        assert_eq!(AuthorizedKeys::load(&keys.into()).unwrap().iter().count(), 1);
        let late = invitations.invite(Rights::default(), Duration::ZERO).unwrap();
        assert!(matches!(
            invitations.accept(&late, two, "x"),
            Err(InvitationError::Unknown)
        ));
    }

    #[test]
    fn a_token_is_written_and_read_again() {
        let invitation = Invitation {
            addresses: vec!["10.0.0.1:50545".parse().unwrap(), "[fd00::1]:7".parse().unwrap()],
            server: Fingerprint::of_public_key(b"k"),
            secret: [7; 32],
        };
        let token = invitation.to_string();
        assert_eq!(token.parse(), Ok(invitation));
        assert_eq!(token[..40].parse::<Invitation>(), Err(ParseInvitationError));
        assert_eq!("hello".parse::<Invitation>(), Err(ParseInvitationError));
    }
}
