//! HTTP: reading, following, looking, and the tokens that allow it.

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use support::http::{Events, ask, body, get, getting, is, post};
use support::{Home, Served, mailbox, wait_for};

fn serve(home: &Home) -> Served {
    home.serve_with(&["--http", "127.0.0.1:0"])
}

fn send(home: &Home, served: &Served, bodies: &[&str]) {
    let lines = bodies.join("\n");
    home.run_with_input(&["send", "-l", &served.native], lines.as_bytes())
        .ok();
}

/// The texts of an answer in lines of JSON.
fn texts(answer: &str) -> Vec<String> {
    body(answer)
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["text"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn messages_are_read_from_an_offset_on_and_waited_for() {
    let home = Home::new();
    let served = serve(&home);
    let token = served.token();
    send(&home, &served, &["one", "two", "three"]);
    let read = |query: &str| {
        let answer = get(&served, &token, &format!("/v1/mailboxes/inbox/messages{query}"));
        is(&answer, 200, "application/jsonl");
        texts(&answer)
    };
    assert_eq!(read(""), ["one", "two", "three"]);
    assert_eq!(read("?from=2"), ["two", "three"]);
    assert_eq!(read("?from=2&limit=1"), ["two"]);
    assert_eq!(read("?last=1"), ["three"]);
    assert_eq!(read("?limit=0&wait=1m"), [""; 0]);
    assert_eq!(read("?from=4&wait=10ms"), [""; 0]);
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| read("?from=4&wait=1m"));
        send(&home, &served, &["four"]);
        waiting.join().unwrap()
    });
    assert_eq!(waiting, ["four"]);
    let absent = get(&served, &token, "/v1/mailboxes/a/b/messages");
    assert_eq!(body(&absent), "", "a mailbox that is not there is empty");
    let beyond = get(
        &served,
        &token,
        "/v1/mailboxes/inbox/messages?from=18446744073709551615",
    );
    is(&beyond, 409, "went-back");
    for (query, words) in [
        ("?from=1&last=1", "cannot be used together"),
        ("?from=x", "bad-query"),
        ("?form=1", "unknown field"),
        ("?wait=soon", "`wait`"),
    ] {
        let answer = get(&served, &token, &format!("/v1/mailboxes/inbox/messages{query}"));
        is(&answer, 400, words);
    }
    // As `tail --json` shows them.
    let tail = home.run(&["tail", &served.native, "--json"]).ok();
    let all = get(&served, &token, "/v1/mailboxes/inbox/messages");
    assert_eq!(body(&all), tail);
}

