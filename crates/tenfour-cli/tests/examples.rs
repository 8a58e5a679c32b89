//! The examples for each listener, as their README says.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{Home, Lines, Receiving, mailbox, needs, python_with_pymodbus, run, wait_for};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(name)
}

fn python(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.arg("-B").arg(example(name)).args(arguments);
    command
}

#[test]
fn a_line_a_datagram_and_a_post() {
    if !needs("python3") {
        return;
    }
    let home = Home::new();
    let served = home.serve_with(&["--http", "127.0.0.1:0"]);
    let (host, port) = served.text.split_once(':').unwrap();
    let text = run(python("text/send.py", &[host, port, "by text"]), b"");
    assert_eq!(text.ok(), "10-4 inbox 1\n");
    let (host, port) = served.datagram.split_once(':').unwrap();
    for (n, body) in [(2, "by datagram, which is long enough"), (3, "x")] {
        let datagram = run(python("datagram/send.py", &[host, port, body]), b"");
        assert_eq!(datagram.ok(), format!("10-4 inbox {n}\n"));
    }
    let url = format!("http://{}/inbox", served.http);
    let http = run(python("http/send.py", &[&url, "by http"]), b"");
    assert_eq!(http.ok(), "10-4 inbox 4 disk\n");
    let url = format!("http://{}/other", served.http);
    run(python("http/send.py", &[&url, "x"]), b"").failed(1, "without a token");
    run(python("http/send.py", &[&url, "x", &served.token()]), b"").ok();
    assert_eq!(
        mailbox(&home, &served.native),
        ["by text", "by datagram, which is long enough", "x", "by http"]
    );
}

/// What a client believes of a RECEIPT decides whether its user is told the truth.
#[test]
fn the_client_in_python_believes_the_good_receipts_of_the_vectors() {
    if !needs("python3") {
        return;
    }
    let home = Home::new();
    home.fingerprint();
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop/vectors.py");
    let mut command = Command::new("python3");
    command
        .arg("-B")
        .arg(vectors)
        .arg(home.path().join("identity.pem"));
    let tried = run(command, b"").ok();
    let tried: usize = tried.trim().trim_end_matches(" receipts").parse().unwrap();
    assert!(tried > 15, "{tried}");
}

#[test]
fn events_are_followed_over_a_restart_without_a_gap() {
    if !needs("python3") {
        return;
    }
    let home = Home::new();
    let served = home.serve_with(&["--http", &tenfour_checker::free_address().to_string()]);
    let token = home.run(&["keys", "token", "follower", "read=inbox"]).ok();
    home.run(&["send", &served.native, "before"]).ok();
    let url = format!("http://{}/v1/events?last=1", served.http);
    let mut child = python("http/follow.py", &[&url, token.trim()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = Lines::of(child.stdout.take().unwrap());
    lines.wait_for("1 before");
    let (http, native) = (served.http.clone(), served.native.clone());
    served.kill();
    let served = home.serve_with(&["--http", &http, "--native", &native]);
    for n in 2..5 {
        home.run(&["send", &served.native, &format!("message {n}")]).ok();
    }
    lines.wait_for("4 message 4");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(
        lines.all(),
        ["1 before", "2 message 2", "3 message 3", "4 message 4"]
    );
}

#[test]
fn an_alarm_by_modbus_is_stored_and_handled() {
    let Some(python) = python_with_pymodbus() else {
        return;
    };
    let home = Home::new();
    let served = home.serve_with(&["--modbus", "127.0.0.1:0"]);
    let (host, port) = served.modbus.split_once(':').unwrap();
    let alarm = || {
        let mut command = Command::new(&python);
        command
            .arg("-B")
            .arg(example("modbus/alarm.py"))
            .args([host, port, "3"]);
        run(command, b"").ok()
    };
    assert_eq!(alarm(), "1 stored, nobody handles them\n");
    home.run(&["receive", &served.at("modbus/3"), "--as", "pager", "--drain"])
        .ok();
    assert_eq!(alarm(), "2 stored, 1 not handled yet\n");
}

#[test]
fn the_handler_answers() {
    let home = Home::new();
    let served = home.serve();
    let handler = example("handler/answer.sh");
    let _reader = Receiving::start(
        &home,
        &served,
        &["--as", "worker", "--exec", handler.to_str().unwrap()],
    );
    let ask = |question: &str| home.run(&["ask", &served.native, question]);
    assert!(ask("disk").ok().ends_with("% used\n"));
    assert!(
        ask("nonsense")
            .failed(2, "")
            .stdout
            .starts_with("unknown: nonsense (from SHA256:")
    );
    wait_for("all to be done", || {
        let status = home.run(&["status", &served.native, "--json"]).ok();
        status.contains(r#""cursor":"worker""#) && status.contains(r#""lag":0"#)
    });
}
