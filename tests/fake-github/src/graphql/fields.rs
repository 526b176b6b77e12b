//! What each field is.

use async_graphql_parser::Pos;
use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::arguments::{Order, cursor, cursor_key, page_size, states};
use super::{FieldError, Object, Run, Thing};
use crate::answer::{Call, RouteResponse};
use crate::faults::LargePage;
use crate::mergeability::{Observation, Pull, PullState, TimelineEvent, pull_node};
use crate::repositories::repository_node;
use crate::shapes::time;
use crate::state::{NodeRef, State};

impl Run<'_> {
    /// As the REST route does it: the same rules, and the same delivery.
    pub(super) fn create_pull_request(&mut self, arguments: &Map<String, Value>) -> Result<Thing, FieldError> {
        let input = arguments.get("input").cloned().unwrap_or_default();
        let node = input["repositoryId"].as_str().unwrap_or_default();
        let unknown = || FieldError::not_found(format!("Could not resolve to a node with the global id of '{node}'."));
        let Some(NodeRef::Repository(repository)) = self.state.nodes.get(node).copied() else {
            return Err(unknown());
        };
        let name = self.state.repositories[&repository].full_name.clone();
        let asked = json!({"title": input["title"], "body": input["body"], "draft": input["draft"],
            "head": input["headRefName"], "base": input["baseRefName"]});
        let Call { method, path, query, headers, base, .. } = self.call;
        let (method, path, query) = (method.clone(), path.clone(), query.clone());
        let call =
            Call { method, path, query, headers: headers.clone(), body: asked.to_string().into(), base: base.clone() };
        let refused = |answer: RouteResponse| {
            let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            FieldError { kind: "UNPROCESSABLE", message: said["message"].as_str().unwrap_or_default().to_owned() }
        };
        let opened = self.state.post_pull(&call, &name).map_err(refused)?;
        let pull: Value = serde_json::from_slice(&opened.body).unwrap_or_default();
        self.event = opened.event;
        let pull = Object::Pull { repository, number: pull["number"].as_u64().unwrap_or_default(), listed: true };
        Ok(Thing::One(Object::Plain("CreatePullRequestPayload", [("pullRequest", Thing::One(pull))].into())))
    }

    pub(super) fn query_field(&mut self, field: &str, arguments: &Map<String, Value>) -> Result<Thing, FieldError> {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        match field {
            "repository" => {
                let name = format!("{}/{}", text("owner"), text("name"));
                let unknown =
                    || FieldError::not_found(format!("Could not resolve to a Repository with the name '{name}'."));
                let former = self.state.repositories.formerly(&name);
                let id = self.state.named(&name).or(former).ok_or_else(unknown)?;
                let readable = self.state.require_repository(&self.caller, id, "metadata");
                readable.map_err(|answer| if answer.status == 404 { unknown() } else { FieldError::forbidden() })?;
                match self.state.barred(id, None) {
                    Some(message) => Err(FieldError { kind: "FORBIDDEN", message }),
                    None => Ok(Thing::One(Object::Repository(id))),
                }
            }
            "node" => self.node(&text("id")),
            "nodes" => {
                let ids = arguments.get("ids").and_then(Value::as_array).cloned().unwrap_or_default();
                let mut found = Vec::new();
                for (at, id) in ids.iter().enumerate() {
                    self.path.push(json!(at));
                    let node = self.node(id.as_str().unwrap_or_default()).unwrap_or_else(|failure| {
                        self.fail(Pos::default(), failure);
                        Thing::Leaf(Value::Null)
                    });
                    self.path.pop();
                    found.push(node);
                }
                Ok(Thing::Many(found))
            }
            _ => Ok(self.rate_limit()),
        }
    }

    fn node(&self, id: &str) -> Result<Thing, FieldError> {
        let unknown = || FieldError::not_found(format!("Could not resolve to a node with the global id of '{id}'"));
        let node = *self.state.nodes.get(id).ok_or_else(unknown)?;
        let (repository, permission, object) = match node {
            NodeRef::Repository(id) => (id, "metadata", Object::Repository(id)),
            NodeRef::Pull(repository, number) => {
                (repository, "pull_requests", Object::Pull { repository, number, listed: false })
            }
        };
        if !self.state.repositories.contains_key(&repository) {
            return Err(unknown());
        }
        let readable = self.state.require_repository(&self.caller, repository, permission);
        readable.map_err(|answer| if answer.status == 404 { unknown() } else { FieldError::forbidden() })?;
        Ok(Thing::One(object))
    }

    pub(super) fn rate_limit(&self) -> Thing {
        let used = self.state.graphql.queries;
        let reset = self.state.now() + SignedDuration::from_mins(60);
        plain(
            "RateLimit",
            [
                ("cost", json!(1)),
                ("limit", json!(5_000)),
                ("remaining", json!(5_000_usize.saturating_sub(used))),
                ("used", json!(used)),
                ("nodeCount", json!(self.state.graphql.nodes)),
                ("resetAt", json!(reset.to_string())),
            ],
        )
    }

    pub(super) fn repository_field(
        &mut self,
        id: u64,
        field: &str,
        arguments: &Map<String, Value>,
    ) -> Result<Thing, FieldError> {
        let repository = &self.state.repositories[&id];
        let leaf = match field {
            "id" => json!(repository_node(id)),
            "databaseId" => json!(id),
            "name" => json!(repository.short_name()),
            "nameWithOwner" => json!(repository.full_name),
            "isPrivate" => json!(repository.private),
            "isFork" => json!(repository.fork),
            "url" => json!(format!("https://github.com/{}", repository.full_name)),
            "owner" => return Ok(actor(self.state, repository.owner())),
            "description" | "parent" => Value::Null,
            "hasIssuesEnabled" | "hasWikiEnabled" | "mergeCommitAllowed" | "rebaseMergeAllowed"
            | "squashMergeAllowed" => json!(true),
            "viewerPermission" => json!("WRITE"),
            "defaultBranchRef" => return Ok(plain("Ref", [("name", json!("main"))])),
            "ref" => {
                self.state.require_repository(&self.caller, id, "contents").map_err(|_| FieldError::forbidden())?;
                let name = arguments.get("qualifiedName").and_then(Value::as_str).unwrap_or_default();
                let name = name.strip_prefix("refs/heads/").unwrap_or_default().to_owned();
                if let Some(message) = self.state.faults.barred_branch(&repository.full_name, &name) {
                    return Err(FieldError { kind: "FORBIDDEN", message });
                }
                let tip = repository.branches.get(&name).map(|branch| branch.tip.clone());
                let Some(tip) = tip else { return Ok(Thing::Leaf(Value::Null)) };
                let target = plain("Commit", [("oid", json!(tip))]);
                let fields = [("name", Thing::Leaf(json!(name))), ("target", target)];
                return Ok(Thing::One(Object::Plain("Ref", fields.into())));
            }
            "pullRequest" => {
                self.may_read_pulls(id)?;
                let number = arguments.get("number").and_then(Value::as_u64).unwrap_or(0);
                let message = format!("Could not resolve to a PullRequest with the number of {number}.");
                let pull = self.state.pulls.get(&(id, number)).ok_or_else(|| FieldError::not_found(message))?;
                return Ok(Thing::One(Object::Pull { repository: id, number: pull.number, listed: false }));
            }
            _ => {
                self.may_read_pulls(id)?;
                return self.list(id, arguments);
            }
        };
        Ok(Thing::Leaf(leaf))
    }

    fn may_read_pulls(&self, id: u64) -> Result<(), FieldError> {
        self.state.require_repository(&self.caller, id, "pull_requests").map_err(|_| FieldError::forbidden())
    }

    fn list(&mut self, id: u64, arguments: &Map<String, Value>) -> Result<Thing, FieldError> {
        let first = page_size(arguments.get("first").and_then(Value::as_u64))?;
        let states = states(arguments.get("states"))?;
        let order = Order::of(arguments.get("orderBy").unwrap_or(&Value::Null))?;
        let is =
            |name: &str, value: &str| arguments.get(name).and_then(Value::as_str).is_none_or(|wanted| wanted == value);
        let wanted = |pull: &&Pull| {
            !pull.hidden_in_lists
                && (states.is_empty() || states.contains(&pull.state))
                && is("baseRefName", &pull.base)
                && is("headRefName", &pull.head_branch)
        };
        let mut keys: Vec<(i64, u64)> = self.state.pulls_of(id).filter(wanted).map(|pull| order.key(pull)).collect();
        keys.sort_unstable();
        if order.descending {
            keys.reverse();
        }
        let total = keys.len();
        let after = arguments.get("after").and_then(Value::as_str).map(cursor_key).transpose()?;
        if let Some(after) = after {
            keys.retain(|key| if order.descending { *key < after } else { *key > after });
        }
        let size = first.min(self.state.page_size);
        let more = keys.len() > size;
        keys.truncate(size);
        self.state.graphql.nodes += keys.len();
        let too_large = self.state.faults.largest_page.filter(|(largest, _)| first > *largest);
        self.timed_out |= matches!(too_large, Some((_, LargePage::BadGateway)));
        let shown = too_large.map_or(usize::MAX, |(largest, _)| largest);
        let object = |at: usize, number: u64| {
            let message = "Resource limits for this query exceeded.".to_owned();
            match at < shown {
                true => Thing::One(Object::Pull { repository: id, number, listed: true }),
                false => Thing::Failed(FieldError { kind: "RESOURCE_LIMITS_EXCEEDED", message }),
            }
        };
        let edge = |(at, key): (usize, &(i64, u64))| {
            let fields = [("cursor", Thing::Leaf(json!(cursor(*key)))), ("node", object(at, key.1))];
            Thing::One(Object::Plain("PullRequestEdge", fields.into()))
        };
        let page = [
            ("hasNextPage", json!(more)),
            ("endCursor", json!(keys.last().map(|key| cursor(*key)))),
            ("hasPreviousPage", json!(after.is_some())),
            ("startCursor", json!(keys.first().map(|key| cursor(*key)))),
        ];
        let fields = [
            ("nodes", Thing::Many(keys.iter().enumerate().map(|(at, key)| object(at, key.1)).collect())),
            ("edges", Thing::Many(keys.iter().enumerate().map(edge).collect())),
            ("pageInfo", plain("PageInfo", page)),
            ("totalCount", Thing::Leaf(json!(total))),
        ];
        Ok(Thing::One(Object::Plain("PullRequestConnection", fields.into())))
    }
}