#[test]
fn many_messages_come_in_one_answer() {
    let home = Home::new();
    let served = serve(&home);
    let bodies: Vec<String> = (1..=3_500).map(|n| format!("{n} {}", "x".repeat(300))).collect();
    send(
        &home,
        &served,
        &bodies.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let read = |query: &str| {
        let path = format!("/v1/mailboxes/inbox/messages{query}");
        texts(&get(&served, &served.token(), &path))
    };
    assert_eq!(read(""), &bodies[..1_000]);
    assert_eq!(read("?from=11&limit=3000"), &bodies[10..3_010]);
    assert_eq!(read("?limit=999999"), bodies);
}

#[test]
fn one_message_is_an_attachment_that_nobody_shows() {
    let home = Home::new();
    let served = serve(&home);
    let token = served.token();
    let head = format!(
        "Authorization: Bearer {token}\r\nContent-Type: text/html\r\nContent-Disposition: attachment; filename=\"a b.html\"\r\n"
    );
    let stored = post(&served, "/logs/web", &head, "<script>");
    is(&stored, 201, "location: /v1/mailboxes/logs/web/messages/1\r\n");
    let answer = get(&served, &token, "/v1/mailboxes/logs/web/messages/1");
    is(&answer, 200, "content-type: text/html\r\n");
    assert!(
        answer.contains("content-disposition: attachment; filename*=UTF-8''a%20b.html\r\n"),
        "{answer}"
    );
    assert!(answer.contains("content-security-policy: sandbox; default-src 'none'\r\n"));
    assert_eq!(body(&answer), "<script>");
    let encoded = get(&served, &token, "/v1/mailboxes/logs%2Fweb/messages/1");
    assert_eq!(body(&encoded), "<script>");
    for absent in ["0", "2", "1099511627777", "18446744073709551615"] {
        let path = format!("/v1/mailboxes/logs/web/messages/{absent}");
        is(&get(&served, &token, &path), 404, "there is no message");
    }
    is(
        &get(&served, &token, "/v1/mailboxes/logs/web/messages/one"),
        404,
        "not-found",
    );
}

#[test]
fn a_token_may_what_its_line_says_until_it_is_removed() {
    let home = Home::new();
    let served = serve(&home);
    let token = home
        .run(&["keys", "token", "web", "send=inbox,logs/*", "read=inbox"])
        .ok();
    let token = token.trim();
    let file = std::fs::read_to_string(home.path().join("tokens")).unwrap();
    assert!(!file.contains(token) && file.contains(" web\n"), "{file}");
    home.run(&["keys", "token", "web"]).failed(1, "already");
    home.run(&["keys", "token", "page"]).failed(2, "own name");
    home.run(&["keys", "token", "no name"])
        .failed(2, "a token's name");
    let listed = home.run(&["keys", "list"]).ok();
    assert!(
        listed.starts_with("token send=") && listed.trim_end().ends_with(" web"),
        "{listed}"
    );

    let bearer = format!("Authorization: Bearer {token}\r\n");
    // A key of one's own may be short: its namespace is the token.
    let with_key = format!("{bearer}Idempotency-Key: 7\r\n");
    is(
        &post(&served, "/logs/a", &with_key, "x"),
        201,
        r#""duplicate":false"#,
    );
    is(
        &post(&served, "/logs/a", &with_key, "x"),
        201,
        r#""duplicate":true"#,
    );
    is(&post(&served, "/logs/a", &with_key, "y"), 409, "conflict");
    is(
        &post(&served, "/inbox", "Idempotency-Key: 7\r\n", "x"),
        400,
        "22 to",
    );
    let other = format!(
        "Authorization: Bearer {}\r\nIdempotency-Key: 7\r\n",
        served.token()
    );
    is(
        &post(&served, "/logs/a", &other, "z"),
        201,
        r#""duplicate":false"#,
    );
    is(
        &post(&served, "/other", &bearer, "x"),
        403,
        "may not send to `other`",
    );
    is(
        &get(&served, token, "/v1/mailboxes/logs/a/messages"),
        403,
        "read=logs/a",
    );
    is(&get(&served, token, "/v1/status"), 403, "status");
    is(&get(&served, token, "/metrics"), 403, "status");
    is(&get(&served, token, "/v1/mailboxes/inbox/messages"), 200, "");
    let tail = home.run(&["tail", &served.at("logs/a"), "--json"]).ok();
    assert!(
        tail.contains(r#""sender":"token:web""#) && tail.contains(r#""sender":"token:page""#),
        "{tail}"
    );

    let mut events = Events::open(&served, token, "/v1/events", "");
    // Who waits for a message when the token is taken away does not get it.
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| get(&served, token, "/v1/mailboxes/inbox/messages?wait=1m"));
        wait_for("the request", || {
            let status = home.run(&["status", &served.native, "--json"]).ok();
            status.matches(r#""sender":"token:web""#).count() == 2
        });
        home.run(&["keys", "remove", "web"]).ok();
        events.ends();
        home.run(&["send", &served.native, "not for the token"]).ok();
        waiting.join().unwrap()
    });
    is(&waiting, 401, "not known here any more");
    is(
        &get(&served, token, "/v1/mailboxes/inbox/messages"),
        401,
        "not known",
    );
    home.run(&["keys", "remove", "web"])
        .failed(1, "no key, token or server");
}

