//! Pull requests in GraphQL's words. <https://docs.github.com/en/graphql/reference/objects#pullrequest>

use domain::ids::{InstallationId, PullRequestNumber, RepositoryId, RepositoryName};
use domain::pull_request::{Mergeability, Snapshot, State};
use domain::report::{Facts, Source};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Queried, Query, nothing};
use crate::github::Error;
use crate::github::pull_request::Observed;

const ON_BASE: &str = concat!(include_str!("on_base.graphql"), include_str!("pull_request.graphql"));
const BY_UPDATE: &str =
    concat!(include_str!("by_update.graphql"), include_str!("pull_request.graphql"), include_str!("timeline.graphql"));
const TITLE_OF_MERGE: &str = concat!(include_str!("title_of_merge.graphql"), include_str!("timeline.graphql"));

/// GitHub gives no more at a time.
/// <https://docs.github.com/en/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api#node-limit>
const LARGEST_PAGE: usize = 100;

/// A page of the open pull requests on a base, the oldest first: what is done to one meanwhile does not move the others.
pub fn on_base(repository: &RepositoryName, base: &str, first: usize, after: Option<&str>) -> Query {
    let (owner, name) = (repository.owner(), repository.name());
    let variables = json!({"owner": owner, "name": name, "base": base, "first": first, "after": after});
    Query { text: ON_BASE.into(), variables }
}

/// A page of a repository's pull requests, the last touched first, and of the merged ones their titles at the merge. The open ones alone come the
/// oldest first: one that is touched while they are read would else leave a page that is still to come for one that was read.
pub fn by_update(repository: &RepositoryName, only_open: bool, first: usize, after: Option<&str>) -> Query {
    let (owner, name) = (repository.owner(), repository.name());
    let states = if only_open { json!(["OPEN"]) } else { json!(["OPEN", "CLOSED", "MERGED"]) };
    let (field, direction) = if only_open { ("CREATED_AT", "ASC") } else { ("UPDATED_AT", "DESC") };
    let order = json!({"field": field, "direction": direction});
    let variables =
        json!({"owner": owner, "name": name, "states": states, "first": first, "after": after, "order": order});
    Query { text: BY_UPDATE.into(), variables }
}

/// What REST does not tell of a merged pull request: its title at the merge.
pub fn title_of_merge(repository: &RepositoryName, number: PullRequestNumber) -> Query {
    let (owner, name) = (repository.owner(), repository.name());
    Query { text: TITLE_OF_MERGE.into(), variables: json!({"owner": owner, "name": name, "number": number}) }
}

/// A page of a repository's pull requests.
#[derive(Debug)]
pub struct Page {
    /// Whose they are. A name may be another repository's by now: this tells.
    pub repository_id: RepositoryId,
    /// The pull requests in the order asked for.
    pub listed: Vec<Listed>,
    /// Where the next page begins.
    pub next: Option<String>,
}

impl Page {
    /// Whether GitHub left some out that it may show where less is asked for.
    pub fn is_too_large(&self) -> bool {
        self.listed.iter().any(|listed| matches!(listed, Listed::Missing { error: Error::Unavailable(_), .. }))
    }

    /// Whether there is one of which not even the number was said, so that it cannot be read alone.
    pub fn has_nameless(&self) -> bool {
        self.listed.iter().any(|listed| matches!(listed, Listed::Missing { number: None, .. }))
    }
}

