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
    const TABLE: [(Listener, u8, &'static str); 5] = [
        (Listener::Text, 0, "text"),
        (Listener::Native, 1, "native"),
        (Listener::Datagram, 2, "datagram"),
        (Listener::Http, 3, "http"),
        (Listener::Modbus, 4, "modbus"),
    ];

    /// The number that stands for it in a store. Never used again for another.
    pub fn number(self) -> u8 {
        Self::TABLE
            .iter()
            .find(|row| row.0 == self)
            .map_or(u8::MAX, |row| row.1)
    }

    /// The listener that a number stands for.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::TABLE.iter().find(|row| row.1 == number).map(|row| row.0)
    }

    /// One lower-case word, the same in every place.
    pub fn as_str(self) -> &'static str {
        Self::TABLE
            .iter()
            .find(|row| row.0 == self)
            .map_or("", |row| row.2)
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
        Self::TABLE
            .iter()
            .find(|row| row.2 == text)
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
    fn listeners_have_one_number_and_one_word_each() {
        for (listener, number, word) in Listener::TABLE {
            assert_eq!(Listener::from_number(number), Some(listener));
            assert_eq!(listener.number(), number);
            assert_eq!(word.parse(), Ok(listener));
        }
        assert_eq!(Listener::from_number(99), None);
    }
}
