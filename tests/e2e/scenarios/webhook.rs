//! The webhook's front door: the real binary, asked over HTTP.

use std::time::Duration;

use adapters::Error;
use adapters::secrets::{Callers, REFRESH_INTERVAL, Secret, WebhookSecret};
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use local_aws::lambda::access_key_id;
use local_aws::{Fault, Rule, SecretsManager};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use stack::{Stack, WEBHOOK_SECRET, WEBHOOK_SECRET_ID};

use crate::harness::desk::{Desk, TAG, TASK, sign};
use crate::harness::payload::{INSTALLATION_ID, merged, opened};

struct Answer {
    status: u16,
    json: Value,
    text: String,
}

/// A stack whose secret lists the installation of the payloads here.
async fn serving() -> Stack {
    let stack = Stack::start().await;
    let secret = json!({"webhook_secret": WEBHOOK_SECRET, "installations": [INSTALLATION_ID]});
    stack.secrets.put(WEBHOOK_SECRET_ID, &secret).await;
    stack
}

async fn post(stack: &Stack, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let mut request = stack.http.post(stack.front.url());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.body(body).send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    Answer { status, json: serde_json::from_str(&text).unwrap_or_default(), text }
}

/// Delivers as GitHub would, signed with the right secret.
async fn signed(stack: &Stack, event: &str, body: Vec<u8>) -> Answer {
    signed_with(stack, WEBHOOK_SECRET, event, body).await
}

async fn signed_with(stack: &Stack, secret: &str, event: &str, body: Vec<u8>) -> Answer {
    let signature = sign(secret, &body);
    let headers = [
        ("content-type", "application/json"),
        ("x-github-event", event),
        ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ("x-hub-signature-256", signature.as_str()),
    ];
    post(stack, &headers, body).await
}

fn ping() -> Vec<u8> {
    br#"{"zen":"Anything added dilutes everything else.","hook_id":1,"hook":{"type":"App"}}"#.to_vec()
}

#[tokio::test]
async fn a_ping_is_answered() {
    let stack = serving().await;
    let answer = signed(&stack, "ping", ping()).await;
    assert_eq!((answer.status, answer.json), (200, json!({"outcome": "pong"})));
    let record = stack.github.deliver(&stack.github.ping_event()).await;
    assert_eq!(record.status, 200, "{}", record.body);
}

