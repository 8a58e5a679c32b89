//! The units of `contrib/`: they are hardened, and the program works within what they allow.

mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use support::{Home, mailbox, needs, run};

fn unit(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../contrib")
        .join(name)
}

fn analyze(arguments: &[&str]) -> String {
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).env("SYSTEMD_PAGER", "");
    run(command, b"").ok()
}

/// 10 is a program that may do whatever its user may.
#[test]
fn the_units_expose_little() {
    if !needs("systemd-analyze") {
        return;
    }
    for (name, most) in [("tenfour.service", 1.2), ("tenfour-queue.service", 1.8)] {
        let said = analyze(&["security", "--offline=true", unit(name).to_str().unwrap()]);
        let level = said
            .rsplit_once(&format!("exposure level for {name}: "))
            .and_then(|(_, rest)| rest.split_whitespace().next()?.parse::<f64>().ok())
            .unwrap_or_else(|| panic!("{said}"));
        assert!(level <= most, "{name}: {level}");
    }
}

#[test]
fn the_units_are_understood() {
    if !needs("systemd-analyze") {
        return;
    }
    // It wants the program in its place.
    let folder = tempfile::tempdir().unwrap();
    let names = [
        "tenfour.service",
        "tenfour-queue.service",
        "tenfour-native.socket",
        "tenfour-text.socket",
    ];
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no", "--recursive-errors=no"]);
    for name in names {
        let text = std::fs::read_to_string(unit(name)).unwrap();
        let text: String = text
            .lines()
            .map(|line| match line.strip_prefix("ExecStart=") {
                Some(_) => format!("ExecStart={}\n", env!("CARGO_BIN_EXE_tenfour")),
                None => format!("{line}\n"),
            })
            .collect();
        std::fs::write(folder.path().join(name), text).unwrap();
        verify.arg(folder.path().join(name));
    }
    let said = run(verify, b"");
    let own: Vec<&str> = said
        .stderr
        .lines()
        .filter(|line| line.contains("tenfour"))
        .collect();
    assert!(said.code == Some(0) && own.is_empty(), "{own:?}");
}

/// The calls of a group, and of the groups in it.
fn calls_of(group: &str) -> BTreeSet<String> {
    let said = analyze(&["syscall-filter", "--no-pager", group]);
    let words = said.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let mut calls = BTreeSet::new();
    for word in words.filter(|word| !word.is_empty() && *word != group) {
        match word.starts_with('@') {
            true => calls.extend(calls_of(word)),
            false => _ = calls.insert(word.to_owned()),
        }
    }
    calls
}

/// What the units' filter does to a call outside of it: the call fails, with EPERM.
fn filter() -> String {
    let unit = std::fs::read_to_string(unit("tenfour.service")).unwrap();
    let filters: Vec<&str> = unit
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="))
        .collect();
    let [allowed, denied] = filters[..] else {
        panic!("{filters:?}");
    };
    let mut calls = calls_of(allowed);
    for group in denied.trim_start_matches('~').split(' ') {
        for call in calls_of(group) {
            calls.remove(&call);
        }
    }
    // A name that this strace does not know is none that it could see. systemd itself starts the program.
    let names: Vec<String> = calls.iter().map(|call| format!("?{call}")).collect();
    format!("!{},?execve", names.join(","))
}

#[test]
fn all_goes_on_within_the_filter_of_the_units() {
    if !["systemd-analyze", "strace"].iter().all(|name| needs(name)) {
        return;
    }
    let filter = filter();
    let home = Home::new();
    let seen = home.path().join("seen");
    let (trace, inject) = (format!("trace={filter}"), format!("inject={filter}:error=EPERM"));
    let front = [
        "strace",
        "-D",
        "-f",
        "-qq",
        "-o",
        seen.to_str().unwrap(),
        "-e",
        &trace,
        "-e",
        &inject,
    ];
    let served = home.serve_under(
        &front,
        &[
            "--http",
            "127.0.0.1:0",
            "--modbus",
            "127.0.0.1:0",
            "--exec-mailbox",
            "jobs",
            "--exec",
            "cat",
        ],
    );
    home.run(&["send", &served.native, "native"]).ok();
    home.run(&["send", &served.text_url(), "text"]).ok();
    home.run(&["send", &served.datagram_url(), "datagram"]).ok();
    let answer = support::http::post(&served, "/inbox", "", "http");
    support::http::is(&answer, 201, "inbox");
    assert_eq!(
        mailbox(&home, &served.native),
        ["native", "text", "datagram", "http"]
    );
    let asked = home.run(&["ask", &served.at("jobs"), "a question"]).ok();
    assert_eq!(asked, "a question");
    home.run(&["receive", &served.native, "--as", "x", "-C", "4"])
        .ok();
    home.run(&["status", &served.native]).ok();
    let backup = home.path().join("backup.db");
    home.run(&["backup", backup.to_str().unwrap(), &served.native])
        .ok();
    assert_eq!(served.stop(), Some(0));
    // As root SQLite gives its files to the owner of the store, who is root.
    let seen = std::fs::read_to_string(&seen).unwrap();
    let refused: Vec<&str> = seen
        .lines()
        .filter(|line| line.contains("(INJECTED)") && !line.contains("fchown"))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}
