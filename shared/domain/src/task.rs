//! Tasks: what the board and this app both know of one, and what a pull request does to it.
//!
//! The table's keys are `prefix`, the first 8 hex digits of the id, and `id`, all 32: a tag finds its task in one query, however
//! many tasks there are. The table is shared with other writers. The board owns `title`, `status`, `priority`, `repository`,
//! `created_at` and `updated_at`; everything else here is ours. Nothing of the board's is ever written by us but the one
//! move from `pr_submitted` to `done` and, once a task is bound to a repository, that repository's current name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::pull_request::{Mergeability, PullRequestKey, State};

/// A task's id: 32 lower-case hex digits, a UUID without its hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct TaskId(String);

impl TaskId {
    /// The 32 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 8 digits: the partition key of the tasks table, and how logs and answers call a task.
    pub fn prefix(&self) -> &str {
        &self.0[..8]
    }
}

impl TryFrom<String> for TaskId {
    type Error = String;

    /// Takes 32 hex digits, of any case and with or without a UUID's hyphens.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits: String = text.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
        if digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(digits))
        } else {
            Err("a task id is 32 hex digits, a UUID with or without its hyphens".to_owned())
        }
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A column of the board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Status {
    /// Not yet decided on.
    Idea,
    /// Ready to be taken.
    ToDo,
    /// Taken by an agent.
    InProgress,
    /// Its pull request is open: the only column a merge moves a task out of.
    PrSubmitted,
    /// Finished.
    Done,
    /// Dropped.
    Trash,
    /// A column that this version does not know. It is kept as it is.
    Other(String),
}

/// The columns in the order the board shows them.
pub const COLUMNS: [Status; 6] =
    [Status::Idea, Status::ToDo, Status::InProgress, Status::PrSubmitted, Status::Done, Status::Trash];

impl Status {
    /// The column's name in the table.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Idea => "idea",
            Self::ToDo => "to_do",
            Self::InProgress => "in_progress",
            Self::PrSubmitted => "pr_submitted",
            Self::Done => "done",
            Self::Trash => "trash",
            Self::Other(name) => name,
        }
    }
}

impl From<String> for Status {
    fn from(name: String) -> Self {
        COLUMNS.into_iter().find(|status| status.as_str() == name).unwrap_or(Self::Other(name))
    }
}

impl From<Status> for String {
    fn from(status: Status) -> Self {
        status.as_str().to_owned()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a task knows of one of its pull requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkedPullRequest {
    /// Open, closed or merged.
    pub state: State,
    /// Its page on GitHub.
    pub url: String,
    /// When it was opened: of several open ones the newest is the current one.
    pub created_at: Timestamp,
    /// The last known answer to "does it merge".
    #[serde(default)]
    pub mergeability: Mergeability,
    /// When that answer was given, epoch seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<i64>,
    /// The merge that made it conflict, where that is known: a pull request's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caused_by: Option<String>,
    /// The revision of the pull request's item that this was taken from.
    #[serde(default)]
    pub revision: u64,
}

impl LinkedPullRequest {
    /// Whether it conflicts with its base; `None` while nobody knows. Nothing conflicts once it is closed.
    fn has_merge_conflict(&self) -> Option<bool> {
        match (self.state, self.mergeability) {
            (State::Closed | State::Merged, _) | (State::Open, Mergeability::Mergeable) => Some(false),
            (State::Open, Mergeability::Conflicting) => Some(true),
            (State::Open, Mergeability::Unknown) => None,
        }
    }
}

/// A task, as far as this app reads it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Its column.
    #[serde(default = "unnamed_status")]
    pub status: Status,
    /// What the board calls it.
    #[serde(default)]
    pub title: Option<String>,
    /// `owner/name`, if the board or a first match said so.
    #[serde(default)]
    pub repository: Option<String>,
    /// The repository the task is bound to since its first match. Names change, ids do not.
    #[serde(default)]
    pub repository_id: Option<String>,
    /// Its pull requests.
    #[serde(default)]
    pub pull_requests: BTreeMap<PullRequestKey, LinkedPullRequest>,
    /// The current one of them.
    #[serde(default)]
    pub pull_request: Option<PullRequestKey>,
    /// Whether the current pull request conflicts with its base; `None` while that is not known.
    #[serde(default)]
    pub has_merge_conflict: Option<bool>,
    /// When that was found, epoch seconds.
    #[serde(default)]
    pub conflict_checked_at: Option<i64>,
    /// The pull request whose merge caused the conflict: its URL.
    #[serde(default)]
    pub conflict_caused_by: Option<String>,
    /// The merges that have moved the task, or found it done. Each may move it once.
    #[serde(default)]
    pub completed_by: BTreeSet<PullRequestKey>,
    /// Counts our writes; 0 for a task we have not written.
    #[serde(default)]
    pub version: u64,
}

fn unnamed_status() -> Status {
    Status::Other(String::new())
}

impl Task {
    /// Derives the current pull request and its conflict from `pull_requests`: open before merged before closed, then
    /// the newest.
    pub fn derive_current(&mut self) {
        let current =
            self.pull_requests.iter().max_by_key(|(key, linked)| (rank(linked.state), linked.created_at, *key));
        self.pull_request = current.map(|(key, _)| key.clone());
        let linked = current.map(|(_, linked)| linked);
        self.has_merge_conflict = linked.and_then(LinkedPullRequest::has_merge_conflict);
        self.conflict_checked_at = linked.and_then(|linked| linked.checked_at);
        let conflicting = self.has_merge_conflict == Some(true);
        self.conflict_caused_by = linked.filter(|_| conflicting).and_then(|linked| linked.caused_by.clone());
    }
}

fn rank(state: State) -> u8 {
    match state {
        State::Closed => 0,
        State::Merged => 1,
        State::Open => 2,
    }
}
