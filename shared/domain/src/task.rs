//! Tasks: what the board and this app both know of one, and what a pull request does to it.
//!
//! The table's keys are `prefix`, the first 8 hex digits of the id, and `id`, all 32: a tag finds its task in one query, however
//! many tasks there are. The table is shared with other writers. The board owns `title`, `status`, `priority`, `repository`,
//! `created_at` and `updated_at`; everything else here is ours. Nothing of the board's is ever written by us but the one
//! move from `pr_submitted` to `done` with its `updated_at` and, of a task that is bound to a repository, that repository's current name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use std::str::FromStr;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

use crate::entry::Entry;
use crate::ids::{PullRequestKey, RepositoryId, TaskId};
use crate::pull_request::{Mergeability, PullRequest, State};

/// How many pull requests, and how many merges, a task keeps: the newest. Without a bound a busy task reaches DynamoDB's 400 KB an item,
/// and from then on no write of it succeeds.
pub const NEWEST: usize = 50;

/// By how many seconds two clocks may differ: the board's, GitHub's and ours.
pub const CLOCK_SKEW: i64 = 60;

/// From how many seconds ahead of our clock a time of the board's is not believed: a time zone that was taken for UTC. Less may be our own
/// clock, which is behind; taken for none, the board's last word would not hold an old merge up.
const FAR_AHEAD: i64 = 2 * 60 * 60;

/// The board's attributes that decisions rest on. What is written is conditional on each of them, absence included.
pub const RESTS_ON: [&str; 3] = ["status", "updated_at", "repository"];

/// A column of the board.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
}

impl From<&PullRequest> for LinkedPullRequest {
    fn from(pull_request: &PullRequest) -> Self {
        Self {
            state: pull_request.snapshot.state,
            url: pull_request.snapshot.url.clone(),
            created_at: pull_request.snapshot.created_at,
            mergeability: pull_request.mergeability,
            checked_at: pull_request.checked_at,
            caused_by: pull_request.conflict_caused_by.clone(),
        }
    }
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
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Its column.
    #[serde(default = "unnamed_status")]
    pub status: Status,
    /// What the board calls it.
    #[serde(default, deserialize_with = "or_nothing")]
    pub title: Option<String>,
    /// `owner/name`, if the board or a first match said so.
    #[serde(default)]
    pub repository: Option<String>,
    /// When the board last wrote it; `None` if it does not say, or says what is no time.
    #[serde(default, deserialize_with = "parsed_or_nothing")]
    pub updated_at: Option<Timestamp>,
    /// The repository the task is bound to since its first match. Names change, ids do not.
    #[serde(default, deserialize_with = "parsed_or_nothing")]
    pub repository_id: Option<RepositoryId>,
    /// The `repository` that we wrote; there is one for as long as it was we who bound the task.
    #[serde(default, deserialize_with = "or_nothing")]
    pub bound_name: Option<String>,
    /// Its pull requests: the newest [`NEWEST`].
    #[serde(default, deserialize_with = "readable_links")]
    pub pull_requests: BTreeMap<PullRequestKey, LinkedPullRequest>,
    /// The current one of them.
    #[serde(default, deserialize_with = "or_nothing")]
    pub pull_request: Option<PullRequestKey>,
    /// Whether the current pull request conflicts with its base; `None` while that is not known.
    #[serde(default, deserialize_with = "or_nothing")]
    pub has_merge_conflict: Option<bool>,
    /// When that was found, epoch seconds.
    #[serde(default, deserialize_with = "or_nothing")]
    pub conflict_checked_at: Option<i64>,
    /// The pull request whose merge caused the conflict: its URL.
    #[serde(default, deserialize_with = "or_nothing")]
    pub conflict_caused_by: Option<String>,
    /// The merges that have moved the task, or found it done: the newest [`NEWEST`]. Each may move it once.
    #[serde(default, deserialize_with = "null_or_value")]
    pub completed_by: BTreeSet<PullRequestKey>,
    /// When the latest of those was merged, epoch seconds.
    #[serde(default)]
    pub completed_at: Option<i64>,
    /// What was done to it, the oldest first: the newest [`crate::history::NEWEST`].
    #[serde(default, deserialize_with = "or_nothing")]
    pub history: Vec<Entry>,
    /// Counts our writes; 0 for a task we have not written, and where another writer put something else. The condition of a write is on what is stored.
    #[serde(default, deserialize_with = "or_nothing")]
    pub version: u64,
    /// Whether the item holds something else, in what follows from the pull requests, than is read from it: it is to be written again.
    #[serde(skip)]
    pub is_spoilt: bool,
}

