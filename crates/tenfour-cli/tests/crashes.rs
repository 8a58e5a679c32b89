//! `kill -9` of either side, at any instruction: what has a receipt is there, once, in order.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::history::{Sender, Shared, assert_clean, content, dice};
use support::{Home, wait_for};
use tenfour_checker::rounds;

const MAILBOXES: [&str; 4] = ["one", "two", "one", "three"];

#[test]
fn a_server_that_is_killed_again_and_again() {
    let mut dice = dice();
    let home = Home::new();
    let history: Shared = Arc::new(Mutex::default());
    let mut served = home.serve_with(&["--quiet"]);
    let native = served.native.clone();
    let mut senders: Vec<Sender> = MAILBOXES
        .iter()
        .enumerate()
        .map(|(number, mailbox)| Sender::start(&home, &native, mailbox, &format!("sender{number}"), &history))
        .collect();
    // Who never was welcomed gives up at once.
    senders.iter_mut().for_each(|sender| sender.send(1));
    wait_for("all of them to be welcomed", || {
        history.lock().unwrap().receipted() == 4
    });
    for _ in 0..rounds(100, 2_000) {
        for sender in &mut senders {
            sender.send(dice.below(400));
        }
        std::thread::sleep(Duration::from_micros(dice.below(60_000)));
        served.kill();
        served = home.serve_with(&["--quiet", "--native", &native]);
    }
    for sender in senders {
        assert_eq!(sender.finish(), Some(0));
    }
    let there = ["one", "two", "three"].map(|mailbox| content(&home, &native, mailbox));
    let verdict = history.lock().unwrap().check(there.into_iter().flatten());
    assert_clean(&verdict);
    assert_eq!((verdict.receipted, verdict.stored), (verdict.sent, verdict.sent));
    served.stop();
    home.run(&["check"]).ok();
}
