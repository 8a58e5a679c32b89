//! Memory for what one read is about to give to its reader.

use crate::context::Context;
use crate::reading::response_budget::{Outgoing, Piece};

/// What is read lies here a second time as frames, until the system has taken it.
const COPIES: u64 = 2;

/// Taken before the store is asked, given back when everything is written. A reader that takes nothing holds what it asked
/// for, until it is cut; all readers together hold no more than their budget.
pub(super) struct ReadMemory {
    outgoing: Outgoing,
    /// For one read of the store: what it gives at once, and one message more, which is as long as one may be.
    most: u64,
    piece: Option<Piece>,
    /// There was none at the last look.
    wanted: bool,
}

impl ReadMemory {
    pub(super) fn new(context: &Context, bytes: u64) -> Self {
        ReadMemory {
            outgoing: context.outgoing.clone(),
            most: (bytes + u64::from(context.config.limits.max_message)) * COPIES,
            piece: None,
            wanted: false,
        }
    }

    /// Takes it, if there is some now. False: wait for [`made`](Self::made).
    pub(super) fn take(&mut self) -> bool {
        if self.piece.is_none() {
            self.piece = self.outgoing.try_room_for(self.most);
        }
        self.wanted = self.piece.is_none();
        !self.wanted
    }

    /// So many bytes were read: the rest is for others.
    pub(super) fn shrink_to(&mut self, bytes: u64) {
        match &mut self.piece {
            Some(piece) if bytes > 0 => piece.shrink_to(bytes * COPIES),
            _ => self.piece = None,
        }
    }

    pub(super) fn release(&mut self) {
        self.piece = None;
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Waits until there is some, and keeps it.
    pub(super) async fn made(&mut self) {
        while self.piece.is_none() {
            self.piece = self.outgoing.room_for(self.most).await;
        }
    }
}
