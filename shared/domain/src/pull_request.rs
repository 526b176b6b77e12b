//! Pull requests: what we keep of one, and what somebody says about one.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use crate::ids::{InstallationId, PullRequestKey, PullRequestNumber, RepositoryId};
use crate::task::TaskId;

/// Open, closed without a merge, or merged. The order is the one that decides between two facts of the same second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Open.
    Open,
    /// Closed without a merge.
    Closed,
    /// Merged. There is no way back from it.
    Merged,
}

impl State {
    /// The name used in tables and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Merged => "merged",
        }
    }
}

/// Whether a pull request merges into its base without a conflict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mergeability {
    /// It does.
    Mergeable,
    /// It conflicts.
    Conflicting,
    /// GitHub has not said yet. This is the absence of an answer and never replaces one.
    #[default]
    Unknown,
}

/// What `check` of an item says; the stream's filter matches `now`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// Reconcile is to look at once.
    Now,
    /// Reconcile has looked and will look again when it is due.
    Later,
}

/// The one value of the attribute `due`, the partition key of the sparse index of what is owed an answer.
pub const DUE: &str = "open";

/// What we keep of a pull request whose title carries, or carried, a kid tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// Partition key: the repository's id.
    pub repository_id: String,
    /// Sort key: `pr#<number>`.
    pub item: String,
    /// Its number.
    pub number: PullRequestNumber,
    /// The installation its events come from, which is also whose token reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation_id: Option<InstallationId>,
    /// The repository's name when last heard, `owner/name`.
    pub repository: String,
    /// Its title.
    pub title: String,
    /// Its page on GitHub.
    pub url: String,
    /// The commit at its head.
    pub head_sha: String,
    /// The branch it is to be merged into.
    pub base: String,
    /// Open, closed or merged.
    pub state: State,
    /// Whether it is a draft.
    pub draft: bool,
    /// Its author's login.
    pub author: String,
    /// Whether its head is in another repository, or in one that is gone.
    pub fork: bool,
    /// Whether reconcile has seen that the author of a fork may write to the repository.
    #[serde(default)]
    pub author_may_write: bool,
    /// The tasks it is linked to.
    #[serde(default)]
    pub task_ids: BTreeSet<TaskId>,
    /// Tasks it was linked to and whose own record may still say so.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unlinked_task_ids: BTreeSet<TaskId>,
    /// The last known answer to "does it merge".
    #[serde(default)]
    pub mergeability: Mergeability,
    /// When that answer was given, epoch seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<i64>,
    /// The head that answer was given for. A conflict for any other head follows a push and is asked about twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_head_sha: Option<String>,
    /// The merge that made it conflict, where that is known: a pull request's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict_caused_by: Option<String>,
    /// Counts what made the known answer doubtful: an answer to an older question is not one.
    #[serde(default)]
    pub check_seq: u64,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was merged or closed, epoch seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<i64>,
    /// GitHub's `updated_at` of the newest fact taken.
    pub github_updated_at: Timestamp,
    /// Whether that fact was read from the API, which wins over a delivery of the same second.
    #[serde(default)]
    pub read_from_api: bool,
    /// Whether reconcile is to look now or when it is due; absent once nothing is owed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// [`DUE`] while an answer is owed, else absent: the index is sparse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
    /// When reconcile is to look, epoch seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_check_at: Option<i64>,
    /// How often reconcile has looked since the last question without settling it.
    #[serde(default)]
    pub attempts: u32,
    /// When DynamoDB may delete the item, epoch seconds; only ever set on an ended pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<i64>,
    /// Counts the changes that concern tasks. A task keeps the one it has seen, and takes no older one.
    #[serde(default)]
    pub revision: u64,
    /// Counts the writes of this item: every one is conditional on it.
    #[serde(default)]
    pub version: u64,
}

/// The sort key of a pull request's item.
pub fn item_key(number: PullRequestNumber) -> String {
    format!("pr#{number}")
}

/// The sort key of the item that says when a base branch moved.
pub fn base_item_key(branch: &str) -> String {
    format!("base#{branch}")
}

impl PullRequest {
    /// Its key in a task's record.
    pub fn key(&self) -> PullRequestKey {
        PullRequestKey(format!("{}#{}", self.repository_id, self.number))
    }

    /// Whether it may be linked to tasks at all: a stranger's fork may not.
    pub fn may_link(&self) -> bool {
        !self.fork || self.author_may_write
    }
}

