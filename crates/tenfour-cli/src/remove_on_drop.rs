//! Files that are only in the way when a command is over.

use std::fs;
use std::path::PathBuf;

/// Removes what it names when it is dropped, however the command ends. What cannot be removed is left.
pub struct RemoveOnDrop(Vec<PathBuf>);

impl RemoveOnDrop {
    /// A file, or a folder with all that is in it.
    pub fn of(path: impl Into<PathBuf>) -> Self {
        RemoveOnDrop(vec![path.into()])
    }

    /// Files that differ in their ends.
    pub fn beside(path: impl Into<PathBuf>, ends: &[&str]) -> Self {
        let path = path.into();
        let name = |end: &&str| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        };
        RemoveOnDrop(ends.iter().map(name).collect())
    }

    /// It is of use after all.
    pub fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        for path in &self.0 {
            if fs::remove_file(path).is_err() {
                let _ = fs::remove_dir_all(path);
            }
        }
    }
}
