//! Thousands of histories that nobody would think of: connections cut at any byte, in one direction or both, commits that
//! wait, full stores, servers that stop or crash, senders that are killed and go on with what they had noted, clocks that
//! are wrong by years. Whatever happens,
//! in the end each message is stored once, in order, where its receipt says.
//!
//! Each is drawn from a seed. `TENFOUR_TEST_SEED=N` plays that one alone; `TENFOUR_TEST_LONG=1` plays a million.

mod pair;

use std::panic::{AssertUnwindSafe, catch_unwind};

use pair::schedule::{Tally, play};
use tenfour_checker::{Dice, told_seed};

#[test]
fn no_schedule_loses_or_doubles_a_message() {
    let only = told_seed();
    let seeds = match only {
        Some(seed) => seed..seed + 1,
        None if std::env::var_os("TENFOUR_TEST_LONG").is_some() => 0..1_000_000,
        None => 0..10_000,
    };
    let mut tally = Tally::default();
    for seed in seeds {
        if let Err(why) = catch_unwind(AssertUnwindSafe(|| play(&mut Dice::new(seed), &mut tally))) {
            let words = why
                .downcast_ref::<String>()
                .map(String::as_str)
                .or(why.downcast_ref::<&str>().copied());
            panic!("TENFOUR_TEST_SEED={seed}: {}", words.unwrap_or("it panicked"));
        }
    }
    let all = [
        tally.cuts,
        tally.one_way,
        tally.sleeps,
        tally.crashes,
        tally.kills,
        tally.pauses,
        tally.stops,
    ];
    assert!(
        only.is_some() || all.iter().all(|count| *count > 1_000),
        "{tally:?}"
    );
}