#[tokio::test]
async fn whatever_is_wrong_with_a_signature_the_answer_is_the_same() {
    let stack = serving().await;
    stack.create_task(TASK, "Fix login", "pr_submitted");
    let body = merged(TAG, 2).bytes();
    let right = sign(WEBHOOK_SECRET, &body);
    let mut changed = body.clone();
    *changed.last_mut().unwrap() = b' ';
    let wrong = sign("another secret", &body);
    let upper = format!("sha256={}", right[7..].to_uppercase());
    let bare = right[7..].to_owned();
    let event = ("x-github-event", "pull_request");
    let mut answers = Vec::new();
    for (name, headers, body) in [
        ("missing", vec![event], &body),
        ("malformed", vec![event, ("x-hub-signature-256", "sha256=zz")], &body),
        ("without its prefix", vec![event, ("x-hub-signature-256", &bare)], &body),
        ("too short", vec![event, ("x-hub-signature-256", &right[..70])], &body),
        ("upper-case", vec![event, ("x-hub-signature-256", &upper)], &body),
        ("SHA-1 only", vec![event, ("x-hub-signature", "sha1=0000000000000000000000000000000000000000")], &body),
        ("another secret's", vec![event, ("x-hub-signature-256", &wrong)], &body),
        ("another body's", vec![event, ("x-hub-signature-256", &right)], &changed),
        ("sent twice", vec![event, ("x-hub-signature-256", &right), ("x-hub-signature-256", &right)], &body),
    ] {
        let answer = post(&stack, &headers, body.clone()).await;
        assert_eq!(answer.status, 401, "{name}");
        answers.push(answer.text);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(stack.read(TASK)["status"], "pr_submitted");
    assert!(stack.dynamodb.calls().is_empty(), "nothing unverified reaches a table");
}

#[tokio::test]
async fn header_names_come_in_any_case() {
    let stack = serving().await;
    let signature = sign(WEBHOOK_SECRET, &ping());
    let event = json!({
        "version": "2.0", "routeKey": "POST /api/webhooks/github", "rawPath": "/api/webhooks/github", "rawQueryString": "",
        "headers": {"X-GITHUB-EVENT": "ping", "X-Hub-Signature-256": signature, "Content-Type": "application/json"},
        "requestContext": {"accountId": "1", "apiId": "a", "domainName": "d", "domainPrefix": "d", "requestId": "r",
            "routeKey": "POST /api/webhooks/github", "stage": "$default", "time": "23/Nov/2026:09:00:00 +0000",
            "timeEpoch": 1, "http": {"method": "POST", "path": "/api/webhooks/github", "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1", "userAgent": "GitHub-Hookshot/1"}},
        "body": String::from_utf8(ping()).unwrap(), "isBase64Encoded": false,
    });
    let answer = stack.front.invoke_event(event).await.unwrap();
    assert_eq!(answer["statusCode"], 200);
}

#[tokio::test]
async fn what_is_signed_but_not_understood_is_a_bad_request_that_says_why() {
    let stack = serving().await;
    let without = |field: &str| {
        let mut payload = merged(TAG, 2);
        match field {
            "number" => payload.0.as_object_mut().unwrap().remove("number"),
            _ => payload.0["pull_request"].as_object_mut().unwrap().remove(field),
        };
        payload.bytes()
    };
    for (event, body, words) in [
        ("pull_request", b"not json".to_vec(), "not the JSON"),
        ("pull_request", b"[]".to_vec(), "not the JSON"),
        ("pull_request", b"".to_vec(), "not the JSON"),
        ("pull_request", ping(), "the header says pull_request, but the body is not one"),
        ("ping", merged(TAG, 2).bytes(), "the header says ping, but the body is not one"),
        ("issues", merged(TAG, 2).bytes(), "the header says issues, but the body is another event"),
        ("pull_request", without("number"), "lacks the field `number`"),
        ("pull_request", without("title"), "lacks the field `title`"),
        ("pull_request", without("state"), "lacks the field `state`"),
        ("pull_request", without("merged"), "lacks the field `merged`"),
        ("pull_request", without("updated_at"), "lacks the field `updated_at`"),
        ("pull_request", merged(TAG, 2).set("state", json!("open")).bytes(), "both open and merged"),
    ] {
        let answer = signed(&stack, event, body).await;
        let reason = answer.json["reason"].as_str().unwrap_or_default();
        assert!(answer.status == 400 && reason.contains(words), "{words}: {} {}", answer.status, answer.text);
    }
    let body = ping();
    let answer = post(&stack, &[("x-hub-signature-256", &sign(WEBHOOK_SECRET, &body))], body).await;
    assert_eq!((answer.status, &answer.json["reason"]), (400, &json!("the header X-GitHub-Event is missing")));
}

#[tokio::test]
async fn a_form_is_refused_with_the_advice_to_choose_json() {
    let stack = serving().await;
    let body = b"payload=%7B%7D".to_vec();
    let signature = sign(WEBHOOK_SECRET, &body);
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-github-event", "ping"),
        ("x-hub-signature-256", signature.as_str()),
    ];
    let answer = post(&stack, &headers, body).await;
    assert_eq!(answer.status, 400);
    assert!(answer.json["reason"].as_str().unwrap().contains("application/json"));
}

