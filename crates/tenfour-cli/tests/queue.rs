//! `tenfour queue`: what is safe on this machine arrives over there, once.

mod support;

use std::fs;
use std::process::{Child, Stdio};

use serde_json::Value;
use support::{Home, Lines, mailbox, signal, wait_for};

fn free() -> String {
    tenfour_checker::free_address().to_string()
}

fn objects(said: &str) -> Vec<Value> {
    said.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// `tenfour queue --run`, until the test ends it.
struct Running {
    child: Child,
    log: Lines,
}

impl Running {
    fn start(home: &Home) -> Self {
        let mut child = home
            .command(&["queue", "--run"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Lines::of(child.stderr.take().unwrap());
        log.wait_for("delivering from the outbox");
        Running { child, log }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn queued_while_the_server_is_away() {
    let home = Home::new();
    let address = free();
    let at = format!("{address}/logs");
    home.run(&["queue", &address, "one"]).ok();
    let said = home
        .run_with_input(&["queue", &at, "-l", "--json"], b"two\nthree\n")
        .ok();
    assert!(
        said.contains(r#""outcome":"queued","number":2,"mailbox":"logs""#),
        "{said}"
    );
    let listed = home.run(&["queue", "--list"]).ok();
    assert!(
        listed.starts_with(&format!("{address}  3 waiting (11 B)\n  #1  ")),
        "{listed}"
    );
    home.run(&["queue", "--flush", "--timeout", "300ms"])
        .failed(69, "connection refused")
        .failed(69, "left in the outbox: 3 messages");
    let listed = home.run(&["queue", "--list"]).ok();
    assert!(listed.contains("connection refused"), "{listed}");
    let json = |arguments| objects(&home.run(arguments).stdout);
    let listed = json(&["queue", "--list", "--json"]);
    assert_eq!(listed.len(), 4, "the server and its messages: {listed:?}");
    let queue = &listed[0];
    assert_eq!((&queue["kind"], &queue["waiting"]), (&"queue".into(), &3.into()));
    assert!(queue["trouble"].as_str().unwrap().contains("connection refused"));
    assert_eq!(queue["lacks_from"], Value::Null);
    assert_eq!(listed[3]["text"], "three");

    let served = home.serve_with(&["--native", &address]);
    let flushed = json(&["queue", "--flush", "--json"]);
    assert_eq!(
        (&flushed[0]["waiting"], &flushed[0]["kept"]),
        (&0.into(), &3.into())
    );
    home.run(&["queue", "--flush"]).ok();
    assert_eq!(mailbox(&home, &served.native), ["one"]);
    assert_eq!(mailbox(&home, &served.at("logs")), ["two", "three"]);
    assert_eq!(home.run(&["queue", "--list"]).ok(), "");
    let listed = home.run(&["queue", "--list", &address]).ok();
    assert_eq!(listed, format!("{address}  0 waiting, 3 delivered and kept\n"));
}

#[test]
fn one_delivers_and_the_others_put_and_wait() {
    let home = Home::new();
    let served = home.serve();
    let mut running = Running::start(&home);
    home.run(&["queue", "--run"]).failed(1, "is in use by process");
    for body in ["one", "two"] {
        home.run(&["queue", &served.native, body]).ok();
    }
    // Beside the one that delivers, it only waits.
    home.run(&["queue", "--flush"]).ok();
    assert_eq!(mailbox(&home, &served.native), ["one", "two"]);
    home.run(&["queue", &served.native, "--drop", "all"])
        .failed(1, "is in use by process");
    signal(running.child.id(), "TERM");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    assert!(running.log.all().iter().any(|line| line.contains("delivering")));
}

/// Who delivers makes the outbox when there is none, and holds its lock from then on. Whoever began to queue in the
/// moment before waited for that lock, and gave up after ten seconds. Or found no outbox, and then its log, and took that
/// for somebody else's.
#[test]
fn many_that_make_the_outbox_at_once() {
    let home = Home::new();
    home.fingerprint();
    for _ in 0..10 {
        for rest in ["", "-wal", "-shm", ".lock"] {
            let _ = fs::remove_file(home.path().join(format!("outbox.db{rest}")));
        }
        let mut running = home
            .command(&["queue", "--run"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut queuing: Vec<Child> = (0..4)
            .map(|_| home.command(&["queue", "127.0.0.1:1", "x"]).spawn().unwrap())
            .collect();
        for child in &mut queuing {
            assert_eq!(child.wait().unwrap().code(), Some(0));
        }
        running.kill().unwrap();
        running.wait().unwrap();
        let listed = home.run(&["queue", "--list"]).ok();
        assert!(listed.contains("4 waiting"), "{listed}");
    }
}

#[test]
fn refused_messages_stay_with_their_reason() {
    let home = Home::new();
    let served = home.serve();
    let other = Home::new();
    let key = other.fingerprint();
    home.run(&["keys", "allow", &key, "send=inbox"]).ok();
    other
        .run(&["keys", "trust", &served.native, &home.fingerprint()])
        .ok();
    other.run(&["queue", &served.at("secret"), "no"]).ok();
    other.run(&["queue", &served.native, "yes"]).ok();
    // As long as nobody has decided about it.
    for _ in 0..2 {
        other
            .run(&["queue", "--flush"])
            .failed(77, "the outbox keeps what was refused: 1 message");
    }
    assert_eq!(mailbox(&home, &served.native), ["yes"]);
    let listed = other.run(&["queue", "--list"]).ok();
    assert!(
        listed.contains("#1 ") && listed.contains("refused: not-allowed"),
        "{listed}"
    );
    home.run(&["keys", "allow", &key, "send=inbox,secret"]).ok();
    wait_for("the server to read the rights", || {
        other.run(&["send", &served.at("secret"), "first"]).code == Some(0)
    });
    other
        .run(&["queue", &served.native, "--retry", "2"])
        .failed(1, "there is no message #2");
    other.run(&["queue", &served.native, "--retry", "1"]).ok();
    other.run(&["queue", "--flush"]).ok();
    assert_eq!(mailbox(&home, &served.at("secret")), ["first", "no"]);
    assert_eq!(other.run(&["queue", "--list"]).ok(), "");
}

#[test]
fn a_dropped_message_does_not_arrive() {
    let home = Home::new();
    let address = free();
    for body in ["one", "two", "three"] {
        home.run(&["queue", &address, body]).ok();
    }
    home.run(&["queue", &address, "--drop", "2"]).ok();
    home.run(&["queue", &address, "--drop", "2"])
        .failed(1, "there is no message #2");
    home.run(&["queue", "--drop", "2"]).failed(2, "no target");
    let served = home.serve_with(&["--native", &address]);
    home.run(&["queue", "--flush"]).ok();
    assert_eq!(mailbox(&home, &served.native), ["one", "three"]);
    served.stop();
    home.run(&["queue", &address, "four"]).ok();
    let said = home.run(&["queue", &address, "--drop", "all"]);
    assert!(said.stderr.contains("1 message for"), "{}", said.stderr);
    let served = home.serve_with(&["--native", &address]);
    home.run(&["queue", &address, "five"]).ok();
    home.run(&["queue", "--flush"]).ok();
    assert_eq!(mailbox(&home, &served.native), ["one", "three", "five"]);
}

#[test]
fn a_server_that_went_back_is_named_and_can_be_given_again_what_it_lacks() {
    let home = Home::new();
    let path = home.path().join("store.db");
    let served = home.serve();
    let native = served.native.clone();
    served.stop();
    let backup = fs::read(&path).unwrap();
    let served = home.serve_with(&["--native", &native]);
    home.run(&["queue", &native, "one"]).ok();
    home.run(&["queue", "--flush"]).ok();
    home.run(&["queue", &native, "two"]).ok();
    home.run(&["queue", "--flush"]).ok();
    served.stop();
    // Somebody restores a backup.
    fs::write(&path, backup).unwrap();
    let served = home.serve_with(&["--native", &native]);
    home.run(&["queue", &native, "three"]).ok();
    home.run(&["queue", "--flush"])
        .failed(74, "it lacks messages #1 to #2, which it gave receipts for")
        .failed(74, "--resend-lost");
    served
        .log
        .wait_for("this store is older than what the client holds receipts for");
    assert!(mailbox(&home, &native).is_empty(), "nothing goes there unasked");
    let listed = home.run(&["queue", "--list"]).ok();
    assert!(
        listed.contains("it lacks #1 to #2, 2 of them are still here"),
        "{listed}"
    );
    let listed = home.run(&["queue", "--list", "--json"]).ok();
    let lacks = r#""lacks_from":1,"lacks_to":2,"lacks_here":2"#;
    assert!(listed.contains(lacks), "{listed}");
    // What waits may be dropped; the only copies of what is lost are no part of that.
    home.run(&["queue", &native, "--drop", "all"]).ok();
    home.run(&["queue", "--flush"])
        .failed(74, "it lacks messages #1 to #2");
    let said = home.run(&["queue", &native, "--resend-lost"]);
    assert!(said.stderr.contains("2 of 2 messages"), "{}", said.stderr);
    let listed = home.run(&["queue", "--list"]).ok();
    assert!(
        listed.contains("they go again with the next delivery"),
        "{listed}"
    );
    home.run(&["queue", &native, "four"]).ok();
    home.run(&["queue", "--flush"]).ok();
    assert_eq!(mailbox(&home, &native), ["one", "two", "four"]);
    home.run(&["queue", &native, "--resend-lost"])
        .failed(1, "is not known to lack anything");
}

/// It ended with 0 when nothing waited, beside a deliverer that had found out.
#[test]
fn a_flush_beside_another_process_says_that_the_server_went_back() {
    let home = Home::new();
    let served = home.serve();
    let native = served.native.clone();
    home.run(&["queue", &native, "one"]).ok();
    home.run(&["queue", "--flush"]).ok();
    served.stop();
    fs::remove_file(home.path().join("store.db")).unwrap();
    let _served = home.serve_with(&["--native", &native]);
    // Its start asks, though nothing waits.
    let running = Running::start(&home);
    running.log.wait_for("it lacks messages #1 to #1");
    home.run(&["queue", "--flush"])
        .failed(74, "it lacks messages #1 to #1")
        .failed(74, "--resend-lost");
    home.run(&["queue", &native, "--resend-lost"]).ok();
    home.run(&["queue", "--flush"]).ok();
    assert_eq!(mailbox(&home, &native), ["one"]);
}

#[test]
fn what_was_not_kept_cannot_be_sent_again_and_that_is_said() {
    let home = Home::new();
    let served = home.serve();
    let native = served.native.clone();
    home.run(&["queue", &native, "one"]).ok();
    home.run(&["queue", "--flush", "--keep", "0"]).ok();
    served.stop();
    fs::remove_file(home.path().join("store.db")).unwrap();
    let _served = home.serve_with(&["--native", &native]);
    home.run(&["queue", &native, "two"]).ok();
    home.run(&["queue", "--flush", "--keep", "0"])
        .failed(74, "lacks messages #1 to #1");
    home.run(&["queue", &native, "--resend-lost"])
        .failed(1, "nothing of that is here any more")
        .failed(1, "--forget-lost");
    let listed = home.run(&["queue", "--list"]).ok();
    assert!(listed.contains("nothing of that is here any more"), "{listed}");
    home.run(&["queue", &native, "--forget-lost"]).ok();
    home.run(&["queue", "--flush"]).ok();
    assert_eq!(mailbox(&home, &native), ["two"]);
}

#[test]
fn wrong_usage_says_what_is_right() {
    let home = Home::new();
    home.run(&["queue"]).failed(2, "no target");
    home.run(&["queue", "tcp://a", "x"])
        .failed(2, "nothing is queued for it");
    home.run(&["queue", "a", "--run"])
        .failed(2, "--run delivers everything");
    home.run(&["queue", "a", "--drop", "x"]).failed(2, "`all`");
    home.run(&["queue", "a", "--list", "--flush"])
        .failed(2, "--flush and --list cannot be used together");
    home.run(&["queue", "a/logs", "--drop", "all"])
        .failed(2, "not for each mailbox")
        .failed(2, "name the server alone: a");
    home.run(&["queue", "a/X", "x"]).failed(65, "mailbox");
    fs::write(home.path().join("other"), "not ours").unwrap();
    let other = home.path().join("other");
    home.run(&["queue", "a", "x", "--outbox", other.to_str().unwrap()])
        .failed(1, "is not a tenfour")
        .failed(1, "--outbox PATH");
}
