//! Moving the write-ahead log into the database, off the way of the commits.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::connection::{configure, connect};
use super::options::SqliteOptions;
use crate::OpenError;
use crate::room::is_full;

/// Length of the log, in pages of 8 KiB, at which the background thread begins. At 1,000 it costs the
/// commits little and keeps the log at about 8 MiB.
pub(super) const SOFT_LIMIT: u64 = 1_000;

/// Pages that the writer itself moves to finish the job: under load the background thread alone never does, because the log
/// grows while it works. So few take a few milliseconds, for which everybody waits.
const REMAINDER: u64 = 128;

/// Length from which the writer pauses after each commit while the background thread works, so that the thread catches up. Doing
/// it itself would be one long stall: it took 50 ms of all senders, twice a second, while one of them uploaded.
const LONG: u64 = 3_000;

/// The pause at that length; it grows with the log, up to the hard limit.
const PAUSE: Duration = Duration::from_millis(2);

/// Length at which the writer does all of it, however long it takes.
const HARD_LIMIT: u64 = 12_000;

/// The background thread and what it shares with the writer.
pub(super) struct Checkpointer {
    path: PathBuf,
    /// Pages in the log, as told by SQLite after each commit.
    pages: Arc<AtomicU64>,
    /// All but a remainder is moved.
    is_nearly_done: Arc<AtomicBool>,
    /// The thread is at work, and gets on.
    is_moving: Arc<AtomicBool>,
    failed: Arc<AtomicBool>,
    /// Nothing is moved: there is no room. Held by the thread while it moves.
    is_paused: Arc<Mutex<bool>>,
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    next: u64,
}

impl Checkpointer {
    /// Starts the thread, and lets `writer` tell the log's length.
    pub(super) fn start(
        path: &Path,
        options: SqliteOptions,
        writer: &mut Connection,
    ) -> Result<Self, OpenError> {
        let sqlite = |source| OpenError::sqlite(path, source);
        let pages = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&pages);
        writer
            .wal_hook(Some(
                move |_: &mut rusqlite::hooks::Wal, length: std::ffi::c_int| {
                    told.store(u64::try_from(length).unwrap_or(0), Ordering::Relaxed);
                    Ok(())
                },
            ))
            .map_err(sqlite)?;
        let connection = connect(path).map_err(sqlite)?;
        configure(&connection, options).map_err(sqlite)?;
        let failed = Arc::new(AtomicBool::new(false));
        let (wake, woken) = sync_channel(1);
        let is_nearly_done = Arc::new(AtomicBool::new(false));
        let is_moving = Arc::new(AtomicBool::new(false));
        let is_paused = Arc::new(Mutex::new(false));
        let background = Background {
            path: path.to_owned(),
            connection,
            pages: Arc::clone(&pages),
            is_nearly_done: Arc::clone(&is_nearly_done),
            is_moving: Arc::clone(&is_moving),
            failed: Arc::clone(&failed),
            is_paused: Arc::clone(&is_paused),
        };
        let thread = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn(move || background.run(&woken))
            .map_err(|source| OpenError::Io {
                path: path.to_owned(),
                source,
            })?;
        Ok(Checkpointer {
            path: path.to_owned(),
            pages,
            is_nearly_done,
            is_moving,
            failed,
            is_paused,
            wake: Some(wake),
            thread: Some(thread),
            next: SOFT_LIMIT,
        })
    }

    /// Called by the writer after each commit.
    pub(super) fn after_commit(&mut self, writer: &Connection) -> rusqlite::Result<()> {
        let pages = self.pages.load(Ordering::Relaxed);
        let is_nearly_done = self.is_nearly_done.swap(false, Ordering::Relaxed);
        if pages < SOFT_LIMIT {
            self.next = SOFT_LIMIT;
        } else if pages >= HARD_LIMIT || is_nearly_done {
            self.next = SOFT_LIMIT;
            checkpoint(writer, &self.path)?;
        } else if pages >= self.next {
            self.next = pages + SOFT_LIMIT;
            // A full channel means that it is awake already.
            let _ = self.wake.as_ref().map(|wake| wake.try_send(()));
        }
        if pages >= LONG && self.is_moving.load(Ordering::Relaxed) {
            std::thread::sleep(PAUSE * (pages.min(HARD_LIMIT) / LONG) as u32);
        }
        Ok(())
    }

    /// Moves nothing from here on, or goes on. What is moved takes room, and where there is none the last of it is for readers:
    /// it must not be taken behind their backs. Waits for what is under way.
    pub(super) fn pause(&self, is_paused: bool) {
        *self.is_paused.lock().unwrap_or_else(PoisonError::into_inner) = is_paused;
    }

    /// A flush in the background failed: what the database file holds is not known any more.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread has.
struct Background {
    path: PathBuf,
    connection: Connection,
    pages: Arc<AtomicU64>,
    is_nearly_done: Arc<AtomicBool>,
    is_moving: Arc<AtomicBool>,
    failed: Arc<AtomicBool>,
    is_paused: Arc<Mutex<bool>>,
}

impl Background {
    fn run(&self, woken: &Receiver<()>) {
        while woken.recv().is_ok() {
            if let Err(error) = self.move_log() {
                tracing::error!(%error, "a checkpoint failed");
                self.failed.store(true, Ordering::Relaxed);
            }
            self.is_moving.store(false, Ordering::Relaxed);
        }
    }

    /// Goes after a log that grows, until no more than a remainder is left or a reader holds the rest back.
    fn move_log(&self) -> rusqlite::Result<()> {
        let mut before = 0;
        loop {
            let is_paused = self.is_paused.lock().unwrap_or_else(PoisonError::into_inner);
            if *is_paused {
                return Ok(());
            }
            let Some(moved) = checkpoint(&self.connection, &self.path)? else {
                return Ok(());
            };
            let left = self.pages.load(Ordering::Relaxed).saturating_sub(moved);
            if left <= REMAINDER {
                self.is_nearly_done.store(true, Ordering::Relaxed);
                return Ok(());
            }
            if moved <= before {
                return Ok(());
            }
            before = moved;
            self.is_moving.store(true, Ordering::Relaxed);
        }
    }
}

/// Moves what no reader holds back, and says how many pages of the log are moved now; `None`: it could not be done. A full
/// disk is not a failure, nor a quota that SQLite has no word for: the log keeps everything until there is room.
fn checkpoint(connection: &Connection, path: &Path) -> rusqlite::Result<Option<u64>> {
    // Columns of https://www.sqlite.org/pragma.html#pragma_wal_checkpoint
    let moved = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |row| {
        Ok((row.get::<_, bool>(0)?, row.get::<_, i64>(2)?))
    });
    match moved {
        Ok((is_busy, moved)) => Ok(u64::try_from(moved).ok().filter(|_| !is_busy)),
        Err(error) if is_busy(&error) || is_full(&error, path) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
    )
}
