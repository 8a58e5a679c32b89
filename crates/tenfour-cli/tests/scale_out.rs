//! Several servers in front of one PostgreSQL: to whoever sends, reads or asks they are one.

mod support;

use std::process::Stdio;

use support::browser::Browser;
use support::http::Events;
use support::{Home, Lines, Receiving, SERVE, Served, mailbox, needs, wait_for};
use tenfour_test_postgres::Cluster;

/// A database with a store in it; `None` where there is no PostgreSQL.
fn store(home: &Home) -> Option<(&'static Cluster, String, String)> {
    let cluster = tenfour_test_postgres::shared()?;
    let database = cluster.new_database();
    let url = cluster.url(&database);
    home.run(&["store", "init", &url]).ok();
    Some((cluster, database, url))
}

fn serve(home: &Home, url: &str, more: &[&str]) -> Served {
    home.serve_with(&[&["--store", url, "--durability", "disk"], more].concat())
}

#[test]
fn what_is_stored_by_one_server_is_known_to_the_other() {
    let home = Home::new();
    let Some((cluster, database, url)) = store(&home) else {
        return;
    };
    let (one, other) = (serve(&home, &url, &[]), serve(&home, &url, &[]));
    home.run(&["send", &one.native, "one", "--id", "x"]).ok();
    home.run(&["send", &other.native, "one", "--id", "x"]).ok();
    home.run(&["send", &other.native, "another", "--id", "x"])
        .failed(65, "another message");
    home.run(&["send", &other.native, "two"]).ok();
    for served in [&one, &other] {
        assert_eq!(mailbox(&home, &served.native), ["one", "two"]);
    }
    let rows = cluster.sql(
        &database,
        "SELECT mailbox, \"offset\", text FROM tenfour.messages",
    );
    assert_eq!(rows, "inbox|1|one\ninbox|2|two");
    // Both stop, and another one goes on.
    assert_eq!((one.stop(), other.stop()), (Some(0), Some(0)));
    assert_eq!(cluster.sql(&database, "SELECT count(*) FROM tenfour.lane"), "0");
    let third = serve(&home, &url, &[]);
    home.run(&["send", &third.native, "one", "--id", "x"]).ok();
    assert_eq!(mailbox(&home, &third.native), ["one", "two"]);
}

#[test]
fn whoever_follows_at_one_server_sees_what_comes_to_the_other() {
    let home = Home::new();
    let Some((_, _, url)) = store(&home) else { return };
    let (one, other) = (serve(&home, &url, &[]), serve(&home, &url, &[]));
    let mut follower = home
        .command(&["tail", "-f", &other.native])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = Lines::of(follower.stdout.take().unwrap());
    home.run(&["send", &one.native, "first"]).ok();
    lines.wait_for("first");
    home.run(&["send", &one.native, "second"]).ok();
    lines.wait_for("second");
    follower.kill().unwrap();
    follower.wait().unwrap();
    // A mailbox that is removed at the one is gone at the other.
    home.run(&["send", &one.at("old"), "x"]).ok();
    home.run(&["mailbox", "rm", "old", "--server", &other.native, "--yes"])
        .ok();
    let status = home.run(&["status", &one.native]).ok();
    assert!(!status.contains("old "), "{status}");
    home.run(&["send", &one.at("old"), "again"]).ok();
    assert_eq!(mailbox(&home, &other.at("old")), ["again"]);
}

/// Streams of events and the page, too.
#[test]
fn whoever_looks_at_one_server_sees_what_comes_to_the_other() {
    let home = Home::new();
    let Some((_, _, url)) = store(&home) else { return };
    let one = serve(&home, &url, &["--http", "127.0.0.1:0"]);
    let page = one.page();
    let other = serve(&home, &url, &[]);
    let token = page.split_once("#token=").unwrap().1;
    let mut events = Events::open(&one, token, "/v1/events?mailbox=inbox", "");
    let mut mailboxes = Events::open(&one, token, "/v1/events", "");
    home.run(&["send", &other.native, "at the other"]).ok();
    let event = events.until("data:");
    assert!(event.contains("at the other"), "{event}");
    let event = mailboxes.until("data:");
    assert!(event.contains("inbox"), "{event}");
    if needs("chromium") && needs("chromedriver") {
        let browser = Browser::start();
        browser.open(&page);
        browser.wait_for("#list", "at the other");
        home.run(&["send", &other.native, "while it is open"]).ok();
        browser.wait_for("#list li:first-child", "while it is open");
        assert_eq!(browser.complaints(), [""; 0]);
    }
}

