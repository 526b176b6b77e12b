//! What reconcile asks GitHub, and what the answers say.

use std::marker::PhantomData;

use adapters::github::graphql::{Queried, Query};
use adapters::github::pull_request::{Pull, Repository};
use adapters::github::{Answer, Client, Error};
use domain::pull_request::PullRequestNumber;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// GitHub's largest page.
pub(crate) const PAGE: usize = 100;

/// Why something could not be had, as far as something different is done about it.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// A rate limit that ends at this second.
    Limited { until: i64 },
    /// The repository is not there, or not for this installation.
    Gone,
    /// The installation is not there.
    NoInstallation(String),
    /// Refused for a reason that a person has to end.
    Refused(String),
    /// Not reached, or an error of GitHub's own.
    Unavailable(String),
    /// This invocation's time is over.
    OutOfTime,
    /// A table failed; it is logged.
    Table,
}

/// One request, sent as often as it takes.
pub(crate) trait Ask: Sync {
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

impl<T: DeserializeOwned + Send> Ask for Get<T> {
    type Answer = Answer<T>;

    async fn send(&self, client: &Client, token: &SecretString) -> Result<Answer<T>, Error> {
        client.get(&self.path, token).await
    }
}

impl Ask for Query {
    type Answer = Queried;

    async fn send(&self, client: &Client, token: &SecretString) -> Result<Queried, Error> {
        client.graphql(token, self).await
    }
}

/// `GET /repos/{owner}/{repo}/pulls/{number}`: the read also makes GitHub work out the answer.
pub(crate) fn pull(repository: &str, number: PullRequestNumber) -> Get<Pull> {
    Get::new(format!("/repos/{repository}/pulls/{number}"))
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
pub(crate) fn permission(repository: &str, user: &str) -> Get<Permission> {
    Get::new(format!("/repos/{repository}/collaborators/{user}/permission"))
}

/// One page of an installation's repositories.
/// <https://docs.github.com/en/rest/apps/installations#list-repositories-accessible-to-the-app-installation>
#[derive(Deserialize)]
pub(crate) struct Repositories {
    pub(crate) repositories: Vec<Repository>,
}

/// `GET /installation/repositories`, or a page of it as an earlier one's `Link` header names it.
pub(crate) fn repositories(page: Option<String>) -> Get<Repositories> {
    Get::new(page.unwrap_or_else(|| format!("/installation/repositories?per_page={PAGE}")))
}
