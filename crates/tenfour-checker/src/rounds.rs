//! How often a test does it again, and from which seeds: `TENFOUR_TEST_LONG=1`, `TENFOUR_TEST_SEED=N`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Dice;

/// A few in every run of the tests, many in the long form.
pub fn rounds(usual: u64, long: u64) -> u64 {
    if is_long() { long } else { usual }
}

/// The long form is wanted.
pub fn is_long() -> bool {
    std::env::var_os("TENFOUR_TEST_LONG").is_some()
}

fn told_seed() -> Option<u64> {
    std::env::var("TENFOUR_TEST_SEED").ok()?.parse().ok()
}

/// The seed that was told, or a new one.
pub fn seed() -> u64 {
    told_seed().unwrap_or_else(|| {
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        time.map_or(0, |time| time.as_nanos() as u64)
    })
}

/// Plays so many seeds, or the one that was told. True if it was all of them.
///
/// # Panics
///
/// With the seed, when a play does.
pub fn each_seed(usual: u64, long: u64, mut play: impl FnMut(&mut Dice)) -> bool {
    let told = told_seed();
    let seeds = told.map_or(0..rounds(usual, long), |seed| seed..seed + 1);
    for seed in seeds {
        // What it panicked with has been printed.
        let played = catch_unwind(AssertUnwindSafe(|| play(&mut Dice::new(seed))));
        assert!(played.is_ok(), "TENFOUR_TEST_SEED={seed}");
    }
    told.is_none()
}
