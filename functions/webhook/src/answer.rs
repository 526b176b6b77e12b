//! Answers: JSON that a person reading "Recent deliveries" on GitHub understands.

use adapters::board::{Applied, Outcome, TaskOutcome};
use domain::lifecycle::Freshness;
use domain::task::Status;
use lambda_http::http::StatusCode;
use serde::Serialize;

/// A status and its JSON.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// The HTTP status.
    #[serde(skip)]
    pub status: StatusCode,
    /// What was done, in one word.
    pub outcome: &'static str,
    /// Why nothing was, or what else is worth knowing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `owner/name#number`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<String>,
    /// What became of each task.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskAnswer>,
    /// Tags that were not looked at, because a title may name so many.
    #[serde(skip_serializing_if = "is_zero")]
    pub tags_not_read: usize,
}

/// What became of one task.
#[derive(Debug, Serialize)]
pub struct TaskAnswer {
    /// The tag, as it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The task's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// What was done.
    pub outcome: &'static str,
    /// The column it was in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The column it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Why nothing was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Answer {
    /// An answer that is one word and perhaps a reason.
    pub fn new(status: StatusCode, outcome: &'static str, reason: impl Into<Option<String>>) -> Self {
        let reason = reason.into();
        Self { status, outcome, reason, pull_request: None, tasks: Vec::new(), tags_not_read: 0 }
    }

    /// Understood, and nothing done.
    pub fn ignored(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::OK, "ignored", reason.into())
    }

    /// What applying a pull request's facts did.
    pub fn applied(applied: &Applied, pull_request: String, base: &str) -> Self {
        let tasks: Vec<_> = applied.tasks.iter().map(|task| task_answer(task, applied.freshness)).collect();
        let mut answer = Self::new(StatusCode::OK, strongest(&tasks), None);
        let mut reasons: Vec<String> = Vec::new();
        if tasks.is_empty() && applied.pull_request.is_none() {
            reasons.push("the title carries no kid tag such as [kid: #4d9d444d]".into());
        } else if tasks.is_empty() {
            reasons.push("the title carries no kid tag any more".into());
        }
        reasons.extend(tasks.iter().filter_map(|task| task.reason.clone()));
        reasons.dedup();
        if applied.base_moved {
            reasons.push(format!("{base} moved, so its open pull requests are checked for conflicts"));
        }
        answer.reason = (!reasons.is_empty()).then(|| reasons.join("; "));
        answer.pull_request = Some(pull_request);
        answer.tasks = tasks;
        answer.tags_not_read = applied.tags_not_read;
        answer
    }

    /// How many tasks changed their column.
    pub fn tasks_moved(&self) -> usize {
        self.tasks.iter().filter(|task| task.outcome == "moved").count()
    }
}

/// The one word for the whole delivery: the most that happened to any task.
fn strongest(tasks: &[TaskAnswer]) -> &'static str {
    let done = ["moved", "linked", "unlinked", "updated", "unchanged"];
    done.into_iter().find(|outcome| tasks.iter().any(|task| task.outcome == *outcome)).unwrap_or("ignored")
}

fn task_answer(task: &TaskOutcome, freshness: Freshness) -> TaskAnswer {
    let name = task.task.as_ref().map(|id| format!("{}…", id.prefix())).unwrap_or_default();
    let mut answer = TaskAnswer {
        tag: task.tag.as_ref().map(ToString::to_string),
        task: task.task.as_ref().map(ToString::to_string),
        outcome: "ignored",
        from: None,
        to: None,
        reason: None,
    };
    match &task.outcome {
        Outcome::Moved { from } => {
            answer.outcome = "moved";
            answer.from = Some(from.to_string());
            answer.to = Some(Status::Done.to_string());
        }
        Outcome::NotMoved { status } => {
            answer.reason = Some(format!("task {name} is {status}; only pr_submitted moves to done"));
        }
        Outcome::CompletedBefore { status: Status::Done } => {
            answer.outcome = "unchanged";
            answer.reason = Some(format!("task {name} is done already"));
        }
        Outcome::CompletedBefore { status } => {
            answer.reason = Some(format!("task {name} is {status}; this merge moved it before, and does so once"));
        }
        Outcome::Linked => answer.outcome = "linked",
        Outcome::Updated => answer.outcome = "updated",
        Outcome::Unchanged if freshness == Freshness::Older => answer.reason = Some(not_taken(freshness).into()),
        Outcome::Unchanged => answer.outcome = "unchanged",
        Outcome::Unlinked => answer.outcome = "unlinked",
        Outcome::NoTask => answer.reason = Some("no task matches".into()),
        Outcome::Ambiguous => answer.reason = Some("ambiguous: 2 tasks match, use more digits".into()),
        Outcome::OtherRepository => answer.reason = Some("task belongs to another repository".into()),
        Outcome::AwaitsPermission => {
            answer.reason = Some("from a fork: linked once its author is seen to have write access".into());
        }
        Outcome::NotTaken => answer.reason = Some(not_taken(freshness).into()),
        Outcome::Gone => answer.reason = Some("the task is gone".into()),
    }
    answer
}

/// Why a title did not count.
fn not_taken(freshness: Freshness) -> &'static str {
    match freshness {
        Freshness::Older => "older than what is known",
        Freshness::Tie => "another delivery of the same second says otherwise; GitHub is asked",
        _ => "the pull request is merged; what its title becomes does not count",
    }
}