fn unnamed_status() -> Status {
    Status::Other(String::new())
}

/// What another writer put there may be anything. What is only told, or follows from other items, must not make a task unreadable: it could
/// never be made right again.
fn or_nothing<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Readable::deserialize(deserializer)?.value().unwrap_or_default())
}

/// A board may write null for nothing.
fn null_or_value<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The same of a text that stands for another thing.
fn parsed_or_nothing<'de, D: Deserializer<'de>, T: FromStr>(deserializer: D) -> Result<Option<T>, D::Error> {
    let text: Option<String> = or_nothing(deserializer)?;
    Ok(text.and_then(|text| text.trim().parse().ok()))
}

type Links = BTreeMap<PullRequestKey, LinkedPullRequest>;

/// The links that can be read.
fn readable_links<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Links, D::Error> {
    let all: BTreeMap<PullRequestKey, Readable<LinkedPullRequest>> = or_nothing(deserializer)?;
    Ok(all.into_iter().filter_map(|(key, linked)| Some((key, linked.value()?))).collect())
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Readable<T> {
    Value(T),
    Other(IgnoredAny),
}

impl<T> Readable<T> {
    fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Other(_) => None,
        }
    }
}

/// What a merge may do to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merge {
    /// It moves it to `done`.
    Moves,
    /// It found the task done, and has nothing left to do: not when the task is reopened for more work either.
    FoundDone,
    /// It has done what it could do before.
    Spent,
    /// The task is not in `pr_submitted`.
    NotSubmitted,
    /// Another pull request is open and newer: the task is about that one.
    NewerIsOpen(PullRequestKey),
    /// The task was completed after this pull request was opened, and came back for other work.
    CompletedSince,
    /// The board wrote the task after the merge: what counts is a read of the repository that began at this second or later.
    AwaitsRead(i64),
}

/// When the board last wrote a task, as far as that can be compared with a merge.
enum BoardWrote {
    Before,
    NotKnown,
    After(i64),
}

impl Task {
    /// A task that says no more than this.
    pub fn new(id: TaskId, status: Status) -> Self {
        Self {
            id,
            status,
            title: None,
            repository: None,
            updated_at: None,
            repository_id: None,
            bound_name: None,
            pull_requests: BTreeMap::new(),
            pull_request: None,
            has_merge_conflict: None,
            conflict_checked_at: None,
            conflict_caused_by: None,
            completed_by: BTreeSet::new(),
            completed_at: None,
            history: Vec::new(),
            version: 0,
            is_spoilt: false,
        }
    }

    /// Whether the pull request's repository is another than the task's. Once a task is bound, only the repository's id counts; before
    /// that, the name that the board wrote.
    pub fn belongs_elsewhere(&self, pull_request: &PullRequest) -> bool {
        match (self.bound_to(), &self.repository) {
            (Some(id), _) => id != pull_request.snapshot.repository_id,
            (None, Some(name)) => !name.trim().is_empty() && !pull_request.snapshot.repository.is(name),
            (None, None) => false,
        }
    }

