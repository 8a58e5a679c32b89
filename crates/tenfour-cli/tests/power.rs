//! Power cuts: what had a receipt before the cut is there after it. Only receipts that were read before it count.

mod support;

use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use support::disk::Disk;
use support::hasty::Hasty;
use support::history::{Sender, Shared, assert_clean, content, dice};
use support::injection::{Fragile, Injection};
use support::{Home, Served};
use tenfour_checker::{Breach, free_address, rounds};

/// Where the server keeps its messages, and how it is started.
struct Site {
    home: Home,
    disk: Disk,
    arguments: Vec<&'static str>,
    /// Flushes do nothing.
    lies: bool,
    /// Lines of each sender, bytes that make them longer, and microseconds until the cut, at most.
    load: (u64, usize, u64),
}

impl Site {
    fn new(kind: &str) -> Option<Self> {
        Self::with(kind, 600)
    }

    /// On a disk of so many megabytes.
    fn with(kind: &str, megabytes: u64) -> Option<Self> {
        Some(Site {
            home: Home::new(),
            disk: Disk::new(kind, megabytes)?,
            arguments: vec!["--quiet"],
            lies: false,
            load: (300, 0, 40_000),
        })
    }

    /// A server that will be killed; `None` if that was before it listened.
    fn serve_fragile(&self, native: &str, injection: &Injection) -> Option<Fragile> {
        let store = self.disk.path().join("store/store.db");
        let mut fragile = Fragile::start(
            &self.home,
            native,
            Some(injection),
            &["--store", store.to_str().unwrap()],
        );
        (!fragile.has_ended()).then_some(fragile)
    }

    fn serve(&self, native: &str) -> Served {
        let store = self.disk.path().join("store/store.db");
        let mut arguments = vec!["--store", store.to_str().unwrap(), "--native", native];
        arguments.extend(&self.arguments);
        if self.lies {
            return self.home.serve_under(
                &[
                    "strace",
                    // The server is our child, so that a kill reaches it.
                    "-D",
                    "-f",
                    "-qq",
                    "-o",
                    "/dev/null",
                    "-e",
                    "trace=fsync,fdatasync",
                    "-e",
                    "inject=fsync,fdatasync:retval=0",
                ],
                &arguments,
            );
        }
        self.home.serve_with(&arguments)
    }
}

/// Cuts the power `cuts` times under load. With `repeat`, whatever was under way is sent again under its id after each
/// cut. Gives the history, with the server for a last look.
fn cut_again_and_again(site: &mut Site, cuts: u64, repeat: bool, durability: &str) -> (Shared, Served) {
    let mut dice = dice();
    let history = Shared::default();
    let mut served = site.serve(&free_address().to_string());
    let native = served.native.clone();
    for cut in 0..cuts {
        let mut senders: Vec<Sender> = ["one", "two", "one"]
            .iter()
            .enumerate()
            .map(|(number, mailbox)| {
                let id = format!("cut{cut}-{number}");
                Sender::start_with(
                    &site.home,
                    &native,
                    mailbox,
                    &id,
                    &history,
                    &["--durability", durability],
                )
            })
            .collect();
        let knife = site.disk.knife();
        for sender in &mut senders {
            sender.pad = site.load.1;
            sender.send(1 + dice.below(site.load.0));
        }
        std::thread::sleep(Duration::from_micros(dice.below(site.load.2)));
        for sender in &senders {
            sender.listening.store(false, Ordering::SeqCst);
        }
        knife.cut();
        served.kill();
        let killed: Vec<_> = senders.into_iter().map(Sender::kill).collect();
        site.disk.restart();
        served = site.serve(&native);
        for (id, mailbox, lines) in killed.into_iter().filter(|_| repeat) {
            let mut again = Sender::start_with(
                &site.home,
                &native,
                &mailbox,
                &id,
                &history,
                &["--durability", durability],
            );
            again.pad = site.load.1;
            again.send(lines);
            assert_eq!(again.finish(), Some(0), "{id}");
        }
    }
    (history, served)
}

