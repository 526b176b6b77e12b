//! Reconcile: makes tasks agree with what GitHub says now.
//!
//! A webhook is a hint that may be lost, late or twice; GitHub is the truth. Whatever is owed an answer stands on the work list
//! (the due index of the pull requests table) until it has one: an invocation claims items, asks GitHub, writes what it
//! heard on condition that nobody changed the item meanwhile, and takes it off the list in the same write. So two invocations
//! share the work, and one that dies leaves it to the next.

mod check;
pub mod event;
mod github;
mod resync;
mod run;
mod token;

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use adapters::board::{Board, Claim, Due, Work, WorkKey};
use adapters::config::Variables;
use domain::pull_request::{InstallationId, InstallationSync, PullRequestNumber};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;

use crate::event::{Event, Summary};
use crate::github::Failure;
use crate::run::{Run, add};
use crate::token::Tokens;

pub use crate::event::serve;

/// How many due items one invocation takes: at six groups at once and a second a read, two hundred single reads take half
/// of a minute.
const TAKEN_AT_ONCE: usize = 200;

/// How many entries of the due index are looked through for resyncs when an operator asks for all of them.
const LISTED_FOR_ALL: usize = 20_000;

/// How many items are claimed at the same time.
const CLAIMS_AT_ONCE: usize = 16;

/// What the environment says.
#[derive(Debug)]
pub struct Config {
    /// `TASKS_TABLE`
    pub tasks_table: String,
    /// `PULL_REQUESTS_TABLE`
    pub pull_requests_table: String,
    /// `TOKEN_FUNCTION`: the name or ARN of the token function.
    pub token_function: String,
    /// `GITHUB_API_URL`
    pub github_api_url: String,
}

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`adapters::Error::MissingVariables`] naming every one that is missing, or [`adapters::Error::InvalidVariable`].
    pub fn from_env() -> adapters::Result<Self> {
        let mut variables = Variables::default();
        let config = Self {
            tasks_table: variables.required("TASKS_TABLE"),
            pull_requests_table: variables.required("PULL_REQUESTS_TABLE"),
            token_function: variables.required("TOKEN_FUNCTION"),
            github_api_url: variables.github_api_url(),
        };
        variables.finish().map(|()| config)
    }
}

/// When GitHub is asked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// When an invocation by the stream asks, from its start.
    pub stream: Vec<Duration>,
    /// When any other asks.
    pub others: Vec<Duration>,
    /// How long to wait each time a new token is refused; 10 s together.
    pub fresh_token: Vec<Duration>,
    /// How long to wait, at most, each time GitHub is not to be had.
    pub retries: Vec<Duration>,
}

impl Default for Pace {
    /// Mergeability takes 4 s to minutes; what these offsets miss is found when the item is due again.
    fn default() -> Self {
        let seconds = |times: &[u64]| times.iter().map(|time| Duration::from_secs(*time)).collect();
        Self {
            stream: seconds(&[0, 2, 5]),
            others: seconds(&[0, 2, 5, 10, 20]),
            fresh_token: seconds(&[1, 2, 3, 4]),
            retries: seconds(&[1, 3]),
        }
    }
}

impl Pace {
    /// As many tries, and no waiting between them.
    pub fn immediate() -> Self {
        let pace = Self::default();
        let at_once = |times: Vec<Duration>| times.iter().map(|_| Duration::ZERO).collect();
        Self {
            stream: at_once(pace.stream),
            others: at_once(pace.others),
            fresh_token: at_once(pace.fresh_token),
            retries: at_once(pace.retries),
        }
    }
}

/// The clients that one execution environment holds.
#[derive(Debug)]
pub struct App {
    board: Board,
    github: adapters::github::Client,
    tokens: Tokens,
    pace: Pace,
    /// The installations that are known to have their repositories listed, the default one being `None`.
    known: Mutex<HashSet<Option<InstallationId>>>,
}

impl App {
    /// Builds the clients from the environment. Nothing is read yet.
    pub async fn new(config: Config) -> Self {
        let sdk = adapters::aws::sdk_config().await;
        // A token may have to be minted by a function that starts cold, which takes longer than a table may.
        let lambda = aws_sdk_lambda::config::Builder::from(&sdk)
            .timeout_config(adapters::aws::invocation_timeouts())
            .retry_config(aws_sdk_lambda::config::retry::RetryConfig::standard().with_max_attempts(2))
            .build();
        let lambda = aws_sdk_lambda::Client::from_conf(lambda);
        Self::with_clients(config, aws_sdk_dynamodb::Client::new(&sdk), lambda, Pace::default())
    }

    /// The same from clients that are there already.
    pub fn with_clients(
        config: Config,
        dynamodb: aws_sdk_dynamodb::Client,
        lambda: aws_sdk_lambda::Client,
        pace: Pace,
    ) -> Self {
        Self {
            board: Board::new(dynamodb, config.tasks_table, config.pull_requests_table),
            github: adapters::github::Client::new(config.github_api_url),
            tokens: Tokens::new(lambda, config.token_function),
            pace,
            known: Mutex::default(),
        }
    }
}

/// Handles one event, within the time that is left.
///
/// # Errors
/// [`adapters::Error::Table`] when DynamoDB failed; whatever was claimed by then is due again by itself.
pub async fn handle(app: &App, event: Event, now: Timestamp, left: Duration) -> adapters::Result<Summary> {
    let run = Run::new(app, event.trigger(), now, left);
    let done = match event {
        Event::Stream(keys) => run.stream(keys.into_iter().collect()).await,
        Event::Due => run.due().await,
        Event::PullRequest { repository, number, installation_id } => {
            run.pull_request(&repository, number, installation_id).await
        }
        Event::Resync { repository: Some(repository), installation_id } => {
            run.resync(&repository, installation_id).await
        }
        Event::Resync { repository: None, .. } => run.resync_all().await,
    };
    run.finish(done.err().and_then(reason))
}

