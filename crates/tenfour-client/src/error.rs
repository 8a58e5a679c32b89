//! What a client is told instead of a receipt.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tenfour_proto::native::Fate;
use tenfour_proto::{Durability, Fingerprint, RefusalCode, TemporaryCode, hex};

use tenfour_proto::Address;

/// No connection. Nothing was stored.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The name has no address.
    #[error("{address}: the name cannot be resolved: {reason}")]
    Resolve {
        /// What was looked up.
        address: Address,
        /// What the resolver said.
        reason: String,
    },
    /// No address answered.
    #[error("{}", attempts_text(.0))]
    Unreachable(Vec<(SocketAddr, Arc<io::Error>)>),
    /// The time was over first.
    #[error("{0}: no answer in time")]
    TimedOut(Address),
    /// TLS did not come about.
    #[error("{address}: no TLS connection: {reason}")]
    Tls {
        /// The server.
        address: Address,
        /// Why.
        reason: String,
    },
    /// The text listener answered where the native one was expected.
    #[error("{0}: that is the text listener")]
    TextListener(Address),
    /// A server whose key we do not know.
    #[error("{address}: the server's key is not known")]
    UnknownServer {
        /// The server.
        address: Address,
        /// The key that it showed.
        shown: Fingerprint,
    },
    /// A server with another key than the one we know.
    #[error("{address}: the server's key has changed")]
    ChangedServer {
        /// The server.
        address: Address,
        /// The key that it showed.
        shown: Fingerprint,
        /// The key that we know.
        pinned: Fingerprint,
    },
    /// The server does not let our key in, or not do this.
    #[error("{address}: refused: {reason}{}", reference_text(.reference))]
    NotAllowed {
        /// The server.
        address: Address,
        /// In its words.
        reason: String,
        /// Stands in its log too.
        reference: String,
    },
    /// The server does not take the invitation.
    #[error("{address}: {reason}")]
    Invitation {
        /// The server.
        address: Address,
        /// In its words.
        reason: String,
    },
    /// The server's store is less durable than demanded.
    #[error("{address}: the server's store does not offer the durability `{demanded}`")]
    Durability {
        /// The server.
        address: Address,
        /// What was demanded.
        demanded: Durability,
    },
    /// The server takes nobody now.
    #[error("{address}: {reason}")]
    NotNow {
        /// The server.
        address: Address,
        /// Why.
        reason: TemporaryCode,
    },
    /// Another process sends under the same id.
    #[error("another process sends under the same id now")]
    TakenOver,
    /// The server lacks messages that it gave receipts for.
    #[error("{0}")]
    WentBack(WentBack),
    /// The name led to another store than before.
    #[error("the name leads to another server now")]
    OtherStore {
        /// The store of the first connection.
        first: [u8; 16],
        /// The store of this one.
        now: [u8; 16],
    },
    /// The two do not understand each other; trying again does not help.
    #[error("{address}: {reason}")]
    Incompatible {
        /// The server.
        address: Address,
        /// Why.
        reason: String,
    },
    /// The connection broke before it was of use, or the server broke the rules.
    #[error("{address}: {reason}")]
    Broken {
        /// The server.
        address: Address,
        /// What happened.
        reason: String,
    },
}

impl ConnectError {
    /// Trying again may help.
    pub(crate) fn is_temporary(&self) -> bool {
        matches!(
            self,
            ConnectError::Resolve { .. }
                | ConnectError::Unreachable(_)
                | ConnectError::TimedOut(_)
                | ConnectError::Tls { .. }
                | ConnectError::NotNow { .. }
                | ConnectError::Broken { .. }
        )
    }
}

/// A server lacks messages that it gave receipts for: a backup was restored, or its disk was wiped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WentBack {
    /// The last message of the stream that the server has.
    pub mark: u64,
    /// The last one that we have a receipt for.
    pub receipted: u64,
    /// The store that gave the receipts.
    pub first: [u8; 16],
    /// The store that the server has now.
    pub now: [u8; 16],
}

impl std::fmt::Display for WentBack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let WentBack { mark, receipted, .. } = self;
        write!(
            f,
            "the server went back: it gave receipts for the messages up to {receipted} of this stream, and lacks those from {} on",
            mark + 1
        )?;
        if self.first != self.now {
            write!(
                f,
                "; its store is another one, {} where the receipts came from {}",
                hex(&self.now),
                hex(&self.first)
            )?;
        }
        Ok(())
    }
}

fn attempts_text(attempts: &[(SocketAddr, Arc<io::Error>)]) -> String {
    let attempts: Vec<String> = attempts
        .iter()
        .map(|(address, error)| format!("{address}: {}", io_reason(error)))
        .collect();
    if attempts.is_empty() {
        return "there is no address to try".to_owned();
    }
    attempts.join("; ")
}

/// An I/O error in lower case and without its number.
pub(crate) fn io_reason(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        // rustls has a page about it.
        return "the other end is gone".to_owned();
    }
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_lowercase().collect::<String>() + letters.as_str()
    })
}

fn reference_text(reference: &str) -> String {
    if reference.is_empty() {
        String::new()
    } else {
        format!(" (reference {reference})")
    }
}

/// Whether a message without a receipt may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is not.
    No,
    /// Nobody knows; repeat it with the same id.
    Perhaps,
}

impl From<Fate> for Stored {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::NotStored => Stored::No,
            Fate::Unknown => Stored::Perhaps,
        }
    }
}

/// Why a message has no receipt.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The server refused this message for good; others go on.
    #[error("refused: {0}")]
    Refused(RefusalCode),
    /// The whole stream ended.
    #[error("{failure}")]
    Failed {
        /// What is known of this message.
        stored: Stored,
        /// What happened.
        failure: Arc<Failure>,
    },
}

/// Why a stream ended before all of its messages had their answers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The time of the oldest message without an answer is over.
    #[error("no receipt in time{}", last_error.as_ref().map(|e| format!(": {e}")).unwrap_or_default())]
    Deadline {
        /// What stood in the way at the end.
        last_error: Option<String>,
        /// The server asked for a pause, and the pause lasted.
        paused: Option<TemporaryCode>,
    },
    /// Connecting again failed for a reason that does not pass.
    #[error("{0}")]
    Connect(ConnectError),
    /// The server lacks messages that it gave receipts for.
    #[error("{0}")]
    WentBack(WentBack),
    /// Another process sends under the same id.
    #[error("another process sends under the same id now")]
    TakenOver,
    /// The name led to another store than before. Nothing was sent there.
    #[error(
        "the name leads to another server now: its store is {}, the first one was {}",
        hex(now),
        hex(first)
    )]
    OtherStore {
        /// The store of the first connection.
        first: [u8; 16],
        /// The store of the last one.
        now: [u8; 16],
    },
    /// One side broke the protocol.
    #[error("{0}")]
    Protocol(String),
    /// The client was closed.
    #[error("the client was closed")]
    Closed,
}
