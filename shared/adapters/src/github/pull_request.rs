//! Pull requests in GitHub's words, and the facts in them.
//!
//! REST and webhooks show a pull request in the same shape. What has to be there differs by reader: the webhook takes
//! nothing for granted that it decides from, and names what a body lacks; so it has a shape of its own, made of these
//! parts.

use jiff::Timestamp;
use serde::Deserialize;

use domain::ids::{InstallationId, PullRequestNumber, RepositoryId, RepositoryName};
use domain::pull_request::{Mergeability, Snapshot, State};
use domain::report::{Facts, Source};

/// A pull request as GitHub shows it now.
#[derive(Debug, Clone)]
pub struct Observed {
    /// What GitHub says about it.
    pub facts: Facts,
    /// Whether it merges, for the head and base in those facts.
    pub mergeability: Mergeability,
}

/// A repository.
#[derive(Debug, Deserialize)]
pub struct Repository {
    /// Its id.
    pub id: RepositoryId,
    /// `owner/name`.
    pub full_name: RepositoryName,
}

/// Who opened it. GitHub shows the account `ghost` for one that is deleted, or null.
#[derive(Debug, Deserialize)]
pub struct User {
    /// The account's name.
    pub login: String,
}

/// What is to be merged.
#[derive(Debug, Deserialize)]
pub struct Head {
    /// The commit.
    pub sha: String,
    /// The repository it is in; null once a fork is deleted.
    repo: Option<HeadRepository>,
}

#[derive(Debug, Deserialize)]
struct HeadRepository {
    id: RepositoryId,
}

impl Head {
    /// Whether it is in another repository than its base, or in one that is gone.
    pub fn is_fork_of(&self, base: RepositoryId) -> bool {
        self.repo.as_ref().is_none_or(|head| head.id != base)
    }
}

/// One pull request, read alone. <https://docs.github.com/en/rest/pulls/pulls#get-a-pull-request>
#[derive(Debug, Deserialize)]
pub struct Pull {
    number: PullRequestNumber,
    title: String,
    html_url: String,
    state: String,
    #[serde(default)]
    merged: bool,
    #[serde(default)]
    draft: bool,
    user: Option<User>,
    head: Head,
    base: Base,
    created_at: Timestamp,
    updated_at: Timestamp,
    merged_at: Option<Timestamp>,
    closed_at: Option<Timestamp>,
    /// Null while GitHub works it out. `mergeable_state` is not read: blocked, behind, unstable and draft are no
    /// conflicts.
    mergeable: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Base {
    #[serde(rename = "ref")]
    branch: String,
    repo: Repository,
}

impl Pull {
    /// What it says, read with the token of an installation.
    pub fn observed(self, installation_id: Option<InstallationId>) -> Observed {
        let state = match (self.merged || self.merged_at.is_some(), self.state.as_str()) {
            (true, _) => State::Merged,
            (false, "open") => State::Open,
            _ => State::Closed,
        };
        let snapshot = Snapshot {
            fork: self.head.is_fork_of(self.base.repo.id),
            repository_id: self.base.repo.id,
            repository: self.base.repo.full_name,
            installation_id,
            number: self.number,
            title: self.title,
            url: self.html_url,
            head_sha: self.head.sha,
            base: self.base.branch,
            state,
            draft: self.draft,
            author: self.user.map(|user| user.login).unwrap_or_default(),
            created_at: self.created_at,
            ended_at: self.merged_at.or(self.closed_at).map(Timestamp::as_second),
            updated_at: self.updated_at,
        };
        let facts = Facts { snapshot, source: Source::Api { title_at_merge: None } };
        let mergeability = match self.mergeable {
            Some(true) => Mergeability::Mergeable,
            Some(false) => Mergeability::Conflicting,
            None => Mergeability::Unknown,
        };
        Observed { facts, mergeability }
    }
}
