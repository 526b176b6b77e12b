//! What reconcile is invoked with, and what it answers.
//!
//! Four triggers share one function: the stream of the pull requests table, the schedule, and an operator who asks for one
//! pull request or for a resync. The JSON's shape tells them apart.

use std::collections::BTreeSet;
use std::time::Duration;

use adapters::deadline::time_left;
use adapters::telemetry::Invocation;
use domain::ids::{InstallationId, PullRequestNumber, RepositoryName};
use domain::item::ItemKey;
use domain::schedule::RESYNC_SHARDS;
use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::App;

/// Why reconcile was invoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Items whose `check` became `now`, each once.
    Stream(BTreeSet<ItemKey>),
    /// The schedule, each minute: what is due is looked at.
    Due {
        /// The part of the work list that this invocation sees to, counted from 0; all of it if absent.
        shard: Option<u64>,
    },
    /// An operator asks for one pull request.
    PullRequest {
        /// The repository.
        repository: RepositoryName,
        /// Its number.
        number: PullRequestNumber,
        /// Whose token reads it, if not the default installation's.
        installation_id: Option<InstallationId>,
    },
    /// An operator asks for a repository to be read again.
    Resync {
        /// The repository; every known one if absent.
        repository: Option<RepositoryName>,
        /// Whose token reads it, if not the default installation's.
        installation_id: Option<InstallationId>,
    },
}

/// An event of none of the four shapes.
#[derive(Debug, thiserror::Error)]
#[error(
    "not an event of reconcile: it takes a DynamoDB stream batch, {{\"schedule\":\"due\"}}, \
     {{\"repository\":\"owner/name\",\"number\":42}} or {{\"resync\":\"owner/name\"}} (or \"all\"); {0}"
)]
pub struct NotAnEvent(String);

#[derive(Deserialize)]
#[serde(untagged)]
enum Shape {
    Stream {
        #[serde(rename = "Records")]
        records: Vec<Record>,
    },
    Schedule {
        schedule: String,
        #[serde(default)]
        shard: Option<u64>,
    },
    PullRequest {
        repository: String,
        number: PullRequestNumber,
        #[serde(default)]
        installation_id: Option<InstallationId>,
    },
    Resync {
        resync: String,
        #[serde(default)]
        installation_id: Option<InstallationId>,
    },
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_Record.html>
#[derive(Deserialize)]
struct Record {
    dynamodb: Change,
}

#[derive(Deserialize)]
struct Change {
    #[serde(rename = "Keys")]
    keys: Keys,
}

#[derive(Deserialize)]
struct Keys {
    repository_id: Text,
    item: Text,
}

#[derive(Deserialize)]
struct Text {
    #[serde(rename = "S")]
    text: String,
}

impl Event {
    /// Reads an invocation's payload.
    ///
    /// # Errors
    /// [`NotAnEvent`], which says what would be one.
    pub fn read(payload: Value) -> Result<Self, NotAnEvent> {
        let shape = serde_json::from_value(payload).map_err(|_| NotAnEvent("this is none of them".to_owned()))?;
        Ok(match shape {
            Shape::Stream { records } => {
                let keys = records.into_iter().map(|record| record.dynamodb.keys);
                // A resync is never asked for through the stream.
                let keys = keys.map(|keys| ItemKey { partition: keys.repository_id.text, item: keys.item.text });
                Self::Stream(keys.filter(|key| !key.is_sync()).collect())
            }
            Shape::Schedule { schedule, shard }
                if schedule == "due" && shard.is_none_or(|shard| shard < RESYNC_SHARDS) =>
            {
                Self::Due { shard }
            }
            Shape::Schedule { .. } => {
                return Err(NotAnEvent(format!("the only schedule is \"due\", with a shard below {RESYNC_SHARDS}")));
            }
            Shape::PullRequest { repository, number, installation_id } => {
                Self::PullRequest { repository: full_name(&repository)?, number, installation_id }
            }
            Shape::Resync { resync, installation_id: None } if resync == "all" => {
                Self::Resync { repository: None, installation_id: None }
            }
            Shape::Resync { resync, installation_id } => {
                Self::Resync { repository: Some(full_name(&resync)?), installation_id }
            }
        })
    }

