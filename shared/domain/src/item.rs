//! The items of the table of pull requests that reconcile looks at: their keys, and the kinds there are.

use std::fmt;

use crate::base::BaseMove;
use crate::ids::{InstallationId, PullRequestNumber, RepositoryId};
use crate::pull_request::PullRequest;
use crate::scan::TaskScan;
use crate::schedule::Schedule;
use crate::sync::{InstallationSync, RepositorySync};

/// The sort key of the item of a resync: a repository's, or an installation's list of repositories.
const SYNC: &str = "sync";

/// The key of the daily scan of the tasks.
const SCAN: (&str, &str) = ("tasks", "scan");

/// The prefix of a base branch's sort key.
const BASE: &str = "base#";

/// The prefix of a pull request's sort key.
const PULL_REQUEST: &str = "pr#";

/// The prefix of an installation's partition; a repository's is a bare number.
const INSTALLATION: &str = "installation:";

/// The key of an item of the table of pull requests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemKey {
    /// Partition key: a repository's id, `installation:<id>`, `tasks` or `installations`.
    pub partition: String,
    /// Sort key: `pr#<number>`, `base#<branch>`, `sync`, `scan` or `served`.
    pub item: String,
}

/// For people.
impl fmt::Display for ItemKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.partition, self.item)
    }
}

/// What an item is about, as its key tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A pull request.
    PullRequest,
    /// A base branch.
    Base,
    /// A repository's resync.
    Repository,
    /// An installation's list of repositories.
    Installation,
    /// The daily scan of the tasks.
    Scan,
}

impl ItemKey {
    /// A pull request's.
    pub fn pull_request(repository: RepositoryId, number: PullRequestNumber) -> Self {
        Self { partition: repository.to_string(), item: format!("{PULL_REQUEST}{number}") }
    }

    /// A base branch's.
    pub fn base(repository: RepositoryId, branch: &str) -> Self {
        Self { partition: repository.to_string(), item: format!("{BASE}{branch}") }
    }

    /// A repository's resync's.
    pub fn repository(repository: RepositoryId) -> Self {
        Self { partition: repository.to_string(), item: SYNC.to_owned() }
    }

    /// The key of an installation's list, `installation:default` for the one that the token function serves by itself.
    pub fn installation(installation: Option<InstallationId>) -> Self {
        let name = installation.map_or_else(|| "default".to_owned(), |id| id.to_string());
        Self { partition: format!("{INSTALLATION}{name}"), item: SYNC.to_owned() }
    }

    /// The daily scan of the tasks'.
    pub fn scan() -> Self {
        Self { partition: SCAN.0.to_owned(), item: SCAN.1.to_owned() }
    }

    /// What the item is about; `None` for a key that none of them has.
    pub fn kind(&self) -> Option<Kind> {
        if (self.partition.as_str(), self.item.as_str()) == SCAN {
            Some(Kind::Scan)
        } else if self.item == SYNC {
            let installation = self.partition.starts_with(INSTALLATION);
            Some(if installation { Kind::Installation } else { Kind::Repository })
        } else if self.item.starts_with(BASE) {
            Some(Kind::Base)
        } else {
            self.item.starts_with(PULL_REQUEST).then_some(Kind::PullRequest)
        }
    }

    /// Whether it is a resync's, of a repository or of an installation.
    pub fn is_sync(&self) -> bool {
        self.item == SYNC
    }
}

/// An item of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A pull request.
    PullRequest(Box<PullRequest>),
    /// A base branch that moved.
    Base(Box<BaseMove>),
    /// A repository's resync.
    Repository(Box<RepositorySync>),
    /// An installation's list of repositories.
    Installation(Box<InstallationSync>),
    /// The daily scan of the tasks.
    Scan(Box<TaskScan>),
}

impl Item {
    /// Its key.
    pub fn key(&self) -> ItemKey {
        match self {
            Self::PullRequest(item) => ItemKey::pull_request(item.snapshot.repository_id, item.snapshot.number),
            Self::Base(item) => ItemKey::base(item.repository_id, &item.base),
            Self::Repository(item) => ItemKey::repository(item.repository_id),
            Self::Installation(item) => ItemKey::installation(item.installation_id),
            Self::Scan(_) => ItemKey::scan(),
        }
    }

    /// The writes that were counted when it was read.
    pub fn version(&self) -> u64 {
        match self {
            Self::PullRequest(item) => item.version,
            Self::Base(item) => item.version,
            Self::Repository(item) => item.version,
            Self::Installation(item) => item.version,
            Self::Scan(item) => item.version,
        }
    }

    /// When reconcile looks at it.
    pub fn schedule(&self) -> &Schedule {
        match self {
            Self::PullRequest(item) => &item.schedule,
            Self::Base(item) => &item.schedule,
            Self::Repository(item) => &item.schedule,
            Self::Installation(item) => &item.schedule,
            Self::Scan(item) => &item.schedule,
        }
    }

    /// The installation whose token reads what it is about.
    pub fn installation(&self) -> Option<InstallationId> {
        match self {
            Self::PullRequest(item) => item.snapshot.installation_id,
            Self::Base(item) => item.installation_id,
            Self::Repository(item) => item.installation_id,
            Self::Installation(item) => item.installation_id,
            Self::Scan(_) => None,
        }
    }
}
