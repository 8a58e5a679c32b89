//! Consuming: who gets what, when it comes again, and what becomes of what nobody can handle.

mod support;

use std::process::Command;

use support::{Home, Ran, Receiving, Served, mailbox, needs, run, wait_for, wait_for_the_end_of};

fn send_lines(home: &Home, served: &Served, count: usize) {
    let lines: String = (1..=count).map(|n| format!("{n}\n")).collect();
    home.run_with_input(&["send", &served.native, "-l"], lines.as_bytes())
        .ok();
}

fn receive(home: &Home, served: &Served, arguments: &[&str]) -> Ran {
    home.run(&[&["receive", &served.native][..], arguments].concat())
}

#[test]
fn each_name_sees_everything_once_and_goes_on_where_it_was() {
    let home = Home::new();
    let served = home.serve();
    send_lines(&home, &served, 5);
    assert_eq!(receive(&home, &served, &["--as", "a", "-C", "2"]).ok(), "1\n2\n");
    // A cursor is as durable as a receipt says: the server may die in between.
    served.kill();
    let served = home.serve();
    assert_eq!(
        receive(&home, &served, &["--as", "a", "--drain"]).ok(),
        "3\n4\n5\n"
    );
    assert_eq!(receive(&home, &served, &["--as", "a", "--drain"]).ok(), "");
    assert_eq!(
        receive(&home, &served, &["--as", "b", "--drain", "--raw"]).ok(),
        "12345"
    );
    let json = receive(&home, &served, &["--as", "c", "-C", "1", "--json"]).ok();
    for field in [
        r#""offset":1"#,
        r#""attempt":1"#,
        r#""listener":"native""#,
        r#""text":"1""#,
    ] {
        assert!(json.contains(field), "{json}");
    }
    // `now` is the end, and stays it.
    receive(
        &home,
        &served,
        &["--as", "d", "--from", "now", "-C", "1", "-W", "50ms"],
    )
    .failed(124, "0 of 1");
    home.run(&["send", &served.native, "six"]).ok();
    assert_eq!(receive(&home, &served, &["--as", "d", "--drain"]).ok(), "six\n");
}

#[test]
fn readers_with_one_name_share_the_work() {
    let home = Home::new();
    let served = home.serve();
    let readers: Vec<_> = (0..3)
        .map(|_| Receiving::start(&home, &served, &["--as", "team", "--sh", "cat; echo"]))
        .collect();
    send_lines(&home, &served, 60);
    let all = || {
        readers
            .iter()
            .flat_map(|reader| reader.out.all())
            .collect::<Vec<_>>()
    };
    wait_for("sixty messages", || all().len() >= 60);
    let mut numbers: Vec<usize> = all().iter().map(|line| line.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=60).collect::<Vec<_>>(), "each once");
}

#[test]
fn a_consumer_outlives_its_server() {
    let home = Home::new();
    let served = home.serve();
    let port = served.native.clone();
    let reader = Receiving::start(&home, &served, &["--as", "a"]);
    home.run(&["send", &port, "before"]).ok();
    reader.out.wait_for("before");
    served.kill();
    let served = home.serve_with(&["--native", &port]);
    home.run(&["send", &served.native, "after"]).ok();
    reader.out.wait_for("after");
    assert_eq!(reader.out.all(), ["before", "after"]);
}

