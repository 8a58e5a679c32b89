//! Stores and outboxes whose file is not what its path says, and disks on which "no room" has another name.

mod support;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use support::disk::Disk;
use support::{Home, SERVE, Served, mailbox, needs, needs_root, run, wait_for};

fn sqlite(store: &Path, statement: &str) {
    let status = Command::new("sqlite3").arg(store).arg(statement).status();
    assert!(status.unwrap().success());
}

/// Its log lies beside the file, whatever the link is called.
#[test]
fn a_link_to_a_store_is_that_store() {
    let home = Home::new();
    let real = home.path().join("real");
    std::fs::create_dir(&real).unwrap();
    let served = home.serve_with(&["--store", real.join("store.db").to_str().unwrap()]);
    home.run(&["send", &served.native, "one"]).ok();
    served.stop();
    let link = home.path().join("link.db");
    symlink(real.join("store.db"), &link).unwrap();
    let link = link.to_str().unwrap();
    let served = home.serve_with(&["--store", link]);
    assert_eq!(mailbox(&home, &served.native), ["one"]);
    // Under its own name it is in use.
    let own = real.join("store.db");
    let serve_at = |store: &str| home.run(&[&SERVE[..], &["--store", store]].concat());
    serve_at(own.to_str().unwrap()).failed(1, "in use");
    served.stop();
    home.run(&["check", link]).ok();
    std::fs::remove_file(&own).unwrap();
    serve_at(link).failed(1, "a link to a file that is not there");
}

/// Two servers had one store under two names, each with a log of its own, and each lost what the other had stored.
#[test]
fn a_store_with_two_names_is_refused() {
    let home = Home::new();
    let served = home.serve();
    let (store, other) = (home.path().join("store.db"), home.path().join("other.db"));
    std::fs::hard_link(&store, &other).unwrap();
    let other = other.to_str().unwrap();
    home.run(&[&SERVE[..], &["--store", other]].concat())
        .failed(1, "hard links");
    served.stop();
    if !needs("unshare") || !needs_root() {
        return;
    }
    std::fs::remove_file(other).unwrap();
    std::fs::write(other, "").unwrap();
    let mounted = r#"mount --bind "$0" "$1" && exec "$2" serve --native 127.0.0.1:0 --text off --datagram off --store "$1""#;
    let tenfour = env!("CARGO_BIN_EXE_tenfour");
    let front = [
        "unshare",
        "-m",
        "sh",
        "-c",
        mounted,
        store.to_str().unwrap(),
        other,
    ];
    let mut command = Command::new(front[0]);
    command
        .args(&front[1..])
        .arg(tenfour)
        .env("TENFOUR_HOME", home.path());
    run(command, b"").failed(1, "mounted as a single file");
}

/// It went on giving receipts for what nobody would ever read.
#[test]
fn a_store_that_is_taken_away_gives_no_receipts() {
    let home = Home::new();
    let served = home.serve();
    home.run(&["send", &served.native, "one"]).ok();
    let backup = home.path().join("backup.db");
    let backup = backup.to_str().unwrap();
    home.run(&["backup", backup, &served.native]).ok();
    let away = home.path().join("away");
    std::fs::create_dir(&away).unwrap();
    let store = |name: &str| home.path().join(format!("store.db{name}"));
    let not_now = || {
        home.run(&["send", &served.native, "lost", "--timeout", "500ms"])
            .failed(69, "removed, replaced or restored");
    };
    std::fs::rename(store(""), away.join("store.db")).unwrap();
    not_now();
    // What it holds can be saved.
    let saved = home.path().join("saved.db");
    home.run(&["backup", saved.to_str().unwrap(), &served.native])
        .ok();
    served.log.wait_for("what it holds can be saved now");
    // Another store in its place is not it, neither under a new name nor written over the old one.
    std::fs::copy(backup, store("")).unwrap();
    not_now();
    std::fs::rename(away.join("store.db"), store("")).unwrap();
    wait_for("it to be back", || {
        home.run(&["send", &served.native, "two", "--timeout", "500ms", "--id", "two"])
            .code
            == Some(0)
    });
    std::fs::copy(backup, store("")).unwrap();
    wait_for("it to be noticed", || {
        home.run(&["send", &served.native, "lost", "--timeout", "200ms"])
            .code
            == Some(69)
    });
    assert_eq!(served.stop(), Some(0));
    // The backup is whole: nothing of the server's was written into it.
    for rest in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(store(rest));
    }
    home.run(&["check", store("").to_str().unwrap()]).ok();
    let served = home.serve();
    assert_eq!(mailbox(&home, &served.native), ["one"]);
}

