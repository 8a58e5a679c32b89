//! A point in monotonic time, handed in by whoever drives a machine.

use std::ops::Add;
use std::time::Duration;

/// Time since an arbitrary fixed point (usually: since the driver started). Never wall-clock time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// The moment that lies `since_start` after the driver's fixed point.
    pub fn after_start(since_start: Duration) -> Self {
        Moment(since_start)
    }

    /// How long after the driver's fixed point this moment lies.
    pub fn since_start(self) -> Duration {
        self.0
    }

    /// The time from `earlier` to here; zero when `earlier` is later.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, by: Duration) -> Moment {
        Moment(self.0.saturating_add(by))
    }
}
