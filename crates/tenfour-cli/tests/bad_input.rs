//! What goes wrong on any day, and what is said then.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{Home, mailbox, needs, needs_root, run, wait_for};

fn text(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn read_all(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset ends it too.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn any_bytes_are_kept_as_they_are() {
    let home = Home::new();
    let served = home.serve();
    let bytes = b"\0\xff\xfe\r\n\n\x1b[2J\0";
    home.run_with_input(&["send", &served.native], bytes).ok();
    let file = home.path().join("odd name.bin");
    fs::write(&file, bytes).unwrap();
    home.run(&["send", &served.native, "-f", file.to_str().unwrap()])
        .ok();
    let mut stream = text(&served.text);
    stream.write_all(b"a\0b\xff\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    read_all(stream);
    home.run_with_input(&["send", &served.native, "-0"], b"one\ntwo\0three\0")
        .ok();
    let json = home.run(&["tail", &served.native, "--json"]).ok();
    let lines: Vec<&str> = json.lines().collect();
    assert_eq!(lines.len(), 5);
    assert!(
        lines[0].contains("\"base64\":\"AP/+DQoKG1sySgA=\""),
        "{}",
        lines[0]
    );
    assert!(lines[1].contains("\"name\":\"odd name.bin\""), "{}", lines[1]);
    assert!(lines[2].contains("\"base64\":\"YQBi/w==\""), "{}", lines[2]);
    assert!(lines[3].contains("\"text\":\"one\\ntwo\""), "{}", lines[3]);
}

#[test]
fn other_protocols_at_the_text_listener_get_one_line() {
    let home = Home::new();
    let served = home.serve();
    for (bytes, name) in [
        (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], "HTTP"),
        (b"\x16\x03\x01\x02\0\x01\0", "TLS"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
    ] {
        let mut stream = text(&served.text);
        stream.write_all(bytes).unwrap();
        let answer = read_all(stream);
        assert!(answer.starts_with("You are connected!no foreign"), "{answer}");
        assert!(answer.contains(name), "{answer}");
    }
    assert_eq!(mailbox(&home, &served.native), [""; 0]);
}

#[test]
fn text_at_the_native_listener_and_silence_anywhere_harm_nobody() {
    let home = Home::new();
    let served = home.serve();
    let silent_text = text(&served.text);
    let silent_native = text(&served.native);
    let mut plain = text(&served.native);
    plain.write_all(b"hello\n").unwrap();
    let answer = read_all(plain);
    assert!(!answer.contains("10-4"), "{answer}");
    home.run(&["send", &served.native, "still here"]).ok();
    drop((silent_text, silent_native));
    assert_eq!(mailbox(&home, &served.native), ["still here"]);
}

/// P6: what ended in LF counts, what did not is dropped.
#[test]
fn a_connection_reset_in_the_middle_of_a_line() {
    let home = Home::new();
    let served = home.serve();
    let mut stream = text(&served.text);
    stream.write_all(b"whole\nhal").unwrap();
    wait_for("the whole line", || mailbox(&home, &served.native) == ["whole"]);
    // Closing over unread bytes (the greeting, an answer) resets the connection.
    drop(stream);
    let mut next = text(&served.text);
    next.write_all(b"next").unwrap();
    next.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(next), "You are connected!10-4 inbox 2\n");
    assert_eq!(mailbox(&home, &served.native), ["whole", "next"]);
}

#[test]
fn one_byte_now_and_then_is_a_message_in_the_end() {
    let home = Home::new();
    let served = home.serve();
    let mut stream = text(&served.text);
    for byte in b"slow\n" {
        stream.write_all(&[*byte]).unwrap();
        stream.flush().unwrap();
        // Each byte is a segment of its own.
        std::thread::sleep(Duration::from_millis(30));
    }
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(stream), "You are connected!10-4 inbox 1\n");
}

#[test]
fn a_line_too_long_is_refused_and_the_next_is_stored() {
    let home = Home::new();
    let served = home.serve_with(&["--max-message", "1000"]);
    let mut stream = text(&served.text);
    stream
        .write_all(&[&[b'x'; 1001][..], b"\nshort\n"].concat())
        .unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let answer = read_all(stream);
    assert_eq!(
        answer,
        "You are connected!no too-large the message is larger than the server allows\n10-4 inbox 1\n"
    );
}

#[test]
fn a_second_server_on_the_same_store_is_told_who_has_it() {
    let home = Home::new();
    let served = home.serve();
    let said = home
        .run(&["serve", "--text", "127.0.0.1:0", "--native", "off"])
        .failed(1, "is in use by process");
    assert!(
        said.stderr.contains(&format!("process {}", served.pid())),
        "{}",
        said.stderr
    );
}

#[test]
fn a_store_that_is_not_ours_is_not_touched() {
    let home = Home::new();
    let file = home.path().join("notes.txt");
    fs::write(&file, "precious").unwrap();
    home.run(&[
        "serve",
        "--text",
        "127.0.0.1:0",
        "--native",
        "off",
        "--store",
        file.to_str().unwrap(),
    ])
    .failed(1, "is not a tenfour store")
    .failed(1, "hint: ");
    assert_eq!(fs::read(&file).unwrap(), b"precious");
}

#[test]
fn a_port_in_use_is_said_and_by_whom() {
    let home = Home::new();
    let served = home.serve();
    let other = Home::new();
    let said = other
        .run(&["serve", "--text", &served.text, "--native", "off"])
        .failed(1, "it is in use");
    assert!(
        said.stderr
            .contains(&format!("process {} (tenfour)", served.pid())),
        "{}",
        said.stderr
    );
}

#[test]
fn an_invitation_is_used_once_and_in_time() {
    let (there, here, elsewhere) = (Home::new(), Home::new(), Home::new());
    let served = there.serve();
    let invite = |lifetime: &str| {
        there
            .run(&["invite", "--address", &served.native, "--for", lifetime])
            .ok()
            .trim()
            .to_owned()
    };
    let token = invite("10m");
    here.run(&["join", &token]).ok();
    here.run(&["send", &served.native, "hello"]).ok();
    elsewhere
        .run(&["join", &token])
        .failed(77, "has been used by another key");
    let late = invite("0s");
    elsewhere.run(&["join", &late]).failed(77, "its time is over");
    elsewhere
        .run_with_input(&["join"], b"nonsense")
        .failed(2, "this is not an invitation");
    there.run(&["keys", "remove", &here.fingerprint()]).ok();
    wait_for("the key to be forgotten", || {
        here.run(&["send", &served.native, "x"]).code == Some(77)
    });
}

#[test]
fn two_processes_with_one_id() {
    let home = Home::new();
    let served = home.serve();
    let mut first = home.command(&["send", &served.native, "-l", "--id", "k", "--timeout", "5s"]);
    let mut first = first
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = first.stdin.take().unwrap();
    stdin.write_all(b"one\n").unwrap();
    wait_for("the first line", || mailbox(&home, &served.native) == ["one"]);
    home.run_with_input(&["send", &served.native, "-l", "--id", "k"], b"one\ntwo\n")
        .ok();
    stdin.write_all(b"two\n").unwrap();
    drop(stdin);
    let said = support::Ran::from(first.wait_with_output().unwrap());
    said.failed(75, "another process sends under the same id");
    assert_eq!(mailbox(&home, &served.native), ["one", "two"]);
}

#[test]
fn a_reader_who_has_had_enough_is_no_error() {
    let home = Home::new();
    let served = home.serve();
    let lines: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    home.run_with_input(&["send", &served.native, "-l"], lines.as_bytes())
        .ok();
    let mut shell = Command::new("bash");
    shell.env("TENFOUR_HOME", home.path()).args([
        "-c",
        "set -o pipefail; \"$1\" tail \"$2\" | head -1",
        "bash",
        env!("CARGO_BIN_EXE_tenfour"),
        &served.native,
    ]);
    assert_eq!(run(shell, b"").ok(), "0\n");
    let mut closed = Command::new("bash");
    closed.env("TENFOUR_HOME", home.path()).args([
        "-c",
        "\"$1\" send \"$2\" words <&- ",
        "bash",
        env!("CARGO_BIN_EXE_tenfour"),
        &served.native,
    ]);
    run(closed, b"").ok();
    assert_eq!(mailbox(&home, &served.native).last().unwrap(), "words");
}

#[test]
fn a_tail_follows_what_comes() {
    let home = Home::new();
    let served = home.serve();
    let mut tail = home.command(&["tail", &served.at("later"), "-f"]);
    let mut tail = tail.stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = std::io::BufReader::new(tail.stdout.take().unwrap());
    home.run(&["send", &served.at("later"), "first"]).ok();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    assert_eq!(line, "first\n");
    tail.kill().unwrap();
    tail.wait().unwrap();
}

/// A disk that fills up: refused in words, reading goes on, and accepting resumes by itself.
#[test]
fn a_full_disk() {
    if !needs_root() {
        return;
    }
    let home = Home::new();
    let disk = home.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"])
        .arg(&disk)
        .status()
        .unwrap();
    assert!(mount.success());
    let _unmount = Unmount(disk.clone());
    let store = disk.join("store.db");
    let served = home.serve_with(&["--store", store.to_str().unwrap()]);
    home.run(&["send", &served.native, "before"]).ok();
    let filler = disk.join("filler");
    // Fills until nothing fits any more.
    let _ = fs::write(&filler, vec![0; 16 * 1024 * 1024]);
    home.run(&["send", &served.native, "--timeout", "1s", "while full"])
        .failed(69, "the store is full");
    let mut stream = text(&served.text);
    stream.write_all(b"while full\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(read_all(stream).contains("no full the store is full"));
    assert_eq!(mailbox(&home, &served.native), ["before"]);
    fs::remove_file(&filler).unwrap();
    home.run(&["send", &served.native, "after"]).ok();
    assert_eq!(mailbox(&home, &served.native), ["before", "after"]);
    assert_eq!(served.stop(), Some(0));
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A flush that fails: no receipt, and the server stops rather than guess. What had receipts is there.
#[test]
fn a_failed_flush() {
    if !needs("strace") {
        return;
    }
    let home = Home::new();
    let served = home.serve();
    home.run(&["send", &served.native, "before"]).ok();
    let native = served.native.clone();
    let process = served.pid().to_string();
    let mut strace = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"])
        .args(["-e", "inject=fsync,fdatasync:error=EIO", "-p", &process])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("strace to hold the server", || {
        fs::read_to_string(format!("/proc/{process}/status"))
            .is_ok_and(|status| !status.contains("TracerPid:\t0\n"))
    });
    home.run(&["send", &native, "--timeout", "2s", "during"])
        .failed(75, "gave no receipt");
    served.log.wait_for("the store failed");
    let _ = strace.kill();
    let _ = strace.wait();
    drop(served);
    let served = home.serve_with(&["--native", &native]);
    let found = mailbox(&home, &served.native);
    assert!(found == ["before"] || found == ["before", "during"], "{found:?}");
}

/// What is said may hold names from anywhere: of files, of mailboxes, of ids.
#[test]
fn nothing_that_is_said_moves_a_cursor() {
    let home = Home::new();
    let said = home.run(&["send", "localhost:1", "-f", "/nowhere/\u{1b}[2J\u{202e}"]);
    said.failed(1, "cannot read `/nowhere/\\x1b[2J\\u{202e}`");
}
