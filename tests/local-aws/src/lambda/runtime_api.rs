//! The Lambda Runtime API (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>), one path per environment.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::json;

use super::{
    Host, LARGEST_PAYLOAD,
    environment::{ColdStart, Outcome, Work},
    failure,
};

pub(super) fn routes() -> Router<Arc<Host>> {
    let base = "/environments/{environment}/2018-06-01/runtime";
    Router::new()
        .route(&format!("{base}/invocation/next"), get(next))
        .route(&format!("{base}/invocation/{{request}}/response"), post(response))
        .route(&format!("{base}/invocation/{{request}}/error"), post(error))
        .route(&format!("{base}/init/error"), post(init_error))
        .layer(DefaultBodyLimit::disable())
}

async fn next(State(host): State<Arc<Host>>, Path(id): Path<String>) -> Response {
    host.started(&id, ColdStart::mark_ready);
    loop {
        let handed = {
            let mut state = host.state();
            let (freeze, passed) = (state.freeze, state.passed.unwrap_or_default());
            let Some(environment) = state.environments.get_mut(&id) else {
                return gone();
            };
            if let Some(work) = environment.take(freeze) {
                let arn = environment.target.arn();
                drop(state);
                return event(work, &arn, passed);
            }
            Arc::clone(&environment.handed)
        };
        handed.notified().await;
    }
}

fn event(work: Work, arn: &str, passed: i64) -> Response {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    let now = now + Duration::from_secs(passed.try_into().expect("time goes on"));
    let mut response = Response::builder()
        .header("content-type", "application/json")
        .header("lambda-runtime-aws-request-id", &work.request_id)
        .header("lambda-runtime-deadline-ms", (now + work.timeout).as_millis().to_string())
        .header("lambda-runtime-invoked-function-arn", arn)
        .header("lambda-runtime-trace-id", trace_id(now.as_secs()));
    if let Some(context) = &work.client_context {
        response = response.header("lambda-runtime-client-context", context.to_string());
    }
    response.body(Body::from(work.payload)).expect("an event's headers are ASCII")
}

/// `Root=1-<seconds in hex>-<24 hex digits>;Parent=<16 hex digits>;Sampled=0`, as X-Ray writes it.
fn trace_id(seconds: u64) -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    let parent = uuid::Uuid::new_v4().simple().to_string();
    format!("Root=1-{seconds:08x}-{};Parent={};Sampled=0", &random[..24], &parent[..16])
}

async fn response(
    State(host): State<Arc<Host>>,
    Path((id, request_id)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    let outcome = if body.len() > LARGEST_PAYLOAD {
        let message = format!("Response payload size exceeded maximum allowed payload size ({LARGEST_PAYLOAD} bytes).");
        failure("Function.ResponseSizeTooLarge", message)
    } else {
        Outcome::Answer(body)
    };
    host.finish(&id, &request_id, outcome)
}

async fn error(State(host): State<Arc<Host>>, Path((id, request_id)): Path<(String, String)>, body: Bytes) -> Response {
    host.finish(&id, &request_id, Outcome::Failure(body))
}

async fn init_error(State(host): State<Arc<Host>>, Path(id): Path<String>, body: Bytes) -> Response {
    let mut state = host.state();
    let Some(environment) = state.environments.get_mut(&id) else {
        return gone();
    };
    environment.init_failed(body);
    accepted()
}

impl Host {
    fn started(&self, id: &str, mark: impl Fn(&mut ColdStart)) {
        let mut state = self.state();
        // The newest starts are at the end, and the caller is most often one of them.
        if let Some(start) = state.cold_starts.iter_mut().rev().find(|start| start.environment == id) {
            mark(start);
        }
    }

    fn finish(&self, id: &str, request_id: &str, outcome: Outcome) -> Response {
        self.started(id, ColdStart::mark_answered);
        let mut state = self.state();
        let Some(environment) = state.environments.get_mut(id) else {
            return gone();
        };
        if environment.finish(request_id, outcome) {
            return accepted();
        }
        let body = json!({"errorMessage": "Invalid request ID", "errorType": "InvalidRequestID"});
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    }
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, Json(json!({"status": "OK"}))).into_response()
}

fn gone() -> Response {
    let body = json!({"errorMessage": "The environment has ended", "errorType": "InvalidRequestID"});
    (StatusCode::GONE, Json(body)).into_response()
}
