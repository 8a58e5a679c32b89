//! One process owns a store.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::OpenError;
use crate::file_identity::{FileIdentity, Place};

/// Held as long as the store is open. The operating system lets go when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    #[allow(dead_code, reason = "held, not read")]
    file: File,
    /// The store itself, which may have another lock file under another name.
    store: Option<FileIdentity>,
}

impl Lock {
    /// Takes the lock beside the store, and writes down who has it.
    pub(crate) fn take(store: &Path) -> Result<Self, OpenError> {
        let path = lock_path(store);
        let io = |source| OpenError::Io {
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // The words of a lock file are only a help; without them the error stands.
                let _ = file.read_to_string(&mut owner);
                let owner = owner.trim();
                return Err(OpenError::InUse {
                    path: store.to_owned(),
                    owner: (!owner.is_empty()).then(|| owner.to_owned()),
                });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        // A full disk takes no word, and the lock is held all the same.
        let _ = file
            .set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(file, "process {}", std::process::id()));
        Ok(Lock { file, store: None })
    }

    /// Holds the store's file too: a hard link or a mount gives it other names, each with a lock file of its own. To be
    /// dropped after the last connection of SQLite, whose locks are given up when any handle of the file is closed.
    pub(crate) fn hold(&mut self, store: &Path) -> Result<(), OpenError> {
        let io = |source| OpenError::Io {
            path: store.to_owned(),
            source,
        };
        let identity = FileIdentity::of(store).map_err(io)?;
        // On other systems this lock and those of SQLite would be one kind, and shut each other out.
        #[cfg(target_os = "linux")]
        match identity.file().try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse {
                    path: store.to_owned(),
                    owner: None,
                });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        self.store = Some(identity);
        Ok(())
    }

    /// The store is where it was. To be asked for each commit: it takes microseconds.
    pub(crate) fn is_in_place(&self) -> bool {
        self.place().is_none_or(Place::holds)
    }

    /// Where it was, for those who want to know the same.
    pub(crate) fn place(&self) -> Option<&Place> {
        self.store.as_ref().map(FileIdentity::place)
    }

    /// Nobody has copied another store over it.
    pub(crate) fn is_ours(&self) -> bool {
        self.store.as_ref().is_none_or(FileIdentity::has_a_log)
    }
}

fn lock_path(store: &Path) -> PathBuf {
    let mut name = store.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    store.with_file_name(name)
}
