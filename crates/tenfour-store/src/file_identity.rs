//! Which file a path leads to. It may be removed, replaced or restored while it is open: then what is written goes to a file
//! that nobody will read again.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use crate::OpenError;

type FileId = (u64, u64);

/// A file that is open under a path.
#[derive(Debug)]
pub(crate) struct FileIdentity {
    place: Place,
    file: File,
}

/// A path, and which file it led to.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    path: PathBuf,
    id: FileId,
}

impl FileIdentity {
    /// The file at `path`, which is there.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(FileIdentity {
            place: Place {
                path: path.to_owned(),
                id: id_of(&file.metadata()?),
            },
            file,
        })
    }

    /// Where it was opened.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The file. Closing another handle of it would let go of SQLite's locks, so whoever wants to look uses this one.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// A store in use has a log, and says so in its header; a backup that was copied over it does not
    /// (https://www.sqlite.org/fileformat.html, section 1.3.4).
    pub(crate) fn has_a_log(&self) -> bool {
        let mut version = [0];
        match read_at(&self.file, &mut version, 18) {
            Ok(1) => version == [2],
            Ok(_) => false,
            Err(_) => true,
        }
    }
}

impl Place {
    /// The path leads to that file still.
    pub(crate) fn holds(&self) -> bool {
        match std::fs::metadata(&self.path) {
            Ok(now) => id_of(&now) == self.id,
            // A file that is gone is not there; for any other reason nobody knows.
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }
}

/// What stays the same as long as a file is open: its device, and its number there.
#[cfg(unix)]
fn id_of(file: &Metadata) -> FileId {
    use std::os::unix::fs::MetadataExt;
    (file.dev(), file.ino())
}

#[cfg(not(unix))]
fn id_of(_: &Metadata) -> FileId {
    (0, 0)
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, at)
}

#[cfg(not(unix))]
fn read_at(_: &File, bytes: &mut [u8], _: u64) -> io::Result<usize> {
    Ok(bytes.len())
}

/// The file that a link leads to: its log lies beside the file, whatever the link is called.
pub(crate) fn behind_links(path: &Path) -> Result<PathBuf, OpenError> {
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    if !is_link {
        return Ok(path.to_owned());
    }
    std::fs::canonicalize(path).map_err(|error| OpenError::Io {
        path: path.to_owned(),
        source: match error.kind() {
            io::ErrorKind::NotFound => {
                io::Error::new(error.kind(), "it is a link to a file that is not there")
            }
            _ => error,
        },
    })
}

/// A file under several names would have several logs, and each of them would hold messages that the others lack.
pub(crate) fn refuse_aliases(path: &Path) -> Result<(), OpenError> {
    let Ok(found) = std::fs::metadata(path) else {
        return Ok(());
    };
    let refuse = |how| {
        Err(OpenError::Aliased {
            path: path.to_owned(),
            how,
        })
    };
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::nlink(&found) > 1 {
        return refuse("has several names (hard links)");
    }
    if found.is_file() && is_mount_point(path) {
        return refuse("is mounted as a single file");
    }
    Ok(())
}

/// As `/proc` tells; elsewhere nobody mounts files.
fn is_mount_point(path: &Path) -> bool {
    let (Ok(path), Ok(mounts)) = (
        std::fs::canonicalize(path),
        std::fs::read_to_string("/proc/self/mountinfo"),
    ) else {
        return false;
    };
    // Blanks and the like are written as octal numbers there (proc(5)).
    let escaped = path
        .to_string_lossy()
        .replace('\\', "\\134")
        .replace(' ', "\\040")
        .replace('\t', "\\011")
        .replace('\n', "\\012");
    mounts
        .lines()
        .any(|line| line.split(' ').nth(4) == Some(escaped.as_str()))
}
