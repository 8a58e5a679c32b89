//! Descriptors that nobody reads, that are closed, or that say nothing.

mod support;

use std::io::Read;
use std::net::TcpStream;
use std::process::Stdio;

use rustix::fs::OFlags;
use support::{Home, Served, mailbox, run, wait_for};

/// A pipe that takes nothing more. Whoever has the second part could read it.
fn full_pipe() -> (std::io::PipeWriter, std::io::PipeReader) {
    let (reader, writer) = std::io::pipe().unwrap();
    let usual = rustix::fs::fcntl_getfl(&writer).unwrap();
    rustix::fs::fcntl_setfl(&writer, usual | OFlags::NONBLOCK).unwrap();
    while rustix::io::write(&writer, &[b'\n'; 4096]).is_ok() {}
    rustix::fs::fcntl_setfl(&writer, usual).unwrap();
    (writer, reader)
}

/// Ctrl-S, or a reader of the log that hangs: the next line stopped every listener.
#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let home = Home::new();
    let ports = home.path().join("ports");
    let (full, mut reader) = full_pipe();
    let mut command = home.command(&[
        "serve",
        "--quiet",
        "--native",
        "127.0.0.1:0",
        "--text",
        "127.0.0.1:0",
    ]);
    command
        .args(["--datagram", "off", "--port-file", ports.to_str().unwrap()])
        // A line for each thing that happens.
        .env("TENFOUR_LOG", "trace")
        .stderr(full);
    let mut server = command.stdout(Stdio::null()).spawn().unwrap();
    // Its lines wait; ours would keep the pipe open.
    drop(command);
    wait_for("the port file", || ports.exists());
    let listed = std::fs::read_to_string(&ports).unwrap();
    let find = |name: &str| {
        listed
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap()
            .trim()
            .to_owned()
    };
    for _ in 0..20 {
        home.run(&["send", &find("native"), "through"]).ok();
        let mut greeting = [0; 18];
        let mut stranger = TcpStream::connect(find("text")).unwrap();
        stranger.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"You are connected!");
    }
    // Somebody reads again, and is told what he has missed, if anything.
    let reading = std::thread::spawn(move || {
        let mut text = Vec::new();
        reader.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    });
    support::signal(server.id(), "TERM");
    assert_eq!(server.wait().unwrap().code(), Some(0));
    assert!(reading.join().unwrap().contains("native listens on"));
}

/// It ended with 0 at the next message.
#[test]
fn a_server_goes_on_without_a_reader_of_its_stdout() {
    let home = Home::new();
    let ports = home.path().join("ports");
    let mut command = home.command(&["serve", "--native", "127.0.0.1:0", "--text", "off"]);
    command.args(["--datagram", "off", "--port-file", ports.to_str().unwrap()]);
    let served = Served::spawn_unread(command, &ports);
    for body in ["one", "two", "three"] {
        home.run(&["send", &served.native, body]).ok();
    }
    assert_eq!(mailbox(&home, &served.native), ["one", "two", "three"]);
    assert_eq!(served.stop(), Some(0));
}

/// Rust opens /dev/null in the place of a descriptor that is closed, so messages counted as written out.
#[test]
fn what_cannot_be_written_is_not_done() {
    let home = Home::new();
    let served = home.serve();
    for body in ["one", "two"] {
        home.run(&["send", &served.native, body]).ok();
    }
    let closed = |arguments: &[&str]| {
        let front = ["sh", "-c", r#"exec "$@" >&-"#, "sh"];
        run(home.command_under(&front, arguments), b"")
    };
    closed(&["receive", &served.native, "--as", "w", "--drain"]).failed(1, "cannot write to stdout");
    closed(&["tail", &served.native]).failed(1, "cannot write to stdout");
    // It is stored, and that cannot be said.
    closed(&["send", &served.native, "three", "--json"]).failed(1, "everything else is done");
    closed(&["send", &served.native, "four"]).ok();
    let rest = home
        .run(&["receive", &served.native, "--as", "w", "--drain"])
        .ok();
    assert_eq!(rest, "one\ntwo\nthree\nfour\n");
}

/// `false | tenfour send a`, `tenfour send a "$UNSET"`, and a stdin that is closed stored an empty message with exit code 0.
#[test]
fn an_empty_message_wants_to_be_asked_for() {
    let home = Home::new();
    let served = home.serve();
    home.run(&["send", &served.native]).failed(2, "stdin is empty");
    home.run(&["send", &served.native, ""]).failed(2, "-m ''");
    home.run(&["queue", &served.native, ""]).failed(2, "-m ''");
    home.run(&["ask", &served.native]).failed(64, "stdin is empty");
    let front = ["sh", "-c", r#"exec "$@" <&-"#, "sh"];
    run(home.command_under(&front, &["send", &served.native]), b"").failed(1, "cannot read stdin");
    assert_eq!(mailbox(&home, &served.native), [""; 0]);
    home.run(&["send", &served.native, "-m", ""]).ok();
    home.run_with_input(&["send", &served.native, "-f", "-"], b"from stdin")
        .ok();
    assert_eq!(mailbox(&home, &served.native), ["", "from stdin"]);
}

/// Scripts, CI and compose files unset a variable by setting it to nothing.
#[test]
fn a_variable_that_is_empty_is_not_set() {
    let home = Home::new();
    let served = home.serve();
    let mut command = home.command(&["send", &served.native]);
    for name in [
        "TIMEOUT",
        "ID",
        "TYPE",
        "JSON",
        "IDENTITY",
        "MESSAGE",
        "DURABILITY",
    ] {
        command.env(format!("TENFOUR_{name}"), "");
    }
    assert_eq!(run(command, b"from a pipe").ok(), "");
    assert_eq!(mailbox(&home, &served.native), ["from a pipe"]);
}

/// The reader of receipts was so slow that the connection died of it, and lines with receipts were called unknown.
#[test]
fn a_slow_reader_of_receipts_makes_nothing_unknown() {
    if !tenfour_checker::is_long() {
        return;
    }
    let home = Home::new();
    let served = home.serve();
    let lines: String = (0..20_000).map(|number| format!("{number}\n")).collect();
    let input = home.path().join("lines");
    std::fs::write(&input, lines).unwrap();
    let mut command = home.command(&["send", &served.native, "-l", "--json"]);
    command.stdin(std::fs::File::open(&input).unwrap());
    let mut sending = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Longer than a connection lives without a word.
    std::thread::sleep(std::time::Duration::from_secs(40));
    let mut said = String::new();
    sending.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(sending.wait().unwrap().code(), Some(0));
    assert_eq!(said.matches(r#""outcome":"stored""#).count(), 20_000);
}