pub(super) fn plain<const N: usize>(kind: &'static str, leaves: [(&'static str, Value); N]) -> Thing {
    Thing::One(Object::Plain(kind, leaves.map(|(name, value)| (name, Thing::Leaf(value))).into()))
}

/// The last entries of the types asked for.
pub(super) fn timeline(pull: &Pull, arguments: &Map<String, Value>) -> Thing {
    let types = arguments.get("itemTypes").and_then(Value::as_array);
    let wanted = |kind: &str| types.is_none_or(|types| types.iter().any(|wanted| wanted == kind));
    let events = pull.timeline.iter().filter_map(|event| match event {
        TimelineEvent::Renamed { at, from, to } => wanted("RENAMED_TITLE_EVENT").then(|| {
            let fields =
                [("createdAt", json!(at.to_string())), ("previousTitle", json!(from)), ("currentTitle", json!(to))];
            plain("RenamedTitleEvent", fields)
        }),
        TimelineEvent::Merged { at } => {
            wanted("MERGED_EVENT").then(|| plain("MergedEvent", [("createdAt", json!(at.to_string()))]))
        }
    });
    let mut events: Vec<_> = events.collect();
    let last = arguments.get("last").and_then(Value::as_u64).map_or(events.len(), |last| last as usize);
    events.drain(..events.len().saturating_sub(last));
    let fields = [("totalCount", Thing::Leaf(json!(events.len()))), ("nodes", Thing::Many(events))];
    Thing::One(Object::Plain("PullRequestTimelineItemsConnection", fields.into()))
}