/// Whoever had not read before read what lay in its place, or nothing; readers that rested were closed.
#[test]
fn a_store_that_is_taken_away_can_still_be_read() {
    let (home, other) = (Home::new(), Home::new());
    let served = other.serve();
    other.run(&["send", &served.native, "another's"]).ok();
    served.stop();
    let served = home.serve();
    home.run(&["send", &served.native, "one"]).ok();
    let store = home.path().join("store.db");
    std::fs::rename(&store, home.path().join("away.db")).unwrap();
    let saved = home.path().join("saved.db");
    let backup = || {
        home.run(&["backup", saved.to_str().unwrap(), &served.native])
            .ok();
        std::fs::remove_file(&saved).unwrap();
    };
    backup();
    std::fs::copy(other.path().join("store.db"), &store).unwrap();
    served.log.wait_for("what it holds can be saved now");
    backup();
    // Eight at once share what is open.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(mailbox(&home, &served.native), ["one"]));
        }
    });
}

/// The next start showed another key, and every client ended with 76.
#[test]
fn a_key_file_that_is_replaced_is_noticed() {
    let (home, other) = (Home::new(), Home::new());
    let served = home.serve();
    let (own, foreign) = (home.fingerprint(), other.fingerprint());
    let file = home.path().join("identity.pem");
    let away = home.path().join("away.pem");
    std::fs::rename(&file, &away).unwrap();
    served.log.wait_for("put the file back from a backup");
    std::fs::copy(other.path().join("identity.pem"), &file).unwrap();
    served.log.wait_for(&foreign);
    std::fs::write(&file, "").unwrap();
    served.log.wait_for("the next start would fail");
    // Its clients know the key that it has.
    let client = ["send", &served.native, "--identity", away.to_str().unwrap(), "x"];
    home.run(&client).ok();
    std::fs::rename(&away, &file).unwrap();
    served.log.wait_for("holds this server's key again");
    assert_eq!(home.fingerprint(), own);
}

/// A trigger deleted what was stored, and the exit code was 0.
#[test]
fn a_store_that_does_more_than_ours_is_refused() {
    if !needs("sqlite3") {
        return;
    }
    let home = Home::new();
    let served = home.serve();
    home.run(&["send", &served.native, "one"]).ok();
    served.stop();
    let store = home.path().join("store.db");
    for (statement, undo, words) in [
        (
            "CREATE TRIGGER eat AFTER INSERT ON message BEGIN DELETE FROM message; END",
            "DROP TRIGGER eat",
            "trigger `eat`",
        ),
        ("CREATE VIEW more AS SELECT 1", "DROP VIEW more", "view `more`"),
        ("DROP INDEX stream_kind", "", "no index `stream_kind`"),
    ] {
        sqlite(&store, statement);
        home.run(&SERVE).failed(1, words);
        home.run(&["check", store.to_str().unwrap()]).failed(1, words);
        sqlite(&store, undo);
    }
}

/// What was queued afterwards was never delivered, and nobody said so.
#[test]
fn a_delivery_whose_outbox_is_taken_away_ends_in_words() {
    let home = Home::new();
    let served = home.serve();
    home.run(&["queue", &served.native, "one"]).ok();
    let mut command = home.command(&["queue", "--run"]);
    let mut runner = command.stderr(Stdio::piped()).spawn().unwrap();
    wait_for("the message", || mailbox(&home, &served.native) == ["one"]);
    std::fs::rename(home.path().join("outbox.db"), home.path().join("away.db")).unwrap();
    assert_eq!(runner.wait().unwrap().code(), Some(1));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut runner.stderr.take().unwrap(), &mut said).unwrap();
    assert!(said.contains("removed, replaced or restored"), "{said}");
}

