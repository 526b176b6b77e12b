//! The REST routes, each with GitHub's shape and status codes.

use serde_json::{Value, json};

use super::accounts::AccountType;
use super::answer::{Call, Reply, RouteResponse};
use super::app::{APP_ID, AppKey, CLIENT_ID, SLUG};
use super::auth::Caller;
use super::mergeability::{Pull, PullState};
use super::state::State;

const HTML: &str = "text/html; charset=utf-8";

impl State {
    /// Answers a request and names its route; `None` is a route GitHub does not have.
    pub(super) fn rest(&mut self, call: &Call) -> Option<(&'static str, Reply)> {
        let segments: Vec<&str> = call.path.trim_matches('/').split('/').collect();
        let answer = match (call.method.as_str(), segments.as_slice()) {
            ("POST", ["graphql"]) => ("POST /graphql", self.graphql(call)),
            ("GET", ["app"]) => ("GET /app", self.get_app(call)),
            ("GET", ["app", "installations"]) => ("GET /app/installations", self.list_installations(call)),
            ("GET", ["app", "installations", id]) => ("GET /app/installations/{id}", self.get_installation(call, id)),
            ("POST", ["app", "installations", id, "access_tokens"]) => {
                let minted = id.parse().map_or(Err(RouteResponse::not_found()), |id| self.mint(id, call));
                ("POST /app/installations/{id}/access_tokens", minted)
            }
            ("GET", ["app", "hook", "config"]) => ("GET /app/hook/config", self.get_hook(call)),
            ("PATCH", ["app", "hook", "config"]) => ("PATCH /app/hook/config", self.patch_hook(call)),
            ("GET", ["app", "hook", "deliveries"]) => ("GET /app/hook/deliveries", self.list_deliveries(call)),
            ("GET", ["app", "hook", "deliveries", id]) => {
                ("GET /app/hook/deliveries/{id}", self.get_delivery(call, id))
            }
            ("POST", ["app", "hook", "deliveries", id, "attempts"]) => {
                ("POST /app/hook/deliveries/{id}/attempts", self.attempt_delivery(call, id))
            }
            ("POST", ["app-manifests", code, "conversions"]) => {
                ("POST /app-manifests/{code}/conversions", self.convert_manifest(code))
            }
            ("DELETE", ["installation", "token"]) => ("DELETE /installation/token", self.delete_token(call)),
            ("GET", ["installation", "repositories"]) => {
                ("GET /installation/repositories", self.list_repositories(call))
            }
            ("GET", ["orgs", login, "installation"]) => {
                ("GET /orgs/{org}/installation", self.account_installation(call, login, true))
            }
            ("GET", ["users", login, "installation"]) => {
                ("GET /users/{username}/installation", self.account_installation(call, login, false))
            }
            ("GET", ["repos", owner, name, rest @ ..]) => {
                self.named_repository(call, &format!("{owner}/{name}"), rest)?
            }
            ("POST" | "PATCH", ["repos", owner, name, rest @ ..]) => {
                self.repository_write(call, &format!("{owner}/{name}"), rest)?
            }
            ("GET" | "PUT", ["lfs-storage", repository, oid]) => {
                ("/lfs-storage/{repository}/{oid}", self.lfs_storage(call, repository, oid))
            }
            ("GET", ["repositories", id, rest @ ..]) => {
                let id = id.parse().ok().filter(|id| self.repositories.contains_key(id));
                self.repository_route(call, id, rest)?
            }
            ("GET" | "POST", ["settings", "apps", "new"]) => ("/settings/apps/new", self.new_app(call, None)),
            ("GET" | "POST", ["organizations", login, "settings", "apps", "new"]) => {
                ("/organizations/{org}/settings/apps/new", self.new_app(call, Some(login)))
            }
            _ => return None,
        };
        Some(answer)
    }

