//! What the surroundings say: systemd, variables, and signals.

mod support;

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;

use support::{Home, LONG, is_passed_over, mailbox, needs, run, wait_for};

/// Does what systemd does: binds, hands the sockets over from descriptor 3 on, and becomes the program.
const ACTIVATE: &str = "
import fcntl, os, socket, sys
text, native = socket.socket(), socket.socket()
for one in (text, native):
    one.bind(('127.0.0.1', 0))
    one.listen(1024)
high = [fcntl.fcntl(one, fcntl.F_DUPFD, 10) for one in (text, native)]
for descriptor, one in zip((3, 4), high):
    os.dup2(one, descriptor)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2', LISTEN_FDNAMES='text:native')
os.execv(sys.argv[1], sys.argv[1:])
";

/// The rig of power cuts, the main proof of the first promise, was passed over in CI where that did not run as root.
#[test]
fn a_test_that_lacks_something_fails_in_ci() {
    assert!(!is_passed_over("it must run as root", false));
    assert!(std::panic::catch_unwind(|| is_passed_over("it must run as root", true)).is_err());
}

#[test]
fn systemd_hands_sockets_over_and_is_told_when_we_are_ready() {
    if !needs("python3") {
        return;
    }
    let home = Home::new();
    let told = home.path().join("notify");
    let notified = UnixDatagram::bind(&told).unwrap();
    notified.set_read_timeout(Some(LONG)).unwrap();
    let ports = home.path().join("ports");
    let serve = home.command(&["serve", "--port-file", ports.to_str().unwrap()]);
    let mut command = Command::new("python3");
    command
        .args(["-c", ACTIVATE])
        .arg(serve.get_program())
        .args(serve.get_args());
    for (name, value) in serve.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("NOTIFY_SOCKET", &told);
    let served = support::Served::spawn(command, &ports);
    let hear = || {
        let mut said = [0; 1024];
        let length = notified.recv(&mut said).unwrap();
        String::from_utf8_lossy(&said[..length]).into_owned()
    };
    assert!(hear().contains("READY=1"));
    // The two names lead to the two dialects.
    home.run(&["send", &served.native, "over TLS"]).ok();
    home.run(&["send", &served.text_url(), "in the clear"]).ok();
    assert_eq!(mailbox(&home, &served.native), ["over TLS", "in the clear"]);
    assert_eq!(served.stop(), Some(0));
    assert!(hear().contains("STOPPING=1"));
}

#[test]
fn a_variable_yields_to_what_was_typed() {
    let home = Home::new();
    let served = home.serve();
    let mut typed = home.command(&["send", &served.native, "typed"]);
    typed.env("TENFOUR_MESSAGE", "from the environment");
    run(typed, b"").ok();
    let mut lines = home.command(&["send", &served.native, "-l"]);
    lines.env("TENFOUR_MESSAGE", "from the environment");
    run(lines, b"one\ntwo\n").ok();
    let mut said = home.command(&["send", &served.native]);
    said.env("TENFOUR_MESSAGE", "from the environment")
        .env("TENFOUR_ID", "k");
    run(said, b"").ok();
    let mut both = home.command(&["send", &served.native]);
    both.env("TENFOUR_MESSAGE", "x").env("TENFOUR_FILE", "y");
    run(both, b"").failed(2, "cannot be used together");
    assert_eq!(
        mailbox(&home, &served.native),
        ["typed", "one", "two", "from the environment"]
    );
    let mut last = home.command(&["tail", &served.native, "--from", "4"]);
    last.env("TENFOUR_LAST", "1").env("TENFOUR_SINCE", "1h");
    assert_eq!(run(last, b"").ok(), "from the environment\n");
}

