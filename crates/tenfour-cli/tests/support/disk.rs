//! A disk of its own, from which the power can be taken: a file system in a file, on a loop device.
//!
//! The ioctl `FS_IOC_SHUTDOWN` with `NOLOGFLUSH` throws away everything that was not flushed, as a power cut does, and
//! takes a tenth of a second. Needs root.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{needs, needs_root};

/// `FS_IOC_SHUTDOWN` is `_IOR('X', 125, u32)`; 2 is NOLOGFLUSH. Calling it takes `unsafe` in Rust.
const CUT: &str = "
import fcntl, os, struct, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
sys.stdout.write('ready\\n'); sys.stdout.flush()
sys.stdin.read()
fcntl.ioctl(fd, (2 << 30) | (4 << 16) | (ord('X') << 8) | 125, struct.pack('I', 2))
";

pub struct Disk {
    folder: TempDir,
    mounted: bool,
}

impl Disk {
    /// With an empty file system of that kind; `None` where that cannot be had.
    pub fn new(kind: &str, megabytes: u64) -> Option<Self> {
        let make = format!("mkfs.{kind}");
        let needed = [make.as_str(), "mount", "umount", "python3"];
        if !needs_root() || !needed.iter().all(|program| needs(program)) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(megabytes << 20).unwrap();
        ok(Command::new(make).arg("-q").arg(&image));
        std::fs::create_dir(folder.path().join("mounted")).unwrap();
        let mut disk = Disk {
            folder,
            mounted: false,
        };
        disk.mount();
        Some(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    fn mount(&mut self) {
        ok(Command::new("mount")
            .args(["-o", "loop"])
            .arg(self.folder.path().join("image"))
            .arg(self.path()));
        self.mounted = true;
    }

    /// Something that cuts the power at once when it is told to: all that takes time is done before.
    pub fn knife(&self) -> Knife {
        let mut child = Command::new("python3")
            .arg("-c")
            .arg(CUT)
            .arg(self.path())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        assert_eq!(line, "ready\n");
        Knife(child)
    }

    /// After a cut, and after the end of everybody who used it: what a start finds.
    pub fn restart(&mut self) {
        self.unmount();
        self.mount();
    }

    fn unmount(&mut self) {
        if std::mem::take(&mut self.mounted) {
            unmount(&self.path());
        }
    }
}

/// Cuts the power.
pub struct Knife(std::process::Child);

impl Knife {
    pub fn cut(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Knife {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever still has a file open may be what has failed.
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

/// A process that was killed holds its files for a moment.
fn unmount(path: &Path) {
    super::wait_for("the disk to be let go", || {
        Command::new("umount")
            .arg(path)
            .output()
            .unwrap()
            .status
            .success()
    });
}

#[track_caller]
fn ok(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}
