//! All that a store holds, in records that say nothing of its engine: what one store exports, one of another kind imports.

use tenfour_proto::{CursorName, Item, MailboxName, ProducerId, Reply, Sender};

use crate::cursor::AckState;
use crate::error::CopyError;
use crate::ledger::PlacedRun;

/// A piece of a store. Rows are named by numbers, as in the store that they come from; what is named came before. Mailboxes
/// and senders come first, then producers, then their runs, then messages.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// The first of all.
    Store {
        /// Of the store, for ever: clients know it by this.
        id: [u8; 16],
        /// When it was made, in microseconds since 1970-01-01 UTC.
        created: i64,
        /// How long it has been open in all, in hours: ages count in these.
        hours: i64,
    },
    /// A mailbox.
    Mailbox {
        /// Its number.
        number: i64,
        /// Its name.
        name: MailboxName,
        /// Whose share it is of.
        maker: Option<Sender>,
        /// Up to here messages were deleted; none of these offsets is given again.
        gone: u64,
        /// Nobody sees it, until somebody sends to it again.
        is_removed: bool,
    },
    /// A sender.
    Sender {
        /// Its number.
        number: i64,
        /// Who it is.
        sender: Sender,
    },
    /// A producer.
    Producer {
        /// Its number.
        number: i64,
        /// The number of its sender.
        sender: i64,
        /// Its name; all zero for messages without one.
        producer: ProducerId,
        /// As a [`Policy`](crate::ledger::Policy) has it.
        kind: i64,
        /// The mark that it had when it was forgotten; any other mark is the end of the last run.
        forgotten: u64,
        /// The store's hours at its last use.
        used: i64,
    },
    /// Where messages of a producer lie; those of one come together, in order.
    Run {
        /// The number of the producer.
        producer: i64,
        /// Where.
        run: PlacedRun,
    },
    /// A message, whose checksum fits; those of a mailbox come together, in order.
    Message {
        /// The number of its mailbox.
        mailbox: i64,
        /// The number of its producer.
        producer: i64,
        /// Of all of it.
        checksum: u32,
        /// The message.
        item: Item,
    },
    /// How far a mailbox was, of those that keep their messages for a time only.
    Age {
        /// The number of the mailbox.
        mailbox: i64,
        /// In this hour of the store,
        hours: i64,
        /// this was its last offset.
        last: u64,
    },
    /// A cursor.
    Cursor {
        /// Its number.
        number: i64,
        /// The mailbox that it reads.
        mailbox: MailboxName,
        /// Its name.
        name: CursorName,
        /// All messages up to here are done.
        committed: u64,
        /// The store's hours at its last use.
        used: i64,
    },
    /// A message above the committed offset of a cursor that readers have begun with.
    Ack {
        /// The number of the cursor.
        cursor: i64,
        /// Which message.
        offset: u64,
        /// How far they are.
        state: AckState,
    },
    /// The reply to a message that asked.
    Reply {
        /// The number of the message's producer.
        producer: i64,
        /// Its sequence there.
        sequence: u64,
        /// The store's hours when it came.
        hours: i64,
        /// Of all of it.
        checksum: u32,
        /// The reply.
        reply: Reply,
    },
}

/// Takes in what another store holds.
pub trait Import {
    /// Takes one record. Nothing of it is there before the end, of which each kind has its own.
    ///
    /// # Errors
    ///
    /// When there is no room, or what takes it fails.
    fn put(&mut self, record: Record) -> Result<(), CopyError>;
}
