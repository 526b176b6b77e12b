//! An API Gateway HTTP API in front of a function, payload format 2.0
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>).

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Host, InvokeRefusal, Target, environment::Outcome};
use crate::{ACCOUNT, loopback::Server};

/// The largest request an HTTP API takes
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>).
const LARGEST_REQUEST: usize = 10 * 1024 * 1024;

/// The longest an HTTP API waits for its integration (same page).
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// An HTTP API with one route; it closes when dropped.
pub struct Front {
    api: Arc<Api>,
    server: Server,
}

struct Api {
    host: Arc<Host>,
    target: Target,
    method: String,
    path: String,
    wait: std::sync::Mutex<Duration>,
    base64: AtomicBool,
}

impl Front {
    pub(super) async fn open(host: Arc<Host>, port: u16, function: &str, route: &str) -> Self {
        let (method, path) = route.split_once(' ').expect("a route is a method and a path");
        let api = Arc::new(Api {
            host,
            target: Target::parse(function),
            method: method.to_owned(),
            path: path.to_owned(),
            wait: LONGEST_WAIT.into(),
            base64: AtomicBool::new(false),
        });
        let router = Router::new().fallback(handle).with_state(Arc::clone(&api));
        Self { api, server: Server::on_port(port, router).await }
    }

    /// The URL of its route.
    pub fn url(&self) -> String {
        format!("{}{}", self.server.url(), self.api.path)
    }

    /// The URL of the API, without a path.
    pub fn base_url(&self) -> String {
        self.server.url()
    }

    /// Hands every body over base64-encoded, as API Gateway may, or only those that are not text.
    pub fn force_base64(&self, force: bool) {
        self.api.base64.store(force, Ordering::SeqCst);
    }

    /// Waits no longer than this for the function.
    pub fn integration_timeout(&self, wait: Duration) {
        *self.api.wait.lock().expect("a plain value") = wait;
    }

    /// Hands the function a raw event, and returns the raw answer.
    ///
    /// # Errors
    ///
    /// As [`LambdaHost::invoke`](super::LambdaHost::invoke).
    pub async fn invoke_event(&self, event: Value) -> Result<Value, super::FunctionError> {
        self.api.host.invoke(&self.api.target.function, &event, None).await
    }

    /// The event that a request becomes.
    pub fn event(&self, request: axum::http::Request<Bytes>) -> Value {
        let (parts, body) = request.into_parts();
        self.api.event(&parts, &body)
    }
}

