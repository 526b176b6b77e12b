//! Deliveries as GitHub makes them: its own examples, of `@octokit/webhooks-examples`, with the fields that say what happened.

use axum::body::Bytes;
use axum::http::Request;
use serde_json::{Value, json};
use stack::{ACCOUNT, Stack, WEBHOOK_SECRET};

const PULL_REQUEST: &str = include_str!("../../../bench/payloads/pull_request.synchronize.json");
const PUSH: &str = include_str!("../../../bench/payloads/push.json");
/// A push of many commits, as one that catches a branch up.
const LARGE: usize = 1_000_000;

/// What happens to a pull request, and what else comes.
pub(super) const KINDS: [&str; 6] = ["opened", "synchronize", "merged", "ping", "forged", "push of 1 MB"];

/// GitHub's examples, from the stack's installation.
pub(super) struct Payloads {
    pull_request: Value,
    push: Value,
    ping: Value,
}

impl Payloads {
    pub(super) fn of(stack: &Stack) -> Self {
        let example = |text| serde_json::from_str(text).expect("the example is JSON");
        let mut pull_request: Value = example(PULL_REQUEST);
        pull_request["installation"]["id"] = json!(stack.installation);
        Self { pull_request, push: large(example(PUSH)), ping: stack.github.ping_event().payload }
    }

    /// A delivery of one of [`KINDS`], of the pull request with this number and the task with this id.
    pub(super) fn delivery(&self, kind: &str, number: u64, task: &str) -> Request<Bytes> {
        let (name, payload) = match kind {
            "ping" => ("ping", self.ping.clone()),
            "push of 1 MB" => ("push", self.push.clone()),
            _ => ("pull_request", self.pull_request(kind, number, task)),
        };
        let body = payload.to_string();
        let secret = if kind == "forged" { "somebody else's" } else { WEBHOOK_SECRET };
        request(name, fake_github::sign(secret.as_bytes(), body.as_bytes()), body)
    }

    /// Forged ones are merges.
    fn pull_request(&self, kind: &str, number: u64, task: &str) -> Value {
        let mut payload = self.pull_request.clone();
        let (action, second) = match kind {
            "opened" => ("opened", 0),
            "synchronize" => ("synchronize", 1),
            _ => ("closed", 2),
        };
        let time = |second: u64| format!("2026-11-24T00:00:{second:02}Z");
        payload["action"] = json!(action);
        payload["number"] = json!(number);
        let pull = &mut payload["pull_request"];
        pull["number"] = json!(number);
        pull["title"] = json!(format!("Fix login [kid: #{}]", &task[..16]));
        pull["html_url"] = json!(format!("https://github.com/{ACCOUNT}/app/pull/{number}"));
        pull["created_at"] = json!(time(0));
        pull["updated_at"] = json!(time(second));
        if action == "closed" {
            pull["state"] = json!("closed");
            pull["merged"] = json!(true);
            pull["merged_at"] = json!(time(second));
            pull["closed_at"] = json!(time(second));
        }
        payload
    }
}

fn large(mut push: Value) -> Value {
    let commit = push["commits"][0].clone();
    let size = commit.to_string().len();
    push["commits"] = Value::Array(vec![commit; LARGE / size]);
    push
}

fn request(name: &str, signature: String, body: String) -> Request<Bytes> {
    Request::post("/api/webhooks/github")
        .header("accept", "*/*")
        .header("content-type", "application/json")
        .header("host", "abcdefghij.execute-api.us-east-1.amazonaws.com")
        .header("user-agent", "GitHub-Hookshot/2b6d7fa")
        .header("x-github-delivery", uuid::Uuid::new_v4().to_string())
        .header("x-github-event", name)
        .header("x-hub-signature-256", signature)
        .body(body.into())
        .expect("the headers are well-formed")
}
