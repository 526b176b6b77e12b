//! What the token function answers: tokens of exactly the scope asked for, or an error that says what to do.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use fake_github::{AppKey, Fault, FaultKind, TokenShape};
use local_aws::lambda::{Function, binary};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use stack::{APP_SECRET_ID, Stack, app_secret};
use token::{Environment, ErrorType, Policy};

use crate::harness::counter::{Counter, PERMISSIONS, REPOSITORIES, rejected, token_of};

const MINT: &str = "/access_tokens";
const IP_ALLOW_LIST: &str = "Although you appear to have the correct authorization credentials, the 'acme' organization has an \
                             IP allow list enabled, and your IP address is not permitted to access this resource.";
const NEVER_SAID: &str = "Something that GitHub has never said before.";
const ABUSE: &str = "You have triggered an abuse detection mechanism. Please wait a few minutes before you try again.";

#[tokio::test]
async fn a_request_of_the_largest_size_that_lambda_takes_is_refused_and_ends_no_environment() {
    let stack = Stack::start().await;
    stack.lambda.invoke("token", json!({})).await.unwrap();
    let before = stack.lambda.processes("token");
    // Hundreds of megabytes, were each of these objects made.
    let many = json!({"repositories": vec![json!({"": 0}); 600_000]});
    let refused = stack.lambda.invoke("token", many).await.unwrap_err();
    assert_eq!(
        (refused.error_type.as_str(), refused.message.as_str()),
        ("InvalidRequest", "the request is longer than 128 KB")
    );
    assert_eq!(stack.lambda.processes("token"), before, "the same process goes on");
    let peak = stack.lambda.peak_memory("token").unwrap();
    assert!(peak < 64 * 1024 * 1024, "{peak} bytes");
}

#[tokio::test]
async fn an_agent_gets_a_token_of_exactly_the_scope_it_asked_for() {
    let counter = Counter::open().await;
    let ask = json!({"repositories": ["App", "acme/web"], "permissions": {"contents": "read"}});
    let answer = counter.ask_cold(ask).await.unwrap();
    let (repositories, permissions) = counter.scope_of(&answer);
    assert_eq!(repositories, BTreeSet::from(["acme/app".to_owned(), "acme/web".to_owned()]));
    assert_eq!(permissions["contents"], "read");
    assert_eq!(answer["cached"], false);
    assert_eq!(answer["installation_id"], counter.installation);
    assert_eq!(answer["permissions"], json!({"contents": "read", "metadata": "read"}));
    assert_eq!(answer["repositories"], json!(["app", "web"]));
    counter.github.assert_nothing_unexpected();
}

#[tokio::test]
async fn without_a_scope_the_token_opens_what_the_installation_was_granted() {
    let counter = Counter::open().await;
    let answer = counter.ask_cold(json!({})).await.unwrap();
    let (repositories, permissions) = counter.scope_of(&answer);
    assert_eq!(repositories.len(), REPOSITORIES.len());
    assert_eq!(permissions.len(), PERMISSIONS.len());
    assert!(answer.get("repositories").is_none());
}

#[tokio::test]
async fn a_token_is_kept_until_it_is_about_to_expire() {
    let counter = Counter::open().await;
    let app = counter.environment();
    let first = counter.ask(&app, json!({})).await.unwrap();
    counter.pass(3290);
    let kept = counter.ask(&app, json!({})).await.unwrap();
    assert_eq!((token_of(&kept), &kept["cached"]), (token_of(&first), &json!(true)));
    let longer = counter.ask(&app, json!({"min_ttl_seconds": 900})).await.unwrap();
    assert_ne!(token_of(&longer), token_of(&first));
    counter.pass(3400);
    let fresh = counter.ask(&app, json!({})).await.unwrap();
    assert_ne!(token_of(&fresh), token_of(&longer));
    assert_eq!(counter.minted(), 3);
}

#[tokio::test]
async fn tokens_of_every_shape_come_back_as_they_were() {
    for (shape, length) in [(TokenShape::Classic, 40), (TokenShape::Long, 520), (TokenShape::Huge, 1500)] {
        let counter = Counter::open().await;
        counter.github.set_token_shape(shape);
        let minted = counter.ask_cold(json!({})).await.unwrap();
        let from_table = counter.ask_cold(json!({})).await.unwrap();
        assert_eq!(token_of(&minted), token_of(&from_table));
        assert_eq!(token_of(&minted).len(), length);
        assert_eq!(from_table["cached"], true);
    }
}

