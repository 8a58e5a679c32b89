//! Opening: whose file is it, is it ours, and is what was recovered really on the disk?

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::Connection;

use super::checkpoint::SOFT_LIMIT;
use super::connection::{configure, connect, settle_on_disk};
use super::format::Format;
use super::options::SqliteOptions;
use super::schema;
use crate::data_directory;
use crate::error::OpenError;
use crate::file_identity::refuse_aliases;
use crate::lock::Lock;
use crate::room::is_no_room;
use crate::store_files::{log_of, make_private_file};

/// An open database, owned by this process, of which everything readable is on stable storage.
pub(super) struct Opened {
    pub(super) lock: Lock,
    pub(super) connection: Connection,
    pub(super) id: [u8; 16],
}

/// Opens the store at a path without links. On a disk that somebody else has filled the spare room makes it readable.
pub(super) fn open(path: &Path, options: SqliteOptions) -> Result<Opened, OpenError> {
    match try_open(path, options) {
        Err(error) if error.is_full() && data_directory::give_up_spare(path) => try_open(path, options),
        Ok(opened) => {
            if !data_directory::is_full(folder_of(path))
                && let Err(error) = data_directory::keep_spare(path)
            {
                tracing::debug!(%error, "there is no spare room beside the store");
            }
            Ok(opened)
        }
        Err(error) => Err(error),
    }
}

fn try_open(path: &Path, options: SqliteOptions) -> Result<Opened, OpenError> {
    let is_new = judge(path, &schema::STORE)?;
    let mut lock = Lock::take(path)?;
    data_directory::remove_copies(path).map_err(|source| OpenError::Io {
        path: path.to_owned(),
        source,
    })?;
    if is_new {
        create(path, &schema::STORE)?;
    }
    lock.hold(path)?;
    let connection = connect_to(path, &schema::STORE, options)?;
    own(path, &connection)?;
    let id = connection
        .query_row("SELECT id FROM store", (), |row| row.get::<_, [u8; 16]>(0))
        .map_err(|source| OpenError::sqlite(path, source))?;
    Ok(Opened { lock, connection, id })
}

/// Makes the folder, and looks whether a file of that format may be there. True if there is none yet.
pub(super) fn judge(path: &Path, format: &Format) -> Result<bool, OpenError> {
    let folder = folder_of(path);
    data_directory::make_folder(folder)?;
    let kind = data_directory::network_file_system(folder).map_err(|source| OpenError::Io {
        path: path.to_owned(),
        source,
    })?;
    if let Some(kind) = kind {
        return Err(OpenError::Network {
            path: path.to_owned(),
            kind,
        });
    }
    refuse_aliases(path)?;
    judge_header(path, format)
}

/// A connection to a file of that format.
pub(super) fn connect_to(
    path: &Path,
    format: &Format,
    options: SqliteOptions,
) -> Result<Connection, OpenError> {
    let connection = connect(path)
        .and_then(|connection| configure(&connection, options).map(|()| connection))
        .map_err(|source| OpenError::sqlite(path, source))?;
    let version = check_version(path, &connection, format)?;
    check_schema(path, &connection, format, version)?;
    upgrade(&connection, format, version).map_err(|source| OpenError::sqlite(path, source))?;
    Ok(connection)
}