/// The moment between handling and acknowledging: the program has done its work, then kills the one that would
/// have said so. (Its word "begun" was once only on its way then, and under load the reset of the killed process
/// overtook it: the message came again as if nobody had had it.)
#[test]
fn killed_before_it_could_acknowledge_it_comes_again_and_says_so() {
    let home = Home::new();
    let served = home.serve();
    send_lines(&home, &served, 1);
    let log = home.path().join("log");
    let line = format!("echo $TENFOUR_MSG_ATTEMPT >> {}; kill -9 $PPID", log.display());
    for _ in 0..5 {
        assert_eq!(receive(&home, &served, &["--as", "a", "--sh", &line]).code, None);
    }
    let again = receive(&home, &served, &["--as", "a", "-C", "1", "--json"]).ok();
    assert!(again.contains(r#""attempt":6"#), "{again}");
    assert_eq!(std::fs::read_to_string(log).unwrap(), "1\n2\n3\n4\n5\n");
    assert_eq!(receive(&home, &served, &["--as", "a", "--drain"]).ok(), "");
}

#[test]
fn what_was_only_on_its_way_to_a_lost_reader_is_no_repeat() {
    let home = Home::new();
    let served = home.serve();
    send_lines(&home, &served, 3);
    // One at a time: the others wait in the reader.
    let begun = home.path().join("begun");
    let line = format!(
        "touch {}; while kill -0 $PPID; do sleep 0.05; done",
        begun.display()
    );
    let mut reader = Receiving::start(&home, &served, &["--as", "a", "--jobs", "1", "--sh", &line]);
    wait_for("the program", || begun.exists());
    reader.child.kill().unwrap();
    let rest = receive(&home, &served, &["--as", "a", "--drain", "--json"]).ok();
    let attempts: Vec<bool> = rest.lines().map(|line| line.contains(r#""attempt":2"#)).collect();
    assert_eq!(attempts.iter().filter(|again| **again).count(), 1, "{rest}");
    assert_eq!(attempts.len(), 3);
}

#[test]
fn what_fails_too_often_is_a_dead_letter_and_the_others_go_on() {
    let home = Home::new();
    let served = home.serve();
    home.run(&["send", &served.native, "good"]).ok();
    home.run(&[
        "send",
        &served.native,
        "bad",
        "--name",
        "n",
        "--type",
        "text/plain",
    ])
    .ok();
    home.run(&["send", &served.native, "fine"]).ok();
    let ran = receive(
        &home,
        &served,
        &[
            "--as",
            "w",
            "--drain",
            "--retries",
            "1",
            "--sh",
            r#"read a; echo "$a $TENFOUR_MSG_ATTEMPT"; test "$a" != bad"#,
        ],
    );
    assert!(
        ran.stderr
            .contains("#2, attempt 2: the program failed: exit code 1"),
        "{}",
        ran.stderr
    );
    let mut lines: Vec<String> = ran.ok().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["bad 1", "bad 2", "fine 1", "good 1"]);
    let letter = home.run(&["tail", &served.at("dead/w"), "--json"]).ok();
    let sender = home.fingerprint();
    for field in [
        r#""mailbox":"dead/w""#,
        r#""origin":"inbox 2""#,
        r#""name":"n""#,
        r#""type":"text/plain""#,
        r#""text":"bad""#,
        &format!(r#""sender":"{sender}""#),
    ] {
        assert!(letter.contains(field), "`{field}` is not in {letter}");
    }
    // Its own dead letters are not buried again: they would come back for ever.
    let ran = home.run(&[
        "receive",
        &served.at("dead/w"),
        "--as",
        "w",
        "-C",
        "1",
        "-W",
        "1s",
        "--retries",
        "0",
        "--sh",
        "exit 1",
    ]);
    ran.failed(124, "0 of 1");
    assert_eq!(mailbox(&home, &served.at("dead/w")), ["bad"]);
}

#[test]
fn programs_that_misbehave() {
    let home = Home::new();
    let served = home.serve();
    let handle = |name: &str, line: &str| {
        home.run(&["send", &served.at(name), "body"]).ok();
        home.run(&[
            "receive",
            &served.at(name),
            "--as",
            name,
            "--drain",
            "--retries",
            "0",
            "--handler-timeout",
            "2s",
            "--sh",
            line,
        ])
    };
    let dead = |name: &str| mailbox(&home, &served.at(&format!("dead/{name}"))).len();
    assert!(
        handle("crash", "kill -SEGV $$")
            .failed(0, "signal 11")
            .stdout
            .is_empty()
    );
    handle("hang", "sleep 600").failed(0, "it was ended after 2 s");
    handle("flood", "yes").failed(0, "more than 65472 bytes");
    for name in ["crash", "hang", "flood"] {
        assert_eq!(dead(name), 1, "{name}");
    }
    // One that reads nothing has handled it all the same; what it leaves behind is ended with it.
    let left = home.path().join("left");
    let forked = format!("sleep 600 & echo $! > {}; echo left", left.display());
    assert_eq!(handle("leave", &forked).ok(), "left\n");
    wait_for_the_end_of(&left);
    assert_eq!(handle("deaf", "exec 0<&-; echo deaf").ok(), "deaf\n");
    assert_eq!((dead("leave"), dead("deaf")), (0, 0));
    let big = vec![b'x'; 1 << 20];
    home.run_with_input(&["send", &served.at("big")], &big).ok();
    let ran = home.run(&[
        "receive",
        &served.at("big"),
        "--as",
        "big",
        "--drain",
        "--exec",
        "true",
    ]);
    assert_eq!(ran.ok(), "");
}

#[test]
fn ended_in_the_middle_its_programs_end_with_it() {
    let home = Home::new();
    let served = home.serve();
    send_lines(&home, &served, 1);
    let pid = home.path().join("pid");
    let line = format!("echo $$ > {0}.new; mv {0}.new {0}; sleep 600", pid.display());
    let mut reader = Receiving::start(&home, &served, &["--as", "a", "--sh", &line]);
    wait_for("the program", || pid.exists());
    support::signal(reader.child.id(), "TERM");
    assert_eq!(reader.child.wait().unwrap().code(), Some(143));
    wait_for_the_end_of(&pid);
}

#[test]
fn no_program_runs_for_senders_without_a_key() {
    let home = Home::new();
    let served = home.serve();
    home.run(&["send", &served.text_url(), "from nobody"]).ok();
    receive(&home, &served, &["--as", "a", "--drain", "--sh", "cat"]).failed(0, "goes to dead/a");
    assert_eq!(mailbox(&home, &served.at("dead/a")), ["from nobody"]);
    let ran = receive(
        &home,
        &served,
        &["--as", "b", "--drain", "--exec-anonymous", "--sh", "cat; echo"],
    );
    assert_eq!(ran.ok(), "from nobody\n");
}

#[test]
fn the_environment_of_a_program_is_what_is_said_and_no_more() {
    let home = Home::new();
    let served = home.serve();
    home.run(&["send", &served.native, "x", "--name", "a;b $(c)"])
        .ok();
    let mut command = home.command(&["receive", &served.native, "--as", "w", "--drain", "--exec", "env"]);
    command.env("API_KEY", "1").env("NOTIFY_SOCKET", "/nowhere");
    // As if this reader were itself a program of another one.
    command.env("TENFOUR_MSG_TYPE", "text/plain");
    let told = run(command, b"").ok();
    let has = |start: &str| told.lines().any(|line| line.starts_with(start));
    assert!(has("API_KEY=1") && has("TENFOUR_HOME="), "{told}");
    assert!(!has("NOTIFY_SOCKET=") && !has("TENFOUR_MSG_TYPE="), "{told}");
    for line in [
        "TENFOUR_MSG_NAME=a;b $(c)",
        "TENFOUR_MSG_OFFSET=1",
        "TENFOUR_MSG_ATTEMPT=1",
        "TENFOUR_MSG_BYTES=1",
        "TENFOUR_MSG_CURSOR=w",
    ] {
        assert!(told.lines().any(|told| told == line), "{line}: {told}");
    }
}

#[test]
fn files_never_overwrite_and_what_cannot_be_written_stays() {
    let home = Home::new();
    let served = home.serve();
    let folder = home.path().join("files");
    std::fs::create_dir(&folder).unwrap();
    let source = home.path().join("report.txt");
    std::fs::write(&source, "the report").unwrap();
    for _ in 0..2 {
        home.run(&["send", &served.native, "-f", source.to_str().unwrap()])
            .ok();
    }
    let to = folder.to_str().unwrap();
    let ran = receive(&home, &served, &["--as", "a", "--drain", "-o", to]).ok();
    assert_eq!(ran, format!("{to}/report.txt\n{to}/report.txt.2\n"));
    assert_eq!(std::fs::read(folder.join("report.txt")).unwrap(), b"the report");
    // Where nothing can be written nothing is acknowledged.
    home.run(&["send", &served.native, "-f", source.to_str().unwrap()])
        .ok();
    let nowhere = home.path().join("nowhere");
    receive(
        &home,
        &served,
        &["--as", "a", "--drain", "-o", nowhere.to_str().unwrap()],
    )
    .failed(1, "cannot write #3");
    let ran = receive(&home, &served, &["--as", "a", "--drain", "-o", to]).ok();
    assert_eq!(ran, format!("{to}/report.txt.3\n"));
}

#[test]
fn a_pipe_that_closes_leaves_the_rest_on_the_server() {
    let home = Home::new();
    let served = home.serve();
    send_lines(&home, &served, 20_000);
    let script = r#""$1" receive "$2" --as a --drain | head -n 1"#;
    let out = Command::new("bash")
        .env("TENFOUR_HOME", home.path())
        .args([
            "-c",
            script,
            "bash",
            env!("CARGO_BIN_EXE_tenfour"),
            &served.native,
        ])
        .output()
        .unwrap();
    assert_eq!(out.stdout, b"1\n");
    let rest = receive(&home, &served, &["--as", "a", "--drain"]).ok();
    let last = rest.lines().last().unwrap();
    assert_eq!(last, "20000");
}

#[test]
fn wrong_usage_is_said() {
    let home = Home::new();
    for (arguments, words) in [
        (&["receive", "a"][..], "--as"),
        (&["receive", "a", "--as", "A/B"], "cursor's name"),
        (
            &["receive", "a", "--as", "x", "--raw", "-o", "d"],
            "cannot be used together",
        ),
        (
            &["receive", "a", "--as", "x", "--exec-anonymous"],
            "wants a program",
        ),
        (&["receive", "a", "--as", "x", "--json", "--sh", "cat"], "--json"),
        (&["receive", "tcp://a", "--as", "x"], "only the native listener"),
        (&["receive", "a", "--as", "x", "--retries", "many"], "forever"),
        (&["receive", "a", "--as", "x", "--from", "then"], "oldest"),
    ] {
        home.run(arguments).failed(2, words);
    }
    let served = home.serve();
    send_lines(&home, &served, 1);
    let ran = receive(
        &home,
        &served,
        &["--as", "x", "--drain", "--exec", "no-such-program", "-x"],
    );
    ran.failed(1, "cannot start `no-such-program`");
    let stranger = Home::new();
    let trusted = home.fingerprint();
    stranger.run(&["keys", "trust", &served.native, &trusted]).ok();
    home.run(&["keys", "allow", &stranger.fingerprint()]).ok();
    stranger
        .run(&["receive", &served.native, "--as", "x"])
        .failed(77, "may not consume");
    // Nothing of all that took the message, or made an attempt of it: a program that is not there is no fault of its.
    let json = receive(&home, &served, &["--as", "x", "--drain", "--json"]).ok();
    assert!(json.contains(r#""attempt":1"#), "{json}");
}

/// The deadline came between writing out and the next word to the server, each time: what had been printed came
/// again at the next start.
#[test]
fn what_was_printed_before_the_deadline_is_done() {
    let home = Home::new();
    let served = home.serve();
    for n in 1..=3 {
        send_lines(&home, &served, 1);
        assert_eq!(
            receive(&home, &served, &["--as", "a", "-W", "150ms"]).ok(),
            "1\n",
            "{n}"
        );
    }
    send_lines(&home, &served, 1);
    let mut reader = Receiving::start(&home, &served, &["--as", "a"]);
    reader.out.wait_for("1");
    support::signal(reader.child.id(), "INT");
    assert_eq!(reader.child.wait().unwrap().code(), Some(130));
    assert_eq!(receive(&home, &served, &["--as", "a", "--drain"]).ok(), "");
}

#[test]
fn tail_ends_when_it_was_told_to() {
    let home = Home::new();
    let served = home.serve();
    send_lines(&home, &served, 3);
    assert_eq!(
        home.run(&["tail", &served.native, "-f", "-C", "2"]).ok(),
        "1\n2\n"
    );
    home.run(&["tail", &served.native, "-C", "4"])
        .failed(124, "3 of 4");
    let ran = home.run(&["tail", &served.native, "-f", "-C", "4", "-W", "100ms"]);
    assert_eq!(ran.failed(124, "3 of 4").stdout, "1\n2\n3\n");
    assert_eq!(
        home.run(&["tail", &served.native, "-f", "-W", "100ms"]).ok(),
        "1\n2\n3\n"
    );
}

#[test]
fn a_damaged_message_stops_the_cursor_until_somebody_says_so() {
    if !needs("sqlite3") {
        return;
    }
    let home = Home::new();
    let served = home.serve();
    send_lines(&home, &served, 3);
    served.stop();
    let store = home.path().join("store.db");
    let status = Command::new("sqlite3")
        .arg(&store)
        .arg("UPDATE message SET body = CAST('x' AS BLOB) WHERE id & 0xff = 2")
        .status();
    assert!(status.unwrap().success());
    let served = home.serve();
    let ran = receive(&home, &served, &["--as", "a", "--drain"]).failed(1, "#2 is damaged");
    assert_eq!(ran.stdout, "1\n");
    receive(&home, &served, &["--as", "a", "--drain"]).failed(1, "add --skip 2");
    assert_eq!(
        receive(&home, &served, &["--as", "a", "--drain", "--skip", "2"]).ok(),
        "3\n"
    );
    assert_eq!(receive(&home, &served, &["--as", "a", "--drain"]).ok(), "");
}
