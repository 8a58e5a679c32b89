//! Whether a file is another one than at the last look.

use std::path::Path;
use std::time::SystemTime;

/// What changes when a file does: its time, its length, which file it is (as we replace files), and the time that nobody
/// can set back, of its last change at all, also of its rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp(SystemTime, u64, u64, (i64, i64));

impl FileStamp {
    /// The stamp of what is there now; `None` if it cannot be looked at.
    pub fn of(file: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(file).ok()?;
        #[cfg(unix)]
        let (inode, changed) = {
            use std::os::unix::fs::MetadataExt;
            (metadata.ino(), (metadata.ctime(), metadata.ctime_nsec()))
        };
        #[cfg(not(unix))]
        let (inode, changed) = (0, (0, 0));
        Some(FileStamp(
            metadata.modified().ok()?,
            metadata.len(),
            inode,
            changed,
        ))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A key file that others may read is refused at the next start, and neither its time nor its length has changed.
    #[test]
    fn other_rights_and_another_file_are_other_stamps() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let time = SystemTime::UNIX_EPOCH;
        let make = |path: &Path| {
            fs::write(path, "same").unwrap();
            File::options()
                .append(true)
                .open(path)
                .unwrap()
                .set_modified(time)
                .unwrap();
        };
        make(&path);
        let first = FileStamp::of(&path).unwrap();
        assert_eq!(FileStamp::of(&path), Some(first));
        // The kernel's clock of changes goes in steps of some milliseconds.
        let has_changed = || {
            fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
            FileStamp::of(&path) != Some(first)
        };
        assert!(
            (0..1_000_000).any(|_| has_changed()),
            "its rights are no part of it"
        );
        let second = FileStamp::of(&path).unwrap();
        let other = folder.path().join("other");
        make(&other);
        fs::rename(&other, &path).unwrap();
        assert!(FileStamp::of(&path).is_some_and(|third| third != first && third != second));
        fs::remove_file(&path).unwrap();
        assert_eq!(FileStamp::of(&path), None);
    }
}
