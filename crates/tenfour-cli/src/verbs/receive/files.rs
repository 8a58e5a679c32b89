//! Messages as files: whole or not at all, never over another file, never outside the folder.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tempfile::{NamedTempFile, PathPersistError};
use tenfour::Item;
use tenfour::proto::is_format_character;

use crate::exit::Failure;
use crate::new_file::give_name;

/// Of files on their way.
const PREFIX: &str = ".tenfour-";

/// Bytes of a file's name that every usual file system takes; some that encrypt names take no more.
const LONGEST_NAME: usize = 140;

/// Nobody writes one file for so long.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 60 * 60);

/// Writes the message to `folder` and gives the file's path. Its name is the message's, or `MAILBOX-OFFSET`; where
/// another file has it, the offset is added. A name with the offset tells which message it is: if that file is there
/// already and the message comes again, it is kept. (Equal contents alone could be two messages.)
pub fn keep(folder: &Path, item: &Item) -> Result<String, Failure> {
    let failed = |error: io::Error| {
        Failure::local(format!(
            "cannot write #{} to `{}`: {error}",
            item.offset,
            folder.display()
        ))
    };
    // A name of a message is never a path (`MessageName`), so what is joined stays inside.
    let name = match &item.message.name {
        Some(name) => harmless(name.as_str()),
        None => format!(
            "{}-{}",
            item.message.mailbox.as_str().replace('/', "-"),
            item.offset
        ),
    };
    let mut beside = write_beside(folder, &item.message.body)
        .map_err(failed)?
        .into_temp_path();
    let mut placed = Err(io::ErrorKind::AlreadyExists.into());
    for (number, name) in [&name, &numbered(&name, item.offset)].into_iter().enumerate() {
        let path = folder.join(name);
        let error = match give_name(beside, &path) {
            Ok(()) => {
                placed = Ok(path);
                break;
            }
            Err(PathPersistError { error, path }) => {
                beside = path;
                error
            }
        };
        let goes_on = match error.kind() {
            io::ErrorKind::AlreadyExists => {
                let tells_which = item.message.name.is_none() || number > 0;
                if tells_which && is_same(&path, item) {
                    placed = Ok(path);
                    break;
                }
                true
            }
            // File systems differ in what they call too long.
            io::ErrorKind::InvalidFilename => true,
            _ => false,
        };
        placed = Err(error);
        if !goes_on {
            break;
        }
    }
    let path = placed.map_err(failed)?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed)?;
    Ok(path.to_string_lossy().into_owned())
}

/// A name that begins with a dot hides a file, or configures a program; one that begins with `-` is an option of the next
/// `rm *`; one with a character that is not seen, or turns the text round, looks like another.
fn harmless(name: &str) -> String {
    let first = name.starts_with(['.', '-']).then_some('_');
    let seen = name.chars().map(|c| if is_format_character(c) { '_' } else { c });
    first.into_iter().chain(seen).collect()
}

