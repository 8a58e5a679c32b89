//! By which listener a message came, and from where.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// A listener, by its dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Listener {
    /// The recipe's wire over TCP.
    Text,
    /// The recipe's wire over UDP.
    Datagram,
    /// TLS with keys on both sides.
    Native,
    /// The web server.
    Http,
    /// Modbus/TCP.
    Modbus,
}

impl Listener {
    const WORDS: [(Listener, &'static str); 5] = [
        (Listener::Text, "text"),
        (Listener::Datagram, "datagram"),
        (Listener::Native, "native"),
        (Listener::Http, "http"),
        (Listener::Modbus, "modbus"),
    ];

    /// One lower-case word, the same in every place.
    pub fn as_str(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|row| row.0 == self)
            .map_or("", |row| row.1)
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Listener {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::WORDS
            .iter()
            .find(|row| row.1 == text)
            .map(|row| row.0)
            .ok_or_else(|| format!("`{text}` is no listener"))
    }
}

/// Where a message came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The listener.
    pub listener: Listener,
    /// The peer's address, where no key says who it was. Nobody proved it.
    pub address: Option<SocketAddr>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_have_one_word_each() {
        for (listener, word) in Listener::WORDS {
            assert_eq!(word.parse(), Ok(listener));
            assert_eq!(listener.to_string(), word);
        }
        assert!("telnet".parse::<Listener>().is_err());
    }
}
