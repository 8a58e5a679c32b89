//! How keys, offsets and sources stand in their columns.

/// The low bits of a message's key are its offset, the high bits the number of its mailbox.
pub(super) const OFFSET_BITS: u32 = 48;

/// The key of a message: one integer that orders by mailbox, then offset, so that an append touches no
/// second index.
pub(super) fn message_key(mailbox: i64, offset: u64) -> i64 {
    mailbox << OFFSET_BITS | (offset as i64 & OFFSET_MASK)
}

/// The highest offset of a row of `mailbox`, in SQL. A commit does not write it down: it is the offset of the
/// last message, and only who deletes messages has to remember it.
pub(super) const LAST_OFFSET: &str = "max(gone, ifnull((SELECT max(message.id) & 0xffffffffffff FROM message
    WHERE message.id BETWEEN mailbox.id << 48 AND mailbox.id << 48 | 0xffffffffffff), 0))";

/// The offset of the oldest message of a row of `mailbox`, in SQL; null if there is none.
pub(super) const FIRST_OFFSET: &str = "(SELECT min(message.id) & 0xffffffffffff FROM message
    WHERE message.id BETWEEN mailbox.id << 48 AND mailbox.id << 48 | 0xffffffffffff)";

/// The sender of the oldest message of a row of `mailbox`, in SQL; null if there is none.
pub(super) const MAKER: &str = "(SELECT sender.name FROM message
    JOIN stream ON stream.id = message.stream JOIN sender ON sender.id = stream.sender
    WHERE message.id BETWEEN mailbox.id << 48 AND mailbox.id << 48 | 0xffffffffffff ORDER BY message.id LIMIT 1)";

/// Of a key, the offset.
pub(super) const OFFSET_MASK: i64 = (1 << OFFSET_BITS) - 1;
