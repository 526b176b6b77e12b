//! Everything the fake remembers, and the mergeability model.
//!
//! A branch counts a version for each path; a merge into it raises those of the merged pull request. A pull request
//! remembers the versions it last saw and conflicts if its base has a higher one for a path it touches.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::deliveries::{Delivery, HookConfig};
use super::faults::{Barred, Fault, LargePage, Request};
use super::tokens::Tokens;

/// What kind of account a login is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountType {
    /// A person.
    User,
    /// An organization.
    Organization,
    /// An enterprise: its JSON has a `slug` and no `login`.
    Enterprise,
}

/// Which head sha a stale `mergeable: false` is reported with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaleHead {
    /// The whole answer is from before the push.
    Old,
    /// The new head with the old verdict.
    New,
}

#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) id: u64,
    pub(super) login: String,
    pub(super) kind: AccountType,
}

#[derive(Debug, Clone)]
pub(super) struct Installation {
    pub(super) id: u64,
    pub(super) account: String,
    /// `None`: every repository of the account.
    pub(super) selected: Option<BTreeSet<u64>>,
    pub(super) permissions: BTreeMap<String, String>,
    pub(super) events: Vec<String>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) suspended_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Branch {
    pub(super) tip: String,
    pub(super) versions: BTreeMap<String, u64>,
}

#[derive(Debug, Clone)]
pub(super) struct Repository {
    pub(super) id: u64,
    pub(super) full_name: String,
    pub(super) private: bool,
    pub(super) fork: bool,
    pub(super) created_at: Timestamp,
    pub(super) branches: BTreeMap<String, Branch>,
    pub(super) collaborators: BTreeMap<String, String>,
    pub(super) last_number: u64,
}

impl Repository {
    pub(super) fn owner(&self) -> &str {
        self.full_name.split_once('/').map_or("", |(owner, _)| owner)
    }

    pub(super) fn short_name(&self) -> &str {
        self.full_name.split_once('/').map_or("", |(_, name)| name)
    }

    pub(super) fn versions(&self, branch: &str, paths: &BTreeSet<String>) -> BTreeMap<String, u64> {
        let Some(branch) = self.branches.get(branch) else {
            return BTreeMap::new();
        };
        let touched = branch.versions.iter().filter(|(path, _)| paths.contains(*path));
        touched.map(|(path, version)| (path.clone(), *version)).collect()
    }
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NodeRef {
    Repository(u64),
    Pull(u64, u64),
}

/// How much was asked through GraphQL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GraphqlUse {
    /// Queries answered.
    pub queries: usize,
    /// Pull requests returned by lists.
    pub nodes: usize,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) url: String,
    pub(super) skew: i64,
    pub(super) clock: Timestamp,
    pub(super) tick: i64,
    last_id: u64,
    pub(super) owner: String,
    pub(super) permissions: BTreeMap<String, String>,
    pub(super) events: Vec<String>,
    pub(super) hook: HookConfig,
    pub(super) accounts: BTreeMap<String, Account>,
    pub(super) installations: BTreeMap<u64, Installation>,
    pub(super) repositories: BTreeMap<u64, Repository>,
    pub(super) names: HashMap<String, u64>,
    pub(super) former_names: HashMap<String, u64>,
    pub(super) pulls: BTreeMap<(u64, u64), Pull>,
    pub(super) nodes: HashMap<String, NodeRef>,
    pub(super) settle_reads: u32,
    pub(super) stale_reads: u32,
    pub(super) barred: Vec<Barred>,
    pub(super) largest_page: Option<(usize, LargePage)>,
    pub(super) tokens: Tokens,
    pub(super) manifests: Vec<Value>,
    pub(super) manifest_codes: HashSet<String>,
    pub(super) deliveries: Vec<Delivery>,
    /// Whether the next delivery is not made.
    pub(super) lose_next: bool,
    pub(super) faults: Vec<Fault>,
    pub(super) requests: Vec<Request>,
    pub(super) unexpected: Vec<String>,
    pub(super) graphql: GraphqlUse,
    /// Where git repositories are, once there is one.
    pub(super) git: Option<TempDir>,
}

impl State {
    pub(super) fn new(url: String) -> State {
        State {
            url,
            skew: 0,
            clock: whole_seconds(Timestamp::now()),
            tick: 1,
            last_id: 0,
            owner: "konduktor-owner".to_owned(),
            permissions: [("contents", "read"), ("metadata", "read"), ("pull_requests", "write")]
                .map(|(name, level)| (name.to_owned(), level.to_owned()))
                .into(),
            events: vec!["pull_request".to_owned()],
            hook: HookConfig { url: None, secret: None, content_type: "json".to_owned(), insecure_ssl: "0".to_owned() },
            accounts: BTreeMap::new(),
            installations: BTreeMap::new(),
            repositories: BTreeMap::new(),
            names: HashMap::new(),
            former_names: HashMap::new(),
            pulls: BTreeMap::new(),
            nodes: HashMap::new(),
            settle_reads: 1,
            stale_reads: 0,
            barred: Vec::new(),
            largest_page: None,
            tokens: Tokens::default(),
            manifests: Vec::new(),
            manifest_codes: HashSet::new(),
            deliveries: Vec::new(),
            lose_next: false,
            faults: Vec::new(),
            requests: Vec::new(),
            unexpected: Vec::new(),
            graphql: GraphqlUse::default(),
            git: None,
        }
    }

