//! One test for each code, and what is said with it.

mod support;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use support::{Home, Lines, Ran, mailbox, signal, wait_for};

#[test]
fn code_0_says_stored() {
    let home = Home::new();
    let served = home.serve();
    home.run(&["send", &served.native, "backup", "done"]).ok();
    assert_eq!(mailbox(&home, &served.native), ["backup done"]);
    let json = home
        .run(&["send", &served.at("logs/web"), "-m", "x", "--json"])
        .ok();
    assert!(
        json.contains("\"outcome\":\"stored\"") && json.contains("\"mailbox\":\"logs/web\""),
        "{json}"
    );
}

#[test]
fn code_1_local_errors() {
    let home = Home::new();
    home.run(&["send", "localhost:1", "-f", "/nowhere"])
        .failed(1, "cannot read `/nowhere`");
    fs::write(home.path().join("identity.pem"), "not a key").unwrap();
    fs::set_permissions(
        home.path().join("identity.pem"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    home.run(&["keys", "show"])
        .failed(1, "does not hold a private key");
    fs::set_permissions(
        home.path().join("identity.pem"),
        fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    home.run(&["keys", "show"])
        .failed(1, "can be read by others")
        .failed(1, "hint: chmod 600");
    let mut homeless = home.command(&["send", "localhost:1", "x"]);
    homeless.env_remove("TENFOUR_HOME");
    support::run(homeless, b"")
        .failed(1, "there is no home directory")
        .failed(1, "--identity");
}

#[test]
fn code_2_wrong_usage() {
    let home = Home::new();
    home.run(&["send"]).failed(2, "no target");
    home.run(&["send", "::1", "x"]).failed(2, "brackets");
    home.run(&["send", "tcp://localhost", "--id", "k", "x"])
        .failed(2, "--id is not for tcp://");
    home.run(&["send", "x://localhost", "x"])
        .failed(2, "is not known");
    home.run(&["serve", "--text", "nonsense"])
        .failed(2, "is not ADDR:PORT");
    home.run(&["frobnicate"]).failed(2, "unrecognized subcommand");
}

#[test]
fn code_65_refused() {
    let home = Home::new();
    let served = home.serve_with(&["--max-message", "10"]);
    home.run(&["send", "a/NOT-A-MAILBOX", "x"])
        .failed(65, "mailbox `NOT-A-MAILBOX`");
    home.run(&["send", &served.native, "eleven bytes"])
        .failed(65, "larger than the server allows");
    home.run(&["send", &served.native, "--id", "k", "one"]).ok();
    home.run(&["send", &served.native, "--id", "k", "uno"])
        .failed(65, "another message was stored under the same id");
    home.run(&["send", &served.text_url(), "-m", "two\nlines"])
        .failed(65, "a line end would make two");
    home.run(&["send", &served.text_url(), "-m", ""])
        .failed(65, "an empty message");
    home.run(&["send", &served.text_url(), "eleven bytes"])
        .failed(65, "larger than the server allows");
    assert_eq!(mailbox(&home, &served.native), ["one"]);
    let memory = Home::new();
    let served = memory.serve_with(&["--store", "memory"]);
    memory
        .run(&["send", &served.native, "x"])
        .failed(65, "does not offer the durability `disk`");
    memory
        .run(&["send", &served.text_url(), "x"])
        .failed(65, "only as durable as `memory`");
    memory
        .run(&["send", &served.native, "--durability", "memory", "x"])
        .ok();
}

#[test]
fn code_69_not_reached() {
    let home = Home::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    home.run(&["send", &free.to_string(), "x"])
        .failed(69, "connection refused")
        .failed(69, "hint: ");
    let both = format!("localhost:{}", free.port());
    let said = home.run(&["send", &both, "x"]).failed(69, "127.0.0.1").stderr;
    assert!(said.contains("[::1]"), "every address tried is named: {said}");
    home.run(&["send", "no-such-host.invalid", "x"])
        .failed(69, "cannot be resolved");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    home.run(&["send", &address, "--timeout", "300ms", "x"])
        .failed(69, "no answer in time");
    let served = home.serve();
    home.run(&["send", &served.text, "x"])
        .failed(69, "that is the text listener")
        .failed(69, "tcp://");
}

#[test]
fn code_74_the_server_went_back() {
    let home = Home::new();
    let path = home.path().join("store.db");
    let served = home.serve();
    let native = served.native.clone();
    served.stop();
    let backup = fs::read(&path).unwrap();
    let served = home.serve_with(&["--native", &native]);
    let mut sender = home.command(&["send", &native, "-l"]);
    let mut child = sender
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    Write::write_all(&mut stdin, b"one\n").unwrap();
    wait_for("the first line", || mailbox(&home, &native).len() == 1);
    served.stop();
    // Somebody restores a backup.
    fs::write(&path, backup).unwrap();
    for log in ["store.db-wal", "store.db-shm"] {
        let _ = fs::remove_file(home.path().join(log));
    }
    let _served = home.serve_with(&["--native", &native]);
    // The sender may have to say more before it looks.
    let _ = Write::write_all(&mut stdin, b"two\n");
    drop(stdin);
    Ran::from(child.wait_with_output().unwrap()).failed(74, "the server went back");
}

#[test]
fn code_75_unknown() {
    let home = Home::new();
    let served = home.serve();
    // It reads nothing more, so it cannot answer.
    let mut sender = home.command(&["send", &served.native, "-l", "--timeout", "1s"]);
    let mut child = sender
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    Write::write_all(&mut stdin, b"one\n").unwrap();
    wait_for("the first line", || mailbox(&home, &served.native).len() == 1);
    signal(served.pid(), "STOP");
    Write::write_all(&mut stdin, b"two\n").unwrap();
    drop(stdin);
    let said = Ran::from(child.wait_with_output().unwrap());
    signal(served.pid(), "CONT");
    let said = said.failed(
        75,
        "1 of the 2 lines read have receipts; from line 2 on they are missing",
    );
    let id = said
        .stderr
        .split("--id ")
        .nth(1)
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    // Repeated as the hint says, each line is stored once.
    home.run_with_input(&["send", &served.native, "-l", "--id", &id], b"one\ntwo\n")
        .ok();
    assert_eq!(mailbox(&home, &served.native), ["one", "two"]);
}

#[test]
fn code_76_not_the_server_we_know() {
    let (there, here) = (Home::new(), Home::new());
    let served = there.serve();
    let said = here
        .run(&["send", &served.native, "secret"])
        .failed(76, "the server's key is not known")
        .stderr;
    let command = said.lines().find(|line| line.contains("keys trust")).unwrap();
    assert!(
        !command.contains("SHA256:"),
        "the key shown is never part of the command: {command}"
    );
    let other = Home::new().fingerprint();
    here.run(&["keys", "trust", &served.native, &other]).ok();
    let said = here
        .run(&["send", &served.native, "secret"])
        .failed(76, "the server's key has changed")
        .stderr;
    assert!(
        !said.contains("keys trust"),
        "no accepting command at all: {said}"
    );
    assert_eq!(mailbox(&there, &served.native), [""; 0]);
    let (_, port) = served.text.split_once(':').unwrap();
    here.run(&["keys", "trust", "192.0.2.1", &other]).ok();
    here.run(&["send", &format!("tcp://192.0.2.1:{port}"), "x"])
        .failed(76, "not spoken to in the clear");
}

#[test]
fn code_77_not_allowed() {
    let (there, here) = (Home::new(), Home::new());
    let served = there.serve();
    here.run(&["keys", "trust", &served.native, &there.fingerprint()])
        .ok();
    let said = here
        .run(&["send", &served.native, "x"])
        .failed(77, &here.fingerprint())
        .stderr;
    let reference = said
        .split("reference ")
        .nth(1)
        .unwrap()
        .split(')')
        .next()
        .unwrap();
    served.log.wait_for(reference);
    there
        .run(&["keys", "allow", &here.fingerprint(), "send=logs/*"])
        .ok();
    wait_for("the key to be known", || {
        here.run(&["send", &served.at("logs/a"), "x"]).code == Some(0)
    });
    here.run(&["send", &served.native, "x"])
        .failed(77, "may not send to that mailbox");
    here.run(&["tail", &served.at("logs/a")])
        .failed(77, "may not read `logs/a`");
}

#[test]
fn codes_130_and_143_signals() {
    let home = Home::new();
    let served = home.serve();
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let mut sender = home.command(&["send", &served.native, "-l"]);
        let mut child = sender
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        Write::write_all(&mut stdin, name.as_bytes()).unwrap();
        Write::write_all(&mut stdin, b"\n").unwrap();
        wait_for("the line", || {
            mailbox(&home, &served.native).contains(&name.to_owned())
        });
        signal(child.id(), name);
        let said = Ran::from(child.wait_with_output().unwrap());
        said.failed(code, "--id ");
    }
    assert_eq!(served.stop(), Some(0), "a server that is told to stop ends well");
}

#[test]
fn of_many_messages_the_first_code_that_applies_and_each_refusal_is_named() {
    let home = Home::new();
    let served = home.serve_with(&["--max-message", "5"]);
    home.run_with_input(&["send", &served.native, "-l"], b"one\ntoo long\nthree\n")
        .failed(65, "line 2: refused")
        .failed(
            65,
            "2 of the 3 lines read have receipts; from line 2 on they are missing: 1 refused",
        );
    assert_eq!(mailbox(&home, &served.native), ["one", "three"]);
}

/// A command with a stdout that nobody reads any more, as in `| head -1`.
fn without_reader(mut command: Command, input: &[u8]) -> Ran {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command
        .stdin(Stdio::piped())
        .stdout(writer)
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    Ran::from(child.wait_with_output().unwrap())
}

/// `send -l --json | head -1` once ended with 0 at its second receipt, whatever became of the other lines.
#[test]
fn nobody_who_reads_is_no_reason_to_say_0() {
    let home = Home::new();
    let served = home.serve_with(&["--max-message", "5"]);
    let send = home.command(&["send", &served.native, "-l", "--json"]);
    without_reader(send, b"one\ntwo\ntoo long\nthree\n").failed(65, "3 of the 4 lines read have receipts");
    assert_eq!(mailbox(&home, &served.native), ["one", "two", "three"]);
    let send = home.command(&["send", &served.native, "too long", "--json"]);
    without_reader(send, b"").failed(65, "larger than the server allows");
    let send = home.command(&["send", &format!("tcp://{}", served.text), "too long", "--json"]);
    without_reader(send, b"").failed(65, "larger than the server allows");
    let lines = "line\n".repeat(2_000);
    let queue = home.command(&["queue", &served.native, "-l", "--json"]);
    without_reader(queue, lines.as_bytes()).ok();
    home.run(&["queue", "--flush"]).ok();
    assert_eq!(mailbox(&home, &served.native).len(), 2_003);
    served.stop();

    let store = home.path().join("store.db");
    let mut bytes = fs::read(&store).unwrap();
    let at = bytes.windows(5).position(|bytes| bytes == b"three").unwrap();
    bytes[at] ^= 1;
    fs::write(&store, bytes).unwrap();
    without_reader(home.command(&["check"]), b"").failed(1, "1 finding");
}

/// What cannot be written is said, and is no reason to give up the rest.
#[test]
fn a_full_disk_for_what_is_said_is_an_error_of_its_own() {
    let home = Home::new();
    let served = home.serve();
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let mut send = home.command(&["send", &served.native, "-l", "--json"]);
    send.stdout(full());
    let mut child = send.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"one\ntwo\n").unwrap();
    Ran::from(child.wait_with_output().unwrap()).failed(1, "cannot write to stdout: No space left");
    assert_eq!(mailbox(&home, &served.native), ["one", "two"]);
}

/// A line too large for any server once ended the producer at once; what was under way had no answer, and no code. In
/// the outbox nothing of it was queued.
#[test]
fn input_that_cannot_be_taken_leaves_nothing_before_it_behind() {
    let home = Home::new();
    let served = home.serve();
    let mut input = "line\n".repeat(2_000).into_bytes();
    input.extend(vec![b'x'; 17 << 20]);
    home.run_with_input(&["send", &served.native, "-l"], &input)
        .failed(65, "2000 of the 2000 lines read have receipts");
    home.run_with_input(&["queue", &served.native, "-l"], &input)
        .failed(65, "the first 2000 are queued");
    home.run(&["queue", "--flush"]).ok();
    assert_eq!(mailbox(&home, &served.native).len(), 4_000);
}

/// The last line of a writer that is slow once held back all that were whole.
#[test]
fn a_line_is_sent_when_it_is_whole() {
    let home = Home::new();
    let served = home.serve();
    for verb in ["send", "queue"] {
        let mut command = home.command(&[verb, &served.at(verb), "-l", "--json"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"one\ntwo\nthr").unwrap();
        let said = Lines::of(child.stdout.take().unwrap());
        wait_for("two answers", || said.all().len() == 2);
        stdin.write_all(b"ee\n").unwrap();
        drop(stdin);
        assert!(child.wait().unwrap().success());
    }
    home.run(&["queue", "--flush"]).ok();
    for verb in ["send", "queue"] {
        assert_eq!(mailbox(&home, &served.at(verb)), ["one", "two", "three"]);
    }
}

#[test]
fn a_message_that_found_no_server_has_its_row() {
    let home = Home::new();
    for (target, mailbox) in [
        ("localhost:1", "\"mailbox\":\"inbox\""),
        ("tcp://localhost:1", ""),
    ] {
        let said = home.run(&["send", target, "x", "--json", "--timeout", "300ms"]);
        let row = said.failed(69, "could not deliver to").stdout;
        assert!(
            row.contains("\"outcome\":\"unsent\",\"reason\":\"") && row.contains(mailbox),
            "{row}"
        );
    }
    home.run(&["ask", "localhost:1", "x", "--json", "--timeout", "300ms"])
        .failed(69, "could not ask");
    home.run(&[
        "bench",
        "localhost:1",
        "--outbox",
        home.path().join("o.db").to_str().unwrap(),
    ])
    .failed(69, "could not deliver to");
}
