//! Programs that handle messages are somebody's: what they get, how they end, what they leave behind.

mod support;

use std::io::Read;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
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
    let children = |of: u32| -> Vec<u32> {
        let list = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
        list.split_whitespace().map(|id| id.parse().unwrap()).collect()
    };
    let first = children(served.pid())[0];
    let threads = || {
        std::fs::read_dir(format!("/proc/{first}/task"))
            .unwrap()
            .flatten()
    };
    let all = || -> Vec<u32> {
        threads()
            .flat_map(|thread| {
                let list = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
                list.split_whitespace()
                    .map(|id| id.parse().unwrap())
                    .collect::<Vec<u32>>()
            })
            .collect()
    };
    wait_for("the messages to be handled", || {
        let status = home.run(&["status", &served.native, "--json"]).ok();
        status
            .lines()
            .any(|row| row.contains(r#""cursor":"serve""#) && row.contains(r#""lag":0"#))
    });
    wait_for("the orphans to be reaped", || all().is_empty());
}

/// They went to the program, which did not complain.
#[test]
fn an_option_behind_the_program_is_said_so() {
    let home = Home::new();
    let served = home.serve();
    let said = home.run(&[
        "receive",
        &served.native,
        "--as",
        "w",
        "--drain",
        "--exec",
        "cat",
        "-C",
        "1",
    ]);
    assert!(
        said.stderr.contains("`-C` stands behind --exec"),
        "{}",
        said.stderr
    );
    let said = home.run(&[
        "receive",
        &served.native,
        "--as",
        "w",
        "--drain",
        "--exec",
        "cat",
        "-n",
    ]);
    assert!(!said.stderr.contains("stands behind"), "{}", said.stderr);
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

/// systemd's own sockets are files, those of others have abstract names.
#[test]
fn readiness_is_told_to_an_abstract_name() {
    let home = Home::new();
    let name = format!("tenfour-test-{}", std::process::id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let ports = home.path().join("ports");
    let mut command = home.command(&[
        "serve",
        "--native",
        "127.0.0.1:0",
        "--text",
        "off",
        "--datagram",
        "off",
    ]);
    command.args(["--port-file", ports.to_str().unwrap()]);
    command.env("NOTIFY_SOCKET", format!("@{name}"));
    let served = support::Served::spawn(command, &ports);
    let mut told = [0; 64];
    socket.set_read_timeout(Some(support::LONG)).unwrap();
    let length = socket.recv(&mut told).unwrap();
    assert_eq!(&told[..length], b"READY=1");
    assert_eq!(served.stop(), Some(0));
    let length = socket.recv(&mut told).unwrap();
    assert_eq!(&told[..length], b"STOPPING=1");
}

/// Text order is time order, and strict parsers take it.
#[test]
fn times_have_one_width() {
    let home = Home::new();
    let served = home.serve();
    for _ in 0..30 {
        home.run(&["send", &served.native, "x"]).ok();
    }
    let lines = home.run(&["tail", &served.native, "--json"]).ok();
    let times: Vec<&str> = lines
        .lines()
        .map(|line| {
            line.split(r#""time":""#)
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap()
        })
        .collect();
    assert!(times.iter().all(|time| time.len() == 27), "{times:?}");
    assert!(times.is_sorted());
}

/// One background signal: shells ignore SIGINT for what they put into the background.
#[test]
fn what_was_ignored_at_the_start_stays_ignored() {
    let home = Home::new();
    let ignoring = ["sh", "-c", r#"trap '' INT; exec "$@""#, "sh"];
    let served = home.serve_under(&ignoring, &[]);
    support::signal(served.pid(), "INT");
    home.run(&["send", &served.native, "still there"]).ok();
    assert_eq!(served.stop(), Some(0));
}
