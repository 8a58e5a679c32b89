//! Small files that only their owner may see, replaced whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Makes a folder for private files, and what lacks above it.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Writes beside, flushes, renames over, flushes the folder: whoever reads sees the old or the new.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    // A link stays one.
    let real = fs::symlink_metadata(path)
        .is_ok_and(|found| found.is_symlink())
        .then(|| fs::canonicalize(path))
        .transpose()?;
    let path = real.as_deref().unwrap_or(path);
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    make_folder(folder)?;
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(|error| io::Error::other(error.to_string()))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}.new", u64::from_be_bytes(suffix)));
    let beside = path.with_file_name(name);
    let result = write_new(&beside, content)
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| File::open(folder)?.sync_all());
    if result.is_err() {
        // It is ours and of no use; the error is what matters.
        let _ = fs::remove_file(&beside);
    }
    result
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Reads a file that may lack; then it is empty.
pub(super) fn read_or_empty(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => other,
    }
}

/// Makes another text of a file. False if it is the same.
pub(super) fn edit(path: &Path, change: &mut dyn FnMut(&str) -> io::Result<String>) -> io::Result<bool> {
    exclusively(path, || {
        let before = read_or_empty(path)?;
        let after = change(&before)?;
        if after != before {
            replace(path, after.as_bytes())?;
        }
        Ok(after != before)
    })
}

/// Holds other processes of ours off while a file is read, changed and replaced.
pub(super) fn exclusively<T>(path: &Path, change: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        make_folder(folder)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let lock = options.open(path.with_file_name(name))?;
    lock.lock()?;
    change()
}

/// What others may write, others decide.
#[cfg(unix)]
pub(super) fn refuse_writable_by_others(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    match fs::metadata(path) {
        Ok(found) if found.permissions().mode() & 0o022 != 0 => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "others than its owner may write it (chmod go-w {})",
                path.display()
            ),
        )),
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
pub(super) fn refuse_writable_by_others(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Others than the owner may read it.
#[cfg(unix)]
pub(super) fn is_open_to_others(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::metadata(path)?.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
pub(super) fn is_open_to_others(_path: &Path) -> io::Result<bool> {
    Ok(false)
}
