//! Thousands of histories that nobody would think of: connections cut at any byte, in one direction or both, commits that
//! wait, full stores, servers that stop or crash, senders that are killed and go on with what they had noted, clocks that
//! are wrong by years. Whatever happens,
//! in the end each message is stored once, in order, where its receipt says.
//!
//! Each is drawn from a seed. `TENFOUR_TEST_SEED=N` plays that one alone; `TENFOUR_TEST_LONG=1` plays a million.

mod pair;

use pair::schedule::{Tally, play};
use tenfour_checker::each_seed;

#[test]
fn no_schedule_loses_or_doubles_a_message() {
    let mut tally = Tally::default();
    let is_all = each_seed(10_000, 1_000_000, |dice| play(dice, &mut tally));
    let all = [
        tally.cuts,
        tally.one_way,
        tally.sleeps,
        tally.crashes,
        tally.kills,
        tally.pauses,
        tally.stops,
    ];
    assert!(!is_all || all.iter().all(|count| *count > 1_000), "{tally:?}");
}