/// SQLite calls it an I/O error, and the signal ended the server.
#[test]
fn a_limit_of_a_files_size_is_a_full_disk() {
    let home = Home::new();
    home.serve().stop();
    // In blocks of 1 KiB: bash counts so.
    let limited = ["bash", "-c", r#"ulimit -f 2000; exec "$@""#, "bash"];
    let served = home.serve_under(&limited, &[]);
    let body = "x".repeat(200_000);
    let mut stored = 0;
    let refused = loop {
        let sent = home.run_with_input(&["send", &served.native, "--timeout", "500ms"], body.as_bytes());
        if sent.code != Some(0) {
            break sent;
        }
        stored += 1;
        assert!(stored < 100, "the limit is not in force");
    };
    refused.failed(69, "the store is full");
    assert_eq!(mailbox(&home, &served.native).len(), stored);
    assert_eq!(served.stop(), Some(0));
    let served = home.serve_under(&limited, &[]);
    assert_eq!(mailbox(&home, &served.native).len(), stored);
    served.stop();
    let served = home.serve();
    home.run(&["send", &served.native, "there is room again"]).ok();
}

/// The server ended by SIGBUS when it was stopped: where the quota of a btrfs subvolume is used up, there is no room for a page
/// of the log's index, which is written through memory.
#[test]
fn a_quota_that_is_used_up_is_a_full_disk() {
    let Some(disk) = Disk::new("btrfs", 600) else {
        return;
    };
    let btrfs = |arguments: &[&str], at: &Path| {
        let mut command = Command::new("btrfs");
        run(
            {
                command.args(arguments).arg(at);
                command
            },
            b"",
        )
        .ok();
    };
    let volume = disk.path().join("volume");
    btrfs(&["quota", "enable"], &disk.path());
    btrfs(&["subvolume", "create"], &volume);
    btrfs(&["qgroup", "limit", "40M"], &volume);
    let home = Home::new();
    let store = volume.join("store.db");
    let at = ["--store", store.to_str().unwrap()];
    let served = home.serve_with(&at);
    // What does not compress, and differs from what came before.
    let body = |number: usize| -> Vec<u8> {
        let mut body = vec![0; 700_000];
        std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").unwrap(), &mut body).unwrap();
        body.splice(..0, format!("{number} ").into_bytes());
        body
    };
    let mut stored = 0;
    let refused = loop {
        let sent = home.run_with_input(&["send", &served.native, "--timeout", "1s"], &body(stored));
        if sent.code != Some(0) {
            break sent;
        }
        stored += 1;
        assert!(stored < 200, "the quota is not in force");
    };
    refused.failed(69, "");
    let count = |served: &Served| {
        let listed = home.run(&["tail", &served.native, "--json"]).ok();
        listed.lines().count()
    };
    assert_eq!(count(&served), stored);
    assert_eq!(served.stop(), Some(0));
    // A start maps the index of the log into memory, for which btrfs finds no room: it needs some before.
    btrfs(&["qgroup", "limit", "400M"], &volume);
    home.run(&["check", store.to_str().unwrap()]).ok();
    let served = home.serve_with(&at);
    assert_eq!(count(&served), stored);
    home.run(&["send", &served.native, "there is room again"]).ok();
    served.stop();
}

/// It could not start, and `check` called it damaged.
#[test]
fn a_start_on_a_disk_without_a_byte_left_is_readable() {
    if !needs_root() || !needs("mount") {
        return;
    }
    let home = Home::new();
    let disk = home.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = |arguments: &[&str]| {
        let status = Command::new(arguments[0])
            .args(&arguments[1..])
            .arg(&disk)
            .status();
        assert!(status.unwrap().success());
    };
    mount(&["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs"]);
    let store = disk.join("store.db");
    let at = ["--store", store.to_str().unwrap()];
    let served = home.serve_with(&at);
    home.run(&["send", &served.native, "one"]).ok();
    served.stop();
    // Somebody else fills it.
    let filler = std::fs::File::create(disk.join("filler")).unwrap();
    while std::io::Write::write(&mut &filler, &[b'x'; 4096]).is_ok() {}
    home.run(&["check", store.to_str().unwrap()]).ok();
    let served = home.serve_with(&at);
    assert_eq!(mailbox(&home, &served.native), ["one"]);
    home.run(&["send", &served.native, "two", "--timeout", "500ms"])
        .failed(69, "the store is full");
    drop(filler);
    std::fs::remove_file(disk.join("filler")).unwrap();
    home.run(&["send", &served.native, "two"]).ok();
    served.stop();
    mount(&["umount"]);
}
