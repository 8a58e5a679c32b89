//! How many producers a sender may have, how long they are remembered, and what may follow what.

use tenfour_proto::Sender;
use tenfour_proto::native::ProducerKind;

/// Most one-shot producers of one sender; beyond, new ones have to wait.
pub const MAX_ONE_SHOT_PRODUCERS: u64 = 1_000_000;

/// Most outbox producers of one sender; beyond, new ones have to wait.
pub const MAX_OUTBOX_PRODUCERS: u64 = 1_024;

/// Most producers of datagrams, of all their senders together: nobody shows a key there, so anybody can make them up.
pub const MAX_DATAGRAM_PRODUCERS: u64 = 65_536;

/// A one-shot producer that was not used for so long is forgotten, in hours for which the store was open: 30 days.
/// Wall clocks step; a store that is off learns of no repeats either.
pub const ONE_SHOT_HOURS: i64 = 30 * 24;

/// The same for producers of datagrams.
pub const DATAGRAM_HOURS: i64 = 24;

/// A reply is kept for so many of these hours, of which the first may have been under way: at least one hour.
pub const REPLY_HOURS: i64 = 2;

/// The rules for one kind of producer.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Stands for it in the store.
    pub kind: i64,
    /// Most of them, of one sender.
    pub most: u64,
    /// Only the sequence behind the mark is stored. What comes out of turn is neither stored nor refused: it may
    /// have overtaken others on its way, and will come again.
    pub in_turn: bool,
}

impl Policy {
    /// Used by one process, once.
    pub const ONE_SHOT: i64 = 0;
    /// Of an outbox.
    pub const OUTBOX: i64 = 1;
    /// Its mark is forgotten; only its messages are left.
    pub const FORGOTTEN: i64 = 2;
    /// Of datagrams.
    pub const DATAGRAM: i64 = 3;

    /// Those that hold for a producer.
    pub fn of(sender: &Sender, kind: ProducerKind) -> Self {
        let (kind, most) = match (sender, kind) {
            (Sender::Datagram, _) => (Self::DATAGRAM, MAX_DATAGRAM_PRODUCERS),
            (_, ProducerKind::OneShot) => (Self::ONE_SHOT, MAX_ONE_SHOT_PRODUCERS),
            (_, ProducerKind::Outbox) => (Self::OUTBOX, MAX_OUTBOX_PRODUCERS),
        };
        Policy {
            kind,
            most,
            in_turn: kind == Self::DATAGRAM,
        }
    }

    /// The hour before which a producer of this kind was used for the last time, if it is to be forgotten now.
    pub fn forgotten_before(kind: i64, now: i64) -> Option<i64> {
        match kind {
            Self::ONE_SHOT => Some(now - ONE_SHOT_HOURS),
            Self::DATAGRAM => Some(now - DATAGRAM_HOURS),
            _ => None,
        }
    }
}
