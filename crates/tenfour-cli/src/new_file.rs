//! A name for a file that was written beside: never somebody else's.

use std::fs::File;
use std::io;
use std::path::Path;

use tempfile::{PathPersistError, TempPath};

/// Gives the file its name. That fails where there is something already, even if it points nowhere.
pub fn give_name(file: TempPath, path: &Path) -> Result<(), PathPersistError> {
    let Err(PathPersistError { error, path: file }) = file.persist_noclobber(path) else {
        return Ok(());
    };
    let has_no_links = [io::ErrorKind::PermissionDenied, io::ErrorKind::Unsupported].contains(&error.kind());
    if !has_no_links {
        return Err(PathPersistError { error, path: file });
    }
    // A file system without hard links: the name is taken first, and then replaced by the file.
    match File::create_new(path) {
        Ok(_) => file.persist(path),
        Err(error) => Err(PathPersistError { error, path: file }),
    }
}