/// What a person who asked should know.
fn reason(failure: Failure) -> Option<String> {
    match failure {
        Failure::Limited { until } => Some(format!("GitHub asks to wait until {until} (epoch seconds)")),
        Failure::Gone => Some("not there, or not for this installation; name another with installation_id".to_owned()),
        Failure::NoInstallation(said) | Failure::Refused(said) | Failure::Unavailable(said) => Some(said),
        Failure::OutOfTime => Some("no time was left".to_owned()),
        Failure::Table => None,
    }
}

impl Run<'_> {
    async fn stream(&self, keys: Vec<WorkKey>) -> Result<(), Failure> {
        let claims = keys.into_iter().map(|key| (key, Claim::IfAsked));
        let work = self.claim(claims.collect()).await;
        self.work(work).await;
        Ok(())
    }

    async fn due(&self) -> Result<(), Failure> {
        self.know(None).await?;
        let due = self.app.board.due(self.now().as_second(), TAKEN_AT_ONCE).await;
        let due = due.map_err(|error| self.table_failed(error))?;
        let oldest = due.first().map_or(0, |first| self.now().as_second() - first.next_check_at);
        self.tally.oldest_due_seconds.get_or_init(|| oldest);
        let work = self.claim(due.into_iter().map(as_claim).collect()).await;
        self.work(work).await;
        Ok(())
    }

    async fn pull_request(
        &self,
        repository: &str,
        number: PullRequestNumber,
        installation: Option<InstallationId>,
    ) -> Result<(), Failure> {
        let answer = self.ask(installation, &github::pull(repository, number)).await?;
        let installation = installation.or(self.token(None).await?.installation_id);
        let facts = answer.body.observed(installation).facts;
        let id = facts.repository_id;
        if self.apply(&facts).await?.is_none() {
            return Err(Failure::Refused("it carries no kid tag, and never did".to_owned()));
        }
        let work = self.claim(vec![(WorkKey::pull_request(id, number), Claim::IfThere)]).await;
        self.work(work).await;
        Ok(())
    }

    async fn resync(&self, repository: &str, installation: Option<InstallationId>) -> Result<(), Failure> {
        let id = resync::find(self, repository, installation).await?;
        let work = self.claim(vec![(WorkKey::sync(id), Claim::IfThere)]).await;
        self.work(work).await;
        Ok(())
    }

    /// First the installations, then the one that the default turns out to be, then all repositories.
    async fn resync_all(&self) -> Result<(), Failure> {
        self.know(None).await?;
        let now = self.now().as_second();
        for (installations, due_by) in [(true, i64::MAX), (true, now), (false, i64::MAX)] {
            let listed = self.app.board.due(due_by, LISTED_FOR_ALL).await.map_err(|error| self.table_failed(error))?;
            let wanted = |due: &Due| due.key.is_sync() && due.key.is_installation() == installations;
            let work = self.claim(listed.into_iter().filter(wanted).map(as_claim).collect()).await;
            self.work(work).await;
        }
        Ok(())
    }

    async fn claim(&self, claims: Vec<(WorkKey, Claim)>) -> Vec<Work> {
        let claims = claims.into_iter().map(|(key, claim)| async move {
            // Claiming a resync moves it to its next turn: for a quiet repository that is the only write.
            let until = if key.is_sync() { self.now().as_second() + resync::PERIOD } else { self.lease() };
            self.app.board.claim(&key, claim, until).await
        });
        let claimed: Vec<_> = stream::iter(claims).buffer_unordered(CLAIMS_AT_ONCE).collect().await;
        let logged =
            |claim: adapters::Result<Option<Work>>| claim.map_err(|error| self.table_failed(error)).ok().flatten();
        let work: Vec<_> = claimed.into_iter().filter_map(logged).collect();
        add(&self.tally.claimed, work.len());
        work
    }

    async fn work(&self, work: Vec<Work>) {
        for installation in resync::installations_of(&work) {
            // A failure is logged, and the next item of the installation tries again.
            let _tried = self.know(Some(installation)).await;
        }
        let (mut pull_requests, mut bases) = (Vec::new(), Vec::new());
        let (mut repositories, mut installations) = (Vec::new(), Vec::new());
        for work in work {
            match work {
                Work::PullRequest(item) => pull_requests.push(*item),
                Work::Base(item) => bases.push(*item),
                Work::Repository(item) => repositories.push(*item),
                Work::Installation(item) => installations.push(*item),
            }
        }
        check::run(self, pull_requests, bases).await;
        resync::installations(self, installations).await;
        resync::repositories(self, repositories).await;
    }

    /// Makes sure that an installation's repositories are listed from time to time.
    async fn know(&self, installation: Option<InstallationId>) -> Result<(), Failure> {
        let known =
            |app: &App| app.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner).contains(&installation);
        if known(self.app) {
            return Ok(());
        }
        let sync = InstallationSync::new(installation, self.now());
        // `false`: another environment was first.
        self.app.board.put_installation_sync(&sync).await.map_err(|error| self.table_failed(error))?;
        self.app.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(installation);
        Ok(())
    }
}

fn as_claim(due: Due) -> (WorkKey, Claim) {
    (due.key, Claim::IfDueAt(due.next_check_at))
}