fn all_there(site: &Site, served: &Served) -> Vec<tenfour_checker::Found> {
    ["one", "two"]
        .iter()
        .flat_map(|mailbox| content(&site.home, &served.native, mailbox))
        .collect()
}

fn survives(kind: &str, cuts: u64) {
    if let Some(site) = Site::new(kind) {
        survives_at(site, cuts);
    }
}

fn survives_at(mut site: Site, cuts: u64) {
    let (history, served) = cut_again_and_again(&mut site, cuts, true, "disk");
    let verdict = history.lock().unwrap().check(all_there(&site, &served));
    assert_clean(&verdict);
    assert_eq!((verdict.receipted, verdict.stored), (verdict.sent, verdict.sent));
    served.stop();
    let store = site.disk.path().join("store/store.db");
    site.home.run(&["check", store.to_str().unwrap()]).ok();
}

#[test]
fn a_server_on_ext4() {
    survives("ext4", rounds(110, 1_500));
}

#[test]
fn a_server_on_xfs() {
    survives("xfs", rounds(50, 500));
}

/// The log is moved into the file every 8 MiB: large messages, and enough of them for several times between two cuts.
#[test]
fn in_the_middle_of_checkpoints() {
    let Some(mut site) = Site::with("ext4", rounds(600, 6_000)) else {
        return;
    };
    site.load = (2_000, 4_000, 300_000);
    survives_at(site, rounds(10, 200));
}

/// The oldest messages go while others come. What the rule keeps is there after a cut, whatever was on its way out.
#[test]
fn in_the_middle_of_retention() {
    const KEEP: usize = 50_000;
    let Some(mut site) = Site::new("ext4") else { return };
    site.arguments.extend(["--retain", "50K"]);
    site.load = (300, 200, 80_000);
    let (history, served) = cut_again_and_again(&mut site, rounds(15, 300), true, "disk");
    let found = all_there(&site, &served);
    let mut history = history.lock().unwrap();
    for mailbox in ["one", "two"] {
        let kept: Vec<_> = found.iter().filter(|found| found.mailbox == mailbox).collect();
        let bytes: usize = kept.iter().map(|found| found.body.len()).sum();
        assert!(
            bytes + kept[0].body.len() > KEEP,
            "{mailbox}: no more goes than has to"
        );
        assert!(kept[0].offset > 1, "{mailbox}: something went");
        history.let_go(mailbox, kept[0].offset - 1);
    }
    let verdict = history.check(found);
    assert_clean(&verdict);
    assert_eq!(verdict.receipted, verdict.sent);
    served.stop();
    let store = site.disk.path().join("store/store.db");
    site.home.run(&["check", store.to_str().unwrap()]).ok();
}

/// A rig that cannot lose proves nothing.
fn loses(mut site: Site, durability: &str) {
    let (history, served) = cut_again_and_again(&mut site, 20, false, durability);
    let verdict = history.lock().unwrap().check(all_there(&site, &served));
    let broken =
        verdict.count(Breach::Lost) + verdict.count(Breach::Moved) + verdict.count(Breach::FalselyReceipted);
    assert!(broken > 0, "nothing was lost in 20 cuts: {verdict}");
}

#[test]
fn without_flushing_something_is_lost() {
    let Some(mut site) = Site::new("ext4") else { return };
    site.arguments.extend(["--durability", "os"]);
    loses(site, "os");
}

#[test]
fn with_a_disk_that_lies_something_is_lost() {
    if !support::needs("strace") {
        return;
    }
    let Some(mut site) = Site::new("ext4") else { return };
    site.lies = true;
    loses(site, "disk");
}