    fn get_app(&mut self, call: &Call) -> Reply {
        self.require_app(call)?;
        Ok(RouteResponse::json(200, self.app_json()))
    }

    fn list_installations(&mut self, call: &Call) -> Reply {
        self.require_app(call)?;
        let ids: Vec<u64> = self.installations.keys().copied().collect();
        let (page, link) = call.page(&ids, self.page_size);
        Ok(RouteResponse::paged(page.into_iter().map(|id| self.installation_json(id)).collect(), link))
    }

    fn get_installation(&mut self, call: &Call, id: &str) -> Reply {
        self.require_app(call)?;
        let id = id.parse().ok().filter(|id| self.installations.contains_key(id));
        Ok(RouteResponse::json(200, self.installation_json(id.ok_or_else(RouteResponse::not_found)?)))
    }

    fn account_installation(&mut self, call: &Call, login: &str, organization: bool) -> Reply {
        self.require_app(call)?;
        let account = self.accounts.get(login);
        let account = account.filter(|account| !organization || account.kind == AccountType::Organization);
        let login = account.map(|account| account.login.clone()).ok_or_else(RouteResponse::not_found)?;
        let found = self.installations.values().find(|installation| installation.account == login);
        Ok(RouteResponse::json(200, self.installation_json(found.ok_or_else(RouteResponse::not_found)?.id)))
    }

    fn get_hook(&mut self, call: &Call) -> Reply {
        self.require_app(call)?;
        Ok(RouteResponse::json(200, self.hook_json()))
    }

    fn patch_hook(&mut self, call: &Call) -> Reply {
        self.require_app(call)?;
        let asked = call.json()?;
        let text = |name: &str| asked[name].as_str().map(str::to_owned);
        if let Some(url) = text("url") {
            if reqwest::Url::parse(&url).is_err() {
                return Err(RouteResponse::error(422, "Validation Failed"));
            }
            self.hook.url = Some(url);
        }
        if let Some(secret) = text("secret") {
            self.hook.secret = Some(secret);
        }
        if let Some(content_type) = text("content_type") {
            self.hook.content_type = content_type;
        }
        match &asked["insecure_ssl"] {
            Value::String(value) => self.hook.insecure_ssl.clone_from(value),
            Value::Number(value) => self.hook.insecure_ssl = value.to_string(),
            _ => {}
        }
        Ok(RouteResponse::json(200, self.hook_json()))
    }

    /// The secret is never shown again.
    fn hook_json(&self) -> Value {
        let mut config = json!({"content_type": self.hook.content_type, "insecure_ssl": self.hook.insecure_ssl});
        if self.hook.secret.is_some() {
            config["secret"] = json!("********");
        }
        if let Some(url) = &self.hook.url {
            config["url"] = json!(url);
        }
        config
    }

    fn list_deliveries(&mut self, call: &Call) -> Reply {
        self.require_app(call)?;
        let size = call.parameter("per_page").and_then(|text| text.parse().ok()).unwrap_or(30_usize).clamp(1, 100);
        let before = call.parameter("cursor").and_then(|cursor| cursor.strip_prefix("v1_")?.parse::<u64>().ok());
        let older = |id: u64| before.is_none_or(|before| id < before);
        let mut page: Vec<Value> = Vec::new();
        let mut rest = self.deliveries.iter().rev().filter(|delivery| older(delivery.record.id));
        let mut last = 0;
        for delivery in rest.by_ref().take(size) {
            last = delivery.record.id;
            page.push(delivery.summary());
        }
        let link = rest.next().map(|_| call.link("cursor", &format!("v1_{last}"), "next"));
        Ok(RouteResponse::paged(Value::Array(page), link))
    }

    fn get_delivery(&mut self, call: &Call, id: &str) -> Reply {
        self.require_app(call)?;
        let found = self.deliveries.iter().find(|delivery| delivery.record.id.to_string() == id);
        Ok(RouteResponse::json(200, found.ok_or_else(RouteResponse::not_found)?.full()))
    }

