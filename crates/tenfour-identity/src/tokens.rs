//! Tokens: what stands for a key where none can be shown. Only their hashes are kept, with names and rights, in the
//! manner of `authorized_keys`: `[OPTIONS] SHA256:HASH NAME`, one a line.

use std::fmt;
use std::io;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tenfour_proto::{Fingerprint, TokenName};

use super::{AuthorizedKey, AuthorizedKeys, KeyList, Rights};

/// So that people, and programs that look for secrets, see what it is.
const PREFIX: &str = "tenfour_";

/// A secret of 256 bits that whoever holds it shows to the HTTP listener.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new one.
    ///
    /// # Errors
    ///
    /// When the system has no randomness to give.
    pub fn generate() -> io::Result<Self> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Token(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret))))
    }

    /// The secret itself: for its holder only.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// What is written down of it.
    pub fn hash(&self) -> Fingerprint {
        hash(&self.0)
    }

    /// Makes a token and writes down its hash. `None`: there is one of that name.
    ///
    /// # Errors
    ///
    /// When the list cannot be read or written.
    pub fn create(list: &KeyList, name: &TokenName, rights: Rights) -> io::Result<Option<Self>> {
        let token = Token::generate()?;
        let line = AuthorizedKey {
            fingerprint: token.hash(),
            rights,
            comment: name.to_string(),
        };
        let is_new = AuthorizedKeys::add(list, &line, |known| known.comment != name.as_str())?;
        Ok(is_new.then_some(token))
    }

    /// Forgets a token by its name; false if there is none.
    ///
    /// # Errors
    ///
    /// When the list cannot be read or written.
    pub fn remove(list: &KeyList, name: &TokenName) -> io::Result<bool> {
        AuthorizedKeys::remove_where(list, |line| line.comment == name.as_str())
    }
}

/// What is kept of a token.
pub fn hash(secret: &str) -> Fingerprint {
    Fingerprint::from_bytes(hmac_sha256::Hash::hash(secret.as_bytes()))
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secret stays out of logs.
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_given_once_and_the_secret_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let list = KeyList::from(path.as_path());
        let name: TokenName = "backup".parse().unwrap();
        let rights: Rights = "send=inbox,read=inbox".parse().unwrap();
        let token = Token::create(&list, &name, rights.clone()).unwrap().unwrap();
        assert_eq!(Token::create(&list, &name, Rights::everything()).unwrap(), None);
        let kept = std::fs::read_to_string(&path).unwrap();
        assert!(!kept.contains(&token.secret()[PREFIX.len()..]), "{kept}");
        let line = AuthorizedKeys::load(&list)
            .unwrap()
            .find(hash(token.secret()))
            .cloned()
            .unwrap();
        assert_eq!((line.rights, line.comment.as_str()), (rights, "backup"));
        assert!(Token::remove(&list, &name).unwrap());
        assert!(!Token::remove(&list, &name).unwrap());
        assert!(Token::create(&list, &name, Rights::default()).unwrap().is_some());
    }
}
