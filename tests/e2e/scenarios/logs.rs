//! What each function's log says of each invocation.

use std::collections::BTreeSet;

use fake_github::NewPullRequest;
use serde_json::{Value, json};
use stack::{REPOSITORY, Stack};

#[tokio::test]
async fn the_summary_of_each_invocation_says_which_it_is_and_how_long_it_took_and_the_answer_does_not() {
    let stack = Stack::start().await;
    let opened = stack.github.open_pull_request(REPOSITORY, NewPullRequest::titled("Fix login"));
    let scope = json!({"repositories": ["app"], "permissions": {"contents": "read"}});
    let answers = [
        stack.github.deliver(&opened).await.body,
        stack.lambda.invoke("reconcile", json!({"schedule": "due"})).await.unwrap().to_string(),
        stack.lambda.invoke("token", scope).await.unwrap().to_string(),
    ];
    let mut ids = BTreeSet::new();
    for (function, message) in [("webhook", "delivery"), ("reconcile", "reconcile"), ("token", "token request")] {
        let said = |line: &str| line.contains(&format!("\"message\":\"{message}\""));
        let line = stack.lambda.log_line(function, said).await;
        let line: Value = serde_json::from_str(&line).unwrap();
        assert!(line["duration_ms"].is_u64(), "{line:#}");
        let id = line["request_id"].as_str().unwrap();
        assert_eq!(id.len(), 36, "Lambda's ids are UUIDs");
        ids.insert(id.to_owned());
    }
    assert_eq!(ids.len(), 3, "each invocation has an id of its own");
    for answer in &answers {
        assert!(!answer.contains("duration_ms") && !ids.iter().any(|id| answer.contains(id)), "{answer}");
    }
}
