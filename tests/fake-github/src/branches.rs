//! Branches, and what the App itself does with pull requests: it opens them, renames them and asks for reviews.

use std::process::Command;

use serde_json::{Value, json};

use super::answer::{Call, DOCUMENTATION, Reply, RouteResponse};
use super::app::SLUG;
use super::auth::Caller;
use super::deliveries::Event;
use super::mergeability::{Pull, PullState, TimelineEvent};
use super::pulls::NewPullRequest;
use super::state::State;
use super::tokens::{Token, allows};

/// GitHub takes no longer title.
const LONGEST_TITLE: usize = 256;

impl State {
    /// A write below `/repos/{owner}/{repo}`; `None` is a route that GitHub does not have, or that the App does not use.
    pub(super) fn repository_write(
        &mut self,
        call: &Call,
        full_name: &str,
        rest: &[&str],
    ) -> Option<(&'static str, Reply)> {
        Some(match (call.method.as_str(), rest) {
            ("POST", ["pulls"]) => ("POST /repos/{owner}/{repo}/pulls", self.post_pull(call, full_name)),
            ("PATCH", ["pulls", number]) => {
                ("PATCH /repos/{owner}/{repo}/pulls/{number}", self.patch_pull(call, full_name, number))
            }
            ("POST", ["pulls", number, "requested_reviewers"]) => {
                let route = "POST /repos/{owner}/{repo}/pulls/{number}/requested_reviewers";
                (route, self.post_reviewers(call, full_name, number))
            }
            _ => return None,
        })
    }

    pub(super) fn get_branch(&mut self, id: u64, branch: &str) -> Reply {
        let branch = decoded(branch);
        let sha = self.tip(id, &branch).ok_or_else(|| RouteResponse::error(404, "Branch not found"))?;
        Ok(RouteResponse::json(200, json!({"name": branch, "commit": {"sha": sha}, "protected": false})))
    }

    pub(super) fn compare(&mut self, id: u64, between: &str) -> Reply {
        let between = decoded(between);
        let (base, head) = between.split_once("...").ok_or_else(RouteResponse::not_found)?;
        let (ahead, behind) = self.ahead(id, base, head).ok_or_else(RouteResponse::not_found)?;
        let status = match (ahead, behind) {
            (0, 0) => "identical",
            (_, 0) => "ahead",
            (0, _) => "behind",
            _ => "diverged",
        };
        Ok(RouteResponse::json(200, json!({"status": status, "ahead_by": ahead, "behind_by": behind, "commits": []})))
    }

    pub(super) fn post_pull(&mut self, call: &Call, full_name: &str) -> Reply {
        let (id, _) = self.writer(call, full_name)?;
        let asked = call.json()?;
        let text = |name: &str| asked[name].as_str().unwrap_or_default().trim().to_owned();
        let (title, head, base) = (text("title"), text("head"), text("base"));
        title_fits(&title)?;
        let owner = self.repositories[&id].owner().to_owned();
        // A head may be named with its owner; one of a fork is not the App's to open.
        let head = head.strip_prefix(&format!("{owner}:")).unwrap_or(&head).to_owned();
        for (field, branch) in [("head", &head), ("base", &base)] {
            if branch.is_empty() || self.tip(id, branch).is_none() {
                return Err(invalid(json!({"resource": "PullRequest", "field": field, "code": "invalid"})));
            }
        }
        if self.ahead(id, &base, &head).is_none_or(|(ahead, _)| ahead == 0) {
            return Err(custom(&format!("No commits between {base} and {head}")));
        }
        let open = |pull: &&Pull| {
            pull.state == PullState::Open && pull.head_branch == head && pull.base == base && pull.head_owner == owner
        };
        if self.pulls.of(id).any(|pull| open(&pull)) {
            return Err(custom(&format!("A pull request already exists for {owner}:{head}.")));
        }
        let tip = self.tip(id, &head);
        let new = NewPullRequest {
            head_branch: head,
            base,
            author: format!("{SLUG}[bot]"),
            draft: asked["draft"] == true,
            ..NewPullRequest::titled(&title)
        };
        let name = self.repositories[&id].full_name.clone();
        let number = self.open(&name, new);
        let pull = self.pull(&name, number);
        pull.body = asked["body"].as_str().map(str::to_owned);
        if let Some(tip) = tip {
            pull.head = tip;
        }
        let event = self.pull_event(&name, number, "opened", json!({}));
        self.written(201, id, number, Some(event))
    }

    fn patch_pull(&mut self, call: &Call, full_name: &str, number: &str) -> Reply {
        let (id, _) = self.writer(call, full_name)?;
        let number = self.number(id, number)?;
        let asked = call.json()?;
        let name = self.repositories[&id].full_name.clone();
        let mut event = None;
        if let Some(title) = asked["title"].as_str() {
            title_fits(title)?;
            if self.pull(&name, number).title != title {
                event = Some(self.rename(&name, number, title));
            }
        }
        self.written(200, id, number, event)
    }

    /// Changes the title.
    pub(super) fn rename(&mut self, full_name: &str, number: u64, title: &str) -> Event {
        let pull = self.touch(full_name, number);
        let from = std::mem::replace(&mut pull.title, title.to_owned());
        let renamed = TimelineEvent::Renamed { at: pull.updated_at, from: from.clone(), to: title.to_owned() };
        pull.timeline.push(renamed);
        self.pull_event(full_name, number, "edited", json!({"changes": {"title": {"from": from}}}))
    }

