//! What the rules do not allow.

use domain::lifecycle;
use jiff::Timestamp;

use super::super::context::Context;
use super::Explanation;
use crate::NAME;

pub(super) fn not_pr_submitted(context: &Context<'_>) -> Explanation {
    let ended = context.said().and_then(|said| said.ended_at);
    let until = ended.and_then(|ended| Timestamp::from_second(ended + lifecycle::AWAIT_TASK).ok());
    let advice = match until.filter(|until| *until > context.now) {
        Some(until) => format!(
            "put it there by {} with `{NAME} task move {} pr_submitted` and reconcile takes it to done within 15 \
             minutes, or {}",
            until.strftime("%Y-%m-%d %H:%M UTC"),
            context.digits(),
            context.by_hand()
        ),
        None => context.by_hand(),
    };
    format!(
        "{} is merged, but only pr_submitted moves to done and {} is in {}: {advice}.",
        context.pull_request_name(),
        context.task(),
        context.column()
    )
    .into()
}

pub(super) fn moved_back(context: &Context<'_>) -> Explanation {
    format!(
        "The merge of {} has moved {} to done before, and a merge does so once; somebody has put it into {} since: {}, \
         or let a new pull request name it.",
        context.pull_request_name(),
        context.task(),
        context.column(),
        context.by_hand()
    )
    .into()
}

pub(super) fn newer_is_open(context: &Context<'_>) -> Explanation {
    format!(
        "{} was merged, and {} was put into pr_submitted since, with {}, which is newer and open: the merge of that one \
         moves it, or {}.",
        context.pull_request_name(),
        context.task(),
        context.newer(),
        context.by_hand()
    )
    .into()
}

pub(super) fn completed_since(context: &Context<'_>) -> Explanation {
    format!(
        "{} was merged, but {} was completed after that one was opened and has come back for other work: let a new pull \
         request name it, or {}.",
        context.pull_request_name(),
        context.task(),
        context.by_hand()
    )
    .into()
}

pub(super) fn closed(context: &Context<'_>) -> Explanation {
    format!(
        "{} was closed without a merge, and only a merge moves {}: reopen it, or name the task in the title of another \
         one.",
        context.pull_request_name(),
        context.task()
    )
    .into()
}