#[tokio::test]
async fn a_base64_body_gives_the_same_result_and_a_malformed_one_is_a_bad_request() {
    let stack = serving().await;
    stack.create_task(TASK, "Fix login", "pr_submitted");
    stack.front.force_base64(true);
    let answer = signed(&stack, "pull_request", merged(TAG, 2).bytes()).await;
    assert_eq!((answer.status, &answer.json["outcome"]), (200, &json!("moved")));
    stack.front.force_base64(false);
    let mut event = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": "/", "rawQueryString": "",
        "headers": {"x-github-event": "ping", "x-hub-signature-256": sign(WEBHOOK_SECRET, b"x")},
        "requestContext": {"http": {"method": "POST", "path": "/"}},
        "isBase64Encoded": true,
    });
    for body in ["%%%", "YQ", "YQ=", "a\u{0}b", "💥"] {
        event["body"] = json!(body);
        let answer = stack.front.invoke_event(event.clone()).await.unwrap();
        assert_eq!(answer["statusCode"], 400, "{body:?}");
    }
    assert_eq!(stack.lambda.environments("webhook"), 1, "no environment died of it");
    assert!(!stack.lambda.logs("webhook").iter().any(|line| line.contains("panicked")));
}

#[tokio::test]
async fn events_of_no_concern_are_acknowledged_and_say_why() {
    let stack = serving().await;
    let answer = signed(&stack, "issues", br#"{"action":"opened","issue":{}}"#.to_vec()).await;
    assert_eq!((answer.status, &answer.json["reason"]), (200, &json!("issues events are not used here")));
    let mut payload = opened(TAG, 1);
    payload.0["action"] = json!("labeled");
    let answer = signed(&stack, "pull_request", payload.bytes()).await;
    assert_eq!((answer.status, &answer.json["reason"]), (200, &json!("pull_request.labeled changes nothing here")));
    let answer = signed(&stack, "pull_request", opened("no tag", 1).bytes()).await;
    assert_eq!((answer.status, &answer.json["outcome"]), (200, &json!("ignored")));
}

#[tokio::test]
async fn before_it_is_configured_everything_is_answered_with_503() {
    let stack = serving().await;
    // A version that is malformed takes no good one before it out of service, so there must be none.
    stack.secrets.put(WEBHOOK_SECRET_ID, &json!({})).await;
    for secret in [
        json!({"webhook_secret": ""}),
        json!({"webhook_secret": "<your-webhook-secret>"}),
        json!({"webhook_secret": "changeme"}),
        json!({}),
        json!("not an object"),
    ] {
        stack.secrets.put(WEBHOOK_SECRET_ID, &secret).await;
        stack.lambda.kill_environments("webhook");
        for answer in [
            signed(&stack, "ping", ping()).await,
            post(&stack, &[], ping()).await,
            signed_with(&stack, "changeme", "ping", ping()).await,
            signed_with(&stack, "", "ping", ping()).await,
        ] {
            assert_eq!((answer.status, &answer.json["outcome"]), (503, &json!("not_configured")), "{secret}");
        }
    }
    stack.lambda.set_variable("webhook", "WEBHOOK_SECRET_ID", "konduktor/nobody-made-this");
    assert_eq!(signed(&stack, "ping", ping()).await.status, 503);
}

#[tokio::test]
async fn a_flood_before_it_is_configured_looks_at_the_secret_once_in_30_s_and_once_a_second_where_aws_lets_nobody_else_ask()
 {
    let secrets = SecretsManager::start().await;
    for (callers, interval) in
        [(Callers::Anybody, REFRESH_INTERVAL), (Callers::Authenticated, SignedDuration::from_secs(1))]
    {
        for (kind, empty) in [("yet", None), ("empty", Some(json!(""))), ("placeholder", Some(json!({})))] {
            let id = format!("nobody-{kind}-{callers:?}");
            secrets.create(&id, empty.as_ref()).await;
            let secret = Secret::<WebhookSecret>::new(secrets.sdk("ASIAWEBHOOK"), &id, callers);
            let reads = || secrets.calls().iter().filter(|call| call.operation == "GetSecretValue").count();
            let (before, start) = (reads(), Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24));
            for part in [0.0, 0.1, 0.95] {
                let now = start + SignedDuration::from_secs_f64(interval.as_secs_f64() * part);
                let flood = join_all((0..50).map(|_| secret.versions(now))).await;
                assert!(flood.iter().all(|known| matches!(known, Err(Error::SecretNotConfigured { .. }))), "{id}");
                assert_eq!(reads() - before, 2, "{id} at {now}: one look is AWSCURRENT and AWSPREVIOUS");
            }
            secrets.put(&id, &json!({"webhook_secret": WEBHOOK_SECRET, "installations": [INSTALLATION_ID]})).await;
            assert_eq!(secret.versions(start + interval).await.unwrap().len(), 1, "{id}");
            assert!(secret.refresh(start + interval).await.unwrap().is_some(), "{id}: a forged delivery came");
            let soon = start + interval + SignedDuration::from_secs_f64(interval.as_secs_f64() * 0.95);
            assert!(secret.refresh(soon).await.unwrap().is_none(), "{id}");
            assert!(secret.refresh(start + interval + interval).await.unwrap().is_some(), "{id}");
        }
    }
}

