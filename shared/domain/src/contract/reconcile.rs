//! What reconcile is invoked with, and what it answers.
//!
//! Four triggers share one function: the stream of the pull requests table, the schedule, and an operator who asks for one
//! pull request or for a resync. The JSON's shape tells them apart.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ids::{InstallationId, PullRequestNumber, RepositoryName};
use crate::item::ItemKey;
use crate::schedule::RESYNC_SHARDS;

/// Why reconcile was invoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Shape", try_from = "Shape")]
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAnEvent(String);

impl fmt::Display for NotAnEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not an event of reconcile: it takes a DynamoDB stream batch, {\"schedule\":\"due\"}, \
             {\"repository\":\"owner/name\",\"number\":42} or {\"resync\":\"owner/name\"} (or \"all\"); ",
        )?;
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotAnEvent {}

/// The only schedule.
const DUE: &str = "due";

/// What a resync of every repository names.
const ALL: &str = "all";

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Shape {
    Stream {
        #[serde(rename = "Records")]
        records: Vec<Record>,
    },
    Schedule {
        schedule: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shard: Option<u64>,
    },
    PullRequest {
        repository: String,
        number: PullRequestNumber,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        installation_id: Option<InstallationId>,
    },
    Resync {
        resync: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        installation_id: Option<InstallationId>,
    },
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_Record.html>
#[derive(Serialize, Deserialize)]
struct Record {
    dynamodb: Change,
}

#[derive(Serialize, Deserialize)]
struct Change {
    #[serde(rename = "Keys")]
    keys: Keys,
}

#[derive(Serialize, Deserialize)]
struct Keys {
    repository_id: Text,
    item: Text,
}

#[derive(Serialize, Deserialize)]
struct Text {
    #[serde(rename = "S")]
    text: String,
}

impl From<Event> for Shape {
    fn from(event: Event) -> Self {
        let record = |key: ItemKey| {
            let keys = Keys { repository_id: Text { text: key.partition }, item: Text { text: key.item } };
            Record { dynamodb: Change { keys } }
        };
        match event {
            Event::Stream(keys) => Self::Stream { records: keys.into_iter().map(record).collect() },
            Event::Due { shard } => Self::Schedule { schedule: DUE.to_owned(), shard },
            Event::PullRequest { repository, number, installation_id } => {
                Self::PullRequest { repository: repository.as_str().to_owned(), number, installation_id }
            }
            Event::Resync { repository, installation_id } => {
                let resync = repository.as_ref().map_or(ALL, RepositoryName::as_str).to_owned();
                Self::Resync { resync, installation_id }
            }
        }
    }
}

impl TryFrom<Shape> for Event {
    type Error = NotAnEvent;

    fn try_from(shape: Shape) -> Result<Self, NotAnEvent> {
        Ok(match shape {
            Shape::Stream { records } => {
                let keys = records.into_iter().map(|record| record.dynamodb.keys);
                // A resync is never asked for through the stream.
                let keys = keys.map(|keys| ItemKey { partition: keys.repository_id.text, item: keys.item.text });
                Self::Stream(keys.filter(|key| !key.is_sync()).collect())
            }
            Shape::Schedule { schedule, shard }
                if schedule == DUE && shard.is_none_or(|shard| shard < RESYNC_SHARDS) =>
            {
                Self::Due { shard }
            }
            Shape::Schedule { .. } => {
                return Err(NotAnEvent(format!("the only schedule is \"{DUE}\", with a shard below {RESYNC_SHARDS}")));
            }
            Shape::PullRequest { repository, number, installation_id } => {
                Self::PullRequest { repository: full_name(&repository)?, number, installation_id }
            }
            Shape::Resync { resync, installation_id: None } if resync == ALL => {
                Self::Resync { repository: None, installation_id: None }
            }
            Shape::Resync { resync, installation_id } => {
                Self::Resync { repository: Some(full_name(&resync)?), installation_id }
            }
        })
    }
}

impl Event {
    /// Reads an invocation's payload.
    ///
    /// # Errors
    /// [`NotAnEvent`], which says what would be one.
    pub fn read(payload: Value) -> Result<Self, NotAnEvent> {
        let shape = serde_json::from_value::<Shape>(payload);
        shape.map_err(|_| NotAnEvent("this is none of them".to_owned()))?.try_into()
    }

    /// The payload that asks for it.
    pub fn to_json(&self) -> Value {
        json!(self)
    }

    /// How the log calls it.
    pub fn trigger(&self) -> &'static str {
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

/// Whether all of the work was done, or what kept some of it from being done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All of it was done.
    #[default]
    Done,
    /// A table failed.
    Failed,
    /// GitHub asks to wait.
    RateLimited,
    /// GitHub, or the token function, refuses something.
    Refused,
    /// GitHub cannot be reached, or no time was left.
    Unavailable,
}

impl Outcome {
    /// As it stands in the answer and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::RateLimited => "rate_limited",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What one invocation did; the log's summary has the same fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Always empty: what is not settled stays on the work list, and a failure reported here would only make Lambda repeat the
    /// batch at once. <https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html>
    #[serde(rename = "batchItemFailures", default)]
    pub batch_item_failures: Vec<Value>,
    /// Whether all of the work was done, or what kept some of it from being done.
    pub outcome: Outcome,
    /// Why, where a person asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unserved: Vec<Unserved>,
    /// For how long the longest of them has not been served.
    pub unserved_seconds: i64,
    /// For how long the longest overdue item has been due, 0 if nothing is. Only a scheduled run looks, and each says so: an alarm
    /// takes silence for a schedule that stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_due_seconds: Option<i64>,
}

/// Something that could not be served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unserved {
    /// The item or the installation, as its key in the table.
    pub what: String,
    /// For how many seconds.
    pub seconds: i64,
    /// What was said last.
    pub because: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_read_as_it_is_written() {
        let repository: RepositoryName = "acme/app".parse().unwrap();
        let (number, installation_id) = (PullRequestNumber(42), Some(InstallationId(7)));
        let key = ItemKey { partition: "1".to_owned(), item: "pr#42".to_owned() };
        let keys = json!({"repository_id": {"S": "1"}, "item": {"S": "pr#42"}});
        for (event, written) in [
            (Event::Stream([key].into()), json!({"Records": [{"dynamodb": {"Keys": keys}}]})),
            (Event::Due { shard: None }, json!({"schedule": "due"})),
            (Event::Due { shard: Some(1) }, json!({"schedule": "due", "shard": 1})),
            (
                Event::PullRequest { repository: repository.clone(), number, installation_id },
                json!({"repository": "acme/app", "number": 42, "installation_id": 7}),
            ),
            (Event::Resync { repository: Some(repository), installation_id: None }, json!({"resync": "acme/app"})),
            (Event::Resync { repository: None, installation_id: None }, json!({"resync": "all"})),
        ] {
            assert_eq!(event.to_json(), written);
            assert_eq!(Event::read(written), Ok(event));
        }
    }

    #[test]
    fn a_summary_is_read_as_it_is_written() {
        let unserved = Unserved { what: "1 sync".to_owned(), seconds: 60, because: "not there".to_owned() };
        for outcome in [Outcome::Done, Outcome::Failed, Outcome::RateLimited, Outcome::Refused, Outcome::Unavailable] {
            let summary = Summary { outcome, unserved: vec![unserved.clone()], ..Summary::default() };
            let written = json!(summary);
            assert_eq!((&written["outcome"], &written["batchItemFailures"]), (&json!(outcome.as_str()), &json!([])));
            assert_eq!(serde_json::from_value::<Summary>(written).unwrap(), summary);
        }
    }
}