    fn attempt_delivery(&mut self, call: &Call, id: &str) -> Reply {
        self.require_app(call)?;
        let found = self.deliveries.iter().find(|delivery| delivery.record.id.to_string() == id);
        let id = found.ok_or_else(RouteResponse::not_found)?.record.id;
        Ok(RouteResponse { redeliver: Some(id), ..RouteResponse::json(202, json!({})) })
    }

    fn convert_manifest(&mut self, code: &str) -> Reply {
        if !self.manifest_codes.remove(code) {
            return Err(RouteResponse::not_found());
        }
        let mut app = self.app_json();
        app["client_id"] = json!(CLIENT_ID);
        app["client_secret"] = json!(uuid::Uuid::new_v4().simple().to_string());
        app["webhook_secret"] = json!(self.hook.secret);
        app["pem"] = json!(AppKey::first().pem);
        Ok(RouteResponse::json(201, app))
    }

    /// GitHub's own page for a new App: it takes a manifest from anywhere and asks for the name. Its button makes it.
    fn new_app(&mut self, call: &Call, organization: Option<&str>) -> Reply {
        let form = form_fields(&call.body);
        let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let refused = |reason: &str| RouteResponse::new(422, HTML, format!("Error {reason}"));
        let Some(text) = field("manifest") else {
            return Ok(RouteResponse::new(200, HTML, "<!doctype html><title>Register new GitHub App</title>"));
        };
        let manifest: Value = serde_json::from_str(text).map_err(|_| refused("Invalid GitHub App configuration"))?;
        let back = manifest["redirect_url"].as_str().and_then(|url| reqwest::Url::parse(url).ok());
        let mut back = back.ok_or_else(|| refused("Redirect url must be a valid URL"))?;
        let hook = manifest["hook_attributes"].clone();
        if !manifest["url"].is_string() || !(hook.is_null() || hook["url"].is_string()) {
            return Err(refused("\"url\" wasn't supplied."));
        }
        let Some(name) = field("name") else {
            let (text, name) = (escape(text), escape(manifest["name"].as_str().unwrap_or_default()));
            let page = format!(
                "<!doctype html><title>Create GitHub App</title><link rel=\"icon\" href=\"data:,\">\
                 <h1>Create GitHub App</h1><form method=\"post\">\
                 <input type=\"hidden\" name=\"manifest\" value=\"{text}\">\
                 <input name=\"name\" value=\"{name}\"><button>Create GitHub App</button></form>"
            );
            return Ok(RouteResponse::new(200, HTML, page));
        };
        if !(1..=34).contains(&name.chars().count()) {
            return Err(refused("Name is too long (maximum is 34 characters)"));
        }
        let default = |name: &str| manifest[format!("default_{name}")].clone();
        self.permissions = serde_json::from_value(default("permissions")).unwrap_or_default();
        self.events = serde_json::from_value(default("events")).unwrap_or_default();
        self.hook.url = hook["url"].as_str().map(str::to_owned);
        self.hook.secret = Some(uuid::Uuid::new_v4().simple().to_string());
        if let Some(login) = organization {
            self.owner = self.account(login, AccountType::Organization).login;
        }
        let code = uuid::Uuid::new_v4().simple().to_string();
        back.query_pairs_mut().append_pair("code", &code);
        if let Some(state) = call.parameter("state") {
            back.query_pairs_mut().append_pair("state", state);
        }
        self.manifests.push(manifest);
        self.manifest_codes.insert(code);
        Ok(RouteResponse {
            ping: self.hook.url.is_some(),
            ..RouteResponse::empty(302).with("location", back.to_string())
        })
    }

    fn delete_token(&mut self, call: &Call) -> Reply {
        let token = self.require_installation(call)?;
        let known = self.tokens.find_mut(&token.text);
        known.expect("a live token is known").revoked = true;
        Ok(RouteResponse::empty(204))
    }

