//! Connections to a database, set up for what is promised.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tenfour_proto::Durability;

use super::options::SqliteOptions;
use super::schema;

/// A connection for the writer or the checkpointer.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    guard(&connection)?;
    // Writer and checkpointer wait for each other for moments only; a second is an eternity.
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    Ok(connection)
}

/// Statements are planned when they are prepared, never again for the values they are given: beside a partial index
/// SQLite would otherwise plan each of them at each use, which takes longer than the statement.
///
/// And nothing that lies in the file is run: not what somebody has put there, and not by accident
/// (https://www.sqlite.org/security.html).
pub(super) fn guard(connection: &Connection) -> rusqlite::Result<()> {
    for (config, is_on) in [
        (DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true),
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
    ] {
        connection.set_db_config(config, is_on)?;
    }
    Ok(())
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
pub(super) fn settle_on_disk(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| {
        match row.get::<_, i64>(0)? {
            0 => Ok(()),
            // Nobody else may have it open: the lock is ours.
            _ => Err(rusqlite::Error::QueryReturnedNoRows),
        }
    })
}

/// Closing moves nothing from the log into the database.
pub(super) fn leave_log(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map(|_| ())
}