/// Whoever can put a file there could put triggers and views into it that run with each statement of ours: it must be one
/// that we have made, to the letter.
pub(super) fn check_schema(
    path: &Path,
    connection: &Connection,
    format: &Format,
    version: u32,
) -> Result<(), OpenError> {
    type Parts = BTreeMap<(String, String), Option<String>>;
    let parts = |connection: &Connection| -> rusqlite::Result<Parts> {
        connection
            // Statistics of SQLite's own do no harm.
            .prepare(
                "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite^_stat%' ESCAPE '^'",
            )?
            .query_map((), |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?
            .collect()
    };
    let ours = || {
        let fresh = Connection::open_in_memory()?;
        format.make(&fresh, version, [0; 16], 0)?;
        parts(&fresh)
    };
    let sqlite = |source| OpenError::sqlite(path, source);
    let (ours, found) = (ours().map_err(sqlite)?, parts(connection).map_err(sqlite)?);
    let strange = found.iter().find(|(part, sql)| ours.get(*part) != Some(*sql));
    let missing = ours.keys().find(|part| !found.contains_key(*part));
    let what = match (strange, missing) {
        (Some(((kind, name), _)), _) => format!("a {kind} `{}`", name.escape_debug()),
        (None, Some((kind, name))) => format!("no {kind} `{name}`"),
        (None, None) => return Ok(()),
    };
    Err(OpenError::Schema {
        path: path.to_owned(),
        what,
    })
}

/// Makes a file of today of one that an older program wrote. Whoever writes to it meanwhile waits.
fn upgrade(connection: &Connection, format: &Format, version: u32) -> rusqlite::Result<()> {
    if version == format.version() {
        return Ok(());
    }
    tracing::info!(
        from = version,
        to = format.version(),
        "the file is brought to the format of this program; older ones cannot read it any more"
    );
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let upgraded = format
        .upgrade(connection, version, format.version())
        .and_then(|()| connection.pragma_update(None, "user_version", format.version()));
    connection.execute_batch(if upgraded.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    upgraded
}

/// Makes the file under another name, and gives it its own when it is whole: whoever is killed meanwhile leaves
/// nothing behind that looks like somebody else's file. Only for who holds the lock.
pub(super) fn create(path: &Path, format: &Format) -> Result<(), OpenError> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let io = |source| OpenError::Io {
        path: path.to_owned(),
        source,
    };
    for rest in ["", "-journal", "-wal", "-shm"] {
        let mut name = new.as_os_str().to_owned();
        name.push(rest);
        match std::fs::remove_file(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
    }
    // SQLite gives its log the rights of the database: messages are nobody else's business.
    make_private_file(&new).map_err(io)?;
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|e| io(io::Error::other(e.to_string())))?;
    let fill = || -> rusqlite::Result<()> {
        let mut connection = connect(&new)?;
        configure(&connection, SqliteOptions::default())?;
        let transaction = connection.transaction()?;
        format.make(&transaction, format.version(), id, now())?;
        transaction.pragma_update(None, "application_id", format.application)?;
        transaction.pragma_update(None, "user_version", format.version())?;
        transaction.commit()?;
        // Closing would move the log into the file, too, but would not say whether it could.
        settle_on_disk(&connection)?;
        connection.close().map_err(|(_, error)| error)
    };
    fill().map_err(|source| OpenError::sqlite(path, source))?;
    File::open(&new).and_then(|file| file.sync_all()).map_err(io)?;
    std::fs::rename(&new, path).map_err(io)?;
    data_directory::flush_folder(folder_of(path))
}

/// Makes everything that is readable durable, before any of it is acted on. Only for who holds the lock.
pub(super) fn own(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    settle_on_disk(connection).map_err(|source| OpenError::sqlite(path, source))?;
    prewrite_log(path, connection)?;
    data_directory::flush_folder(folder_of(path))
}

pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Looks at the file's first bytes without touching it. True for a file that is not there.
pub(super) fn judge_header(path: &Path, format: &Format) -> Result<bool, OpenError> {
    match look(path, format) {
        // Somebody else may have made both, the file first, between our look at it and that at the log.
        Err(OpenError::ForeignLog { .. }) => look(path, format),
        judged => judged,
    }
}

fn look(path: &Path, format: &Format) -> Result<bool, OpenError> {
    let mut header = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(100).read_to_end(&mut header),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return judge_log(path).map(|()| true),
        Err(error) => Err(error),
    }
    .map_err(|source| OpenError::Io {
        path: path.to_owned(),
        source,
    })?;
    let word = |at: usize| {
        let bytes = header.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    // Offsets of https://www.sqlite.org/fileformat.html, section 1.3.
    let ours = header.starts_with(b"SQLite format 3\0") && word(68) == Some(format.application);
    match word(60) {
        _ if !ours => Err(OpenError::NotOurs(path.to_owned())),
        Some(found) if found > format.version() => Err(newer(path, found, format)),
        // A store that was in use has a log (2), a copy of one has not (1).
        _ if header.get(18) != Some(&2) => judge_log(path).map(|()| false),
        _ => Ok(false),
    }
}

/// There must be no log beside a store that never had one: it is what its predecessor left when it was killed, and
/// SQLite would write it into the file that was put in its place.
fn judge_log(path: &Path) -> Result<(), OpenError> {
    let log = log_of(path);
    match std::fs::metadata(&log) {
        Ok(found) if found.len() > 0 => Err(OpenError::ForeignLog { log }),
        _ => Ok(()),
    }
}

/// The version of the file: its header may be older than what the write-ahead log holds.
pub(super) fn check_version(path: &Path, connection: &Connection, format: &Format) -> Result<u32, OpenError> {
    let ask = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, u32>(0));
    let answer = || -> rusqlite::Result<_> { Ok((ask("application_id")?, ask("user_version")?)) };
    let (application, version) = answer().map_err(|source| OpenError::sqlite(path, source))?;
    if application != format.application {
        Err(OpenError::NotOurs(path.to_owned()))
    } else if version > format.version() {
        Err(newer(path, version, format))
    } else {
        Ok(version.max(1))
    }
}

fn newer(path: &Path, found: u32, format: &Format) -> OpenError {
    OpenError::Newer {
        path: PathBuf::from(path),
        found,
        known: format.version(),
    }
}

/// Fills the empty log with zeros up to the length at which it is used again from its start. A flush that
/// only overwrites need not flush the file system's own records: it takes a third of the time. SQLite takes
/// a log without a valid header for an empty one, and what lies behind its last frame for nothing
/// (https://www.sqlite.org/fileformat.html, section 4).
fn prewrite_log(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let length = u64::from(schema::PAGE_SIZE) * SOFT_LIMIT;
    if !data_directory::has_room_for(folder_of(path), length) {
        return Ok(());
    }
    let fill = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(log_of(path))?;
        if file.metadata()?.len() == 0 {
            io::copy(&mut io::repeat(0).take(length), &mut file)?;
            file.sync_all()?;
        }
        Ok(())
    };
    // Others may write to an outbox; not while this lasts.
    let filled = connection
        .execute_batch("BEGIN IMMEDIATE")
        .map(|()| fill())
        .and_then(|filled| connection.execute_batch("ROLLBACK").map(|()| filled));
    match filled {
        Ok(Ok(())) => Ok(()),
        // It only makes flushes faster.
        Ok(Err(error)) if is_no_room(&error) => Ok(()),
        Ok(Err(source)) => Err(OpenError::Io {
            path: path.to_owned(),
            source,
        }),
        Err(source) => Err(OpenError::sqlite(path, source)),
    }
}

pub(super) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
