//! What the webhook answers: JSON that a person reading "Recent deliveries" on GitHub understands, and that `explain` and `verify` read there.

use serde::{Deserialize, Serialize};

use crate::ids::TaskId;
use crate::outcome::{Applied, Freshness, Outcome, TaskOutcome};
use crate::task::Status;

/// What was done, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// A task changed its column.
    Moved,
    /// A task learned of the pull request.
    Linked,
    /// A task lost it.
    Unlinked,
    /// A task learned something new about it.
    Updated,
    /// The tasks knew all this.
    Unchanged,
    /// Understood, and nothing done.
    Ignored,
    /// A ping was heard.
    Pong,
    /// Not taken: the signature or the body is wrong.
    Refused,
    /// The function has no secret, or lacks variables.
    NotConfigured,
    /// It could not be stored.
    Failed,
}

impl Word {
    /// As it stands in the answer and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Moved => "moved",
            Self::Linked => "linked",
            Self::Unlinked => "unlinked",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Ignored => "ignored",
            Self::Pong => "pong",
            Self::Refused => "refused",
            Self::NotConfigured => "not_configured",
            Self::Failed => "failed",
        }
    }
}

/// What the most that happened to any task makes of the whole delivery, the most first.
const DONE: [Word; 5] = [Word::Moved, Word::Linked, Word::Unlinked, Word::Updated, Word::Unchanged];

/// The body of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What was done.
    pub outcome: Word,
    /// Why nothing was, or what else is worth knowing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `owner/name#number`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<String>,
    /// What became of each task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskAnswer>,
    /// Tags that were not looked at, because a title may name so many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tags_not_read: usize,
}

/// What became of one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskAnswer {
    /// The tag, as it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The task's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// What was done.
    pub outcome: Word,
    /// The column it was in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Status>,
    /// The column it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Status>,
    /// Why nothing was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Answer {
    /// An answer that is one word and perhaps a reason.
    pub fn new(outcome: Word, reason: impl Into<Option<String>>) -> Self {
        Self { outcome, reason: reason.into(), pull_request: None, tasks: Vec::new(), tags_not_read: 0 }
    }

    /// What a pull request's facts did. `pull_request` is how the answer calls it, `base` the branch it goes to.
    pub fn applied(applied: &Applied, pull_request: String, base: &str) -> Self {
        let tasks: Vec<_> = applied.tasks.iter().map(|task| task_answer(task, applied.freshness)).collect();
        let outcome = DONE.into_iter().find(|word| tasks.iter().any(|task| task.outcome == *word));
        let reasons = reasons(applied, &tasks, base);
        Self {
            outcome: outcome.unwrap_or(Word::Ignored),
            reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
            pull_request: Some(pull_request),
            tasks,
            tags_not_read: applied.tags.not_read.len(),
        }
    }

    /// How many tasks changed their column.
    pub fn tasks_moved(&self) -> usize {
        self.tasks.iter().filter(|task| task.outcome == Word::Moved).count()
    }
}

fn reasons(applied: &Applied, tasks: &[TaskAnswer], base: &str) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    if let Some(mentioned) = applied.tags.mentioned.first() {
        reasons.push(format!(
            "the title quotes [kid: #{mentioned}] of what it reverts, which links nothing; a tag outside of the quotes does"
        ));
    }
    if applied.tags.unfinished {
        reasons.push("the title begins a kid tag and does not end it: write it whole, such as [kid: #4d9d444d]".into());
    }
    if applied.pull_request.as_ref().is_some_and(|row| row.title_unconfirmed) {
        reasons.push("GitHub is asked for the title that was merged".into());
    } else if reasons.is_empty() && tasks.is_empty() && applied.pull_request.is_none() {
        reasons.push("the title carries no kid tag such as [kid: #4d9d444d]".into());
    } else if reasons.is_empty() && tasks.is_empty() {
        reasons.push("the title carries no kid tag any more".into());
    }
    reasons.extend(tasks.iter().filter_map(|task| task.reason.clone()));
    reasons.dedup();
    if applied.base_moved {
        reasons.push(format!("{base} moved, so its open pull requests are checked for conflicts"));
    }
    reasons
}

/// What is answered about one task, which its history tells too.
pub(crate) fn task_answer(task: &TaskOutcome, freshness: Freshness) -> TaskAnswer {
    let name = task.task.as_ref().map(|id| format!("{}…", id.prefix())).unwrap_or_default();
    let mut answer = TaskAnswer {
        tag: task.tag.as_ref().map(ToString::to_string),
        task: task.task.clone(),
        outcome: Word::Ignored,
        from: None,
        to: None,
        reason: None,
    };
    match &task.outcome {
        Outcome::Moved { from } => {
            answer.outcome = Word::Moved;
            answer.from = Some(from.clone());
            answer.to = Some(Status::Done);
        }
        Outcome::CompletedBefore { status: Status::Done } => {
            answer.outcome = Word::Unchanged;
            answer.reason = Some(format!("task {name} is done already"));
        }
        Outcome::Linked => answer.outcome = Word::Linked,
        Outcome::Updated => answer.outcome = Word::Updated,
        Outcome::Unchanged if freshness == Freshness::Older => answer.reason = Some(not_taken(freshness).into()),
        Outcome::Unchanged => answer.outcome = Word::Unchanged,
        Outcome::Unlinked => answer.outcome = Word::Unlinked,
        other => answer.reason = Some(reason(other, &name, freshness)),
    }
    answer
}

/// Why nothing was done about a tag or a task.
fn reason(outcome: &Outcome, name: &str, freshness: Freshness) -> String {
    match outcome {
        Outcome::NotMoved { status } => format!("task {name} is {status}; only pr_submitted moves to done"),
        Outcome::CompletedBefore { status } => {
            format!("task {name} is {status}; this merge moved it before, and does so once")
        }
        Outcome::NewerIsOpen { pull_request } => {
            format!("task {name} has a newer pull request that is open, {pull_request}; that one's merge moves it")
        }
        Outcome::CompletedSince => {
            format!("task {name} was completed after this pull request was opened, and came back for other work")
        }
        Outcome::SubmittedSince => {
            format!("task {name} was written after the merge; it moves once GitHub has no newer pull request for it")
        }
        Outcome::NoTask => "no task matches".into(),
        Outcome::Ambiguous => "ambiguous: 2 tasks match, use more digits".into(),
        Outcome::OtherRepository => "task belongs to another repository".into(),
        Outcome::Unreadable => format!("the item of task {name} is not of the documented shape, or has no room left"),
        Outcome::AwaitsPermission => "from a fork: linked once its author is seen to have write access".into(),
        Outcome::TitleUnconfirmed => "linked by the title that was merged, once GitHub has told it".into(),
        Outcome::NotTaken => not_taken(freshness).into(),
        Outcome::Gone => "the task is gone".into(),
        Outcome::Moved { .. } | Outcome::Linked | Outcome::Updated | Outcome::Unchanged | Outcome::Unlinked => {
            String::new()
        }
    }
}

/// Why a title did not count.
fn not_taken(freshness: Freshness) -> &'static str {
    match freshness {
        Freshness::Older => "older than what is known",
        Freshness::Tie => "another delivery of the same second says otherwise; GitHub is asked",
        _ => "the pull request is merged; what its title becomes does not count",
    }
}
