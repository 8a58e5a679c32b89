//! How long messages are kept.

use tenfour_proto::MailboxName;

/// What a mailbox keeps. Only the oldest messages are ever deleted, and none that a cursor has not passed, unless
/// `unread` says so. Offsets are not used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retain {
    /// Messages that were stored so many hours ago may go, counted in the store's own running time: a clock that is set
    /// wrong deletes nothing. They go within the two hours after that.
    pub hours: Option<u32>,
    /// The oldest go while their bodies have more than so many bytes together. Senders without a key have half of it: what they
    /// send beyond that pushes out their own messages only, and where the oldest is a key's they have to wait.
    pub bytes: Option<u64>,
    /// Also messages that a cursor has not passed.
    pub unread: bool,
    /// Not worth anybody's time: deleted when the store has nothing else to do, and nothing is said of it. While it is
    /// busy it keeps more.
    pub idle: bool,
}

impl Retain {
    /// Everything is kept.
    pub const FOREVER: Retain = Retain {
        hours: None,
        bytes: None,
        unread: false,
        idle: false,
    };
}

/// The oldest message of a mailbox that is limited to so many bytes does not make room for strangers' unless it is one of
/// theirs. `known` is what keys have in it, `strangers` what the others cost.
pub fn spares_keys(limit: u64, known: u64, strangers: u64) -> bool {
    strangers > limit / 2 && known <= limit / 2
}

/// Says what a mailbox keeps.
pub type Rules = Box<dyn Fn(&MailboxName) -> Retain + Send>;
