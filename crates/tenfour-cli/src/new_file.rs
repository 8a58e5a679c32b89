//! Files that are written beside, and get their names when they are whole: never somebody else's.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::{PathPersistError, TempPath};
use tenfour::client::random_id;

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

/// Where it is written. Nobody else's: two may be made at once, and in containers every process is number 1.
pub fn name_beside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".part-{}", random_id()));
    beside.into()
}

/// Gives the file its name, unless something has it by now, and flushes that.
pub fn give_durable_name(beside: &Path, path: &Path) -> io::Result<()> {
    let beside = TempPath::try_from_path(beside)?;
    give_name(beside, path).map_err(|error| error.error)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
