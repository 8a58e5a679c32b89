//! Both native machines and a model store, with every choice of a schedule made by the fuzzer.

use tenfour_checker::Dice;

#[path = "../../crates/tenfour-proto/tests/pair/mod.rs"]
mod machines;

/// A whole history: cuts, partitions, crashes, pauses. What was sent is there once in the end.
pub fn pair(input: &[u8]) {
    machines::schedule::play(&mut Dice::of_bytes(input), &mut Default::default());
}
