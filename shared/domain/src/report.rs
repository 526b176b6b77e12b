//! What somebody who knows reports about a pull request: a signed delivery, a read of GitHub's API, or nobody, so that only what is stored is
//! compared with itself.

use std::collections::BTreeSet;

use crate::base::BaseMove;
use crate::ids::{DeliveryGuid, PullRequestNumber, RepositoryId, RepositoryName, TaskId};
use crate::pull_request::{Mergeability, Snapshot, State};

/// Where facts come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A signed delivery of a `pull_request` event.
    Delivery {
        /// Whether the delivery announces the merge itself: its title is then the one at the merge.
        announces_merge: bool,
        /// The title before this delivery's edit, if it tells of one.
        previous_title: Option<String>,
    },
    /// A read of GitHub's API: what is true now.
    Api {
        /// Of a merged pull request, its title at the merge, if the timeline was read.
        title_at_merge: Option<String>,
    },
}

/// What somebody who knows says about a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The pull request as it is.
    pub snapshot: Snapshot,
    /// Who says so. It decides between two facts of the same second.
    pub source: Source,
}

impl Facts {
    /// Whether they were read from GitHub's API.
    pub fn are_read(&self) -> bool {
        matches!(self.source, Source::Api { .. })
    }

    /// Whether they are the delivery that announces the merge.
    pub fn announce_merge(&self) -> bool {
        matches!(self.source, Source::Delivery { announces_merge: true, .. })
    }

    /// The title before the edit that they tell of, if they do.
    pub fn previous_title(&self) -> Option<&str> {
        match &self.source {
            Source::Delivery { previous_title, .. } => previous_title.as_deref(),
            Source::Api { .. } => None,
        }
    }

    /// The title at the merge, if they can tell. An edit after the merge cannot: others may have come before it.
    pub fn title_at_merge(&self) -> Option<&str> {
        match &self.source {
            _ if self.snapshot.state != State::Merged => None,
            Source::Delivery { announces_merge, .. } => announces_merge.then_some(self.snapshot.title.as_str()),
            Source::Api { title_at_merge } => title_at_merge.as_deref(),
        }
    }
}

/// GitHub's answer to whether a pull request merges, for the head and base of the facts it came with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Answer {
    /// Never [`Mergeability::Unknown`].
    pub mergeability: Mergeability,
    /// What moved its base since every pull request on it was last checked, if anything is known to have.
    pub base: Option<Box<BaseMove>>,
}

/// That reconcile looked, and what else it found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Look {
    /// Whether it merges, if GitHub said.
    pub answer: Option<Answer>,
    /// That GitHub was to say whether it merges, and has not: it is asked again, also where an answer is known that its base has moved since.
    pub unanswered: bool,
    /// Whether the author of a fork may write to the repository, if that was asked.
    pub author_may_write: Option<bool>,
    /// When a read of the repository's open pull requests began that reported each of them before this, epoch seconds.
    pub open_read_at: Option<i64>,
    /// The row's version once it was claimed for this look. Where it is another by now somebody wrote the row since, maybe with a question that
    /// came after what was read here: its schedule is then left as it is.
    pub claimed: Option<u64>,
}

/// One report. Everything that is decided is decided about one of these.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Report {
    /// The repository of the pull request.
    pub repository_id: RepositoryId,
    /// Its number.
    pub number: PullRequestNumber,
    /// What is said about it. `None`: what is stored is to be compared with its tasks.
    pub facts: Option<Facts>,
    /// What the repository is called now, for a comparison: a row keeps the name of the day it was last heard of.
    pub called: Option<RepositoryName>,
    /// When the read of GitHub's API that says so began at the earliest, epoch seconds. Without it a read is believed no more than a delivery.
    pub read_at: Option<i64>,
    /// That reconcile looked. `None`: a delivery, or a comparison; what is owed stays owed.
    pub look: Option<Look>,
    /// Tasks that say they have this pull request though it may not name them.
    pub claimed_by: BTreeSet<TaskId>,
    /// GitHub has no pull request under this number in the repository.
    pub missing: bool,
    /// GitHub's id of the delivery that it came with, for the tasks' history alone.
    pub delivery: Option<DeliveryGuid>,
}

impl Report {
    /// What somebody says, without a look at what is owed.
    pub fn facts(facts: Facts) -> Self {
        let (repository_id, number) = (facts.snapshot.repository_id, facts.snapshot.number);
        Self { facts: Some(facts), ..Self::compare(repository_id, number) }
    }

    /// A comparison of what is stored with the tasks it leads to.
    pub fn compare(repository_id: RepositoryId, number: PullRequestNumber) -> Self {
        Self {
            repository_id,
            number,
            facts: None,
            called: None,
            read_at: None,
            look: None,
            claimed_by: BTreeSet::new(),
            missing: false,
            delivery: None,
        }
    }

    /// What GitHub has none of, though tasks say so.
    pub fn missing(repository_id: RepositoryId, number: PullRequestNumber) -> Self {
        Self { missing: true, ..Self::compare(repository_id, number) }
    }

    /// The same, of a repository that is called so now.
    #[must_use]
    pub fn called(self, name: RepositoryName) -> Self {
        Self { called: Some(name), ..self }
    }

    /// The same, read from GitHub's API at this second or later.
    #[must_use]
    pub fn read_at(self, second: i64) -> Self {
        Self { read_at: Some(second), ..self }
    }

    /// The same, with what reconcile found when it looked.
    #[must_use]
    pub fn looked(self, look: Look) -> Self {
        Self { look: Some(look), ..self }
    }

    /// The same, as GitHub delivered it under this id.
    #[must_use]
    pub fn delivered_as(self, delivery: Option<DeliveryGuid>) -> Self {
        Self { delivery, ..self }
    }

    /// The same, with tasks that say they have this pull request.
    #[must_use]
    pub fn claimed_by(self, tasks: impl IntoIterator<Item = TaskId>) -> Self {
        Self { claimed_by: tasks.into_iter().collect(), ..self }
    }
}
