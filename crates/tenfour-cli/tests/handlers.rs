//! Programs that handle messages are somebody's: what they get, how they end, what they leave behind.

mod support;

use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use support::{Home, needs, needs_root, wait_for, wait_for_the_end_of};

/// After SIGHUP the program of the first reader and that of the second ran at once.
#[test]
fn a_terminal_that_is_gone_ends_the_programs() {
    let home = Home::new();
    let served = home.serve();
    home.run(&["send", &served.native, "job"]).ok();
    let pid = home.path().join("pid");
    let slow = format!("echo $$ > {0}.new; mv {0}.new {0}; sleep 60", pid.display());
    for (signal, code) in [("HUP", 129), ("QUIT", 131), ("TERM", 143)] {
        let mut reader = home
            .command(&[
                "receive",
                &served.native,
                "--as",
                "w",
                "--retries",
                "forever",
                "--sh",
                &slow,
            ])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("the program", || pid.exists());
        support::signal(reader.id(), signal);
        assert_eq!(reader.wait().unwrap().code(), Some(code));
        wait_for_the_end_of(&pid);
        std::fs::remove_file(&pid).unwrap();
    }
}

#[test]
fn a_program_has_the_soft_limits_that_were_set() {
    if !needs("bash") {
        return;
    }
    let home = Home::new();
    let limited = ["bash", "-c", r#"ulimit -Sn 1000; exec "$@""#, "bash"];
    let served = home.serve_under(&limited, &["--exec", "sh", "-c", "ulimit -Sn"]);
    assert_eq!(home.run(&["ask", &served.native, "?"]).ok(), "1000\n");
}

/// As process 1 of a container, orphans of programs are ours.
#[test]
fn what_programs_leave_behind_is_reaped() {
    if !needs("unshare") || !needs_root() {
        return;
    }
    let home = Home::new();
    let front = ["unshare", "-pf", "--mount-proc", "--kill-child"];
    let orphan = "setsid sh -c 'sleep 0.2' > /dev/null 2>&1 & sleep 0.1";
    let served = home.serve_under(&front, &["--exec-anonymous", "--exec", "sh", "-c", orphan]);
    for _ in 0..5 {
        home.run(&["send", &served.native, "x"]).ok();
    }
    let ids = |list: &Path| -> Vec<u32> {
        let list = std::fs::read_to_string(list).unwrap_or_default();
        list.split_whitespace().map(|id| id.parse().unwrap()).collect()
    };
    let unshare = format!("/proc/{0}/task/{0}/children", served.pid());
    let first = ids(Path::new(&unshare))[0];
    let children = || {
        let threads = std::fs::read_dir(format!("/proc/{first}/task")).unwrap();
        let lists = threads.flatten().map(|thread| thread.path().join("children"));
        lists.flat_map(|list| ids(&list)).collect::<Vec<u32>>()
    };
    wait_for("the messages to be handled", || {
        let status = home.run(&["status", &served.native, "--json"]).ok();
        status
            .lines()
            .any(|row| row.contains(r#""cursor":"serve""#) && row.contains(r#""lag":0"#))
    });
    wait_for("the orphans to be reaped", || children().is_empty());
}

/// They went to the program, which did not complain.
#[test]
fn an_option_behind_the_program_is_said_so() {
    let home = Home::new();
    let served = home.serve();
    let said = |program: &[&str]| {
        let receive = ["receive", &served.native, "--as", "w", "--drain", "--exec"];
        home.run(&[&receive[..], program].concat()).stderr
    };
    let wrong = said(&["cat", "-C", "1"]);
    assert!(wrong.contains("`-C` stands behind --exec"), "{wrong}");
    let right = said(&["cat", "-n"]);
    assert!(!right.contains("stands behind"), "{right}");
}

/// Nobody reads what the programs write: that is no fault of the messages.
#[test]
fn a_reader_that_goes_away_leaves_nothing_running_and_nothing_done() {
    let home = Home::new();
    let served = home.serve();
    for _ in 0..3 {
        home.run(&["send", &served.native, "x"]).ok();
    }
    let mut reader = home
        .command(&[
            "receive",
            &served.native,
            "--as",
            "w",
            "--drain",
            "--jobs",
            "1",
            "--exec",
            "echo",
            "handled",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(reader.stdout.take());
    assert_eq!(reader.wait().unwrap().code(), Some(1));
    let mut said = String::new();
    reader.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("nobody reads stdout"), "{said}");
    let rest = home
        .run(&["receive", &served.native, "--as", "w", "--drain", "--json"])
        .ok();
    assert_eq!(rest.matches(r#""attempt":1"#).count(), 3, "{rest}");
}
