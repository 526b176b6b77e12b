//! Reconcile: makes tasks agree with what GitHub says now.
//!
//! A webhook is a hint that may be lost, late or twice; GitHub is the truth. Whatever is owed an answer stands on the work list
//! (the due index of the pull requests table) until it has one: an invocation claims items, asks GitHub, writes what it
//! heard on condition that nobody changed the item meanwhile, and takes it off the list in the same write. So two invocations
//! share the work, and one that dies leaves it to the next.

mod cards;
mod check;
mod event;
mod github;
mod lanes;
mod lists;
mod pages;
mod reads;
mod resync;
mod run;
mod scan;
mod token;
mod turns;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adapters::board::Board;
use adapters::config;
use adapters::pause::is_recent;
use adapters::telemetry::Invocation;
use domain::contract::reconcile::{Event, Summary};
use domain::ids::InstallationId;
use jiff::{SignedDuration, Timestamp};

use crate::github::Failure;
use crate::pages::Pages;
use crate::run::Run;
use crate::token::Tokens;

pub use crate::event::serve;

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
    pub github_api_url: adapters::github::ApiUrl,
}

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`adapters::Error::MissingVariables`] naming every one that is missing, or [`adapters::Error::InvalidVariable`].
    pub fn from_env() -> adapters::Result<Self> {
        config::read(|variables| Self {
            tasks_table: variables.required("TASKS_TABLE"),
            pull_requests_table: variables.required("PULL_REQUESTS_TABLE"),
            token_function: variables.required("TOKEN_FUNCTION"),
            github_api_url: variables.github_api_url(),
        })
    }
}

/// When GitHub is asked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// When an invocation by the stream asks, from when it can ask first.
    pub stream: Vec<Duration>,
    /// The same of one by any other trigger.
    pub others: Vec<Duration>,
    /// How long to wait each time a new token is refused; 10 s together.
    pub fresh_token: Vec<Duration>,
    /// How long to wait, at most, each time GitHub cannot be reached or fails.
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

/// The clients that one execution environment holds.
#[derive(Debug)]
pub struct App {
    board: Board,
    github: adapters::github::Client,
    tokens: Tokens,
    pace: Pace,
    pages: Pages,
    /// What is known to be on the work list, and since when.
    known: Mutex<HashMap<Standing, Timestamp>>,
}

/// What is never to leave the work list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Standing {
    /// The list of an installation's repositories; the default one's is that of `None`.
    Installation(Option<InstallationId>),
    /// The daily scan of the tasks.
    Scan,
}

/// How long an environment relies on that: the table may be lost meanwhile.
const KNOWN_FOR: SignedDuration = SignedDuration::from_hours(1);

impl App {
    /// Builds the clients from the environment. Nothing is read yet.
    pub fn new(config: Config) -> Self {
        let sdk = adapters::aws::sdk_config();
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
            pages: Pages::default(),
            known: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Standing, Timestamp>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_known(&self, standing: Standing, now: Timestamp) -> bool {
        self.known().get(&standing).is_some_and(|since| is_recent(*since, KNOWN_FOR, now))
    }

    fn remember(&self, standing: Standing, now: Timestamp) {
        self.known().insert(standing, now);
    }
}

/// Handles one event, within the time that is left.
///
/// # Errors
/// [`adapters::Error::Table`] when DynamoDB failed; whatever was claimed by then is due again by itself.
pub async fn handle(
    app: &App,
    event: Event,
    invocation: &Invocation,
    now: Timestamp,
    left: Duration,
) -> adapters::Result<Summary> {
    let run = Run::new(app, event.trigger(), now, left);
    let done = match event {
        Event::Stream(keys) => run.stream(keys.into_iter().collect()).await,
        Event::Due { shard } => run.due(shard).await,
        Event::PullRequest { repository, number, installation_id } => {
            run.pull_request(&repository, number, installation_id).await
        }
        Event::Resync { repository: Some(repository), installation_id } => {
            run.resync(&repository, installation_id).await
        }
        Event::Resync { repository: None, .. } => run.resync_all().await,
    };
    run.tell_others().await;
    run.finish(done.err().and_then(reason), invocation)
}

/// What a person who asked should know.
fn reason(failure: Failure) -> Option<String> {
    match failure {
        Failure::Limited { until, said } | Failure::Blocked { until, said } => {
            Some(format!("{said}; not asked before {until} (epoch seconds)"))
        }
        Failure::Gone(_) => {
            Some("not there, or not for this installation; name another with installation_id".to_owned())
        }
        Failure::Table => None,
        failure => Some(failure.said().to_owned()),
    }
}
