//! `tenfour mailbox rm` and `tenfour cursor rm`.

mod support;

use std::process::Command;

use support::{Home, Receiving, mailbox, needs, run, wait_for};

#[test]
fn mailboxes_are_removed_by_name_and_by_pattern() {
    let home = Home::new();
    let served = home.serve();
    for name in ["jobs", "logs/a", "logs/b", "logs"] {
        home.run(&["send", &served.at(name), name]).ok();
    }
    let server = ["--server", &served.native];
    let rm = |words: &[&str]| home.run(&[&["mailbox", "rm"][..], words, &server].concat());
    // It says what it would do, and does nothing.
    let listed = rm(&["logs/*"]).failed(2, "add --yes").stdout;
    assert_eq!(listed, "logs/a (1 messages)\nlogs/b (1 messages)\n");
    assert_eq!(mailbox(&home, &served.at("logs/a")), ["logs/a"]);
    let removed = rm(&["logs/*", "--yes"]).ok();
    assert_eq!(
        removed,
        "removed logs/a (1 messages)\nremoved logs/b (1 messages)\n"
    );
    let status = home.run(&["status", &served.native]).ok();
    assert!(!status.contains("logs/a") && status.contains("logs") && status.contains("jobs"));
    rm(&["logs/*", "--yes"]).failed(1, "there is no such mailbox");
    home.run(&["mailbox", "rm", "logs", "--server", &served.at("jobs")])
        .failed(2, "--server names a server");
    home.run(&["mailbox", "rm", "logs", "--server", &served.text_url()])
        .failed(2, "only the native listener");
    // Somebody sends to it again.
    home.run(&["send", &served.at("logs/a"), "again"]).ok();
    assert_eq!(mailbox(&home, &served.at("logs/a")), ["again"]);
}

#[test]
fn cursors_are_removed_unless_somebody_consumes_by_them() {
    let home = Home::new();
    let served = home.serve();
    home.run(&["send", &served.native, "one"]).ok();
    for name in ["worker", "other"] {
        home.run(&["receive", &served.native, "--as", name, "-C", "1"])
            .ok();
    }
    let server = ["--server", &served.native];
    let rm = |words: &[&str]| home.run(&[&["cursor", "rm"][..], words, &server].concat());
    assert_eq!(
        rm(&["inbox:worker"]).failed(2, "add --yes").stdout,
        "inbox:worker (lag 0)\n"
    );
    let consumer = Receiving::start(&home, &served, &["--as", "worker"]);
    home.run(&["send", &served.native, "two"]).ok();
    consumer.out.wait_for("two");
    rm(&["inbox:worker", "-y"]).failed(65, "a consumer is connected");
    home.run(&["mailbox", "rm", "inbox", "-y", "--server", &served.native])
        .failed(65, "a consumer is connected");
    drop(consumer);
    wait_for("it to be let go", || rm(&["inbox:worker", "-y"]).code == Some(0));
    // It begins anew; the other one does not.
    assert_eq!(
        home.run(&["receive", &served.native, "--as", "worker", "-C", "2"])
            .ok(),
        "one\ntwo\n"
    );
    assert_eq!(
        home.run(&["receive", &served.native, "--as", "other", "--drain"])
            .ok(),
        "two\n"
    );
    assert_eq!(rm(&["*", "-y"]).ok().lines().count(), 2);
}

#[test]
fn only_who_runs_the_server_removes() {
    let (home, guest) = (Home::new(), Home::new());
    let served = home.serve();
    home.run(&["send", &served.native, "one"]).ok();
    let key = guest.fingerprint();
    home.run(&["keys", "allow", &key, "send=*", "read=*", "consume=*", "status"])
        .ok();
    guest
        .run(&["keys", "trust", &served.native, &home.fingerprint()])
        .ok();
    let rm = || guest.run(&["mailbox", "rm", "inbox", "--yes", "--server", &served.native]);
    wait_for("the key to be known", || rm().code != Some(69));
    rm().failed(77, "may not remove");
    assert_eq!(mailbox(&home, &served.native), ["one"]);
    home.run(&["keys", "allow", &key, "admin"]).ok();
    wait_for("the right", || rm().code == Some(0));
}

/// A key that might only read answered other people's questions, and took messages from their workers.
#[test]
fn looking_is_not_consuming_and_consuming_is_not_answering() {
    let (home, guest) = (Home::new(), Home::new());
    let served = home.serve();
    home.run(&["send", &served.native, "one"]).ok();
    let key = guest.fingerprint();
    guest
        .run(&["keys", "trust", &served.native, &home.fingerprint()])
        .ok();
    let allow = |right: &str| home.run(&["keys", "allow", &key, right, "--replace"]).ok();
    let receive = |words: &[&str]| guest.run(&[&["receive", &served.native, "-W", "5s"][..], words].concat());
    allow("read=inbox");
    wait_for("the right", || {
        guest.run(&["tail", &served.native]).code == Some(0)
    });
    receive(&["--as", "worker", "-C", "1"])
        .failed(77, &format!("tenfour keys allow {key} consume=inbox:worker"));
    allow("consume=inbox:worker");
    wait_for("the right", || {
        receive(&["--as", "worker", "-C", "1"]).code == Some(0)
    });
    guest.run(&["tail", &served.native]).failed(77, "may not read");
    receive(&["--as", "other", "-C", "1"]).failed(77, "by the cursor `other`");
    // A reply takes a right of its own; to lack it is no fault of the question, however often that is tried.
    let asking = home.command(&["ask", &served.native, "may I?", "--timeout", "60s"]);
    let asking = std::thread::spawn(move || run(asking, b""));
    let handle = ["--as", "worker", "-C", "1", "--exec", "cat"];
    let mut refused = 0;
    wait_for("the question", || {
        let ran = receive(&handle);
        refused += u32::from(ran.code == Some(77) && ran.stderr.contains("may not answer"));
        refused == 12
    });
    home.run(&["keys", "allow", &key, "answer=inbox"]).ok();
    wait_for("the right", || receive(&handle).code == Some(0));
    assert_eq!(asking.join().unwrap().ok(), "may I?");
}

/// It said that messages are not handled any more, and never tried again.
#[test]
fn a_handler_without_a_place_for_its_cursor_begins_when_there_is_one() {
    if !needs("sqlite3") {
        return;
    }
    let home = Home::new();
    home.serve().stop();
    let store = home.path().join("store.db");
    let mut fill = Command::new("sqlite3");
    fill.arg(&store).arg(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1024)
         INSERT INTO cursor(mailbox, name, floor, used) SELECT 'junk', 'c' || i, 0, 0 FROM n",
    );
    run(fill, b"").ok();
    let served = home.serve_with(&["--exec-mailbox", "jobs", "--exec", "cat"]);
    home.run(&["receive", &served.native, "--as", "x", "-C", "1"])
        .failed(1, "cursors");
    let asked = home.command(&["ask", &served.at("jobs"), "handled?"]);
    let asked = std::thread::spawn(move || run(asked, b""));
    home.run(&["cursor", "rm", "junk:c7", "-y", "--server", &served.native])
        .ok();
    assert_eq!(asked.join().unwrap().ok(), "handled?");
}