    fn list_repositories(&mut self, call: &Call) -> Reply {
        let token = self.require_installation(call)?;
        let ids = self.reach(&token);
        let everything = self.installations[&token.installation].selected.is_none() && token.only.is_none();
        let (page, link) = call.page(&ids, self.page_size);
        let repositories: Vec<Value> = page.into_iter().map(|id| self.repository_json(id)).collect();
        let body = json!({
            "total_count": ids.len(),
            "repository_selection": if everything { "all" } else { "selected" },
            "repositories": repositories,
        });
        Ok(RouteResponse::paged(body, link))
    }

    fn named_repository(&mut self, call: &Call, full_name: &str, rest: &[&str]) -> Option<(&'static str, Reply)> {
        let known = self.named(full_name);
        let former = self.repositories.formerly(full_name);
        let (Some(id), None) = (former, known) else {
            return self.repository_route(call, known, rest);
        };
        let (route, reply) = match rest {
            ["installation"] => self.repository_route(call, Some(id), rest)?,
            // Reading the pull request itself here would use up a read that its mergeability takes to settle.
            _ => self.repository_route(call, Some(id), &[])?,
        };
        let mut to = format!("{}/repositories/{id}", call.base);
        for segment in rest {
            to.push('/');
            to.push_str(segment);
        }
        // Who may not see the repository does not learn where it went either.
        Some((route, reply.map(|_| RouteResponse::moved(&to))))
    }

    fn repository_route(&mut self, call: &Call, id: Option<u64>, rest: &[&str]) -> Option<(&'static str, Reply)> {
        let route = match rest {
            [] => "GET /repos/{owner}/{repo}",
            ["installation"] => "GET /repos/{owner}/{repo}/installation",
            ["pulls"] => "GET /repos/{owner}/{repo}/pulls",
            ["pulls", _] => "GET /repos/{owner}/{repo}/pulls/{number}",
            ["pulls", _, "reviews"] => "GET /repos/{owner}/{repo}/pulls/{number}/reviews",
            ["branches", _] => "GET /repos/{owner}/{repo}/branches/{branch}",
            ["compare", _] => "GET /repos/{owner}/{repo}/compare/{basehead}",
            ["collaborators", _, "permission"] => "GET /repos/{owner}/{repo}/collaborators/{username}/permission",
            _ => return None,
        };
        let reply = match rest {
            ["installation"] => self.repository_installation(call, id),
            _ => self.repository_read(call, id, rest),
        };
        Some((route, reply))
    }

    fn repository_installation(&mut self, call: &Call, id: Option<u64>) -> Reply {
        self.require_app(call)?;
        let installation = id.and_then(|id| self.installation_of(id)).ok_or_else(RouteResponse::not_found)?.id;
        Ok(RouteResponse::json(200, self.installation_json(installation)))
    }

    fn repository_read(&mut self, call: &Call, id: Option<u64>, rest: &[&str]) -> Reply {
        let caller = self.caller(call)?;
        let id = id.ok_or_else(RouteResponse::not_found)?;
        let permission = match rest.first() {
            Some(&"pulls") => "pull_requests",
            Some(&("branches" | "compare")) => "contents",
            _ => "metadata",
        };
        self.require_repository(&caller, id, permission)?;
        let number = rest.get(1).and_then(|number| number.parse().ok());
        let barred = self.barred(id, None).or_else(|| self.barred(id, Some(number?)));
        if let Some(sentence) = barred {
            return Err(RouteResponse::error(403, &sentence));
        }
        match rest {
            ["pulls", number] => self.get_pull(id, number),
            ["pulls"] => self.list_pulls(call, id),
            ["pulls", _, "reviews"] => Ok(RouteResponse::paged(json!([]), None)),
            ["branches", branch] => self.get_branch(id, branch),
            ["compare", between] => self.compare(id, between),
            ["collaborators", user, "permission"] => self.collaborator(&caller, id, user),
            _ => Ok(RouteResponse::json(200, self.repository_json(id))),
        }
    }

