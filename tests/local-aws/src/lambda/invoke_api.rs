//! The Invoke API (<https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>).

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, DefaultBodyLimit, Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Host, InvokeRefusal, Target, environment::Outcome};
use crate::{
    ACCOUNT, Call,
    loopback::Cut,
    record,
    wire::{Dialect, json_error},
};

/// <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors>
pub(super) const DIALECT: Dialect = Dialect {
    service: "lambda",
    content_type: "application/json",
    server_error: "ServiceException",
    throttled: (429, "TooManyRequestsException"),
    access_denied: "AccessDeniedException",
    error: json_error,
};

pub(super) fn routes() -> Router<Arc<Host>> {
    Router::new()
        .route("/2015-03-31/functions/{name}/invocations", post(invoke))
        .route("/2015-03-31/functions/{name}/configuration", get(configuration))
        .layer(DefaultBodyLimit::disable())
}

/// <https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html>
async fn configuration(State(host): State<Arc<Host>>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let target = Target::parse(&name);
    let access_key_id = Call::caller(&headers);
    record(&access_key_id, "lambda:GetFunctionConfiguration", &target.name());
    if host.state().denied.contains(&(access_key_id.clone(), target.function.clone())) {
        return denied(&access_key_id, "lambda:GetFunctionConfiguration", &target);
    }
    let function = match host.resolve(&target) {
        Ok(function) => function,
        Err(refusal) => return refused(&refusal),
    };
    let body = json!({
        "FunctionName": target.function,
        "FunctionArn": target.arn(),
        "Runtime": "provided.al2023",
        "State": function.state,
        "LastUpdateStatus": function.last_update_status,
        "Timeout": function.timeout.as_secs(),
        "MemorySize": function.memory_mb,
        "Environment": {"Variables": function.variables},
    });
    json_answer(&body)
}

pub(super) fn json_answer(body: &Value) -> Response {
    let response = Response::builder().header("content-type", "application/json");
    response.body(Body::from(body.to_string())).expect("the headers are ASCII")
}

async fn invoke(
    State(host): State<Arc<Host>>,
    Path(name): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = match query.get("Qualifier") {
        Some(qualifier) => Target::parse(&format!("{name}:{qualifier}")),
        None => Target::parse(&name),
    };
    let call = Call {
        operation: "InvokeFunction".to_owned(),
        resources: vec![target.name()],
        access_key_id: Call::caller(&headers),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        status: None,
        fault: None,
    };
    host.wire.answer(call, cut, served(&host, target, &headers, body)).await
}

async fn served(host: &Arc<Host>, target: Target, headers: &HeaderMap, body: Bytes) -> Response {
    let access_key_id = Call::caller(headers);
    if host.state().denied.contains(&(access_key_id.clone(), target.function.clone())) {
        return denied(&access_key_id, "lambda:InvokeFunction", &target);
    }
    if let Err(refusal) = host.resolve(&target) {
        return refused(&refusal);
    }
    if !body.is_empty() && serde_json::from_slice::<Value>(&body).is_err() {
        return error(
            400,
            "InvalidRequestContentException",
            json!({"message": "Could not parse request body into json"}),
        );
    }
    let context = client_context(headers);
    match headers.get("x-amz-invocation-type").and_then(|kind| kind.to_str().ok()) {
        Some("DryRun") => empty(StatusCode::NO_CONTENT),
        Some("Event") => {
            let host = Arc::clone(host);
            tokio::spawn(async move { host.run(&target, body, context).await });
            empty(StatusCode::ACCEPTED)
        }
        _ => match host.run(&target, body, context).await {
            Ok(outcome) => answered(&target, outcome),
            Err(refusal) => refused(&refusal),
        },
    }
}

/// Reads `X-Amz-Client-Context`: base64 of a JSON object.
fn client_context(headers: &HeaderMap) -> Option<Value> {
    let encoded = headers.get("x-amz-client-context")?;
    serde_json::from_slice(&STANDARD.decode(encoded).ok()?).ok()
}

fn answered(target: &Target, outcome: Outcome) -> Response {
    let version = if target.alias.is_some() { "1" } else { "$LATEST" };
    let response =
        Response::builder().header("content-type", "application/json").header("x-amz-executed-version", version);
    let (response, body) = match outcome {
        Outcome::Answer(body) => (response, body),
        Outcome::Failure(body) => (response.header("x-amz-function-error", "Unhandled"), body),
    };
    response.body(Body::from(body)).expect("the headers are ASCII")
}

fn refused(refusal: &InvokeRefusal) -> Response {
    let message = refusal.message();
    let (status, body) = match refusal {
        InvokeRefusal::NotFound(_) => (404, json!({"Type": "User", "Message": message})),
        InvokeRefusal::Throttled => {
            let reason = "ReservedFunctionConcurrentInvocationLimitExceeded";
            (429, json!({"Reason": reason, "Type": "User", "message": message}))
        }
        InvokeRefusal::TooLarge(_) => (413, json!({"Type": "User", "message": message})),
    };
    error(status, refusal.kind(), body)
}

fn denied(access_key_id: &str, action: &str, target: &Target) -> Response {
    let message = format!(
        "User: arn:aws:sts::{ACCOUNT}:assumed-role/{access_key_id} is not authorized to perform: {action} on resource: {} \
         because no identity-based policy allows the {action} action",
        target.arn(),
    );
    error(403, "AccessDeniedException", json!({"Message": message}))
}

pub(super) fn error(status: u16, kind: &str, body: Value) -> Response {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .header("x-amzn-errortype", kind)
        .body(Body::from(body.to_string()))
        .expect("the headers are ASCII")
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
