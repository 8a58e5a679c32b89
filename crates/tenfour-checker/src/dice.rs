//! Chance that can be played again.

/// Numbers by chance; the same seed gives the same ones (xorshift64*, Vigna 2014; seeds are spread by splitmix64).
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
    /// What a fuzzer has chosen instead.
    bytes: Option<std::collections::VecDeque<u8>>,
}

impl Dice {
    /// By that seed.
    pub fn new(seed: u64) -> Self {
        let mut state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        // Zero it could not leave.
        Dice {
            state: (state ^ (state >> 27)) | 1,
            bytes: None,
        }
    }

    /// By those bytes, two for each number up to 65,536 and eight for a higher one; zeros follow them.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Dice {
            state: 1,
            bytes: Some(bytes.iter().copied().collect()),
        }
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if let Some(bytes) = &mut self.bytes {
            let width = if end <= 0x1_0000 { 2 } else { 8 };
            let number = (0..width).fold(0, |number, _| {
                number << 8 | u64::from(bytes.pop_front().unwrap_or(0))
            });
            return number % end;
        }
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
