//! Resyncs: how far what GitHub has was read, of a repository and of an installation's list of repositories.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{InstallationId, PullRequestNumber, RepositoryId, RepositoryName, repository_id_as_text};
use crate::schedule::{Failing, Refusal, Schedule};

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
    /// The bases of its open linked pull requests, and where each was when it was last read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bases: BTreeMap<String, Tip>,
    /// Pull requests that could be read neither in a page nor alone, and that are tried alone once an hour.
    #[serde(default, with = "missed", skip_serializing_if = "BTreeMap::is_empty")]
    pub missed: BTreeMap<PullRequestNumber, Failing>,
    /// When they were last tried, epoch seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_at: Option<i64>,
    /// Pull requests with a tag that led nowhere when the cards were last compared.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub untied: BTreeSet<PullRequestNumber>,
    /// Where a comparison of its cards that ran out of time goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparing: Option<Comparing>,
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
    /// Keeps a pull request that can be read in no way for later. `false`: GitHub has said for three days that it is not there, and it is
    /// forgotten until a page shows it again.
    pub fn miss(&mut self, number: PullRequestNumber, refusal: Refusal, now: Timestamp) -> bool {
        let known = self.missed.remove(&number).filter(|known| known.since > 0);
        // Why is not kept: of a hundred that would be a large part of what an item holds.
        let failing = Failing::after(known.as_ref(), refusal, "", now);
        let kept = failing.map(|failing| self.missed.insert(number, failing));
        kept.is_some()
    }

    /// One of which nothing has been read yet, and that is not due.
    pub fn new(repository_id: RepositoryId, repository: RepositoryName, installation: Option<InstallationId>) -> Self {
        Self {
            repository_id,
            repository,
            installation_id: installation,
            cursor: None,
            resume: None,
            bases: BTreeMap::new(),
            missed: BTreeMap::new(),
            missed_at: None,
            untied: BTreeSet::new(),
            comparing: None,
            compared_at: None,
            schedule: Schedule::default(),
            version: 0,
        }
    }
}

/// Numbers and times as a list: names of attributes are text, and earlier versions wrote the numbers alone.
mod missed {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::ids::PullRequestNumber;
    use crate::schedule::Failing;

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Missed {
        Since {
            number: PullRequestNumber,
            #[serde(flatten)]
            failing: Failing,
        },
        Number(PullRequestNumber),
    }

    pub(super) fn serialize<S: Serializer>(
        missed: &BTreeMap<PullRequestNumber, Failing>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let entry = |(number, failing): (&_, &Failing)| Missed::Since { number: *number, failing: failing.clone() };
        serializer.collect_seq(missed.iter().map(entry))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<PullRequestNumber, Failing>, D::Error> {
        let missed = Vec::<Missed>::deserialize(deserializer)?;
        let entry = |missed| match missed {
            Missed::Since { number, failing } => (number, failing),
            Missed::Number(number) => (number, Failing::default()),
        };
        Ok(missed.into_iter().map(entry).collect())
    }
}

/// Where a branch was when it was last read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tip {
    /// The commit; absent before the first read, and of a branch that is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oid: Option<String>,
    /// When it was read, epoch seconds; 0 before the first read.
    pub read_at: i64,
    /// Since when GitHub refuses to tell, epoch seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_since: Option<i64>,
}

/// A comparison of a repository's cards under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparing {
    /// Behind which pull request it goes on; absent at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<PullRequestNumber>,
    /// Whether it is also about what the cards say of others.
    #[serde(default)]
    pub claims: bool,
    /// Whether GitHub did not tell of all that the cards say.
    #[serde(default)]
    pub untold: bool,
    /// Whether something happened meanwhile, maybe in what it had passed: then it is made once more.
    #[serde(default)]
    pub again: bool,
    /// The bases met so far, and how many open pull requests each has.
    #[serde(default)]
    pub bases: BTreeMap<String, usize>,
    /// Pull requests met so far with a tag that leads nowhere.
    #[serde(default)]
    pub untied: BTreeSet<PullRequestNumber>,
}

/// A resync under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Whether it reads the open pull requests, as the first resync does before it reads those of every state.
    pub open: bool,
    /// Whether it goes through REST's list, because GraphQL did not answer the smallest page of its own.
    #[serde(default)]
    pub rest: bool,
    /// Where the next page begins: GraphQL's cursor, or how many of REST's list were read, for which earlier versions wrote the URL of its page;
    /// absent at the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Whether a page before hides a pull request without its number: then nothing counts as read to its end.
    #[serde(default)]
    pub hidden: bool,
    /// What the repository's cursor becomes once this resync is through.
    pub until: Timestamp,
}

impl Resume {
    /// At the first page of GraphQL's list.
    pub fn new(open: bool, until: Timestamp) -> Self {
        Self { open, rest: false, after: None, hidden: false, until }
    }
}

/// That an installation's repositories are to be listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallationSync {
    /// The installation; absent for the one that the token function serves by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation_id: Option<InstallationId>,
    /// How many repositories of a list were read that ran out of time or failed; 0 between lists.
    #[serde(default)]
    pub listed: usize,
    /// That nothing is to be asked for it: every execution environment heeds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Blocked>,
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
        Self {
            installation_id: installation,
            listed: 0,
            blocked: None,
            schedule: Schedule::turn(installation, now.as_second()),
            version: 0,
        }
    }
}

/// Why nothing is asked for an installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// Since when, epoch seconds.
    pub since: i64,
    /// Until when, epoch seconds: GitHub's own time where it named one.
    pub until: i64,
    /// How often it was tried since.
    #[serde(default)]
    pub attempts: u32,
    /// What was said last.
    pub because: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_that_an_earlier_version_kept_without_a_time_are_read() {
        let stored = json!({
            "repository_id": "7", "repository": "acme/widgets", "missed": [3, {"number": 4, "since": 100}],
        });
        let mut sync: RepositorySync = serde_json::from_value(stored).unwrap();
        let now = Timestamp::from_second(200).unwrap();
        sync.miss(PullRequestNumber(3), Refusal::Refused, now);
        sync.miss(PullRequestNumber(4), Refusal::Refused, now);
        assert_eq!(sync.missed.values().map(|failing| failing.since).collect::<Vec<_>>(), [200, 100]);
        let written = serde_json::to_value(&sync).unwrap();
        assert_eq!(serde_json::from_value::<RepositorySync>(written).unwrap(), sync);
    }
}
