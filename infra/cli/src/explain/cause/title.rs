//! The title, and the tasks that it names.

use domain::kid_tag::MAX_TAGS;

use super::super::context::{Context, capital};
use super::super::malformed_tag;
use super::Explanation;
use crate::NAME;

pub(super) fn no_tag(context: &Context<'_>) -> Explanation {
    let lacks = match context.task {
        Some(_) => format!("does not name {}", context.task()),
        None => "carries no kid tag".to_owned(),
    };
    let (pull_request, title, advice) = (context.pull_request_name(), context.title(), context.put_tag(None));
    format!("The title of {pull_request}, \"{title}\", {lacks}: {advice}.").into()
}

pub(super) fn malformed_tag(context: &Context<'_>) -> Explanation {
    let pull_request = context.pull_request_name();
    let Some(found) = malformed_tag::find(context.title()) else {
        return format!("The title of {pull_request} carries no kid tag.").into();
    };
    let advice = context.put_tag(found.meant);
    format!("\"{}\" in the title of {pull_request} is not a kid tag, because {}: {advice}.", found.text, found.reason)
        .into()
}

pub(super) fn no_task(context: &Context<'_>) -> Explanation {
    let correct = if context.pull_request().is_some() { "correct the tag in the title, or " } else { "" };
    format!(
        "No task has an id that begins with {}: {correct}look for the task with `{NAME} task list`, it may have been \
         deleted.",
        context.digits()
    )
    .into()
}

pub(super) fn ambiguous(context: &Context<'_>) -> Explanation {
    format!(
        "More than one task has an id that begins with {}, so the tag moves none: write more digits, `{NAME} task tag \
         ID` prints enough.",
        context.digits()
    )
    .into()
}

pub(super) fn other_repository(context: &Context<'_>) -> Explanation {
    let owner = context.task.and_then(|task| task.repository.clone());
    format!(
        "{} belongs to {} and takes no pull request of {}: give this work a task of its own, and its tag to the title.",
        capital(&context.task()),
        owner.unwrap_or_else(|| "another repository".to_owned()),
        context.repository()
    )
    .into()
}

pub(super) fn unreadable(context: &Context<'_>) -> Explanation {
    format!(
        "The item of {} has a wrong format, so it is left out: correct what was written there, or delete it \
         and create the task again.",
        context.task()
    )
    .into()
}

pub(super) fn fork(context: &Context<'_>) -> Explanation {
    let author = context.said().map_or("", |said| &said.author);
    let again = context.owed().map_or_else(|| "again".to_owned(), |when| format!("{when}, or at once"));
    let sentence = format!(
        "{} comes from a fork, and such a pull request is linked only once its author, {author}, is seen to have write \
         access to {}: give that access, or open it from a branch of the repository, and let reconcile look {again} \
         with",
        context.pull_request_name(),
        context.repository(),
    );
    Explanation::with_command(context, &sentence)
}

pub(super) fn tag_after_merge(context: &Context<'_>) -> Explanation {
    let (tag, pull_request, advice) = (context.written_tag(), context.pull_request_name(), context.by_hand());
    match context.stored() {
        None => format!(
            "{tag} came into the title of {pull_request} after the merge, and the title that was merged is the one that \
             counts: {advice}."
        ),
        Some(_) => format!(
            "{tag} led to no task in the title with which {pull_request} was merged, and what a title becomes after \
             the merge does not count: {advice}."
        ),
    }
    .into()
}

pub(super) fn too_many_tags(context: &Context<'_>) -> Explanation {
    let count =
        context.pull_request().map_or(0, |pull_request| pull_request.tags.len() + pull_request.tags_not_read.len());
    let left_out = context.written_tag();
    format!(
        "The title of {} has {count} kid tags, of which the first {MAX_TAGS} are read, and {left_out} is not among \
         them: name the task in another pull request.",
        context.pull_request_name()
    )
    .into()
}