async fn handle(State(api): State<Arc<Api>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_REQUEST).await else {
        return fixed(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    };
    if !api.routes(&parts) {
        return fixed(StatusCode::NOT_FOUND, "Not Found");
    }
    let event = Bytes::from(api.event(&parts, &body).to_string());
    let wait = *api.wait.lock().expect("a plain value");
    match tokio::time::timeout(wait, api.host.run(&api.target, event, None)).await {
        Ok(Ok(Outcome::Answer(answer))) => response(&answer),
        Ok(Ok(Outcome::Failure(_)) | Err(InvokeRefusal::NotFound(_))) => {
            fixed(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
        }
        Ok(Err(InvokeRefusal::TooLarge(_))) => fixed(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"),
        // What an HTTP API answers when Lambda throttles is not documented; any 5xx makes GitHub count a failure.
        Ok(Err(InvokeRefusal::Throttled)) | Err(_) => fixed(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
    }
}

impl Api {
    fn routes(&self, parts: &Parts) -> bool {
        let method = parts.method.as_str();
        parts.uri.path() == self.path && (self.method == "ANY" || self.method == method)
    }

    fn event(&self, parts: &Parts, body: &[u8]) -> Value {
        let now = Timestamp::now();
        let (method, path) = (parts.method.as_str(), parts.uri.path());
        let host = text(&parts.headers, "host");
        let route = format!("{} {}", self.method, self.path);
        let mut event = json!({
            "version": "2.0",
            "routeKey": route,
            "rawPath": path,
            "rawQueryString": parts.uri.query().unwrap_or_default(),
            "headers": headers(&parts.headers, host),
            "requestContext": {
                "accountId": ACCOUNT,
                "apiId": "local",
                "domainName": host,
                "domainPrefix": host.split('.').next().unwrap_or_default(),
                "http": {
                    "method": method,
                    "path": path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": "127.0.0.1",
                    "userAgent": text(&parts.headers, "user-agent"),
                },
                "requestId": uuid::Uuid::new_v4().to_string(),
                "routeKey": route,
                "stage": "$default",
                "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
                "timeEpoch": now.as_millisecond(),
            },
            "isBase64Encoded": false,
        });
        add_optional(&mut event, parts);
        self.add_body(&mut event, parts, body);
        event
    }

    fn add_body(&self, event: &mut Value, parts: &Parts, body: &[u8]) {
        if body.is_empty() {
            return;
        }
        let forced = self.base64.load(Ordering::SeqCst);
        match std::str::from_utf8(body) {
            Ok(text) if !forced && is_text(&parts.headers) => event["body"] = json!(text),
            _ => {
                event["body"] = json!(STANDARD.encode(body));
                event["isBase64Encoded"] = json!(true);
            }
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Whether a body of this type is handed over as it is. The rest, forms included, comes base64-encoded.
fn is_text(headers: &HeaderMap) -> bool {
    let kind = text(headers, "content-type").split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || matches!(kind.as_str(), "application/json" | "application/javascript" | "application/xml")
}

/// Header names are in lower case, and repeated ones joined by a comma; cookies go elsewhere.
fn headers(sent: &HeaderMap, host: &str) -> Map<String, Value> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in sent {
        if *name == header::COOKIE {
            continue;
        }
        let value = String::from_utf8_lossy(value.as_bytes());
        let entry = joined.entry(name.as_str().to_owned());
        entry.and_modify(|earlier| *earlier = format!("{earlier},{value}")).or_insert_with(|| value.into_owned());
    }
    joined.insert("x-forwarded-for".to_owned(), "127.0.0.1".to_owned());
    let port = host.rsplit_once(':').map_or("443", |(_, port)| port);
    joined.insert("x-forwarded-port".to_owned(), port.to_owned());
    joined.insert("x-forwarded-proto".to_owned(), "https".to_owned());
    joined.into_iter().map(|(name, value)| (name, json!(value))).collect()
}

/// `cookies` and `queryStringParameters` are there only if the request has some.
fn add_optional(event: &mut Value, parts: &Parts) {
    let cookies: Vec<&str> = parts
        .headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';').map(str::trim))
        .collect();
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    let Ok(query) = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri) else {
        return;
    };
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in query.0 {
        joined.entry(name).and_modify(|earlier| *earlier = format!("{earlier},{value}")).or_insert(value);
    }
    if !joined.is_empty() {
        event["queryStringParameters"] = json!(joined);
    }
}

/// Turns the function's answer into a response; an answer without `statusCode` is itself the body of a 200.
fn response(answer: &[u8]) -> Response {
    let failed = || fixed(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
    let Ok(parsed) = serde_json::from_slice::<Value>(answer) else {
        return failed();
    };
    let Some(status) = parsed.get("statusCode") else {
        return json_response(StatusCode::OK, answer.to_vec());
    };
    let status = status.as_u64().and_then(|code| u16::try_from(code).ok());
    formatted(status, &parsed).unwrap_or_else(failed)
}

fn formatted(status: Option<u16>, answer: &Value) -> Option<Response> {
    let mut response = Response::builder().status(status?).header("apigw-requestid", "local");
    for (name, value) in answer["headers"].as_object().into_iter().flatten() {
        response = response.header(name, value.as_str()?);
    }
    for cookie in answer["cookies"].as_array().into_iter().flatten() {
        response = response.header(header::SET_COOKIE, cookie.as_str()?);
    }
    let body = answer["body"].as_str().unwrap_or_default();
    let body =
        if answer["isBase64Encoded"] == json!(true) { STANDARD.decode(body).ok()? } else { body.as_bytes().to_vec() };
    response.body(Body::from(body)).ok()
}

fn fixed(status: StatusCode, message: &str) -> Response {
    json_response(status, json!({"message": message}).to_string().into_bytes())
}

fn json_response(status: StatusCode, body: Vec<u8>) -> Response {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .header("apigw-requestid", "local")
        .body(Body::from(body))
        .expect("the headers are ASCII")
}
