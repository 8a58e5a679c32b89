//! Opening: whose file is it, is it ours, and is what was recovered really on the disk?

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tenfour_proto::Durability;

use super::schema;
use crate::OpenError;
use crate::lock::Lock;
use crate::place;

/// How a store on disk is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// [`Durability::Disk`]: each commit is flushed before it is answered. [`Durability::Os`]: it is
    /// not; receipts say so. Anything less is kept like `Os`.
    pub durability: Durability,
    /// Bytes of bodies that senders without a key may hold together; without it 1 GiB, or a tenth of the disk if that is
    /// less.
    pub anonymous_quota: Option<u64>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        SqliteOptions {
            durability: Durability::Disk,
            anonymous_quota: None,
        }
    }
}

/// An open database, owned by this process, of which everything readable is on stable storage.
pub(super) struct Opened {
    pub(super) lock: Lock,
    pub(super) connection: Connection,
    pub(super) id: [u8; 16],
}

pub(super) fn open(path: &Path, options: SqliteOptions) -> Result<Opened, OpenError> {
    let folder = folder_of(path);
    place::make_folder(folder)?;
    let io = |source| OpenError::Io {
        path: path.to_owned(),
        source,
    };
    if let Some(kind) = place::network_file_system(folder).map_err(io)? {
        return Err(OpenError::Network {
            path: path.to_owned(),
            kind,
        });
    }
    let is_new = judge_header(path)?;
    let lock = Lock::take(path)?;
    let sqlite = |source| OpenError::Sqlite {
        path: path.to_owned(),
        source,
    };
    if is_new {
        // SQLite gives its log the rights of the database: messages are nobody else's business.
        place::make_private_file(path).map_err(io)?;
    }
    let mut connection = connect(path).map_err(sqlite)?;
    configure(&connection, options).map_err(sqlite)?;
    if is_new && table_count(&connection).map_err(sqlite)? == 0 {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|e| io(io::Error::other(e.to_string())))?;
        schema::create(&mut connection, id, now()).map_err(sqlite)?;
    }
    check_version(path, &connection)?;
    settle_on_disk(&connection).map_err(sqlite)?;
    prewrite_log(path).map_err(io)?;
    place::flush_folder(folder)?;
    let id = connection
        .query_row("SELECT id FROM store", (), |row| row.get::<_, [u8; 16]>(0))
        .map_err(sqlite)?;
    Ok(Opened { lock, connection, id })
}

pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Looks at the file's first bytes without touching it. True for a file that is not there, or empty.
fn judge_header(path: &Path) -> Result<bool, OpenError> {
    let mut header = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(100).read_to_end(&mut header),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => Err(error),
    }
    .map_err(|source| OpenError::Io {
        path: path.to_owned(),
        source,
    })?;
    if header.is_empty() {
        return Ok(true);
    }
    let word = |at: usize| {
        let bytes = header.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    // Offsets of https://www.sqlite.org/fileformat.html, section 1.3.
    let ours = header.starts_with(b"SQLite format 3\0") && word(68) == Some(schema::APPLICATION_ID);
    match word(60) {
        _ if !ours => Err(OpenError::NotOurs(path.to_owned())),
        Some(found) if found > schema::VERSION => Err(newer(path, found)),
        _ => Ok(false),
    }
}

/// The header may be older than what the write-ahead log holds.
pub(super) fn check_version(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let ask = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, u32>(0));
    let answer = || -> rusqlite::Result<_> { Ok((ask("application_id")?, ask("user_version")?)) };
    let (application, version) = answer().map_err(|source| OpenError::Sqlite {
        path: path.to_owned(),
        source,
    })?;
    if application != schema::APPLICATION_ID {
        Err(OpenError::NotOurs(path.to_owned()))
    } else if version > schema::VERSION {
        Err(newer(path, version))
    } else {
        Ok(())
    }
}

fn newer(path: &Path, found: u32) -> OpenError {
    OpenError::Newer {
        path: PathBuf::from(path),
        found,
        known: schema::VERSION,
    }
}

fn table_count(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))
}

/// A connection for the writer or the checkpointer.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    plan_once(&connection)?;
    // Writer and checkpointer wait for each other for moments only; a second is an eternity.
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    Ok(connection)
}

/// Statements are planned when they are prepared, never again for the values they are given: beside a partial index
/// SQLite would otherwise plan each of them at each use, which takes longer than the statement.
pub(super) fn plan_once(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map(|_| ())
}

pub(super) fn configure(connection: &Connection, options: SqliteOptions) -> rusqlite::Result<()> {
    connection.pragma_update(None, "page_size", schema::PAGE_SIZE)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    let synchronous = if options.durability == Durability::Disk {
        "FULL"
    } else {
        "NORMAL"
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    // On macOS only this reaches the disk; elsewhere it changes nothing.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    // Checkpoints have a thread of their own; one inside a commit would hold up its receipts.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // A log that once grew long under a slow reader gives its space back.
    connection.pragma_update_and_check(None, "journal_size_limit", 64 * 1024 * 1024, |_| Ok(()))?;
    Ok(())
}

/// After a kill between write and flush, recovery reads what only the page cache holds. Moving all of it
/// into the database, with flushes on the way, makes it as durable as any receipt will say.
fn settle_on_disk(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| {
        match row.get::<_, i64>(0)? {
            0 => Ok(()),
            // Nobody else may have it open: the lock is ours.
            _ => Err(rusqlite::Error::QueryReturnedNoRows),
        }
    })
}

/// Fills the empty log with zeros up to the length at which it is used again from its start. A flush that
/// only overwrites need not flush the file system's own records: it takes a third of the time. SQLite takes
/// a log without a valid header for an empty one, and what lies behind its last frame for nothing
/// (https://www.sqlite.org/fileformat.html, section 4).
fn prewrite_log(path: &Path) -> io::Result<()> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let length = u64::from(schema::PAGE_SIZE) * super::checkpoint::SOFT_LIMIT;
    if !place::has_room_for(folder_of(path), length) {
        return Ok(());
    }
    let mut file = OpenOptions::new().write(true).open(log)?;
    if file.metadata()?.len() == 0 {
        io::copy(&mut io::repeat(0).take(length), &mut file)?;
        file.sync_all()?;
    }
    Ok(())
}

pub(super) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
