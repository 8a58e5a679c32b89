//! Taking a mutex whose data no panic can leave half-changed.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// No lock of ours is held over anything that can fail half-way, so a panic elsewhere leaves the data whole.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
