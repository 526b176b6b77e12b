//! Failures on demand, and the log of what was asked.

use std::time::Duration;

use serde_json::json;

use super::answer::{Call, DOCUMENTATION, RouteResponse};
use super::tokens::{is_jwt, token_hash};

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum FaultKind {
    /// A status, a body and headers of the test's choice.
    Status(u16, String, Vec<(String, String)>),
    /// The hourly limit is spent; it starts anew in this many seconds.
    RateLimitPrimary(i64),
    /// The secondary limit, with `retry-after` in seconds.
    RateLimitSecondary(u64),
    /// 429 with `retry-after` in seconds.
    TooMany(u64),
    /// GraphQL's limit, with status 200: its type, if it has one, and in how many seconds it starts anew.
    GraphqlLimit(Option<&'static str>, i64),
    /// 502 with GitHub's HTML page.
    ServerError,
    /// The right answer, late.
    Delay(Duration),
    /// No answer until the client gives up.
    Hang,
    /// The connection closes before anything was done.
    DropConnection,
    /// Everything is done, and the connection closes before the answer.
    AnswerThenDrop,
    /// Everything is done, and the connection closes in the middle of the answer.
    CutShort,
}

/// A failure and the requests it meets.
#[derive(Debug, Clone)]
pub struct Fault {
    /// `GET`, `POST` and so on; `None` is any.
    pub method: Option<String>,
    /// Part of the path.
    pub path: String,
    /// Part of the body.
    pub body: String,
    /// How many requests it meets before it is gone.
    pub times: usize,
    /// What happens to them.
    pub kind: FaultKind,
}

impl Fault {
    /// The next request whose path contains `path`.
    pub fn once(path: &str, kind: FaultKind) -> Fault {
        Fault { method: None, path: path.to_owned(), body: String::new(), times: 1, kind }
    }

    /// Every query of GraphQL's that contains `part`, its variables included, until the faults are cleared.
    pub fn query(part: &str, kind: FaultKind) -> Fault {
        Fault { body: part.to_owned(), ..Fault::always("/graphql", kind) }
    }

    /// Every request whose path contains `path`, until the faults are cleared.
    pub fn always(path: &str, kind: FaultKind) -> Fault {
        Fault { times: usize::MAX, ..Fault::once(path, kind) }
    }
}

/// What SAML enforcement, an address list or a takedown closes, by GraphQL and REST alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Barred {
    /// The repository.
    pub repository: String,
    /// Just this pull request of it.
    pub number: Option<u64>,
    /// Just this branch of it.
    pub branch: Option<String>,
    /// GitHub's sentence.
    pub sentence: String,
}

/// What becomes of a page that is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LargePage {
    /// 502, as after GitHub's own time-out.
    BadGateway,
    /// Every node beyond the size is null, each with `RESOURCE_LIMITS_EXCEEDED`.
    NullNodes,
}

/// How a request was authorized; a token is kept as its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorization {
    /// Not at all.
    None,
    /// As the App.
    Jwt,
    /// Base64 of the token's SHA-256, the value in GitHub's audit log.
    Token(String),
}

/// One request the fake was sent.
#[derive(Debug, Clone)]
pub struct Request {
    /// HTTP method.
    pub method: String,
    /// Path and query as sent.
    pub path: String,
    /// The route it matched, such as `GET /repos/{owner}/{repo}/pulls/{number}`.
    pub route: String,
    /// The status answered; `None` if no answer was given.
    pub status: Option<u16>,
    /// Who it claimed to be from.
    pub authorization: Authorization,
    /// `Accept`, if sent.
    pub accept: Option<String>,
    /// `X-GitHub-Api-Version`, if sent.
    pub api_version: Option<String>,
    /// `User-Agent`, if sent.
    pub user_agent: Option<String>,
    /// The body as text; empty for git.
    pub body: String,
    pub(super) id: u64,
}

impl Request {
    pub(super) fn of(id: u64, call: &Call, path: String, git: bool) -> Request {
        let header = |name: &str| call.header(name).map(str::to_owned);
        let authorization = match call.bearer().or_else(|| call.basic().map(|(_, password)| password)) {
            None => Authorization::None,
            Some(text) if is_jwt(&text) => Authorization::Jwt,
            Some(text) => Authorization::Token(token_hash(&text)),
        };
        Request {
            id,
            method: call.method.to_string(),
            path,
            route: String::new(),
            status: None,
            authorization,
            accept: header("accept"),
            api_version: header("x-github-api-version"),
            user_agent: header("user-agent"),
            body: if git { String::new() } else { String::from_utf8_lossy(&call.body).into_owned() },
        }
    }
}