/// Any server tells of all; of its own connections each tells itself.
#[test]
fn the_status_names_all_servers_of_the_store() {
    let home = Home::new();
    let Some((_, _, url)) = store(&home) else { return };
    let one = serve(&home, &url, &[]);
    let other = home.serve_with(&["--store", &url, "--engine-replicates"]);
    for served in [&one, &other] {
        let status = home.run(&["status", &served.native]).ok();
        let (_, servers) = status.split_once("SERVERS OF THIS STORE\n").unwrap();
        let servers: Vec<&str> = servers.lines().take_while(|line| !line.is_empty()).collect();
        assert_eq!(servers.len(), 3, "{status}");
        assert!(servers[1].contains("  disk  "), "{status}");
        assert!(servers[2].contains("  replicated, as declared  "), "{status}");
        let own = usize::from(served.native == other.native) + 1;
        assert!(
            servers[own].ends_with("yes") && servers[3 - own].ends_with("no"),
            "{status}"
        );
    }
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let rows = home.run(&["status", &one.native, "--json"]).ok();
    let peer = rows.lines().find(|row| row.contains(r#""peer""#)).unwrap();
    assert!(peer.contains(name.trim()), "{peer}");
    // A store in a file has one server.
    let alone = home.serve();
    let status = home.run(&["status", &alone.native]).ok();
    assert!(!status.contains("SERVERS OF"), "{status}");
}

/// Who may do what is in the database: one command for all servers.
#[test]
fn whoever_is_let_in_is_let_in_by_all_servers() {
    let (home, guest) = (Home::new(), Home::new());
    let Some((_, _, url)) = store(&home) else { return };
    let one = serve(&home, &url, &["--http", "127.0.0.1:0"]);
    let other = serve(&home, &url, &[]);
    let servers = [&one, &other];
    for served in servers {
        guest
            .run(&["keys", "trust", &served.native, &home.fingerprint()])
            .ok();
        guest
            .run(&["send", &served.native, "x"])
            .failed(77, "not allowed");
    }
    let key = guest.fingerprint();
    // In files of this machine, which no server reads.
    home.run(&["keys", "allow", &key]).ok();
    guest.run(&["send", &one.native, "x"]).failed(77, "not allowed");
    home.run(&["keys", "allow", &key, "--store", &url]).ok();
    let may = |served: &Served| guest.run(&["send", &served.native, "x"]).code == Some(0);
    for served in servers {
        wait_for("the key to be let in", || may(served));
    }
    let listed = home.run(&["keys", "list", "--store", &url]).ok();
    assert!(listed.contains(&key), "{listed}");
    home.run(&["keys", "remove", &key, "--store", &url]).ok();
    for served in servers {
        wait_for("the key to be kept out", || !may(served));
    }
    let token = home
        .run(&["keys", "token", "shop", "send=inbox", "--store", &url])
        .ok();
    home.run(&["keys", "token", "shop", "send=inbox", "--store", &url])
        .failed(1, "there is a token `shop` already");
    let posted = || support::http::ask(&one, &posting(token.trim()));
    wait_for("the token to count", || posted().starts_with("HTTP/1.1 201"));
    home.run(&["keys", "remove", "shop", "--store", &url]).ok();
    wait_for("the token to count no more", || {
        posted().starts_with("HTTP/1.1 401")
    });
    // The next one is told that files here say something else.
    let third = serve(&home, &url, &[]);
    third.log.wait_for("authorized_keys");
}

fn posting(token: &str) -> String {
    format!(
        "POST /inbox HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"
    )
}

/// It counts once, at whichever server; and whoever it lets in is known to all.
#[test]
fn an_invitation_counts_once_at_all_servers() {
    let (home, guest, late) = (Home::new(), Home::new(), Home::new());
    let Some((cluster, database, url)) = store(&home) else {
        return;
    };
    let (one, other) = (serve(&home, &url, &[]), serve(&home, &url, &[]));
    let invite = |served: &Served| {
        let said = home
            .run(&["invite", "--address", &served.native, "--store", &url])
            .ok();
        said.trim().to_owned()
    };
    let token = invite(&one);
    guest.run(&["join", &token]).ok();
    guest.run(&["send", &one.native, "let in"]).ok();
    guest
        .run(&["keys", "trust", &other.native, &home.fingerprint()])
        .ok();
    let may = || guest.run(&["send", &other.native, "known"]).code == Some(0);
    wait_for("the other to know", may);
    late.run(&["join", &token]).failed(77, "used by another key");
    late.run(&["join", &invite(&other)]).ok();
    // A secret that somebody made up leaves nothing behind.
    let version = "SELECT version FROM tenfour.access WHERE name = 'invitations'";
    let before = cluster.sql(&database, version);
    late.run(&["join", &token]).failed(77, "used by another key");
    assert_eq!(cluster.sql(&database, version), before);
}

#[test]
fn whoever_asks_one_server_is_answered_by_the_others_handler() {
    let home = Home::new();
    let Some((_, _, url)) = store(&home) else { return };
    let one = serve(&home, &url, &[]);
    let _other = serve(&home, &url, &["--exec", "tr", "a-z", "A-Z"]);
    for question in ["why", "how"] {
        assert_eq!(
            home.run(&["ask", &one.native, question]).ok(),
            question.to_uppercase()
        );
    }
}

/// To those who do not know the word it is `disk`, which is true, too.
#[test]
fn a_receipt_is_as_good_as_the_database() {
    let home = Home::new();
    let Some((_, _, url)) = store(&home) else { return };
    let single = serve(&home, &url, &[]);
    let demanded = ["--durability", "replicated", "--timeout", "5s"];
    home.run(&[&["send", &single.native, "x"][..], &demanded].concat())
        .failed(65, "durability `replicated`");
    let declared = home.serve_with(&["--store", &url, "--engine-replicates", "--http", "127.0.0.1:0"]);
    let receipt = home
        .run(&[&["send", &declared.native, "x", "--json"][..], &demanded].concat())
        .ok();
    assert!(receipt.contains(r#""durability":"replicated""#), "{receipt}");
    home.run(&["send", &declared.text_url(), "x"]).ok();
    home.run(&["send", &declared.datagram_url(), "x"]).ok();
}

/// What is given out by one server is not given out by the other.
#[test]
fn consumers_at_two_servers_share_the_work() {
    let home = Home::new();
    let Some((cluster, database, url)) = store(&home) else {
        return;
    };
    let (one, other) = (serve(&home, &url, &[]), serve(&home, &url, &[]));
    let workers = [
        Receiving::start(&home, &one, &["--as", "w"]),
        Receiving::start(&home, &other, &["--as", "w"]),
    ];
    let lines: String = (0..2_000).map(|number| format!("{number}\n")).collect();
    home.run_with_input(&["send", "-l", &one.native], lines.as_bytes())
        .ok();
    let all = || {
        let parts: Vec<Vec<String>> = workers.iter().map(|worker| worker.out.all()).collect();
        (parts[0].len() + parts[1].len(), parts)
    };
    wait_for("all of it", || all().0 >= 2_000);
    let parts = all().1;
    assert!(parts.iter().all(|part| !part.is_empty()), "one had nothing");
    let mut handled = parts.concat();
    handled.sort_by_key(|line| line.parse::<u64>().unwrap());
    let sent: Vec<&str> = lines.lines().collect();
    assert_eq!(handled, sent);
    let floor = "SELECT floor FROM tenfour.cursor WHERE name = 'w'";
    wait_for("the cursor behind it", || cluster.sql(&database, floor) == "2000");
    assert_eq!(cluster.sql(&database, "SELECT count(*) FROM tenfour.given"), "0");
}

/// What a reader of a lost server had is given to another one, when it is known that the server is lost; and the work of a
/// reader that went is given at once.
#[test]
fn the_work_of_a_server_that_is_killed_is_done_by_the_other() {
    let home = Home::new();
    let Some((cluster, database, url)) = store(&home) else {
        return;
    };
    let (one, other) = (serve(&home, &url, &[]), serve(&home, &url, &[]));
    for number in 0..10 {
        home.run(&["send", &one.native, &number.to_string()]).ok();
    }
    let begun = home.path().join("begun");
    let _slow = Receiving::start(
        &home,
        &one,
        &[
            "--as",
            "w",
            "--sh",
            &format!("touch {}; sleep 100", begun.display()),
        ],
    );
    wait_for("the slow one", || begun.exists());
    let quick = Receiving::start(&home, &other, &["--as", "w"]);
    one.kill();
    let lanes = "UPDATE tenfour.lane SET seen = now() - interval '16 seconds' WHERE id = (SELECT min(id) FROM tenfour.lane)";
    cluster.sql(&database, lanes);
    wait_for("all of it", || quick.out.all().len() >= 10);
    let mut done = quick.out.all();
    done.sort();
    assert_eq!(done, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    // A reader that goes leaves nothing behind.
    drop(quick);
    home.run(&["send", &other.native, "more"]).ok();
    let third = serve(&home, &url, &[]);
    let last = Receiving::start(&home, &third, &["--as", "w"]);
    last.out.wait_for("more");
    assert_eq!(last.out.all(), ["more"]);
    let dead = home.run(&["status", &third.native]).ok();
    assert!(!dead.contains("dead/"), "{dead}");
}

/// A receipt is late when the database is away, and never false; the server waits for it.
#[test]
fn a_database_that_is_away_for_a_while_costs_time_only() {
    if !tenfour_test_postgres::is_installed() {
        return;
    }
    let home = Home::new();
    let cluster = Cluster::start("");
    let url = cluster.url(&cluster.new_database());
    home.run(&["store", "init", &url]).ok();
    let served = serve(&home, &url, &[]);
    home.run(&["send", &served.native, "before"]).ok();
    cluster.kill();
    home.run(&["send", &served.native, "lost", "--timeout", "1s", "--id", "lost"])
        .failed(69, "no answer in time");
    let mut late = home
        .command(&["send", &served.native, "late", "--timeout", "60s"])
        .spawn()
        .unwrap();
    served.log.wait_for("the database is lost");
    cluster.resume();
    assert_eq!(late.wait().unwrap().code(), Some(0));
    // What nobody knew is known now: it is there once.
    home.run(&["send", &served.native, "lost", "--id", "lost"]).ok();
    let mut stored = mailbox(&home, &served.native);
    stored.sort();
    assert_eq!(stored, ["before", "late", "lost"]);
    // It stops although the database is away again.
    cluster.kill();
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn what_a_database_lacks_is_said_at_the_start() {
    let home = Home::new();
    let Some(cluster) = tenfour_test_postgres::shared() else {
        return;
    };
    let database = cluster.new_database();
    let url = cluster.url(&database);
    let start = |url: &str, more: &[&str]| home.run(&[&SERVE[..], &["--store", url], more].concat());
    let single = ["--durability", "disk"];
    start(&url, &single).failed(1, "tenfour store init");
    home.run(&["store", "init", &url]).ok();
    home.run(&["store", "init", &url]).ok();
    start(&url, &[]).failed(1, "--durability disk");
    start(&url, &["--durability", "os"]).failed(2, "`replicated` or `disk`");
    start("postgres://db/x?sslmode=require", &single).failed(2, "verify-full");
    start(&cluster.url("nowhere"), &single).failed(1, "does not exist");
    start("postgres://tenfour@127.0.0.1:1/x", &single).failed(1, "look whether it runs");
    home.run(&["check", &url]).failed(2, "pg_amcheck");
    home.run(&["store", "init", "store.db"]).failed(2, "--store PATH");
    cluster.sql(&database, "UPDATE tenfour.store SET version = 99");
    start(&url, &single).failed(1, "use the newer tenfour");
    cluster.sql(
        "postgres",
        "CREATE DATABASE bytes ENCODING 'SQL_ASCII' TEMPLATE template0",
    );
    home.run(&["store", "init", &cluster.url("bytes")])
        .failed(1, "ENCODING 'UTF8'");
    cluster.sql("postgres", "CREATE ROLE guest LOGIN");
    let guest = cluster.url(&cluster.new_database()).replace("tenfour@", "guest@");
    home.run(&["store", "init", &guest]).failed(1, "GRANT CREATE");
    let unsafe_one = Cluster::start("fsync = off");
    start(&unsafe_one.url("postgres"), &single).failed(1, "fsync is off");
}
