//! Memory for what readers have asked for and not taken yet.
//!
//! A reader that does not read costs what it was about to be given. All of them together cost no more than this: who
//! comes later waits until somebody has taken his, or was cut.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One permit.
const UNIT: u64 = 1024;

/// Nobody waits longer: a reader that takes nothing is cut after ten seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    room: Arc<Semaphore>,
    all: u32,
}

/// Room for a piece of an answer, until it is dropped.
#[derive(Debug)]
pub(crate) struct Piece(OwnedSemaphorePermit);

impl Outgoing {
    pub(crate) fn new(bytes: u64) -> Self {
        let all = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).max(1);
        Outgoing {
            room: Arc::new(Semaphore::new(all as usize)),
            all,
        }
    }

    /// The same without waiting.
    pub(crate) fn try_room_for(&self, most: u64) -> Option<Piece> {
        let wanted = units(most).min(self.all);
        let room = Arc::clone(&self.room).try_acquire_many_owned(wanted);
        room.ok().map(Piece)
    }

    /// Waits for room for a piece that has at most so many bytes. `None`: there is none for too long.
    pub(crate) async fn room_for(&self, most: u64) -> Option<Piece> {
        // What is larger than everything has everything.
        let wanted = units(most).min(self.all);
        let room = Arc::clone(&self.room).acquire_many_owned(wanted);
        let piece = tokio::time::timeout(PATIENCE, room).await.ok()?.ok()?;
        Some(Piece(piece))
    }
}

impl Piece {
    /// It has no more than so many bytes: others may have the rest.
    pub(crate) fn shrink_to(&mut self, bytes: u64) {
        let needed = units(bytes) as usize;
        let spare = self.0.num_permits().saturating_sub(needed);
        drop(self.0.split(spare));
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_comes_later_waits_and_not_for_ever() {
        let outgoing = Outgoing::new(10 * 1024);
        let mut first = outgoing.room_for(1 << 40).await.unwrap();
        assert!(outgoing.room_for(1).await.is_none(), "all of it is taken");
        first.shrink_to(9 * 1024);
        let second = outgoing.room_for(1024).await.unwrap();
        let third = tokio::spawn({
            let outgoing = outgoing.clone();
            async move { outgoing.room_for(5 * 1024).await.is_some() }
        });
        tokio::task::yield_now().await;
        drop((first, second));
        assert!(third.await.unwrap());
    }
}
