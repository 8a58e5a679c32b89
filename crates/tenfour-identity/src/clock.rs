//! The monotonic clock that drives the pure machines.

use std::time::{SystemTime, UNIX_EPOCH};

use tenfour_proto::Moment;
use tokio::time::Instant;

/// Moments counted from when this clock was made. Follows tokio's clock, so tests may move it.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that begins now.
    pub fn start() -> Self {
        Clock(Instant::now())
    }

    /// How long it has been running.
    pub fn now(&self) -> Moment {
        Moment::after_start(self.0.elapsed())
    }

    /// When tokio's clock shows that moment.
    pub fn instant(&self, moment: Moment) -> Instant {
        self.0 + moment.since_start()
    }
}

/// Sleeps until then; without a moment, for ever.
pub async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The wall clock, in microseconds since 1970-01-01 UTC.
pub fn wall_clock() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
