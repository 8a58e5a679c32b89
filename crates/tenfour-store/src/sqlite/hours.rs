//! The store's own time.

use std::time::Instant;

use rusqlite::Connection;

/// How long the store has been open, over all its openings. The age of producers counts in these hours,
/// so that a clock set forward by a year forgets nobody.
pub(super) struct Hours {
    clock: Clock,
    saved: i64,
}

/// The same to look at only.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    before: i64,
    opened: Instant,
}

impl Clock {
    pub(super) fn now(self) -> i64 {
        self.before + i64::try_from(self.opened.elapsed().as_secs() / 3600).unwrap_or(0)
    }
}

impl Hours {
    pub(super) fn start(connection: &Connection) -> rusqlite::Result<Self> {
        let before = connection.query_row("SELECT hours FROM store", (), |row| row.get(0))?;
        let clock = Clock {
            before,
            opened: Instant::now(),
        };
        Ok(Hours { clock, saved: before })
    }

    pub(super) fn now(&self) -> i64 {
        self.clock.now()
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    pub(super) fn save(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let now = self.now();
        if now != self.saved {
            connection.execute("UPDATE store SET hours = ?1", [now])?;
            self.saved = now;
        }
        Ok(())
    }
}
