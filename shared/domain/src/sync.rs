//! Resyncs: how far what GitHub has was read, of a repository and of an installation's list of repositories.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{InstallationId, RepositoryId, RepositoryName, repository_id_as_text};
use crate::schedule::Schedule;

/// How far the pull requests of a repository have been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositorySync {
    /// The repository.
    #[serde(with = "repository_id_as_text")]
    pub repository_id: RepositoryId,
    /// The repository's name when last listed.
    pub repository: RepositoryName,
    /// The installation whose token reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation_id: Option<InstallationId>,
    /// Everything GitHub stamped with this second or an earlier one has been seen; absent before the first resync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Timestamp>,
    /// Where a resync that ran out of time goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    /// When its cards were last compared with its pull requests, epoch seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared_at: Option<i64>,
    /// When the next resync is due; off once the repository has left the installation.
    #[serde(flatten)]
    pub schedule: Schedule,
    /// Counts the writes of this item.
    #[serde(default)]
    pub version: u64,
}

impl RepositorySync {
    /// One of which nothing has been read yet, and that is not due.
    pub fn new(repository_id: RepositoryId, repository: RepositoryName, installation: Option<InstallationId>) -> Self {
        Self {
            repository_id,
            repository,
            installation_id: installation,
            cursor: None,
            resume: None,
            compared_at: None,
            schedule: Schedule::default(),
            version: 0,
        }
    }
}

/// A resync under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Whether it reads the open pull requests, as the first resync does before it reads those of every state.
    pub open: bool,
    /// GitHub's cursor behind the last page that was applied; absent at the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// What the repository's cursor becomes once this resync is through.
    pub until: Timestamp,
}

/// That an installation's repositories are to be listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallationSync {
    /// The installation; absent for the one that the token function serves by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation_id: Option<InstallationId>,
    /// When the list is due; off once the installation is gone.
    #[serde(flatten)]
    pub schedule: Schedule,
    /// Counts the writes of this item.
    #[serde(default)]
    pub version: u64,
}

impl InstallationSync {
    /// The list of an installation, due at once.
    pub fn new(installation: Option<InstallationId>, now: Timestamp) -> Self {
        Self { installation_id: installation, schedule: Schedule::turn(now.as_second()), version: 0 }
    }
}
