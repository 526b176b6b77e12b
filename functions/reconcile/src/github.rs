//! What reconcile asks GitHub, and what the answers say.

use adapters::github::pull_request::{Observed, Repository, User};
use adapters::github::{Answer, Client, Error};
use domain::pull_request::{FactSource, Facts, InstallationId, Mergeability, PullRequestNumber, RepositoryId, State};
use jiff::Timestamp;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

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

/// One request.
#[derive(Debug)]
pub(crate) enum Request {
    Get(String),
    Query { text: String, variables: Value },
}

impl Request {
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        client: &Client,
        token: &SecretString,
    ) -> Result<Answer<T>, Error> {
        match self {
            Self::Get(path) => client.get(path, token).await,
            Self::Query { text, variables } => client.graphql(token, text, variables).await,
        }
    }
}

/// `GET /repos/{owner}/{repo}/pulls/{number}`: the read also makes GitHub work out the answer.
pub(crate) fn pull(repository: &str, number: PullRequestNumber) -> Request {
    Request::Get(format!("/repos/{repository}/pulls/{number}"))
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
pub(crate) fn permission(repository: &str, user: &str) -> Request {
    Request::Get(format!("/repos/{repository}/collaborators/{user}/permission"))
}

/// One page of an installation's repositories.
/// <https://docs.github.com/en/rest/apps/installations#list-repositories-accessible-to-the-app-installation>
#[derive(Deserialize)]
pub(crate) struct Repositories {
    pub(crate) repositories: Vec<Repository>,
}

/// `GET /installation/repositories`, or a page of it as an earlier one's `Link` header names it.
pub(crate) fn repositories(page: Option<String>) -> Request {
    Request::Get(page.unwrap_or_else(|| format!("/installation/repositories?per_page={PAGE}")))
}

/// An answer of GraphQL's: errors come with status 200, and beside data.
/// <https://docs.github.com/en/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api>
#[derive(Deserialize)]
pub(crate) struct Graphql<T> {
    data: Option<T>,
    #[serde(default = "Vec::new")]
    errors: Vec<GraphqlError>,
}

#[derive(Deserialize)]
struct GraphqlError {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    message: String,
}

impl<T> Graphql<T> {
    /// The data. What is missing in it is null there.
    pub(crate) fn data(self, now: Timestamp) -> Result<T, Failure> {
        let limited = |error: &GraphqlError| error.kind == "RATE_LIMITED" || error.kind == "RATE_LIMIT";
        if self.errors.iter().any(limited) {
            return Err(Failure::Limited { until: now.as_second() + 60 });
        }
        let expected = |error: &&GraphqlError| error.kind != "NOT_FOUND";
        let said = self.errors.iter().find(expected).map(|error| format!("{}: {}", error.kind, error.message));
        match (self.data, said) {
            (Some(data), None) => Ok(data),
            (_, Some(said)) if said.starts_with("FORBIDDEN") => {
                Err(Failure::Refused(format!("GraphQL answered {said}")))
            }
            (_, Some(said)) => Err(Failure::Unavailable(format!("GraphQL answered {said}"))),
            (None, None) => Err(Failure::Unavailable("GraphQL answered nothing".to_owned())),
        }
    }
}

/// The one repository of a query.
#[derive(Deserialize)]
pub(crate) struct One {
    pub(crate) repository: Option<Listed>,
}

/// A repository and a page of its pull requests.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listed {
    pub(crate) database_id: RepositoryId,
    pub(crate) name_with_owner: String,
    pub(crate) pull_requests: Connection,
}

/// A page.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Connection {
    pub(crate) nodes: Vec<Option<Node>>,
    pub(crate) page_info: PageInfo,
}

/// Where the next page is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

impl PageInfo {
    pub(crate) fn next(self) -> Option<String> {
        self.end_cursor.filter(|_| self.has_next_page)
    }
}

