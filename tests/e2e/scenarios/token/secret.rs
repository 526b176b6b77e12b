//! The App's secret: what it may hold, and which of its versions is used.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use fake_github::{AppKey, Fault, FaultKind};
use local_aws::lambda::{Function, binary};
use serde_json::{Value, json};
use stack::{APP_SECRET_ID, Stack, app_secret};
use token::Policy;

use super::MINT;
use crate::harness::counter::{Counter, token_of};

fn with_key(secret: &Value, key: &str) -> Value {
    let mut secret = secret.clone();
    secret["private_key"] = json!(key);
    secret
}

#[tokio::test]
async fn a_secret_that_cannot_work_is_named_for_what_it_is() {
    let counter = Counter::open().await;
    let good = app_secret(&counter.github, counter.installation);
    let public = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----".to_owned();
    let truncated = counter.github.app().pem[..400].to_owned();
    for (secret, error_type, advice) in [
        (json!(""), "NotConfigured", "it is empty"),
        (json!("not JSON"), "NotConfigured", "JSON object"),
        (json!({"app_id": 1}), "NotConfigured", "configure"),
        (with_key(&good, "<paste the key here>"), "NotConfigured", "placeholder"),
        (with_key(&good, &public), "InvalidKey", "public key"),
        (with_key(&good, &truncated), "InvalidKey", "truncated"),
        (with_key(&good, &AppKey::second().pem), "InvalidKey", "generate one"),
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
async fn a_secret_that_was_mended_serves_a_second_later() {
    let counter = Counter::open().await;
    let good = app_secret(&counter.github, counter.installation);
    // Configured too late, badly, with something that is no key, with a key that GitHub does not know.
    for broken in [json!(""), json!({}), with_key(&good, "none"), with_key(&good, &AppKey::second().pem)] {
        // Twice, so that no earlier version is left that would work.
        for _ in 0..2 {
            counter.secrets.put(APP_SECRET_ID, &broken).await;
        }
        let environment = counter.environment();
        counter.refusal(&environment, json!({})).await;
        counter.secrets.put(APP_SECRET_ID, &good).await;
        counter.pass(1);
        counter.ask(&environment, json!({})).await.unwrap_or_else(|failure| panic!("{broken}: {failure:?}"));
    }
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
        let secret = with_key(&app_secret(&counter.github, counter.installation), &key);
        counter.secrets.put(APP_SECRET_ID, &secret).await;
        let answer = counter.ask_cold(json!({})).await.unwrap();
        assert!(token_of(&answer).starts_with("ghs_"));
    }
    assert_eq!(counter.minted(), 1, "every shape is the same key, and opens the same cached token");
}

#[tokio::test]
async fn during_a_rotation_the_key_that_github_knows_is_used() {
    let counter = Counter::open().await;
    let old = counter.environment();
    counter.ask(&old, json!({})).await.unwrap();
    let rotated = with_key(&app_secret(&counter.github, counter.installation), &AppKey::second().pem);
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
    let second = with_key(&first, &AppKey::second().pem);
    for secret in [&first, &second, &first, &second] {
        counter.secrets.put(APP_SECRET_ID, secret).await;
        counter.ask_cold(json!({})).await.unwrap();
    }
    assert_eq!(counter.minted(), 2);
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
