//! Pull requests, and whether they merge.
//!
//! A branch counts a version for each path; a merge into it raises those of the merged pull request. A pull request
//! remembers the versions it last saw and conflicts if its base has a higher one for a path it touches. GitHub works the
//! answer out when it is asked: the first reads after a move say "not known yet", or still what was so before.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Index;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

use super::repositories::Repositories;

/// Which head sha a stale `mergeable: false` is reported with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaleHead {
    /// The whole answer is from before the push.
    Old,
    /// The new head with the old verdict.
    New,
}

/// The state of a pull request; merged is apart from closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullState {
    /// Open, draft or not.
    Open,
    /// Closed without a merge.
    Closed,
    /// Merged.
    Merged,
}

#[derive(Debug, Clone)]
pub(super) struct Pull {
    pub(super) id: u64,
    pub(super) repository: u64,
    pub(super) number: u64,
    pub(super) title: String,
    pub(super) body: Option<String>,
    /// Whom a review is asked of.
    pub(super) reviewers: Vec<String>,
    pub(super) review_teams: Vec<String>,
    pub(super) state: PullState,
    pub(super) draft: bool,
    pub(super) author: String,
    pub(super) head_branch: String,
    pub(super) head: String,
    pub(super) previous_head: String,
    pub(super) head_owner: String,
    pub(super) head_repository: Option<u64>,
    pub(super) base: String,
    pub(super) base_sha: String,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) closed_at: Option<Timestamp>,
    pub(super) merge_commit: Option<String>,
    pub(super) paths: BTreeSet<String>,
    /// Branch to path to the version last seen: every branch as it was at the opening, the base again when rebased.
    pub(super) seen: BTreeMap<String, BTreeMap<String, u64>>,
    pub(super) unsettled_reads: u32,
    pub(super) stale_false: Option<(StaleHead, u32)>,
    pub(super) mergeable_state: Option<String>,
    pub(super) unknown_in_lists: bool,
    pub(super) hidden_in_lists: bool,
    /// What the API still shows of `conflicts` after the base moved, and for how many reads.
    pub(super) stale_conflict: Option<(bool, u32)>,
    /// Renames and the merge, in their order.
    pub(super) timeline: Vec<TimelineEvent>,
}

/// An entry of a pull request's timeline.
#[derive(Debug, Clone)]
pub(super) enum TimelineEvent {
    Renamed { at: Timestamp, from: String, to: String },
    Merged { at: Timestamp },
}

/// What one read of a pull request saw.
#[derive(Debug, Clone)]
pub(super) struct Observation {
    pub(super) head: String,
    pub(super) mergeable: Option<bool>,
    pub(super) state: String,
}

impl Pull {
    /// Whether its base has a newer version of a path that it touches.
    pub(super) fn conflicts(&self, repositories: &Repositories) -> bool {
        let Some(base) = repositories.get(&self.repository).and_then(|repository| repository.branches.get(&self.base))
        else {
            return false;
        };
        let seen = self.seen.get(&self.base);
        let version = |versions: Option<&BTreeMap<String, u64>>, path: &str| {
            versions.and_then(|all| all.get(path)).copied().unwrap_or(0)
        };
        self.paths.iter().any(|path| version(Some(&base.versions), path) > version(seen, path))
    }
}

/// Every pull request by its repository's id and its number, and how slowly GitHub works out whether they merge.
#[derive(Debug)]
pub(super) struct Pulls {
    by_number: BTreeMap<(u64, u64), Pull>,
    /// How many reads say "not known yet" after a base or a head moved.
    pub(super) settle_reads: u32,
    /// How many reads still say what was so before a base moved, instead.
    pub(super) stale_reads: u32,
}

impl Default for Pulls {
    fn default() -> Pulls {
        Pulls { by_number: BTreeMap::new(), settle_reads: 1, stale_reads: 0 }
    }
}

impl Pulls {
    pub(super) fn get(&self, key: &(u64, u64)) -> Option<&Pull> {
        self.by_number.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &(u64, u64)) -> Option<&mut Pull> {
        self.by_number.get_mut(key)
    }

    pub(super) fn contains_key(&self, key: &(u64, u64)) -> bool {
        self.by_number.contains_key(key)
    }

    pub(super) fn insert(&mut self, pull: Pull) {
        self.by_number.insert((pull.repository, pull.number), pull);
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Pull> {
        self.by_number.values_mut()
    }

    pub(super) fn of(&self, repository: u64) -> impl Iterator<Item = &Pull> {
        self.by_number.range((repository, 0)..=(repository, u64::MAX)).map(|(_, pull)| pull)
    }

    /// Which pull requests of a repository conflict, by number.
    pub(super) fn conflicts_of(&self, repositories: &Repositories, repository: u64) -> BTreeMap<u64, bool> {
        self.of(repository).map(|pull| (pull.number, pull.conflicts(repositories))).collect()
    }

    /// Makes what was known about pull requests into a branch stale; `before` is what conflicted until then.
    pub(super) fn base_moved(&mut self, repository: u64, branch: &str, before: &BTreeMap<u64, bool>) {
        let (reads, stale) = (self.settle_reads, self.stale_reads);
        for (_, pull) in self.by_number.range_mut((repository, 0)..=(repository, u64::MAX)) {
            if pull.state == PullState::Open && pull.base == branch {
                pull.unsettled_reads = if stale == 0 { reads } else { 0 };
                pull.stale_conflict = before.get(&pull.number).filter(|_| stale > 0).map(|conflict| (*conflict, stale));
            }
        }
    }

    /// Reads a pull request the way the API does: the read itself makes GitHub work the answer out.
    pub(super) fn observe(
        &mut self,
        repositories: &Repositories,
        repository: u64,
        number: u64,
        in_list: bool,
    ) -> Observation {
        let conflict = self[&(repository, number)].conflicts(repositories);
        let pull = self.by_number.get_mut(&(repository, number)).expect("a known pull request");
        let unknown = Observation { head: pull.head.clone(), mergeable: None, state: "unknown".to_owned() };
        if pull.state != PullState::Open || (in_list && pull.unknown_in_lists) {
            return unknown;
        }
        if pull.unsettled_reads > 0 {
            pull.unsettled_reads -= 1;
            return unknown;
        }
        if let Some((head, times)) = pull.stale_false.take() {
            pull.stale_false = (times > 1).then(|| (head, times - 1));
            let head = if head == StaleHead::Old { &pull.previous_head } else { &pull.head };
            return Observation { head: head.clone(), mergeable: Some(false), state: "dirty".to_owned() };
        }
        let conflict = match pull.stale_conflict.take() {
            Some((conflict, reads)) => {
                pull.stale_conflict = (reads > 1).then(|| (conflict, reads - 1));
                conflict
            }
            None => conflict,
        };
        let state = match (&pull.mergeable_state, conflict, pull.draft) {
            (_, true, _) => "dirty",
            (Some(state), ..) => state,
            (None, false, true) => "draft",
            (None, false, false) => "clean",
        };
        Observation { head: pull.head.clone(), mergeable: Some(!conflict), state: state.to_owned() }
    }
}

impl Index<&(u64, u64)> for Pulls {
    type Output = Pull;

    fn index(&self, key: &(u64, u64)) -> &Pull {
        &self.by_number[key]
    }
}

pub(super) fn pull_node(id: u64) -> String {
    format!("PR_kwDO{}", URL_SAFE_NO_PAD.encode(id.to_be_bytes()))
}