#[test]
fn without_a_token_nothing_is_read() {
    let home = Home::new();
    let served = serve(&home);
    for path in [
        "/v1/mailboxes/inbox/messages",
        "/v1/mailboxes/inbox/messages/1",
        "/v1/events",
        "/v1/status",
        "/metrics",
    ] {
        is(&get(&served, "", path), 401, "www-authenticate: Bearer\r\n");
        is(&get(&served, "tenfour_x", path), 401, "not known");
    }
    let basic = getting("", "/v1/status", "Authorization: Basic eDp5\r\n");
    is(&ask(&served, &basic), 401, "Bearer TOKEN");
    // What was forwarded does not come from this machine, whatever the address says.
    for header in [
        "Forwarded: for=192.0.2.1",
        "X-Forwarded-For: 192.0.2.1",
        "Via: 1.1 x",
    ] {
        let answer = post(&served, "/inbox", &format!("{header}\r\n"), "x");
        is(&answer, 401, "own machine");
    }
    assert_eq!(mailbox(&home, &served.native), [""; 0]);
    // Each is counted: ten without or with a wrong token, one with another scheme, three that were forwarded.
    let status = home.run(&["status", &served.native, "--json"]).ok();
    assert!(
        status.contains(r#"{"kind":"counter","reason":"http-refused","count":14}"#),
        "{status}"
    );
    for path in ["/", "/-/page.js", "/-/page.css", "/-/icon.svg"] {
        let answer = get(&served, "", path);
        is(&answer, 200, "trusted-types 'none'");
        assert!(answer.contains("default-src 'none'"), "{answer}");
    }
}

#[test]
fn opened_to_everybody_it_takes_messages_that_were_forwarded() {
    let home = Home::new();
    let served = home.serve_with(&["--http", "127.0.0.1:0", "--open", "http"]);
    let forwarded = "Forwarded: for=192.0.2.1\r\n";
    is(&post(&served, "/inbox", forwarded, "x"), 201, "stored");
    is(
        &post(&served, "/other", forwarded, "x"),
        401,
        "nobody may send to `other`",
    );
    is(&get(&served, "", "/v1/mailboxes/inbox/messages"), 401, "token");
}

#[test]
fn events_come_as_messages_do_and_go_on_where_they_were() {
    let home = Home::new();
    let served = serve(&home);
    let token = served.token();
    send(&home, &served, &["one", "two", "three"]);
    let mut events = Events::open(&served, &token, "/v1/events?mailbox=inbox", "");
    home.run(&["send", &served.at("other"), "elsewhere"]).ok();
    send(&home, &served, &["four\u{2028}\r"]);
    let four = events.until("id: ");
    assert!(four.starts_with("id: 4-"), "it begins with what comes: {four}");
    let data = events.until("data: ");
    assert!(
        data.contains(r#""mailbox":"inbox""#) && data.contains(r"four") && data.contains(r"\r"),
        "{data}"
    );
    drop(events);
    send(&home, &served, &["five"]);
    let mut events = Events::open(
        &served,
        &token,
        "/v1/events?mailbox=inbox&last=1",
        "Last-Event-ID: 3\r\n",
    );
    events.until("id: 4-");
    let five = events.until("id: 5-");
    let mut events = Events::open(&served, &token, "/v1/events?last=2", "");
    assert_eq!(events.until("id: "), four);
    assert_eq!(events.until("id: "), five);
    let bad = getting(&token, "/v1/events", "Last-Event-ID: x\r\n");
    is(&ask(&served, &bad), 400, "no id of an event");
    is(&get(&served, &token, "/v1/events?mailbox=A"), 400, "bad-mailbox");
    // A long body is named, not sent.
    let mut events = Events::open(&served, &token, "/v1/events", "");
    home.run_with_input(&["send", &served.native], "x".repeat(70_000).as_bytes())
        .ok();
    let data = events.until("data: ");
    assert!(
        data.contains(r#""bytes":70000"#) && !data.contains(r#""text""#),
        "{data}"
    );
    assert_eq!(served.stop(), Some(0), "a stopping server ends them");
    events.ends();
}

#[test]
fn a_follower_too_far_behind_is_moved_on_and_told_so_once() {
    let home = Home::new();
    let served = serve(&home);
    let lines: Vec<String> = (1..=10_500).map(|n| n.to_string()).collect();
    send(
        &home,
        &served,
        &lines.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let mut events = Events::open(&served, &served.token(), "/v1/events?from=101", "");
    assert_eq!(events.until("event: "), "event: skipped");
    assert_eq!(events.until("id: "), "id: 10400");
    assert_eq!(events.until("data: "), r#"data: {"count":10300,"from":101}"#);
    for offset in 10_401..=10_500 {
        events.until(&format!("id: {offset}-"));
    }
    // From 10,000 on nothing is skipped.
    let mut events = Events::open(&served, &served.token(), "/v1/events?from=501", "");
    events.until("id: 501-");
}

/// It waited beyond the end of the new mailbox in silence, and took its messages for those that it had seen.
#[test]
fn a_follower_that_comes_back_after_a_restore_is_told_and_sees_everything() {
    let home = Home::new();
    let served = serve(&home);
    let token = served.token();
    send(&home, &served, &["one", "two"]);
    let mut events = Events::open(&served, &token, "/v1/events?from=2", "");
    let seen = events.until("id: ");
    let other = format!("{}0", seen);
    for id in ["id: 5000", &other] {
        let last = format!("Last-Event-ID: {}\r\n", &id["id: ".len()..]);
        let mut events = Events::open(&served, &token, "/v1/events", &last);
        assert_eq!(events.until("event: "), "event: went-back");
        assert_eq!(events.until("data: "), r#"data: {"last":2}"#);
        events.until("id: 1-");
        assert_eq!(events.until("id: "), seen);
    }
    // Whoever has seen the second of this mailbox goes on behind it.
    let last = format!("Last-Event-ID: {}\r\n", &seen["id: ".len()..]);
    let mut events = Events::open(&served, &token, "/v1/events", &last);
    send(&home, &served, &["three"]);
    events.until("id: 3-");
}

#[test]
fn a_thousand_idle_streams_cost_nobody_anything() {
    let home = Home::new();
    let served = serve(&home);
    let token = served.token();
    let memory = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", served.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = memory();
    let mut streams: Vec<Events> = (0..1_000)
        .map(|n| {
            let path = format!("/v1/events?mailbox=quiet/{}", n % 10);
            Events::open(&served, &token, &path, "")
        })
        .collect();
    let each = memory().saturating_sub(before) / 1_000;
    assert!(each < 64, "{each} KiB for each");
    is(&post(&served, "/inbox", "", "through"), 201, "stored");
    home.run(&["send", &served.at("quiet/7"), "for a hundred"]).ok();
    for stream in streams.iter_mut().skip(7).step_by(10) {
        stream.until("id: 1-");
    }
    assert_eq!(served.stop(), Some(0));
    for stream in &mut streams {
        stream.ends();
    }
}

/// 1,500 readers that asked for a message of 1 MiB and read nothing took 1.5 GiB.
#[test]
fn readers_that_do_not_read_have_a_ceiling_together() {
    let home = Home::new();
    let served = serve(&home);
    let token = served.token();
    let body = vec![b'x'; 1_000_000];
    for _ in 0..3 {
        home.run_with_input(&["send", &served.native], &body).ok();
    }
    let mut held = Vec::new();
    for path in [
        "/v1/mailboxes/inbox/messages/1",
        "/v1/mailboxes/inbox/messages",
        "/v1/events?last=3",
    ] {
        for _ in 0..150 {
            // A small window, so that it is not the kernel that holds what is not read.
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_recv_buffer_size(4096).unwrap();
            let address: std::net::SocketAddr = served.http.parse().unwrap();
            socket.connect(&address.into()).unwrap();
            let mut stream = TcpStream::from(socket);
            stream.write_all(getting(&token, path, "").as_bytes()).unwrap();
            held.push(stream);
        }
    }
    // Somebody who sends is not held up by them.
    is(&post(&served, "/inbox", "", "through"), 201, "stored");
    home.run(&["send", &served.native, "through"]).ok();
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.pid())).unwrap();
    let highest = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kib: u64 = highest.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kib < 256 * 1024, "{highest}");
    // And whoever reads gets what was asked for, when they are gone.
    drop(held);
    let whole = get(&served, &token, "/v1/mailboxes/inbox/messages/1");
    assert_eq!(support::http::body(&whole).len(), 1_000_000);
}

#[test]
fn whoever_does_not_read_is_cut_and_goes_on_by_offset() {
    let home = Home::new();
    let served = serve(&home);
    let token = served.token();
    let body = "x".repeat(60_000);
    let lines = vec![body.as_str(); 200];
    send(&home, &served, &lines);
    let mut stream = TcpStream::connect(&served.http).unwrap();
    stream
        .write_all(getting(&token, "/v1/events?from=1", "").as_bytes())
        .unwrap();
    wait_for("the cut", || {
        std::thread::sleep(Duration::from_millis(200));
        get(&served, &token, "/metrics").contains("tenfour_refused_total{reason=\"slow-reader\"} 1")
    });
}

#[test]
fn the_status_is_that_of_the_command_and_the_metrics_are_counted() {
    let home = Home::new();
    let served = serve(&home);
    let token = served.token();
    send(&home, &served, &["one", "two"]);
    home.run(&["receive", &served.native, "--as", "w", "-C", "1"])
        .ok();
    is(&post(&served, "/Inbox", "", "x"), 400, "");
    let kinds = |text: &str| -> BTreeSet<String> {
        text.lines()
            .map(|line| {
                let row: serde_json::Value = serde_json::from_str(line).unwrap();
                row["kind"].as_str().unwrap().to_owned()
            })
            .collect()
    };
    let by_http = body(&get(&served, &token, "/v1/status"));
    let by_command = home.run(&["status", &served.native, "--json"]).ok();
    assert_eq!(kinds(&by_http), kinds(&by_command));
    assert!(
        by_http.contains(r#""kind":"server""#) && by_http.contains(r#""stored":2"#),
        "{by_http}"
    );
    let reader = home.run(&["keys", "token", "prometheus", "send=", "status"]).ok();
    let metrics = get(&served, reader.trim(), "/metrics");
    is(&metrics, 200, "content-type: text/plain; version=0.0.4");
    for line in [
        "tenfour_mailbox_messages{mailbox=\"inbox\"} 2",
        "tenfour_mailbox_stored_total{mailbox=\"inbox\"} 2",
        "tenfour_cursor_lag{mailbox=\"inbox\",cursor=\"w\"} 1",
        "tenfour_connections{listener=\"http\"} 1",
        "tenfour_refused_total{reason=\"not-allowed\"} 0",
        "tenfour_receipt_seconds_bucket{le=\"+Inf\"} 2",
        "tenfour_receipt_seconds_count 2",
    ] {
        assert!(
            metrics.lines().any(|l| l == line),
            "`{line}` is not in: {metrics}"
        );
    }
    // Each family says what it is, once, and each sample is `NAME{LABELS} NUMBER`.
    let mut families = BTreeSet::new();
    for line in body(&metrics).lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            assert!(families.insert(family.to_owned()), "{line}");
        } else if !line.starts_with('#') {
            let (_, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}

#[test]
fn the_interface_describes_itself_and_every_address_of_it_is_there() {
    let home = Home::new();
    let served = serve(&home);
    let token = served.token();
    home.run(&["send", &served.native, "one"]).ok();
    let answer = get(&served, "", "/v1/openapi.json");
    is(&answer, 200, "application/json");
    let document: serde_json::Value = serde_json::from_str(&body(&answer)).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let paths = document["paths"].as_object().unwrap();
    let mut operations = 0;
    for (path, methods) in paths {
        let there = path.replace("{mailbox}", "inbox").replace("{offset}", "1");
        for method in methods.as_object().unwrap().keys() {
            operations += 1;
            let method = method.to_uppercase();
            let mut stream = TcpStream::connect(&served.http).unwrap();
            write!(
                stream,
                "{method} {there} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
            )
            .unwrap();
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).unwrap();
            assert!(line.starts_with("HTTP/1.1 20"), "{method} {there}: {line}");
        }
    }
    assert_eq!(operations, 7);
    let post = &document["paths"]["/v1/mailboxes/{mailbox}/messages"]["post"];
    assert!(post["responses"]["201"].is_object() && post["responses"]["202"].is_null());
    assert!(document["components"]["schemas"]["Message"]["properties"]["offset"].is_object());
}

#[test]
fn those_without_a_key_may_send_where_a_line_says_so() {
    let home = Home::new();
    let served = serve(&home);
    is(&post(&served, "/logs/web", "", "x"), 401, "logs/web");
    std::fs::write(
        home.path().join("authorized_keys"),
        "anonymous send=\"inbox,logs/*\"\n",
    )
    .unwrap();
    wait_for("the file to be read", || {
        post(&served, "/logs/web", "", "x").starts_with("HTTP/1.1 201 ")
    });
    let datagram = format!("{}/logs/web", served.datagram_url());
    home.run(&["send", &datagram, "by datagram"]).ok();
    is(&post(&served, "/other", "", "x"), 401, "other");
    assert_eq!(mailbox(&home, &served.at("logs/web")), ["x", "by datagram"]);
}

#[test]
fn those_without_a_key_cannot_fill_the_store() {
    for store in ["store.db", "memory"] {
        let home = Home::new();
        let place = home.path().join(store);
        let store = if store == "memory" {
            store
        } else {
            place.to_str().unwrap()
        };
        let arguments = [
            "--http",
            "127.0.0.1:0",
            "--store",
            store,
            "--anonymous-quota",
            "100K",
        ];
        let served = home.serve_with(&arguments);
        let body = "x".repeat(30_000);
        for _ in 0..3 {
            is(&post(&served, "/inbox", "", &body), 201, "stored");
        }
        is(&post(&served, "/inbox", "", &body), 503, "full");
        let small = post(&served, "/inbox", "", "small");
        is(&small, 201, "stored");
        // The others go on.
        let sent = home.run_with_input(
            &["send", &served.native, "--durability", "memory"],
            "y".repeat(200_000).as_bytes(),
        );
        sent.ok();
        let status = home.run(&["status", &served.native, "--json"]).ok();
        assert!(status.contains(r#""bytes":290005"#), "{status}");
        if store == "memory" {
            continue;
        }
        // It is counted again after a restart.
        served.kill();
        let served = home.serve_with(&arguments);
        is(&post(&served, "/inbox", "", &body), 503, "full");
        let status = home.run(&["status", &served.native, "--json"]).ok();
        assert!(status.contains(r#""bytes":290005"#), "{status}");
    }
}