/// The name with the offset behind it, as long as any file system takes it: then its beginning stands for it.
fn numbered(name: &str, offset: u64) -> String {
    let number = format!(".{offset}");
    let mut end = LONGEST_NAME.saturating_sub(number.len()).min(name.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or_default().to_owned() + &number
}

/// Removes files that readers who were killed have left beside. One that is being written is seconds old.
pub fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let ours = entries.flatten().filter(|entry| {
        entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes())
    });
    for entry in ours {
        let modified = entry
            .metadata()
            .ok()
            .filter(fs::Metadata::is_file)
            .and_then(|found| found.modified().ok());
        if modified.is_some_and(|at| at.elapsed().is_ok_and(|age| age >= LEFT_BEHIND)) {
            // It costs room, no more: whoever cannot remove it goes on.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Writes to a file that nobody else has: its name is drawn, since in containers every process is number 1. It is removed
/// unless it gets another name.
fn write_beside(folder: &Path, body: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix(PREFIX)
        // As far as the umask allows, like any file that is made here.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    file.write_all(body)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// A repeat of a message that was written before its reader was lost.
fn is_same(path: &Path, item: &Item) -> bool {
    item.attempts > 0
        && fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
        && fs::read(path).is_ok_and(|body| body == item.message.body)
}

#[cfg(test)]
mod tests {
    use tenfour::{MailboxName, Message};

    use super::*;

    fn item(offset: u64, attempts: u32, name: Option<&str>, body: &str) -> Item {
        let mut message = Message::new(MailboxName::inbox(), body.to_owned());
        message.name = name.map(|name| name.parse().unwrap());
        Item::new(offset, 0, tenfour::Sender::Anonymous, message).tried(attempts)
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn no_file_is_ever_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        keep(folder, &item(1, 0, Some("report"), "one")).unwrap();
        keep(folder, &item(2, 0, Some("report"), "two")).unwrap();
        keep(folder, &item(3, 0, None, "three")).unwrap();
        assert_eq!(names(folder), ["inbox-3", "report", "report.2"]);
        assert_eq!(fs::read(folder.join("report")).unwrap(), b"one");
        // Both places are taken by something else: the message stays on the server.
        fs::write(folder.join("report.4"), "mine").unwrap();
        assert!(keep(folder, &item(4, 0, Some("report"), "four")).is_err());
        assert_eq!(names(folder).len(), 4);
    }

    /// The second of two messages with one long name stopped the reader for ever.
    #[test]
    fn a_name_of_255_bytes_may_come_twice() {
        let folder = tempfile::tempdir().unwrap();
        let name = "ü".repeat(127);
        for (offset, body) in [(1, "one"), (2, "two")] {
            keep(folder.path(), &item(offset, 0, Some(&name), body)).unwrap();
        }
        assert_eq!(names(folder.path()), [format!("{}.2", "ü".repeat(69)), name]);
    }

    #[test]
    fn no_name_hides_a_file_or_is_an_option_or_looks_like_another() {
        let folder = tempfile::tempdir().unwrap();
        for (offset, name) in [(1, ".bashrc"), (2, "-rf"), (3, "x\u{202e}txt.exe")] {
            keep(folder.path(), &item(offset, 0, Some(name), "x")).unwrap();
        }
        assert_eq!(names(folder.path()), ["_-rf", "_.bashrc", "x_txt.exe"]);
    }

    #[test]
    fn a_repeat_is_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for attempts in 0..3 {
            keep(folder, &item(1, attempts, None, "one")).unwrap();
        }
        assert_eq!(names(folder), ["inbox-1"]);
        // With a name alone nobody knows whether it is the same message or its twin. None is lost.
        for attempts in 0..3 {
            keep(folder, &item(2, attempts, Some("report"), "two")).unwrap();
        }
        assert_eq!(names(folder), ["inbox-1", "report", "report.2"]);
    }

    /// The file beside was named after the process, and in a container every process is number 1: two readers with one folder
    /// wrote each other's bytes.
    #[test]
    fn two_readers_with_one_number_and_one_folder_keep_their_bytes_apart() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        std::thread::scope(|scope| {
            for reader in 0..4 {
                scope.spawn(move || {
                    for offset in (reader..200).step_by(4) {
                        keep(folder, &item(offset, 0, None, &format!("body {offset}"))).unwrap();
                    }
                });
            }
        });
        assert_eq!(names(folder).len(), 200);
        for offset in 0..200 {
            let body = fs::read_to_string(folder.join(format!("inbox-{offset}"))).unwrap();
            assert_eq!(body, format!("body {offset}"));
        }
    }

    #[test]
    fn what_the_killed_have_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let long_ago = std::time::SystemTime::now() - LEFT_BEHIND;
        for (name, is_old) in [(".tenfour-a", true), (".tenfour-b", false), ("inbox-1", true)] {
            let file = File::create(folder.join(name)).unwrap();
            if is_old {
                file.set_modified(long_ago).unwrap();
            }
        }
        sweep(folder);
        assert_eq!(names(folder), [".tenfour-b", "inbox-1"]);
    }

    #[test]
    fn a_link_that_waits_there_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let target = outside.path().join("target");
        std::os::unix::fs::symlink(&target, folder.path().join("report")).unwrap();
        keep(folder.path(), &item(7, 1, Some("report"), "one")).unwrap();
        assert!(!target.exists());
        assert_eq!(names(folder.path()), ["report", "report.7"]);
    }
}
