//! What is read of the two tables and written to them, as values: whoever decides names them, and whoever holds the tables carries them out.

use crate::base::BaseMove;
use crate::ids::{PullRequestNumber, RepositoryId, TaskId};
use crate::kid_tag::KidTag;
use crate::pull_request::PullRequest;
use crate::task::Task;

#[cfg(doc)]
use crate::task::RESTS_ON;

/// One strongly consistent read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Read {
    /// The row of a pull request.
    PullRequest(RepositoryId, PullRequestNumber),
    /// The tasks whose ids begin with a tag.
    Tag(KidTag),
    /// A task.
    Task(TaskId),
}

/// What a read found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// For [`Read::PullRequest`].
    PullRequest(Option<Box<PullRequest>>),
    /// For [`Read::Tag`]: the tasks, and what each holds, up to the second that can be read.
    Tag(Vec<(TaskId, Stored)>),
    /// For [`Read::Task`].
    Task(Stored),
}

/// What the tasks table holds under a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Stored {
    /// A task.
    Task(Box<Task>),
    /// An item that is not of the documented shape, or that DynamoDB refuses to write. It is left out, and stops nobody else's.
    Unreadable,
    /// Nothing.
    Absent,
}

impl Stored {
    /// Whether it is a task that can be read.
    pub fn is_readable(&self) -> bool {
        matches!(self, Self::Task(_))
    }
}

/// What a tag leads to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Match {
    /// No task.
    None,
    /// Just this one.
    One(TaskId),
    /// More than one.
    Several,
}

/// One operation of a transaction. Where any condition fails, nothing is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Writes a row, if its `version` still is `read`; 0: it has none, or there is no row.
    PutPullRequest {
        /// The row.
        row: Box<PullRequest>,
        /// The version that was read.
        read: u64,
    },
    /// Writes nothing, if a row's `version` still is `read`.
    CheckPullRequest {
        /// The repository.
        repository_id: RepositoryId,
        /// The number.
        number: PullRequestNumber,
        /// The version that was read.
        read: u64,
    },
    /// Writes what is ours of a task, if its `version` and [`RESTS_ON`] are as they were.
    UpdateTask {
        /// The task that was read.
        before: Box<Task>,
        /// The task from now on.
        after: Box<Task>,
    },
    /// Writes nothing, if a task's `version` and [`RESTS_ON`] are as they were.
    CheckTask {
        /// The task that was read.
        task: Box<Task>,
    },
    /// Writes nothing, if there still is no such task.
    CheckNoTask {
        /// The task's id.
        id: TaskId,
    },
    /// Counts a move of a base branch. It commutes with others, so it has no condition: the row of the merge is written with it, once.
    MoveBase(Box<BaseMove>),
    /// The same for a merge that has no row, unless it was the last that moved the base: a redelivery moves nothing again.
    MoveBaseOnce(Box<BaseMove>),
}

/// What came of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Written {
    /// It is durable.
    Done,
    /// A condition failed.
    Lost,
    /// Another transaction held an item.
    Busy,
}
