//! Base branches: that one moved, and who moved it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{InstallationId, PullRequestNumber, RepositoryId, RepositoryName, repository_id_as_text};
use crate::pull_request::Snapshot;
use crate::schedule::Schedule;
use crate::sync::RepositorySync;

/// How long after its last move a base is kept, seconds.
const KEEP: i64 = 90 * 24 * 60 * 60;

/// A base branch that moved. Its open pull requests are asked about until each has an answer that is newer than the move.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BaseMove {
    /// The repository.
    #[serde(with = "repository_id_as_text")]
    pub repository_id: RepositoryId,
    /// The repository's name when last heard.
    pub repository: RepositoryName,
    /// The installation whose token reads the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation_id: Option<InstallationId>,
    /// The branch.
    pub base: String,
    /// When we last learned of a move, epoch seconds. An answer given at or before that second is stale.
    pub moved_at: i64,
    /// The pull request whose merge moved it last.
    pub moved_by: PullRequestNumber,
    /// The page of that pull request. Absent in what earlier versions wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_by_url: Option<String>,
    /// How often it moved since every pull request on it was last checked.
    #[serde(default)]
    pub moves: u64,
    /// What earlier versions wrote in place of `moves` and `moved_by_url`: the pages of all movers.
    #[serde(default, skip_serializing)]
    pub movers: BTreeSet<String>,
    /// When reconcile looks at it.
    #[serde(flatten)]
    pub schedule: Schedule,
    /// When DynamoDB may delete the item, epoch seconds.
    pub ttl: i64,
    /// Counts the writes of this item.
    #[serde(default)]
    pub version: u64,
}

impl BaseMove {
    /// The move that the merge of a pull request made, heard of now.
    pub fn by(merged: &Snapshot, now: Timestamp) -> Self {
        Self {
            repository_id: merged.repository_id,
            repository: merged.repository.clone(),
            installation_id: merged.installation_id,
            base: merged.base.clone(),
            moved_at: now.as_second(),
            moved_by: merged.number,
            moved_by_url: Some(merged.url.clone()),
            moves: 1,
            movers: BTreeSet::new(),
            schedule: Schedule::at_once(now),
            ttl: now.as_second() + KEEP,
            version: 0,
        }
    }

    /// The same move, after others that are not known: it counts as two, so that nobody is blamed.
    #[must_use]
    pub fn by_nobody(&self) -> Self {
        Self { moved_by: PullRequestNumber(0), moved_by_url: None, moves: 2, ..self.clone() }
    }

    /// A push to a base, heard of now. It names no pull request and may hold several merges, so it is counted as two moves: nobody is
    /// blamed. One that a merge explains, which was heard of since the branch was last read, is no further move.
    pub fn pushed(sync: &RepositorySync, base: &str, explained: bool, now: Timestamp) -> Self {
        Self {
            repository_id: sync.repository_id,
            repository: sync.repository.clone(),
            installation_id: sync.installation_id,
            base: base.to_owned(),
            moved_at: now.as_second(),
            moved_by: PullRequestNumber(0),
            moved_by_url: None,
            moves: if explained { 0 } else { 2 },
            movers: BTreeSet::new(),
            schedule: Schedule::at_once(now),
            ttl: now.as_second() + KEEP,
            version: 0,
        }
    }

    /// The merge that is to blame for a conflict that was not there at the last check: the only one since. Of several it is not known which.
    pub fn culprit(&self) -> Option<&str> {
        match (self.moves + self.movers.len() as u64, &self.moved_by_url) {
            (1, Some(url)) => Some(url),
            (1, None) => self.movers.first().map(String::as_str),
            _ => None,
        }
    }
}
