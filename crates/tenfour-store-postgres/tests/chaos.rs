//! Three databases, three servers, and senders that hop between them, while any of them is killed: each receipt holds, nothing
//! is there twice or out of order, and behind a WELCOME nothing of an older connection is stored.
//!
//! `TENFOUR_TEST_LONG=1` plays for half an hour. The controls break one rule each, and must be caught.

#![allow(clippy::print_stdout, reason = "tests say what they found")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tenfour_checker::{Breach, Dice, Found, History, Observation, Verdict, is_long, seed};
use tenfour_proto::native::ProducerKind;
use tenfour_proto::{Fingerprint, Listener, MailboxName, Message, ProducerId, Sender, Source};
use tenfour_store::{Batch, BatchOutcome, Claim, Claimant, Store};
use tenfour_store_postgres::{Address, Demand, PostgresError, PostgresOptions, PostgresStore, init};
use tenfour_test_postgres::Replicated;

const SERVERS: usize = 3;
const STREAMS: u64 = 6;
const MAILBOXES: u64 = 3;

/// Most messages of a batch.
const BATCH: u64 = 60;

fn sender() -> Sender {
    Sender::Key(Fingerprint::of_public_key(b"chaos"))
}

fn producer(stream: u64) -> ProducerId {
    ProducerId::of_key(&format!("stream {stream}"))
}

fn mailbox(number: u64) -> MailboxName {
    format!("box{number}").parse().unwrap()
}

/// What a message is follows from its identity.
fn message(stream: u64, sequence: u64) -> Message {
    let to = (stream * 7 + sequence / 5) % MAILBOXES;
    Message::new(mailbox(to), Bytes::from(format!("{stream} {sequence}")))
}

/// The epoch under which a message was stored is kept with it, as the port that it came from.
fn batch(stream: u64, epoch: u64, named: u64, first: u64, last: u64) -> Batch {
    let port = u16::try_from(epoch).expect("few claims");
    Batch {
        sender: sender(),
        producer: Some((producer(stream), ProducerKind::OneShot)),
        epoch: named,
        source: Source {
            listener: Listener::Http,
            address: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        },
        messages: (first..=last)
            .map(|sequence| (sequence, message(stream, sequence)))
            .collect(),
    }
}

fn open(url: &str, demand: Demand) -> PostgresStore {
    let options = PostgresOptions {
        demand,
        ..PostgresOptions::default()
    };
    match PostgresStore::open(&url.parse().unwrap(), options) {
        Ok(store) => store,
        // As `serve` ends when it cannot start; it is started again.
        Err(PostgresError::Unreachable { .. }) if std::env::var_os("CHAOS").is_some() => {
            std::process::exit(1)
        }
        Err(error) => panic!("{error}"),
    }
}

/// A stream that a server has, or had: it goes on until it is told that it has not.
struct Had {
    stream: u64,
    epoch: u64,
    next: u64,
}

