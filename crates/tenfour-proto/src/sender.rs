//! Who sent a message, and which producer numbered it.

use std::fmt;
use std::str::FromStr;

use crate::{Fingerprint, TokenName};

/// Who a message is from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sender {
    /// The holder of a key, as shown in a TLS handshake.
    Key(Fingerprint),
    /// The holder of a token, by the name that the token was given.
    Token(TokenName),
    /// Whoever spoke to a plain listener; nobody proved anything.
    Anonymous,
    /// Whoever sent a datagram with an identity: anybody who knows the producer's id.
    Datagram,
}

impl Sender {
    /// It showed neither key nor token: anybody may be it.
    pub fn is_synthetic(&self) -> bool {
        matches!(self, Sender::Anonymous | Sender::Datagram)
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sender::Key(pin) => fmt::Display::fmt(pin, f),
            Sender::Token(name) => write!(f, "{TOKEN}{name}"),
            Sender::Anonymous => f.write_str("anonymous"),
            Sender::Datagram => f.write_str("datagram"),
        }
    }
}

/// Before the name of a token.
const TOKEN: &str = "token:";

impl FromStr for Sender {
    type Err = crate::ParseFingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "anonymous" => Ok(Sender::Anonymous),
            "datagram" => Ok(Sender::Datagram),
            other => match other.strip_prefix(TOKEN).and_then(|name| name.parse().ok()) {
                Some(name) => Ok(Sender::Token(name)),
                None => other.parse().map(Sender::Key),
            },
        }
    }
}

/// The 128-bit id of a producer: a sender's numbered row of messages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProducerId([u8; 16]);

impl ProducerId {
    /// The producer of everything that is sent under the id `key`: the first 128 bits of
    /// SHA-256(`tenfour id` 0x00 KEY).
    pub fn of_key(key: &str) -> Self {
        let mut hash = hmac_sha256::Hash::new();
        hash.update(b"tenfour id\0");
        hash.update(key.as_bytes());
        let mut id = [0; 16];
        for (to, from) in id.iter_mut().zip(hash.finalize()) {
            *to = from;
        }
        ProducerId(id)
    }

    /// The producer with these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        ProducerId(bytes)
    }

    /// The bytes of the id.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other implementations compute the same: `printf 'tenfour id\0backup-7' | sha256sum`.
    #[test]
    fn the_producer_of_a_key_is_fixed() {
        assert_eq!(
            ProducerId::of_key("backup-7").to_string(),
            "8ed05659347a3e2d35ac205f8d530580"
        );
    }
}
