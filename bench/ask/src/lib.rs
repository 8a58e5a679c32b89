//! Asking again and again, one question at a time.

use std::time::{Duration, Instant};

/// Prints the median and the count as one line of JSON.
pub fn report(mut times: Vec<Duration>) {
    times.sort_unstable();
    let median = times[times.len() / 2].as_secs_f64() * 1e6;
    println!("{{\"asked\": {}, \"p50_us\": {median:.1}}}", times.len());
}

/// Seconds from the command line.
pub fn seconds(text: &str) -> Duration {
    Duration::from_secs_f64(text.parse().expect("seconds"))
}

/// Asks until the time is over; the first hundred are for warming up.
pub async fn ask<F: Future<Output = ()>>(length: Duration, question: impl Fn() -> F) -> Vec<Duration> {
    for _ in 0..100 {
        question().await;
    }
    let end = Instant::now() + length;
    let mut times = Vec::new();
    while Instant::now() < end {
        let begun = Instant::now();
        question().await;
        times.push(begun.elapsed());
    }
    times
}
