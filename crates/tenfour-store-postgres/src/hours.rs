//! The store's own time: hours in which some server was there. A clock that is set forward by a year forgets nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::error::Trouble;
use crate::session::Session;

/// The time is looked at so often.
const LOOK: Duration = Duration::from_secs(60);

/// Counts an hour that is over; where nobody was there for more than two, none.
const TICK: &str = "UPDATE store SET hours = hours + CASE WHEN now() < ticked + interval '2 hours' THEN 1 ELSE 0 END, ticked = now()
    WHERE now() >= ticked + interval '1 hour'";

/// The hours as they were at the last look.
#[derive(Debug)]
pub(crate) struct Hours {
    hours: Arc<AtomicI64>,
    looked: Instant,
}

/// The same to look at only.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Arc<AtomicI64>);

impl Clock {
    pub(crate) fn now(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Hours {
    pub(crate) fn start(session: &Session) -> Result<Self, Trouble> {
        let mut hours = Hours {
            hours: Arc::default(),
            looked: Instant::now(),
        };
        hours.look(session)?;
        Ok(hours)
    }

    pub(crate) fn now(&self) -> i64 {
        self.hours.load(Ordering::Relaxed)
    }

    pub(crate) fn clock(&self) -> Clock {
        Clock(Arc::clone(&self.hours))
    }

    /// It is time to look.
    pub(crate) fn is_due(&self) -> bool {
        self.looked.elapsed() >= LOOK
    }

    pub(crate) fn look(&mut self, session: &Session) -> Result<(), Trouble> {
        let hours = session.run(async {
            session.client().batch_execute(TICK).await?;
            Ok(session
                .client()
                .query_one("SELECT hours FROM store", &[])
                .await?
                .try_get(0)?)
        })?;
        self.hours.store(hours, Ordering::Relaxed);
        self.looked = Instant::now();
        Ok(())
    }
}
