//! Randomness, and ids made of it.

use tenfour_proto::hex;

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() {
        // No randomness, no new streams: two of them could meet. There is no sensible way to go on.
        std::process::abort();
    }
    bytes
}

/// An id that nobody else draws: 128 bits, as people can type it.
pub fn random_id() -> String {
    hex(&random::<16>())
}
