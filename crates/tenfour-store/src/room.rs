//! Whether there is room. "No room" has many names.

use std::fs;
use std::io;
use std::path::Path;

use crate::store_files::{copy_name, fill, log_of};

/// There was no room: SQLite knows one of them, and calls a quota, a limit of a file's size, and
/// no room for the index of its log an I/O error. What the operating system says to another write tells them apart.
pub(crate) fn is_full(error: &rusqlite::Error, store: &Path) -> bool {
    use rusqlite::ffi;
    const WRITES: [i32; 5] = [
        ffi::SQLITE_IOERR_WRITE,
        ffi::SQLITE_IOERR_SHMSIZE,
        ffi::SQLITE_IOERR_SHMMAP,
        ffi::SQLITE_IOERR_SHMOPEN,
        ffi::SQLITE_CANTOPEN,
    ];
    match error {
        rusqlite::Error::SqliteFailure(cause, _) => {
            cause.code == rusqlite::ErrorCode::DiskFull
                || (WRITES.contains(&cause.extended_code) && has_no_room(store))
        }
        _ => false,
    }
}

/// The operating system's words for no room: no blocks, a quota, a limit of a file's size.
pub(crate) fn is_no_room(error: &io::Error) -> bool {
    use io::ErrorKind;
    [
        ErrorKind::StorageFull,
        ErrorKind::QuotaExceeded,
        ErrorKind::FileTooLarge,
    ]
    .contains(&error.kind())
}

/// Bytes of a write that tells whether there is room.
const PROBE: u64 = 64 * 1024;

/// The disk, a quota or a limit takes no more bytes in the folder of the store, or at the end of its files.
pub(crate) fn has_no_room(store: &Path) -> bool {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
    let is_limited = limit.is_some_and(|limit| {
        let length = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
        length(store).max(length(&log_of(store))) + PROBE > limit
    });
    let probe = || -> io::Result<()> {
        let path = copy_name(store)?;
        let written = fill(&path, PROBE).and_then(|file| file.sync_all());
        // It may not be there.
        let _ = fs::remove_file(&path);
        written
    };
    is_limited || probe().is_err_and(|error| is_no_room(&error))
}
