//! `ask`, and who answers: a program that receives, one beside the server, or nobody.

mod support;

use std::process::Stdio;

use support::{Home, Ran, Receiving, SERVE, Served, mailbox, signal, wait_for, wait_for_the_end_of};

fn ask(home: &Home, served: &Served, arguments: &[&str]) -> Ran {
    home.run(&[&["ask", &served.native][..], arguments].concat())
}

/// Each question is a line for `sh`.
fn shell(home: &Home) -> Served {
    home.serve_with(&["--jobs", "2", "--exec", "sh", "-c", "eval \"$(cat)\""])
}

#[test]
fn ask_prints_the_reply_and_ends_as_the_handler_did() {
    let home = Home::new();
    let served = shell(&home);
    assert_eq!(
        ask(
            &home,
            &served,
            &["echo it is $TENFOUR_MSG_MAILBOX $TENFOUR_MSG_OFFSET"]
        )
        .ok(),
        "it is inbox 1\n"
    );
    let failed = ask(&home, &served, &["echo sorry; exit 63"]).failed(63, "");
    assert_eq!((failed.stdout.as_str(), failed.stderr.as_str()), ("sorry\n", ""));
    ask(&home, &served, &["exit 64"]).failed(63, "ended with 64; codes beyond 63 become 63");
    // The payload is never altered, in neither direction.
    let bytes = ask(&home, &served, &["printf '\\001\\n\\n'"]).ok();
    assert_eq!(bytes, "\u{1}\n\n");
    let from_stdin = home.run_with_input(&["ask", &served.native], b"printf %s \"$TENFOUR_MSG_ASKS\"");
    assert_eq!(from_stdin.ok(), "1");
    let json = ask(&home, &served, &["--json", "echo yes; exit 3"])
        .failed(3, "")
        .stdout;
    for field in [
        r#""outcome":"answered""#,
        r#""code":3"#,
        r#""text":"yes\n""#,
        r#""duplicate":false"#,
    ] {
        assert!(json.contains(field), "{json}");
    }
    // What was not asked gets no reply, and counts by its code.
    home.run(&["send", &served.native, "true"]).ok();
    wait_for("all to be done", || {
        let status = home.run(&["status", &served.native, "--json"]).ok();
        status.contains(r#""cursor":"serve""#) && status.contains(r#""lag":0"#)
    });
}

#[test]
fn a_question_under_one_id_is_asked_once() {
    let home = Home::new();
    let served = shell(&home);
    let log = home.path().join("log");
    let line = format!("echo x >> {}; date +%N", log.display());
    let first = ask(&home, &served, &["--id", "q", &line]).ok();
    assert_eq!(ask(&home, &served, &["--id", "q", &line]).ok(), first);
    ask(&home, &served, &["--id", "q", "echo other"]).failed(65, "same id");
    // Also after the server was killed: the reply was there before anybody was told.
    served.kill();
    let served = shell(&home);
    let json = ask(&home, &served, &["--id", "q", "--json", &line]).ok();
    assert!(
        json.contains(first.trim()) && json.contains(r#""duplicate":true"#),
        "{json}"
    );
    assert_eq!(std::fs::read_to_string(log).unwrap(), "x\n");
    // Another id is another question.
    ask(&home, &served, &["--id", "r", "echo other"]).ok();
}

#[test]
fn a_receiver_answers_with_what_its_program_writes() {
    let home = Home::new();
    let served = home.serve();
    let program = "read word; echo \"$word from $TENFOUR_MSG_CURSOR\"; exit 4";
    let reader = Receiving::start(&home, &served, &["--as", "worker", "--sh", program]);
    let reply = ask(&home, &served, &["hello"]).failed(4, "");
    assert_eq!(reply.stdout, "hello from worker\n");
    // A code that is not 0 is a reply here; nothing is tried again.
    assert_eq!(mailbox(&home, &served.at("dead/worker")), [""; 0]);
    assert_eq!(
        reader.out.all(),
        [""; 0],
        "a reply is not for the reader's own stdout"
    );
}

#[test]
fn a_handler_that_was_killed_is_asked_again_and_told_so() {
    let home = Home::new();
    let served = shell(&home);
    let line = "[ $TENFOUR_MSG_ATTEMPT -gt 1 ] || kill -9 $$; echo attempt $TENFOUR_MSG_ATTEMPT";
    assert_eq!(ask(&home, &served, &[line]).ok(), "attempt 2\n");
    // A receiver that dies between handling and reporting is such a case, too.
    let target = served.at("other");
    let pid = home.path().join("pid");
    let until = home.path().join("until");
    std::fs::write(&until, "").unwrap();
    let slow = format!(
        "echo $$ > {0}.new; mv {0}.new {0}; while [ -e {1} ]; do sleep 0.02; done",
        pid.display(),
        until.display()
    );
    let first = home
        .command(&["receive", &target, "--as", "w", "--sh", &slow])
        .stdout(Stdio::null())
        .spawn();
    let mut first = first.unwrap();
    let mut question = home
        .command(&["ask", &target, "?"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the first reader to have it", || pid.exists());
    first.kill().unwrap();
    first.wait().unwrap();
    let second = home
        .command(&[
            "receive",
            &target,
            "--as",
            "w",
            "-C",
            "1",
            "--sh",
            "echo attempt $TENFOUR_MSG_ATTEMPT",
        ])
        .status()
        .unwrap();
    assert!(second.success());
    let mut reply = String::new();
    std::io::Read::read_to_string(&mut question.stdout.take().unwrap(), &mut reply).unwrap();
    assert_eq!(
        (reply.as_str(), question.wait().unwrap().code()),
        ("attempt 2\n", Some(0))
    );
    // What a killed reader had begun lives on.
    std::fs::remove_file(until).unwrap();
    wait_for_the_end_of(&pid);
}

#[test]
fn what_nobody_can_handle_is_said() {
    let home = Home::new();
    let served = home.serve();
    let _reader = Receiving::start(
        &home,
        &served,
        &["--as", "w", "--retries", "0", "--sh", "kill -9 $$"],
    );
    let dead = ask(&home, &served, &["--json", "?"]).failed(63, "dead letters");
    assert!(dead.stdout.contains(r#""outcome":"dead""#), "{}", dead.stdout);
    assert_eq!(mailbox(&home, &served.at("dead/w")), ["?"]);
}

#[test]
fn a_reply_finds_its_way_over_a_server_that_was_away() {
    let home = Home::new();
    let served = home.serve();
    let mut question = home
        .command(&["ask", &served.native, "still there?"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the question", || mailbox(&home, &served.native).len() == 1);
    let native = served.native.clone();
    served.kill();
    let served = home.serve_with(&["--native", &native, "--exec", "echo", "yes"]);
    let mut reply = String::new();
    std::io::Read::read_to_string(&mut question.stdout.take().unwrap(), &mut reply).unwrap();
    assert_eq!(
        (reply.as_str(), question.wait().unwrap().code()),
        ("yes\n", Some(0))
    );
    drop(served);
}

#[test]
fn its_own_failures_have_codes_beyond_those_of_handlers() {
    let home = Home::new();
    let served = home.serve();
    let nobody = ask(&home, &served, &["--timeout", "300ms", "anybody?"]).failed(75, "nobody has answered");
    assert!(nobody.stderr.contains("--id "), "{}", nobody.stderr);
    assert_eq!(mailbox(&home, &served.native), ["anybody?"], "it is stored");
    // Repeated as the hint says, it is answered once there is somebody.
    let id = nobody
        .stderr
        .split("--id ")
        .nth(1)
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    let _reader = Receiving::start(&home, &served, &["--as", "w", "--sh", "echo here"]);
    assert_eq!(ask(&home, &served, &["--id", id, "anybody?"]).ok(), "here\n");
    home.run(&["ask"]).failed(64, "no target");
    home.run(&["ask", "--nonsense"]).failed(64, "unexpected");
    home.run(&["ask", &served.native, "a", "-m", "b"])
        .failed(64, "cannot be used together");
    home.run(&["ask", "tcp://localhost", "x"])
        .failed(64, "only the native listener");
    home.run(&["ask", &served.native, "-f", "/nowhere"])
        .failed(70, "cannot read");
    home.run(&["ask", "127.0.0.1:1", "x"]).failed(69, "could not ask");
    home.run(&["ask", "--help"]).ok();
    let stranger = Home::new();
    stranger.run(&["ask", &served.native, "x"]).failed(76, "");
    let mut waiting = home
        .command(&["ask", &served.at("silent"), "?"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the question", || mailbox(&home, &served.at("silent")).len() == 1);
    signal(waiting.id(), "INT");
    let mut said = String::new();
    std::io::Read::read_to_string(&mut waiting.stderr.take().unwrap(), &mut said).unwrap();
    assert!(
        said.contains("may have the question") && said.contains("--id "),
        "{said}"
    );
    assert_eq!(waiting.wait().unwrap().code(), Some(130));
}

#[test]
fn a_handler_beside_the_server_is_for_known_senders_and_within_its_limits() {
    let home = Home::new();
    home.run(&[&SERVE[..], &["--exec", "no-such-program"]].concat())
        .failed(1, "cannot find the program");
    let served = home.serve_with(&[
        "--exec-mailbox",
        "jobs",
        "--handler-timeout",
        "500ms",
        "--exec",
        "sh",
        "-c",
        "eval \"$(cat)\"",
    ]);
    let jobs = served.at("jobs");
    let ask = |line: &str| home.run(&["ask", &jobs, line]);
    assert_eq!(ask("echo well").ok(), "well\n");
    // A flood, and a program that hangs, are ended and tried again; nobody else waits for them.
    let flood = "[ $TENFOUR_MSG_ATTEMPT -gt 1 ] || yes; echo dry";
    assert_eq!(ask(flood).ok(), "dry\n");
    let hangs = "[ $TENFOUR_MSG_ATTEMPT -gt 1 ] || sleep 60; echo awake";
    assert_eq!(ask(hangs).ok(), "awake\n");
    // Nothing runs for whoever showed no key. A copy of the message can be handled later.
    let served = {
        drop(served);
        let line = format!("touch {}", home.path().join("ran").display());
        home.serve_with(&["--exec", "sh", "-c", &line])
    };
    home.run(&["send", &served.text_url(), "from a stranger"]).ok();
    wait_for("it to be passed over", || {
        let status = home.run(&["status", &served.native, "--json"]).ok();
        status.lines().any(|row| {
            row.contains(r#""mailbox":"inbox""#)
                && row.contains(r#""cursor":"serve""#)
                && row.contains(r#""lag":0"#)
        })
    });
    assert!(!home.path().join("ran").exists());
    assert_eq!(mailbox(&home, &served.at("dead/serve")), ["from a stranger"]);
    assert_eq!(mailbox(&home, &served.native), ["from a stranger"]);
}
