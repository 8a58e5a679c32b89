//! HTTP: what curl sees, and what a browser or a stranger tries.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use support::http::{ask, is, post};
use support::{Home, Served, mailbox, needs, run, wait_for};

fn serve(home: &Home) -> Served {
    home.serve_with(&["--http", "127.0.0.1:0"])
}

const KEY: &str = "Idempotency-Key: 6ed1a1b4-7b35-4c11-9d9a-0123456789ab\r\n";

#[test]
fn curl_gets_a_receipt() {
    if !needs("curl") {
        return;
    }
    let home = Home::new();
    let served = serve(&home);
    let curl = |arguments: &[&str]| {
        let mut command = std::process::Command::new("curl");
        command.args(["-sS", "-w", "%{http_code}"]).args(arguments);
        run(command, b"").ok()
    };
    let url = format!("http://{}/inbox", served.http);
    assert_eq!(
        curl(&["-d", "hi", &url]),
        "{\"outcome\":\"stored\",\"mailbox\":\"inbox\",\"offset\":1,\"bytes\":2,\"durability\":\"disk\",\"duplicate\":false}\n201"
    );
    let messages = format!("http://{}/v1/mailboxes/inbox/messages", served.http);
    let typed = curl(&[
        "-H",
        "Content-Type: text/plain",
        "-H",
        "Content-Disposition: attachment; filename=\"a b.txt\"",
        "--data-binary",
        "two",
        &messages,
    ]);
    assert!(typed.ends_with("201"), "{typed}");
    let found = home.run(&["tail", &served.native, "--json"]).ok();
    let lines: Vec<&str> = found.lines().collect();
    // What curl says of `-d` is no word about the message.
    assert!(
        !lines[0].contains("\"type\"") && lines[0].contains(r#""listener":"http""#),
        "{found}"
    );
    for field in [
        r#""type":"text/plain""#,
        r#""name":"a b.txt""#,
        r#""text":"two""#,
        r#""address":"127.0.0.1:"#,
    ] {
        assert!(lines[1].contains(field), "`{field}` is not in {found}");
    }
    served.console.wait_for("Got the message:hi");
}

#[test]
fn a_repeat_under_one_key_is_stored_once() {
    let home = Home::new();
    let served = serve(&home);
    is(
        &post(&served, "/inbox", KEY, "one"),
        201,
        r#""offset":1,"bytes":3,"durability":"disk","duplicate":false"#,
    );
    served.kill();
    let served = serve(&home);
    is(
        &post(&served, "/inbox", KEY, "one"),
        201,
        r#""offset":1,"bytes":3,"durability":"disk","duplicate":true"#,
    );
    is(
        &post(&served, "/inbox", KEY, "other"),
        409,
        r#""code":"conflict""#,
    );
    is(
        &post(&served, "/inbox", "Idempotency-Key: short\r\n", "x"),
        400,
        "22 to 255",
    );
    is(
        &post(&served, "/inbox", &format!("{KEY}{KEY}"), "x"),
        400,
        "may be there once",
    );
    assert_eq!(mailbox(&home, &served.native), ["one"]);
}

#[test]
fn what_a_browser_could_be_tricked_into() {
    let home = Home::new();
    let served = home.serve_with(&["--http", "127.0.0.1:0", "--http-name", "box.example"]);
    let with_host = |host: &str, more: &str| {
        ask(
            &served,
            &format!("POST /inbox HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\n{more}\r\nx"),
        )
    };
    is(&with_host("evil.example", ""), 421, "misdirected");
    is(&with_host("evil.example:50546", ""), 421, "misdirected");
    is(&with_host("", ""), 421, "misdirected");
    is(
        &with_host("localhost", "Host: evil.example\r\n"),
        400,
        "may be there once",
    );
    is(
        &with_host("localhost:7", "Origin: http://evil.example\r\n"),
        403,
        "foreign-origin",
    );
    is(
        &with_host("localhost:7", "Origin: http://localhost:8\r\n"),
        403,
        "foreign-origin",
    );
    is(
        &with_host("localhost:7", "Origin: null\r\n"),
        403,
        "foreign-origin",
    );
    // What the request line names counts, whatever the header says.
    let absolute = "POST http://evil.example/inbox HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx";
    is(&ask(&served, absolute), 421, "misdirected");
    assert_eq!(mailbox(&home, &served.native), [""; 0]);
    is(
        &with_host("localhost:7", "Origin: http://localhost:7\r\n"),
        201,
        "stored",
    );
    is(&with_host("box.example", ""), 201, "stored");
    // No page of another site may read an answer.
    let preflight = "OPTIONS /inbox HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\n\r\n";
    let answer = ask(&served, preflight);
    assert!(!answer.to_lowercase().contains("access-control"), "{answer}");
}

#[test]
fn wrong_requests_are_answered_in_words() {
    let home = Home::new();
    let served = home.serve_with(&["--http", "127.0.0.1:0", "--max-message", "10"]);
    is(&post(&served, "/Inbox", "", "x"), 400, "bad-mailbox");
    is(
        &post(&served, "/v1/mailboxes/a%2F%2Fb/messages", "", "x"),
        400,
        "bad-mailbox",
    );
    is(&post(&served, "/logs", "", "x"), 401, "nobody may send to `logs`");
    is(&post(&served, "/v1/mailboxes/inbox", "", "x"), 404, "not-found");
    is(
        &post(&served, "/inbox", "", "eleven bytes"),
        413,
        "at most 10 bytes",
    );
    is(
        &post(
            &served,
            "/inbox",
            "Content-Disposition: attachment; filename=../x\r\n",
            "x",
        ),
        400,
        "never a path",
    );
    is(
        &ask(&served, "GET /inbox HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        405,
        "POST",
    );
    is(
        &ask(&served, "GET /-/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        404,
        "problem+json",
    );
    // A typing error in an address made a mailbox of that name.
    is(
        &post(&served, "/v1/mailboxs/inbox/messages", "", "x"),
        404,
        "not-found",
    );
    let lost = ask(&served, "GET /inbox HTTP/1.1\r\nHost: localhost\r\n\r\n");
    is(&lost, 405, "/v1/mailboxes/inbox/messages");
    assert!(lost.ends_with('\n'), "{lost}");
    is(
        &post(&served, "/inbox", "Content-Encoding: gzip\r\n", "x"),
        415,
        "unsupported-encoding",
    );
    is(
        &post(&served, "/inbox", "Content-Encoding: identity\r\n", "x"),
        201,
        "stored",
    );
    let unmeasured = "POST /inbox HTTP/1.1\r\nHost: localhost\r\n\r\nx";
    is(&ask(&served, unmeasured), 411, "length-required");
    is(
        &ask(&served, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        200,
        "ok",
    );
    // Without a length it is noticed when it is too long.
    let chunks = "POST /inbox HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n8\r\n12345678\r\n0\r\n\r\n";
    is(&ask(&served, chunks), 413, "at most 10 bytes");
    for (head, status) in [
        ("no HTTP at all\r\n\r\n", "400"),
        (&*format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000)), "4"),
    ] {
        let answer = ask(&served, head);
        assert!(
            answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
    assert_eq!(mailbox(&home, &served.native), ["x"]);
}

/// Clients that send first and listen then saw a broken pipe instead of the refusal.
#[test]
fn a_refusal_is_seen_by_who_is_still_sending() {
    let home = Home::new();
    let served = serve(&home);
    for (headers, length, status) in [
        ("", 3_000_000, 413),
        ("Authorization: Bearer nothing\r\n", 900_000, 401),
        ("Origin: http://evil.example\r\n", 900_000, 403),
        ("Content-Encoding: br\r\n", 900_000, 415),
    ] {
        let mut stream = TcpStream::connect(&served.http).unwrap();
        let head =
            format!("POST /inbox HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        for piece in vec![b'x'; length].chunks(10_000) {
            stream.write_all(piece).unwrap();
        }
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
}

/// RFC 9112, sections 6.1 and 11.2.
#[test]
fn a_request_whose_end_is_in_doubt_is_refused() {
    let home = Home::new();
    let served = serve(&home);
    let head = "POST /inbox HTTP/1.1\r\nHost: localhost\r\n";
    let body = "\r\n5\r\nhello\r\n0\r\n\r\n";
    for (lengths, status) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: chunked\r\ncontent-length: 5\r\n", 400),
        ("Transfer-Encoding: gzip, chunked\r\n", 501),
        ("Transfer-Encoding: chunked\r\n", 201),
    ] {
        let answer = ask(&served, &format!("{head}{lengths}{body}"));
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{lengths}: {answer}"
        );
    }
    assert_eq!(mailbox(&home, &served.native), ["hello"]);
}

/// Only the first request of a connection was looked at: whatever came behind a body was let through.
#[test]
fn a_later_request_whose_end_is_in_doubt_is_refused() {
    let home = Home::new();
    let served = serve(&home);
    let head = "POST /inbox HTTP/1.1\r\nHost: localhost\r\n";
    let first = |body: &str| format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let both =
        format!("{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let long = "x\r\n\r\n".repeat(20_000);
    for before in [first("one"), first(&long), first("").repeat(3)] {
        let answer = ask(&served, &(before + &both));
        assert_eq!(answer.matches("HTTP/1.1 400").count(), 1, "{answer}");
    }
    // What is in a body is no header of the next request.
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let answer = ask(&served, &(first("\r\nContent-Length: 5\r\n") + &chunked));
    assert_eq!(answer.matches("HTTP/1.1 201").count(), 2, "{answer}");
    // Behind one that says its own end there is no other one.
    let answer = ask(&served, &(chunked.clone() + &chunked));
    assert_eq!(answer.matches("HTTP/1.1 201").count(), 1, "{answer}");
    assert!(
        answer.to_ascii_lowercase().contains("connection: close"),
        "{answer}"
    );
}

#[test]
fn health_checks_of_http_1_0_name_no_host() {
    let home = Home::new();
    let served = serve(&home);
    for (request, status) in [
        ("GET /healthz HTTP/1.0\r\n\r\n", "200"),
        ("OPTIONS / HTTP/1.0\r\n\r\n", "204"),
        ("GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n", "4"),
    ] {
        let answer = ask(&served, request);
        assert!(answer.contains(&format!(" {status}")), "{request}: {answer}");
    }
}

#[test]
fn a_body_that_is_cut_is_not_stored_and_one_that_is_whole_is() {
    let home = Home::new();
    let served = serve(&home);
    let head = "POST /inbox HTTP/1.1\r\nHost: localhost\r\n";
    let cut = ask(&served, &format!("{head}Content-Length: 10\r\n\r\nonly"));
    assert!(!cut.starts_with("HTTP/1.1 2"), "{cut}");
    ask(
        &served,
        &format!("{head}Transfer-Encoding: chunked\r\n\r\n4\r\nonly\r\n"),
    );
    // Whoever has sent all of it and goes before the answer has sent a message.
    let mut gone = TcpStream::connect(&served.http).unwrap();
    gone.write_all(format!("{head}Content-Length: 5\r\n\r\nwhole").as_bytes())
        .unwrap();
    drop(gone);
    wait_for("the message", || mailbox(&home, &served.native) == ["whole"]);
}

/// A token counted for as long as its body took: half an hour for a megabyte.
#[test]
fn a_token_that_is_removed_while_its_body_comes_stores_nothing() {
    let home = Home::new();
    let served = serve(&home);
    let token = home.run(&["keys", "token", "web", "send=inbox"]).ok();
    let head = format!(
        "POST /inbox HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nConnection: close\r\n",
        token.trim()
    );
    let known = || ask(&served, &format!("{head}Content-Length: 2\r\n\r\nhi"));
    wait_for("the token to be known", || known().starts_with("HTTP/1.1 201"));
    let mut slow = TcpStream::connect(&served.http).unwrap();
    slow.write_all(format!("{head}Content-Length: 9\r\n\r\nbefore").as_bytes())
        .unwrap();
    home.run(&["keys", "remove", "web"]).ok();
    wait_for("the token to be gone", || known().starts_with("HTTP/1.1 401"));
    slow.write_all(b"end").unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    is(&answer, 401, "not known here any more");
    assert!(!mailbox(&home, &served.native).contains(&"beforeend".to_owned()));
}

#[test]
fn slow_heads_cost_nobody_else_anything() {
    let home = Home::new();
    let served = serve(&home);
    let slow: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(&served.http).unwrap();
            stream.write_all(b"POST /inbox HT").unwrap();
            stream
        })
        .collect();
    is(&post(&served, "/inbox", "", "through"), 201, "stored");
    let status = home.run(&["status", &served.native, "--json"]).ok();
    assert!(status.matches(r#""listener":"http""#).count() >= 200, "{status}");
    drop(slow);
    assert_eq!(served.stop(), Some(0), "and they do not hold up the end");
}

#[test]
fn a_server_that_stops_answers_what_is_under_way() {
    let home = Home::new();
    let served = serve(&home);
    let mut stream = TcpStream::connect(&served.http).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
        .write_all(b"POST /inbox HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nla")
        .unwrap();
    wait_for("the request", || {
        home.run(&["status", &served.native, "--json"])
            .ok()
            .contains(r#""listener":"http""#)
    });
    support::signal(served.pid(), "TERM");
    served.log.wait_for("stopping");
    stream.write_all(b"st").unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    is(&answer, 201, "stored");
}

#[test]
fn http_beyond_the_loopback_has_tls_under_the_servers_key_unless_somebody_says_aloud() {
    let home = Home::new();
    let served = home.serve_with(&["--http", "0.0.0.0:0", "--http-plain"]);
    assert!(served.http.starts_with("0.0.0.0:"));
    drop(served);
    if !needs("curl") {
        return;
    }
    let served = home.serve_with(&["--http", "0.0.0.0:0"]);
    assert_eq!(served.http, "", "nothing is in the clear");
    let port = served.https.rsplit(':').next().unwrap();
    let url = format!("https://127.0.0.1:{port}/inbox");
    let curl = |pin: &str, arguments: &[&str]| {
        let mut command = std::process::Command::new("curl");
        // The pin of `tenfour keys show`, as curl writes it: padded base64.
        let pin = format!("sha256//{}=", pin.strip_prefix("SHA256:").unwrap());
        command
            .args(["-ksS", "--pinnedpubkey", &pin])
            .args(arguments)
            .arg(&url);
        run(command, b"")
    };
    let receipt = curl(&home.fingerprint(), &["-d", "secret"]).ok();
    assert!(receipt.contains(r#""outcome":"stored""#), "{receipt}");
    curl(&Home::new().fingerprint(), &["-d", "x"]).failed(90, "");
    assert!(served.page().starts_with("https://127.0.0.1:"));
    assert_eq!(mailbox(&home, &served.native), ["secret"]);
    // In the clear it gets nothing but the end.
    let mut clear = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    clear
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let _ = clear.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"));
}

/// Twenty connections of strangers, each with a body that was not finished, used up what strangers may hold; and whoever
/// had not said HELLO counted as a stranger. No key got in.
#[test]
fn unfinished_bodies_keep_no_key_out_and_are_given_up() {
    let home = Home::new();
    let served = serve(&home);
    let unfinished = [
        b"POST /inbox HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n",
        &vec![b'z'; 1_048_000][..],
    ]
    .concat();
    let mut held: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = TcpStream::connect(&served.http).unwrap();
            let _ = stream.set_write_timeout(Some(Duration::from_millis(300)));
            let _ = stream.write_all(&unfinished);
            stream
        })
        .collect();
    home.run(&["send", &served.native, "--timeout", "5s", "known"])
        .ok();
    // They are given up, and counted.
    let mut answer = String::new();
    held[19].set_read_timeout(Some(support::LONG)).unwrap();
    let _ = held[19].read_to_string(&mut answer);
    assert!(
        answer.starts_with("HTTP/1.1 503 ") || answer.starts_with("HTTP/1.1 408 "),
        "{answer}"
    );
    let status = home.run(&["status", &served.native, "--json"]).ok();
    let counted = r#"{"kind":"counter","reason":"not-now","count":"#;
    assert!(
        status.contains(counted) && !status.contains(&format!("{counted}0}}")),
        "{status}"
    );
}

#[test]
fn a_body_that_falls_silent_is_given_up() {
    let home = Home::new();
    let served = serve(&home);
    let mut stream = TcpStream::connect(&served.http).unwrap();
    stream.set_read_timeout(Some(support::LONG)).unwrap();
    stream
        .write_all(b"POST /inbox HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nab")
        .unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    is(&answer, 408, "timed-out");
}