#[tokio::test]
async fn a_clock_that_was_ahead_keeps_no_retired_secret_in_service_and_no_new_one_out_of_it() {
    let secrets = SecretsManager::start().await;
    let value = |secret: &str| json!({"webhook_secret": secret, "installations": [INSTALLATION_ID]});
    secrets.create("nobody-else", Some(&value("old"))).await;
    let secret = Secret::<WebhookSecret>::new(secrets.sdk("ASIAWEBHOOK"), "nobody-else", Callers::Anybody);
    let right = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24);
    let ahead = right + SignedDuration::from_hours(1);
    secret.versions(ahead).await.unwrap();
    assert!(secret.refresh(ahead).await.unwrap().is_some(), "a forged delivery came");
    secrets.put("nobody-else", &value("newer")).await;
    secrets.put("nobody-else", &value("newest")).await;
    let known = secret.refresh(right).await.unwrap().expect("it is looked at again");
    let known: Vec<_> = known.iter().map(|version| version.webhook_secret.expose_secret().to_owned()).collect();
    assert_eq!(known, ["newest", "newer"]);
    secret.versions(ahead).await.unwrap();
    secrets.put("nobody-else", &value("last")).await;
    let known = secret.versions(right).await.unwrap();
    assert_eq!(known[0].webhook_secret.expose_secret(), "last");
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_503_unless_one_is_known() {
    let stack = serving().await;
    stack.secrets.set_unreachable(true);
    assert_eq!(signed(&stack, "ping", ping()).await.status, 503);
    stack.secrets.set_unreachable(false);
    assert_eq!(signed(&stack, "ping", ping()).await.status, 200, "the next delivery works");
    stack.secrets.set_unreachable(true);
    assert_eq!(signed(&stack, "ping", ping()).await.status, 200, "the known secret serves on");
}

#[tokio::test]
async fn a_flood_while_the_secret_cannot_be_read_looks_at_it_once_in_5_s() {
    let secrets = SecretsManager::start().await;
    secrets.create("nobody-else", Some(&json!({"webhook_secret": WEBHOOK_SECRET}))).await;
    let secret = Secret::<WebhookSecret>::new(secrets.sdk("ASIAWEBHOOK"), "nobody-else", Callers::Anybody);
    secrets.fail(Rule::new(Fault::AccessDenied));
    let reads = || secrets.calls().iter().filter(|call| call.operation == "GetSecretValue").count();
    let start = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24);
    // The first failure may be of one call that was lost.
    for (seconds, looks) in [(0, 2), (1, 2), (4, 2), (5, 3), (9, 3), (10, 4)] {
        let flood = join_all((0..50).map(|_| secret.versions(start + SignedDuration::from_secs(seconds)))).await;
        assert!(flood.iter().all(|known| matches!(known, Err(Error::SecretUnreadable { .. }))), "{seconds}");
        assert_eq!(reads(), looks, "at {seconds} s");
    }
    secrets.clear_faults();
    assert_eq!(secret.versions(start + SignedDuration::from_secs(15)).await.unwrap().len(), 1, "its end is seen");
}