/// What a test arranged to go wrong.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) planned: Vec<Fault>,
    /// How many requests met one.
    pub(super) met: usize,
    pub(super) barred: Vec<Barred>,
    /// The largest page of pull requests that GraphQL answers, and how it fails beyond that.
    pub(super) largest_page: Option<(usize, LargePage)>,
}

impl Faults {
    pub(super) fn take(&mut self, method: &str, path: &str, body: &[u8]) -> Option<FaultKind> {
        let body = String::from_utf8_lossy(body);
        let meets = |fault: &Fault| {
            fault.method.as_deref().is_none_or(|wanted| wanted == method)
                && path.contains(&fault.path)
                && body.contains(&fault.body)
        };
        let at = self.planned.iter().position(meets)?;
        let kind = self.planned[at].kind.clone();
        self.met += 1;
        self.planned[at].times = self.planned[at].times.saturating_sub(1);
        if self.planned[at].times == 0 {
            self.planned.remove(at);
        }
        Some(kind)
    }

    /// The sentence that a repository, or a pull request of it, is closed with.
    pub(super) fn barred(&self, repository: &str, number: Option<u64>) -> Option<String> {
        let closed = self
            .barred
            .iter()
            .find(|barred| barred.repository == repository && barred.number == number && barred.branch.is_none());
        closed.map(|barred| barred.sentence.clone())
    }

    /// The sentence that the tip of a branch is closed with.
    pub(super) fn barred_branch(&self, repository: &str, branch: &str) -> Option<String> {
        let is_it = |barred: &&Barred| barred.repository == repository && barred.branch.as_deref() == Some(branch);
        self.barred.iter().find(is_it).map(|barred| barred.sentence.clone())
    }
}

impl FaultKind {
    /// What is answered instead, at this second of GitHub's clock; none where the answer is late or lost.
    pub(super) fn answer(&self, now: i64) -> Option<RouteResponse> {
        let answer = match self {
            FaultKind::Status(status, body, headers) => {
                let answer = RouteResponse::new(*status, "application/json; charset=utf-8", body.clone());
                headers.iter().fold(answer, |answer, (name, value)| answer.with(name, value.clone()))
            }
            FaultKind::RateLimitPrimary(seconds) => {
                RouteResponse::error(403, "API rate limit exceeded for installation ID 1.")
                    .with("x-ratelimit-remaining", "0".to_owned())
                    .with("x-ratelimit-reset", (now + seconds).to_string())
            }
            FaultKind::RateLimitSecondary(seconds) => secondary_limit(403).with("retry-after", seconds.to_string()),
            FaultKind::TooMany(seconds) => secondary_limit(429).with("retry-after", seconds.to_string()),
            FaultKind::GraphqlLimit(kind, seconds) => {
                let message = match kind {
                    Some(_) => "API rate limit exceeded for installation ID 1.",
                    None => "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
                };
                let mut error = json!({"message": message});
                if let Some(kind) = kind {
                    error["type"] = json!(kind);
                }
                let answer = RouteResponse::json(200, json!({"data": null, "errors": [error]}));
                match kind {
                    Some(_) => answer
                        .with("x-ratelimit-remaining", "0".to_owned())
                        .with("x-ratelimit-reset", (now + seconds).to_string()),
                    None => answer.with("retry-after", seconds.to_string()),
                }
            }
            FaultKind::ServerError => RouteResponse::new(502, "text/html", "<html><h1>502 Bad Gateway</h1></html>"),
            FaultKind::Delay(_)
            | FaultKind::Hang
            | FaultKind::DropConnection
            | FaultKind::AnswerThenDrop
            | FaultKind::CutShort => return None,
        };
        Some(answer)
    }
}

fn secondary_limit(status: u16) -> RouteResponse {
    let message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. \
                   If you reach out to GitHub Support for help, please include the request ID.";
    let documentation = format!("{DOCUMENTATION}/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits");
    RouteResponse::json(status, json!({"message": message, "documentation_url": documentation}))
}
