//! Whether there is room. "No room" has many names.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Marks the name of a copy.
pub(crate) const COPY: &str = ".copy-";

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
        make_private_file(&path)?;
        let mut file = fs::OpenOptions::new().write(true).open(&path)?;
        let written = io::copy(&mut io::repeat(0xa5).take(PROBE), &mut file).and_then(|_| file.sync_all());
        fs::remove_file(&path)?;
        written
    };
    is_limited || probe().is_err_and(|error| is_no_room(&error))
}

/// SQLite's write-ahead log of a database.
pub(crate) fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// Makes an empty file that only its owner may see, if it is not there.
pub(crate) fn make_private_file(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(|_| ())
}

/// How a copy of a store on its way is called: as nothing else, whoever makes one beside it.
pub(crate) fn copy_name(store: &Path) -> io::Result<PathBuf> {
    let mut drawn = [0; 8];
    getrandom::fill(&mut drawn).map_err(|error| io::Error::other(error.to_string()))?;
    let mut name = store.file_name().unwrap_or_default().to_owned();
    name.push(format!("{COPY}{:016x}", u64::from_be_bytes(drawn)));
    Ok(store.with_file_name(name))
}
