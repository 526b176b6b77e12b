//! Who may do what: the App by its JWT, an installation by its token.

use serde_json::{Value, json};

use super::answer::{Call, Reply, RouteResponse};
use super::state::State;
use super::tokens::{MintedToken, Token, UNDECODABLE, allows, granted, is_jwt};

/// Who is asking, once the token was found to be live.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    Anonymous,
    Installation(Token),
}

impl State {
    /// Lets only the App itself pass.
    pub(super) fn require_app(&mut self, call: &Call) -> Result<(), RouteResponse> {
        let Some(jwt) = call.bearer() else {
            return Err(RouteResponse::error(401, UNDECODABLE));
        };
        self.tokens.check_jwt(&jwt, self.now().as_second()).map_err(|text| RouteResponse::error(401, text))
    }

    /// Finds out who is asking; a dead token is refused, no token is an anonymous caller.
    pub(super) fn caller(&mut self, call: &Call) -> Result<Caller, RouteResponse> {
        match call.bearer() {
            None => Ok(Caller::Anonymous),
            Some(text) if is_jwt(&text) => {
                self.tokens
                    .check_jwt(&text, self.now().as_second())
                    .map_err(|reason| RouteResponse::error(401, reason))?;
                Err(RouteResponse::forbidden())
            }
            Some(text) => self.live_token(&text).map(Caller::Installation),
        }
    }

    pub(super) fn require_installation(&mut self, call: &Call) -> Result<Token, RouteResponse> {
        match self.caller(call)? {
            Caller::Anonymous => Err(RouteResponse::error(401, "Requires authentication")),
            Caller::Installation(token) => Ok(token),
        }
    }

    pub(super) fn live_token(&mut self, text: &str) -> Result<Token, RouteResponse> {
        let now = self.now();
        let token = self.tokens.find_mut(text);
        let Some(token) = token.filter(|token| !token.revoked && token.expires_at > now) else {
            return Err(RouteResponse::error(401, "Bad credentials"));
        };
        if let Some((status, times)) = &mut token.fresh
            && *times > 0
        {
            *times -= 1;
            let text = if *status == 401 { "Bad credentials" } else { "Resource not accessible by integration" };
            return Err(RouteResponse::error(*status, text));
        }
        let token = token.clone();
        match self.installations.get(&token.installation) {
            None => Err(RouteResponse::error(401, "Bad credentials")),
            Some(installation) if installation.suspended_at.is_some() => Err(RouteResponse::suspended()),
            Some(_) => Ok(token),
        }
    }

    /// Repositories the token reaches now.
    pub(super) fn reach(&self, token: &Token) -> Vec<u64> {
        let mut ids = self.repositories_of(token.installation);
        if let Some(only) = &token.only {
            ids.retain(|id| only.contains(id));
        }
        ids
    }

    /// A public repository is readable by everyone; a private one hides behind a 404.
    pub(super) fn require_repository(&self, caller: &Caller, id: u64, permission: &str) -> Result<(), RouteResponse> {
        let private = self.repositories[&id].private;
        match caller {
            Caller::Installation(token) if self.reach(token).contains(&id) => {
                if allows(&token.permissions, permission, "read") { Ok(()) } else { Err(RouteResponse::forbidden()) }
            }
            _ if private => Err(RouteResponse::not_found()),
            _ => Ok(()),
        }
    }

    pub(super) fn mint(&mut self, installation: u64, call: &Call) -> Reply {
        self.require_app(call)?;
        let Some(record) = self.installations.get(&installation) else {
            return Err(RouteResponse::not_found());
        };
        if record.suspended_at.is_some() {
            return Err(RouteResponse::suspended());
        }
        let asked: Value = if call.body.is_empty() { json!({}) } else { call.json()? };
        let permissions = granted(&record.permissions, &asked["permissions"])?;
        let only = self.chosen(installation, &asked)?;
        let token = Token {
            text: self.tokens.text(&permissions, installation),
            installation,
            only,
            permissions,
            expires_at: self.now() + jiff::SignedDuration::from_secs(self.tokens.lifetime),
            revoked: false,
            fresh: self.tokens.fresh_answer,
        };
        let answer = self.minted_json(&token);
        self.tokens.minted.push(token);
        Ok(RouteResponse::json(201, answer))
    }

    fn chosen(&self, installation: u64, asked: &Value) -> Result<Option<Vec<u64>>, RouteResponse> {
        let reachable = self.repositories_of(installation);
        let names = list(asked, "repositories")?;
        let ids = list(asked, "repository_ids")?;
        if names.is_empty() && ids.is_empty() {
            return Ok(None);
        }
        let by_name = names.iter().map(|name| {
            let name = name.as_str()?.to_lowercase();
            let short = |id: &&u64| self.repositories[id].short_name().to_lowercase() == name;
            reachable.iter().find(short).copied()
        });
        let by_id = ids.iter().map(|id| id.as_u64().filter(|id| reachable.contains(id)));
        let found: Option<Vec<u64>> = by_name.chain(by_id).collect();
        match found {
            Some(mut found) if found.len() <= 500 => {
                found.sort_unstable();
                found.dedup();
                Ok(Some(found))
            }
            _ => Err(RouteResponse::error(
                422,
                "There is at least one repository that does not exist or is not accessible to the parent installation.",
            )),
        }
    }

    fn minted_json(&self, token: &Token) -> Value {
        let everything = self.installations[&token.installation].selected.is_none() && token.only.is_none();
        let mut answer = json!({
            "token": token.text,
            "expires_at": token.expires_at.to_string(),
            "permissions": token.permissions,
            "repository_selection": if everything { "all" } else { "selected" },
        });
        if let Some(only) = &token.only {
            answer["repositories"] = only.iter().map(|id| self.repository_json(*id)).collect();
        }
        answer
    }

    pub(super) fn minted_token(&self, token: &Token) -> MintedToken {
        let reach = if self.installations.contains_key(&token.installation) { self.reach(token) } else { vec![] };
        MintedToken {
            token: token.text.clone(),
            installation: token.installation,
            repositories: reach.iter().map(|id| self.repositories[id].full_name.clone()).collect(),
            all_repositories: token.only.is_none(),
            permissions: token.permissions.clone(),
            expires_at: token.expires_at,
            revoked: token.revoked,
        }
    }
}

/// A list of the wrong type must not pass for an empty one, which means everything.
fn list(asked: &Value, name: &str) -> Result<Vec<Value>, RouteResponse> {
    match &asked[name] {
        Value::Null => Ok(vec![]),
        Value::Array(items) => Ok(items.clone()),
        other => {
            let text = format!("Invalid request.\n\nFor 'properties/{name}', {other} is not an array.");
            Err(RouteResponse::error(422, &text))
        }
    }
}
