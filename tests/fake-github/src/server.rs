//! The HTTP server: what is asked meets a fault, git or a route, and is written down.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::{StreamExt, stream};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::answer::{Call, RouteResponse};
use super::faults::{FaultKind, Request};
use super::github::{GitHub, Running, Shared};
use super::state::State;
use super::{events, git, rest};

/// A pack larger than this does not belong in a test.
const LARGEST_BODY: usize = 64 * 1024 * 1024;

impl GitHub {
    /// Starts a fake on a free loopback port.
    pub async fn start() -> GitHub {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let url = format!("http://{}", listener.local_addr().expect("a bound address"));
        let shared = Arc::new(Shared { state: Mutex::new(State::new(url)) });
        let (end, ended) = oneshot::channel::<()>();
        let router = Router::new().fallback(handle).with_state(Arc::clone(&shared));
        let server = axum::serve(listener, router).with_graceful_shutdown(async {
            let _ = ended.await;
        });
        tokio::spawn(async move { server.await });
        GitHub { running: Arc::new(Running { shared, _end: end }) }
    }
}

async fn handle(
    axum::extract::State(shared): axum::extract::State<Arc<Shared>>,
    request: axum::extract::Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return dropped();
    };
    let sent = parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let query = form_query(&sent);
    let base = shared.state().url.clone();
    let (path, base) = below_prefix(parts.uri.path(), base);
    let call = Call { method: parts.method, path, query, headers: parts.headers, body, base };

    let git = git::git_path(&call.path);
    let (log, fault) = {
        let mut state = shared.state();
        let fault = state.faults.take(call.method.as_str(), &sent, &call.body);
        let id = state.next_id();
        state.requests.push(Request::of(id, &call, sent.clone(), git.is_some()));
        (id, fault)
    };
    match &fault {
        Some(FaultKind::Hang) => return std::future::pending().await,
        Some(FaultKind::DropConnection) => return dropped(),
        Some(FaultKind::Delay(time)) => tokio::time::sleep(*time).await,
        _ => {}
    }
    let planned = fault.as_ref().and_then(|fault| fault.answer(shared.state().now().as_second()));
    let (route, answer) = match (planned, git) {
        (Some(answer), _) => ("fault", answer),
        (None, Some((name, rest))) => ("git", git::serve(&shared, &call, &name, &rest).await),
        (None, None) => respond(&shared, &call, &sent),
    };
    let lost = matches!(fault, Some(FaultKind::AnswerThenDrop));
    note(&shared, log, route, (!lost).then_some(answer.status));
    if let Some(id) = answer.redeliver {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move { events::redeliver(&shared, id).await });
    }
    if answer.ping {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move { events::ping(&shared).await });
    }
    if let Some(event) = answer.event.clone() {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move { events::happened(&shared, &event).await });
    }
    match fault {
        _ if lost => dropped(),
        Some(FaultKind::CutShort) => cut_short(&shared, answer),
        _ => finish(&shared, answer),
    }
}

fn respond(shared: &Shared, call: &Call, sent: &str) -> (&'static str, RouteResponse) {
    let mut state = shared.state();
    let page = call.path.ends_with("/settings/apps/new");
    if !page && call.header("user-agent").is_none_or(str::is_empty) {
        return ("refused", without_user_agent());
    }
    match state.rest(call) {
        Some((route, reply)) => (route, reply.unwrap_or_else(|refusal| refusal)),
        None => {
            state.unexpected.push(format!("{} {sent}", call.method));
            ("unknown", RouteResponse::error(501, "this fake does not know the route"))
        }
    }
}

fn without_user_agent() -> RouteResponse {
    let text = "\r\nRequest forbidden by administrative rules. Please make sure your request has a User-Agent header \
                (https://docs.github.com/en/rest/overview/resources-in-the-rest-api#user-agent-required). \
                Check https://developer.github.com for other possible causes.\r\n";
    RouteResponse::new(403, "text/html", text)
}

fn note(shared: &Shared, id: u64, route: &str, status: Option<u16>) {
    // The log may have been cleared while the request was under way.
    if let Some(request) = shared.state().requests.iter_mut().rev().find(|request| request.id == id) {
        route.clone_into(&mut request.route);
        request.status = status;
    }
}

fn finish(shared: &Shared, answer: RouteResponse) -> Response {
    let state = shared.state();
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).expect("a status");
    let date = state.now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let common = rest::common_headers(&state).into_iter().map(|(name, value)| (name.to_owned(), value));
    for (name, value) in common.chain([("date".to_owned(), date)]).chain(answer.headers) {
        let name = HeaderName::try_from(name).expect("a header name");
        response.headers_mut().insert(name, HeaderValue::try_from(value).expect("a header value"));
    }
    response
}

/// Half of the answer, and then the end of the connection: hyper sends what it has when it has to wait.
fn cut_short(shared: &Shared, mut answer: RouteResponse) -> Response {
    let whole = answer.body.len();
    answer.body.truncate(whole / 2);
    let mut response = finish(shared, answer);
    response.headers_mut().insert(CONTENT_LENGTH, whole.into());
    let end = stream::once(async {
        tokio::task::yield_now().await;
        Err(axum::Error::new("the answer is cut"))
    });
    response.map(|half| Body::from_stream(half.into_data_stream().chain(end)))
}

/// A body that fails before its first byte makes hyper close the connection without sending the head.
fn dropped() -> Response {
    let failure = stream::once(async { Err::<String, _>(std::io::Error::other("the answer is lost")) });
    Response::new(Body::from_stream(failure))
}

fn below_prefix(path: &str, base: String) -> (String, String) {
    match path.strip_prefix("/api/v3") {
        Some(rest) if rest.starts_with('/') => (rest.to_owned(), format!("{base}/api/v3")),
        _ if path == "/api/graphql" => ("/graphql".to_owned(), base),
        _ => (path.to_owned(), base),
    }
}

fn form_query(path_and_query: &str) -> Vec<(String, String)> {
    let url = reqwest::Url::parse("http://fake").and_then(|base| base.join(path_and_query));
    url.map(|url| url.query_pairs().into_owned().collect()).unwrap_or_default()
}
