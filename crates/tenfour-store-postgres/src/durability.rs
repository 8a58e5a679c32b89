//! What a receipt is to mean, and whether the database does that.

/// What a receipt of a store on PostgreSQL is to mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// The database has flushed it on a standby, too: it is refused where no synchronous standby is named.
    #[default]
    Replicated,
    /// Replicated below the database, as its operator says: what it has flushed counts as that.
    Declared,
    /// Flushed by a single database.
    Disk,
}

impl Demand {
    /// What receipts say, and on whose word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Demand::Replicated => "replicated",
            Demand::Declared => "replicated, as declared",
            Demand::Disk => "disk",
        }
    }
}

/// Settings of the database that a receipt depends on, as they are now.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) flushes: bool,
    /// Pages are written whole, so that a power cut tears none.
    pub(crate) whole_pages: bool,
    pub(crate) standbys: String,
}

impl Settings {
    /// From the first columns, as [`settings`](crate::sql::settings) has them.
    pub(crate) fn of(row: &tokio_postgres::Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Settings {
            flushes: row.try_get::<_, &str>(0)? == "on",
            whole_pages: row.try_get::<_, &str>(1)? == "on",
            standbys: row.try_get(2)?,
        })
    }

    /// What is missing for that demand, in words.
    pub(crate) fn lacks(&self, demand: Demand) -> Option<&'static str> {
        if !self.flushes {
            Some("fsync is off: a power cut would take what was acknowledged")
        } else if !self.whole_pages {
            Some("full_page_writes is off: a power cut would tear its pages")
        } else if demand == Demand::Replicated && self.standbys.trim().is_empty() {
            Some("it names no synchronous standby (synchronous_standby_names)")
        } else {
            None
        }
    }
}