#[tokio::test]
async fn missing_variables_are_503_and_the_log_names_all_of_them() {
    let stack = serving().await;
    stack.lambda.set_variable("webhook", "TASKS_TABLE", "");
    stack.lambda.set_variable("webhook", "WEBHOOK_SECRET_ID", " ");
    assert_eq!(signed(&stack, "ping", ping()).await.status, 503);
    let line = stack.lambda.log_line("webhook", |line| line.contains("environment variables")).await;
    assert!(line.contains("TASKS_TABLE, WEBHOOK_SECRET_ID"), "{line}");
}

#[tokio::test]
async fn a_delivery_for_which_there_is_no_time_is_answered_before_lambda_ends_it() {
    let stack = serving().await;
    stack.create_task(TASK, "Fix login", "pr_submitted");
    stack.lambda.set_timeout("webhook", Duration::from_secs(4));
    stack.dynamodb.fail(Rule::new(Fault::Delay(Duration::from_secs(8))));
    let answer = signed(&stack, "pull_request", merged(TAG, 2).bytes()).await;
    assert_eq!((answer.status, &answer.json["outcome"]), (500, &json!("failed")), "{}", answer.text);
    assert!(answer.text.contains("nothing is lost"), "{}", answer.text);
    stack.lambda.log_line("webhook", |line| line.contains("AWS took too long")).await;
    stack.dynamodb.clear_faults();
    let answer = signed(&stack, "pull_request", merged(TAG, 2).bytes()).await;
    assert_eq!((answer.status, &answer.json["outcome"]), (200, &json!("moved")), "{}", answer.text);
}

#[tokio::test]
async fn a_failed_write_is_a_500_and_the_next_delivery_works() {
    let stack = serving().await;
    stack.create_task(TASK, "Fix login", "pr_submitted");
    stack.dynamodb.set_unreachable(true);
    let answer = signed(&stack, "pull_request", merged(TAG, 2).bytes()).await;
    assert_eq!((answer.status, &answer.json["outcome"]), (500, &json!("failed")));
    assert!(!answer.text.contains("127.0.0.1") && !answer.text.contains("dispatch"), "{}", answer.text);
    stack.dynamodb.set_unreachable(false);
    let answer = signed(&stack, "pull_request", merged(TAG, 2).bytes()).await;
    assert_eq!((answer.status, &answer.json["outcome"]), (200, &json!("moved")));
}