    /// How the log calls it.
    pub(crate) fn trigger(&self) -> &'static str {
        match self {
            Self::Stream(_) => "stream",
            Self::Due { .. } => "schedule",
            Self::PullRequest { .. } => "pull_request",
            Self::Resync { .. } => "resync",
        }
    }
}

/// The name becomes part of a URL, so it is taken only if it can be one.
fn full_name(name: &str) -> Result<RepositoryName, NotAnEvent> {
    name.parse().map_err(|_| NotAnEvent("a repository is named owner/name".to_owned()))
}

/// What one invocation did; the log's summary has the same fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Always empty: what is not settled stays on the work list, and a failure reported here would only make Lambda repeat the
    /// batch at once. <https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html>
    #[serde(rename = "batchItemFailures")]
    pub batch_item_failures: Vec<Value>,
    /// `done`, or what kept some of the work from being done: `failed`, `rate_limited`, `refused`, `unavailable`.
    pub outcome: &'static str,
    /// Why, where a person asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Items taken from the work list.
    pub claimed: usize,
    /// Pull requests that GitHub was asked about, a list's included.
    pub checked: usize,
    /// Items that left the work list.
    pub settled: usize,
    /// Items that stay on it.
    pub deferred: usize,
    /// Pull requests about which GitHub told something new.
    pub applied: usize,
    /// Tasks that have a conflict now and had none.
    pub conflicts_found: usize,
    /// Tasks that had a conflict and have none now.
    pub conflicts_cleared: usize,
    /// Tasks that changed their column.
    pub tasks_moved: usize,
    /// Requests to GitHub.
    pub github_requests: usize,
    /// How often a page, or a query about several repositories, was asked for with less in it because GitHub did not answer it.
    pub pages_shrunk: usize,
    /// What could not be served: installations that are not to be asked for, repositories, bases and pull requests that could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unserved: Vec<Unserved>,
    /// For how long the longest of them has not been served.
    pub unserved_seconds: i64,
    /// For how long the longest overdue item has been due, 0 if nothing is. Only a scheduled run looks, and each says so: an alarm
    /// takes silence for a schedule that stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_due_seconds: Option<i64>,
}

/// Something that could not be served.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Unserved {
    /// The item or the installation, as its key in the table.
    pub what: String,
    /// For how many seconds.
    pub seconds: i64,
    /// What was said last.
    pub because: String,
}

impl Summary {
    /// One line an invocation: what the metric filters count.
    pub(crate) fn log(&self, trigger: &str, invocation: &Invocation) {
        for Unserved { what, seconds, because } in &self.unserved {
            tracing::warn!(what, seconds, because, "not served");
        }
        tracing::info!(
            trigger,
            outcome = self.outcome,
            reason = self.reason.as_deref(),
            claimed = self.claimed,
            checked = self.checked,
            settled = self.settled,
            deferred = self.deferred,
            applied = self.applied,
            conflicts_found = self.conflicts_found,
            conflicts_cleared = self.conflicts_cleared,
            tasks_moved = self.tasks_moved,
            github_requests = self.github_requests,
            pages_shrunk = self.pages_shrunk,
            unserved_seconds = self.unserved_seconds,
            oldest_due_seconds = self.oldest_due_seconds,
            request_id = invocation.request_id(),
            duration_ms = invocation.duration_ms(),
            "reconcile"
        );
    }
}

/// The time of an invocation that came without a real deadline: what the template gives.
const WITHOUT_DEADLINE: Duration = Duration::from_secs(90);

/// Takes events until Lambda ends the environment.
///
/// # Errors
/// When the Lambda Runtime API cannot be reached.
pub async fn serve(app: &App) -> Result<(), lambda_runtime::Error> {
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| async move {
        #[expect(clippy::disallowed_methods, reason = "the edge: from here on `now` is an argument")]
        let now = Timestamp::now();
        let left = time_left(event.context.deadline, now).unwrap_or(WITHOUT_DEADLINE);
        let invocation = Invocation::begin(event.context.request_id);
        let read = Event::read(event.payload).inspect_err(|error| tracing::error!("{error}"))?;
        // Boxed: unboxed, the runtime's layers around it are deeper than the compiler's limit for one type.
        let summary = Box::pin(crate::handle(app, read, &invocation, now, left)).await?;
        Ok::<_, lambda_runtime::Error>(summary)
    }))
    .await
}