#[tokio::test]
async fn an_invalid_request_is_refused_before_anybody_is_asked() {
    let counter = Counter::open().await;
    let app = counter.environment();
    let many: Vec<String> = (0..501).map(|n| format!("r{n}")).collect();
    let pasted = format!("ghs_{}", "a1B2".repeat(9));
    for (request, named) in [
        (json!([]), "JSON object"),
        (json!("token"), "JSON object"),
        (json!(null), "JSON object"),
        (json!({"repository": "app"}), "unknown field"),
        (json!({"repositories": []}), "repositories"),
        (json!({"repositories": null}), "repositories"),
        (json!({"repositories": "app"}), "repositories"),
        (json!({"repositories": [1]}), "repositories"),
        (json!({"repositories": many}), "repositories"),
        (json!({"repositories": ["app", ""]}), "repositories[1]"),
        (json!({"repositories": [".."]}), "repositories[0]"),
        (json!({"repositories": ["a/b/c"]}), "repositories[0]"),
        (json!({"repositories": ["/app"]}), "repositories[0]"),
        (json!({"repositories": ["app?x=1"]}), "repositories[0]"),
        (json!({"repositories": [pasted]}), "repositories[0]"),
        (json!({"repositories": ["acme/app", "evil/app"]}), "one owner"),
        (json!({"permissions": {}}), "permissions"),
        (json!({"permissions": null}), "permissions"),
        (json!({"permissions": ["contents"]}), "permissions"),
        (json!({"permissions": {"contents": "none"}}), "permissions"),
        (json!({"permissions": {"contents": "Read"}}), "permissions"),
        (json!({"permissions": {"Contents": "read"}}), "permissions"),
        (json!({"permissions": {"": "read"}}), "permissions"),
        (json!({"installation_id": 0}), "installation_id"),
        (json!({"installation_id": -1}), "installation_id"),
        (json!({"installation_id": "1"}), "installation_id"),
        (json!({"min_ttl_seconds": 3301}), "min_ttl_seconds"),
        (json!({"min_ttl_seconds": -1}), "min_ttl_seconds"),
        (json!({"min_ttl_seconds": 1.5}), "min_ttl_seconds"),
        (json!({"action": "mint"}), "action"),
        (json!({"action": "revoke"}), "token"),
        (json!({"action": "revoke", "token": "a b"}), "token"),
        (json!({"action": "invalidate", "token_sha256": "abc"}), "token_sha256"),
        (json!({"token": pasted}), "token"),
    ] {
        let (error_type, message) = counter.refusal(&app, request.clone()).await;
        assert_eq!(error_type, "InvalidRequest", "{request}");
        assert!(message.contains(named), "{request}: {message}");
        assert!(!message.contains("ghs_"), "{message}");
    }
    assert!(counter.github.requests().is_empty());
    assert!(counter.secrets.calls().is_empty());
    assert!(counter.dynamodb.calls().is_empty());
}

#[tokio::test]
async fn every_refusal_of_github_has_a_type_and_says_what_to_do() {
    let counter = Counter::open().await;
    let id = counter.installation;
    let status = |status, message: &str| FaultKind::Status(status, json!({"message": message}).to_string(), vec![]);
    let claim = "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued";
    for (kind, error_type, advice) in [
        (status(401, "A JSON web token could not be decoded"), "InvalidKey", "generate one"),
        (status(401, "Integration must generate a public key"), "InvalidKey", "generate one"),
        (status(404, "Integration not found"), "AppNotFound", "in the secret konduktor/app"),
        (status(403, IP_ALLOW_LIST), "IpAllowList", "the account's IP allow list"),
        (status(403, "Resource protected by organization SAML enforcement."), "SamlEnforced", "SAML"),
        (status(403, ABUSE), "RateLimited", "again in 60 s"),
        (status(403, "Maximum number of login attempts exceeded. Please try again later."), "LockedOut", "again in"),
        (status(401, NEVER_SAID), "Refused", "its log has them"),
        (status(403, NEVER_SAID), "Refused", "its log has them"),
        (status(422, NEVER_SAID), "Refused", "its log has them"),
        (status(401, claim), "ClockSkew", "check the clock"),
        (status(404, "Not Found"), "InstallationNotFound", "install the App"),
        (status(403, "This installation has been suspended"), "InstallationSuspended", "unsuspends"),
        (status(403, "Resource not accessible by integration"), "PermissionNotGranted", "grant it"),
        (status(422, "The permissions requested are not granted."), "PermissionNotGranted", "ask for less"),
        (status(429, "Too many"), "RateLimited", "again in 60 s"),
        (FaultKind::RateLimitPrimary(1234), "RateLimited", "again in 12"),
        (FaultKind::RateLimitSecondary(17), "RateLimited", "again in 17 s"),
        (FaultKind::TooMany(9), "RateLimited", "again in 9 s"),
        (FaultKind::ServerError, "GitHubUnavailable", "githubstatus"),
        (FaultKind::DropConnection, "GitHubUnavailable", "try again"),
        (status(418, "I am a teapot"), "GitHubUnavailable", "try again"),
    ] {
        counter.github.fault(Fault::always(MINT, kind.clone()));
        counter.dynamodb.reset();
        let (found, message) = counter.refusal(&counter.environment(), json!({})).await;
        assert_eq!(found, error_type, "{kind:?}: {message}");
        assert!(message.contains(advice), "{kind:?}: {message}");
        counter.github.clear_faults();
    }
    assert_eq!(counter.minted(), 0);
    counter.dynamodb.reset();
    let ask = json!({"repositories": ["app"], "permissions": {"secrets": "write"}});
    let (error_type, message) = counter.refusal(&counter.environment(), ask).await;
    assert_eq!(error_type, "PermissionNotGranted");
    assert!(message.contains("secrets: write on app") && message.contains(&id.to_string()), "{message}");
}

