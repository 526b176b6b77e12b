//! One invocation: its clock, what it counts, and how it asks GitHub.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use adapters::Error;
use adapters::github;
use adapters::pause::jittered;
use adapters::telemetry::Invocation;
use domain::contract::reconcile::{Outcome, Summary, Unserved};
use domain::ids::InstallationId;
use domain::item::{Item, ItemKey};
use domain::outcome::{Applied, Change};
use domain::report::Report;
use domain::schedule::{Refusal, Schedule};
use domain::served::Served;
use domain::sync::Blocked;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::Instant;

use crate::App;
use crate::event;
use crate::github::{self as requests, Failure, Request};
use crate::token::Held;

/// What is kept of an invocation's time for writing down what is left.
const MARGIN: Duration = Duration::from_secs(4);

/// Requests that are under way at the same time: GitHub allows 100 for an App and everything else it does.
/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits>
const REQUESTS_AT_ONCE: usize = 80;

/// Those of one installation. One whose GitHub hangs holds so many and no more, so that the others go on.
const REQUESTS_OF_ONE: usize = 12;

/// A request that had so much time and no answer has failed; one that had less only came too late.
const TIME_TO_ANSWER: Duration = Duration::from_secs(5);

/// After so many requests of an installation in a row that had no answer, and one for what every token may read, the rest of its work waits for a
/// later invocation.
const OUTAGE: usize = 3;

/// The counts of the summary.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) claimed: AtomicUsize,
    pub(crate) checked: AtomicUsize,
    pub(crate) settled: AtomicUsize,
    pub(crate) deferred: AtomicUsize,
    pub(crate) applied: AtomicUsize,
    pub(crate) pages_shrunk: AtomicUsize,
    conflicts_found: AtomicUsize,
    conflicts_cleared: AtomicUsize,
    tasks_moved: AtomicUsize,
    github_requests: AtomicUsize,
    pub(crate) oldest_due_seconds: OnceLock<i64>,
}

/// Adds to a count of the summary.
pub(crate) fn add(count: &AtomicUsize, more: usize) {
    count.fetch_add(more, Ordering::Relaxed);
}

/// What is said of an installation whose GitHub gave no answer at all.
const UNANSWERED: &str = "GitHub did not answer";

/// What everything that one invocation does shares.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) app: &'a App,
    pub(crate) tally: Tally,
    trigger: &'static str,
    started: Timestamp,
    since: Instant,
    ends: Instant,
    room: Semaphore,
    served: OnceCell<Served>,
    trouble: Mutex<Trouble>,
}

/// What went wrong. One limit concerns many items, and is met and told once.
#[derive(Debug, Default)]
struct Trouble {
    installations: HashMap<Option<InstallationId>, InstallationState>,
    /// Since when what was claimed had been due, epoch seconds.
    due_since: HashMap<ItemKey, i64>,
    /// What could not be served, and since when.
    unserved: BTreeMap<String, Unserved>,
    told: HashSet<String>,
    limited: bool,
    refused: bool,
    unavailable: bool,
    table_failed: bool,
    table: Option<Error>,
}

/// What is known of one installation in this invocation.
#[derive(Debug, Clone)]
struct InstallationState {
    room: Arc<Semaphore>,
    /// What other invocations had noted of it, read before anything is asked.
    before: Arc<OnceCell<Option<Blocked>>>,
    /// Why it is not to be asked for again.
    blocked: Option<Failure>,
    /// Requests in a row that had no answer.
    unanswered: usize,
    /// Whether it is being found out if it answers at all.
    probing: bool,
    /// Whether GitHub was asked, and whether it has answered at all.
    asked: bool,
    answered: bool,
    /// Whether others were told of all this.
    told: bool,
}

impl Trouble {
    /// Notes what kind of failure kept some of the work from being done.
    fn met(&mut self, failure: &Failure) {
        match failure {
            Failure::Table => {}
            Failure::Limited { .. } => self.limited = true,
            Failure::NoToken { .. } | Failure::Blocked { .. } | Failure::Gone(_) | Failure::Refused(_) => {
                self.refused = true;
            }
            Failure::Unavailable(_) | Failure::OutOfTime => self.unavailable = true,
        }
    }
}

