//! What a server tells of itself, and to whom.

mod support;

use std::io::Read;
use std::net::TcpStream;
use std::process::Stdio;

use support::{Home, Lines, signal, wait_for};

#[test]
fn who_is_connected_and_how_far_everybody_is() {
    let home = Home::new();
    let served = home.serve();
    home.run_with_input(&["send", &served.at("logs/web"), "-l"], b"1\n2\n3\n")
        .ok();
    home.run(&["receive", &served.at("logs/web"), "--as", "worker", "-C", "2"])
        .ok();
    let mut text = TcpStream::connect(&served.text).unwrap();
    text.read_exact(&mut [0; 18]).unwrap();
    let mut follower = home
        .command(&["tail", "-f", &served.at("logs/web")])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let status = || home.run(&["status", &served.native, "--json"]).ok();
    let fingerprint = home.fingerprint();
    wait_for("the follower's three messages", || {
        status().contains(r#""out":3"#)
    });
    let rows = status();
    let row = |kind: &str, words: &[&str]| {
        let kind = format!(r#""kind":"{kind}""#);
        let found = rows
            .lines()
            .filter(|line| line.contains(&kind) && words.iter().all(|word| line.contains(word)));
        assert_eq!(found.count(), 1, "{kind} {words:?} in {rows}");
    };
    let address = format!(r#""address":"{}""#, text.local_addr().unwrap());
    row(
        "connection",
        &[r#""listener":"text""#, &address, r#""sender":"anonymous""#],
    );
    row("connection", &[r#""out":3"#, &fingerprint, r#""name":"own key""#]);
    row(
        "mailbox",
        &[r#""mailbox":"logs/web""#, r#""messages":3"#, r#""last":3"#],
    );
    row(
        "cursor",
        &[
            r#""cursor":"worker""#,
            r#""lag":1"#,
            r#""floor":2"#,
            r#""holds-back":"yes""#,
        ],
    );
    row("counter", &[r#""reason":"foreign""#, r#""count":0"#]);
    row(
        "server",
        &[&format!(r#""key":"{fingerprint}""#), r#""durability":"disk""#],
    );
    // Who has gone is gone.
    follower.kill().unwrap();
    follower.wait().unwrap();
    wait_for("the follower's end", || !status().contains(r#""out":3"#));
    let table = home.run(&["status", &served.native]).ok();
    for word in [
        "SERVER",
        "CONNECTED",
        "logs/web",
        "worker",
        "REFUSED OR DROPPED\n  none",
    ] {
        assert!(table.contains(word), "`{word}` is not in {table}");
    }
}

#[test]
fn the_fate_of_a_message_is_told_to_its_sender() {
    let home = Home::new();
    let served = home.serve();
    home.run_with_input(&["send", &served.native, "-l", "--id", "k"], b"1\n2\n")
        .ok();
    home.run(&["send", &served.native, "between"]).ok();
    home.run_with_input(&["send", &served.native, "-l", "--id", "k"], b"1\n2\n3\n")
        .ok();
    let fate = home.run(&["status", &served.native, "--id", "k"]).ok();
    assert_eq!(
        fate,
        "messages 1 to 2: stored, inbox #1 to #2\nmessage 3: stored, inbox #4\n"
    );
    let json = home.run(&["status", &served.native, "--id", "k", "--json"]).ok();
    assert!(
        json.contains(r#""kind":"stored""#) && json.contains(r#""offset":4"#),
        "{json}"
    );
    home.run(&["status", &served.native, "--id", "other"])
        .failed(69, "never seen");

    // Another key may ask about its own messages, and about nothing else.
    let other = Home::new();
    other
        .run(&["keys", "trust", &served.native, &home.fingerprint()])
        .ok();
    home.run(&["keys", "allow", &other.fingerprint(), "--comment", "a guest"])
        .ok();
    other
        .run(&["status", &served.native, "--id", "k"])
        .failed(69, "never seen");
    other.run(&["send", &served.native, "--id", "k", "mine"]).ok();
    let fate = other.run(&["status", &served.native, "--id", "k"]).ok();
    assert_eq!(fate, "message 1: stored, inbox #5\n");
    other.run(&["status", &served.native]).failed(77, "may not see");
    home.run(&["keys", "allow", &other.fingerprint(), "admin"]).ok();
    wait_for("the new right", || {
        other.run(&["status", &served.native]).code == Some(0)
    });
}

#[test]
fn a_message_that_was_refused_says_so() {
    let home = Home::new();
    let served = home.serve_with(&["--max-message", "10"]);
    home.run_with_input(
        &["send", &served.native, "-l", "--id", "k"],
        b"short\nmuch too long for this\nfine\n",
    )
    .failed(65, "");
    let ran = home
        .run(&["status", &served.native, "--id", "k"])
        .failed(65, "not everything");
    assert_eq!(
        ran.stdout,
        "message 1: stored, inbox #1\nmessage 2: refused, refused-earlier\nmessage 3: stored, inbox #2\n"
    );
}

#[test]
fn wrong_usage_is_said() {
    let home = Home::new();
    home.run(&["status", "a/inbox"]).failed(2, "of a whole server");
    home.run(&["status", "udp://a"])
        .failed(2, "only the native listener");
    home.run(&["status", "127.0.0.1:1", "--timeout", "2s"])
        .failed(69, "could not ask 127.0.0.1:1");
}

#[test]
fn a_message_is_watched_until_it_is_there() {
    let home = Home::new();
    let served = home.serve();
    let mut watching = home
        .command(&["status", &served.native, "--id", "k", "--watch", "100ms"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let seen = Lines::of(watching.stdout.take().unwrap());
    seen.wait_for("k: never seen");
    home.run(&["send", &served.native, "--id", "k", "x"]).ok();
    seen.wait_for("message 1: stored, inbox #1");
    signal(watching.id(), "INT");
    assert_eq!(watching.wait().unwrap().code(), Some(130));
}