/// The mistake that all of this is to find, in a build of its own.
#[test]
fn with_a_server_that_acknowledges_before_the_commit_something_is_lost() {
    for cut in 1..=20 {
        let Some(mut site) = Site::new("ext4") else { return };
        let history = Shared::default();
        let hasty = Hasty::serve(&site.home, &site.disk.path().join("store/store.db"));
        let mut sender = Sender::start(&site.home, &hasty.native, "one", "hasty", &history);
        let knife = site.disk.knife();
        sender.send(300);
        support::wait_for("a receipt", || sender.answers.load(Ordering::SeqCst) > 0);
        sender.listening.store(false, Ordering::SeqCst);
        knife.cut();
        hasty.end();
        sender.kill();
        site.disk.restart();
        let served = site.serve(&free_address().to_string());
        let verdict = history.lock().unwrap().check(all_there(&site, &served));
        if verdict.count(Breach::Lost) > 0 {
            return support::history::say(&format!("lost something in cut {cut}"));
        }
    }
    panic!("nothing was lost in 20 cuts");
}

/// Killed between write and flush, a server leaves in its log what only the page cache has. The next one must not give
/// a receipt for that to whoever repeats, unless it has flushed it: a power cut could still take it.
#[test]
fn a_kill_at_a_flush_then_the_repeat_then_a_power_cut() {
    let Some(mut site) = Site::new("ext4") else { return };
    let history = Shared::default();
    let native = site.serve(&free_address().to_string()).native.clone();
    for k in 1..=rounds(20, 200) {
        // The first flushes are those of the start.
        let Some(injection) = Injection::kill("fdatasync", 3 + k % 12) else {
            return;
        };
        let id = format!("k{k}");
        let receipted = || history.lock().unwrap().receipted();
        if let Some(mut served) = site.serve_fragile(&native, &injection) {
            let all = receipted() + 25;
            let more = ["--window", "1"];
            let mut sender = Sender::start_with(&site.home, &native, "one", &id, &history, &more);
            sender.send(25);
            // A thread may flush less often than that; then it is the end of the session that kills.
            support::wait_for("the kill, or the end", || {
                served.has_ended() || receipted() == all
            });
            sender.kill();
        }
        let served = site.serve(&native);
        let knife = site.disk.knife();
        let mut again = Sender::start(&site.home, &native, "one", &id, &history);
        again.send(25);
        // The first receipt of the repeat is all that it takes.
        support::wait_for("a receipt", || again.answers.load(Ordering::SeqCst) > 0);
        again.listening.store(false, Ordering::SeqCst);
        knife.cut();
        served.kill();
        again.kill();
        site.disk.restart();
    }
    let served = site.serve(&native);
    let verdict = history.lock().unwrap().check(all_there(&site, &served));
    assert_clean(&verdict);
    assert!(verdict.receipted >= rounds(20, 200));
}

/// A disk that is filled by others: refused in words, never acknowledged; reading works; it resumes by itself.
#[test]
fn a_full_disk() {
    for _ in 0..rounds(3, 20) {
        let Some(mut site) = Site::with("ext4", 16) else {
            return;
        };
        site.arguments.extend(["--anonymous-quota", "1M"]);
        let history = Shared::default();
        let served = site.serve(&free_address().to_string());
        let target = format!("{}/one", served.native);
        let mut sender = Sender::start(&site.home, &served.native, "one", "full", &history);
        sender.send(10);
        support::wait_for("ten receipts", || history.lock().unwrap().receipted() == 10);
        let filler = site.disk.path().join("filler");
        let mut file = std::fs::File::create(&filler).unwrap();
        while file.write_all(&[1; 64 * 1024]).is_ok() {}
        drop(file);
        site.home
            .run(&["send", &target, "no", "--timeout", "300ms"])
            .failed(69, "the store is full");
        assert_eq!(support::mailbox(&site.home, &target).len(), 10, "reading works");
        sender.send(10);
        std::fs::remove_file(&filler).unwrap();
        let freed = Instant::now();
        support::wait_for("the rest", || history.lock().unwrap().receipted() == 20);
        assert!(freed.elapsed() < Duration::from_secs(2), "{:?}", freed.elapsed());
        assert_eq!(sender.finish(), Some(0));
        let verdict = history
            .lock()
            .unwrap()
            .check(content(&site.home, &served.native, "one"));
        assert_clean(&verdict);
    }
}