impl Default for InstallationState {
    fn default() -> Self {
        Self {
            room: Arc::new(Semaphore::new(REQUESTS_OF_ONE)),
            before: Arc::default(),
            blocked: None,
            unanswered: 0,
            probing: false,
            asked: false,
            answered: false,
            told: false,
        }
    }
}

/// How often a request is tried again that GitHub could not serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// As often as the pace says.
    Some,
    /// Not at all: something smaller can be asked for instead.
    None,
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
            room: Semaphore::new(REQUESTS_AT_ONCE),
            served: OnceCell::new(),
            trouble: Mutex::default(),
        }
    }

    /// The time, as far as this invocation is concerned.
    pub(crate) fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.since.elapsed()).unwrap_or_default();
        self.started.checked_add(passed).unwrap_or(self.started)
    }

    /// At which offsets GitHub is asked, from when the first question can be.
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

    /// Waits until then. `false`: there is no time for that.
    pub(crate) async fn reach(&self, then: Instant) -> bool {
        if then >= self.ends {
            return false;
        }
        tokio::time::sleep_until(then).await;
        true
    }

    /// `false`: there is no time for that.
    pub(crate) async fn pause(&self, time: Duration) -> bool {
        if Instant::now() + time >= self.ends {
            return false;
        }
        tokio::time::sleep(time).await;
        true
    }

    /// Keeps since when a claimed item had been due: claiming it writes over that.
    pub(crate) fn due_since(&self, key: ItemKey, second: i64) {
        self.trouble().due_since.insert(key, second);
    }

    /// Notes a failure that kept some of the work from being done.
    pub(crate) fn met(&self, failure: &Failure) {
        self.trouble().met(failure);
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks GitHub, with the token of an installation.
    ///
    /// A refusal is asked about again only where that can help: a new token may take seconds to be known everywhere, a revoked
    /// one is replaced once, and GitHub's own errors pass. Never on a rate limit: GitHub bans who goes on asking.
    pub(crate) async fn ask<R: Request>(
        &self,
        installation: Option<InstallationId>,
        request: &R,
    ) -> Result<R::Answer, Failure> {
        self.ask_with(Patience::Some, installation, request).await
    }

    /// The same, with the patience that is wanted.
    pub(crate) async fn ask_with<R: Request>(
        &self,
        patience: Patience,
        installation: Option<InstallationId>,
        request: &R,
    ) -> Result<R::Answer, Failure> {
        let of = self.trouble().installations.entry(installation).or_default().room.clone();
        // The semaphores are never closed.
        let (Ok(_own), Ok(_all)) = (of.acquire().await, self.room.acquire().await) else {
            return Err(Failure::OutOfTime);
        };
        let answer = self.ask_patiently(patience, installation, request).await;
        // Where something smaller is asked for next, it is the size that failed.
        if patience == Patience::Some || !matches!(answer, Err(Failure::Unavailable(_))) {
            self.note(installation, answer.as_ref().err());
        }
        if let Err(failure @ Failure::Unavailable(_)) = &answer {
            self.block_in_an_outage(installation, failure).await;
        }
        answer
    }

    /// Asks an installation for nothing more after [`OUTAGE`] requests without an answer, if it does not answer what every token may read either:
    /// several things that GitHub cannot show are no outage.
    async fn block_in_an_outage(&self, installation: Option<InstallationId>, failure: &Failure) {
        {
            let mut trouble = self.trouble();
            let of = trouble.installations.entry(installation).or_default();
            if of.unanswered < OUTAGE || of.blocked.is_some() || std::mem::replace(&mut of.probing, true) {
                return;
            }
        }
        let said = match self.token(installation).await {
            Ok(token) => self.try_token(&token).await,
            Err(_) => None,
        };
        match said.map(|said| said.map_err(|refused| Failure::of(&refused, self.now()))) {
            None | Some(Err(Failure::Unavailable(_))) => {
                let mut trouble = self.trouble();
                trouble.installations.entry(installation).or_default().blocked.get_or_insert_with(|| failure.clone());
            }
            Some(Err(limited @ Failure::Limited { .. })) => self.note(installation, Some(&limited)),
            Some(_) => self.note(installation, None),
        }
        self.trouble().installations.entry(installation).or_default().probing = false;
    }

    async fn ask_patiently<R: Request>(
        &self,
        patience: Patience,
        installation: Option<InstallationId>,
        request: &R,
    ) -> Result<R::Answer, Failure> {
        let pace = &self.app.pace;
        let retries = if patience == Patience::Some { pace.retries.as_slice() } else { &[] };
        let (mut for_token, mut for_github) = (pace.fresh_token.iter(), retries.iter());
        let mut replaced = false;
        let mut token = self.token(installation).await?;
        // A try that failed is a failure also where no time is left for another: called out of time, it would never back off.
        let mut out_of_time = Failure::OutOfTime;
        loop {
            self.unless_blocked(installation)?;
            let left = self.ends.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(out_of_time);
            }
            add(&self.tally.github_requests, 1);
            self.trouble().installations.entry(installation).or_default().asked = true;
            let sent = tokio::time::timeout(left, request.send(&self.app.github, &token.token)).await;
            let refused = match sent {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(refused)) => refused,
                Err(_) if left < TIME_TO_ANSWER => return Err(out_of_time),
                Err(_) => return Err(Failure::Unavailable(UNANSWERED.to_owned())),
            };
            let failed = Failure::of(&refused, self.now());
            let new_token = refused.may_be_a_new_token() && token.is_fresh(self.now());
            let new_token = new_token.then(|| for_token.next().copied()).flatten();
            let wait = match refused {
                _ if new_token.is_some() => new_token,
                // It is about the one thing, and blocks nothing else.
                github::Error::Unauthorized(said) if self.is_good(&token).await => {
                    return Err(Failure::Refused(format!("refused with a token that GitHub takes elsewhere: {said}")));
                }
                // Nothing else is about the token: another one would be refused as well.
                github::Error::Unauthorized(_) if !replaced => {
                    replaced = true;
                    token = self.app.tokens.replace(installation, &token, self.now()).await?;
                    Some(Duration::ZERO)
                }
                github::Error::Unavailable(_) => for_github.next().map(|wait| jittered(*wait)),
                _ => None,
            };
            let Some(wait) = wait else { return Err(failed) };
            if matches!(failed, Failure::Unavailable(_)) {
                out_of_time = failed;
            }
            if !self.pause(wait).await {
                return Err(out_of_time);
            }
        }
    }

    /// Whether GitHub takes a token for what every one of them may read. Where it does not say, it counts as good: it is asked again with the next
    /// refusal.
    async fn is_good(&self, token: &Held) -> bool {
        !matches!(self.try_token(token).await, Some(Err(github::Error::Unauthorized(_))))
    }

    /// What GitHub answers to what every token may read. `None`: nothing in time.
    async fn try_token(&self, token: &Held) -> Option<Result<(), github::Error>> {
        let left = self.ends.saturating_duration_since(Instant::now()).min(TIME_TO_ANSWER);
        let first = requests::repositories(1, 1);
        add(&self.tally.github_requests, 1);
        let answer = tokio::time::timeout(left, first.send(&self.app.github, &token.token)).await;
        answer.ok().map(|answer| answer.map(drop))
    }

    /// Which installations are served, as this invocation first read it. Where nothing says so yet, or not any more, only the App's own one is:
    /// a table that was lost must let nobody move a card.
    pub(crate) async fn served(&self) -> Result<&Served, Failure> {
        let read = async || match self.app.board.served().await.map_err(|error| self.table_failed(error))? {
            Some(served) => Ok(served),
            None => Ok(Served::only(Some([self.token(None).await?.installation_id]))),
        };
        self.served.get_or_try_init(read).await
    }

    /// A token, unless there is known to be none. Nothing is asked of GitHub without one.
    pub(crate) async fn token(&self, installation: Option<InstallationId>) -> Result<Held, Failure> {
        self.heed(installation).await?;
        self.unless_blocked(installation)?;
        let left = self.ends.saturating_duration_since(Instant::now());
        let token = tokio::time::timeout(left, self.app.tokens.get(installation, self.now())).await;
        let token = token.map_err(|_| Failure::OutOfTime)?;
        if let Err(failure) = &token {
            self.note(installation, Some(failure));
            // The token function is asked once: the rest of the work would wait for the same answer, one after the other.
            let mut trouble = self.trouble();
            let of = trouble.installations.entry(installation).or_default();
            of.blocked.get_or_insert_with(|| failure.clone());
        }
        token
    }

    fn unless_blocked(&self, installation: Option<InstallationId>) -> Result<(), Failure> {
        match self.blocked(installation) {
            // What GitHub did not answer others says nothing of what had no turn for it.
            Some(Failure::Unavailable(_)) if self.has_asked(installation) => Err(Failure::OutOfTime),
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    fn has_asked(&self, installation: Option<InstallationId>) -> bool {
        self.trouble().installations.get(&installation).is_some_and(|of| of.asked)
    }

    fn note(&self, installation: Option<InstallationId>, failure: Option<&Failure>) {
        let mut trouble = self.trouble();
        let of = trouble.installations.entry(installation).or_default();
        of.told = false;
        match failure {
            None | Some(Failure::Gone(_) | Failure::Refused(_)) => {
                of.answered = true;
                of.unanswered = 0;
            }
            // Of two limits the one that ends later counts.
            Some(Failure::Limited { until, .. }) if matches!(&of.blocked, Some(Failure::Limited { until: known, .. }) if known >= until) =>
                {}
            Some(failure @ (Failure::Limited { .. } | Failure::Blocked { .. } | Failure::NoToken { .. })) => {
                of.blocked = Some(failure.clone());
            }
            Some(Failure::Unavailable(_)) => of.unanswered += 1,
            Some(Failure::OutOfTime | Failure::Table) => {}
        }
        // What is not there may be what was to be found out.
        if let Some(failure) = failure.filter(|failure| !matches!(failure, Failure::Gone(_))) {
            trouble.met(failure);
        }
    }

    /// Heeds what other invocations have noted of an installation, in whatever way it is asked for.
    async fn heed(&self, installation: Option<InstallationId>) -> Result<(), Failure> {
        let before = Arc::clone(&self.trouble().installations.entry(installation).or_default().before);
        let read = async || {
            let stored = self.app.board.installation(installation).await.map_err(|error| self.table_failed(error))?;
            let before = stored.and_then(|stored| stored.blocked);
            if let Some(blocked) = before.as_ref().filter(|blocked| self.is_in_force(blocked)) {
                let (until, said) = (blocked.until, blocked.because.clone());
                // What GitHub named itself was not tried again in between.
                let limited = blocked.attempts == 0;
                let failure = if limited { Failure::Limited { until, said } } else { Failure::Blocked { until, said } };
                self.note(installation, Some(&failure));
            }
            Ok(before)
        };
        before.get_or_try_init(read).await.map(drop)
    }

    fn is_in_force(&self, blocked: &Blocked) -> bool {
        blocked.until > self.now().as_second()
    }

    /// Notes for every environment what this invocation met, of each installation that it asked for and has not told of.
    pub(crate) async fn tell_others(&self) {
        let met: Vec<_> = self.trouble().installations.keys().copied().collect();
        for installation in met {
            self.tell_others_of(installation).await;
        }
    }

    /// The same of one installation, once its work is done: others work for it meanwhile, and the slowest lane may take a minute longer.
    pub(crate) async fn tell_others_of(&self, installation: Option<InstallationId>) {
        let of = {
            let mut trouble = self.trouble();
            let of = trouble.installations.entry(installation).or_default();
            (!std::mem::replace(&mut of.told, true)).then(|| of.clone())
        };
        let Some(of) = of else { return };
        let Some(before) = of.before.get() else { return };
        let heeded = before.as_ref().filter(|before| self.is_in_force(before));
        let verdict = if heeded.is_some() { None } else { self.verdict(&of, before.as_ref()) };
        if let Some(verdict) = &verdict
            && let Err(error) = self.app.board.block(installation, before.as_ref(), verdict.as_ref()).await
        {
            self.table_failed(error);
        }
        if let Some(blocked) = verdict.as_ref().map_or(heeded, Option::as_ref) {
            self.unserved(ItemKey::installation(installation).partition, blocked.since, &blocked.because);
        }
    }

    /// What every environment is to know of an installation after this invocation. `None`: as before.
    fn verdict(&self, of: &InstallationState, before: Option<&Blocked>) -> Option<Option<Blocked>> {
        let now = self.now();
        let since = before.map_or(now.as_second(), |before| before.since);
        match of.blocked.clone() {
            Some(Failure::Limited { until, said }) => Some(Some(Blocked { since, until, attempts: 0, because: said })),
            Some(Failure::NoToken { said, .. }) => {
                let attempts = before.map_or(0, |before| before.attempts);
                let again = Schedule::at(0, attempts).refused(Refusal::Other, &said, now);
                let until = again.and_then(|again| again.next_check_at).unwrap_or(now.as_second() + 60);
                Some(Some(Blocked { since, until, attempts: attempts + 1, because: said }))
            }
            _ if of.answered && before.is_some() => Some(None),
            _ => None,
        }
    }

    /// Why an installation is not to be asked for again in this invocation.
    pub(crate) fn blocked(&self, installation: Option<InstallationId>) -> Option<Failure> {
        self.trouble().installations.get(&installation).and_then(|of| of.blocked.clone())
    }

    /// Notes that something could not be served, and since when.
    pub(crate) fn unserved(&self, what: String, since: i64, because: &str) {
        let seconds = (self.now().as_second() - since).max(0);
        let mut trouble = self.trouble();
        trouble.unserved.entry(what.clone()).or_insert_with(|| Unserved { what, seconds, because: because.to_owned() });
    }

    fn warn_once(&self, what: &str, warn: impl FnOnce()) {
        if self.trouble().told.insert(what.to_owned()) {
            warn();
        }
    }

    /// Logs a table's failure. The items concerned stay on the work list.
    pub(crate) fn table_failed(&self, error: Error) -> Failure {
        tracing::error!(error = error.chain(), "a table failed; what was being worked on stays due");
        let mut trouble = self.trouble();
        trouble.table_failed = true;
        if matches!(error, Error::Table { .. }) {
            trouble.table.get_or_insert(error);
        }
        Failure::Table
    }

    /// Why something could not be written: what is about one item stops no other.
    pub(crate) fn not_written(&self, error: Error) -> Failure {
        if error.is_of_one_item() {
            let said = error.chain();
            tracing::warn!(error = said, "a report cannot be written");
            let failure = Failure::Refused(said);
            self.met(&failure);
            failure
        } else {
            self.table_failed(error)
        }
    }

    /// Lets a report count.
    pub(crate) async fn apply(&self, report: Report) -> Result<Applied, Failure> {
        let looked = report.look.is_some();
        if report.facts.is_some() {
            add(&self.tally.applied, 1);
        }
        // Whatever was read was read since this run began.
        let report = report.read_at(self.started().as_second());
        let applied = self.app.board.apply(report, self.now()).await.map_err(|error| self.not_written(error))?;
        let count = |counts: fn(&Change) -> bool| applied.changes.iter().filter(|change| counts(change)).count();
        add(&self.tally.tasks_moved, count(Change::moves));
        add(&self.tally.conflicts_found, count(Change::finds_conflict));
        add(&self.tally.conflicts_cleared, count(Change::clears_conflict));
        if let Some(row) = applied.pull_request.as_ref().filter(|_| looked) {
            add(if row.schedule.is_due() { &self.tally.deferred } else { &self.tally.settled }, 1);
        }
        Ok(applied)
    }

    /// Leaves an item on the work list after it could not be done: until GitHub's own time where it named one, ever more rarely where it did
    /// not. Only what GitHub says for days is not there leaves.
    pub(crate) async fn give_up(&self, item: &Item, failure: &Failure) {
        let known = item.schedule();
        let now = self.now();
        self.met(failure);
        let (refusal, said) = match failure {
            // Its claim ends by itself, and then the item is due again.
            Failure::Table => return,
            // Whose GitHub hangs is asked ever more rarely; who only had no turn comes next.
            Failure::OutOfTime if self.hangs(item.installation()) => (Refusal::Other, UNANSWERED),
            Failure::OutOfTime => {
                self.tell_failing(item);
                // Due from now on, what no run has time for would never be long overdue, and nobody be told.
                let since = self.trouble().due_since.get(&item.key()).copied().unwrap_or(now.as_second());
                return self.reschedule(item, &known.moved_to(since)).await;
            }
            Failure::Limited { until, .. } | Failure::Blocked { until, .. } => {
                return self.reschedule(item, &known.moved_to(*until)).await;
            }
            // Whether an App is installed is also a question of its configuration, which may be answered tomorrow.
            Failure::NoToken { said, .. } if matches!(item, Item::Installation(_)) => (Refusal::Other, said.as_str()),
            failure => (failure.refusal(), failure.said()),
        };
        let what = item.key().to_string();
        match known.refused(refusal, said, now) {
            Some(next) => {
                self.warn_once(&what, || tracing::warn!(item = what, said, "GitHub cannot be asked; it stays due"));
                if let Some(failing) = &next.failing {
                    self.unserved(what, failing.since, said);
                }
                self.reschedule(item, &next).await;
            }
            None => {
                tracing::warn!(
                    item = what,
                    said,
                    "GitHub has said for three days that it is not there; it leaves the work list"
                );
                add(&self.tally.settled, 1);
                self.write_schedule(item, &Schedule::default()).await;
            }
        }
    }

    /// Tells of what has failed and is not done since.
    pub(crate) fn tell_failing(&self, item: &Item) {
        if let Some(failing) = &item.schedule().failing {
            self.unserved(item.key().to_string(), failing.since, &failing.because);
        }
    }

    fn hangs(&self, installation: Option<InstallationId>) -> bool {
        self.trouble().installations.get(&installation).is_some_and(|of| of.asked && !of.answered)
    }

    /// Leaves an item on the work list.
    pub(crate) async fn reschedule(&self, item: &Item, schedule: &Schedule) {
        add(&self.tally.deferred, 1);
        self.write_schedule(item, schedule).await;
    }

    pub(crate) async fn write_schedule(&self, item: &Item, schedule: &Schedule) {
        // `false`: somebody changed it meanwhile, and left it owed or settled.
        if let Err(error) = self.app.board.reschedule(item, schedule).await {
            self.table_failed(error);
        }
    }

    /// The summary of what was done.
    ///
    /// # Errors
    /// The first failure of a table.
    pub(crate) fn finish(&self, reason: Option<String>, invocation: &Invocation) -> Result<Summary, Error> {
        let mut trouble = self.trouble();
        let outcome = match &*trouble {
            Trouble { table_failed: true, .. } => Outcome::Failed,
            Trouble { limited: true, .. } => Outcome::RateLimited,
            Trouble { refused: true, .. } => Outcome::Refused,
            Trouble { unavailable: true, .. } => Outcome::Unavailable,
            _ => Outcome::Done,
        };
        let read = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        let tally = &self.tally;
        let unserved: Vec<_> = std::mem::take(&mut trouble.unserved).into_values().collect();
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
            pages_shrunk: read(&tally.pages_shrunk),
            unserved_seconds: unserved.iter().map(|unserved| unserved.seconds).max().unwrap_or(0),
            unserved,
            oldest_due_seconds: tally.oldest_due_seconds.get().copied(),
        };
        event::log(&summary, self.trigger, invocation);
        trouble.table.take().map_or(Ok(summary), Err)
    }
}
