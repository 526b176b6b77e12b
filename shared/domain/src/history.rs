//! What was done to a task and why, for whoever asks later: GitHub shows its deliveries for three days only.
//!
//! An entry is written with the change that it tells of, in the words of the webhook's answer. No decision rests on entries, and they are no
//! condition of a write.

use crate::contract::webhook::{Word, task_answer};
use crate::outcome::{Change, Freshness, Outcome, TaskOutcome};
use crate::report::{Report, Source};
use crate::task::Task;

#[doc(no_inline)]
pub use crate::entry::Entry;

/// How many entries a task keeps: the newest. They count towards what a write of the task costs, 1 KB a unit.
pub const NEWEST: usize = 30;

/// Adds the entry of a change that was decided for `report`; none for an answer that only says once more what was known.
pub(crate) fn note(
    before: &Task,
    after: &mut Task,
    outcome: Outcome,
    freshness: Freshness,
    pull_request: String,
    report: &Report,
    at: i64,
) {
    if same_but_for_the_time(before, after) {
        return;
    }
    let (what, why) = told(before, after, outcome, freshness);
    let delivered = report.facts.as_ref().is_some_and(|facts| matches!(facts.source, Source::Delivery { .. }));
    let by = if delivered { "webhook" } else { "reconcile" }.to_owned();
    let entry = Entry { at, what: what.as_str().to_owned(), why, pull_request, delivery: report.delivery.clone(), by };
    after.history.push(entry);
    let too_many = after.history.len().saturating_sub(NEWEST);
    after.history.drain(..too_many);
}

/// Whether a task learned nothing but that an answer still holds, or how it is to be written.
fn same_but_for_the_time(before: &Task, after: &Task) -> bool {
    let mut same = after.clone();
    same.conflict_checked_at = before.conflict_checked_at;
    same.is_spoilt = before.is_spoilt;
    for (key, linked) in &mut same.pull_requests {
        linked.checked_at = before.pull_requests.get(key).and_then(|known| known.checked_at);
    }
    same == *before
}

fn told(before: &Task, after: &Task, outcome: Outcome, freshness: Freshness) -> (Word, Option<String>) {
    let answer = task_answer(&TaskOutcome { tag: None, task: Some(before.id.clone()), outcome }, freshness);
    let what = if matches!(answer.outcome, Word::Ignored | Word::Unchanged) { Word::Updated } else { answer.outcome };
    let moved = (before.status != after.status).then(|| format!("{} → {}", before.status, after.status));
    let why: Vec<_> =
        [moved, answer.reason, state(before, after), conflict(before, after)].into_iter().flatten().collect();
    (what, (!why.is_empty()).then(|| why.join("; ")))
}

/// That a pull request was merged, closed or opened again.
fn state(before: &Task, after: &Task) -> Option<String> {
    let changed = after.pull_requests.iter().find_map(|(key, linked)| {
        let known = before.pull_requests.get(key).map(|known| known.state);
        (known.is_some() && known != Some(linked.state)).then_some(linked.state)
    });
    changed.map(|state| format!("the pull request is {}", state.as_str()))
}

fn conflict(before: &Task, after: &Task) -> Option<String> {
    let change = Change { before: before.clone(), after: after.clone() };
    let since = after.conflict_caused_by.as_ref().map(|url| format!(", since {url} was merged")).unwrap_or_default();
    if change.finds_conflict() {
        Some(format!("it conflicts with its base{since}"))
    } else {
        change.clears_conflict().then(|| "it conflicts no longer".to_owned())
    }
}