/// A base branch that moved, and the merges that moved it since every pull request on it was last checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseMove {
    /// Partition key: the repository's id.
    pub repository_id: String,
    /// Sort key: `base#<branch>`.
    pub item: String,
    /// The repository's name when last heard, `owner/name`.
    pub repository: String,
    /// The installation whose token reads the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation_id: Option<InstallationId>,
    /// The branch.
    pub base: String,
    /// When we last learned of a move, epoch seconds. An answer given at or before that second is stale.
    pub moved_at: i64,
    /// The number of the pull request whose merge moved it last.
    pub moved_by: PullRequestNumber,
    /// The pages of the pull requests whose merges moved it since the last full check. Of one, it is known that it caused a
    /// new conflict; of several, it is not.
    #[serde(default)]
    pub movers: BTreeSet<String>,
    /// [`Check::Now`] until reconcile has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// [`DUE`] until reconcile has looked at every open pull request on the branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
    /// When reconcile is to look, epoch seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_check_at: Option<i64>,
    /// How often reconcile has looked since the last move without settling it.
    #[serde(default)]
    pub attempts: u32,
    /// When DynamoDB may delete the item, epoch seconds.
    pub ttl: i64,
    /// Counts the writes of this item.
    #[serde(default)]
    pub version: u64,
}

impl BaseMove {
    /// The page of the pull request whose merge moved it last.
    pub fn url(&self) -> &str {
        self.movers.first().map_or("", String::as_str)
    }
}

/// The sort key of the item of a resync: a repository's, or an installation's list of repositories.
pub const SYNC_ITEM: &str = "sync";

/// How far the pull requests of a repository have been read. Its key is the repository's id and [`SYNC_ITEM`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositorySync {
    /// Partition key: the repository's id.
    pub repository_id: String,
    /// Sort key: [`SYNC_ITEM`].
    pub item: String,
    /// The repository's name when last listed, `owner/name`.
    pub repository: String,
    /// The installation whose token reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation_id: Option<InstallationId>,
    /// Everything GitHub stamped with this second or an earlier one has been seen; absent before the first resync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Timestamp>,
    /// Where a resync that ran out of time goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    /// [`DUE`], unless the repository has left the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
    /// When the next resync is due, epoch seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_check_at: Option<i64>,
    /// Counts the writes of this item.
    #[serde(default)]
    pub version: u64,
}

/// A resync under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Whether it reads the open pull requests, as the first resync does before it reads those of every state.
    pub open: bool,
    /// GitHub's cursor behind the last page that was applied; absent at the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// What the repository's cursor becomes once this resync is through.
    pub until: Timestamp,
}

/// That an installation's repositories are to be listed. Its key is `installation:<id>`, or `installation:default` for
/// the one that the token function serves by itself, and [`SYNC_ITEM`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallationSync {
    /// Partition key.
    pub repository_id: String,
    /// Sort key: [`SYNC_ITEM`].
    pub item: String,
    /// The installation; absent for the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation_id: Option<InstallationId>,
    /// [`DUE`], unless the installation is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
    /// When the list is due, epoch seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_check_at: Option<i64>,
    /// Counts the writes of this item.
    #[serde(default)]
    pub version: u64,
}

impl InstallationSync {
    /// The list of an installation, due at once.
    pub fn new(installation: Option<InstallationId>, now: Timestamp) -> Self {
        let name = installation.map_or_else(|| "default".to_owned(), |id| id.to_string());
        Self {
            repository_id: format!("installation:{name}"),
            item: SYNC_ITEM.to_owned(),
            installation_id: installation,
            due: Some(DUE.to_owned()),
            next_check_at: Some(now.as_second()),
            version: 0,
        }
    }
}

/// What somebody who knows says about a pull request: a signed webhook, or GitHub's API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Who says so.
    pub source: FactSource,
    /// The repository.
    pub repository_id: RepositoryId,
    /// Its name now, `owner/name`.
    pub repository: String,
    /// The installation through which we know.
    pub installation_id: Option<InstallationId>,
    /// The number.
    pub number: PullRequestNumber,
    /// The title.
    pub title: String,
    /// The page on GitHub.
    pub url: String,
    /// The commit at the head.
    pub head_sha: String,
    /// The branch it is to be merged into.
    pub base: String,
    /// Open, closed or merged.
    pub state: State,
    /// Whether it is a draft.
    pub draft: bool,
    /// The author's login.
    pub author: String,
    /// Whether the head is in another repository, or in one that is gone.
    pub fork: bool,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was merged or closed.
    pub ended_at: Option<Timestamp>,
    /// GitHub's `updated_at`, in whole seconds.
    pub updated_at: Timestamp,
}

/// Where facts come from. It decides between two of the same second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactSource {
    /// A signed delivery of a `pull_request` event.
    Webhook {
        /// Whether the delivery announces the merge itself: it then counts for the tags of its own title.
        announces_merge: bool,
    },
    /// A read of GitHub's API: what is true now.
    Api,
}
