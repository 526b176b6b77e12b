//! All is stored, and something is left to do.

use domain::pull_request::Mergeability;

use super::super::context::Context;
use super::Explanation;

pub(super) fn task_came_later(context: &Context<'_>) -> Explanation {
    let (pull_request, task) = (context.pull_request_name(), context.task());
    let sentence = format!(
        "{pull_request} is known and not linked to {task}, which was not there when its tag was read: let reconcile \
         look again with"
    );
    Explanation::with_command(context, &sentence)
}

pub(super) fn owed(context: &Context<'_>) -> Explanation {
    let known = format!("Everything that {} needs from {} is known", context.task(), context.pull_request_name());
    let sentence = match context.owed() {
        Some(when) => format!("{known}, and reconcile finishes it {when}, or at once with"),
        None => format!("{known}: let reconcile finish it with"),
    };
    Explanation::with_command(context, &sentence)
}

pub(super) fn title_asked(context: &Context<'_>) -> Explanation {
    let when = context.owed().map(|when| format!("{when}, or at once ")).unwrap_or_default();
    let sentence = format!(
        "{} was merged and its title edited, and the title that was merged is the one that counts: reconcile asks GitHub for it {when}with",
        context.pull_request_name()
    );
    Explanation::with_command(context, &sentence)
}

pub(super) fn too_late(context: &Context<'_>) -> Explanation {
    let sentence = format!(
        "The merge of {} has waited 7 days for {} to reach pr_submitted, where it came later: reconcile finds that \
         within a day, or at once with",
        context.pull_request_name(),
        context.task()
    );
    Explanation::with_command(context, &sentence)
}

pub(super) fn conflict(context: &Context<'_>) -> Explanation {
    let caused_by = context.stored().and_then(|stored| stored.conflict_caused_by.as_ref());
    let since = caused_by.map(|url| format!(", since {url} was merged")).unwrap_or_default();
    let (pull_request, base, task) = (context.pull_request_name(), context.base(), context.task());
    format!("{pull_request} conflicts with {base}{since}: bring its branch up to date; {task} moves when it is merged.")
        .into()
}

pub(super) fn conflict_outdated(context: &Context<'_>) -> Explanation {
    let conflicts = context.stored().is_some_and(|stored| stored.mergeability == Mergeability::Conflicting);
    let (github, card) =
        if conflicts { ("merges into", "that it conflicts") } else { ("conflicts with", "nothing of it") };
    let sentence = format!(
        "GitHub says by now that {} {github} {} and the card says {card}: reconcile looks again {}with",
        context.pull_request_name(),
        context.base(),
        when_owed(context)
    );
    Explanation::with_command(context, &sentence)
}

pub(super) fn conflict_unknown(context: &Context<'_>) -> Explanation {
    let sentence = format!(
        "GitHub has not said yet whether {} merges into {}: reconcile asks again {}with",
        context.pull_request_name(),
        context.base(),
        when_owed(context)
    );
    Explanation::with_command(context, &sentence)
}

fn when_owed(context: &Context<'_>) -> String {
    context.owed().map(|when| format!("{when}, or at once ")).unwrap_or_default()
}
