//! `tenfour bench` on an outbox, and its torture: short, only to see that they say what is so.

mod support;

use serde_json::Value;
use support::Home;

#[test]
fn a_server_of_its_own_is_tortured_and_loses_nothing() {
    let home = Home::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let said = home
        .run(&["bench", "--torture", path, "--seconds", "2s", "--json"])
        .ok();
    let row: Value = serde_json::from_str(&said).unwrap();
    let number = |name: &str| row[name].as_u64().unwrap();
    assert!(
        number("sent") > 0 && number("kills") + number("cuts") > 0,
        "{said}"
    );
    assert_eq!(number("receipted"), number("sent"), "{said}");
    assert_eq!(number("stored"), number("sent"), "{said}");
    for breach in [
        "lost",
        "twice",
        "out_of_order",
        "moved",
        "falsely_receipted",
        "gaps",
    ] {
        assert_eq!(number(breach), 0, "{said}");
    }
    assert!(
        folder.path().read_dir().unwrap().next().is_none(),
        "nothing is left behind"
    );
    home.run(&["bench", "a", "--torture", path])
        .failed(2, "there is no target");
    home.run(&["bench", "--torture", "/nowhere"])
        .failed(1, "cannot use");
}

#[test]
fn a_disk_that_is_memory_is_too_good_to_be_true() {
    if !std::path::Path::new("/dev/shm").is_dir() {
        return;
    }
    let home = Home::new();
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = folder.path().to_str().unwrap();
    let said = home.run(&["bench", "--torture", path, "--seconds", "500ms"]);
    assert!(said.stderr.contains("warning: this disk says"), "{}", said.stderr);
    let table = said.ok();
    assert!(
        table.contains("falsely receipted") && table.contains("one flush"),
        "{table}"
    );
}

#[test]
fn who_interrupts_it_is_left_with_nothing() {
    let home = Home::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    home.run(&["bench", "--torture", path, "--seconds", "0s"])
        .failed(2, "more than 0");
    let mut child = home
        .command(&["bench", "--torture", path, "--seconds", "1h"])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let left = || std::fs::read_dir(path).unwrap().count();
    let has_store =
        |folder: std::io::Result<std::fs::DirEntry>| folder.unwrap().path().join("store.db").exists();
    support::wait_for("it to begin", || std::fs::read_dir(path).unwrap().any(has_store));
    let interrupt = ["-INT", &child.id().to_string()];
    assert!(
        std::process::Command::new("kill")
            .args(interrupt)
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(left(), 0);
}

#[test]
fn an_outbox_is_measured_and_removed() {
    let home = Home::new();
    let served = home.serve_with(&["--quiet"]);
    let path = home.path().join("measured.db");
    let path = path.to_str().unwrap();
    let said = home
        .run(&[
            "bench",
            &served.native,
            "--outbox",
            path,
            "--seconds",
            "100ms",
            "--json",
        ])
        .ok();
    let row: Value = serde_json::from_str(&said).unwrap();
    assert!(row["delivered_per_second"].as_f64().unwrap() > 0.0, "{said}");
    assert!(!std::fs::exists(path).unwrap());
    home.run(&["bench", &served.native, "--outbox", home.path().to_str().unwrap()])
        .failed(2, "is there already");
}
