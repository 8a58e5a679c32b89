//! Where a list of keys is kept.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{FileStamp, private_file};

/// A text of lines (`authorized_keys`, `tokens`, `invitations`): in a file, or wherever else all servers of one service
/// find it. Cheap to clone.
#[derive(Clone)]
pub struct KeyList(Arc<dyn KeyListStorage>);

/// Keeps such a text.
pub trait KeyListStorage: Send + Sync {
    /// Where it is, for people.
    fn place(&self) -> String;

    /// Changes when the text does. Never waits: it is asked at each connection. `None` if that cannot be said.
    fn stamp(&self) -> Option<Stamp>;

    /// The text; empty if there is none yet.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is not to be believed.
    fn read(&self) -> io::Result<String>;

    /// Makes another text of it, while nobody else changes it; where that fails, or comes to the same, nothing is written.
    /// True if something was. May wait.
    ///
    /// # Errors
    ///
    /// When it cannot be read or written; what `change` says.
    fn edit(&self, change: &mut dyn FnMut(&str) -> io::Result<String>) -> io::Result<bool>;
}

/// What a list looked like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// A file.
    File(FileStamp),
    /// Something that is counted up with each change.
    Version(i64),
}

impl KeyList {
    /// A list that is kept in some way.
    pub fn new(storage: impl KeyListStorage + 'static) -> Self {
        KeyList(Arc::new(storage))
    }

    /// Where it is, for people.
    pub fn place(&self) -> String {
        self.0.place()
    }

    /// Changes when the text does.
    pub fn stamp(&self) -> Option<Stamp> {
        self.0.stamp()
    }

    /// The text; empty if there is none yet.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or others than its owner may write it.
    pub fn read(&self) -> io::Result<String> {
        self.0.read()
    }

    /// Makes another text of it, while nobody else changes it. True if it is another one then.
    ///
    /// # Errors
    ///
    /// When it cannot be read or written; what `change` says.
    pub fn edit(&self, mut change: impl FnMut(&str) -> io::Result<String>) -> io::Result<bool> {
        self.0.edit(&mut change)
    }

    /// Takes out the lines that `is_it` means, and puts `addition` behind the others, which stay as they are. False if that
    /// comes to the same.
    pub(super) fn replace_lines(&self, is_it: impl Fn(&str) -> bool, addition: &str) -> io::Result<bool> {
        self.edit(|text| Ok(without(text, &is_it) + addition))
    }
}

/// A file.
impl From<PathBuf> for KeyList {
    fn from(path: PathBuf) -> Self {
        KeyList::new(ListFile(path))
    }
}

/// A file.
impl From<&Path> for KeyList {
    fn from(path: &Path) -> Self {
        path.to_owned().into()
    }
}

impl fmt::Debug for KeyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyList").field(&self.place()).finish()
    }
}

/// The lines that `is_it` does not mean.
pub(super) fn without(text: &str, is_it: impl Fn(&str) -> bool) -> String {
    text.lines()
        .filter(|line| !is_it(line))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// A file of this machine.
struct ListFile(PathBuf);

impl KeyListStorage for ListFile {
    fn place(&self) -> String {
        self.0.display().to_string()
    }

    fn stamp(&self) -> Option<Stamp> {
        FileStamp::of(&self.0).map(Stamp::File)
    }

    fn read(&self) -> io::Result<String> {
        private_file::refuse_writable_by_others(&self.0)?;
        private_file::read_or_empty(&self.0)
    }

    fn edit(&self, change: &mut dyn FnMut(&str) -> io::Result<String>) -> io::Result<bool> {
        private_file::edit(&self.0, change)
    }
}