#[tokio::test]
async fn a_crash_between_any_two_table_calls_is_finished_by_a_redelivery() {
    for calls in 1..=4 {
        let stack = serving().await;
        stack.create_task(TASK, "Fix login", "pr_submitted");
        stack.dynamodb.crash_at(&access_key_id("webhook"), calls);
        let answer = signed(&stack, "pull_request", merged(TAG, 2).bytes()).await;
        assert_eq!(answer.status, 500, "at call {calls}");
        stack.dynamodb.clear_faults();
        let answer = signed(&stack, "pull_request", merged(TAG, 2).bytes()).await;
        assert_eq!(answer.status, 200);
        assert_eq!(stack.read(TASK)["status"], "done", "at call {calls}");
        assert_eq!(stack.read(TASK)["completed_by"], json!(["1001#42"]));
    }
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_not_taken_for_somebody_elses() {
    for fault in [Fault::AnswerLost, Fault::AnswerReplaced] {
        for operation in ["PutItem", "UpdateItem", "TransactWriteItems"] {
            let stack = serving().await;
            stack.create_task(TASK, "Fix login", "pr_submitted");
            stack.dynamodb.fail(Rule::new(fault).operation(operation).times(1));
            let linked = signed(&stack, "pull_request", opened(TAG, 1).bytes()).await;
            assert_eq!((linked.status, &linked.json["outcome"]), (200, &json!("linked")), "{operation}");
            let moved = signed(&stack, "pull_request", merged(TAG, 2).bytes()).await;
            assert_eq!((moved.status, &moved.json["outcome"]), (200, &json!("moved")), "{operation} {}", moved.text);
            assert_eq!(stack.read(TASK)["version"], 2, "{operation}");
        }
    }
}

#[tokio::test]
async fn a_rotation_refuses_no_delivery_and_the_old_secret_serves_until_it_is_retired() {
    let stack = serving().await;
    assert_eq!(signed(&stack, "ping", ping()).await.status, 200);
    stack.secrets.put(WEBHOOK_SECRET_ID, &json!({"webhook_secret": "the second"})).await;
    for secret in [WEBHOOK_SECRET, "the second", WEBHOOK_SECRET] {
        assert_eq!(signed_with(&stack, secret, "ping", ping()).await.status, 200, "{secret}");
    }
    stack.lambda.kill_environments("webhook");
    for secret in [WEBHOOK_SECRET, "the second"] {
        assert_eq!(signed_with(&stack, secret, "ping", ping()).await.status, 200, "{secret} in a new environment");
    }
    stack.secrets.put(WEBHOOK_SECRET_ID, &json!({"webhook_secret": "the third"})).await;
    stack.lambda.kill_environments("webhook");
    assert_eq!(signed(&stack, "ping", ping()).await.status, 401, "two rotations later the first is gone");
}

#[tokio::test]
async fn a_flood_of_forged_requests_looks_for_another_secret_once() {
    let stack = serving().await;
    for _ in 0..20 {
        assert_eq!(signed_with(&stack, "a guess", "ping", ping()).await.status, 401);
    }
    let reads = stack.secrets.calls().iter().filter(|call| call.operation == "GetSecretValue").count();
    assert!(reads <= 3, "once at the start, and both versions once more: {reads}");
}

#[tokio::test]
async fn what_people_paste_around_the_secret_and_the_ids_refuses_no_delivery() {
    for stored in [WEBHOOK_SECRET.to_owned(), format!("{WEBHOOK_SECRET}\n"), format!(" {WEBHOOK_SECRET}\r\n")] {
        let ids = json!([INSTALLATION_ID.to_string(), " 2\n"]);
        let desk = Desk::with_secret(&json!({"webhook_secret": stored, "installations": ids})).await;
        let payload = opened("Fix login", 1);
        let answer = desk.deliver(&payload).await;
        assert_eq!(answer.status, 200, "{stored:?}: {answer:?}");
        assert!(!answer.json.to_string().contains("installation"), "it is served: {stored:?}: {answer:?}");
        // GitHub signs with what was typed there, blanks included.
        let body = payload.bytes();
        let signature = sign(&stored, &body);
        let headers = [("x-github-event", "pull_request"), ("x-hub-signature-256", &*signature)];
        assert_eq!(desk.post(&desk.app, &headers, Some(body)).await.status, 200, "{stored:?}");
    }
}

#[tokio::test]
async fn only_the_installations_that_the_secret_names_are_served() {
    let stack = serving().await;
    stack.create_task(TASK, "Fix login", "pr_submitted");
    let secret = json!({"webhook_secret": WEBHOOK_SECRET, "installations": [1, 2]});
    stack.secrets.put(WEBHOOK_SECRET_ID, &secret).await;
    let answer = signed(&stack, "pull_request", merged(TAG, 2).bytes()).await;
    assert_eq!((answer.status, &answer.json["outcome"]), (200, &json!("ignored")));
    assert!(answer.json["reason"].as_str().unwrap().contains("installation 77"));
    let mut payload = merged(TAG, 2);
    payload.0.as_object_mut().unwrap().remove("installation");
    assert_eq!(signed(&stack, "pull_request", payload.bytes()).await.json["outcome"], "ignored");
    payload.0["installation"] = json!({"id": 2});
    assert_eq!(signed(&stack, "pull_request", payload.bytes()).await.json["outcome"], "moved");
    let told = stack.row("installations", "served").expect("reconcile is told");
    assert_eq!(told["installations"], json!([1, 2]));
}

#[tokio::test]
async fn reconcile_is_told_that_all_installations_are_served_where_the_secret_has_no_list() {
    let stack = serving().await;
    stack.secrets.put(WEBHOOK_SECRET_ID, &json!({"webhook_secret": WEBHOOK_SECRET})).await;
    signed_with(&stack, "a guess", "ping", ping()).await;
    assert!(stack.row("installations", "served").is_none(), "nobody's word but a signed one's counts");
    signed(&stack, "ping", ping()).await;
    assert!(stack.row("installations", "served").expect("reconcile is told").get("installations").is_none());
}

#[tokio::test]
async fn a_list_without_an_installation_serves_nobody_and_the_answer_says_so() {
    let desk = Desk::with_secret(&json!({"webhook_secret": WEBHOOK_SECRET, "installations": []})).await;
    let answer = desk.deliver(&opened("Fix login", 1)).await;
    assert_eq!((answer.status, &answer.json["outcome"]), (200, &json!("ignored")));
    assert!(answer.json["reason"].as_str().unwrap().contains("list of installations is empty"), "{answer:?}");
}

#[tokio::test]
async fn the_log_has_one_summary_a_delivery_and_no_secret_or_body() {
    let stack = serving().await;
    stack.create_task(TASK, "Fix login", "pr_submitted");
    signed(&stack, "pull_request", merged(&format!("a title nobody logs {TAG}"), 2).bytes()).await;
    signed_with(&stack, "a guess", "ping", ping()).await;
    stack.lambda.log_line("webhook", |line| line.contains("\"status\":401")).await;
    let logs = stack.lambda.logs("webhook");
    let summaries: Vec<Value> = logs
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["message"] == "delivery")
        .collect();
    assert_eq!(summaries.len(), 2, "{logs:#?}");
    let first = &summaries[0];
    for (field, value) in [
        ("level", json!("INFO")),
        ("outcome", json!("moved")),
        ("status", json!(200)),
        ("event", json!("pull_request")),
        ("action", json!("closed")),
        ("delivery", json!("72d3162e-cc78-11e3-81ab-4c9367dc0958")),
        ("pull_request", json!("acme/app#42")),
        ("tasks_moved", json!(1)),
    ] {
        assert_eq!(first[field], value, "{field}");
    }
    assert!(first["timestamp"].is_string(), "Lambda's level filter needs it at the top");
    assert!(logs.iter().any(|line| line.contains("Task 4d9d444d has_merge_conflict=false")), "{logs:#?}");
    for line in &logs {
        for secret in [WEBHOOK_SECRET, "a title nobody logs", "sha256="] {
            assert!(!line.contains(secret), "{line}");
        }
    }
}

