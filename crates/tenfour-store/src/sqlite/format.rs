//! Kinds of files.

use rusqlite::Connection;

/// What kind of file of ours it is, and how a new one is made.
pub(super) struct Format {
    /// In SQLite's `application_id`.
    pub(super) application: u32,
    /// The version that is written, in SQLite's `user_version`.
    pub(super) version: u32,
    /// Makes the tables, with a random id and the time.
    pub(super) create: fn(&Connection, [u8; 16], i64) -> rusqlite::Result<()>,
}
