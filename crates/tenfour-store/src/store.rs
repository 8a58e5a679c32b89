//! What a store is: the traits that every engine implements.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tenfour_proto::native::ProducerKind;
use tenfour_proto::{
    CursorName, Durability, Item, MailboxName, ProducerId, Reply, Sender, Stored, TemporaryCode,
};

use crate::batch::{Answered, Batch, BatchOutcome, Committed};
use crate::cursor::{CursorChange, CursorInfo, Portion, Position};
use crate::error::{CopyError, ReadError, StoreError};
use crate::transfer::Import;

/// Most mailboxes in one store: a name costs memory in the server, and a sender may make names up.
pub const MAX_MAILBOXES: usize = 10_000;

/// A place for messages. Owned by one thread; readers come from [`Store::reader`].
pub trait Store: Send {
    /// 128 random bits, made with the store. Another id is another store.
    fn id(&self) -> [u8; 16];

    /// What a receipt of this store means.
    fn durability(&self) -> Durability;

    /// Whether its calls may wait, for a disk or for another machine. A store that never waits is called on whatever thread
    /// has something for it; any other one has a thread of its own.
    fn blocks(&self) -> bool {
        true
    }

    /// It is on another machine, and other servers may have it, too: none of its calls is made on the thread of a connection, and
    /// messages of cursors are [drawn](Self::draw).
    fn is_remote(&self) -> bool {
        false
    }

    /// Stores every message that is not refused and moves the cursors, in one transaction with one flush, and
    /// gives one outcome for each batch and cursor. `time` is the wall clock, in microseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    ///
    /// After an error nothing is known of any message of the batches, and the store takes no more:
    /// it is *poisoned*, and must be opened again, which reads the truth from the disk.
    fn commit(
        &mut self,
        batches: &[Batch],
        cursors: &[CursorChange],
        time: i64,
    ) -> Result<Committed, StoreError>;

    /// A [`commit`](Self::commit) of messages alone.
    ///
    /// # Errors
    ///
    /// As for `commit`.
    fn deposit(&mut self, batches: &[Batch], time: i64) -> Result<Vec<BatchOutcome>, StoreError> {
        Ok(self.commit(batches, &[], time)?.outcomes)
    }

    /// The highest sequence of the producer that is settled; 0 for a producer that is not known.
    fn high_water_mark(&mut self, sender: &Sender, producer: ProducerId) -> Result<u64, StoreError>;

    /// Takes a producer for a connection, and ends what was claimed before: from here on nothing is stored under an older claim,
    /// at any server. Behind everything that was deposited under one, wherever. A store of one process needs no claims: there
    /// the connections of the process settle it.
    ///
    /// # Errors
    ///
    /// As for `commit`.
    fn claim(&mut self, sender: &Sender, producer: ProducerId, by: &Claimant) -> Result<Claim, StoreError> {
        let _ = by;
        let high_water_mark = self.high_water_mark(sender, producer)?;
        Ok(Claim::Held {
            epoch: 0,
            high_water_mark,
        })
    }

    /// The same for several producers, none of them twice, in one transaction where there are any.
    ///
    /// # Errors
    ///
    /// As for `commit`.
    fn claim_all(&mut self, claims: &[(Sender, ProducerId, Claimant)]) -> Result<Vec<Claim>, StoreError> {
        let claims = claims.iter();
        claims
            .map(|(sender, producer, by)| self.claim(sender, *producer, by))
            .collect()
    }

    /// The mark that a producer had before it was forgotten; 0 for one that is known, or never was, or if the store cannot
    /// tell.
    fn forgotten_high_water_mark(
        &mut self,
        sender: &Sender,
        producer: ProducerId,
    ) -> Result<u64, StoreError> {
        let _ = (sender, producer);
        Ok(0)
    }

    /// The receipts of what is in the producer above `after`, up to its mark or to the end of the `most`-th run,
    /// as `settled` says. What was refused below the mark is
    /// [`RefusedEarlier`](tenfour_proto::RefusalCode::RefusedEarlier).
    fn replay(
        &mut self,
        sender: &Sender,
        producer: ProducerId,
        after: u64,
        most: usize,
    ) -> Result<Stored, StoreError>;

