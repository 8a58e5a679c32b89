//! The recipe, both ways: its own programs in C++, and `nc`.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use support::{Home, compiled, mailbox, needs, run, wait_for};

#[test]
fn the_recipes_client_against_our_server() {
    if !needs("g++") {
        return;
    }
    let home = Home::new();
    let served = home.serve();
    let (host, port) = served.text.split_once(':').unwrap();
    let mut client = Command::new(compiled("client"));
    client.args([host, port]);
    let said = run(client, b"hi there\n").ok();
    assert_eq!(said, "You are connected!\nWhat message for the server? : ");
    served.console.wait_for("Got the message:hi there");
    let console = served.console.all();
    assert!(
        console[0].starts_with("server: got connection from = 127.0.0.1 and port = "),
        "{console:?}"
    );
    assert_eq!(mailbox(&home, &served.at("inbox")), ["hi there"]);
}

#[test]
fn sixty_four_of_the_recipes_clients_at_once() {
    if !needs("g++") {
        return;
    }
    let home = Home::new();
    let served = home.serve();
    let (host, port) = served.text.split_once(':').unwrap();
    let program = compiled("client");
    let mut clients: Vec<_> = (0..64)
        .map(|n| {
            let mut client = Command::new(&program)
                .args([host, port])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            // All are connected before any of them speaks.
            let stdin = client.stdin.take().unwrap();
            (n, client, stdin)
        })
        .collect();
    wait_for("64 connections", || {
        served
            .console
            .all()
            .iter()
            .filter(|line| line.contains("got connection"))
            .count()
            == 64
    });
    for (n, _, stdin) in &mut clients {
        writeln!(stdin, "client {n}").unwrap();
    }
    for (_, mut client, stdin) in clients {
        drop(stdin);
        assert!(client.wait().unwrap().success());
    }
    wait_for("64 messages", || mailbox(&home, &served.at("inbox")).len() == 64);
    let mut found = mailbox(&home, &served.at("inbox"));
    found.sort();
    let mut wanted: Vec<String> = (0..64).map(|n| format!("client {n}")).collect();
    wanted.sort();
    assert_eq!(found, wanted);
}

/// The recipe's server reads once and closes: nobody can know, and we say so.
#[test]
fn our_client_against_the_recipes_server() {
    if !needs("g++") {
        return;
    }
    let program = compiled("server");
    for (no_receipt, code) in [(false, 75), (true, 0)] {
        let mut server = Command::new(&program)
            .arg("0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let port = first.strip_prefix("server: listening on port = ").unwrap();
        let target = format!("tcp://127.0.0.1:{port}");
        let home = Home::new();
        let mut arguments = vec!["send", &target, "hello recipe"];
        if no_receipt {
            arguments.push("--no-receipt");
        }
        let sent = home.run(&arguments);
        assert_eq!(sent.code, Some(code), "{}", sent.stderr);
        assert_eq!(
            sent.stderr.contains("--no-receipt"),
            !no_receipt,
            "{}",
            sent.stderr
        );
        assert!(
            lines
                .next()
                .unwrap()
                .unwrap()
                .starts_with("server: got connection from = 127.0.0.1")
        );
        assert_eq!(lines.next().unwrap().unwrap(), "Got the message:hello recipe");
        assert!(server.wait().unwrap().success());
    }
}

#[test]
fn nc_line_by_line_and_to_the_end_of_the_stream() {
    if !needs("nc") {
        return;
    }
    let home = Home::new();
    let served = home.serve();
    let (host, port) = served.text.split_once(':').unwrap();
    let mut nc = Command::new("nc")
        .args([host, port])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = nc.stdin.take().unwrap();
    let mut stdout = BufReader::new(nc.stdout.take().unwrap());
    for (n, wanted) in [(1, "You are connected!10-4 inbox 1\n"), (2, "10-4 inbox 2\n")] {
        writeln!(stdin, "line {n}").unwrap();
        let mut answer = String::new();
        stdout.read_line(&mut answer).unwrap();
        assert_eq!(answer, wanted);
    }
    nc.kill().unwrap();
    nc.wait().unwrap();
    let mut whole = Command::new("nc");
    whole.args(["-N", host, port]);
    assert_eq!(
        run(whole, b"no line end").ok(),
        "You are connected!10-4 inbox 3\n"
    );
    assert_eq!(
        mailbox(&home, &served.at("inbox")),
        ["line 1", "line 2", "no line end"]
    );
}

#[test]
fn a_message_cannot_forge_a_line_of_the_console() {
    let home = Home::new();
    let served = home.serve();
    home.run(&["send", &served.native, "-m", "x\r\nGot the message:forged"])
        .ok();
    served
        .console
        .wait_for("Got the message:x\\r\\nGot the message:forged");
}

#[test]
fn a_quiet_server_prints_nothing() {
    let home = Home::new();
    let served = home.serve_with(&["--quiet"]);
    home.run(&["send", &served.native, "hush"]).ok();
    assert_eq!(served.console.all(), [""; 0]);
}
