//! What a decision did, for whoever answers, logs or counts it.

use crate::ids::{PullRequestKey, TaskId};
use crate::kid_tag::{KidTag, Tags};
use crate::pull_request::PullRequest;
use crate::task::{Status, Task};

/// How facts stand to what was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Freshness {
    /// Nothing was known.
    New,
    /// They are newer, or the API's word on the same second.
    Newer,
    /// They are what was known.
    Same,
    /// They are of the same second and differ: one of two is true, and only GitHub can say which.
    Tie,
    /// They are older.
    Older,
}

/// What became of one report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// How the facts stood to what was known.
    pub freshness: Freshness,
    /// The pull request as it is now; `None` if it carries no tag and never did.
    pub pull_request: Option<PullRequest>,
    /// What became of each tag of the title, and of each task that changed without one.
    pub tasks: Vec<TaskOutcome>,
    /// The tags of the title that was said.
    pub tags: Tags,
    /// Whether this was the first word of a merge, so that its base branch was marked as moved.
    pub base_moved: bool,
    /// Every task that was written.
    pub changes: Vec<Change>,
}

/// A task that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The task before the decision.
    pub before: Task,
    /// The task after it.
    pub after: Task,
}

impl Change {
    /// Whether it changed its column.
    pub fn moves(&self) -> bool {
        self.before.status != self.after.status
    }

    /// Whether it has a conflict now and had none.
    pub fn finds_conflict(&self) -> bool {
        self.before.has_merge_conflict != Some(true) && self.after.has_merge_conflict == Some(true)
    }

    /// Whether it had a conflict and has none now.
    pub fn clears_conflict(&self) -> bool {
        self.before.has_merge_conflict == Some(true) && self.after.has_merge_conflict != Some(true)
    }
}

/// What became of one tag or one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskOutcome {
    /// The tag, if the title has one for it.
    pub tag: Option<KidTag>,
    /// The task, if there is one.
    pub task: Option<TaskId>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a tag or a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The merge moved the task to `done`.
    Moved {
        /// The column it was in.
        from: Status,
    },
    /// The merge is known to the task but moved nothing, because of the column it is in.
    NotMoved {
        /// The column it is in.
        status: Status,
    },
    /// The merge had moved the task before, or found it done, and may do so once.
    CompletedBefore {
        /// The column it is in now.
        status: Status,
    },
    /// The task is about a newer pull request that is open.
    NewerIsOpen {
        /// The newer one.
        pull_request: PullRequestKey,
    },
    /// The task was completed after the pull request was opened, and came back for other work.
    CompletedSince,
    /// The task was written after the merge; reconcile reads the repository before the merge moves it.
    SubmittedSince,
    /// The task learned of the pull request.
    Linked,
    /// The task learned something new about the pull request.
    Updated,
    /// The task knew all this.
    Unchanged,
    /// The pull request no longer names the task.
    Unlinked,
    /// No task has an id that begins so.
    NoTask,
    /// More than one has.
    Ambiguous,
    /// The task belongs to another repository.
    OtherRepository,
    /// The task's item is not of the documented shape, or DynamoDB refuses to write it.
    Unreadable,
    /// The pull request comes from a fork whose author is not yet known to have write access.
    AwaitsPermission,
    /// The pull request is merged, and GitHub has to say what its title was then.
    TitleUnconfirmed,
    /// The title is not the one that counts: see the freshness of the facts.
    NotTaken,
    /// The task is gone.
    Gone,
}
