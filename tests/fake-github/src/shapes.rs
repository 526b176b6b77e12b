//! GitHub's JSON: accounts, repositories, installations and pull requests, as REST and webhooks show them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::accounts::{Account, AccountType};
use super::app::{APP_ID, CLIENT_ID, SLUG};
use super::mergeability::{Observation, Pull, PullState, pull_node};
use super::repositories::repository_node;
use super::state::State;

impl State {
    pub(super) fn account_json(&self, login: &str) -> Value {
        let unknown = Account { id: 0, login: login.to_owned(), kind: AccountType::User };
        let account = self.accounts.get(login).unwrap_or(&unknown);
        let (id, name) = (account.id, &account.login);
        if account.kind == AccountType::Enterprise {
            return json!({
                "id": id,
                "node_id": format!("E_kgDO{id}"),
                "slug": name,
                "name": name,
                "html_url": format!("https://github.com/enterprises/{name}"),
                "avatar_url": format!("https://avatars.githubusercontent.com/b/{id}?v=4"),
            });
        }
        let kind = if account.kind == AccountType::User { "User" } else { "Organization" };
        json!({
            "login": name,
            "id": id,
            "node_id": format!("U_kgDO{id}"),
            "avatar_url": format!("https://avatars.githubusercontent.com/u/{id}?v=4"),
            "gravatar_id": "",
            "url": format!("{}/users/{name}", self.url),
            "html_url": format!("https://github.com/{name}"),
            "repos_url": format!("{}/users/{name}/repos", self.url),
            "type": kind,
            "user_view_type": "public",
            "site_admin": false,
        })
    }

    pub(super) fn repository_json(&self, id: u64) -> Value {
        let repository = &self.repositories[&id];
        let name = &repository.full_name;
        json!({
            "id": id,
            "node_id": repository_node(id),
            "name": repository.short_name(),
            "full_name": name,
            "private": repository.private,
            "owner": self.account_json(repository.owner()),
            "html_url": format!("https://github.com/{name}"),
            "description": null,
            "fork": repository.fork,
            "url": format!("{}/repos/{name}", self.url),
            "pulls_url": format!("{}/repos/{name}/pulls{{/number}}", self.url),
            "clone_url": format!("{}/{name}.git", self.url),
            "created_at": repository.created_at.to_string(),
            "default_branch": "main",
            "visibility": if repository.private { "private" } else { "public" },
            "archived": false,
            "disabled": false,
        })
    }

    pub(super) fn app_json(&self) -> Value {
        json!({
            "id": APP_ID,
            "client_id": CLIENT_ID,
            "slug": SLUG,
            "node_id": "A_kwHOAAE",
            "owner": self.account_json(&self.owner),
            "name": "Konduktor fake",
            "description": "",
            "external_url": "https://konduktor.example",
            "html_url": format!("https://github.com/apps/{SLUG}"),
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
            "permissions": self.permissions,
            "events": self.events,
            "installations_count": self.installations.len(),
        })
    }

    pub(super) fn installation_json(&self, id: u64) -> Value {
        let installation = &self.installations[&id];
        let account = self.account_json(&installation.account);
        let kind = self.accounts.get(&installation.account).map(|account| account.kind);
        let (kind, page) = match kind {
            Some(AccountType::Organization) => {
                let page = format!("organizations/{}/settings/installations/{id}", installation.account);
                ("Organization", page)
            }
            Some(AccountType::Enterprise) => {
                ("Enterprise", format!("enterprises/{}/settings/installations/{id}", installation.account))
            }
            _ => ("User", format!("settings/installations/{id}")),
        };
        let suspended_by = installation.suspended_at.map(|_| self.account_json(&self.owner));
        json!({
            "id": id,
            "client_id": CLIENT_ID,
            "target_id": account["id"],
            "account": account,
            "repository_selection": if installation.selected.is_some() { "selected" } else { "all" },
            "access_tokens_url": format!("{}/app/installations/{id}/access_tokens", self.url),
            "repositories_url": format!("{}/installation/repositories", self.url),
            "html_url": format!("https://github.com/{page}"),
            "app_id": APP_ID,
            "app_slug": SLUG,
            "target_type": kind,
            "permissions": installation.permissions,
            "events": installation.events,
            "created_at": installation.created_at.to_string(),
            "updated_at": installation.updated_at.to_string(),
            "single_file_name": null,
            "has_multiple_single_files": false,
            "single_file_paths": [],
            "suspended_by": suspended_by,
            "suspended_at": time(installation.suspended_at),
        })
    }

    /// A pull request; a list leaves out what only a single read knows.
    pub(super) fn pull_json(&self, pull: &Pull, seen: Option<&Observation>) -> Value {
        let repository = &self.repositories[&pull.repository].full_name;
        let number = pull.number;
        let api = format!("{}/repos/{repository}/pulls/{number}", self.url);
        let page = format!("https://github.com/{repository}/pull/{number}");
        let merged = pull.state == PullState::Merged;
        let head = seen.map_or(&pull.head, |seen| &seen.head);
        let owner = self.repositories[&pull.repository].owner();
        let mut body = json!({
            "url": api,
            "id": pull.id,
            "node_id": pull_node(pull.id),
            "html_url": page,
            "diff_url": format!("{page}.diff"),
            "patch_url": format!("{page}.patch"),
            "issue_url": format!("{}/repos/{repository}/issues/{number}", self.url),
            "number": number,
            "state": if pull.state == PullState::Open { "open" } else { "closed" },
            "locked": false,
            "title": pull.title,
            "user": self.account_json(&pull.author),
            "body": pull.body,
            "created_at": pull.created_at.to_string(),
            "updated_at": pull.updated_at.to_string(),
            "closed_at": time(pull.closed_at),
            "merged_at": time(pull.closed_at.filter(|_| merged)),
            "merge_commit_sha": pull.merge_commit,
            "draft": pull.draft,
        });
        extend(
            &mut body,
            json!({
                "assignee": null,
                "assignees": [],
                "requested_reviewers": pull.reviewers.iter().map(|login| self.account_json(login)).collect::<Vec<_>>(),
                "requested_teams": pull.review_teams.iter().map(|slug| json!({"slug": slug})).collect::<Vec<_>>(),
                "labels": [],
                "milestone": null,
                "head": {
                    "label": format!("{}:{}", pull.head_owner, pull.head_branch),
                    "ref": pull.head_branch,
                    "sha": head,
                    "user": self.account_json(&pull.head_owner),
                    "repo": pull.head_repository.map(|id| self.repository_json(id)),
                },
                "base": {
                    "label": format!("{owner}:{}", pull.base),
                    "ref": pull.base,
                    "sha": pull.base_sha,
                    "user": self.account_json(owner),
                    "repo": self.repository_json(pull.repository),
                },
                "author_association": "CONTRIBUTOR",
                "auto_merge": null,
                "active_lock_reason": null,
            }),
        );
        let Some(seen) = seen else {
            return body;
        };
        extend(
            &mut body,
            json!({
                "merged": merged,
                "mergeable": seen.mergeable,
                "rebaseable": seen.mergeable,
                "mergeable_state": seen.state,
                "merged_by": merged.then(|| self.account_json(&pull.author)),
                "comments": 0,
                "review_comments": 0,
                "maintainer_can_modify": false,
                "commits": 1,
                "additions": 1,
                "deletions": 0,
                "changed_files": pull.paths.len(),
            }),
        );
        body
    }
}

pub(super) fn time(time: Option<Timestamp>) -> Value {
    time.map_or(Value::Null, |time| Value::String(time.to_string()))
}

pub(super) fn extend(object: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        object.extend(more);
    }
}
