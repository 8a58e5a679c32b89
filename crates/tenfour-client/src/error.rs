//! What a client is told instead of a receipt.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tenfour_proto::native::{DeliveryState, EndReason, ErrorCode, ErrorFrame};
use tenfour_proto::{
    Address, CursorName, CursorNameError, Durability, Fingerprint, MailboxName, MailboxNameError,
    ParseAddressError, RefusalCode, TemporaryCode, hex,
};

/// No connection. Nothing was stored.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// What was given as an address is none.
    Address(ParseAddressError),
    /// There is no key to show.
    Setup(SetupError),
    /// The name has no address.
    Resolve {
        /// What was looked up.
        address: Address,
        /// What the resolver said.
        reason: String,
    },
    /// No address answered.
    Unreachable(Vec<(SocketAddr, Arc<io::Error>)>),
    /// The time was over first.
    TimedOut(Address),
    /// TLS did not come about.
    Tls {
        /// The server.
        address: Address,
        /// Why.
        reason: String,
    },
    /// The text listener answered where the native one was expected.
    TextListener(Address),
    /// A server whose key we do not know.
    UnknownServer {
        /// The server.
        address: Address,
        /// The key that it showed.
        shown: Fingerprint,
    },
    /// A server with another key than the one we know.
    ChangedServer {
        /// The server.
        address: Address,
        /// The key that it showed.
        shown: Fingerprint,
        /// The key that we know.
        pinned: Fingerprint,
    },
    /// The server does not let our key in, or not do this.
    NotAllowed {
        /// The server.
        address: Address,
        /// In its words.
        reason: String,
        /// Stands in its log too.
        reference: String,
    },
    /// The server does not take the invitation.
    Invitation {
        /// The server.
        address: Address,
        /// In its words.
        reason: String,
    },
    /// The server's store is less durable than demanded.
    Durability {
        /// The server.
        address: Address,
        /// What was demanded.
        demanded: Durability,
    },
    /// The server takes nobody now.
    NotNow {
        /// The server.
        address: Address,
        /// Why.
        reason: TemporaryCode,
    },
    /// Another process sends under the same id.
    TakenOver,
    /// The server lacks messages that it gave receipts for.
    Regressed(Regressed),
    /// The name led to another store than before.
    OtherStore {
        /// The store of the first connection.
        first: [u8; 16],
        /// The store of this one.
        now: [u8; 16],
    },
    /// The two do not understand each other; trying again does not help.
    Incompatible {
        /// The server.
        address: Address,
        /// Why.
        reason: String,
    },
    /// The connection broke before it was of use, or the server broke the rules.
    Broken {
        /// The server.
        address: Address,
        /// What happened.
        reason: String,
    },
}

impl ConnectError {
    /// What the server's last word means. The one place that knows what each of its codes asks of a client: what is not
    /// [temporary](Self::is_temporary) ends whatever was wanted.
    pub(crate) fn of_server(address: &Address, demanded: Durability, error: ErrorFrame) -> Self {
        let address = address.clone();
        let ended = |text: &str| format!("the server ended the connection: {text}");
        match error.code {
            ErrorCode::NotAllowed => ConnectError::NotAllowed {
                address,
                reason: error.text,
                reference: error.reference,
            },
            ErrorCode::Invitation => ConnectError::Invitation {
                address,
                reason: error.text,
            },
            ErrorCode::Durability => ConnectError::Durability { address, demanded },
            ErrorCode::TakenOver => ConnectError::TakenOver,
            // The two do not understand each other, and will not the next time.
            ErrorCode::Version | ErrorCode::Protocol | ErrorCode::Gap | ErrorCode::Regressed => {
                ConnectError::Incompatible {
                    address,
                    reason: ended(&error.text),
                }
            }
            // The store failed, or a deadline passed; a code that is not known here may be either.
            _ => ConnectError::Broken {
                address,
                reason: ended(&error.text),
            },
        }
    }

