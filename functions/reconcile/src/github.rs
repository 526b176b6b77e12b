//! What reconcile asks GitHub, and why it may not get it.

use std::marker::PhantomData;

use adapters::github::graphql::{Queried, Query};
use adapters::github::pull_request::{Pull, Repository};
use adapters::github::{Answer, Client, Error};
use domain::ids::{PullRequestNumber, RepositoryId, RepositoryName};
use domain::schedule::Refusal;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why a request brought nothing, split by what the caller does next.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// GitHub asks everybody to wait for an installation until this second.
    Limited { until: i64, said: String },
    /// Another invocation has met that there is no token for the installation: not asked for before this second.
    Blocked { until: i64, said: String },
    /// There is no token for the installation: it is gone, or somebody has to do something.
    NoToken { refusal: Refusal, said: String },
    /// The one thing that was asked for is not there, or not for this installation.
    Gone(String),
    /// The one thing that was asked for is refused.
    Refused(String),
    /// Not reached, or an error of GitHub's own.
    Unavailable(String),
    /// This invocation's time is over.
    OutOfTime,
    /// A table failed; it is logged.
    Table,
}

impl Failure {
    /// What GitHub's refusal means here.
    pub(crate) fn of(refused: &Error, now: Timestamp) -> Self {
        let said = adapters::error::chain(refused);
        if let Some(wait) = refused.wait() {
            let wait = i64::try_from(wait.as_secs()).unwrap_or(i64::from(u32::MAX));
            return Self::Limited { until: now.as_second().saturating_add(wait), said };
        }
        match refused {
            Error::NotFound(_) | Error::InstallationNotFound(_) => Self::Gone(said),
            Error::InstallationSuspended(_) | Error::Unauthorized(_) => Self::NoToken { refusal: Refusal::Other, said },
            Error::Unavailable(_) | Error::Unexpected(_) => Self::Unavailable(said),
            _ => Self::Refused(said),
        }
    }

    /// Whether it concerns everything of the installation, or of this invocation, and not the one thing that was asked for.
    pub(crate) fn is_wide(&self) -> bool {
        matches!(
            self,
            Self::Limited { .. } | Self::Blocked { .. } | Self::NoToken { .. } | Self::OutOfTime | Self::Table
        )
    }

    /// How what was asked for failed, if it is about that alone.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::Gone(_) => Refusal::Gone,
            Self::Refused(_) => Refusal::Refused,
            Self::NoToken { refusal, .. } => *refusal,
            Self::Unavailable(_) | Self::Limited { .. } | Self::Blocked { .. } | Self::OutOfTime | Self::Table => {
                Refusal::Other
            }
        }
    }

    /// GitHub's words, or the token function's.
    pub(crate) fn said(&self) -> &str {
        match self {
            Self::Limited { said, .. }
            | Self::Blocked { said, .. }
            | Self::NoToken { said, .. }
            | Self::Gone(said)
            | Self::Refused(said)
            | Self::Unavailable(said) => said,
            Self::OutOfTime => "no time was left",
            Self::Table => "a table failed",
        }
    }
}

/// One request, sent as often as it takes.
pub(crate) trait Request: Sync {
    /// What comes back.
    type Answer;

    /// Sends it once.
    fn send(&self, client: &Client, token: &SecretString) -> impl Future<Output = Result<Self::Answer, Error>> + Send;
}

/// A read of the REST API.
#[derive(Debug)]
pub(crate) struct Get<T> {
    path: String,
    decoded: PhantomData<fn() -> T>,
}

impl<T> Get<T> {
    fn new(path: String) -> Self {
        Self { path, decoded: PhantomData }
    }
}

impl<T: DeserializeOwned + Send> Request for Get<T> {
    type Answer = Answer<T>;

    async fn send(&self, client: &Client, token: &SecretString) -> Result<Answer<T>, Error> {
        client.get(&self.path, token).await
    }
}

impl Request for Query {
    type Answer = Queried;

    async fn send(&self, client: &Client, token: &SecretString) -> Result<Queried, Error> {
        client.graphql(token, self).await
    }
}

/// `GET /repos/{owner}/{repo}/pulls/{number}`: the read also makes GitHub work out the answer.
pub(crate) fn pull(repository: &RepositoryName, number: PullRequestNumber) -> Get<Pull> {
    Get::new(format!("/repos/{repository}/pulls/{number}"))
}

/// `GET /repositories/{id}`: where GitHub's own redirects lead after a rename.
pub(crate) fn repository(id: RepositoryId) -> Get<Repository> {
    Get::new(format!("/repositories/{id}"))
}

/// What a user may do in a repository.
/// <https://docs.github.com/en/rest/collaborators/collaborators#get-repository-permissions-for-a-user>
#[derive(Deserialize)]
pub(crate) struct Permission {
    permission: String,
}

impl Permission {
    /// `maintain` shows as `write` here; it is taken by its own name too.
    pub(crate) fn may_write(&self) -> bool {
        matches!(self.permission.as_str(), "admin" | "maintain" | "write")
    }
}

/// `GET /repos/{owner}/{repo}/collaborators/{user}/permission`
pub(crate) fn permission(repository: &RepositoryName, user: &str) -> Get<Permission> {
    Get::new(format!("/repos/{repository}/collaborators/{user}/permission"))
}

/// One page of an installation's repositories.
/// <https://docs.github.com/en/rest/apps/installations#list-repositories-accessible-to-the-app-installation>
#[derive(Deserialize)]
pub(crate) struct Repositories {
    repositories: Vec<Value>,
}

impl Repositories {
    /// Those that can be read: one of an odd shape hides no other.
    pub(crate) fn readable(self) -> impl Iterator<Item = Repository> {
        self.repositories.into_iter().filter_map(|repository| serde_json::from_value(repository).ok())
    }
}

/// `GET /installation/repositories`, a page by its number from 1 on.
pub(crate) fn repositories(size: usize, page: usize) -> Get<Repositories> {
    Get::new(format!("/installation/repositories?per_page={size}&page={page}"))
}

/// A page of a repository's pull requests by its number from 1 on, each a [`Pull`] or what has another shape: the last touched first, of the open
/// ones alone the oldest first, as [`adapters::github::graphql::by_update`] lists them.
/// <https://docs.github.com/en/rest/pulls/pulls#list-pull-requests>
pub(crate) fn pulls(repository: &RepositoryName, only_open: bool, size: usize, page: usize) -> Get<Vec<Value>> {
    let list =
        if only_open { "state=open&sort=created&direction=asc" } else { "state=all&sort=updated&direction=desc" };
    Get::new(format!("/repos/{repository}/pulls?{list}&per_page={size}&page={page}"))
}

/// How many of that list were read before a resync stopped. Earlier versions kept the URL of the next page of a hundred.
pub(crate) fn read_before(after: &str) -> usize {
    let page = || after.split(['?', '&']).find_map(|pair| pair.strip_prefix("page=")?.parse::<usize>().ok());
    after.parse().ok().or_else(|| page().map(|page| page.saturating_sub(1).saturating_mul(100))).unwrap_or(0)
}
