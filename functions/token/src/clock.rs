//! Time within one invocation, measured from its beginning.

use std::time::Duration;

use adapters::deadline::time_left;
use adapters::github;
use adapters::telemetry::milliseconds;
use jiff::Timestamp;
use tokio::time::Instant;

/// Left for the answer itself and for releasing a lease, before Lambda ends the invocation.
const MARGIN: Duration = Duration::from_millis(500);

/// How long an invocation works that came without a real deadline.
const DEFAULT_BUDGET: Duration = Duration::from_secs(25);

/// The wall clock at the beginning and a monotonic one since.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    began: Timestamp,
    started: Instant,
    budget: Duration,
}

impl Clock {
    pub(crate) fn new(now: Timestamp, deadline: u64) -> Self {
        let budget = time_left(deadline, now).map_or(DEFAULT_BUDGET, |left| left.saturating_sub(MARGIN));
        Self { began: now, started: Instant::now(), budget }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.began + self.started.elapsed()
    }

    /// How long the invocation has been running.
    pub(crate) fn duration_ms(&self) -> u64 {
        milliseconds(self.started.elapsed())
    }

    /// What is left of the invocation, with some of the margin for what ends it: releasing a lease, noting a refusal.
    pub(crate) fn last(&self) -> Duration {
        self.left() + MARGIN / 2
    }

    /// A call of GitHub, which has what is left of the invocation.
    pub(crate) async fn bound<T>(
        &self,
        call: impl Future<Output = Result<T, github::Error>>,
    ) -> Result<T, github::Error> {
        let over = |_| Err(github::Error::Unavailable("the time of this invocation is over".into()));
        tokio::time::timeout(self.left(), call).await.unwrap_or_else(over)
    }

    /// What is left of the invocation.
    pub(crate) fn left(&self) -> Duration {
        self.budget.saturating_sub(self.started.elapsed())
    }
}