    /// Nothing will be repeated of these producers of an outbox: their marks are kept no longer than those of one-shot
    /// producers from here on. Producers that are not known, or no outbox's, are passed over.
    /// False if there is no room to write that down now: nothing has changed.
    fn finish(&mut self, sender: &Sender, producers: &[ProducerId]) -> Result<bool, StoreError>;

    /// Removes a mailbox: a piece of its messages up to offset `last` (all that it has now, where none is named), and when none
    /// are left also its cursors. Its offsets are not given again, and what was stored in it still counts as stored. Between
    /// two pieces the store may be used as ever.
    ///
    /// # Errors
    ///
    /// As for `commit`.
    fn remove_mailbox(&mut self, mailbox: &MailboxName, last: Option<u64>) -> Result<Removal, StoreError>;

    /// Removes a cursor, with all that is known of messages that it gave out.
    ///
    /// # Errors
    ///
    /// As for `commit`.
    fn remove_cursor(&mut self, mailbox: &MailboxName, name: &CursorName) -> Result<Removal, StoreError>;

    /// Looks whether it still is the store that was opened. Called about once a second: a file may be removed, replaced or
    /// restored while it is in use.
    ///
    /// # Errors
    ///
    /// [`StoreError::Displaced`], after which it may be in its place again; else as for `commit`.
    fn verify(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Does a piece of the work that can wait, such as deleting what `tenfour bench` left behind. Called
    /// when there is nothing else to do; true when there is more.
    fn tidy(&mut self) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// The same when there is always something else to do: only what would grow without end otherwise.
    fn tidy_under_load(&mut self) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Takes messages of a cursor that no other server gives out, about so many; with `is_first` also those that this server has
    /// taken already. For a store that [is remote](Self::is_remote): in any other one all are this server's.
    ///
    /// # Errors
    ///
    /// As for `commit`.
    fn draw(
        &mut self,
        mailbox: &MailboxName,
        name: &CursorName,
        most: u64,
        is_first: bool,
    ) -> Result<Portion, StoreError> {
        let _ = (mailbox, name, most, is_first);
        Ok(Portion::default())
    }

    /// Hears of what other servers do with the same store; `None` where there are no others. To be asked for once.
    fn news(&mut self) -> Option<Box<dyn News>> {
        None
    }

    /// When this has become true, another machine is waited for no longer: what is under way fails.
    fn end_with(&mut self, stopping: Arc<AtomicBool>) {
        let _ = stopping;
    }

    /// What opens other views of the same messages, for other threads.
    fn readers(&self) -> Readers;

    /// One such view.
    fn reader(&self) -> Result<Box<dyn Reader>, ReadError> {
        self.readers().open()
    }
}

/// Who claims a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimant {
    /// Its process: 16 random bytes.
    pub process: [u8; 16],
    /// Which of its connections this is. Of one process the later one has it, of two processes the later claim.
    pub attempt: u64,
    /// What the producer is, should it be new.
    pub kind: ProducerKind,
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It holds.
    Held {
        /// To be named with each batch.
        epoch: u64,
        /// The highest sequence of the producer that is settled.
        high_water_mark: u64,
    },
    /// The same process has claimed it by a later connection.
    TakenOver,
    /// Try again later.
    NotNow(TemporaryCode),
}

/// What became of the wish that something be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone, on the disk too.
    Done,
    /// A piece is; there is more up to this offset.
    More(u64),
    /// There is none of that name.
    Absent,
    /// Messages came meanwhile: what had been there before is gone.
    Refilled,
    /// There is no room to note it.
    Full,
}

/// Tells what other servers have done with a store. What is missed is told later.
pub trait News: Send {
    /// Waits until there is something, at most so long.
    fn wait(&mut self, longest: Duration) -> Vec<Heard>;
}

/// Something that another server has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A mailbox has messages up to this offset.
    Raised(MailboxName, u64),
    /// A reply was written down.
    Answered(Answered),
    /// A producer was claimed: what is held under an older epoch is not held any more.
    Claimed {
        /// Whose it is.
        sender: Sender,
        /// The producer.
        producer: ProducerId,
        /// Of the claim.
        epoch: u64,
    },
}

/// Opens readers of a store, on any thread. Cheap to clone.
#[derive(Clone)]
pub struct Readers(Arc<Open>);

type Open = dyn Fn() -> Result<Box<dyn Reader>, ReadError> + Send + Sync;

