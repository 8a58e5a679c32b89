//! Randomness, and ids made of it.

use tenfour_proto::hex;

/// Bytes that nobody can guess.
///
/// # Panics
///
/// When the system has no randomness: two producers could meet then, and there is no sensible way to go on.
#[allow(
    clippy::expect_used,
    reason = "without randomness nothing of this library can be promised"
)]
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gives randomness");
    bytes
}

/// An id that nobody else draws: 128 bits, as people can type it.
pub fn random_id() -> String {
    hex(&random::<16>())
}
