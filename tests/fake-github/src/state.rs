//! Everything the fake remembers. It knows nothing of who asks: routes and verbs use it, and it uses none of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::accounts::{Account, AccountType, Accounts, Installation};
use super::deliveries::{Delivery, HookConfig};
use super::faults::{Faults, Request};
use super::mergeability::{Observation, Pull, Pulls};
use super::repositories::{Repositories, Repository};
use super::tokens::Tokens;

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
    /// Whether that clock never stays behind this machine's.
    pub(super) keeps_time: bool,
    /// How many a page of a list holds at most.
    pub(super) page_size: usize,
    last_id: u64,
    pub(super) owner: String,
    pub(super) permissions: BTreeMap<String, String>,
    pub(super) events: Vec<String>,
    pub(super) hook: HookConfig,
    pub(super) accounts: Accounts,
    pub(super) installations: BTreeMap<u64, Installation>,
    pub(super) repositories: Repositories,
    pub(super) pulls: Pulls,
    pub(super) nodes: HashMap<String, NodeRef>,
    pub(super) tokens: Tokens,
    pub(super) manifests: Vec<Value>,
    pub(super) manifest_codes: HashSet<String>,
    pub(super) deliveries: Vec<Delivery>,
    /// Whether the next delivery is not made.
    pub(super) lose_next: bool,
    pub(super) faults: Faults,
    pub(super) requests: Vec<Request>,
    pub(super) unexpected: Vec<String>,
    pub(super) graphql: GraphqlUse,
    /// What git LFS keeps, by repository and the object's SHA-256.
    pub(super) lfs_objects: BTreeMap<(u64, String), Vec<u8>>,
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
            keeps_time: false,
            page_size: 100,
            last_id: 0,
            owner: "konduktor-owner".to_owned(),
            permissions: [("contents", "read"), ("metadata", "read"), ("pull_requests", "write")]
                .map(|(name, level)| (name.to_owned(), level.to_owned()))
                .into(),
            events: vec!["pull_request".to_owned()],
            hook: HookConfig { url: None, secret: None, content_type: "json".to_owned(), insecure_ssl: "0".to_owned() },
            accounts: Accounts::default(),
            installations: BTreeMap::new(),
            repositories: Repositories::default(),
            pulls: Pulls::default(),
            nodes: HashMap::new(),
            tokens: Tokens::default(),
            manifests: Vec::new(),
            manifest_codes: HashSet::new(),
            deliveries: Vec::new(),
            lose_next: false,
            faults: Faults::default(),
            requests: Vec::new(),
            unexpected: Vec::new(),
            graphql: GraphqlUse::default(),
            lfs_objects: BTreeMap::new(),
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
        if self.keeps_time {
            self.clock = self.clock.max(whole_seconds(Timestamp::now()));
        }
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
        if let Some(account) = self.accounts.get(login) {
            return account.clone();
        }
        let account = Account { id: 9_000_000 + self.next_id(), login: login.to_owned(), kind };
        self.accounts.insert(account.clone());
        account
    }

    /// The repository of that name today.
    pub(super) fn named(&self, full_name: &str) -> Option<u64> {
        self.repositories.named(full_name)
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
        let owned = self.repositories.of_account(&installation.account).into_iter();
        owned.filter(|id| installation.selected.as_ref().is_none_or(|ids| ids.contains(id))).collect()
    }

    /// Moves a branch, which makes stale what was known about pull requests into it.
    pub(super) fn move_branch(&mut self, repository: u64, branch: &str, paths: &BTreeSet<String>) -> String {
        let sha = self.next_sha();
        let before = self.pulls.conflicts_of(&self.repositories, repository);
        self.repositories.get_mut(&repository).expect("a known repository").move_branch(branch, &sha, paths);
        self.pulls.base_moved(repository, branch, &before);
        sha
    }

    pub(super) fn conflicts(&self, pull: &Pull) -> bool {
        pull.conflicts(&self.repositories)
    }

    /// Reads a pull request the way the API does: the read itself makes GitHub work the answer out.
    pub(super) fn observe(&mut self, repository: u64, number: u64, in_list: bool) -> Observation {
        self.pulls.observe(&self.repositories, repository, number, in_list)
    }

    /// The sentence that a repository, or a pull request of it, is closed with.
    pub(super) fn barred(&self, repository: u64, number: Option<u64>) -> Option<String> {
        self.faults.barred(&self.repositories.get(&repository)?.full_name, number)
    }

    pub(super) fn pulls_of(&self, repository: u64) -> impl Iterator<Item = &Pull> {
        self.pulls.of(repository)
    }
}

pub(super) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).expect("a time of this era")
}