/// One server, in a process of its own; does nothing unless it is started by the play.
#[test]
fn server() {
    let Ok(play) = std::env::var("CHAOS") else { return };
    let mut words = play.split(' ');
    let mut word = || words.next().expect("a word").to_owned();
    let (url, number, control) = (word(), word().parse::<u64>().unwrap(), word());
    let mut dice = Dice::new(word().parse().unwrap());
    let out = std::io::stdout();
    let say = |line: String| {
        // Whoever started us may be gone.
        let mut out = out.lock();
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            std::process::exit(0);
        }
    };
    let demand = if control == "unreplicated" {
        Demand::Declared
    } else {
        Demand::Replicated
    };
    let mut store = open(&url, demand);
    let mut process = [0; 16];
    process[..8].copy_from_slice(&(number << 32 | u64::from(std::process::id())).to_be_bytes());
    let mut attempt = 0;
    let mut had: Vec<Had> = Vec::new();
    for turn in 0.. {
        store.verify().unwrap();
        if turn % 50 == 49 {
            store.tidy().unwrap();
        }
        if had.is_empty() || dice.one_in(6) {
            let stream = dice.below(STREAMS);
            attempt += 1;
            let by = Claimant {
                process,
                attempt,
                kind: ProducerKind::OneShot,
            };
            match store.claim(&sender(), producer(stream), &by).unwrap() {
                Claim::Held {
                    epoch,
                    high_water_mark,
                } => {
                    say(format!("claim {stream} {epoch} {high_water_mark}"));
                    had.retain(|had| had.stream != stream);
                    had.push(Had {
                        stream,
                        epoch,
                        next: high_water_mark + 1,
                    });
                }
                other => panic!("{other:?}"),
            }
            continue;
        }
        let mut batches = Vec::new();
        for had in &mut had {
            if dice.one_in(2) {
                continue;
            }
            // Now and then what was sent before is sent again.
            let back = if dice.one_in(4) { dice.below(2 * BATCH) } else { 0 };
            let first = had.next.saturating_sub(back).max(1);
            let last = (first + dice.below(BATCH)).max(had.next);
            had.next = last + 1;
            let named = if control == "no-epoch" { 0 } else { had.epoch };
            say(format!("send {} {first} {last}", had.stream));
            batches.push(batch(had.stream, had.epoch, named, first, last));
        }
        let committed = store.commit(&batches, &[], turn).unwrap();
        for (batch, outcome) in batches.iter().zip(committed.outcomes) {
            let of = |had: &Had| producer(had.stream) == batch.producer.unwrap().0;
            let place = had.iter().position(of).unwrap();
            let stream = had[place].stream;
            match outcome {
                BatchOutcome::Settled(stored) => {
                    let settlement = stored.into_settlement();
                    assert_eq!(settlement.refused, [], "{batch:?}");
                    for run in settlement.runs {
                        let (first, count, mailbox) = (run.first, run.count, run.mailbox);
                        say(format!(
                            "stored {stream} {first} {count} {mailbox} {}",
                            run.offset
                        ));
                    }
                }
                BatchOutcome::TakenOver => {
                    say(format!("taken-over {stream}"));
                    had.remove(place);
                }
                BatchOutcome::NotNow(_) => had[place].next = batch.messages[0].0,
            }
        }
    }
}

/// What the servers have said.
#[derive(Default)]
struct Heard {
    history: History,
    /// Stream, epoch, and the mark that was told.
    claims: Vec<(u64, u64, u64)>,
    takeovers: u64,
    errors: Vec<String>,
}

impl Heard {
    /// A line that was cut off by a kill was not said.
    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |index: usize| words[index].parse::<u64>().unwrap();
        match words[..] {
            ["claim", ..] => self.claims.push((number(1), number(2), number(3))),
            ["send", stream, ..] => {
                for sequence in number(2)..=number(3) {
                    let message = message(number(1), sequence);
                    self.history
                        .send(stream, sequence, message.mailbox.as_str(), &message.body);
                }
            }
            ["stored", stream, ..] => {
                for index in 0..number(3) {
                    let receipt = Observation::Receipt {
                        mailbox: words[4].to_owned(),
                        offset: number(5) + index,
                    };
                    self.history.hear(stream, number(2) + index, receipt);
                }
            }
            ["taken-over", ..] => self.takeovers += 1,
            // What the test runner says.
            _ => {}
        }
    }
}

/// A server that is played with.
struct Process {
    child: Child,
    threads: [JoinHandle<()>; 2],
}

impl Process {
    fn start(url: &str, number: usize, control: &str, seed: u64, heard: &Arc<Mutex<Heard>>) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "server", "--nocapture", "--test-threads=1"])
            .env("CHAOS", format!("{url} {number} {control} {seed}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let errors = BufReader::new(child.stderr.take().unwrap());
        let (listener, other) = (Arc::clone(heard), Arc::clone(heard));
        let said = std::thread::spawn(move || {
            let mut line = String::new();
            while said.read_line(&mut line).is_ok_and(|length| length > 0) && line.ends_with('\n') {
                // The runner's own words end without a line's end.
                let begin = line.rfind("... ").map_or(0, |at| at + 4);
                listener.lock().unwrap().hear(line[begin..].trim_end());
                line.clear();
            }
        });
        let errors = std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                other.lock().unwrap().errors.push(line);
            }
        });
        Process {
            child,
            threads: [said, errors],
        }
    }

    /// `kill -9`; all that it had said is heard.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        for thread in self.threads {
            thread.join().unwrap();
        }
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