impl Readers {
    /// Readers that are opened in this way.
    pub fn new(open: impl Fn() -> Result<Box<dyn Reader>, ReadError> + Send + Sync + 'static) -> Self {
        Readers(Arc::new(open))
    }

    /// One more. May wait for a disk if the store does.
    pub fn open(&self) -> Result<Box<dyn Reader>, ReadError> {
        (self.0)()
    }
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Readers")
    }
}

/// A mailbox as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxInfo {
    /// Its name.
    pub name: MailboxName,
    /// The offset of the oldest message kept; one past the last if there is none.
    pub first: u64,
    /// The highest offset given.
    pub last: u64,
}

impl MailboxInfo {
    /// Messages that are kept.
    pub fn kept(&self) -> u64 {
        (self.last + 1).saturating_sub(self.first)
    }
}

/// A server that writes to a store which many share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// As it calls itself.
    pub name: String,
    /// Its name and version.
    pub software: String,
    /// What its receipts say, and on whose word.
    pub promise: String,
    /// When it began, in microseconds since 1970-01-01 UTC.
    pub since: i64,
    /// For so many seconds nobody has heard of it.
    pub silent: u64,
    /// It is this one.
    pub is_own: bool,
}

/// Reads committed messages. Sees none before it is as durable as its receipt says.
pub trait Reader: Send {
    /// The messages of `mailbox` from offset `from` on, in order: at most `items`, and no more once
    /// their bodies have `bytes` bytes together (so at least one, if there is one).
    fn read(
        &mut self,
        mailbox: &MailboxName,
        from: u64,
        items: usize,
        bytes: u64,
    ) -> Result<Vec<Item>, ReadError>;

    /// The highest offset given in `mailbox`; 0 for a mailbox that is not there.
    fn last_offset(&mut self, mailbox: &MailboxName) -> Result<u64, ReadError>;

    /// The first offset whose message was stored at `time` (microseconds since 1970-01-01 UTC) or
    /// later; one past the last if there is none. Where the server's clock once stepped back, near it.
    fn first_since(&mut self, mailbox: &MailboxName, time: i64) -> Result<u64, ReadError>;

    /// All cursors, by mailbox and name.
    fn cursors(&mut self) -> Result<Vec<CursorInfo>, ReadError>;

    /// Those of one mailbox.
    fn cursors_of(&mut self, mailbox: &MailboxName) -> Result<Vec<CursorInfo>, ReadError>;

    /// A copy of the whole store as it is at one moment, in a file without a name: it is gone when it is closed. Takes
    /// its time, and holds nobody up. Fails soon after `wanted` has become false.
    fn copy(&mut self, wanted: &Arc<AtomicBool>) -> Result<std::fs::File, CopyError> {
        let _ = wanted;
        Err(CopyError::NoFile)
    }

    /// Gives the whole store as it is at one moment to one of another kind, which has it when all has come. Fails soon after
    /// `wanted` has become false.
    fn export(&mut self, into: &mut dyn Import, wanted: &AtomicBool) -> Result<(), CopyError> {
        let _ = (into, wanted);
        Err(CopyError::NoFile)
    }

    /// Where a cursor is; `None` if there is none of that name.
    fn position(&mut self, mailbox: &MailboxName, name: &CursorName) -> Result<Option<Position>, ReadError>;

    /// The reply to a message that asked, if there is one and it is not older than [`REPLY_HOURS`](crate::REPLY_HOURS).
    fn reply(
        &mut self,
        sender: &Sender,
        producer: ProducerId,
        sequence: u64,
    ) -> Result<Option<Reply>, ReadError>;

    /// Bytes of bodies that each mailbox keeps.
    fn sizes(&mut self) -> Result<Vec<(MailboxName, u64)>, ReadError>;

    /// The servers that write to the store; none where there can be one only.
    fn servers(&mut self) -> Result<Vec<ServerInfo>, ReadError> {
        Ok(Vec::new())
    }

    /// All mailboxes, by name.
    fn mailboxes(&mut self) -> Result<Vec<MailboxInfo>, ReadError>;

    /// One of them; `None` if there is none of that name.
    fn mailbox(&mut self, name: &MailboxName) -> Result<Option<MailboxInfo>, ReadError>;
}