pub(super) fn actor(state: &State, login: &str) -> Thing {
    let account = state.account_json(login);
    let (url, avatar) = (account["html_url"].clone(), account["avatar_url"].clone());
    // The REST API writes `[bot]` behind the login of one, GraphQL does not.
    let (kind, login) = login.strip_suffix("[bot]").map_or(("Actor", login), |login| ("Bot", login));
    plain(kind, [("login", json!(login)), ("url", url), ("avatarUrl", avatar)])
}

pub(super) fn pull_field(state: &State, pull: &Pull, field: &str, seen: Option<&Observation>) -> Thing {
    let repository = &state.repositories[&pull.repository];
    let merged = pull.state == PullState::Merged;
    let leaf = match field {
        "id" => json!(pull_node(pull.id)),
        "databaseId" => json!(pull.id),
        "fullDatabaseId" => json!(pull.id.to_string()),
        "number" => json!(pull.number),
        "title" => json!(pull.title),
        "url" => json!(format!("https://github.com/{}/pull/{}", repository.full_name, pull.number)),
        "state" => json!(match pull.state {
            PullState::Open => "OPEN",
            PullState::Closed => "CLOSED",
            PullState::Merged => "MERGED",
        }),
        "isDraft" => json!(pull.draft),
        "closed" => json!(pull.state != PullState::Open),
        "merged" => json!(merged),
        "mergeable" => json!(match seen.and_then(|seen| seen.mergeable) {
            Some(true) => "MERGEABLE",
            Some(false) => "CONFLICTING",
            None => "UNKNOWN",
        }),
        "mergeStateStatus" => json!(seen.map_or("UNKNOWN".to_owned(), |seen| seen.state.to_uppercase())),
        "mergeCommit" => match &pull.merge_commit {
            Some(sha) => return plain("Commit", [("oid", json!(sha))]),
            None => Value::Null,
        },
        "headRefOid" => json!(seen.map_or(&pull.head, |seen| &seen.head)),
        "headRefName" => json!(pull.head_branch),
        "baseRefOid" => json!(pull.base_sha),
        "baseRefName" => json!(pull.base),
        "updatedAt" => json!(pull.updated_at.to_string()),
        "createdAt" => json!(pull.created_at.to_string()),
        "closedAt" => time(pull.closed_at),
        "mergedAt" => time(pull.closed_at.filter(|_| merged)),
        "author" => return actor(state, &pull.author),
        "isCrossRepository" => json!(pull.head_repository != Some(pull.repository)),
        "headRepositoryOwner" => {
            let login = &pull.head_owner;
            return plain(
                "User",
                [("id", json!(format!("U_{login}"))), ("login", json!(login)), ("name", json!(login))],
            );
        }
        "headRepository" => match pull.head_repository {
            Some(id) => return Thing::One(Object::Repository(id)),
            None => Value::Null,
        },
        _ => return Thing::One(Object::Repository(pull.repository)),
    };
    Thing::Leaf(leaf)
}