/// What was heard, and what was found in the end.
struct Outcome {
    heard: Heard,
    verdict: Verdict,
    /// Messages that an older connection has stored behind a WELCOME, and marks that went back.
    behind: Vec<String>,
}

fn wait(length: Duration) {
    std::thread::sleep(length);
}

/// Plays for so long; now and then something befalls the databases by `fate`.
fn play(
    length: Duration,
    control: &str,
    is_synchronous: bool,
    mut fate: impl FnMut(&mut Replicated, &mut Dice),
) -> Outcome {
    let seed = seed();
    println!("TENFOUR_TEST_SEED={seed}");
    let mut dice = Dice::new(seed);
    let mut nodes = Replicated::start(is_synchronous);
    let database = nodes.primary().new_database();
    let url = nodes.url(&database);
    init(&url.parse::<Address>().unwrap()).unwrap();
    let heard = Arc::new(Mutex::new(Heard::default()));
    let start = |number, dice: &mut Dice| Process::start(&url, number, control, dice.below(1 << 40), &heard);
    let mut servers: Vec<Process> = (0..SERVERS).map(|number| start(number, &mut dice)).collect();
    let begun = Instant::now();
    let mut next_fate = begun + Duration::from_secs(4);
    while begun.elapsed() < length {
        wait(Duration::from_millis(500 + dice.below(1_500)));
        let victim = dice.below(SERVERS as u64) as usize;
        let new = start(victim, &mut dice);
        std::mem::replace(&mut servers[victim], new).kill();
        if next_fate <= Instant::now() {
            fate(&mut nodes, &mut dice);
            next_fate = Instant::now() + Duration::from_millis(3_000 + dice.below(4_000));
        }
        for (number, server) in servers.iter_mut().enumerate() {
            if server.has_ended() {
                let new = start(number, &mut dice);
                std::mem::replace(server, new).kill();
            }
        }
    }
    servers.into_iter().for_each(Process::kill);
    let demand = match is_synchronous {
        true => Demand::Replicated,
        false => Demand::Declared,
    };
    let (content, stored) = read_all(&open(&url, demand));
    let heard = std::mem::take(&mut *heard.lock().unwrap());
    let verdict = heard.history.check(content);
    let behind = behind_welcome(&heard.claims, &stored);
    let (claims, takeovers) = (heard.claims.len(), heard.takeovers);
    println!(
        "{verdict}; {claims} claims, {takeovers} taken over, {} behind a WELCOME",
        behind.len()
    );
    Outcome {
        heard,
        verdict,
        behind,
    }
}

/// By stream: sequences, and the epochs under which they were stored.
type StoredUnder = BTreeMap<u64, Vec<(u64, u64)>>;

/// All that is there.
fn read_all(store: &PostgresStore) -> (Vec<Found>, StoredUnder) {
    let mut reader = store.reader().unwrap();
    let mut content = Vec::new();
    let mut stored = StoredUnder::new();
    for number in 0..MAILBOXES {
        let mut next = 1;
        loop {
            let items = reader.read(&mailbox(number), next, 10_000, 1 << 20).unwrap();
            let Some(last) = items.last() else { break };
            next = last.offset + 1;
            for item in items {
                let body = item.message.body.to_vec();
                let stream = String::from_utf8(body.clone()).unwrap();
                let stream = stream.split(' ').next().unwrap();
                let epoch = item.source.unwrap().address.unwrap().port();
                let under = stored.entry(stream.parse().unwrap()).or_default();
                under.push((item.sequence, epoch.into()));
                content.push(Found {
                    mailbox: item.message.mailbox.as_str().to_owned(),
                    offset: item.offset,
                    producer: stream.to_owned(),
                    sequence: item.sequence,
                    body,
                });
            }
        }
    }
    (content, stored)
}