#[tokio::test]
async fn a_secret_that_cannot_work_is_named_for_what_it_is() {
    let counter = Counter::open().await;
    let good = app_secret(&counter.github, counter.installation);
    let with_key = |key: String| {
        let mut secret = good.clone();
        secret["private_key"] = json!(key);
        secret
    };
    let public = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----".to_owned();
    let truncated = counter.github.app().pem[..400].to_owned();
    for (secret, error_type, advice) in [
        (json!(""), "NotConfigured", "it is empty"),
        (json!("not JSON"), "NotConfigured", "JSON object"),
        (json!({"app_id": 1}), "NotConfigured", "configure"),
        (with_key("<paste the key here>".to_owned()), "NotConfigured", "placeholder"),
        (with_key(public), "InvalidKey", "public key"),
        (with_key(truncated), "InvalidKey", "truncated"),
        (with_key(AppKey::second().pem.clone()), "InvalidKey", "generate one"),
    ] {
        // Twice, so that no earlier version is left that would work.
        counter.secrets.put(APP_SECRET_ID, &secret).await;
        counter.secrets.put(APP_SECRET_ID, &secret).await;
        let (found, message) = counter.refusal(&counter.environment(), json!({})).await;
        assert_eq!(found, error_type, "{message}");
        assert!(message.contains(advice), "{message}");
    }
    let mut without_installation = good.clone();
    without_installation.as_object_mut().unwrap().remove("installation_id");
    counter.secrets.put(APP_SECRET_ID, &without_installation).await;
    let (error_type, message) = counter.refusal(&counter.environment(), json!({})).await;
    assert_eq!(error_type, "NotConfigured", "{message}");
    let all = Policy::parse(r#"{"profiles": {"agents": {"installations": "all"}}}"#).unwrap();
    let named = json!({"installation_id": counter.installation});
    let named = counter.ask(&counter.environment_with(all), named).await.unwrap();
    assert_eq!(named["installation_id"], counter.installation);
}

#[tokio::test]
async fn a_secret_of_bytes_is_read_as_the_text_that_it_is_and_named_where_it_is_none() {
    let counter = Counter::open().await;
    let text = app_secret(&counter.github, counter.installation).to_string();
    // Twice, so that no earlier version is left that would work.
    counter.secrets.put(APP_SECRET_ID, &json!({})).await;
    counter.secrets.put_bytes(APP_SECRET_ID, text.as_bytes()).await;
    counter.ask_cold(json!({})).await.unwrap();
    // As PowerShell writes a file.
    let utf16: Vec<u8> = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    for _ in 0..2 {
        counter.secrets.put_bytes(APP_SECRET_ID, &utf16).await;
    }
    let (error_type, message) = counter.refusal(&counter.environment(), json!({})).await;
    assert!(error_type == "NotConfigured" && message.contains("it is binary"), "{message}");
}

#[tokio::test]
async fn a_function_without_configuration_names_every_missing_variable_to_its_caller() {
    let stack = Stack::start().await;
    stack.lambda.add(Function::new("bare", binary("token")));
    let error = stack.lambda.invoke("bare", json!({})).await.unwrap_err();
    assert_eq!(error.error_type, "NotConfigured");
    assert!(error.message.contains("APP_SECRET_ID, TOKENS_TABLE"), "{error}");
    stack.lambda.set_variable("token", "TOKEN_POLICY", r#"{"permission": {}}"#);
    let error = stack.lambda.invoke("token", json!({})).await.unwrap_err();
    assert_eq!(error.error_type, "NotConfigured");
    assert!(error.message.contains("TOKEN_POLICY"), "{error}");
}

#[tokio::test]
async fn the_key_works_in_every_shape_people_store_it_in() {
    let counter = Counter::open().await;
    let (pem, pkcs8) = (counter.github.app().pem, counter.github.app().pkcs8_pem);
    for key in [
        pkcs8,
        pem.replace('\n', "\r\n"),
        pem.replace('\n', "\\n"),
        format!("\"{}\"", pem.trim()),
        BASE64_STANDARD.encode(&pem),
    ] {
        let mut secret = app_secret(&counter.github, counter.installation);
        secret["private_key"] = json!(key);
        counter.secrets.put(APP_SECRET_ID, &secret).await;
        let answer = counter.ask_cold(json!({})).await.unwrap();
        assert!(token_of(&answer).starts_with("ghs_"));
    }
    assert_eq!(counter.minted(), 1, "every shape is the same key, and opens the same cached token");
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_once_and_the_correction_is_remembered() {
    for skew in [900, -900] {
        let counter = Counter::open().await;
        counter.github.set_clock_skew(skew);
        let app = counter.environment();
        counter.ask(&app, json!({})).await.unwrap();
        assert_eq!(counter.asked(), 2);
        counter.ask(&app, json!({"permissions": {"contents": "read"}})).await.unwrap();
        assert_eq!(counter.asked(), 3);
    }
}

#[tokio::test]
async fn a_passing_failure_of_github_is_tried_again() {
    let counter = Counter::open().await;
    counter.github.fault(Fault { times: 2, ..Fault::once(MINT, FaultKind::ServerError) });
    counter.ask_cold(json!({})).await.unwrap();
    assert_eq!((counter.asked(), counter.minted()), (3, 1));
}

#[tokio::test]
async fn during_a_rotation_the_key_that_github_knows_is_used() {
    let counter = Counter::open().await;
    let old = counter.environment();
    counter.ask(&old, json!({})).await.unwrap();
    let mut rotated = app_secret(&counter.github, counter.installation);
    rotated["private_key"] = json!(AppKey::second().pem);
    counter.secrets.put(APP_SECRET_ID, &rotated).await;

    // GitHub does not know the new key yet: the cached token of the previous one serves.
    let new = counter.environment();
    let answer = counter.ask(&new, json!({})).await.unwrap();
    assert_eq!(answer["cached"], true);
    let ask = json!({"permissions": {"contents": "read"}});
    counter.ask(&new, ask.clone()).await.unwrap();
    assert_eq!(counter.asked(), 3, "the new key was tried once, and what worked was kept");

    // GitHub learns the new key and forgets the old one.
    counter.github.add_key(AppKey::second());
    counter.github.remove_key(AppKey::first());
    counter.pass(31);
    let ask = json!({"permissions": {"issues": "read"}});
    let by_new = counter.ask(&new, ask.clone()).await.unwrap();
    let by_old = counter.ask(&old, ask.clone()).await.unwrap();
    assert_eq!(token_of(&by_new), token_of(&by_old));
    assert_eq!(counter.minted(), 3);
}

#[tokio::test]
async fn environments_of_two_keys_do_not_take_each_others_copies_away() {
    let counter = Counter::open().await;
    counter.github.add_key(AppKey::second());
    let first = app_secret(&counter.github, counter.installation);
    let mut second = first.clone();
    second["private_key"] = json!(AppKey::second().pem);
    for secret in [&first, &second, &first, &second] {
        counter.secrets.put(APP_SECRET_ID, secret).await;
        counter.ask_cold(json!({})).await.unwrap();
    }
    assert_eq!(counter.minted(), 2);
}

#[tokio::test]
async fn an_owner_is_taken_when_it_is_the_installations() {
    let counter = Counter::open().await;
    let app = counter.environment();
    let bare = counter.ask(&app, json!({"repositories": ["app"]})).await.unwrap();
    let named = counter.ask(&app, json!({"repositories": ["Acme/App"]})).await.unwrap();
    assert_eq!(token_of(&bare), token_of(&named));
    let foreign = json!({"repositories": ["evil/app"]});
    assert_eq!(counter.refusal(&app, foreign.clone()).await.0, "InvalidRequest");
    assert_eq!(counter.refusal(&counter.environment(), foreign).await.0, "InvalidRequest");
    assert_eq!(counter.minted(), 1);
}

#[tokio::test]
async fn an_answer_of_another_scope_is_revoked_and_not_handed_out() {
    let token = "ghs_0123456789abcdefghijklmnopqrstuvwxyz";
    let repository = |name: &str| json!({"name": name, "full_name": format!("acme/{name}")});
    let (read, app) = (json!({"contents": "read", "metadata": "read"}), json!([repository("app")]));
    for (selection, repositories, permissions) in [
        ("all", Value::Null, read.clone()),
        ("all", app.clone(), read.clone()),
        ("selected", json!([repository("app"), repository("web")]), read.clone()),
        ("selected", json!([repository("web")]), read.clone()),
        ("selected", json!([]), read),
        ("selected", app.clone(), json!({"contents": "write", "metadata": "read"})),
        ("selected", app.clone(), json!({"contents": "read", "issues": "read"})),
        ("selected", app.clone(), json!({"contents": "read", "metadata": "write"})),
        ("selected", app, json!({"metadata": "read"})),
    ] {
        let counter = Counter::open().await;
        let body = json!({"token": token, "expires_at": "2999-01-01T00:00:00Z", "permissions": permissions,
            "repository_selection": selection, "repositories": repositories});
        counter.github.fault(Fault::once(MINT, FaultKind::Status(201, body.to_string(), vec![])));
        let ask = json!({"repositories": ["app"], "permissions": {"contents": "read"}});
        let (error_type, message) = counter.refusal(&counter.environment(), ask).await;
        assert_eq!(error_type, "PermissionNotGranted");
        assert!(message.contains("revoked"), "{message}");
        assert_eq!(counter.github.count("DELETE /installation/token"), 1);
        assert!(counter.cached().is_empty());
    }
}

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
async fn a_revoked_token_is_dead_and_its_copies_are_gone() {
    let counter = Counter::open().await;
    let app = counter.environment();
    let ask = json!({"repositories": ["app"]});
    let first = counter.ask(&app, ask.clone()).await.unwrap();
    let revoke = json!({"action": "revoke", "token": token_of(&first), "repositories": ["app"]});
    let answer = counter.ask(&app, revoke.clone()).await.unwrap();
    assert_eq!(answer, json!({"revoked": true, "dropped": true}));
    assert!(counter.github.scope_of(token_of(&first)).unwrap().revoked);
    for app in [&app, &counter.environment()] {
        assert_ne!(token_of(&counter.ask(app, ask.clone()).await.unwrap()), token_of(&first));
    }
    let again = counter.ask(&app, revoke).await.unwrap();
    assert_eq!(again, json!({"revoked": true, "dropped": false}));
    assert_eq!(counter.minted(), 2);
}

#[tokio::test]
async fn revoking_works_whatever_scope_policy_and_secret_say() {
    let counter = Counter::open().await;
    let elsewhere = counter.environment();
    let first = counter.ask(&elsewhere, json!({"repositories": ["app"]})).await.unwrap();
    let nothing = Policy::parse(r#"{"profiles": {"agents": {"installations": [7]}}}"#).unwrap();
    let narrowed = counter.environment_with(nothing);
    let revoke = json!({"action": "revoke", "token": token_of(&first), "repositories": ["web"]});
    let answer = counter.ask(&narrowed, revoke).await.unwrap();
    assert_eq!(answer, json!({"revoked": true, "dropped": true}), "the copy is found by the token's hash");
    assert!(counter.github.scope_of(token_of(&first)).unwrap().revoked);
    counter.pass(30);
    let next = counter.ask(&elsewhere, json!({"repositories": ["app"]})).await.unwrap();
    assert_ne!(token_of(&next), token_of(&first), "within 30 s it is known everywhere");

    counter.secrets.put(APP_SECRET_ID, &json!({})).await;
    counter.secrets.put(APP_SECRET_ID, &json!({})).await;
    let revoke = json!({"action": "revoke", "token": token_of(&next)});
    assert_eq!(counter.ask_cold(revoke).await.unwrap()["revoked"], true);
}

/// GitHub refuses everything for a while after many bad credentials, and every caller may send some to be revoked.
#[tokio::test]
async fn made_up_and_dead_tokens_reach_github_a_few_times_a_minute() {
    let counter = Counter::open().await;
    let revoke = |token: &str| json!({"action": "revoke", "token": token});
    let answer = counter.ask_cold(json!({})).await.unwrap();
    let dead = counter.ask_cold(json!({"permissions": {"contents": "read"}})).await.unwrap();
    counter.ask_cold(revoke(token_of(&dead))).await.unwrap();
    counter.github.clear_requests();
    let mut refused = 0;
    for n in 0..20 {
        for token in [format!("ghs_madeup{n}"), token_of(&dead).to_owned()] {
            if let Err(failure) = counter.ask_cold(revoke(&token)).await {
                assert_eq!(failure.error_type.name(), "RateLimited");
                assert!(failure.message.contains("this one is not revoked"), "{}", failure.message);
                refused += 1;
            }
        }
    }
    assert_eq!((counter.github.requests().len(), refused), (5, 35));
    let revoked = counter.ask_cold(revoke(token_of(&answer))).await.unwrap();
    assert_eq!(revoked, json!({"revoked": true, "dropped": true}), "a token of this function is always revoked");
    counter.pass(61);
    counter.ask_cold(revoke("ghs_madeup")).await.unwrap();
}

#[tokio::test]
async fn what_revoking_meets_is_named_and_a_lock_out_holds_for_the_app() {
    let counter = Counter::open().await;
    let answer = counter.ask_cold(json!({})).await.unwrap();
    let revoke = json!({"action": "revoke", "token": token_of(&answer)});
    let status = |message: &str| FaultKind::Status(403, json!({"message": message}).to_string(), vec![]);
    for (message, error_type) in
        [(NEVER_SAID, "Refused"), ("Maximum number of login attempts exceeded. Please try again later.", "LockedOut")]
    {
        counter.github.fault(Fault::once("/installation/token", status(message)));
        let (found, message) = counter.refusal(&counter.environment(), revoke.clone()).await;
        assert_eq!(found, error_type, "{message}");
    }
    let (found, _) = counter.refusal(&counter.environment(), json!({"permissions": {"contents": "read"}})).await;
    assert_eq!((found, counter.asked()), ("LockedOut", 1));
}

#[tokio::test]
async fn who_revokes_again_and_again_neither_makes_github_mint_each_time_nor_takes_others_tokens() {
    let counter = Counter::open().await;
    let revoke = |answer: &Value| json!({"action": "revoke", "token": token_of(answer)});
    let app = counter.environment();
    let began = std::time::Instant::now();
    // Turns are drawn: who has lost some of them is told to come again, and does.
    let persistently = async |app: &Environment| {
        for _ in 0..10 {
            match counter.ask(app, json!({})).await {
                Err(failure) if failure.error_type == ErrorType::RateLimited => {}
                answer => return answer.unwrap(),
            }
        }
        panic!("ten times in vain");
    };
    let attack = async {
        loop {
            let answer = persistently(&app).await;
            assert_eq!(counter.ask(&app, revoke(&answer)).await.unwrap()["revoked"], true);
        }
    };
    let honest = async {
        while counter.minted() < 7 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let mut tokens = Vec::new();
        let other = counter.environment();
        for app in [&app, &other, &other] {
            tokens.push(persistently(app).await);
        }
        // The one who revokes gets another turn.
        let minted = counter.minted();
        while counter.minted() == minted {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        tokens
    };
    let tokens = tokio::select! {
        tokens = honest => tokens,
        () = attack => unreachable!(),
    };
    assert_eq!(tokens.iter().map(token_of).collect::<BTreeSet<_>>().len(), 3, "none is shared, by memory either");
    for token in &tokens {
        assert!(!counter.github.scope_of(token_of(token)).unwrap().revoked, "it is nobody else's");
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!(counter.asked() <= 7 + seconds / 3, "{} mints in {seconds} s", counter.asked());
    assert_eq!(counter.ask(&app, revoke(&tokens[0])).await.unwrap()["revoked"], true, "its holder can");
    counter.ask(&app, json!({"permissions": {"contents": "read"}})).await.unwrap();

    // Nobody revoked what others hold for a minute: one token serves all again.
    counter.pass(61);
    let (one, other) = (counter.ask_cold(json!({})).await.unwrap(), counter.ask_cold(json!({})).await.unwrap());
    assert_eq!(token_of(&one), token_of(&other));
}

#[tokio::test]
async fn who_has_no_time_for_a_turn_is_told_why_there_is_none() {
    let counter = Counter::open().await;
    for _ in 0..7 {
        let answer = counter.ask_cold(json!({})).await.unwrap();
        counter.ask_cold(json!({"action": "revoke", "token": token_of(&answer)})).await.unwrap();
    }
    let deadline = u64::try_from(counter.now().as_millisecond()).unwrap() + 2000;
    let failure = counter.ask_until(&counter.environment(), json!({}), deadline).await.unwrap_err();
    assert_eq!(failure.error_type.name(), "RateLimited");
    assert!(failure.message.contains("revoked again and again"), "{}", failure.message);
}

#[tokio::test]
async fn a_token_that_was_revoked_elsewhere_is_handed_out_no_more_once_its_holder_reports_it() {
    let counter = Counter::open().await;
    let app = counter.environment();
    let first = counter.ask(&app, json!({})).await.unwrap();
    counter.ask_cold(json!({"action": "revoke", "token": token_of(&first)})).await.unwrap();
    assert_eq!(token_of(&counter.ask(&app, json!({})).await.unwrap()), token_of(&first), "for half a minute at most");
    counter.ask(&app, rejected(token_of(&first))).await.unwrap();
    assert_ne!(token_of(&counter.ask(&app, json!({})).await.unwrap()), token_of(&first));
}

#[tokio::test]
async fn a_rejected_token_is_dropped_everywhere_within_half_a_minute() {
    let counter = Counter::open().await;
    let (reporter, other) = (counter.environment(), counter.environment());
    let first = counter.ask(&reporter, json!({})).await.unwrap();
    counter.pass(31);
    counter.ask(&other, json!({})).await.unwrap();
    let report = counter.ask(&reporter, rejected(token_of(&first))).await.unwrap();
    assert_eq!(report, json!({"invalidated": true}));
    let second = counter.ask(&reporter, json!({})).await.unwrap();
    assert_ne!(token_of(&second), token_of(&first));
    counter.pass(31);
    let elsewhere = counter.ask(&other, json!({})).await.unwrap();
    assert_eq!(token_of(&elsewhere), token_of(&second));
    assert_eq!(counter.minted(), 2);
}

#[tokio::test]
async fn reports_about_fresh_unknown_or_just_dropped_tokens_change_nothing() {
    let counter = Counter::open().await;
    let app = counter.environment();
    let first = counter.ask(&app, json!({})).await.unwrap();
    for token in [token_of(&first), "ghs_unknown"] {
        let report = counter.ask(&app, rejected(token)).await.unwrap();
        assert_eq!(report["invalidated"], false, "{report}");
    }
    counter.pass(31);
    assert_eq!(counter.ask(&app, rejected(token_of(&first))).await.unwrap()["invalidated"], true);
    let second = counter.ask(&app, json!({})).await.unwrap();
    assert_eq!(counter.ask(&app, rejected(token_of(&second))).await.unwrap()["invalidated"], false);
    assert_eq!(token_of(&counter.ask(&app, json!({})).await.unwrap()), token_of(&second));
    assert_eq!(counter.minted(), 2);
}

#[tokio::test]
async fn after_a_reinstallation_the_new_installation_is_found_by_its_account() {
    let counter = Counter::open().await;
    let app = counter.environment();
    counter.ask(&app, json!({"repositories": ["app"]})).await.unwrap();
    counter.github.uninstall(counter.installation);
    let ask = json!({"repositories": ["app"], "permissions": {"contents": "read"}});
    assert_eq!(counter.refusal(&app, ask.clone()).await.0, "InstallationNotFound");
    let new = counter.github.install("acme", fake_github::Selection::All);
    counter.pass(6);
    let found = counter.ask(&app, ask).await.unwrap();
    assert_eq!(found["installation_id"], new);
    assert_eq!(counter.github.scope_of(token_of(&found)).unwrap().installation, new);
    counter.github.clear_requests();
    counter.ask(&app, json!({"repositories": ["web"]})).await.unwrap();
    assert_eq!(counter.asked(), 1, "the new id is remembered");
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

#[tokio::test]
async fn an_account_that_was_renamed_and_installed_the_app_anew_is_found_and_no_other_of_its_old_name() {
    for first in [json!({}), json!({"repositories": ["app"]})] {
        let counter = Counter::open().await;
        let app = counter.environment();
        counter.ask(&app, first.clone()).await.unwrap();
        counter.github.rename_account("acme", "zenith");
        counter.github.uninstall(counter.installation);
        counter.github.create_repository("acme/app", true);
        let stranger = counter.github.install("acme", fake_github::Selection::All);
        let ask = json!({"permissions": {"contents": "read"}});
        assert_eq!(counter.refusal(&app, ask.clone()).await.0, "InstallationNotFound", "{first}");
        counter.github.clear_requests();
        for _ in 0..10 {
            counter.refusal(&app, ask.clone()).await;
        }
        assert_eq!(counter.github.requests().len(), 0, "it is looked for once in 5 s");

        let new = counter.github.install("zenith", fake_github::Selection::All);
        counter.pass(6);
        let found = counter.ask(&app, ask).await.unwrap();
        assert!(stranger != new && found["installation_id"] == new && found["account"] == "zenith", "{found}");
    }
}

#[tokio::test]
async fn a_list_of_installations_that_somebody_wrote_into_the_table_is_none() {
    let counter = Counter::open().await;
    let policy = json!({"profiles": {"agents": {"installations": "all"}}}).to_string();
    let environment = || counter.environment_with(Policy::parse(&policy).unwrap());
    counter.ask(&environment(), json!({})).await.unwrap();
    let rows = counter.dynamodb.scan("Tokens");
    let is_list = |row: &&Value| row["cache_key"].as_str().unwrap().starts_with("installations#");
    let list = rows.iter().find(is_list).expect("the list is shared");
    assert!(!list.to_string().contains("acme"), "{list}");
    let plain = json!({"4711": {"name": "acme", "id": 1}}).to_string();
    let forged = json!({"cache_key": list["cache_key"], "accounts": plain, "listed_at": 4_102_444_800_000_u64});
    let sealed = rows.iter().find(|row| !is_list(row) && row.get("ciphertext").is_some()).unwrap();
    let moved = json!({"cache_key": list["cache_key"], "ciphertext": sealed["ciphertext"], "nonce": sealed["nonce"]});
    for planted in [forged, moved] {
        counter.dynamodb.put("Tokens", &planted);
        counter.github.clear_requests();
        let refusal = counter.refusal(&environment(), json!({"installation_id": 4711})).await;
        assert_eq!(refusal.0, "InstallationNotFound");
        let minted = counter.github.requests().iter().any(|request| request.path.contains("access_tokens"));
        assert!(!minted, "{planted}");
    }
}

#[tokio::test]
async fn a_transferred_repository_does_not_lead_to_the_installation_of_its_new_owner() {
    let counter = Counter::open().await;
    let app = counter.environment();
    counter.ask(&app, json!({"repositories": ["app"]})).await.unwrap();
    counter.github.rename_repository("acme/app", "stranger/app");
    counter.github.install("stranger", fake_github::Selection::All);
    counter.github.uninstall(counter.installation);
    let ask = json!({"repositories": ["app"], "permissions": {"contents": "read"}});
    assert_eq!(counter.refusal(&app, ask).await.0, "InstallationNotFound");
}

#[tokio::test]
async fn made_up_installations_cost_a_few_calls_and_no_rows() {
    let counter = Counter::open().await;
    let policy = json!({"profiles": {"agents": {"installations": "all"}}}).to_string();
    let cold = || counter.environment_with(Policy::parse(&policy).unwrap());
    let rows = |counter: &Counter| counter.dynamodb.scan("Tokens").len();
    let reads = |counter: &Counter| {
        let list =
            |call: &&local_aws::Call| call.operation == "GetItem" && call.body.to_string().contains("installations#");
        counter.dynamodb.calls().iter().filter(list).count()
    };
    for n in 0..30 {
        let before = reads(&counter);
        let ask = json!({"installation_id": 900_000 + n, "repositories": ["acme/app"]});
        let (error_type, message) = counter.refusal(&cold(), ask).await;
        assert_eq!(error_type, "InstallationNotFound");
        assert!(message.contains(&format!("no installation {}", 900_000 + n)), "{message}");
        assert_eq!(reads(&counter) - before, 1, "the list is read once in an invocation");
    }
    assert_eq!(counter.github.requests().len(), 1, "the App's installations were listed once");
    assert!(rows(&counter) <= 2, "a row for the list, and one for the App's way to GitHub");

    // An installation that is made meanwhile is found within a minute.
    counter.github.create_repository("other/app", true);
    let other = counter.github.install("other", fake_github::Selection::All);
    counter.pass(61);
    let answer = counter.ask(&cold(), json!({"installation_id": other})).await.unwrap();
    assert_eq!((&answer["installation_id"], &answer["account"]), (&json!(other), &json!("other")));
}

#[tokio::test]
async fn while_installations_cannot_be_listed_made_up_ones_get_neither_row_nor_mint() {
    let counter = Counter::open().await;
    let policy = json!({"profiles": {"agents": {"installations": "all"}}}).to_string();
    let cold = || counter.environment_with(Policy::parse(&policy).unwrap());
    counter.github.create_repository("other/app", true);
    let other = counter.github.install("other", fake_github::Selection::All);
    let read = |name: &str| json!({"installation_id": other, "permissions": {name: "read"}});
    counter.ask(&cold(), read("contents")).await.unwrap();
    let rows = counter.dynamodb.scan("Tokens").len();

    counter.pass(3700);
    let list = Fault { method: Some("GET".to_owned()), ..Fault::always("/app/installations", FaultKind::ServerError) };
    counter.github.fault(list);
    counter.github.clear_requests();
    for n in 0..30 {
        let (error_type, _) = counter.refusal(&cold(), json!({"installation_id": 900_000 + n})).await;
        assert_eq!(error_type, "GitHubUnavailable");
    }
    assert_eq!((counter.asked(), counter.dynamodb.scan("Tokens").len()), (0, rows));
    counter.ask(&cold(), read("issues")).await.expect("it stood on the last list");
    counter.ask(&cold(), json!({})).await.expect("the secret's own is not made up");
}

#[tokio::test]
async fn the_answer_says_whose_the_token_is() {
    let counter = Counter::open().await;
    let whose =
        |answer: &Value| (answer["api_url"].clone(), answer["installation_id"].clone(), answer["account"].clone());
    let expected = (json!(counter.github.url()), json!(counter.installation), json!("acme"));
    let app = counter.environment();
    for ask in [json!({}), json!({"repositories": ["app"]})] {
        assert_eq!(whose(&counter.ask(&app, ask.clone()).await.unwrap()), expected);
        assert_eq!(whose(&counter.ask_cold(ask).await.unwrap()), expected, "from the table");
    }
}

#[tokio::test]
async fn a_renamed_account_is_served_under_both_names() {
    let counter = Counter::open().await;
    let app = counter.environment();
    counter.github.rename_account("acme", "zenith");
    let new = counter.ask(&app, json!({"repositories": ["zenith/app"]})).await.unwrap();
    let old = counter.ask(&app, json!({"repositories": ["acme/app"]})).await.unwrap();
    assert_eq!(token_of(&new), token_of(&old));
    assert_eq!(old["account"], "zenith");
    counter.github.clear_requests();
    counter.ask(&app, json!({"repositories": ["acme/app"]})).await.unwrap();
    assert!(counter.github.requests().is_empty(), "the old name is remembered");
}

#[tokio::test]
async fn a_wrong_app_id_is_named_with_its_place_and_a_previous_version_that_works_is_used() {
    let counter = Counter::open().await;
    let mut wrong = app_secret(&counter.github, counter.installation);
    wrong["app_id"] = json!(424_242);
    wrong.as_object_mut().unwrap().remove("client_id");
    counter.secrets.put(APP_SECRET_ID, &wrong).await;
    counter
        .github
        .fault(Fault::once(MINT, FaultKind::Status(404, r#"{"message": "Integration not found"}"#.to_owned(), vec![])));
    counter.ask_cold(json!({})).await.unwrap();
    assert_eq!(counter.asked(), 2);

    counter.secrets.put(APP_SECRET_ID, &wrong).await;
    let (error_type, message) =
        counter.refusal(&counter.environment(), json!({"permissions": {"contents": "read"}})).await;
    assert_eq!(error_type, "AppNotFound", "remembered: {message}");
    assert!(message.contains("no App 424242") && message.contains("app_id in the secret konduktor/app"), "{message}");
    assert_eq!(counter.asked(), 2);
}

#[tokio::test]
async fn a_malformed_version_takes_no_good_one_out_of_service_while_secrets_manager_is_away() {
    let counter = Counter::open().await;
    let app = counter.environment();
    let fails = || local_aws::Rule::new(local_aws::Fault::AccessDenied).operation("GetSecretValue");
    counter.ask(&app, json!({})).await.unwrap();
    counter.secrets.put(APP_SECRET_ID, &json!({"app_id": true})).await;

    // The malformed version is read, the one before it cannot be.
    counter.pass(301);
    counter.secrets.fail(fails().after(1));
    counter.ask(&app, json!({"permissions": {"contents": "read"}})).await.unwrap();
    counter.secrets.clear_faults();
    counter.pass(31);
    counter.ask(&app, json!({"permissions": {"issues": "read"}})).await.unwrap();

    // Nothing can be read, and that is found out once in 30 s.
    counter.pass(31);
    counter.secrets.fail(fails());
    counter.secrets.clear_calls();
    for name in ["metadata", "pull_requests"] {
        counter.ask(&app, json!({"permissions": {name: "read"}})).await.unwrap();
    }
    assert_eq!(counter.secrets.calls().len(), 2, "one look at both versions");
}

#[tokio::test]
async fn trouble_with_secrets_manager_is_told_from_a_role_that_may_not_read() {
    let counter = Counter::open().await;
    let fail = |fault| counter.secrets.fail(local_aws::Rule::new(fault).operation("GetSecretValue"));
    for fault in [local_aws::Fault::ServerError, local_aws::Fault::Unreachable] {
        fail(fault);
        let (error_type, message) = counter.refusal(&counter.environment(), json!({})).await;
        assert!(error_type == "Busy" && message.contains("Try again") && !message.contains("role"), "{message}");
        counter.secrets.clear_faults();
    }
    fail(local_aws::Fault::AccessDenied);
    let (error_type, message) = counter.refusal(&counter.environment(), json!({})).await;
    assert!(error_type == "NotConfigured" && message.contains("let the function's role read it"), "{message}");

    // One lost call costs nobody a wait; an outage is looked at once in 5 s.
    let app = counter.environment();
    counter.secrets.clear_calls();
    for (passed, reads) in [(0, 2), (4, 2), (1, 3)] {
        counter.pass(passed);
        for _ in 0..10 {
            counter.ask(&app, json!({})).await.unwrap_err();
        }
        assert_eq!(counter.secrets.calls().len(), reads);
    }
    counter.secrets.clear_faults();
    counter.pass(5);
    counter.ask(&app, json!({})).await.unwrap();
}

/// One ask out of few names, which are those of repositories and of permissions alike.
fn asks() -> impl Strategy<Value = Value> {
    let names = proptest::sample::subsequence(REPOSITORIES.map(|name| &name[5..]).to_vec(), 1..=4);
    let levels = |name: &'static str, most: &'static str| {
        let levels: Vec<_> = ["read", "write", "admin"].into_iter().collect();
        let count = levels.iter().position(|level| *level == most).unwrap() + 1;
        proptest::sample::select(levels[..count].to_vec()).prop_map(move |level| (name.to_owned(), level.to_owned()))
    };
    let levels: Vec<_> = PERMISSIONS.iter().map(|(name, most)| levels(name, most)).collect();
    let chosen = proptest::sample::subsequence((0..PERMISSIONS.len()).collect::<Vec<_>>(), 1..=5);
    let permissions = (levels, chosen)
        .prop_map(|(levels, chosen)| chosen.iter().map(|at| levels[*at].clone()).collect::<BTreeMap<_, _>>());
    (proptest::option::of((names, any::<bool>())), proptest::option::of(permissions)).prop_map(
        |(names, permissions)| {
            let mut ask = json!({});
            if let Some((mut names, backwards)) = names {
                if backwards {
                    names.reverse();
                }
                ask["repositories"] = json!(names);
            }
            if let Some(permissions) = permissions {
                ask["permissions"] = json!(permissions);
            }
            ask
        },
    )
}

/// The scope that an ask is for, as GitHub would have to grant it.
fn scope(ask: &Value) -> (BTreeSet<String>, BTreeMap<String, String>) {
    let repositories = match ask["repositories"].as_array() {
        Some(names) => names.iter().map(|name| format!("acme/{}", name.as_str().unwrap())).collect(),
        None => REPOSITORIES.map(str::to_owned).into(),
    };
    let everything = || PERMISSIONS.map(|(name, level)| (name.to_owned(), level.to_owned())).into();
    let mut permissions: BTreeMap<String, String> =
        serde_json::from_value(ask["permissions"].clone()).unwrap_or_else(|_| everything());
    permissions.entry("metadata".to_owned()).or_insert_with(|| "read".to_owned());
    (repositories, permissions)
}

#[test]
fn no_request_is_answered_with_the_token_of_another_scope_or_profile() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let counter = runtime.block_on(Counter::open());
    let app = counter.environment();
    let asks = || (proptest::sample::select(vec!["agents", "pushers", "inspect"]), asks());
    let mut runner = TestRunner::new(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() });
    let result = runner.run(&(asks(), asks()), |(one, other)| {
        runtime.block_on(async {
            let mut tokens = Vec::new();
            for (app, (profile, ask)) in [(&app, &one), (&app, &other), (&counter.environment(), &one)] {
                let answer = counter.ask_as(app, profile, ask.clone()).await.unwrap();
                prop_assert_eq!(counter.scope_of(&answer), scope(ask));
                tokens.push(token_of(&answer).to_owned());
            }
            prop_assert_eq!(&tokens[0], &tokens[2]);
            if one.0 != other.0 {
                prop_assert_ne!(&tokens[0], &tokens[1], "a token is one profile's");
            }
            Ok(())
        })
    });
    result.unwrap_or_else(|error| panic!("{error}\n{runner}"));
    assert_eq!(counter.cached().len(), counter.minted(), "one key for each scope");
}
