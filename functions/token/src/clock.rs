//! Time within one invocation, measured from its beginning.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Left for the answer itself and for releasing a lease, before Lambda ends the invocation.
const MARGIN: SignedDuration = SignedDuration::from_millis(500);

/// How long an invocation works where nobody set a deadline.
const DEFAULT_BUDGET: Duration = Duration::from_secs(25);

/// The wall clock at the beginning and a monotonic one since.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    began: Timestamp,
    started: Instant,
    budget: Duration,
}

impl Clock {
    pub(crate) fn new(now: Timestamp, deadline: Option<Timestamp>) -> Self {
        let budget = deadline.map_or(DEFAULT_BUDGET, |deadline| {
            Duration::try_from(deadline.duration_since(now) - MARGIN).unwrap_or_default()
        });
        Self { began: now, started: Instant::now(), budget }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.began + self.started.elapsed()
    }

    /// What is left of the invocation.
    pub(crate) fn left(&self) -> Duration {
        self.budget.saturating_sub(self.started.elapsed())
    }
}
