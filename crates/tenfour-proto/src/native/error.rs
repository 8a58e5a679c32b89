//! Why a connection ends before its time.

use crate::codes::codes;
use std::fmt;

codes! {
    /// The code of an ERROR frame. The number is the interface, the words beside it are not.
    pub enum ErrorCode, otherwise "unknown" "a reason that this version does not know" {
        /// The peer broke the rules of the protocol.
        Protocol = 1 "protocol" "the other end broke the protocol",
        /// No version in common.
        Version = 2 "version" "no version in common",
        /// This key may not connect, or not do what it asked for.
        NotAllowed = 3 "not-allowed" "the key may not do this",
        /// The store cannot give the durability demanded.
        Durability = 4 "durability" "the store cannot give the durability demanded",
        /// A sequence that is not the next one.
        Gap = 5 "gap" "a sequence that is not the next one",
        /// The server lacks messages that the client holds receipts for.
        Regressed = 6 "went-back" "the server lacks messages that it gave receipts for",
        /// Another connection sends as this producer now.
        TakenOver = 7 "taken-over" "another connection sends under this id",
        /// A deadline passed.
        TimedOut = 8 "timed-out" "a deadline passed",
        /// The invitation is unknown, used by another key, or too old.
        Invitation = 9 "invitation" "the invitation is not valid",
        /// The server cannot go on, and nothing without a receipt is stored for certain.
        Internal = 10 "internal" "the server cannot go on",
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
