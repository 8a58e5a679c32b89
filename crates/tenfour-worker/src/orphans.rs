//! What programs leave behind, where nobody else reaps it: as process 1 of a container, each of their orphans is ours.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, WaitOptions, waitpid};
use tokio::process::{Child, Command};

/// Between two looks.
const PACE: Duration = Duration::from_secs(1);

/// Programs that we wait for ourselves. While it is locked, none starts.
static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn running() -> MutexGuard<'static, BTreeSet<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A program that somebody waits for, as long as this lives.
pub(crate) struct Running(Option<u32>);

impl Running {
    pub(crate) fn start(command: &mut Command) -> io::Result<(Child, Self)> {
        let mut running = running();
        let child = command.spawn()?;
        let id = child.id();
        running.extend(id);
        Ok((child, Running(id)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(id) = self.0 {
            running().remove(&id);
        }
    }
}

/// Reaps orphans for ever, if this is process 1; else somebody else does.
pub async fn reap_orphans() {
    if std::process::id() != 1 {
        return;
    }
    loop {
        tokio::time::sleep(PACE).await;
        // A look at the processes takes microseconds.
        reap();
    }
}

fn reap() {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else {
        return;
    };
    let lists = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let running = running();
    for list in lists {
        let ids = list.split_whitespace().filter_map(|id| id.parse::<u32>().ok());
        for id in ids.filter(|id| !running.contains(id)) {
            let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
            // One that still runs is looked at again.
            let _ = pid.map(|pid| waitpid(Some(pid), WaitOptions::NOHANG));
        }
    }
}