#[tokio::test]
async fn a_table_that_hangs_is_a_500_before_the_function_is_ended() {
    let stack = serving().await;
    stack.create_task(TASK, "Fix login", "pr_submitted");
    stack.dynamodb.fail(Rule::new(Fault::Delay(Duration::from_secs(60))));
    let answer = signed(&stack, "pull_request", merged(TAG, 2).bytes()).await;
    assert_eq!((answer.status, &answer.json["outcome"]), (500, &json!("failed")));
}

#[tokio::test]
async fn asking_for_every_detail_brings_no_body_and_no_secret_into_the_log() {
    let stack = serving().await;
    stack.lambda.set_variable("webhook", "AWS_LAMBDA_LOG_LEVEL", "TRACE");
    signed(&stack, "pull_request", merged(&format!("a title nobody logs {TAG}"), 2).bytes()).await;
    stack.lambda.log_line("webhook", |line| line.contains("\"delivery\"")).await;
    for line in stack.lambda.logs("webhook") {
        for secret in [WEBHOOK_SECRET, "a title nobody logs", "sha256="] {
            assert!(!line.contains(secret), "{line}");
        }
    }
}

#[tokio::test]
async fn a_frozen_environment_works_on_when_it_is_thawed() {
    let stack = serving().await;
    stack.lambda.freeze_between_invocations(true);
    for _ in 0..3 {
        assert_eq!(signed(&stack, "ping", ping()).await.status, 200);
    }
    assert_eq!(stack.lambda.environments("webhook"), 1);
}