/// The first start makes folders, keys and a file: a cut at any moment of it must leave something that starts.
#[test]
fn a_first_start() {
    let mut dice = dice();
    for _ in 0..rounds(20, 200) {
        let Some(mut disk) = Disk::new("ext4", 64) else {
            return;
        };
        let home = disk.path().join("home");
        let knife = disk.knife();
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_tenfour"))
            .args(support::SERVE)
            .arg("--quiet")
            .env("TENFOUR_HOME", &home)
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(dice.below(30_000)));
        knife.cut();
        child.kill().unwrap();
        child.wait().unwrap();
        disk.restart();
        let next = Home::at(&home);
        let served = next.serve_with(&["--quiet"]);
        next.run(&["send", &served.native, "hi"]).ok();
        served.kill();
    }
}

/// The sender's machine loses its power while it queues and delivers: what `queue` had said to be safe arrives once.
#[test]
fn an_outbox() {
    let Some(disk) = Disk::new("ext4", 200) else {
        return;
    };
    outbox_survives(disk, None, rounds(30, 500));
}

/// Sender and server lose it at the same moment.
#[test]
fn an_outbox_and_its_server() {
    let (Some(disk), Some(site)) = (Disk::new("ext4", 200), Site::new("ext4")) else {
        return;
    };
    outbox_survives(disk, Some(site), rounds(15, 200));
}

/// Cuts the power of the outbox, and of the server if it has a site for that.
fn outbox_survives(mut disk: Disk, mut site: Option<Site>, cuts: u64) {
    let mut dice = dice();
    let home = site
        .as_ref()
        .map_or_else(Home::new, |site| Home::at(site.home.path()));
    let start = |site: &Option<Site>, native: &str| match site {
        Some(site) => site.serve(native),
        None => home.serve_with(&["--quiet", "--native", native]),
    };
    let mut served = start(&site, &free_address().to_string());
    let native = served.native.clone();
    let mut queued: Vec<String> = Vec::new();
    let mut perhaps: Vec<String> = Vec::new();
    let outbox = disk.path().join("outbox.db");
    let outbox = outbox.to_str().unwrap();
    for cut in 0..cuts {
        let mut knives = vec![disk.knife()];
        knives.extend(site.as_ref().map(|site| site.disk.knife()));
        let mut running = home
            .command(&["queue", "--run", "--outbox", outbox])
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        for number in 0..3 {
            let body = format!("{cut}-{number}");
            home.run(&["queue", &native, &body, "--outbox", outbox]).ok();
            queued.push(body);
        }
        let last = format!("{cut}-last");
        let mut queuing = home
            .command(&["queue", &native, &last, "--outbox", outbox])
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        perhaps.push(last);
        std::thread::sleep(Duration::from_micros(dice.below(30_000)));
        for knife in knives {
            knife.cut();
        }
        for child in [&mut running, &mut queuing] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        disk.restart();
        if let Some(site) = &mut site {
            served.kill();
            site.disk.restart();
            served = site.serve(&native);
        }
    }
    home.run(&["queue", "--flush", "--outbox", outbox]).ok();
    let found = support::mailbox(&home, &native);
    for body in &queued {
        let count = found.iter().filter(|line| *line == body).count();
        assert_eq!(count, 1, "{body} is there {count} times");
    }
    for body in &perhaps {
        let count = found.iter().filter(|line| *line == body).count();
        assert!(count <= 1, "{body} is there {count} times");
    }
    assert!(found.len() <= queued.len() + perhaps.len());
    let places: Vec<_> = queued
        .iter()
        .map(|body| found.iter().position(|line| line == body))
        .collect();
    assert!(places.is_sorted(), "in the order in which they were queued");
    support::history::say(&format!(
        "{} queued, and {} perhaps: {} found",
        queued.len(),
        perhaps.len(),
        found.len()
    ));
}
