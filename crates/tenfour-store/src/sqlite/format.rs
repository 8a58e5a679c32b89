//! Kinds of files.

use rusqlite::Connection;

/// What kind of file of ours it is, and how a new one is made.
pub(super) struct Format {
    /// In SQLite's `application_id`.
    pub(super) application: u32,
    /// Makes the tables of version 1, with a random id and the time.
    pub(super) create: fn(&Connection, [u8; 16], i64) -> rusqlite::Result<()>,
    /// Each makes the next version of the one before, and loses nothing.
    pub(super) upgrades: &'static [&'static str],
}

impl Format {
    /// The version that is written, in SQLite's `user_version`.
    pub(super) fn version(&self) -> u32 {
        1 + self.upgrades.len() as u32
    }

    /// Makes all tables of a version.
    pub(super) fn make(
        &self,
        connection: &Connection,
        version: u32,
        id: [u8; 16],
        now: i64,
    ) -> rusqlite::Result<()> {
        (self.create)(connection, id, now)?;
        self.upgrade(connection, 1, version)
    }

    /// Makes one version of another.
    pub(super) fn upgrade(&self, connection: &Connection, from: u32, to: u32) -> rusqlite::Result<()> {
        let steps = self.upgrades.iter().take(to as usize - 1).skip(from as usize - 1);
        steps
            .into_iter()
            .try_for_each(|step| connection.execute_batch(step))
    }
}
