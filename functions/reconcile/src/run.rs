//! One invocation: its clock, what it counts, and how it asks GitHub.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use adapters::Error;
use adapters::board::{Recorded, Work};
use adapters::github;
use domain::lifecycle::Finding;
use domain::pull_request::{Facts, InstallationId, PullRequest};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::App;
use crate::event::Summary;
use crate::github::{Ask, Failure};
use crate::token::Held;

/// What is kept of an invocation's time for writing down what is left.
const MARGIN: Duration = Duration::from_secs(4);

/// The counts of the summary.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) claimed: AtomicUsize,
    pub(crate) checked: AtomicUsize,
    pub(crate) settled: AtomicUsize,
    pub(crate) deferred: AtomicUsize,
    pub(crate) applied: AtomicUsize,
    conflicts_found: AtomicUsize,
    conflicts_cleared: AtomicUsize,
    tasks_moved: AtomicUsize,
    github_requests: AtomicUsize,
    pub(crate) oldest_due_seconds: OnceLock<i64>,
}

/// Counts.
pub(crate) fn add(count: &AtomicUsize, more: usize) {
    count.fetch_add(more, Ordering::Relaxed);
}

/// One invocation.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) app: &'a App,
    pub(crate) tally: Tally,
    trigger: &'static str,
    started: Timestamp,
    since: Instant,
    ends: Instant,
    trouble: Mutex<Trouble>,
}

/// What went wrong. One limit, or one missing repository, concerns many items, and is met and told once.
#[derive(Debug, Default)]
struct Trouble {
    /// Installations that are not to be asked for again in this invocation, and why.
    blocked: HashMap<Option<InstallationId>, Failure>,
    told: HashSet<String>,
    unavailable: bool,
    table: Option<Error>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(app: &'a App, trigger: &'static str, now: Timestamp, left: Duration) -> Self {
        let since = Instant::now();
        Self {
            app,
            tally: Tally::default(),
            trigger,
            started: now,
            since,
            // A test may give all the time there is.
            ends: since + left.saturating_sub(MARGIN).min(Duration::from_secs(900)),
            trouble: Mutex::default(),
        }
    }

