//! Either side killed at its k-th system call, for every k of a short session, and calls that fail: no receipt is false,
//! and what is repeated under its id, or delivered again from the outbox, is there once.

mod support;

use serde_json::Value;
use support::history::{content, outcome, say};
use support::injection::{Fragile, Injection};
use support::{Home, Ran, mailbox, run};
use tenfour_checker::{History, free_address, is_long, rounds};

/// Messages of a session.
fn messages() -> u64 {
    rounds(25, 250)
}

fn lines() -> String {
    (1..=messages()).map(|number| format!("s {number}\n")).collect()
}

fn free() -> String {
    free_address().to_string()
}

/// What a `send --json` said.
fn note(history: &mut History, said: &str) {
    for line in said.lines() {
        // Of a sender that was killed the last line may be cut off.
        let Ok(answer) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        history.hear("s", answer["sequence"].as_u64().unwrap(), outcome(&answer));
    }
}

fn sent() -> History {
    let mut history = History::new();
    for number in 1..=messages() {
        history.send("s", number, "inbox", format!("s {number}").as_bytes());
    }
    history
}

fn send(home: &Home, native: &str, injection: Option<&Injection>, timeout: &str, window: &str) -> Ran {
    let front = injection.map(Injection::front).unwrap_or_default();
    let arguments = [
        "send",
        native,
        "-l",
        "--json",
        "--id",
        "s",
        "--window",
        window,
        "--timeout",
        timeout,
    ];
    run(home.command_under(&front, &arguments), lines().as_bytes())
}

/// After whatever happened: a clean server, the same command again, and everything is there once.
fn settle(home: &Home, native: &str, mut history: History) {
    let served = Fragile::start(home, native, None, &[]);
    let again = send(home, &served.native, None, "60s", "25");
    let log = || std::fs::read_to_string(home.path().join("log")).unwrap();
    assert_eq!(again.code, Some(0), "{} {}", again.stderr, log());
    note(&mut history, &again.stdout);
    let verdict = history.check(content(home, &served.native, "inbox"));
    assert!(verdict.is_clean(), "{verdict}");
    assert_eq!((verdict.receipted, verdict.stored), (messages(), messages()));
}

/// One session with a server that is tampered with. While the server lives and there is something left to send, the
/// next patience is tried. True if it lived through it.
fn session_with(injection: &Injection, patience: &[&str], window: &str) -> bool {
    let home = Home::new();
    let native = free();
    let mut history = sent();
    let mut served = Fragile::start(&home, &native, Some(injection), &[]);
    for timeout in patience {
        if served.has_ended() {
            break;
        }
        let said = send(&home, &native, None, timeout, window);
        assert!(
            matches!(said.code, Some(0 | 69 | 75)),
            "{injection:?}: {:?} {}",
            said.code,
            said.stderr
        );
        note(&mut history, &said.stdout);
        if said.code == Some(0) {
            break;
        }
    }
    let lived = !served.has_ended();
    drop(served);
    settle(&home, &native, history);
    lived
}

/// For every k until nothing happens any more. strace counts by thread: one message after the other is committed by
/// whichever thread brought it, many at once by the writer, so both are tried.
///
/// A sender that gave up after 300 ms on a busy machine, before its server had said a word, once passed for a session
/// that the server had lived through: so a server that lives is given time.
fn kills_the_server_at_every(call: &str) {
    for window in ["1", "25"] {
        for k in 1.. {
            let Some(injection) = Injection::kill(call, k) else {
                return;
            };
            if session_with(&injection, &["300ms", "2s", "20s"], window) {
                assert!(k > 1, "{call} is never called");
                say(&format!(
                    "{call}, window {window}: killed at each of {} calls",
                    k - 1
                ));
                break;
            }
        }
    }
}

#[test]
fn a_server_killed_at_every_flush() {
    kills_the_server_at_every("fdatasync");
}

#[test]
fn a_server_killed_at_every_fsync() {
    kills_the_server_at_every("fsync");
}

#[test]
fn a_server_killed_at_every_write_to_the_file() {
    kills_the_server_at_every("pwrite64");
}

#[test]
fn a_server_killed_at_every_opening_of_a_file() {
    kills_the_server_at_every("openat");
}

