//! What a client is given for a message.

use tenfour_proto::{Durability, MailboxName};

/// The server has the message, at this place, this safe.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Where it is.
    pub mailbox: MailboxName,
    /// Its place there.
    pub offset: u64,
    /// How safe it is.
    pub durability: Durability,
    /// It had been stored before, and this is the first receipt again.
    pub duplicate: bool,
    /// Its number among the messages of its producer.
    pub sequence: u64,
}