    /// Trying again may help.
    pub fn is_temporary(&self) -> bool {
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

    /// Something listens there, and may let us in a moment later.
    pub(crate) fn is_of_the_moment(&self) -> bool {
        matches!(
            self,
            ConnectError::NotNow { .. } | ConnectError::Broken { .. } | ConnectError::TimedOut(_)
        )
    }

    /// The one server that it is about, if there is one.
    pub fn address(&self) -> Option<&Address> {
        match self {
            ConnectError::Resolve { address, .. }
            | ConnectError::Tls { address, .. }
            | ConnectError::UnknownServer { address, .. }
            | ConnectError::ChangedServer { address, .. }
            | ConnectError::NotAllowed { address, .. }
            | ConnectError::Invitation { address, .. }
            | ConnectError::Durability { address, .. }
            | ConnectError::NotNow { address, .. }
            | ConnectError::Incompatible { address, .. }
            | ConnectError::Broken { address, .. }
            | ConnectError::TimedOut(address)
            | ConnectError::TextListener(address) => Some(address),
            ConnectError::Address(_)
            | ConnectError::Setup(_)
            | ConnectError::Unreachable(_)
            | ConnectError::TakenOver
            | ConnectError::Regressed(_)
            | ConnectError::OtherStore { .. } => None,
        }
    }

    /// What happened, without the [`address`](Self::address).
    pub fn reason(&self) -> String {
        match self {
            ConnectError::Address(error) => error.to_string(),
            ConnectError::Setup(error) => error.to_string(),
            ConnectError::Resolve { reason, .. } => format!("the name cannot be resolved: {reason}"),
            ConnectError::Unreachable(attempts) => attempts_text(attempts),
            ConnectError::TimedOut(_) => "no answer in time".to_owned(),
            ConnectError::Tls { reason, .. } => format!("no TLS connection: {reason}"),
            ConnectError::TextListener(_) => "that is the text listener".to_owned(),
            ConnectError::UnknownServer { .. } => "the server's key is not known".to_owned(),
            ConnectError::ChangedServer { .. } => "the server's key has changed".to_owned(),
            ConnectError::NotAllowed {
                reason, reference, ..
            } => {
                format!("refused: {reason}{}", reference_text(reference))
            }
            ConnectError::Durability { demanded, .. } => {
                format!("the server's store does not offer the durability `{demanded}`")
            }
            ConnectError::NotNow { reason, .. } => reason.to_string(),
            ConnectError::TakenOver => "another process sends under the same id now".to_owned(),
            ConnectError::Regressed(regressed) => regressed.to_string(),
            ConnectError::OtherStore { .. } => "the name leads to another server now".to_owned(),
            ConnectError::Invitation { reason, .. }
            | ConnectError::Incompatible { reason, .. }
            | ConnectError::Broken { reason, .. } => reason.clone(),
        }
    }
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(address) = self.address() {
            write!(f, "{address}: ")?;
        }
        f.write_str(&self.reason())
    }
}

impl std::error::Error for ConnectError {}

/// A client cannot be set up: there is no home, or its key cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the client cannot be set up: {0}")]
pub struct SetupError(Arc<dyn std::error::Error + Send + Sync>);

impl SetupError {
    pub(crate) fn new(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        SetupError(Arc::new(error))
    }
}

