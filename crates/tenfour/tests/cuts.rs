//! Sessions that are cut after some byte of the client or of the server, over real sockets: by a reset, by an end, or by
//! silence. Whatever is cut, each message is stored once, in order, where its receipt says.
//!
//! The bytes are drawn from a seed. `TENFOUR_TEST_LONG=1` cuts after every byte.

#![allow(clippy::print_stderr, reason = "seeds, and what came of them")]

mod running;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenfour::Address;
use tenfour::identity::Identity;
use tenfour::server::ServerConfig;
use tenfour_checker::{Dice, Found, History, Observation, is_long};
use tokio::sync::Semaphore;

use running::relay::{Cut, End, Relay, Way};
use running::*;

const MESSAGES: u64 = 25;

/// Sends all of them through a relay, and notes what is heard. Gives the bytes that went up and down.
async fn session(
    server: &Address,
    me: &Identity,
    name: &str,
    cut: Option<Cut>,
    history: &Mutex<History>,
) -> (u64, u64) {
    let relay = Relay::that_cuts(server, cut).await;
    let mut config = client_config(me);
    // Nobody has to wait for it.
    config.timeout = Duration::from_secs(10_000);
    config.id = Some(name.to_owned());
    let client = loop {
        // Nobody has numbered anything yet: whoever is cut here begins again.
        match connect(&relay.address, config.clone()).await {
            Ok(client) => break client,
            Err(error) => assert!(cut.is_some(), "{error}"),
        }
    };
    let mut sendings = Vec::new();
    for sequence in 1..=MESSAGES {
        let body = format!("{name} {sequence}");
        history
            .lock()
            .unwrap()
            .send(name, sequence, "inbox", body.as_bytes());
        sendings.push(put(&client, inbox(&body)).await);
    }
    for sending in sendings {
        let receipt = sending.await.unwrap_or_else(|error| panic!("{cut:?}: {error}"));
        let outcome = Observation::Receipt {
            mailbox: receipt.mailbox.to_string(),
            offset: receipt.offset,
        };
        history.lock().unwrap().hear(name, receipt.sequence, outcome);
    }
    client.close().await;
    relay.passed()
}

async fn content(server: &Address, me: &Identity) -> Vec<Found> {
    let client = reading(server, client_config(me)).await;
    let mut reader = client.reader("inbox").open().await.unwrap();
    let mut found = Vec::new();
    while let Some(item) = reader.try_next().await.unwrap() {
        let body = item.message.body.to_vec();
        let words = String::from_utf8_lossy(&body);
        found.push(Found {
            mailbox: "inbox".to_owned(),
            offset: item.offset,
            producer: words.split(' ').next().unwrap().to_owned(),
            sequence: item.sequence,
            body,
        });
    }
    found
}

/// All of those sessions, so many at once.
async fn all(points: impl FnOnce(u64, u64) -> Vec<Cut>, at_once: usize) {
    let me = identity();
    let server = Running::start(ServerConfig::new(me.clone())).await;
    let history = Arc::new(Mutex::new(History::new()));
    let (up, down) = session(&server.native, &me, "whole", None, &history).await;
    let points = points(up, down);
    assert!(!points.is_empty());
    let places = Arc::new(Semaphore::new(at_once));
    let mut sessions = Vec::new();
    for (number, cut) in points.into_iter().enumerate() {
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let (address, me, history) = (server.native.clone(), me.clone(), Arc::clone(&history));
        sessions.push(tokio::spawn(async move {
            session(&address, &me, &format!("s{number}"), Some(cut), &history).await;
            drop(place);
        }));
    }
    let count = sessions.len() as u64;
    for session in sessions {
        session.await.unwrap();
    }
    let found = content(&server.native, &me).await;
    let verdict = history.lock().unwrap().check(found);
    assert!(verdict.is_clean(), "{verdict}");
    assert_eq!(verdict.receipted, (count + 1) * MESSAGES);
    eprintln!("{up} bytes up and {down} down, {count} sessions cut: {verdict}");
    server.stop().await;
}

/// So many points of each side, or with `every` all that are that far apart.
fn sample(ends: &[End], some: u64, every: u64) -> impl FnOnce(u64, u64) -> Vec<Cut> {
    let seed = tenfour_checker::seed();
    eprintln!("TENFOUR_TEST_SEED={seed}");
    let mut dice = Dice::new(seed);
    move |up, down| {
        let mut points = Vec::new();
        for (way, bytes) in [(Way::Up, up), (Way::Down, down)] {
            for end in ends {
                let afters: Vec<u64> = if is_long() {
                    (0..bytes).step_by(every as usize).collect()
                } else {
                    (0..some).map(|_| dice.below(bytes)).collect()
                };
                points.extend(afters.into_iter().map(|after| Cut {
                    way,
                    after,
                    end: *end,
                }));
            }
        }
        points
    }
}

#[tokio::test]
async fn by_a_reset_or_an_end() {
    all(sample(&[End::Reset, End::Close], 200, 1), 16).await;
}

/// Each waits until a side notices that the other has been silent for too long. One that went silent before its WELCOME
/// was waited for until the deadline of the message, though the next connection would have carried it.
#[tokio::test]
async fn by_silence() {
    all(sample(&[End::Stall], 20, 4), 100).await;
}