/// One place of a page.
#[derive(Debug)]
pub enum Listed {
    /// A pull request.
    Seen(Box<Observed>),
    /// One that GitHub did not show in full. Nothing of it is used: a part that is missing may be the one that matters.
    Missing {
        /// Which, if at least that was said.
        number: Option<PullRequestNumber>,
        /// Why.
        error: Error,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Repository {
    database_id: RepositoryId,
    name_with_owner: RepositoryName,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connection {
    nodes: Vec<Value>,
    page_info: PageInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    number: PullRequestNumber,
    title: String,
    url: String,
    state: String,
    is_draft: bool,
    author: Option<Actor>,
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
    #[serde(default)]
    timeline_items: Option<Timeline>,
}

/// Who opened it. <https://docs.github.com/en/graphql/reference/interfaces#actor>
#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "__typename")]
    kind: String,
    login: String,
}

impl Actor {
    /// As the REST API and the webhooks write it: a bot's ends with `[bot]`. Written in two ways, each read would be news.
    fn login(self) -> String {
        if self.kind == "Bot" { format!("{}[bot]", self.login) } else { self.login }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DatabaseId {
    database_id: Option<RepositoryId>,
}

/// What is asked of a merged pull request, and no more: of what nobody asked for nothing can be refused.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Merged {
    title: String,
    timeline_items: Timeline,
}

#[derive(Deserialize)]
struct Timeline {
    nodes: Vec<Option<Event>>,
}

impl Timeline {
    fn events(self) -> Vec<Event> {
        self.nodes.into_iter().flatten().collect()
    }
}

/// What of a pull request's timeline tells the title that it was merged with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "__typename")]
pub enum Event {
    /// It got another title.
    #[serde(rename_all = "camelCase")]
    RenamedTitleEvent {
        /// The title before.
        previous_title: String,
    },
    /// It was merged.
    MergedEvent,
}

/// The title at the merge: the one that the first rename after it replaced, or today's. `events` are the last ones, in order;
/// `None` if the merge is not among them.
pub fn title_at_merge<'a>(events: &'a [Event], title: &'a str) -> Option<&'a str> {
    let merge = events.iter().rposition(|event| *event == Event::MergedEvent)?;
    let renamed = events[merge..].iter().find_map(|event| match event {
        Event::RenamedTitleEvent { previous_title } => Some(previous_title.as_str()),
        Event::MergedEvent => None,
    });
    Some(renamed.unwrap_or(title))
}

impl Queried {
    /// The page that [`on_base`] or [`by_update`] asked for.
    ///
    /// # Errors
    /// Why there is no page at all.
    pub fn page(&self, installation: Option<InstallationId>) -> Result<Page, Error> {
        let repository = self.repository()?;
        let connection = &self.field("repository")?["pullRequests"];
        let connection = Connection::deserialize(connection)
            .map_err(|_| self.why(&[&"repository", &"pullRequests"]).unwrap_or_else(nothing))?;
        // Each is held against every error of the answer.
        if connection.nodes.len() > LARGEST_PAGE {
            return Err(Error::Unexpected("a page of more than 100 pull requests".into()));
        }
        let listed = connection.nodes.iter().enumerate().map(|(at, node)| {
            let number = PullRequestNumber::deserialize(&node["number"]).ok();
            if let Some(error) = self.blamed(&[&"repository", &"pullRequests", &"nodes", &at]) {
                return Listed::Missing { number, error };
            }
            match Node::deserialize(node) {
                Ok(node) => Listed::Seen(Box::new(node.observed(&repository, installation))),
                Err(_) => Listed::Missing { number, error: nothing() },
            }
        });
        let PageInfo { has_next_page, end_cursor } = connection.page_info;
        if has_next_page && end_cursor.is_none() {
            // Taken for the last page, it would hide all that is behind it.
            return Err(Error::Unavailable("there is a next page, and not where it begins".into()));
        }
        Ok(Page {
            listed: listed.collect(),
            repository_id: repository.database_id,
            next: end_cursor.filter(|_| has_next_page),
        })
    }

    /// What [`title_of_merge`] asked for; `None` if the merge is not among the last events of the timeline.
    ///
    /// # Errors
    /// Why that is not there.
    pub fn title_of_merge(&self) -> Result<Option<String>, Error> {
        let merged = Merged::deserialize(&self.field("repository")?["pullRequest"]);
        match (self.blamed(&[&"repository"]), merged) {
            (Some(error), _) => Err(error),
            (None, Ok(Merged { title, timeline_items })) => {
                Ok(title_at_merge(&timeline_items.events(), &title).map(ToOwned::to_owned))
            }
            (None, Err(_)) => Err(nothing()),
        }
    }

    fn repository(&self) -> Result<Repository, Error> {
        Repository::deserialize(self.field("repository")?)
            .map_err(|_| self.why(&[&"repository"]).unwrap_or_else(nothing))
    }
}

impl Node {
    fn observed(self, repository: &Repository, installation_id: Option<InstallationId>) -> Observed {
        let state = match self.state.as_str() {
            "OPEN" => State::Open,
            "MERGED" => State::Merged,
            _ => State::Closed,
        };
        let events = self.timeline_items.map(Timeline::events).unwrap_or_default();
        let title_at_merge = match state {
            State::Merged => title_at_merge(&events, &self.title).map(ToOwned::to_owned),
            State::Open | State::Closed => None,
        };
        let own_head = self.head_repository.and_then(|head| head.database_id) == Some(repository.database_id);
        let snapshot = Snapshot {
            repository_id: repository.database_id,
            repository: repository.name_with_owner.clone(),
            installation_id,
            number: self.number,
            title: self.title,
            url: self.url,
            head_sha: self.head_ref_oid,
            base: self.base_ref_name,
            state,
            draft: self.is_draft,
            author: self.author.map(Actor::login).unwrap_or_default(),
            fork: self.is_cross_repository || !own_head,
            created_at: self.created_at,
            ended_at: self.merged_at.or(self.closed_at).map(Timestamp::as_second),
            updated_at: self.updated_at,
        };
        let facts = Facts { snapshot, source: Source::Api { title_at_merge } };
        let mergeability = match self.mergeable.as_deref() {
            Some("MERGEABLE") => Mergeability::Mergeable,
            Some("CONFLICTING") => Mergeability::Conflicting,
            _ => Mergeability::Unknown,
        };
        Observed { facts, mergeability }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::super::{Asked, Body};
    use super::*;

    fn queried(body: Value) -> Result<Queried, Error> {
        let headers = [
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1445414280"),
            ("date", "Wed, 21 Oct 2015 07:28:00 GMT"),
        ];
        let headers: HeaderMap = headers
            .into_iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        serde_json::from_value::<Body>(body).unwrap().queried(&headers)
    }

    fn node(number: u64) -> Value {
        json!({
            "number": number, "title": "A title", "url": "https://github.com/acme/app/pull/1", "state": "OPEN",
            "isDraft": false, "author": null, "headRefOid": "abc", "baseRefName": "main", "isCrossRepository": false,
            "headRepository": {"databaseId": 7}, "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z",
            "mergedAt": null, "closedAt": null, "mergeable": "CONFLICTING"
        })
    }

    fn page(nodes: Value, errors: Value) -> Value {
        json!({"errors": errors, "data": {"repository": {
            "databaseId": 7, "nameWithOwner": "acme/app",
            "pullRequests": {"nodes": nodes, "pageInfo": {"hasNextPage": true, "endCursor": "next"}}
        }}})
    }

    fn shown(page: &Page) -> Vec<Option<u64>> {
        let seen = |listed: &Listed| match listed {
            Listed::Seen(seen) => Some(seen.facts.snapshot.number.0),
            Listed::Missing { .. } => None,
        };
        page.listed.iter().map(seen).collect()
    }

    #[test]
    fn an_error_takes_its_own_part_and_nothing_else() {
        let forbidden = |path: Value| json!([{"type": "FORBIDDEN", "path": path, "message": "Resource protected by organization SAML enforcement."}]);
        let nodes = json!([node(1), node(2), node(3)]);
        let path = json!(["repository", "pullRequests", "nodes", 1, "headRepository"]);
        let answer = queried(page(nodes.clone(), forbidden(path))).unwrap().page(None).unwrap();
        assert_eq!((shown(&answer), answer.next.as_deref()), (vec![Some(1), None, Some(3)], Some("next")));
        let Listed::Missing { number, error } = &answer.listed[1] else { panic!("{answer:?}") };
        assert_eq!(number.map(|number| number.0), Some(2));
        assert!(matches!(error, Error::Barred { .. }), "{error:?}");
        // A null node says of itself not even its number.
        let path = json!(["repository", "pullRequests", "nodes", 0]);
        let answer = queried(page(json!([null, node(2)]), forbidden(path))).unwrap().page(None).unwrap();
        assert_eq!(shown(&answer), [None, Some(2)]);
        let answer = queried(page(json!([node(1), null]), json!([]))).unwrap().page(None).unwrap();
        assert_eq!(shown(&answer), [Some(1), None]);
        // Above every node: there is no page.
        for (path, data) in [
            (json!(["repository"]), json!({"repository": null})),
            (
                json!(["repository", "pullRequests"]),
                json!({"repository": {"databaseId": 7, "nameWithOwner": "acme/app", "pullRequests": null}}),
            ),
        ] {
            let error = queried(json!({"data": data, "errors": forbidden(path)})).unwrap().page(None).unwrap_err();
            assert!(matches!(error, Error::Barred { .. }), "{error:?}");
        }
    }

    #[test]
    fn a_limit_comes_with_status_200_and_is_named_by_the_headers() {
        for limit in [
            json!({"type": "RATE_LIMIT", "message": "API rate limit exceeded for installation ID 1."}),
            json!({"type": "RATE_LIMITED", "message": "whatever"}),
            json!({"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}),
        ] {
            for data in [Value::Null, json!({"repository": null})] {
                let error = queried(json!({"data": data, "errors": [limit]})).unwrap_err();
                assert_eq!(error.wait(), Some(Duration::from_secs(1800)), "{limit}");
            }
        }
        let exhausted = json!({"errors": [{"type": "RESOURCE_LIMITS_EXCEEDED", "message": "Resource limits for this query exceeded."}]});
        assert!(matches!(queried(exhausted).unwrap_err(), Error::Unavailable(_)), "less may be answered");
    }

    fn renamed(previous: &str) -> Event {
        Event::RenamedTitleEvent { previous_title: previous.to_owned() }
    }

    #[test]
    fn the_title_at_the_merge_is_the_one_before_the_first_rename_after_it() {
        let at = |events: &[Event]| title_at_merge(events, "today").map(ToOwned::to_owned);
        assert_eq!(at(&[Event::MergedEvent]).as_deref(), Some("today"));
        assert_eq!(at(&[renamed("first"), Event::MergedEvent]).as_deref(), Some("today"));
        let twice = [renamed("first"), Event::MergedEvent, renamed("merged with"), renamed("between")];
        assert_eq!(at(&twice).as_deref(), Some("merged with"));
        assert_eq!(at(&[renamed("first")]), None, "the merge is not among the last events");
        assert_eq!(at(&[]), None);
    }

    #[test]
    fn only_a_merged_node_has_a_title_at_the_merge() {
        let timeline = json!({"nodes": [{"__typename": "MergedEvent"}, {"__typename": "RenamedTitleEvent", "previousTitle": "Before"}]});
        let mut merged = node(1);
        merged["state"] = json!("MERGED");
        merged["timelineItems"] = timeline.clone();
        let mut open = node(2);
        open["timelineItems"] = timeline;
        let answer = queried(page(json!([merged, open]), json!([]))).unwrap().page(None).unwrap();
        let titles: Vec<_> = answer
            .listed
            .into_iter()
            .map(|listed| match listed {
                Listed::Seen(seen) => seen.facts.title_at_merge().map(ToOwned::to_owned),
                Listed::Missing { .. } => panic!("both are whole"),
            })
            .collect();
        assert_eq!(titles, [Some("Before".to_owned()), None]);
    }

    #[test]
    fn a_page_of_more_than_github_gives_is_refused() {
        let of = |nodes: usize| queried(page(json!(vec![Value::Null; nodes]), json!([]))).unwrap().page(None);
        assert_eq!(of(LARGEST_PAGE).unwrap().listed.len(), LARGEST_PAGE);
        assert!(matches!(of(LARGEST_PAGE + 1).unwrap_err(), Error::Unexpected(_)));
    }

    #[test]
    fn a_hostile_answer_is_taken_apart() {
        let mut merged = node(2);
        merged["timelineItems"] = json!({"nodes": [{"__typename": "MergedEvent"}, {"__typename": "RenamedTitleEvent", "previousTitle": "Before"}, null]});
        let path = json!(["repository", "pullRequests", "nodes", 1, "headRepository"]);
        let errors = json!([{"type": "FORBIDDEN", "path": path, "message": "Resource not accessible by integration"}]);
        let mut one = page(json!([]), errors.clone());
        one["data"]["repository"]["pullRequest"] = merged.clone();
        one["data"]["r0"] = json!({"databaseId": 7, "nameWithOwner": "acme/app", "pullRequests": {"nodes": [{"updatedAt": "2026-01-01T00:00:00Z"}]}, "b0": {"target": {"oid": "abc"}}});
        let answers = [page(json!([node(1), merged, null]), errors).to_string(), one.to_string()];
        let branches = ["main".to_owned(), "next".to_owned()];
        let asked = [Asked { repository: &"acme/app".parse().unwrap(), branches: &branches }];
        hostile::attack(&answers, |input| {
            let Ok(body) = serde_json::from_slice::<Body>(input) else { return };
            let Ok(queried) = body.queried(&HeaderMap::new()) else { return };
            let _ = (queried.page(None), queried.title_of_merge());
            assert_eq!(queried.touched(&asked).len(), asked.len());
        });
    }
}
