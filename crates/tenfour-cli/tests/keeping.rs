//! What a server keeps, how long, and how it is taken away: `serve --retain`, `tenfour backup`.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use support::{Home, mailbox, wait_for};

#[test]
fn the_oldest_messages_go_and_the_log_says_so() {
    let home = Home::new();
    let served = home.serve_with(&["--retain", "logs/*=1K", "--retain", "30d"]);
    let lines: String = (1..=300).map(|n| format!("message {n:03}\n")).collect();
    home.run_with_input(&["send", &served.at("logs/web"), "-l"], lines.as_bytes())
        .ok();
    home.run_with_input(&["send", &served.native, "-l"], lines.as_bytes())
        .ok();
    wait_for("the oldest to go", || {
        mailbox(&home, &served.at("logs/web")).len() == 93
    });
    assert_eq!(mailbox(&home, &served.at("logs/web"))[0], "message 208");
    assert_eq!(mailbox(&home, &served.native).len(), 300);
    served.log.wait_for("deleted the oldest messages");
    served.stop();
    home.run(&["check"]).ok();
}

#[test]
fn what_a_cursor_has_not_passed_is_kept_and_named() {
    let home = Home::new();
    let served = home.serve_with(&["--retain", "inbox=10B"]);
    let lines: String = (1..=50).map(|n| format!("{n}\n")).collect();
    let read = |count: &str| {
        home.run(&["receive", &served.native, "--as", "worker", "-C", count])
            .ok()
    };
    home.run(&["send", &served.native, "0"]).ok();
    assert_eq!(read("1"), "0\n");
    home.run_with_input(&["send", &served.native, "-l"], lines.as_bytes())
        .ok();
    served.log.wait_for("are held back by a cursor");
    // Nothing that it wants is missing.
    assert_eq!(read("50"), lines);
    wait_for("the rest to go", || mailbox(&home, &served.native).len() == 5);
}

#[test]
fn rules_that_mean_nothing_are_refused() {
    let home = Home::new();
    for (rule, words) in [
        ("30x", "is none of"),
        ("5m", "is none of"),
        ("0d", "the shortest time"),
        ("30", "is none of"),
        ("0K", "is none of"),
        ("A=30d", "a mailbox name has"),
    ] {
        home.run(&["serve", "--retain", rule]).failed(2, words);
    }
    home.run(&["serve", "--store", "memory", "--retain", "30d"])
        .failed(2, "--retain is for a store on disk");
}

#[test]
fn a_backup_of_a_running_server_is_a_whole_store() {
    let home = Home::new();
    let served = home.serve();
    let file = home.path().join("backup.db");
    let path = file.to_str().unwrap();
    let lines: String = (1..=2_000).map(|n| format!("{n}\n")).collect();
    home.run_with_input(&["send", &served.native, "-l"], lines.as_bytes())
        .ok();
    let said = home.run(&["backup", path, &served.native]);
    assert!(
        said.stderr.contains("2000 messages in 1 mailbox"),
        "{}",
        said.stderr
    );
    said.ok();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    home.run(&["backup", path, &served.native])
        .failed(1, "is there already");
    // The server goes on; the backup is of before.
    home.run(&["send", &served.native, "later"]).ok();
    home.run(&["check", path]).ok();
    let other = Home::new();
    other
        .run(&["backup", "nowhere.db", &served.native])
        .failed(76, "the server's key is not known");
    let key = other.fingerprint();
    home.run(&["keys", "allow", &key, "status", "read=*"]).ok();
    other
        .run(&["keys", "trust", &served.native, &home.fingerprint()])
        .ok();
    let elsewhere = other.path().join("b.db");
    other
        .run(&["backup", elsewhere.to_str().unwrap(), &served.native])
        .failed(77, "this key may not have a backup");
    assert!(!elsewhere.exists());
    served.stop();
    let left: Vec<_> = fs::read_dir(home.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("copy") || name.contains("part"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    // In the place of the store, as the README says.
    fs::rename(&file, home.path().join("store.db")).unwrap();
    let restored = home.serve();
    assert_eq!(mailbox(&home, &restored.native).len(), 2_000);
    restored.stop();
    let memory = home.serve_with(&["--store", "memory"]);
    let third = home.path().join("third.db");
    home.run(&["backup", third.to_str().unwrap(), &memory.native])
        .failed(65, "not a file");
}