/// The fields of `--json` are an interface.
#[test]
fn json_says_whose_message_it_is_and_how_it_came() {
    let home = Home::new();
    let served = home.serve();
    let own = home.fingerprint();
    let sent = home
        .run(&["send", &served.native, "--json", "--id", "k", "x"])
        .ok();
    for part in [
        format!("\"sender\":\"{own}\""),
        "\"listener\":\"native\"".to_owned(),
        format!("\"address\":\"{}\"", served.native),
        "\"id\":\"k\"".to_owned(),
        "\"durability\":\"disk\"".to_owned(),
        "\"duplicate\":false".to_owned(),
    ] {
        assert!(sent.contains(&part), "{part} is not in {sent}");
    }
    let sent = home.run(&["send", &served.text_url(), "--json", "y"]).ok();
    assert!(sent.contains("\"listener\":\"text\""), "{sent}");
    let read = home.run(&["tail", &served.native, "--json"]).ok();
    let (first, second) = read.split_once('\n').unwrap();
    assert!(
        first.contains("\"listener\":\"native\"") && !first.contains("address"),
        "{first}"
    );
    assert!(
        second.contains("\"listener\":\"text\",\"address\":\"127.0.0.1:"),
        "{second}"
    );
}

#[test]
fn who_follows_and_loses_the_right_is_told_so() {
    let home = Home::new();
    let served = home.serve();
    let guest = Home::new();
    home.run(&["keys", "allow", &guest.fingerprint(), "read=inbox"])
        .ok();
    fs::write(
        guest.path().join("known_hosts"),
        format!("{} {}\n", served.native, home.fingerprint()),
    )
    .unwrap();
    home.run(&["send", &served.native, "one"]).ok();
    let seen = guest.path().join("seen");
    let mut tail = guest.command(&["tail", "-f", &served.native]);
    tail.stdout(fs::File::create(&seen).unwrap())
        .stderr(std::process::Stdio::piped());
    let tail = tail.spawn().unwrap();
    wait_for("the first message", || {
        fs::read_to_string(&seen).unwrap() == "one\n"
    });
    home.run(&["keys", "remove", &guest.fingerprint()]).ok();
    let ended: support::Ran = tail.wait_with_output().unwrap().into();
    ended.failed(77, "is not allowed here any more");
}

#[test]
fn check_says_what_is_wrong_with_a_store_and_that_nothing_is() {
    if !needs("sqlite3") {
        return;
    }
    let home = Home::new();
    let served = home.serve();
    for n in 0..20 {
        home.run(&["send", &served.native, &n.to_string()]).ok();
    }
    // Beside the server.
    home.run(&["check"]).failed(0, "20 messages (30 B) in 1 mailbox");
    served.stop();
    let store = home.path().join("store.db");
    let store = store.to_str().unwrap();
    let mut sqlite = Command::new("sqlite3");
    sqlite.args([store, "update message set body = x'00' where id & 255 = 7"]);
    run(sqlite, b"").ok();
    let damaged = home.run(&["check", store]).failed(1, "1 finding");
    assert_eq!(
        damaged.stdout,
        "inbox #7: the message does not match its checksum\n"
    );
    home.run(&["check", "/nowhere/store.db"])
        .failed(1, "cannot open `");
    let notes = home.path().join("notes");
    fs::write(
        &notes,
        "not a database, but long enough to be looked at as one: ".repeat(9),
    )
    .unwrap();
    home.run(&["check", notes.to_str().unwrap()]).failed(1, "");
}

/// systemd's own sockets are files, those of others have abstract names.
#[test]
fn readiness_is_told_to_an_abstract_name() {
    let home = Home::new();
    let name = format!("tenfour-test-{}", std::process::id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let ports = home.path().join("ports");
    let mut command = home.command(&support::SERVE);
    command.args(["--port-file", ports.to_str().unwrap()]);
    command.env("NOTIFY_SOCKET", format!("@{name}"));
    let served = support::Served::spawn(command, &ports);
    let mut told = [0; 64];
    socket.set_read_timeout(Some(LONG)).unwrap();
    let length = socket.recv(&mut told).unwrap();
    assert_eq!(&told[..length], b"READY=1");
    assert_eq!(served.stop(), Some(0));
    let length = socket.recv(&mut told).unwrap();
    assert_eq!(&told[..length], b"STOPPING=1");
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