/// A pull request in GraphQL's words.
/// <https://docs.github.com/en/graphql/reference/objects#pullrequest>
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Node {
    number: PullRequestNumber,
    title: String,
    url: String,
    state: String,
    is_draft: bool,
    author: Option<User>,
    head_ref_oid: String,
    base_ref_name: String,
    is_cross_repository: bool,
    head_repository: Option<DatabaseId>,
    created_at: Timestamp,
    updated_at: Timestamp,
    merged_at: Option<Timestamp>,
    closed_at: Option<Timestamp>,
    #[serde(default)]
    mergeable: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DatabaseId {
    database_id: Option<RepositoryId>,
}

impl Node {
    pub(crate) fn observed(
        self,
        repository_id: RepositoryId,
        repository: &str,
        installation_id: Option<InstallationId>,
    ) -> Observed {
        let state = match self.state.as_str() {
            "OPEN" => State::Open,
            "MERGED" => State::Merged,
            _ => State::Closed,
        };
        let own_head = self.head_repository.and_then(|head| head.database_id) == Some(repository_id);
        let facts = Facts {
            source: FactSource::Api,
            repository_id,
            repository: repository.to_owned(),
            installation_id,
            number: self.number,
            title: self.title,
            url: self.url,
            head_sha: self.head_ref_oid,
            base: self.base_ref_name,
            state,
            draft: self.is_draft,
            author: self.author.map(|author| author.login).unwrap_or_default(),
            fork: self.is_cross_repository || !own_head,
            created_at: self.created_at,
            ended_at: self.merged_at.or(self.closed_at),
            updated_at: self.updated_at,
        };
        let mergeability = match self.mergeable.as_deref() {
            Some("MERGEABLE") => Mergeability::Mergeable,
            Some("CONFLICTING") => Mergeability::Conflicting,
            _ => Mergeability::Unknown,
        };
        Observed { facts, mergeability }
    }
}

const NODE: &str = "number title url state isDraft author{login} headRefOid baseRefName isCrossRepository \
                    headRepository{databaseId} createdAt updatedAt mergedAt closedAt";

/// A page of the open pull requests on a base, oldest first: what is done to one meanwhile does not move the others.
pub(crate) fn on_base(repository: &str, base: &str, after: Option<&str>) -> Request {
    let (owner, name) = split(repository);
    let text = format!(
        "query($owner:String!,$name:String!,$base:String!,$after:String){{repository(owner:$owner,name:$name){{\
         databaseId nameWithOwner pullRequests(first:{PAGE},after:$after,states:OPEN,baseRefName:$base,\
         orderBy:{{field:CREATED_AT,direction:ASC}}){{nodes{{{NODE} mergeable}} pageInfo{{hasNextPage endCursor}}}}}}}}"
    );
    Request::Query { text, variables: json!({"owner": owner, "name": name, "base": base, "after": after}) }
}

/// A page of a repository's pull requests, the last touched first.
pub(crate) fn by_update(repository: &str, only_open: bool, after: Option<&str>) -> Request {
    let (owner, name) = split(repository);
    let states = if only_open { "[OPEN]" } else { "[OPEN,CLOSED,MERGED]" };
    let text = format!(
        "query($owner:String!,$name:String!,$after:String){{repository(owner:$owner,name:$name){{\
         databaseId nameWithOwner pullRequests(first:{PAGE},after:$after,states:{states},\
         orderBy:{{field:UPDATED_AT,direction:DESC}}){{nodes{{{NODE}}} pageInfo{{hasNextPage endCursor}}}}}}}}"
    );
    Request::Query { text, variables: json!({"owner": owner, "name": name, "after": after}) }
}

/// When a pull request of a repository was last touched.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Touched {
    pub(crate) database_id: RepositoryId,
    pub(crate) name_with_owner: String,
    pull_requests: LastTouched,
}

#[derive(Deserialize)]
struct LastTouched {
    nodes: Vec<Updated>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Updated {
    updated_at: Timestamp,
}

impl Touched {
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        self.pull_requests.nodes.first().map(|node| node.updated_at)
    }
}

/// When each of these repositories was last touched, in one query; the answer's keys are `r0`, `r1`, …
pub(crate) fn last_touched<'a>(repositories: impl Iterator<Item = &'a str>) -> Request {
    let mut declared = Vec::new();
    let mut fields = String::new();
    let mut variables = serde_json::Map::new();
    for (at, repository) in repositories.enumerate() {
        let (owner, name) = split(repository);
        declared.push(format!("$o{at}:String!,$n{at}:String!"));
        variables.insert(format!("o{at}"), json!(owner));
        variables.insert(format!("n{at}"), json!(name));
        fields.push_str(&format!(
            "r{at}:repository(owner:$o{at},name:$n{at}){{databaseId nameWithOwner pullRequests(first:1,\
             orderBy:{{field:UPDATED_AT,direction:DESC}}){{nodes{{updatedAt}}}}}}"
        ));
    }
    let text = format!("query({}){{{fields}}}", declared.join(","));
    Request::Query { text, variables: Value::Object(variables) }
}

fn split(repository: &str) -> (&str, &str) {
    repository.split_once('/').unwrap_or((repository, ""))
}
