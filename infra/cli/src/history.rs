//! A card's history as a timeline.

use domain::history::Entry;
use domain::task::Task;
use jiff::Timestamp;

use crate::text::when;

/// A line for each thing that was done to the card, the oldest first. Other people's words are in it.
pub(crate) fn timeline(task: &Task, now: Timestamp) -> Vec<String> {
    task.history.iter().map(|entry| format!("{} {}", at(entry, now), done(entry))).collect()
}

/// When it was done.
pub(crate) fn at(entry: &Entry, now: Timestamp) -> String {
    Timestamp::from_second(entry.at).map(|at| when(at, now)).unwrap_or_default()
}

/// What was done, why, for which pull request and by whom.
pub(crate) fn done(entry: &Entry) -> String {
    let Entry { what, why, pull_request, delivery, by, .. } = entry;
    let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let delivery = delivery.as_ref().map(|id| format!(", delivery {id}")).unwrap_or_default();
    format!("{what}{why} · {pull_request} · {by}{delivery}")
}
