//! What can go wrong with a store.

use std::path::{Path, PathBuf};

use tenfour_proto::MailboxName;

use crate::room::{is_full, is_no_room};

/// What an engine said.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A store could not be opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process owns it.
    #[error("`{path}` is in use{}", owner.as_ref().map(|o| format!(" by {o}")).unwrap_or_default())]
    InUse {
        /// The store.
        path: PathBuf,
        /// Who said so in the lock file.
        owner: Option<String>,
    },
    /// A file that is no store of ours.
    #[error("`{0}` is not a tenfour store")]
    NotOurs(PathBuf),
    /// A log beside the place of the store that is not its own: SQLite would write it into the store.
    #[error("`{log}` was left by a file that is gone")]
    ForeignLog {
        /// The log.
        log: PathBuf,
    },
    /// Written by a later version.
    #[error("`{path}` has format {found}, this version reads up to {known}")]
    Newer {
        /// The store.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// A file that several paths lead to, each with a log of its own.
    #[error("`{path}` {how}")]
    Aliased {
        /// The store.
        path: PathBuf,
        /// What is wrong with it.
        how: &'static str,
    },
    /// A store with tables, triggers or views that no version of ours makes.
    #[error("`{path}` has {what}, which no tenfour has made")]
    Schema {
        /// The store.
        path: PathBuf,
        /// What there is.
        what: String,
    },
    /// On a network file system, where neither locks nor flushes can be trusted.
    #[error("`{path}` would lie on a network file system ({kind}), where a flush is not a promise")]
    Network {
        /// The store.
        path: PathBuf,
        /// The file system.
        kind: &'static str,
    },
    /// The operating system said no.
    #[error("cannot open `{path}`")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Its reason.
        source: std::io::Error,
    },
    /// The engine said no, for instance because the file is damaged.
    #[error("cannot open `{path}`")]
    Engine {
        /// The store.
        path: PathBuf,
        /// Its reason.
        source: Cause,
    },
}

impl OpenError {
    pub(crate) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        OpenError::Engine {
            path: path.to_owned(),
            source: source.into(),
        }
    }

    /// There is no room on the disk: opening takes a little.
    pub fn is_full(&self) -> bool {
        match self {
            OpenError::Io { source, .. } => is_no_room(source),
            OpenError::Engine { source, path } => {
                source.downcast_ref().is_some_and(|error| is_full(error, path))
            }
            _ => false,
        }
    }
}

/// The store is poisoned: what it holds on disk is the truth, and this process no longer knows it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A write, a flush or a rollback failed.
    #[error("the store failed and must be opened again")]
    Failed(#[source] Cause),
    /// The path leads to another file now, or to none: what is written would never be read again. Nothing more is taken,
    /// and what is there can be read, until it is in its place again.
    #[error("`{0}` was removed, replaced or restored while it was in use")]
    Displaced(PathBuf),
    /// It failed before.
    #[error("the store failed earlier and must be opened again")]
    Poisoned,
}

/// Messages could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A message does not match its checksum.
    #[error("the message at {mailbox} #{offset} is damaged")]
    Damaged {
        /// Its mailbox.
        mailbox: MailboxName,
        /// Its offset.
        offset: u64,
    },
    /// The path leads to another file now, or to none. A reader that was opened before sees what it always saw.
    #[error("`{0}` was removed, replaced or restored while it was in use")]
    Displaced(PathBuf),
    /// The engine said no.
    #[error("the store cannot be read")]
    Failed(#[source] Cause),
}

/// A store could not be copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// There is no file to copy: it is in memory, or in a database.
    #[error("the store is not a file")]
    NoFile,
    /// There is no room for a copy.
    #[error("there is no room for a copy of the store")]
    Full,
    /// The operating system said no.
    #[error("the store cannot be copied: {0}")]
    Io(#[from] std::io::Error),
    /// The engine said no.
    #[error("the store cannot be copied: {0}")]
    Failed(#[source] Cause),
}

impl CopyError {
    /// A number that the other kind of store has no room for.
    pub fn too_large(what: &'static str) -> Self {
        CopyError::Failed(format!("{what} has too large a number for the other kind of store").into())
    }

    /// A row that no store of ours has written.
    pub fn strange(what: &'static str) -> Self {
        CopyError::Failed(format!("{what} cannot be read").into())
    }
}
