//! Cards heal: what a task says of its pull requests, held against their rows.
//!
//! A decision keeps the tasks right that a row leads to. What no row leads to is a task that says it has a pull request which does not name it:
//! a hand, another writer or an earlier version wrote it so. Such a task has to be looked at from its own side.

use std::collections::BTreeMap;

use crate::ids::{PullRequestKey, PullRequestNumber, RepositoryId};
use crate::pull_request::PullRequest;
use crate::report::Report;
use crate::task::{LinkedPullRequest, Task};

/// What is to be done about a task that may be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The report that makes it agree with what is stored.
    Compare(Box<Report>),
    /// It says that it has this pull request, of which nothing is stored: GitHub is to be asked, and its answer reported as claimed by the task.
    Ask(RepositoryId, PullRequestNumber),
}

/// The pull requests whose rows a task is held against.
pub fn claimed(task: &Task) -> impl Iterator<Item = (RepositoryId, PullRequestNumber)> {
    task.pull_requests.keys().filter_map(PullRequestKey::parts)
}

/// What in a task contradicts the rows of the pull requests that it says it has.
pub fn doubts(task: &Task, rows: &BTreeMap<PullRequestKey, PullRequest>) -> Vec<Doubt> {
    let compare = |repository, number| {
        Doubt::Compare(Box::new(Report::compare(repository, number).claimed_by([task.id.clone()])))
    };
    let mut doubts: Vec<Doubt> = Vec::new();
    for (key, linked) in &task.pull_requests {
        let Some((repository, number)) = key.parts() else { continue };
        match rows.get(key) {
            None => doubts.push(Doubt::Ask(repository, number)),
            Some(row) if row.task_ids.contains(&task.id) && *linked == LinkedPullRequest::from(row) => {}
            Some(_) => doubts.push(compare(repository, number)),
        }
    }
    // What follows from the pull requests does not follow from them, or follows from none.
    if doubts.iter().all(|doubt| matches!(doubt, Doubt::Ask(..))) && !task.is_derived() {
        let (repository, number) = claimed(task).next().unwrap_or((RepositoryId(0), PullRequestNumber(0)));
        doubts.push(compare(repository, number));
    }
    doubts
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Doubt, doubts};
    use crate::ids::{PullRequestNumber, RepositoryId};
    use crate::task::Task;

    fn task(json: serde_json::Value) -> Task {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_task_that_nothing_was_planted_in_raises_no_doubt() {
        let task = task(serde_json::json!({"id": "4d9d444d0198c5c27f00aabbccddeeff", "status": "to_do"}));
        assert_eq!(doubts(&task, &BTreeMap::new()), []);
    }

    #[test]
    fn what_follows_from_nothing_is_compared_and_what_is_not_stored_is_asked_about() {
        let id = "4d9d444d0198c5c27f00aabbccddeeff";
        for planted in [
            serde_json::json!({"id": id, "has_merge_conflict": true}),
            serde_json::json!({"id": id, "pull_request": "1#2"}),
            serde_json::json!({"id": id, "repository_id": "1"}),
            serde_json::json!({"id": id, "pull_requests": {"nonsense": {"state": "open", "url": "", "created_at": "2026-01-01T00:00:00Z"}}}),
        ] {
            let found = doubts(&task(planted.clone()), &BTreeMap::new());
            assert!(matches!(&found[..], [Doubt::Compare(_)]), "{planted}: {found:?}");
        }
        let linked = serde_json::json!({"state": "closed", "url": "https://github.com/a/b/pull/2", "created_at": "2026-01-01T00:00:00Z"});
        let claims = task(serde_json::json!({"id": id, "pull_requests": {"1#2": linked}, "pull_request": "1#2",
            "has_merge_conflict": false, "repository_id": "1"}));
        assert_eq!(doubts(&claims, &BTreeMap::new()), [Doubt::Ask(RepositoryId(1), PullRequestNumber(2))]);
    }
}
