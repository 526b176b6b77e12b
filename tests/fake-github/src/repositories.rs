//! Repositories, their branches, and the names they have and had.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Index;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

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

    /// Gives a branch a new tip and each of these paths a new version.
    pub(super) fn move_branch(&mut self, branch: &str, sha: &str, paths: &BTreeSet<String>) {
        let branch = self.branches.entry(branch.to_owned()).or_default();
        sha.clone_into(&mut branch.tip);
        for path in paths {
            *branch.versions.entry(path.clone()).or_default() += 1;
        }
    }

    pub(super) fn versions(&self, branch: &str, paths: &BTreeSet<String>) -> BTreeMap<String, u64> {
        let Some(branch) = self.branches.get(branch) else {
            return BTreeMap::new();
        };
        let touched = branch.versions.iter().filter(|(path, _)| paths.contains(*path));
        touched.map(|(path, version)| (path.clone(), *version)).collect()
    }
}

/// Every repository by its id. A name is looked up in any case; an old one leads on until somebody takes it again.
#[derive(Debug, Default)]
pub(super) struct Repositories {
    by_id: BTreeMap<u64, Repository>,
    names: BTreeMap<String, u64>,
    former_names: HashMap<String, u64>,
}

impl Repositories {
    pub(super) fn get(&self, id: &u64) -> Option<&Repository> {
        self.by_id.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &u64) -> Option<&mut Repository> {
        self.by_id.get_mut(id)
    }

    pub(super) fn contains_key(&self, id: &u64) -> bool {
        self.by_id.contains_key(id)
    }

    /// The repositories of an account, named in any case, the oldest first.
    pub(super) fn of_account(&self, account: &str) -> BTreeSet<u64> {
        let begin = format!("{}/", account.to_lowercase());
        let named = self.names.range(begin.clone()..).take_while(|(name, _)| name.starts_with(&begin));
        named.map(|(_, id)| *id).collect()
    }

    /// The repository of that name today.
    pub(super) fn named(&self, full_name: &str) -> Option<u64> {
        self.names.get(&full_name.to_lowercase()).copied()
    }

    /// The names in use, in lower case.
    pub(super) fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    /// The repository that had this name before it was renamed.
    pub(super) fn formerly(&self, full_name: &str) -> Option<u64> {
        self.former_names.get(&full_name.to_lowercase()).copied()
    }

    pub(super) fn insert(&mut self, repository: Repository) {
        self.take_name(&repository.full_name, repository.id);
        self.by_id.insert(repository.id, repository);
    }

    pub(super) fn remove(&mut self, id: &u64) -> Option<Repository> {
        let gone = self.by_id.remove(id)?;
        self.names.remove(&gone.full_name.to_lowercase());
        Some(gone)
    }

    pub(super) fn rename(&mut self, id: u64, to: &str) {
        let repository = self.by_id.get_mut(&id).expect("a known repository");
        let from = std::mem::replace(&mut repository.full_name, to.to_owned()).to_lowercase();
        self.names.remove(&from);
        self.former_names.insert(from, id);
        self.take_name(to, id);
    }

    fn take_name(&mut self, full_name: &str, id: u64) {
        self.former_names.remove(&full_name.to_lowercase());
        self.names.insert(full_name.to_lowercase(), id);
    }
}

impl Index<&u64> for Repositories {
    type Output = Repository;

    fn index(&self, id: &u64) -> &Repository {
        &self.by_id[id]
    }
}

pub(super) fn repository_node(id: u64) -> String {
    format!("R_kgDO{}", URL_SAFE_NO_PAD.encode(id.to_be_bytes()))
}