    /// The repository that the task is bound to: the one it says, if a link or the current pull request is of it or if it has no links; else the
    /// links decide. Where `repository_id` alone decided, a wrong one that somebody wrote there would drop every link, and those whose rows are
    /// gone by then for good.
    fn bound_to(&self) -> Option<RepositoryId> {
        let repository = |key: &PullRequestKey| key.parts().map(|(repository, _)| repository);
        let current = self.pull_request.as_ref();
        let said = |key: &PullRequestKey| repository(key) == self.repository_id;
        let links = || self.pull_requests.keys().filter(|key| repository(key).is_some());
        if links().chain(current).any(said) || links().next().is_none() {
            return self.repository_id;
        }
        links().find(|key| current == Some(key)).or_else(|| links().next()).and_then(repository)
    }

    /// Adds or renews what the task knows of a pull request, and binds the task to its repository.
    pub fn link(&mut self, pull_request: &PullRequest) {
        let is_bound = self.bound_to() == Some(pull_request.snapshot.repository_id);
        self.repository_id = Some(pull_request.snapshot.repository_id);
        self.pull_requests.insert(pull_request.key(), pull_request.into());
        self.derive();
        // Rows of before a rename keep the old name: where each wrote its own, a card would change with each comparison.
        if is_bound && self.pull_request != Some(pull_request.key()) {
            return;
        }
        let name = pull_request.snapshot.repository.as_str();
        // A name of the board's own that is right already stays the board's; so does one in other letters.
        if !self.repository.as_ref().is_some_and(|known| pull_request.snapshot.repository.is(known)) {
            // What we bound stays ours whatever the board writes there meanwhile: with its last link the task is free again.
            let blank = self.repository.as_ref().is_none_or(|known| known.trim().is_empty());
            let ours = blank || self.bound_name.is_some();
            self.bound_name = ours.then(|| name.to_owned());
            self.repository = Some(name.to_owned());
        }
    }

    /// Whether what follows from the pull requests follows from them.
    pub fn is_derived(&self) -> bool {
        let mut derived = self.clone();
        derived.derive();
        derived == *self
    }

    /// Removes a pull request, and with the last one what bound the task.
    pub fn unlink(&mut self, pull_request: &PullRequestKey) {
        self.pull_requests.remove(pull_request);
        self.derive();
    }

    /// Makes what follows from the pull requests follow from them: their number, the current one (open before merged before closed, then the
    /// newest) with its conflict, and the binding. A task has pull requests of one repository, so one of another is none of its own.
    pub fn derive(&mut self) {
        self.is_spoilt = false;
        let bound_to = self.bound_to();
        self.pull_requests.retain(|key, _| key.parts().is_some_and(|(repository, _)| Some(repository) == bound_to));
        while self.pull_requests.len() > NEWEST {
            let oldest = self.pull_requests.iter().min_by_key(|(key, linked)| (linked.created_at, key.parts()));
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { break };
            self.pull_requests.remove(&oldest);
        }
        let current =
            self.pull_requests.iter().max_by_key(|(key, linked)| (rank(linked.state), linked.created_at, key.parts()));
        self.pull_request = current.map(|(key, _)| key.clone());
        let linked = current.map(|(_, linked)| linked);
        self.has_merge_conflict = linked.and_then(LinkedPullRequest::has_merge_conflict);
        self.conflict_checked_at = linked.and_then(|linked| linked.checked_at);
        let conflicting = self.has_merge_conflict == Some(true);
        self.conflict_caused_by = linked.filter(|_| conflicting).and_then(|linked| linked.caused_by.clone());
        if self.pull_requests.is_empty() {
            if let Some(bound) = self.bound_name.take().filter(|bound| self.repository.as_ref() == Some(bound)) {
                drop(bound);
                self.repository = None;
            }
            self.repository_id = None;
        } else {
            self.repository_id = bound_to;
        }
    }