#[test]
fn a_server_killed_at_every_cutting_of_a_file() {
    kills_the_server_at_every("ftruncate");
}

#[test]
fn a_server_killed_at_every_answer() {
    kills_the_server_at_every("sendto,writev");
}

#[test]
fn a_server_killed_at_everything_it_hears() {
    kills_the_server_at_every("recvfrom");
}

#[test]
fn a_sender_killed_at_every_step() {
    for call in ["openat", "sendto,writev", "recvfrom", "write"] {
        for k in 1.. {
            let Some(injection) = Injection::kill(call, k) else {
                return;
            };
            let home = Home::new();
            let served = Fragile::start(&home, &free(), None, &[]);
            let mut history = sent();
            let said = send(&home, &served.native, Some(&injection), "20s", "1");
            note(&mut history, &said.stdout);
            let native = served.native.clone();
            drop(served);
            settle(&home, &native, history);
            if said.code == Some(0) {
                assert!(k > 1, "{call} is never called");
                say(&format!("{call}: killed at each of {} calls", k - 1));
                break;
            }
        }
    }
}

#[test]
fn a_queue_killed_at_every_step() {
    for call in [
        "openat",
        "pwrite64",
        "fdatasync",
        "fsync",
        "ftruncate",
        "unlink",
        "rename",
    ] {
        for k in 1.. {
            let Some(injection) = Injection::kill(call, k) else {
                return;
            };
            let home = Home::new();
            let served = Fragile::start(&home, &free(), None, &[]);
            let killed = run(
                home.command_under(&injection.front(), &["queue", &served.native, "one"]),
                b"",
            );
            home.run(&["queue", &served.native, "two"]).ok();
            home.run(&["queue", "--flush"]).ok();
            let found = mailbox(&home, &served.native);
            if killed.code == Some(0) {
                assert_eq!(found, ["one", "two"], "{call} {k}");
                assert!(k > 1, "{call} is never called");
                say(&format!("{call}: killed at each of {} calls", k - 1));
                break;
            }
            assert!(
                found == ["two"] || found == ["one", "two"],
                "{call} {k}: {found:?}"
            );
        }
    }
}

#[test]
fn a_delivery_killed_at_every_step() {
    for call in [
        "openat",
        "pwrite64",
        "fdatasync",
        "ftruncate",
        "sendto,writev",
        "recvfrom",
    ] {
        for k in 1.. {
            let Some(injection) = Injection::kill(call, k) else {
                return;
            };
            let home = Home::new();
            let served = Fragile::start(&home, &free(), None, &[]);
            run(home.command(&["queue", &served.native, "-l"]), lines().as_bytes()).ok();
            let killed = run(home.command_under(&injection.front(), &["queue", "--flush"]), b"");
            home.run(&["queue", "--flush"]).ok();
            let found = mailbox(&home, &served.native);
            let wanted: Vec<String> = lines().lines().map(str::to_owned).collect();
            assert_eq!(found, wanted, "{call} {k}");
            if killed.code == Some(0) {
                assert!(k > 1, "{call} is never called");
                say(&format!("{call}: killed at each of {} calls", k - 1));
                break;
            }
        }
    }
}

/// Once and from then on. What is interrupted is tried again, by everybody and as often as it takes.
const ERRORS: [(&str, bool); 5] = [
    ("EIO", false),
    ("EIO", true),
    ("ENOSPC", false),
    ("ENOSPC", true),
    ("EINTR", false),
];

/// What a program ends with that the system could not load: it never began.
const NOT_LOADED: i32 = 127;

/// For every k until no thread makes so many calls: what happens under that injection.
fn fails_at_each_point(call: &str, most: u64, mut happen: impl FnMut(&Injection)) {
    let mut points = 0;
    for (error, for_ever) in ERRORS {
        for k in 1..=most {
            let Some(injection) = Injection::error(call, error, k, for_ever) else {
                return;
            };
            happen(&injection);
            if !injection.has_happened() {
                break;
            }
            points += 1;
        }
    }
    assert!(points > 0, "{call} is never called");
    say(&format!("{call}: failed at {points} points"));
}

