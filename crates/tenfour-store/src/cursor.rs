//! Where a reader is: what a store keeps of a cursor.

use std::collections::BTreeMap;

use tenfour_proto::{CursorName, MailboxName, Reply};

/// Most cursors of one store: each may hold messages back from being deleted, and anyone who may read can make one.
pub const MAX_CURSORS: usize = 1_024;

/// A cursor that nobody used for so many hours of the store's own holds no message back any more: 30 days.
pub const CURSOR_HOURS: i64 = 30 * 24;

/// A message above the committed offset that a reader has begun with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AckState {
    /// How many readers have begun with it.
    pub attempts: u32,
    /// Nobody gets it again.
    pub done: bool,
}

/// Where a cursor is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// All messages up to this offset are done.
    pub committed: u64,
    /// What is known of messages above it, by offset.
    pub out_of_order: BTreeMap<u64, AckState>,
}

impl Position {
    /// The cursor moves: what was known of messages that are all done is forgotten.
    pub(crate) fn advance(&mut self, change: &CursorChange) {
        self.committed = change.committed;
        self.out_of_order.extend(change.out_of_order.iter().copied());
        self.out_of_order = self.out_of_order.split_off(&(change.committed + 1));
    }
}

/// A cursor that moves in a commit, or is made there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorChange {
    /// The mailbox that it reads.
    pub mailbox: MailboxName,
    /// Its name.
    pub name: CursorName,
    /// The committed offset of now. What was known of messages up to it is forgotten.
    pub committed: u64,
    /// What has changed above it.
    pub out_of_order: Vec<(u64, AckState)>,
    /// These messages are copied to the dead letters of the cursor, in the same transaction.
    pub bury: Vec<u64>,
    /// These messages are done, and to those of them that asked this is the reply, in the same transaction.
    pub answers: Vec<(u64, Reply)>,
    /// Nobody reads by it here any more: what was [drawn](crate::Store::draw) and is not done is for other servers.
    pub gives_back: bool,
}

/// Messages of a cursor that are for one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Portion {
    /// First and last offsets. No other server gives these out.
    pub ranges: Vec<(u64, u64)>,
    /// What is known of messages in them.
    pub states: Vec<(u64, AckState)>,
    /// The last offset of the mailbox.
    pub end: u64,
}

/// What became of a [`CursorChange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorOutcome {
    /// It is as durable as a receipt says.
    Moved,
    /// Nothing of it is kept: the cursor is new, and there are [`MAX_CURSORS`].
    TooMany,
    /// Nothing of it is kept: there is no room for the dead letters now.
    NotNow,
}

/// A cursor as `status` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorInfo {
    /// The mailbox that it reads.
    pub mailbox: MailboxName,
    /// Its name.
    pub name: CursorName,
    /// All messages up to this offset are done.
    pub committed: u64,
    /// Of those above the committed offset, so many are done.
    pub done: u64,
    /// Nobody has used it for [`CURSOR_HOURS`].
    pub expired: bool,
}
