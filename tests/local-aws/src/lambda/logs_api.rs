//! CloudWatch Logs, as far as people read it: `FilterLogEvents` over what the functions wrote
//! (<https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html>).

use std::sync::Arc;

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, response::Response, routing::post};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Host, invoke_api};
use crate::{Call, record};

/// Small, so that a reader who takes the first page for all of it is found out.
const PAGE: usize = 20;

/// The one pattern that is understood.
const DELIVERIES: &str = r#"{ $.message = "delivery" }"#;

pub(super) fn routes() -> Router<Arc<Host>> {
    Router::new().route("/", post(filter))
}

async fn filter(State(host): State<Arc<Host>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    assert!(target.ends_with(".FilterLogEvents"), "this CloudWatch Logs only filters: {target}");
    let asked: Value = serde_json::from_slice(&body).expect("the SDK sends JSON");
    assert_eq!(asked["filterPattern"], DELIVERIES, "the one pattern that is understood");
    let group = asked["logGroupName"].as_str().unwrap_or_default();
    let function = group.strip_prefix("/aws/lambda/").unwrap_or_default().to_owned();
    let caller = Call::caller(&headers);
    record(&caller, "logs:FilterLogEvents", group);
    if host.state().denied.contains(&(caller, group.to_owned())) {
        let message = "not authorized to perform: logs:FilterLogEvents";
        return invoke_api::error(400, "AccessDeniedException", json!({"message": message}));
    }
    let since = asked["startTime"].as_i64().unwrap_or(0);
    let events: Vec<Value> = host.logs.of(&function).iter().filter_map(|line| event(line, since)).collect();
    let from = asked["nextToken"].as_str().and_then(|token| token.parse().ok()).unwrap_or(0);
    let mut answer =
        json!({"events": events.iter().skip(from).take(PAGE).collect::<Vec<_>>(), "searchedLogStreams": []});
    if from + PAGE < events.len() {
        answer["nextToken"] = json!((from + PAGE).to_string());
    }
    invoke_api::json_answer(&answer)
}

/// A line that the pattern fits, at its own time.
fn event(line: &str, since: i64) -> Option<Value> {
    let fields: Value = serde_json::from_str(line).ok()?;
    let at: Timestamp = fields["timestamp"].as_str()?.parse().ok()?;
    let fits = fields["message"] == "delivery" && at.as_millisecond() >= since;
    fits.then(|| json!({"timestamp": at.as_millisecond(), "message": line, "logStreamName": "[$LATEST]"}))
}