/// The server goes on or ends, but says nothing false; the next one has everything.
fn fails_the_server(call: &str, most: u64) {
    let windows: &[&str] = if is_long() { &["1", "25"] } else { &["1"] };
    for window in windows {
        fails_at_each_point(call, most, |injection| {
            session_with(injection, &["400ms"], window);
        });
    }
}

#[test]
fn a_server_whose_flushes_fail() {
    fails_the_server("fdatasync", rounds(16, 250));
}

#[test]
fn a_server_whose_writes_fail() {
    fails_the_server("pwrite64", rounds(16, 250));
}

#[test]
fn a_server_whose_files_cannot_be_opened() {
    fails_the_server("openat", rounds(16, 250));
}

#[test]
fn a_server_whose_folders_cannot_be_flushed() {
    fails_the_server("fsync", rounds(16, 250));
}

#[test]
fn a_server_whose_answers_fail() {
    fails_the_server("sendto,writev", rounds(8, 250));
}

#[test]
fn a_server_that_cannot_hear() {
    fails_the_server("recvfrom", rounds(8, 250));
}

/// 0 means that everything is there; whatever else it says, the same command does the rest. (`write` is not among them:
/// it wakes the threads of tokio, which no disk lets fail. For stdout there is a test in `exit_codes.rs`.)
#[test]
fn a_sender_whose_calls_fail() {
    for call in ["openat", "sendto,writev", "recvfrom"] {
        fails_at_each_point(call, rounds(4, 250), |injection| {
            let home = Home::new();
            let served = Fragile::start(&home, &free(), None, &[]);
            let mut history = sent();
            let said = send(&home, &served.native, Some(injection), "2s", "1");
            assert!(
                matches!(said.code, Some(0 | 1 | 69 | 75 | NOT_LOADED)),
                "{injection:?}: {:?} {}",
                said.code,
                said.stderr
            );
            note(&mut history, &said.stdout);
            if said.code == Some(0) {
                assert_eq!(
                    mailbox(&home, &served.native).len() as u64,
                    messages(),
                    "{injection:?}"
                );
            }
            let native = served.native.clone();
            drop(served);
            settle(&home, &native, history);
        });
    }
}

/// It says so and ends with a code of its own; nothing that it said to be queued is lost.
#[test]
fn an_outbox_whose_disk_fails() {
    for call in ["fdatasync", "pwrite64", "openat", "fsync"] {
        fails_at_each_point(call, rounds(4, 250), |injection| {
            let home = Home::new();
            let served = Fragile::start(&home, &free(), None, &[]);
            let said = run(
                home.command_under(&injection.front(), &["queue", &served.native, "one"]),
                b"",
            );
            assert!(
                matches!(said.code, Some(0 | 1 | NOT_LOADED)),
                "{injection:?}: {:?} {}",
                said.code,
                said.stderr
            );
            home.run(&["queue", "--flush"]).ok();
            let found = mailbox(&home, &served.native);
            if said.code == Some(0) {
                assert_eq!(found, ["one"], "{injection:?}");
            } else {
                assert!(found.len() <= 1, "{injection:?}: {found:?}");
            }
        });
    }
}

/// It says what is the matter, or what is unknown. The next delivery brings what is left, and nothing twice.
#[test]
fn a_delivery_whose_calls_fail() {
    for call in ["fdatasync", "pwrite64", "openat", "sendto,writev", "recvfrom"] {
        fails_at_each_point(call, rounds(3, 250), |injection| {
            let home = Home::new();
            let served = Fragile::start(&home, &free(), None, &[]);
            run(home.command(&["queue", &served.native, "-l"]), lines().as_bytes()).ok();
            let flush = ["queue", "--flush", "--timeout", "2s"];
            let said = run(home.command_under(&injection.front(), &flush), b"");
            assert!(
                matches!(said.code, Some(0 | 1 | 69 | 75 | NOT_LOADED)),
                "{injection:?}: {:?} {}",
                said.code,
                said.stderr
            );
            let wanted: Vec<String> = lines().lines().map(str::to_owned).collect();
            if said.code == Some(0) {
                assert_eq!(mailbox(&home, &served.native), wanted, "{injection:?}");
            }
            home.run(&["queue", "--flush"]).ok();
            assert_eq!(mailbox(&home, &served.native), wanted, "{injection:?}");
        });
    }
}
