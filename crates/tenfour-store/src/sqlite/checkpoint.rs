//! Moving the write-ahead log into the database, off the way of the commits.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::connection::{configure, connect};
use super::options::SqliteOptions;
use crate::OpenError;

/// Length of the log, in pages of 8 KiB, at which the background thread begins. At 1,000 it costs the
/// commits little and keeps the log at about 8 MiB.
pub(super) const SOFT_LIMIT: u64 = 1_000;

/// Length at which the writer itself finishes the job: under load the background thread alone never does,
/// because the log grows while it works.
const HARD_LIMIT: u64 = 3_000;

/// The background thread and what it shares with the writer.
pub(super) struct Checkpointer {
    /// Pages in the log, as told by SQLite after each commit.
    pages: Arc<AtomicU64>,
    failed: Arc<AtomicBool>,
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
        let its_failed = Arc::clone(&failed);
        let thread = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn(move || run(&connection, &woken, &its_failed))
            .map_err(|source| OpenError::Io {
                path: path.to_owned(),
                source,
            })?;
        Ok(Checkpointer {
            pages,
            failed,
            wake: Some(wake),
            thread: Some(thread),
            next: SOFT_LIMIT,
        })
    }

    /// Called by the writer after each commit.
    pub(super) fn after_commit(&mut self, writer: &Connection) -> rusqlite::Result<()> {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < SOFT_LIMIT {
            self.next = SOFT_LIMIT;
        } else if pages >= HARD_LIMIT {
            self.next = SOFT_LIMIT;
            checkpoint(writer)?;
        } else if pages >= self.next {
            self.next = pages + SOFT_LIMIT;
            // A full channel means that it is awake already.
            let _ = self.wake.as_ref().map(|wake| wake.try_send(()));
        }
        Ok(())
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

fn run(connection: &Connection, woken: &Receiver<()>, failed: &AtomicBool) {
    while woken.recv().is_ok() {
        if let Err(error) = checkpoint(connection) {
            tracing::error!(%error, "a checkpoint failed");
            failed.store(true, Ordering::Relaxed);
        }
    }
}

/// Moves what no reader holds back. A full disk is not a failure: the log keeps everything until there is room.
fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    match connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(())) {
        Err(error) if is_full_or_busy(&error) => Ok(()),
        other => other,
    }
}

fn is_full_or_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            rusqlite::ErrorCode::DiskFull
                | rusqlite::ErrorCode::DatabaseBusy
                | rusqlite::ErrorCode::DatabaseLocked
        )
    )
}
