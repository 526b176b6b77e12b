//! Who may be given what.

use local_aws::lambda::{Function, binary};
use serde_json::json;
use stack::Stack;
use token::Policy;

use crate::harness::counter::{Counter, rejected, token_of};

#[tokio::test]
async fn the_policy_bounds_what_may_be_asked() {
    let counter = Counter::open().await;
    let policy = json!({"installations": [counter.installation], "repositories": ["a*", "acme/we?"],
        "permissions": {"contents": "read", "pull_requests": "write"}});
    let app = counter.environment_with(Policy::parse(&policy.to_string()).unwrap());
    for (ask, rule) in [
        (json!({"installation_id": 1, "repositories": ["app"]}), "installations does not list 1"),
        (json!({}), "repositories has to be named"),
        (json!({"repositories": ["app", "issues"]}), "repositories does not allow issues"),
        (json!({"repositories": ["web"]}), "ask as owner/name"),
        (json!({"repositories": ["evil/web"]}), "repositories does not allow web"),
        (json!({"repositories": ["app"], "permissions": {"issues": "read"}}), "permissions does not list issues"),
        (json!({"repositories": ["app"], "permissions": {"contents": "write"}}), "contents: read at most"),
    ] {
        let (error_type, message) = counter.refusal(&app, ask.clone()).await;
        let expected = if ask == json!({}) { "RepositoriesNotNamed" } else { "PermissionNotGranted" };
        assert_eq!(error_type, expected, "{ask}");
        assert!(message.contains("TOKEN_POLICY") && message.contains(rule), "{ask}: {message}");
    }
    assert!(counter.github.requests().is_empty());
    let bounded = counter.ask(&app, json!({"repositories": ["app"]})).await.unwrap();
    let expected = json!({"contents": "read", "metadata": "read", "pull_requests": "write"});
    assert_eq!(bounded["permissions"], expected);
    counter.ask(&app, json!({"repositories": ["acme/web"], "permissions": {"contents": "read"}})).await.unwrap();
}

/// A policy in which no two profiles may have the same.
fn profiles() -> Policy {
    let policy = json!({"profiles": {
        "agents": {"repositories": ["app", "acme/web"], "permissions": {"contents": "read"}},
        "pushers": {"named_repositories": true, "permissions": {"contents": "write"}},
        "inspect": {"permissions": {"metadata": "read"}}}});
    Policy::parse(&policy.to_string()).unwrap()
}

#[tokio::test]
async fn who_asks_decides_what_may_be_had() {
    let counter = Counter::open().await;
    let app = counter.environment_with(profiles());
    let contents = |level: &str| json!({"repositories": ["app"], "permissions": {"contents": level}});
    for (alias, ask, rule) in [
        ("", contents("read"), ""),
        ("", contents("write"), "the profile agents: permissions allows contents: read at most"),
        ("agents", json!({"repositories": ["issues"]}), "the profile agents: repositories does not allow issues"),
        ("agents", json!({}), "the profile agents: repositories has to be named"),
        ("pushers", contents("write"), ""),
        ("pushers", json!({"permissions": {"contents": "write"}}), "the profile pushers: repositories has to be named"),
        ("pushers", json!({"installation_id": 7, "repositories": ["app"]}), "the profile pushers: installations"),
        ("inspect", contents("read"), "the profile inspect: permissions does not list contents"),
        ("inspect", json!({}), ""),
        ("reconcile", json!({"permissions": {"pull_requests": "read", "metadata": "read"}}), ""),
        (
            "reconcile",
            json!({"permissions": {"issues": "read"}}),
            "the profile reconcile: permissions does not list issues",
        ),
        ("auditors", json!({}), "the profile auditors: the policy has no profile of this name"),
    ] {
        match counter.ask_as(&app, alias, ask.clone()).await {
            Ok(_) => assert_eq!(rule, "", "{alias} {ask}"),
            Err(refusal) => {
                let unnamed = rule.contains("has to be named");
                let expected = if unnamed { "RepositoriesNotNamed" } else { "PermissionNotGranted" };
                assert_eq!(refusal.error_type.name(), expected, "{alias} {ask}: {}", refusal.message);
                assert!(!rule.is_empty() && refusal.message.contains(rule), "{alias} {ask}: {}", refusal.message);
            }
        }
    }
}

#[tokio::test]
async fn one_profile_cannot_take_another_ones_token_away() {
    let counter = Counter::open().await;
    let app = counter.environment();
    let agents = counter.ask_as(&app, "agents", json!({})).await.unwrap();
    let people = counter.ask_as(&app, "inspect", json!({})).await.unwrap();
    assert_ne!(token_of(&agents), token_of(&people));
    counter.pass(31);
    let report = counter.ask_as(&app, "agents", rejected(token_of(&people))).await.unwrap();
    assert_eq!(report["invalidated"], false);
    assert_eq!(counter.ask_as(&app, "inspect", rejected(token_of(&people))).await.unwrap()["invalidated"], true);
}

#[tokio::test]
async fn an_alias_of_the_function_is_a_profile() {
    let stack = Stack::start().await;
    let endpoints = stack.environment();
    let variables = ["APP_SECRET_ID", "TOKENS_TABLE", "GITHUB_API_URL"];
    let function = endpoints
        .iter()
        .filter(|(name, _)| variables.contains(name) || name.starts_with("AWS_ENDPOINT_URL"))
        .fold(Function::new("token", binary("token")), |function, (name, value)| function.variable(name, value));
    let policy =
        r#"{"profiles":{"agents":{"permissions":{"metadata":"read"}},"readers":{"permissions":{"contents":"read"}}}}"#;
    stack.lambda.add(function.variable("TOKEN_POLICY", policy).alias("readers", []));
    let read = json!({"permissions": {"contents": "read"}});
    stack.lambda.invoke("token:readers", read.clone()).await.unwrap();
    for name in ["token", "token:$LATEST"] {
        let refused = stack.lambda.invoke(name, read.clone()).await.unwrap_err();
        assert_eq!(refused.error_type, "PermissionNotGranted");
        assert!(refused.message.contains("the profile agents"), "{refused}");
    }
    let line = stack.lambda.log_line("token", |line| line.contains("\"profile\":\"readers\"")).await;
    assert!(line.contains("\"outcome\":\"minted\""), "{line}");
}

#[tokio::test]
async fn a_new_installation_is_bounded_by_the_policy_as_the_old_one_was() {
    let counter = Counter::open().await;
    let policy = json!({"profiles": {"agents": {"installations": [counter.installation]}}});
    let app = counter.environment_with(policy.to_string().parse().unwrap());
    counter.ask(&app, json!({"repositories": ["app"]})).await.unwrap();
    counter.github.uninstall(counter.installation);
    let ask = json!({"repositories": ["app"], "permissions": {"contents": "read"}});
    assert_eq!(counter.refusal(&app, ask.clone()).await.0, "InstallationNotFound");
    counter.github.install("acme", fake_github::Selection::All);
    counter.pass(6);
    let (error_type, message) = counter.refusal(&app, ask).await;
    assert_eq!(error_type, "PermissionNotGranted", "{message}");
}