    /// The time, as far as this invocation is concerned.
    pub(crate) fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.since.elapsed()).unwrap_or_default();
        self.started.checked_add(passed).unwrap_or(self.started)
    }

    /// At which offsets from the start of the invocation GitHub is asked.
    pub(crate) fn rounds(&self) -> &[Duration] {
        if self.trigger == "stream" { &self.app.pace.stream } else { &self.app.pace.others }
    }

    /// When this invocation began, which is at or before anything GitHub was asked.
    pub(crate) fn started(&self) -> Timestamp {
        self.started
    }

    pub(crate) fn has_time(&self) -> bool {
        Instant::now() < self.ends
    }

    /// Until when items are claimed: past the life of this invocation, so that nobody else works on them meanwhile.
    pub(crate) fn lease(&self) -> i64 {
        let left = self.ends.saturating_duration_since(Instant::now()) + MARGIN;
        self.now().as_second() + 120.max(i64::try_from(left.as_secs()).unwrap_or(i64::MAX) + 30)
    }

    /// Waits until `offset` after the start of the invocation. `false`: there is no time for that.
    pub(crate) async fn reach(&self, offset: Duration) -> bool {
        let then = self.since + offset;
        if then >= self.ends {
            return false;
        }
        tokio::time::sleep_until(then).await;
        true
    }

    async fn pause(&self, time: Duration) -> Result<(), Failure> {
        if Instant::now() + time >= self.ends {
            return Err(Failure::OutOfTime);
        }
        tokio::time::sleep(time).await;
        Ok(())
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks GitHub, with the token of an installation.
    ///
    /// A refusal is asked about again only where that can help: a new token may take seconds to be known everywhere, a revoked
    /// one is replaced once, and GitHub's own errors pass. Never on a rate limit: GitHub bans who goes on asking.
    pub(crate) async fn ask<A: Ask>(
        &self,
        installation: Option<InstallationId>,
        request: &A,
    ) -> Result<A::Answer, Failure> {
        self.ask_with_patience(installation, request).await.inspect_err(|failure| self.note(installation, failure))
    }

    fn note(&self, installation: Option<InstallationId>, failure: &Failure) {
        let mut trouble = self.trouble();
        match failure {
            Failure::Limited { .. } | Failure::NoInstallation(_) => {
                trouble.blocked.insert(installation, failure.clone());
            }
            Failure::Unavailable(_) | Failure::OutOfTime => trouble.unavailable = true,
            Failure::Gone | Failure::Refused(_) | Failure::Table => {}
        }
    }

    /// A token, unless there is known to be none.
    pub(crate) async fn token(&self, installation: Option<InstallationId>) -> Result<Held, Failure> {
        self.unless_blocked(installation)?;
        let token = self.app.tokens.get(installation, self.now()).await;
        if let Err(failure @ (Failure::Limited { .. } | Failure::NoInstallation(_) | Failure::Refused(_))) = &token {
            self.trouble().blocked.insert(installation, failure.clone());
        }
        token
    }

    fn unless_blocked(&self, installation: Option<InstallationId>) -> Result<(), Failure> {
        self.trouble().blocked.get(&installation).cloned().map_or(Ok(()), Err)
    }

    async fn ask_with_patience<A: Ask>(
        &self,
        installation: Option<InstallationId>,
        request: &A,
    ) -> Result<A::Answer, Failure> {
        let pace = &self.app.pace;
        let (mut for_token, mut for_github) = (pace.fresh_token.iter(), pace.retries.iter());
        let mut replaced = false;
        let mut token = self.token(installation).await?;
        loop {
            self.unless_blocked(installation)?;
            let left = self.ends.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure::OutOfTime);
            }
            add(&self.tally.github_requests, 1);
            let sent = tokio::time::timeout(left, request.send(&self.app.github, &token.token)).await;
            let refused = match sent.map_err(|_| Failure::OutOfTime)? {
                Ok(answer) => return Ok(answer),
                Err(refused) => refused,
            };
            match refused {
                _ if refused.may_be_a_new_token() && token.is_fresh(self.now()) => {
                    let Some(wait) = for_token.next() else { return Err(failure(&refused, self.now())) };
                    self.pause(*wait).await?;
                }
                // Nothing else is about the token: another one would be refused as well.
                github::Error::Unauthorized(_) if !replaced => {
                    replaced = true;
                    token = self.app.tokens.replace(installation, &token, self.now()).await?;
                }
                github::Error::Unavailable(_) => {
                    let Some(wait) = for_github.next() else { return Err(failure(&refused, self.now())) };
                    self.pause(jittered(*wait)).await?;
                }
                _ => return Err(failure(&refused, self.now())),
            }
        }
    }

    /// Says once that a repository cannot be reached any more.
    pub(crate) fn warn_gone(&self, repository: &str) {
        if self.trouble().told.insert(repository.to_owned()) {
            tracing::warn!(repository, "not there for this installation any more; its items leave the work list");
        }
    }

    fn warn_refused(&self, repository: &str, said: &str) {
        if self.trouble().told.insert(repository.to_owned()) {
            tracing::warn!(repository, said, "GitHub cannot be asked; the items stay due");
        }
    }

    /// Logs a table's failure. The items concerned stay on the work list.
    pub(crate) fn table_failed(&self, error: Error) -> Failure {
        tracing::error!(error = error.chain(), "a table failed; what was being worked on stays due");
        if matches!(error, Error::Table { .. }) {
            self.trouble().table.get_or_insert(error);
        }
        Failure::Table
    }

    /// Lets facts read from GitHub count. Gives the pull request as it is then, `None` if it is none of ours.
    pub(crate) async fn apply(&self, facts: &Facts) -> Result<Option<PullRequest>, Failure> {
        add(&self.tally.applied, 1);
        let applied = self.app.board.apply(facts, self.now()).await.map_err(|error| self.table_failed(error))?;
        let moved =
            |task: &&adapters::board::TaskOutcome| matches!(task.outcome, adapters::board::Outcome::Moved { .. });
        add(&self.tally.tasks_moved, applied.tasks.iter().filter(moved).count());
        Ok(applied.pull_request)
    }

    /// Writes down what was found about a pull request.
    pub(crate) async fn record(&self, known: &PullRequest, finding: &Finding) -> Result<(), Failure> {
        let recorded = self.app.board.record(known, finding, self.now()).await;
        match recorded.map_err(|error| self.table_failed(error))? {
            Recorded::Written { owed, moved, conflicts_found, conflicts_cleared } => {
                add(if owed { &self.tally.deferred } else { &self.tally.settled }, 1);
                add(&self.tally.tasks_moved, moved);
                add(&self.tally.conflicts_found, conflicts_found);
                add(&self.tally.conflicts_cleared, conflicts_cleared);
            }
            Recorded::Overtaken => add(&self.tally.deferred, 1),
        }
        Ok(())
    }

    /// Leaves what could not be done on the work list, or takes it off where it cannot be done any more.
    pub(crate) async fn give_up(&self, repository: &str, work: &Work, failure: &Failure) {
        let done = match failure {
            // Its lease brings it back.
            Failure::Table => return,
            Failure::Gone | Failure::NoInstallation(_) => {
                self.warn_gone(repository);
                add(&self.tally.settled, 1);
                self.app.board.drop_from_list(work).await
            }
            Failure::Limited { until } => self.later(work, Some(*until)).await,
            Failure::Refused(said) | Failure::Unavailable(said) => {
                self.warn_refused(repository, said);
                self.later(work, None).await
            }
            Failure::OutOfTime => self.later(work, None).await,
        };
        if let Err(error) = done {
            self.table_failed(error);
        }
    }

    async fn later(&self, work: &Work, until: Option<i64>) -> adapters::Result<bool> {
        if let Work::PullRequest(known) = work {
            let _logged = self.record(known, &Finding::Pending { until }).await;
            return Ok(true);
        }
        add(&self.tally.deferred, 1);
        // A resync has its next turn since it was claimed.
        if until.is_none() && work.key().is_sync() {
            return Ok(true);
        }
        self.app.board.postpone(work, until, self.now()).await
    }

    /// The summary of what was done.
    ///
    /// # Errors
    /// The first failure of a table.
    pub(crate) fn finish(&self, reason: Option<String>) -> Result<Summary, Error> {
        let mut trouble = self.trouble();
        let outcome = match &*trouble {
            Trouble { table: Some(_), .. } => "failed",
            Trouble { blocked, .. } if blocked.values().any(|why| matches!(why, Failure::Limited { .. })) => {
                "rate_limited"
            }
            Trouble { unavailable: true, .. } => "unavailable",
            _ => "done",
        };
        let read = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        let tally = &self.tally;
        let summary = Summary {
            batch_item_failures: Vec::new(),
            outcome,
            reason,
            claimed: read(&tally.claimed),
            checked: read(&tally.checked),
            settled: read(&tally.settled),
            deferred: read(&tally.deferred),
            applied: read(&tally.applied),
            conflicts_found: read(&tally.conflicts_found),
            conflicts_cleared: read(&tally.conflicts_cleared),
            tasks_moved: read(&tally.tasks_moved),
            github_requests: read(&tally.github_requests),
            oldest_due_seconds: tally.oldest_due_seconds.get().copied(),
        };
        log(self.trigger, &summary);
        trouble.table.take().map_or(Ok(summary), Err)
    }
}

