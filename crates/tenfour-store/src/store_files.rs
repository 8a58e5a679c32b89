//! The files beside a store: what they are called, and who may see them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Marks the name of a copy.
const COPY: &str = ".copy-";

/// SQLite's write-ahead log of a database.
pub(crate) fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// How a copy of a store on its way is called: as nothing else, whoever makes one beside it.
pub(crate) fn copy_name(store: &Path) -> io::Result<PathBuf> {
    let mut drawn = [0; 8];
    getrandom::fill(&mut drawn).map_err(|error| io::Error::other(error.to_string()))?;
    let mut name = store.file_name().unwrap_or_default().to_owned();
    name.push(format!("{COPY}{:016x}", u64::from_be_bytes(drawn)));
    Ok(store.with_file_name(name))
}

/// Copies of a store that lie beside it.
pub(crate) fn copies_of(store: &Path) -> io::Result<Vec<PathBuf>> {
    let mut name = store.file_name().unwrap_or_default().to_owned();
    name.push(COPY);
    let folder = store.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut copies = Vec::new();
    for file in std::fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let file = file?;
        let bytes = file.file_name();
        if bytes.as_encoded_bytes().starts_with(name.as_encoded_bytes()) {
            copies.push(file.path());
        }
    }
    Ok(copies)
}

/// Makes an empty file that only its owner may see, if it is not there.
pub(crate) fn make_private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes such a file of that length: of bytes that no file system leaves out.
pub(crate) fn fill(path: &Path, length: u64) -> io::Result<File> {
    let mut file = make_private_file(path)?;
    file.set_len(0)?;
    io::copy(&mut io::repeat(0xa5).take(length), &mut file)?;
    Ok(file)
}
