//! One request and one answer, apart from the HTTP server that carries them.

use axum::body::Bytes;
use axum::http::{HeaderMap, Method};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::deliveries::Event;

pub(super) const DOCUMENTATION: &str = "https://docs.github.com/rest";

/// `Err` is an answer too: a refusal that ends the handling early.
pub(super) type Reply = Result<RouteResponse, RouteResponse>;

#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// The path without GHES's `/api/v3`.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Scheme, host and, for GHES, `/api/v3`: what links start with.
    pub(super) base: String,
}

impl Call {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The JWT or token of `Bearer`, or of the older `token` scheme.
    pub(super) fn bearer(&self) -> Option<String> {
        let (scheme, rest) = self.header("authorization")?.split_once(' ')?;
        let known = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token");
        known.then(|| rest.trim().to_owned())
    }

    /// User and password of HTTP Basic.
    pub(super) fn basic(&self) -> Option<(String, String)> {
        let (scheme, rest) = self.header("authorization")?.split_once(' ')?;
        let text = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
        let (user, password) = text.split_once(':')?;
        scheme.eq_ignore_ascii_case("basic").then(|| (user.to_owned(), password.to_owned()))
    }

    pub(super) fn json(&self) -> Result<Value, RouteResponse> {
        serde_json::from_slice(&self.body).map_err(|_| RouteResponse::error(400, "Problems parsing JSON"))
    }

    /// One page of `items`, of at most so many, and the `Link` header that leads to the others.
    pub(super) fn page<T: Clone>(&self, items: &[T], most: usize) -> (Vec<T>, Option<String>) {
        let number =
            |name: &str, default: usize| self.parameter(name).and_then(|text| text.parse().ok()).unwrap_or(default);
        let size = number("per_page", 30).clamp(1, most);
        let page = number("page", 1).max(1);
        let last = items.len().div_ceil(size).max(1);
        let start = ((page - 1) * size).min(items.len());
        let slice = items[start..(start + size).min(items.len())].to_vec();
        let mut links = Vec::new();
        if page > 1 {
            links.push(self.link("page", &(page - 1).to_string(), "prev"));
        }
        if page < last {
            links.push(self.link("page", &(page + 1).to_string(), "next"));
            links.push(self.link("page", &last.to_string(), "last"));
        }
        if page > 1 {
            links.push(self.link("page", "1", "first"));
        }
        (slice, (!links.is_empty()).then(|| links.join(", ")))
    }

    pub(super) fn link(&self, parameter: &str, value: &str, relation: &str) -> String {
        let kept = self.query.iter().filter(|(key, _)| key != parameter);
        let pairs = kept.map(|(key, value)| (key.as_str(), value.as_str())).chain([(parameter, value)]);
        let url = reqwest::Url::parse_with_params(&format!("{}{}", self.base, self.path), pairs);
        format!("<{}>; rel=\"{relation}\"", url.expect("a link of our own"))
    }
}

#[derive(Debug)]
pub(super) struct RouteResponse {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// The delivery to send again once this answer is out.
    pub(super) redeliver: Option<u64>,
    /// Whether the webhook is new, and pinged once this answer is out.
    pub(super) ping: bool,
    /// What to tell the App's webhook once this answer is out.
    pub(super) event: Option<Box<Event>>,
}

impl RouteResponse {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> RouteResponse {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        RouteResponse { status, headers, body: body.into(), redeliver: None, ping: false, event: None }
    }

    pub(super) fn empty(status: u16) -> RouteResponse {
        RouteResponse { status, headers: vec![], body: vec![], redeliver: None, ping: false, event: None }
    }

    pub(super) fn json(status: u16, body: Value) -> RouteResponse {
        RouteResponse::new(status, "application/json; charset=utf-8", body.to_string())
    }

    pub(super) fn paged(body: Value, link: Option<String>) -> RouteResponse {
        let answer = RouteResponse::json(200, body);
        match link {
            Some(link) => answer.with("link", link),
            None => answer,
        }
    }

    pub(super) fn error(status: u16, message: &str) -> RouteResponse {
        let body = json!({"message": message, "documentation_url": DOCUMENTATION, "status": status.to_string()});
        RouteResponse::json(status, body)
    }

    pub(super) fn not_found() -> RouteResponse {
        RouteResponse::error(404, "Not Found")
    }

    pub(super) fn forbidden() -> RouteResponse {
        RouteResponse::error(403, "Resource not accessible by integration")
    }

    pub(super) fn suspended() -> RouteResponse {
        RouteResponse::error(403, "This installation has been suspended")
    }

    pub(super) fn moved(url: &str) -> RouteResponse {
        let body = json!({"message": "Moved Permanently", "url": url, "documentation_url": DOCUMENTATION});
        RouteResponse::json(301, body).with("location", url.to_owned())
    }

    pub(super) fn with(mut self, name: &str, value: String) -> RouteResponse {
        self.headers.push((name.to_owned(), value));
        self
    }
}