/// A mailbox is not read any further.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReaderError {
    /// What was given as a mailbox is none.
    #[error(transparent)]
    Mailbox(#[from] MailboxNameError),
    /// What was given as a cursor is none.
    #[error(transparent)]
    Cursor(#[from] CursorNameError),
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// This key may not read that mailbox.
    #[error("this key may not read `{0}`")]
    NotAllowed(MailboxName),
    /// The server has ended the read: the key is not allowed in any more, in the server's words.
    #[error("{0}")]
    CutOff(String),
    /// A message on the server does not match its checksum.
    #[error("the message at {mailbox} #{offset} is damaged on the server")]
    Damaged {
        /// Its mailbox.
        mailbox: MailboxName,
        /// Its offset.
        offset: u64,
    },
    /// The server could not read its store.
    #[error("the server cannot read its store")]
    Failed,
    /// The server does not have what was read there before, or the mailbox never reached that offset.
    #[error(
        "the server went back: {mailbox} ends at offset {last}, or has another message where reading was to go on (a restored backup, a new store, or an offset that never was)"
    )]
    Regressed {
        /// Where.
        mailbox: MailboxName,
        /// The offset of its last message; 0 if it is empty.
        last: u64,
    },
    /// The server has as many cursors as it may have.
    #[error("the server has too many cursors to make another one")]
    TooManyCursors,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Lost(String),
}

impl ReaderError {
    /// The name of a mailbox, checked.
    pub(crate) fn mailbox<M>(name: M) -> Result<MailboxName, Self>
    where
        M: TryInto<MailboxName>,
        M::Error: Into<MailboxNameError>,
    {
        name.try_into()
            .map_err(|error| ReaderError::Mailbox(error.into()))
    }

    /// The name of a cursor, checked.
    pub(crate) fn cursor<C>(name: C) -> Result<CursorName, Self>
    where
        C: TryInto<CursorName>,
        C::Error: Into<CursorNameError>,
    {
        name.try_into().map_err(|error| ReaderError::Cursor(error.into()))
    }

    /// The server has ended a read of `mailbox` at `offset`, before its end.
    pub(crate) fn ended(reason: EndReason, mailbox: &MailboxName, offset: u64) -> Self {
        let mailbox = mailbox.clone();
        match reason {
            EndReason::NotAllowed => ReaderError::NotAllowed(mailbox),
            EndReason::Damaged => ReaderError::Damaged { mailbox, offset },
            EndReason::TooManyCursors => ReaderError::TooManyCursors,
            EndReason::Regressed => ReaderError::Regressed {
                mailbox,
                last: offset.saturating_sub(1),
            },
            _ => ReaderError::Failed,
        }
    }
}

/// A server lacks messages that it gave receipts for: a backup was restored, or its disk was wiped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Regressed {
    /// The last message of the producer that the server has.
    pub high_water_mark: u64,
    /// The last one that we have a receipt for.
    pub receipted: u64,
    /// The store that gave the receipts.
    pub first: [u8; 16],
    /// The store that the server has now.
    pub now: [u8; 16],
}

impl std::fmt::Display for Regressed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Regressed {
            high_water_mark,
            receipted,
            ..
        } = self;
        write!(
            f,
            "the server went back: it gave receipts for the messages up to {receipted} of this stream, and lacks those from {} on",
            high_water_mark + 1
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
pub enum MaybeStored {
    /// It is not.
    No,
    /// Nobody knows; repeat it with the same id.
    Perhaps,
}

impl From<DeliveryState> for MaybeStored {
    fn from(fate: DeliveryState) -> Self {
        match fate {
            DeliveryState::NotStored => MaybeStored::No,
            DeliveryState::Unknown => MaybeStored::Perhaps,
        }
    }
}

/// Why a message has no receipt.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// What was given as a mailbox is none. Nothing was sent.
    #[error(transparent)]
    Mailbox(#[from] MailboxNameError),
    /// The client only reads. Nothing was sent.
    #[error("this client only reads")]
    OnlyReads,
    /// The server refused this message for good; others go on.
    #[error("refused: {0}")]
    Refused(RefusalCode),
    /// The whole producer ended.
    #[error("{failure}")]
    Failed {
        /// What is known of this message.
        stored: MaybeStored,
        /// What happened.
        failure: Arc<Failure>,
    },
}

/// Why a producer ended before all of its messages had their answers.
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
    Regressed(Regressed),
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