/// What an older connection has stored above the mark that a later one was told; and marks that went back.
fn behind_welcome(claims: &[(u64, u64, u64)], stored: &StoredUnder) -> Vec<String> {
    let mut found = Vec::new();
    for (stream, stored) in stored {
        let of_stream = claims.iter().filter(|(of, ..)| of == stream);
        let mut marks: Vec<(u64, u64)> = of_stream.map(|(_, epoch, mark)| (*epoch, *mark)).collect();
        marks.sort_unstable();
        for pair in marks.windows(2) {
            if pair[1].1 < pair[0].1 {
                found.push(format!("stream {stream}: the mark went back: {pair:?}"));
            }
        }
        for (sequence, under) in stored {
            // The first claim after that under which it is stored.
            let after = marks.partition_point(|(epoch, _)| epoch <= under);
            if let Some((epoch, mark)) = marks.get(after).filter(|(_, mark)| sequence > mark) {
                found.push(format!(
                    "stream {stream}: message {sequence} of epoch {under} is behind the mark {mark} of epoch {epoch}"
                ));
            }
        }
    }
    found
}

#[test]
fn whatever_is_killed_each_receipt_holds() {
    if !tenfour_test_postgres::is_installed() {
        return;
    }
    let length = Duration::from_secs(if is_long() { 1_800 } else { 45 });
    let mut counts = [0; 5];
    let outcome = play(length, "none", true, |nodes, dice| {
        let fate = dice.below(5) as usize;
        counts[fate] += 1;
        match fate {
            0 => nodes.lose_primary(),
            1 => nodes.bounce_primary(),
            2 => nodes.split(|| wait(Duration::from_secs(2))),
            3 => nodes.bounce_standby(|| wait(Duration::from_secs(1))),
            _ => nodes.lose_standbys_then_primary(|| wait(Duration::from_millis(1_500))),
        }
    });
    println!("primary lost, back, two at once, standby lost, standbys lost before: {counts:?}");
    assert!(outcome.verdict.is_clean(), "{}", outcome.verdict);
    assert!(outcome.behind.is_empty(), "{:#?}", outcome.behind);
    let errors = &outcome.heard.errors;
    assert!(
        !errors.iter().any(|line| line.contains("panicked")),
        "{errors:#?}"
    );
    let receipted = outcome.verdict.receipted;
    assert!(
        receipted > 10_000 && outcome.heard.takeovers > 20,
        "too little happened"
    );
    assert!(!is_long() || receipted > 1_000_000);
}

/// Epochs are not compared: the play must notice.
#[test]
fn without_epochs_the_play_finds_what_is_behind_a_welcome() {
    if !tenfour_test_postgres::is_installed() {
        return;
    }
    let outcome = play(Duration::from_secs(10), "no-epoch", true, |_, _| {});
    assert!(!outcome.behind.is_empty(), "the control has not failed");
}

/// Nobody waits for a standby, and the standbys lack the last messages of a primary that dies: the play must notice.
#[test]
fn without_replication_the_play_finds_what_is_lost() {
    if !tenfour_test_postgres::is_installed() {
        return;
    }
    let outcome = play(Duration::from_secs(15), "unreplicated", false, |nodes, _| {
        nodes.lose_standbys_then_primary(|| wait(Duration::from_millis(1_500)));
    });
    let is_lost = outcome.verdict.count(Breach::Lost) + outcome.verdict.count(Breach::Moved) > 0;
    let is_noticed = outcome.heard.errors.iter().any(|line| line.contains("went back"));
    println!("noticed by a server: {is_noticed}");
    assert!(is_lost, "the control has not failed: {}", outcome.verdict);
}
