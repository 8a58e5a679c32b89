//! The folder a store lies in: made durably, judged before it is trusted, watched for room.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::OpenError;
use crate::store_files::{copies_of, fill};

/// Below this share of the disk nothing more is taken ...
const RESERVE_SHARE: u64 = 20;

/// ... or below this many bytes, if that is less: room to end in good order, and for whoever has to clean up.
const RESERVE_BYTES: u64 = 64 * 1024 * 1024;

/// Makes the folder and everything above it that lacks; flushes each new entry into its parent.
pub(crate) fn make_folder(folder: &Path) -> Result<(), OpenError> {
    let mut missing: Vec<PathBuf> = Vec::new();
    let mut at = folder;
    while !at.as_os_str().is_empty() && !at.exists() {
        missing.push(at.to_owned());
        match at.parent() {
            Some(parent) => at = parent,
            None => break,
        }
    }
    for folder in missing.iter().rev() {
        match make_private(folder) {
            // Somebody else has made it meanwhile: two first uses at one moment.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
            made => made.map_err(|source| OpenError::Io {
                path: folder.clone(),
                source,
            })?,
        }
        let parent = folder.parent().filter(|p| !p.as_os_str().is_empty());
        flush_folder(parent.unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

#[cfg(unix)]
fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make_private(folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)
}

/// Flushes the entries of a folder: the names of files in it.
pub(crate) fn flush_folder(folder: &Path) -> Result<(), OpenError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| OpenError::Io {
            path: folder.to_owned(),
            source,
        })
}

/// Names the file system if it is one that lives on another machine.
#[cfg(target_os = "linux")]
pub(crate) fn network_file_system(folder: &Path) -> io::Result<Option<&'static str>> {
    /// Magic numbers of statfs(2), and of the kernel's headers for those it leaves out.
    const NETWORK: [(u64, &str); 9] = [
        (0x6969, "NFS"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB2"),
        (0x517b, "SMB"),
        (0x0102_1997, "9p"),
        (0x00c3_6400, "Ceph"),
        (0x7375_7245, "Coda"),
        (0x5346_414f, "AFS"),
        (0x6b41_4653, "kAFS"),
    ];
    let kind = rustix::fs::statfs(folder)?.f_type as u64 & 0xffff_ffff;
    Ok(NETWORK.iter().find(|row| row.0 == kind).map(|row| row.1))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn network_file_system(_folder: &Path) -> io::Result<Option<&'static str>> {
    Ok(None)
}

/// Taking so many bytes would be no burden.
pub(crate) fn has_room_for(folder: &Path, bytes: u64) -> bool {
    rustix::fs::statvfs(folder)
        .is_ok_and(|space| space.f_bavail.saturating_mul(space.f_frsize) / RESERVE_SHARE >= bytes)
}

/// So many bytes more leave more than is kept free.
pub(crate) fn has_room_beside(folder: &Path, bytes: u64) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|space| {
        let total = space.f_blocks.saturating_mul(space.f_frsize);
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        free.saturating_sub(bytes) >= (total / RESERVE_SHARE).min(RESERVE_BYTES)
    })
}

/// Removes copies that somebody who was killed has left. Only for who owns the store.
pub(crate) fn remove_copies(store: &Path) -> io::Result<()> {
    copies_of(store)?.into_iter().try_for_each(fs::remove_file)
}

/// How little room is left.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shortage {
    /// Nothing more is taken.
    pub(crate) for_all: bool,
    /// Nothing more is taken from those who show no key: what they fill must not be what others lack.
    pub(crate) for_synthetic: bool,
}

/// Looks how much room there is.
pub(crate) fn shortage(folder: &Path) -> Shortage {
    let Ok(space) = rustix::fs::statvfs(folder) else {
        // What cannot be asked is found out by writing.
        return Shortage::default();
    };
    let total = space.f_blocks.saturating_mul(space.f_frsize);
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let reserve = (total / RESERVE_SHARE).min(RESERVE_BYTES);
    Shortage {
        for_all: free < reserve,
        for_synthetic: free < 2 * reserve,
    }
}

/// There is so little room left that nothing more is taken.
pub(crate) fn is_full(folder: &Path) -> bool {
    shortage(folder).for_all
}

/// Bytes that a store needs to be opened and read: the index of its log, above all.
const SPARE: u64 = 256 * 1024;

fn spare_of(store: &Path) -> PathBuf {
    let mut spare = store.as_os_str().to_owned();
    spare.push("-spare");
    spare.into()
}

/// Keeps some room beside the store for a start on a disk that somebody else has filled.
pub(crate) fn keep_spare(store: &Path) -> io::Result<()> {
    let spare = spare_of(store);
    if fs::metadata(&spare).is_ok_and(|found| found.len() >= SPARE) {
        return Ok(());
    }
    fill(&spare, SPARE).map(|_| ())
}

/// Gives that room up. False if there was none.
pub(crate) fn give_up_spare(store: &Path) -> bool {
    fs::remove_file(spare_of(store)).is_ok()
}

/// What senders without a key may hold unless said otherwise: 1 GiB, or a tenth of the disk if that is less.
pub(crate) fn usual_quota(folder: &Path) -> u64 {
    const MOST: u64 = 1024 * 1024 * 1024;
    rustix::fs::statvfs(folder).map_or(MOST, |space| {
        (space.f_blocks.saturating_mul(space.f_frsize) / 10).min(MOST)
    })
}