    fn get_pull(&mut self, id: u64, number: &str) -> Reply {
        let number = number.parse().ok().filter(|number| self.pulls.contains_key(&(id, *number)));
        let number = number.ok_or_else(RouteResponse::not_found)?;
        let seen = self.observe(id, number, false);
        Ok(RouteResponse::json(200, self.pull_json(&self.pulls[&(id, number)], Some(&seen))))
    }

    fn list_pulls(&mut self, call: &Call, id: u64) -> Reply {
        let state = call.parameter("state").unwrap_or("open");
        let wanted = |pull: &&Pull| {
            let state = match state {
                "all" => true,
                "closed" => pull.state != PullState::Open,
                _ => pull.state == PullState::Open,
            };
            let head = format!("{}:{}", pull.head_owner, pull.head_branch);
            state
                && !pull.hidden_in_lists
                && call.parameter("base").is_none_or(|base| base == pull.base)
                && call.parameter("head").is_none_or(|asked| asked == head)
        };
        let by_update = call.parameter("sort") == Some("updated");
        let mut pulls: Vec<&Pull> = self.pulls_of(id).filter(wanted).collect();
        pulls.sort_by_key(|pull| (if by_update { pull.updated_at } else { pull.created_at }, pull.number));
        // GitHub sorts by creation, newest first, unless a sort order is named: then ascending is the default.
        let ascending = match call.parameter("direction") {
            Some(direction) => direction == "asc",
            None => call.parameter("sort").is_some_and(|sort| sort != "created"),
        };
        if !ascending {
            pulls.reverse();
        }
        let (page, link) = call.page(&pulls, self.page_size);
        Ok(RouteResponse::paged(page.into_iter().map(|pull| self.pull_json(pull, None)).collect(), link))
    }

    fn collaborator(&self, caller: &Caller, id: u64, user: &str) -> Reply {
        if matches!(caller, Caller::Anonymous) {
            return Err(RouteResponse::error(401, "Requires authentication"));
        }
        let key = user.to_lowercase();
        if self.accounts.get(user).is_none() {
            return Err(RouteResponse::error(404, &format!("{user} is not a user")));
        }
        let repository = &self.repositories[&id];
        let fallback = if repository.private { "none" } else { "read" };
        let role = match repository.collaborators.get(&key) {
            Some(role) if role != "none" => role.as_str(),
            _ if repository.owner().eq_ignore_ascii_case(user) => "admin",
            _ => fallback,
        };
        // `permission` has four values only; the newer roles show in `role_name`.
        let permission = match role {
            "maintain" => "write",
            "triage" => "read",
            other => other,
        };
        let body = json!({"permission": permission, "role_name": role, "user": self.account_json(user)});
        Ok(RouteResponse::json(200, body))
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

fn form_fields(body: &[u8]) -> Vec<(String, String)> {
    let mut url = reqwest::Url::parse("http://form").expect("a URL");
    url.set_query(std::str::from_utf8(body).ok());
    url.query_pairs().into_owned().collect()
}

/// What GitHub adds to every answer of its API.
pub(super) fn common_headers(state: &State) -> Vec<(&'static str, String)> {
    let reset = state.now().as_second() + 3_600;
    let used = state.requests.len().min(5_000);
    vec![
        ("x-github-media-type", "github.v3; format=json".to_owned()),
        ("x-github-request-id", format!("FAKE:{APP_ID}:{SLUG}:{used}")),
        ("x-ratelimit-limit", "5000".to_owned()),
        ("x-ratelimit-remaining", (5_000 - used).to_string()),
        ("x-ratelimit-used", used.to_string()),
        ("x-ratelimit-reset", reset.to_string()),
        ("x-ratelimit-resource", "core".to_owned()),
    ]
}
