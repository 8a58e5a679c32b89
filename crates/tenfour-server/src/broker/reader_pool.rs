//! Readers of the store that are open.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tenfour_identity::lock;
use tenfour_store::{ReadError, Reader, Readers};

/// Most that are kept open. One on disk costs a file handle and up to 1 MiB.
pub(super) const READERS: usize = 8;

/// One that nobody used for so long is closed: each keeps a cache.
const IDLE: Duration = Duration::from_secs(5);

/// So long is waited for one that is in use when no other can be opened.
const LONGEST: Duration = Duration::from_secs(10);

/// Opens readers as they are wanted, and keeps one open for ever: when the store's file is moved away, what it holds
/// can still be read and saved by whoever has it open, and by nobody else.
pub(super) struct ReaderPool {
    readers: Readers,
    /// With the time of their last use, the latest last.
    idle: Mutex<Vec<(Instant, Box<dyn Reader>)>>,
    given_back: Condvar,
}

impl ReaderPool {
    /// With `keeps_one`, one is opened now; a store on another machine cannot be moved away.
    pub(super) fn new(readers: Readers, keeps_one: bool) -> Self {
        // If this fails it is tried again by whoever wants to read, who is told why.
        let first = keeps_one.then(|| readers.open().ok()).flatten();
        let first = first.map(|reader| (Instant::now(), reader));
        ReaderPool {
            readers,
            idle: Mutex::new(Vec::from_iter(first)),
            given_back: Condvar::new(),
        }
    }

    /// One to be given back. May wait.
    pub(super) fn take(&self) -> Result<Box<dyn Reader>, ReadError> {
        if let Some((_, reader)) = lock(&self.idle).pop() {
            return Ok(reader);
        }
        match self.readers.open() {
            Err(displaced @ ReadError::Displaced(_)) => {
                let waited = self
                    .given_back
                    .wait_timeout_while(lock(&self.idle), LONGEST, |idle| idle.is_empty());
                let (mut idle, _) = waited.unwrap_or_else(PoisonError::into_inner);
                idle.pop().map(|(_, reader)| reader).ok_or(displaced)
            }
            opened => opened,
        }
    }

    pub(super) fn give_back(&self, reader: Box<dyn Reader>) {
        let mut idle = lock(&self.idle);
        if idle.len() < READERS {
            idle.push((Instant::now(), reader));
            self.given_back.notify_one();
        }
    }

    /// Closes those that nobody has used for long, but for one.
    pub(super) fn close_idle(&self) {
        let mut idle = lock(&self.idle);
        let old = idle.iter().filter(|(used, _)| used.elapsed() >= IDLE).count();
        let closed = old.min(idle.len().saturating_sub(1));
        idle.drain(..closed);
    }
}
