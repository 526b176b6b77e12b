//! Pull requests: what GitHub says of one, and what we keep of it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{
    InstallationId, PullRequestKey, PullRequestNumber, RepositoryId, RepositoryName, TaskId, repository_id_as_text,
};
use crate::kid_tag::Tags;
use crate::schedule::Schedule;

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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mergeability {
    /// It merges without a conflict.
    Mergeable,
    /// It conflicts.
    Conflicting,
    /// GitHub has not said yet. This is the absence of an answer and never replaces one.
    #[default]
    Unknown,
}

/// GitHub's facts about a pull request at one time: what a delivery or an answer of the API says, and what the table keeps of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Snapshot {
    /// The repository. It is the table's partition key.
    #[serde(with = "repository_id_as_text")]
    pub repository_id: RepositoryId,
    /// Its number.
    pub number: PullRequestNumber,
    /// The installation its events come from, which is also whose token reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation_id: Option<InstallationId>,
    /// The repository's name then.
    pub repository: RepositoryName,
    /// Its title; of a merged one that is kept, the title it was merged with.
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
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was merged or closed, epoch seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<i64>,
    /// GitHub's `updated_at`, in whole seconds.
    #[serde(rename = "github_updated_at")]
    pub updated_at: Timestamp,
}

impl Snapshot {
    /// Its key in a task's record, and its item's.
    pub fn key(&self) -> PullRequestKey {
        PullRequestKey::new(self.repository_id, self.number)
    }

    /// As people name it, `owner/name#number`.
    pub fn name(&self) -> String {
        format!("{}#{}", self.repository, self.number)
    }

    /// When it was merged, epoch seconds.
    pub fn merged_at(&self) -> Option<i64> {
        (self.state == State::Merged).then(|| self.ended_at.unwrap_or(self.updated_at.as_second()))
    }
}

/// What we keep of a pull request whose title carries, or carried, a kid tag.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PullRequest {
    /// What GitHub said last.
    #[serde(flatten)]
    pub snapshot: Snapshot,
    /// Whether that was read from the API, which wins over a delivery of the same second.
    #[serde(default)]
    pub read_from_api: bool,
    /// That it is merged is known, and its title at the merge is not: it links and moves nothing until GitHub was asked.
    #[serde(default, skip_serializing_if = "is_false")]
    pub title_unconfirmed: bool,
    /// Whether reconcile has seen that the author of a fork may write to the repository.
    #[serde(default)]
    pub author_may_write: bool,
    /// The tasks it is linked to.
    #[serde(default)]
    pub task_ids: BTreeSet<TaskId>,
    /// Tasks that an earlier version had begun to unlink. Read once more, and never written.
    #[serde(default, skip_serializing)]
    pub unlinked_task_ids: BTreeSet<TaskId>,
    /// The last known answer to "does it merge".
    #[serde(default)]
    pub mergeability: Mergeability,
    /// When that answer was given, epoch seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<i64>,
    /// The head that answer was given for; absent once the answer may no longer be true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_head_sha: Option<String>,
    /// The merge that made it conflict, where that is known: a pull request's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict_caused_by: Option<String>,
    /// When reconcile looks at it.
    #[serde(flatten)]
    pub schedule: Schedule,
    /// When DynamoDB may delete the item, epoch seconds; only ever set on an ended pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<i64>,
    /// Counts the writes of this item: every one is conditional on it.
    #[serde(default)]
    pub version: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl PullRequest {
    /// Its key in a task's record.
    pub fn key(&self) -> PullRequestKey {
        self.snapshot.key()
    }

    /// The same, in a repository of this name, if it is known. A task that is made after a rename names the repository as it is called now; held
    /// against the old name it would never be linked, and where another repository took that name over, to the wrong one.
    #[must_use]
    pub fn called(mut self, name: Option<&RepositoryName>) -> Self {
        if let Some(name) = name {
            self.snapshot.repository.clone_from(name);
        }
        self
    }

    /// Whether it may be linked to tasks at all: a stranger's fork may not.
    pub fn may_link(&self) -> bool {
        !self.snapshot.fork || self.author_may_write
    }

    /// Whether its title names tasks, and only a permission that nobody has asked for is missing.
    pub fn awaits_permission(&self) -> bool {
        !self.may_link() && !Tags::of(&self.snapshot.title).named.is_empty()
    }

    /// Whether it is merged and its title at the merge is known.
    pub fn is_merge_known(&self) -> bool {
        self.snapshot.state == State::Merged && !self.title_unconfirmed
    }

    /// Whether no answer is known for the head and base as they are: a conflict is then to be confirmed, since GitHub may
    /// still show the one of the head before.
    pub fn asks_about_a_new_head(&self) -> bool {
        self.checked_head_sha.as_ref() != Some(&self.snapshot.head_sha)
    }
}