    /// GitHub's clock, which `Date`, JWTs and tokens go by.
    pub(super) fn now(&self) -> Timestamp {
        whole_seconds(Timestamp::now() + SignedDuration::from_secs(self.skew))
    }

    /// Advances the clock that stamps what users do.
    pub(super) fn act(&mut self) -> Timestamp {
        self.clock += SignedDuration::from_secs(self.tick);
        self.clock
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn next_sha(&mut self) -> String {
        let count = self.next_id();
        hex::encode(Sha256::digest(count.to_be_bytes()))[..40].to_owned()
    }

    /// The account of that login, made on first sight.
    pub(super) fn account(&mut self, login: &str, kind: AccountType) -> Account {
        let key = login.to_lowercase();
        if let Some(account) = self.accounts.get(&key) {
            return account.clone();
        }
        let account = Account { id: 9_000_000 + self.next_id(), login: login.to_owned(), kind };
        self.accounts.insert(key, account.clone());
        account
    }

    /// The repository of that name today.
    pub(super) fn named(&self, full_name: &str) -> Option<u64> {
        self.names.get(&full_name.to_lowercase()).copied()
    }

    pub(super) fn repository(&mut self, full_name: &str) -> &mut Repository {
        let id = self.named(full_name).unwrap_or_else(|| panic!("no repository {full_name}"));
        self.repositories.get_mut(&id).expect("named repositories exist")
    }

    pub(super) fn pull(&mut self, full_name: &str, number: u64) -> &mut Pull {
        let id = self.repository(full_name).id;
        self.pulls.get_mut(&(id, number)).unwrap_or_else(|| panic!("no pull request {full_name}#{number}"))
    }

    pub(super) fn installation_of(&self, repository: u64) -> Option<&Installation> {
        let owner = self.repositories.get(&repository)?.owner().to_lowercase();
        self.installations.values().find(|installation| {
            let chosen = installation.selected.as_ref().is_none_or(|ids| ids.contains(&repository));
            chosen && installation.account.to_lowercase() == owner
        })
    }

    pub(super) fn repositories_of(&self, installation: u64) -> Vec<u64> {
        let Some(installation) = self.installations.get(&installation) else {
            return Vec::new();
        };
        let account = installation.account.to_lowercase();
        let owned = self.repositories.values().filter(|repository| repository.owner().to_lowercase() == account);
        let chosen =
            owned.filter(|repository| installation.selected.as_ref().is_none_or(|ids| ids.contains(&repository.id)));
        chosen.map(|repository| repository.id).collect()
    }

    pub(super) fn conflicts(&self, pull: &Pull) -> bool {
        let Some(base) =
            self.repositories.get(&pull.repository).and_then(|repository| repository.branches.get(&pull.base))
        else {
            return false;
        };
        let seen = pull.seen.get(&pull.base);
        let version = |versions: Option<&BTreeMap<String, u64>>, path: &str| {
            versions.and_then(|all| all.get(path)).copied().unwrap_or(0)
        };
        pull.paths.iter().any(|path| version(Some(&base.versions), path) > version(seen, path))
    }

    /// Moves a branch: the paths get new versions, and what was known about pull requests into it is stale.
    pub(super) fn move_branch(&mut self, repository: u64, branch: &str, paths: &BTreeSet<String>) -> String {
        let sha = self.next_sha();
        let before: BTreeMap<u64, bool> =
            self.pulls_of(repository).map(|pull| (pull.number, self.conflicts(pull))).collect();
        let record = self.repositories.get_mut(&repository).expect("a known repository");
        let branch_record = record.branches.entry(branch.to_owned()).or_default();
        branch_record.tip.clone_from(&sha);
        for path in paths {
            *branch_record.versions.entry(path.clone()).or_default() += 1;
        }
        let (reads, stale) = (self.settle_reads, self.stale_reads);
        for (_, pull) in self.pulls.range_mut((repository, 0)..=(repository, u64::MAX)) {
            if pull.state == PullState::Open && pull.base == branch {
                pull.unsettled_reads = if stale == 0 { reads } else { 0 };
                pull.stale_conflict = before.get(&pull.number).filter(|_| stale > 0).map(|conflict| (*conflict, stale));
            }
        }
        sha
    }

    /// Reads a pull request the way the API does: the read itself makes GitHub work the answer out.
    pub(super) fn observe(&mut self, repository: u64, number: u64, in_list: bool) -> Observation {
        let conflict = self.conflicts(&self.pulls[&(repository, number)]);
        let pull = self.pulls.get_mut(&(repository, number)).expect("a known pull request");
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

    pub(super) fn pulls_of(&self, repository: u64) -> impl Iterator<Item = &Pull> {
        self.pulls.range((repository, 0)..=(repository, u64::MAX)).map(|(_, pull)| pull)
    }
}

pub(super) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).expect("a time of this era")
}

pub(super) fn repository_node(id: u64) -> String {
    format!("R_kgDO{}", URL_SAFE_NO_PAD.encode(id.to_be_bytes()))
}

pub(super) fn pull_node(id: u64) -> String {
    format!("PR_kwDO{}", URL_SAFE_NO_PAD.encode(id.to_be_bytes()))
}
