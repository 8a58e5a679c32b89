//! Why a connection ends before its time.

use std::fmt;

/// The code of an ERROR frame. The number is the interface, the words beside it are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The peer broke the rules of the protocol.
    Protocol,
    /// No version in common.
    Version,
    /// This key may not connect, or not do what it asked for.
    NotAllowed,
    /// The store cannot give the durability demanded.
    Durability,
    /// A sequence that is not the next one.
    Gap,
    /// The server lacks messages that the client holds receipts for.
    Regressed,
    /// Another connection sends as this producer now.
    TakenOver,
    /// A deadline passed.
    TimedOut,
    /// The invitation is unknown, used by another key, or too old.
    Invitation,
    /// The server cannot go on, and nothing without a receipt is stored for certain.
    Internal,
    /// A number this version does not know.
    Other(u16),
}

impl ErrorCode {
    const TABLE: [(ErrorCode, u16, &'static str); 10] = [
        (ErrorCode::Protocol, 1, "protocol"),
        (ErrorCode::Version, 2, "version"),
        (ErrorCode::NotAllowed, 3, "not-allowed"),
        (ErrorCode::Durability, 4, "durability"),
        (ErrorCode::Gap, 5, "gap"),
        (ErrorCode::Regressed, 6, "went-back"),
        (ErrorCode::TakenOver, 7, "taken-over"),
        (ErrorCode::TimedOut, 8, "timed-out"),
        (ErrorCode::Invitation, 9, "invitation"),
        (ErrorCode::Internal, 10, "internal"),
    ];

    /// The number that stands for it on the wire.
    pub fn to_wire(self) -> u16 {
        match self {
            ErrorCode::Other(number) => number,
            known => Self::TABLE
                .iter()
                .find(|row| row.0 == known)
                .map_or(0, |row| row.1),
        }
    }

    /// The code that a number of the wire stands for.
    pub fn from_wire(number: u16) -> Self {
        Self::TABLE
            .iter()
            .find(|row| row.1 == number)
            .map_or(ErrorCode::Other(number), |row| row.0)
    }

    /// One lower-case word.
    pub fn as_str(self) -> &'static str {
        Self::TABLE
            .iter()
            .find(|row| row.0 == self)
            .map_or("unknown", |row| row.2)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The peer did something it must not do. The machine that reports this has ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the other end broke the protocol: {text}")]
pub struct Fault {
    /// What is told to the peer.
    pub code: ErrorCode,
    /// What it did.
    pub text: &'static str,
}

impl Fault {
    pub(crate) fn protocol(text: &'static str) -> Self {
        Fault {
            code: ErrorCode::Protocol,
            text,
        }
    }
}
