//! The name of a token: who sends where no key can be shown.

use std::fmt;
use std::str::FromStr;

use crate::MailboxName;

/// Longest name of a token, in bytes.
const MAX_NAME: usize = 64;

/// What a token is called: one segment of a mailbox's name, `[a-z0-9][a-z0-9._-]*`, at most 64 bytes.
///
/// Messages carry the name, never the token. A token that is made anew under the old name is the same sender.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenName(MailboxName);

impl TokenName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for TokenName {
    type Err = TokenNameError;

    fn from_str(name: &str) -> Result<Self, TokenNameError> {
        if name.len() > MAX_NAME || name.contains('/') {
            return Err(TokenNameError);
        }
        name.parse().map(TokenName).map_err(|_| TokenNameError)
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A text that is not the name of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a token's name has 1 to {MAX_NAME} of a-z, 0-9, `.`, `_` and `-`, and starts with a letter or digit"
)]
pub struct TokenNameError;

#[cfg(test)]
mod tests {
    use crate::{Fingerprint, Sender};

    #[test]
    fn senders_are_written_and_read_again() {
        for sender in [
            Sender::Anonymous,
            Sender::Datagram,
            Sender::Key(Fingerprint::of_public_key(b"k")),
            Sender::Token("backup-script".parse().unwrap()),
        ] {
            assert_eq!(sender.to_string().parse(), Ok(sender));
        }
        for bad in [
            "token:",
            "token:A",
            "token:a/b",
            &format!("token:{}", "a".repeat(65)),
        ] {
            assert!(bad.parse::<Sender>().is_err(), "{bad}");
        }
    }
}