    /// What the merge of a linked pull request may do now. `read_at`: when a read of the repository's open pull requests began, all of which
    /// are linked by now, epoch seconds.
    ///
    /// The board's last word decides. A task that was in `pr_submitted` when the merge happened is what was merged; one that came there later
    /// may be about other work, and is left to the pull request of that work if there is one.
    pub fn merge(&self, pull_request: &PullRequest, read_at: Option<i64>, now: Timestamp) -> Merge {
        let key = pull_request.key();
        let merged_at = pull_request.snapshot.merged_at().unwrap_or(i64::MAX);
        if self.is_spent(&key, merged_at) {
            return Merge::Spent;
        }
        match self.status {
            Status::PrSubmitted => {}
            Status::Done => return Merge::FoundDone,
            _ => return Merge::NotSubmitted,
        }
        let newer_than = |at: Timestamp| self.newer_open(&key, at);
        let merged = Timestamp::from_second(merged_at).unwrap_or(Timestamp::MAX);
        match self.board_wrote(merged_at, now.as_second()) {
            BoardWrote::Before => Merge::Moves,
            BoardWrote::NotKnown => newer_than(merged).map_or(Merge::Moves, Merge::NewerIsOpen),
            BoardWrote::After(at) => {
                let created = pull_request.snapshot.created_at;
                if let Some(newer) = newer_than(created) {
                    Merge::NewerIsOpen(newer)
                } else if self.last_completion().is_some_and(|completed| created.as_second() < completed) {
                    Merge::CompletedSince
                } else if read_at.is_some_and(|read| read >= at + CLOCK_SKEW) {
                    Merge::Moves
                } else {
                    Merge::AwaitsRead(at + CLOCK_SKEW)
                }
            }
        }
    }

    /// Notes that a merge has done what it could do.
    pub fn spend(&mut self, pull_request: &PullRequest) {
        self.completed_by.insert(pull_request.key());
        while self.completed_by.len() > NEWEST {
            let Some(oldest) = self.completed_by.iter().min_by_key(|key| key.parts()).cloned() else { break };
            self.completed_by.remove(&oldest);
        }
        self.completed_at = self.completed_at.max(pull_request.snapshot.merged_at());
    }

    /// When the task was last completed, as far as that is known. Earlier versions did not write it down: the merges that completed it were opened
    /// before that at least.
    fn last_completion(&self) -> Option<i64> {
        let opened = || {
            let completed = self.completed_by.iter().filter_map(|key| self.pull_requests.get(key));
            completed.map(|linked| linked.created_at.as_second()).max()
        };
        self.completed_at.or_else(opened)
    }

    /// A merge that is older than all that a full record holds may have been in it once, unless it came after the last that was.
    fn is_spent(&self, key: &PullRequestKey, merged_at: i64) -> bool {
        let full =
            self.completed_by.len() >= NEWEST && self.completed_at.is_none_or(|completed| merged_at <= completed);
        let oldest = || self.completed_by.iter().map(PullRequestKey::parts).min();
        self.completed_by.contains(key) || (full && oldest().is_some_and(|oldest| key.parts() < oldest))
    }

    /// The newest open pull request that was opened after `at`, other than `key`.
    fn newer_open(&self, key: &PullRequestKey, at: Timestamp) -> Option<PullRequestKey> {
        let open = self.pull_requests.iter().filter(|(_, linked)| linked.state == State::Open);
        let newer = open.filter(|(other, linked)| (linked.created_at, other.parts()) > (at, key.parts()));
        newer.max_by_key(|(_, linked)| linked.created_at).map(|(key, _)| key.clone())
    }

    /// A time that is far ahead of ours was written by a wrong clock, and tells nothing.
    fn board_wrote(&self, merged_at: i64, now: i64) -> BoardWrote {
        let Some(at) = self.updated_at.map(Timestamp::as_second) else { return BoardWrote::NotKnown };
        if at + CLOCK_SKEW < merged_at {
            BoardWrote::Before
        } else if at - CLOCK_SKEW > merged_at && at <= now + FAR_AHEAD {
            BoardWrote::After(at)
        } else {
            BoardWrote::NotKnown
        }
    }
}

fn rank(state: State) -> u8 {
    match state {
        State::Closed => 0,
        State::Merged => 1,
        State::Open => 2,
    }
}