    fn post_reviewers(&mut self, call: &Call, full_name: &str, number: &str) -> Reply {
        let (id, _) = self.writer(call, full_name)?;
        let number = self.number(id, number)?;
        let asked = call.json()?;
        let names = |field: &str| -> Vec<String> {
            let names = asked[field].as_array().into_iter().flatten();
            names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
        };
        let people = names("reviewers");
        if people.iter().any(|login| !self.repositories[&id].collaborators.contains_key(&login.to_lowercase())) {
            return Err(RouteResponse::error(
                422,
                "Reviews may only be requested from collaborators. One or more of the users or teams you specified is not a \
                 collaborator of the repository.",
            ));
        }
        let full_name = self.repositories[&id].full_name.clone();
        let pull = self.pull(&full_name, number);
        pull.reviewers.extend(people);
        pull.review_teams.extend(names("team_reviewers"));
        self.written(201, id, number, None)
    }

    /// The repository, for a token that may write pull requests there.
    fn writer(&mut self, call: &Call, full_name: &str) -> Result<(u64, Token), RouteResponse> {
        let id = self.repositories.named(full_name).ok_or_else(RouteResponse::not_found)?;
        match self.caller(call)? {
            Caller::Installation(token) if self.reach(&token).contains(&id) => {
                if allows(&token.permissions, "pull_requests", "write") {
                    Ok((id, token))
                } else {
                    Err(RouteResponse::forbidden())
                }
            }
            Caller::Anonymous => Err(RouteResponse::error(401, "Requires authentication")),
            Caller::Installation(_) => Err(RouteResponse::not_found()),
        }
    }

    fn number(&self, id: u64, number: &str) -> Result<u64, RouteResponse> {
        let number = number.parse().ok().filter(|number| self.pulls.contains_key(&(id, *number)));
        number.ok_or_else(RouteResponse::not_found)
    }

    fn written(&mut self, status: u16, id: u64, number: u64, event: Option<Event>) -> Reply {
        let seen = self.pulls.observe(&self.repositories, id, number, false);
        let body = self.pull_json(&self.pulls[&(id, number)], Some(&seen));
        Ok(RouteResponse { event: event.map(Box::new), ..RouteResponse::json(status, body) })
    }

    /// The commit that a branch is at: git's, where git has the repository, else what pull requests and merges made of it.
    fn tip(&mut self, id: u64, branch: &str) -> Option<String> {
        let known = |state: &State| {
            let open = state.pulls.of(id).find(|pull| pull.head_branch == branch && pull.state == PullState::Open);
            let tip = state.repositories[&id].branches.get(branch).map(|branch| branch.tip.clone());
            open.map(|pull| pull.head.clone()).or(tip).filter(|tip| !tip.is_empty())
        };
        self.rev_parse(id, branch).or_else(|| known(self))
    }

    /// How many commits the head has that the base has not, and the other way round.
    fn ahead(&mut self, id: u64, base: &str, head: &str) -> Option<(u64, u64)> {
        if let (Some(base), Some(head)) = (self.rev_parse(id, base), self.rev_parse(id, head)) {
            let between = self.git_says(id, &["rev-list", "--left-right", "--count", &format!("{base}...{head}")])?;
            let (behind, ahead) = between.split_once('\t')?;
            return Some((ahead.parse().ok()?, behind.parse().ok()?));
        }
        let (base, head) = (self.tip(id, base)?, self.tip(id, head)?);
        Some((u64::from(base != head), 0))
    }

    fn rev_parse(&mut self, id: u64, branch: &str) -> Option<String> {
        self.git_says(id, &["rev-parse", "--verify", "--quiet", &format!("refs/heads/{branch}")])
    }

    fn git_says(&mut self, id: u64, arguments: &[&str]) -> Option<String> {
        let folder = self.git_folder(id);
        let output = folder.exists().then(|| Command::new("git").arg("-C").arg(folder).args(arguments).output())?;
        let output = output.expect("run git");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

fn title_fits(title: &str) -> Result<(), RouteResponse> {
    if title.is_empty() {
        return Err(invalid(json!({"resource": "PullRequest", "field": "title", "code": "missing_field"})));
    }
    if title.chars().count() > LONGEST_TITLE {
        return Err(custom(&format!("title is too long (maximum is {LONGEST_TITLE} characters)")));
    }
    Ok(())
}

fn custom(message: &str) -> RouteResponse {
    invalid(json!({"resource": "PullRequest", "code": "custom", "message": message}))
}

fn invalid(error: Value) -> RouteResponse {
    let body =
        json!({"message": "Validation Failed", "errors": [error], "documentation_url": DOCUMENTATION, "status": "422"});
    RouteResponse::json(422, body)
}

/// A path's segment as it was before it was put into the URL.
fn decoded(segment: &str) -> String {
    let mut url = reqwest::Url::parse("http://segment").expect("a URL");
    // In a query a plus sign would be a blank.
    url.set_query(Some(&format!("s={}", segment.replace('+', "%2B"))));
    url.query_pairs().next().map(|(_, text)| text.into_owned()).unwrap_or_default()
}
