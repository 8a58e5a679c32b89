//! Trouble that passes.

use std::fmt;

/// Why a server cannot store anything at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TemporaryCode {
    /// The disk, or the memory given to the store, is full.
    Full,
    /// Too much to do, or too many connections.
    Busy,
    /// The server is going down.
    Stopping,
    /// A code this version does not know.
    Other(u16),
}

impl TemporaryCode {
    const TABLE: [(TemporaryCode, u16, &'static str, &'static str); 3] = [
        (
            TemporaryCode::Full,
            1,
            "full",
            "the store is full, try again later",
        ),
        (
            TemporaryCode::Busy,
            2,
            "busy",
            "the server has too much to do, try again later",
        ),
        (
            TemporaryCode::Stopping,
            3,
            "stopping",
            "the server is stopping, try again later",
        ),
    ];

    /// The number that stands for it in the native protocol.
    pub fn to_wire(self) -> u16 {
        match self {
            TemporaryCode::Other(number) => number,
            known => Self::TABLE
                .iter()
                .find(|row| row.0 == known)
                .map_or(0, |row| row.1),
        }
    }

    /// The code that a number of the native protocol stands for.
    pub fn from_wire(number: u16) -> Self {
        Self::TABLE
            .iter()
            .find(|row| row.1 == number)
            .map_or(TemporaryCode::Other(number), |row| row.0)
    }

    /// One lower-case word, the same in every dialect.
    pub fn as_str(self) -> &'static str {
        Self::TABLE
            .iter()
            .find(|row| row.0 == self)
            .map_or("not-now", |row| row.2)
    }

    /// The reason in words.
    pub fn reason(self) -> &'static str {
        Self::TABLE
            .iter()
            .find(|row| row.0 == self)
            .map_or("the server does not accept messages now", |row| row.3)
    }

    /// The code that a word stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::TABLE
            .iter()
            .find(|row| row.2 == word)
            .map(|row| row.0)
            .or_else(|| (word == "not-now").then_some(TemporaryCode::Other(0)))
    }
}

impl fmt::Display for TemporaryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}
