//! Programs that are not the command: the Python client, and the examples of the library.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Home, mailbox, needs, run, wait_for};

fn python(home: &Home, arguments: &[&str]) -> Command {
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/python/tenfour_client.py");
    let mut command = Command::new("python3");
    command
        .arg(client)
        .arg("--identity")
        .arg(home.path().join("identity.pem"))
        .args(arguments);
    command
}

/// A second implementation, written from docs/protocol.md alone.
#[test]
fn the_python_client_gets_receipts_refusals_and_codes() {
    if !needs("python3") {
        return;
    }
    let home = Home::new();
    let served = home.serve();
    let (host, port) = served.native.split_once(':').unwrap();
    let sent = run(python(&home, &[host, port, "one", "two"]), b"").ok();
    assert_eq!(sent, "inbox 1\ninbox 2\n");
    run(python(&home, &["--id", "k", host, port, "three"]), b"").ok();
    let again = run(python(&home, &["--id", "k", host, port, "three"]), b"").ok();
    assert_eq!(again, "inbox 3 duplicate\n");
    run(python(&home, &["--id", "k", host, port, "drei"]), b"").failed(65, "conflict");
    let stranger = Home::new();
    let (own, theirs) = (stranger.fingerprint(), home.fingerprint());
    let other = Home::new().fingerprint();
    run(python(&stranger, &["--pin", &other, host, port, "x"]), b"").failed(76, "");
    run(python(&stranger, &["--pin", &theirs, host, port, "x"]), b"").failed(77, &own);
    let large = "x".repeat(100_000);
    run(python(&home, &["--mailbox", "big", host, port, &large]), b"").ok();
    assert_eq!(mailbox(&home, &served.at("big")), [large]);
    assert_eq!(mailbox(&home, &served.native), ["one", "two", "three"]);
}

/// The server is killed while the Python client sends; it resumes, and nothing is lost or doubled.
#[test]
fn the_python_client_resumes() {
    if !needs("python3") {
        return;
    }
    let home = Home::new();
    let served = home.serve_with(&["--quiet"]);
    let native = served.native.clone();
    let (host, port) = native.split_once(':').unwrap();
    let texts: Vec<String> = (1..=3_000).map(|n| format!("message {n}")).collect();
    let mut command = python(&home, &["--timeout", "60", host, port]);
    let child = command
        .args(&texts)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the first messages", || {
        !home.run(&["tail", &native, "-n", "1"]).ok().is_empty()
    });
    served.kill();
    let served = home.serve_with(&["--quiet", "--native", &native]);
    let ended: support::Ran = child.wait_with_output().unwrap().into();
    ended.ok();
    assert_eq!(mailbox(&home, &served.native), texts);
}

/// Examples are built beside the command by the test runner.
fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_tenfour"))
        .with_file_name("examples")
        .join(name)
}

#[test]
fn the_examples_run() {
    let home = Home::new();
    let served = home.serve();
    let with_home = |name: &str| {
        let mut command = Command::new(example(name));
        command.env("TENFOUR_HOME", home.path());
        command
    };
    let mut send = with_home("send");
    send.args([&served.native, "hello from an example"]);
    assert_eq!(run(send, b"").ok(), "stored in inbox at 1 (disk)\n");
    for (name, argument, wanted) in [
        ("connect", served.native.as_str(), "server"),
        ("follow", served.native.as_str(), "1 hello from an example"),
        ("consume", served.native.as_str(), "1 hello from an example"),
        ("serve", "127.0.0.1:0", "listening on 127.0.0.1:"),
        ("answer", "127.0.0.1:0", "listening on 127.0.0.1:"),
    ] {
        let mut child = with_home(name)
            .arg(argument)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(
            &mut std::io::BufReader::new(child.stdout.take().unwrap()),
            &mut line,
        )
        .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(line.starts_with(wanted), "{line}");
    }
}

#[test]
fn the_example_that_asks_hears_the_example_that_handles() {
    let home = Home::new();
    let served = home.serve();
    let start = |name: &str| {
        let mut command = Command::new(example(name));
        command.env("TENFOUR_HOME", home.path()).arg(&served.native);
        command
    };
    let mut handling = start("handle").spawn().unwrap();
    let mut asking = start("ask");
    asking.arg("what do you say?");
    assert_eq!(run(asking, b"").ok(), "WHAT DO YOU SAY?");
    handling.kill().unwrap();
    handling.wait().unwrap();
}

#[test]
fn the_example_that_answers_counts_words() {
    let home = Home::new();
    home.fingerprint();
    let mut server = Command::new(example("answer"))
        .arg("127.0.0.1:0")
        .env("TENFOUR_HOME", home.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(server.stdout.take().unwrap()),
        &mut line,
    )
    .unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap();
    let ask = |text: &str| home.run(&["ask", address, "--durability", "memory", "-m", text]);
    assert_eq!(ask("how many words?").ok(), "3\n");
    assert_eq!(ask("").failed(1, "").stdout, "no words\n");
    server.kill().unwrap();
    server.wait().unwrap();
}