pub(crate) fn failure(refused: &github::Error, now: Timestamp) -> Failure {
    let said = || adapters::error::chain(refused);
    if let Some(wait) = refused.wait() {
        return Failure::Limited {
            until: now.as_second().saturating_add(i64::try_from(wait.as_secs()).unwrap_or(3600)),
        };
    }
    match refused {
        github::Error::NotFound(_) => Failure::Gone,
        github::Error::InstallationNotFound(_) => Failure::NoInstallation(said()),
        github::Error::Unavailable(_) | github::Error::Unexpected(_) => Failure::Unavailable(said()),
        _ => Failure::Refused(said()),
    }
}

/// Half to all of a time: callers that failed together do not come back together.
fn jittered(time: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8) % 512;
    time / 2 + time * u32::try_from(random).unwrap_or(0) / 1024
}

/// One line an invocation: what the dashboard counts.
fn log(trigger: &str, summary: &Summary) {
    tracing::info!(
        trigger,
        outcome = summary.outcome,
        reason = summary.reason.as_deref(),
        claimed = summary.claimed,
        checked = summary.checked,
        settled = summary.settled,
        deferred = summary.deferred,
        applied = summary.applied,
        conflicts_found = summary.conflicts_found,
        conflicts_cleared = summary.conflicts_cleared,
        tasks_moved = summary.tasks_moved,
        github_requests = summary.github_requests,
        oldest_due_seconds = summary.oldest_due_seconds,
        "reconcile"
    );
}
