//! What was sent and heard by the command, and what is there, for the checker.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;
use tenfour_checker::{Dice, Found, History, Observation, Verdict};

use super::Home;

/// Chance by `TENFOUR_TEST_SEED`, or anew; says which.
pub fn dice() -> Dice {
    let seed = tenfour_checker::seed();
    say(&format!("TENFOUR_TEST_SEED={seed}"));
    Dice::new(seed)
}

/// The history of several senders.
pub type Shared = Arc<Mutex<History>>;

/// A `tenfour send -l --json` that goes on over everything: each line that it is given is noted as sent, each line that
/// it answers as heard.
pub struct Sender {
    child: Child,
    stdin: ChildStdin,
    hearing: JoinHandle<()>,
    history: Shared,
    producer: String,
    mailbox: String,
    sent: u64,
    /// Lines are so much longer.
    pub pad: usize,
    /// What is heard counts.
    pub listening: Arc<AtomicBool>,
    /// What it has answered.
    pub answers: Arc<AtomicU64>,
}

impl Sender {
    pub fn start(home: &Home, address: &str, mailbox: &str, id: &str, history: &Shared) -> Self {
        Self::start_with(home, address, mailbox, id, history, &[])
    }

    pub fn start_with(
        home: &Home,
        address: &str,
        mailbox: &str,
        id: &str,
        history: &Shared,
        more: &[&str],
    ) -> Self {
        let target = format!("{address}/{mailbox}");
        let mut child = home
            .command(&["send", &target, "-l", "--json", "--id", id, "--timeout", "80s"])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = child.stdout.take().unwrap();
        let listening = Arc::new(AtomicBool::new(true));
        let answers: Arc<AtomicU64> = Arc::default();
        let count = Arc::clone(&answers);
        let (heard, producer, listens) = (Arc::clone(history), id.to_owned(), Arc::clone(&listening));
        let hearing = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if !listens.load(Ordering::SeqCst) {
                    break;
                }
                let answer: Value = serde_json::from_str(&line).unwrap();
                let sequence = answer["sequence"].as_u64().unwrap();
                heard.lock().unwrap().hear(&producer, sequence, outcome(&answer));
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Sender {
            child,
            stdin,
            hearing,
            history: Arc::clone(history),
            producer: id.to_owned(),
            mailbox: mailbox.to_owned(),
            sent: 0,
            pad: 0,
            listening,
            answers,
        }
    }

    /// `kill -9`. Its id, its mailbox, and how many lines it was given.
    pub fn kill(mut self) -> (String, String, u64) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.hearing.join().unwrap();
        (self.producer, self.mailbox, self.sent)
    }

    /// Sends lines without waiting for anything.
    pub fn send(&mut self, lines: u64) {
        let mut text = String::new();
        {
            let mut history = self.history.lock().unwrap();
            for _ in 0..lines {
                self.sent += 1;
                let body = format!("{} {} {}", self.producer, self.sent, "x".repeat(self.pad));
                history.send(&self.producer, self.sent, &self.mailbox, body.as_bytes());
                text.push_str(&body);
                text.push('\n');
            }
        }
        self.stdin.write_all(text.as_bytes()).unwrap();
    }

    /// No more lines; its exit code.
    pub fn finish(mut self) -> Option<i32> {
        drop(self.stdin);
        let status = self.child.wait().unwrap();
        self.hearing.join().unwrap();
        status.code()
    }
}

/// An answer in JSON.
pub fn outcome(answer: &Value) -> Observation {
    match answer["outcome"].as_str().unwrap() {
        "stored" => Observation::Receipt {
            mailbox: answer["mailbox"].as_str().unwrap().to_owned(),
            offset: answer["offset"].as_u64().unwrap(),
        },
        "refused" | "unsent" => Observation::NotStored,
        "unknown" => Observation::Unknown,
        other => panic!("{other}"),
    }
}

/// All that a mailbox has. Producers are named by what the bodies of these tests say: `STREAM SEQUENCE`.
pub fn content(home: &Home, address: &str, mailbox: &str) -> Vec<Found> {
    let target = format!("{address}/{mailbox}");
    let lines = home.run(&["tail", &target, "--json"]).ok();
    lines
        .lines()
        .map(|line| {
            let item: Value = serde_json::from_str(line).unwrap();
            let body = item["text"].as_str().unwrap().to_owned();
            Found {
                mailbox: item["mailbox"].as_str().unwrap().to_owned(),
                offset: item["offset"].as_u64().unwrap(),
                producer: body.split(' ').next().unwrap().to_owned(),
                sequence: item["sequence"].as_u64().unwrap(),
                body: body.into_bytes(),
            }
        })
        .collect()
}

/// No promise was broken; says the numbers.
#[track_caller]
pub fn assert_clean(verdict: &Verdict) {
    say(&verdict.to_string());
    assert!(verdict.is_clean(), "{verdict}");
}

/// For whoever looks at a test's output: seeds and numbers.
pub fn say(words: &str) {
    eprintln!("{words}");
}
