//! Nothing is in the way, or nothing is known.

use domain::task::Status;

use super::super::context::{Context, capital};
use super::super::evidence::NotShown;
use super::Explanation;

pub(super) fn unexplained(context: &Context<'_>) -> Explanation {
    let pull_request = context.pull_request_name();
    match context.pull_request().map(|pull_request| &pull_request.observed) {
        Some(Err(NotShown::NotRead(reason))) => format!(
            "Nothing is stored about {pull_request} by that name (name the task, or the repository as it is called \
             now), and GitHub cannot be asked: {reason}"
        ),
        _ => format!("Nothing is known about {pull_request}."),
    }
    .into()
}

pub(super) fn no_pull_request(context: &Context<'_>) -> Explanation {
    let looked_at = match &context.evidence.deliveries {
        Ok(found) if found.complete => " and was delivered lately".to_owned(),
        Ok(found) => format!(" and the last {} deliveries say", found.read),
        Err(_) => String::new(),
    };
    format!(
        "No pull request names {}, as far as is stored{looked_at}: put {} into the title of its pull request, or \
         explain that one by its URL.",
        context.task(),
        context.written_tag()
    )
    .into()
}

pub(super) fn open(context: &Context<'_>) -> Explanation {
    let column = match context.task.map(|task| &task.status) {
        Some(Status::PrSubmitted) | None => String::new(),
        Some(_) => format!(", if it is in pr_submitted by then and not in {} as now", context.column()),
    };
    let (task, pull_request) = (context.task(), context.pull_request_name());
    format!("Nothing is wrong: {task} moves to done when {pull_request} is merged{column}.").into()
}

pub(super) fn done(context: &Context<'_>) -> Explanation {
    format!("{} is done, by the merge of {}.", capital(&context.task()), context.pull_request_name()).into()
}

pub(super) fn done_otherwise(context: &Context<'_>) -> Explanation {
    let by = match context.task.and_then(|task| Some((task, task.completed_by.first()?))) {
        Some((task, key)) => {
            let linked = task.pull_requests.get(key);
            format!("by the merge of {}", linked.map_or(key.as_str(), |linked| &linked.url))
        }
        None => "moved there by hand or by the board: who did it is not recorded".to_owned(),
    };
    format!("{} is done, {by}.", capital(&context.task())).into()
}
