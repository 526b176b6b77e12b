//! The Lambda host behaves as Lambda does where the functions, or their callers, rely on it.

use std::{sync::Arc, time::Duration};

use aws_sdk_lambda::{error::ProvideErrorMetadata, primitives::Blob, types::InvocationType};
use local_aws::{
    DynamoDb, Fault, Filter, Rule, Schedule, Stream,
    lambda::{Function, LambdaHost, access_key_id, binary},
};
use serde_json::{Value, json};

const KEY: &str = "ASIATEST";

fn echo() -> Function {
    Function::new("echo", env!("CARGO_BIN_EXE_echo"))
}

async fn host(function: Function) -> LambdaHost {
    let host = LambdaHost::start().await;
    host.add(function);
    host
}

/// Waits for a condition that another task or process brings about.
async fn until(condition: impl Fn() -> bool) {
    let reached = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reached).await.expect("the condition comes true");
}

#[tokio::test]
async fn an_idle_environment_is_used_again() {
    let host = host(echo()).await;
    let payload = json!({"a": [1, 2], "b": "ü"});
    for _ in 0..3 {
        assert_eq!(host.invoke("echo", payload.clone()).await.unwrap(), payload);
    }
    assert_eq!((host.environments("echo"), host.invocations("echo")), (1, 3));
    let starts = host.cold_starts("echo");
    assert_eq!(starts.len(), 1);
    assert!(starts[0].ready.unwrap() <= starts[0].answered.unwrap());
    assert!(host.peak_memory("echo").unwrap() > 1 << 20);
}

#[tokio::test]
async fn concurrent_invocations_get_an_environment_each_up_to_the_limit() {
    let host = Arc::new(host(echo().concurrency(2)).await);
    let sleeping = |host: Arc<LambdaHost>| {
        tokio::spawn(async move { host.invoke("echo", json!({"command": "sleep", "ms": 60_000})).await })
    };
    let first = sleeping(Arc::clone(&host));
    let second = sleeping(Arc::clone(&host));
    until(|| host.busy("echo") == 2).await;
    let refused = host.invoke("echo", json!({})).await.unwrap_err();
    assert_eq!(refused.error_type, "TooManyRequestsException");
    until(|| host.cold_starts("echo").iter().all(|start| start.ready.is_some())).await;

    assert_eq!(host.kill_busy("echo"), 2);
    for killed in [first, second] {
        let error = killed.await.unwrap().unwrap_err();
        assert_eq!(error.error_type, "Runtime.ExitError");
        assert!(error.message.ends_with("Runtime exited with error: signal: killed"), "{error}");
    }
    host.invoke("echo", json!({})).await.unwrap();
}

#[tokio::test]
async fn a_handled_error_keeps_the_environment_and_an_exit_ends_it() {
    let host = host(echo()).await;
    let failed =
        host.invoke("echo", json!({"command": "fail", "type": "TableDown", "message": "no"})).await.unwrap_err();
    assert_eq!((failed.error_type.as_str(), failed.message.as_str()), ("TableDown", "no"));
    host.invoke("echo", json!({"command": "panic", "message": "boom"})).await.unwrap_err();
    assert_eq!(host.environments("echo"), 1);

    for (code, reason) in
        [(0, "Runtime exited without providing a reason"), (7, "Runtime exited with error: exit status 7")]
    {
        let error = host.invoke("echo", json!({"command": "exit", "code": code})).await.unwrap_err();
        assert_eq!(error.error_type, "Runtime.ExitError");
        assert!(error.message.ends_with(reason), "{error}");
    }
    host.invoke("echo", json!({})).await.unwrap();
    assert_eq!(host.cold_starts("echo").len(), 3);
}

#[tokio::test]
async fn a_function_that_takes_too_long_is_killed() {
    let host = host(echo().timeout(Duration::from_millis(300))).await;
    let error = host.invoke("echo", json!({"command": "sleep", "ms": 60_000})).await.unwrap_err();
    assert_eq!(error.error_type, "Sandbox.Timedout");
    assert!(error.message.ends_with("Task timed out after 0.30 seconds"), "{error}");
    assert_eq!(host.environments("echo"), 0);
}

#[tokio::test]
async fn an_init_that_exits_or_hangs_fails_the_invocation() {
    let host = host(echo().variable("ECHO_INIT", "exit")).await;
    let exited = host.invoke("echo", json!({})).await.unwrap_err();
    assert!(exited.message.ends_with("exit status 3"), "{exited}");

    host.add(echo().variable("ECHO_INIT", "hang").init_timeout(Duration::from_millis(200)));
    assert_eq!(host.invoke("echo", json!({})).await.unwrap_err().error_type, "Sandbox.Timedout");
    assert_eq!(host.environments("echo"), 0);

    host.set_variable("echo", "ECHO_INIT", "");
    host.invoke("echo", json!({})).await.unwrap();
}

#[tokio::test]
async fn an_environment_that_died_idle_is_replaced_without_an_error() {
    let host = host(echo()).await;
    let first = host.invoke("echo", json!({"command": "context"})).await.unwrap();
    let process = i32::try_from(first["process"].as_i64().unwrap()).unwrap();
    let process = rustix::process::Pid::from_raw(process).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    while host.environments("echo") > 0 {
        tokio::task::yield_now().await;
    }
    let second = host.invoke("echo", json!({"command": "context"})).await.unwrap();
    assert_ne!(first["process"], second["process"]);
}

#[tokio::test]
async fn the_process_sees_lambdas_variables_and_its_own_and_no_others() {
    let host = host(echo().variable("TASKS_TABLE", "Tasks").memory(256)).await;
    let seen = host.invoke("echo", json!({"command": "environment"})).await.unwrap();
    assert_eq!(seen["TASKS_TABLE"], "Tasks");
    assert_eq!(seen["AWS_LAMBDA_FUNCTION_NAME"], "echo");
    assert_eq!(seen["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"], "256");
    assert_eq!(seen["AWS_ACCESS_KEY_ID"], access_key_id("echo"));
    assert!(seen.get("HOME").is_none() && seen.get("CARGO").is_none(), "{seen}");
}

#[tokio::test]
async fn an_invocation_carries_its_context() {
    let host = host(echo().alias("live", [("STAGE", "live".to_owned())])).await;
    let context = json!({"custom": {"trace": "x"}, "env": {}, "client": {
        "installation_id": "", "app_title": "", "app_version_name": "", "app_version_code": "", "app_package_name": "",
    }});
    let seen = host.invoke_with_context("echo:live", json!({"command": "context"}), context).await.unwrap();
    assert_eq!(seen["client_context"]["custom"]["trace"], "x");
    assert_eq!(seen["arn"], "arn:aws:lambda:eu-west-1:000000000000:function:echo:live");
    assert!(seen["deadline"].as_u64().unwrap() > 1_700_000_000_000);
    assert!(seen["trace"].as_str().unwrap().starts_with("Root=1-"));
    let variables = host.invoke("echo:live", json!({"command": "environment"})).await.unwrap();
    assert_eq!(variables["STAGE"], "live");
    assert_eq!(host.invoke("echo", json!({"command": "environment"})).await.unwrap().get("STAGE"), None);
}

#[tokio::test]
async fn a_frozen_environment_thaws_for_its_next_invocation() {
    let host = host(echo()).await;
    host.freeze_between_invocations(true);
    for _ in 0..3 {
        host.invoke("echo", json!({})).await.unwrap();
        until(|| host.frozen("echo") == 1).await;
    }
    assert_eq!((host.environments("echo"), host.cold_starts("echo").len()), (1, 1));
}

#[tokio::test]
async fn clocks_go_on_when_they_are_moved_and_jump_under_a_process_that_runs() {
    const DAY: i64 = 86_400;
    let host = host(echo()).await;
    let now = async || host.invoke("echo", json!({"command": "clock"})).await.unwrap().as_i64().unwrap();
    let began = now().await;
    host.move_clocks(DAY);
    // On a machine that is slow a minute passes, and no hour.
    let near = |seconds: i64, by: i64| (by..by + 3600).contains(&(seconds - began));
    assert!(near(now().await, DAY), "it goes by the new clock");
    host.jump("echo", -2 * DAY);
    assert!(near(now().await, -DAY));
    host.move_clocks(3 * DAY);
    assert!(near(now().await, DAY), "it is as far behind as it was");
    assert_eq!(host.cold_starts("echo").len(), 2);
    let context = host.invoke("echo", json!({"command": "context"})).await.unwrap();
    assert!(near(context["deadline"].as_i64().unwrap() / 1000, 3 * DAY), "{context}");
}

#[tokio::test]
async fn the_invoke_api_fails_as_it_is_told() {
    let host = host(echo()).await;
    host.invoke_api().fail(Rule::new(Fault::Throttled).times(1));
    host.invoke_api().fail(Rule::new(Fault::CutShort).times(1));
    let sent = host.sdk("ASIATEST").invoke().function_name("echo").payload(Blob::new("{}")).send().await.unwrap();
    assert_eq!(sent.payload().unwrap().as_ref(), b"{}");
    let statuses: Vec<_> = host.invoke_api().calls().iter().map(|call| call.status).collect();
    assert_eq!(statuses, [Some(429), Some(200), Some(200)]);
}

#[tokio::test]
async fn lines_a_function_writes_are_kept() {
    let host = host(echo()).await;
    host.invoke("echo", json!({"command": "log", "line": "hello from the function"})).await.unwrap();
    host.log_line("echo", |line| line.contains("hello from the function")).await;
    assert!(host.all_logs().iter().all(|(function, _)| function == "echo"));
}

#[tokio::test]
async fn no_process_outlives_the_host() {
    let host = host(echo()).await;
    let seen = host.invoke("echo", json!({"command": "context"})).await.unwrap();
    let process = format!("/proc/{}", seen["process"]);
    assert!(std::path::Path::new(&process).exists());
    drop(host);
    until(|| !std::path::Path::new(&process).exists()).await;
}

async fn invoke(host: &LambdaHost, name: &str, payload: &Value) -> (Option<String>, Value) {
    let answer =
        host.sdk(KEY).invoke().function_name(name).payload(Blob::new(payload.to_string())).send().await.unwrap();
    assert_eq!(answer.status_code(), 200);
    let body = serde_json::from_slice(answer.payload().unwrap().as_ref()).unwrap();
    (answer.function_error().map(str::to_owned), body)
}

#[tokio::test]
async fn the_invoke_api_takes_names_and_arns_and_reports_function_errors() {
    let host = host(echo().alias("live", [])).await;
    let arn = "arn:aws:lambda:eu-west-1:000000000000:function:echo";
    for name in ["echo", "echo:live", arn, &format!("{arn}:live")] {
        assert_eq!(invoke(&host, name, &json!({"a": 1})).await, (None, json!({"a": 1})), "{name}");
    }
    let (error, body) = invoke(&host, "echo", &json!({"command": "fail", "type": "T", "message": "m"})).await;
    assert_eq!(error.as_deref(), Some("Unhandled"));
    assert_eq!(body, json!({"errorType": "T", "errorMessage": "m"}));
}

#[tokio::test]
async fn the_invoke_api_refuses_what_is_unknown_or_not_allowed() {
    let host = host(echo()).await;
    let call = |name: &str| host.sdk(KEY).invoke().function_name(name).payload(Blob::new("{}")).send();
    assert_eq!(call("nope").await.unwrap_err().code(), Some("ResourceNotFoundException"));
    assert_eq!(call("echo:nope").await.unwrap_err().code(), Some("ResourceNotFoundException"));
    host.deny(KEY, "echo");
    let denied = call("echo").await.unwrap_err();
    assert_eq!(denied.code(), Some("AccessDeniedException"));
    assert!(denied.message().unwrap().contains("is not authorized to perform: lambda:InvokeFunction on resource"));
    let busy = LambdaHost::start().await;
    busy.add(echo().concurrency(0));
    let throttled = busy.sdk(KEY).invoke().function_name("echo").payload(Blob::new("{}")).send().await.unwrap_err();
    assert_eq!(throttled.code(), Some("TooManyRequestsException"));
}

#[tokio::test]
async fn an_event_invocation_is_accepted_at_once_and_runs() {
    let host = host(echo()).await;
    let payload = Blob::new(json!({"command": "log", "line": "asynchronous"}).to_string());
    let call = host.sdk(KEY).invoke().function_name("echo").invocation_type(InvocationType::Event).payload(payload);
    assert_eq!(call.send().await.unwrap().status_code(), 202);
    host.log_line("echo", |line| line == "asynchronous").await;
}

/// A function behind the API that answers with the event it was given.
async fn mirror() -> (LambdaHost, local_aws::lambda::Front) {
    let host = host(echo()).await;
    let front = host.front("echo", "POST /api/webhooks/github").await;
    (host, front)
}

#[tokio::test]
async fn a_request_becomes_an_event_of_format_2() {
    let (_host, front) = mirror().await;
    let body = r#"{"zen": "ü"}"#;
    let request = reqwest::Client::new()
        .post(format!("{}?a=1&a=2&b=%20", front.url()))
        .header("X-GitHub-Event", "ping")
        .header("X-Twice", "1")
        .header("X-Twice", "2")
        .header("Cookie", "c=1; d=2")
        .header("Content-Type", "application/json; charset=utf-8")
        .body(body);
    let event: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(event["version"], "2.0");
    assert_eq!(event["routeKey"], "POST /api/webhooks/github");
    assert_eq!(event["rawPath"], "/api/webhooks/github");
    assert_eq!(event["rawQueryString"], "a=1&a=2&b=%20");
    assert_eq!(event["queryStringParameters"], json!({"a": "1,2", "b": " "}));
    assert_eq!(event["headers"]["x-github-event"], "ping");
    assert_eq!(event["headers"]["x-twice"], "1,2");
    assert_eq!(event["cookies"], json!(["c=1", "d=2"]));
    assert_eq!(event["headers"].get("cookie"), None);
    assert_eq!(event["requestContext"]["http"]["method"], "POST");
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!(body), &json!(false)));
}

#[tokio::test]
async fn a_body_that_is_not_text_comes_base64_encoded() {
    let (_host, front) = mirror().await;
    let send = async |kind: &str, body: &[u8]| {
        let request = reqwest::Client::new().post(front.url()).header("content-type", kind).body(body.to_vec());
        let event: Value = request.send().await.unwrap().json().await.unwrap();
        (event["body"].clone(), event["isBase64Encoded"].clone())
    };
    assert_eq!(send("application/json", b"{}").await, (json!("{}"), json!(false)));
    assert_eq!(send("application/octet-stream", b"{}").await, (json!("e30="), json!(true)));
    assert_eq!(send("application/x-www-form-urlencoded", b"{}").await, (json!("e30="), json!(true)));
    assert_eq!(send("application/json", b"\xff").await, (json!("/w=="), json!(true)));
    front.force_base64(true);
    assert_eq!(send("application/json", b"{}").await, (json!("e30="), json!(true)));
}

#[tokio::test]
async fn an_answer_with_a_status_becomes_the_response() {
    let (_host, front) = mirror().await;
    let answers = [
        (json!({"statusCode": 418, "headers": {"x-a": "b"}, "cookies": ["c=1"], "body": "tea"}), 418, "tea"),
        (json!({"statusCode": 200, "body": "dGVh", "isBase64Encoded": true}), 200, "tea"),
        (json!({"no": "status"}), 200, r#"{"no":"status"}"#),
        (json!({"statusCode": "x"}), 500, r#"{"message":"Internal Server Error"}"#),
    ];
    for (answer, status, body) in answers {
        let command = json!({"command": "answer", "answer": answer}).to_string();
        let request = reqwest::Client::new().post(front.url()).header("content-type", "text/plain").body(command);
        let response = request.send().await.unwrap();
        for (name, value) in answer["headers"].as_object().into_iter().flatten() {
            assert_eq!(response.headers()[name], value.as_str().unwrap());
        }
        assert_eq!(response.headers().contains_key("set-cookie"), answer.get("cookies").is_some());
        assert_eq!(response.status(), status);
        assert_eq!(response.text().await.unwrap(), body);
    }
}

#[tokio::test]
async fn the_api_answers_for_a_function_that_cannot() {
    let (host, front) = mirror().await;
    let post = async |body: String| {
        let request = reqwest::Client::new().post(front.url()).header("content-type", "application/json").body(body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let unknown = reqwest::get(front.url()).await.unwrap();
    assert_eq!(unknown.status(), 404);
    assert_eq!(unknown.text().await.unwrap(), r#"{"message":"Not Found"}"#);
    assert_eq!(post("x".repeat(7 << 20)).await.0, 413);
    assert_eq!(post("x".repeat(11 << 20)).await.0, 413);

    host.add(echo().variable("ECHO_INIT", "exit"));
    assert_eq!(post("{}".to_owned()).await, (500, r#"{"message":"Internal Server Error"}"#.to_owned()));
    front.integration_timeout(Duration::from_millis(100));
    host.add(echo().variable("ECHO_INIT", "hang"));
    assert_eq!(post("{}".to_owned()).await, (503, r#"{"message":"Service Unavailable"}"#.to_owned()));
    host.add(echo().concurrency(0));
    assert_eq!(post("{}".to_owned()).await.0, 503);
}

#[tokio::test]
async fn a_lambda_http_function_answers_through_the_api() {
    let host = host(Function::new("empty", binary("examples/empty_http"))).await;
    let front = host.front("empty", "POST /").await;
    let response = reqwest::Client::new().post(front.url()).body("x").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), "");
}

async fn streaming(function: Function) -> (DynamoDb, LambdaHost, Stream) {
    let (db, host) = (DynamoDb::start().await, host(function).await);
    let filter = Filter::new([json!({"dynamodb": {"NewImage": {"check": {"S": ["now"]}}}})]);
    let stream = Stream::new(&db, "PullRequests", &host, "echo", filter);
    (db, host, stream)
}

fn pull_request(number: u32, check: &str) -> Value {
    json!({"repository_id": "1", "item": format!("pr#{number}"), "check": check})
}

#[tokio::test]
async fn the_stream_hands_over_what_passes_its_filter_once() {
    let (db, host, stream) = streaming(echo()).await;
    db.put("PullRequests", &pull_request(1, "later"));
    assert_eq!(stream.pump_once().await, 0);
    assert_eq!(host.invocations("echo"), 0);
    db.put("PullRequests", &pull_request(1, "now"));
    db.put("PullRequests", &pull_request(2, "now"));
    db.delete("PullRequests", &json!({"repository_id": "1", "item": "pr#2"}));
    assert_eq!(stream.pump_once().await, 2);
    assert_eq!(stream.drain().await, 0);
    assert_eq!(host.invocations("echo"), 1);
}

#[tokio::test]
async fn a_failing_batch_is_repeated_then_split_then_discarded() {
    let (db, host, stream) = streaming(echo().variable("ECHO_INIT", "exit")).await;
    let stream = stream.retries(1);
    db.put("PullRequests", &pull_request(1, "now"));
    db.put("PullRequests", &pull_request(2, "now"));
    assert_eq!(stream.pump_once().await, 0);
    assert_eq!(host.invocations("echo"), 6, "twice the pair, twice each half");
    let discarded = stream.discarded();
    assert_eq!(discarded.len(), 2);
    assert_eq!(discarded[0]["eventName"], "INSERT");
    assert_eq!(discarded[0]["dynamodb"]["Keys"]["item"], json!({"S": "pr#1"}));
    assert_eq!(discarded[0]["dynamodb"]["StreamViewType"], "NEW_AND_OLD_IMAGES");
    assert!(discarded[0]["eventSourceARN"].as_str().unwrap().contains("table/PullRequests/stream/"));
}

#[tokio::test]
async fn a_change_carries_both_images_in_the_order_it_was_made() {
    let (db, host, stream) = streaming(echo()).await;
    host.add(Function::new("empty", env!("CARGO_BIN_EXE_echo")).variable("ECHO_INIT", "exit"));
    let all = Stream::new(&db, "PullRequests", &host, "empty", Filter::default()).retries(0).batch_size(1);
    db.put("PullRequests", &pull_request(1, "now"));
    db.put("PullRequests", &pull_request(1, "later"));
    db.delete("PullRequests", &json!({"repository_id": "1", "item": "pr#1"}));
    all.pump_once().await;
    let records = all.discarded();
    let names: Vec<_> = records.iter().map(|record| record["eventName"].as_str().unwrap()).collect();
    assert_eq!(names, ["INSERT", "MODIFY", "REMOVE"]);
    let image = |index: usize, side: &str| records[index]["dynamodb"][side]["check"]["S"].clone();
    assert_eq!(image(0, "OldImage"), Value::Null);
    assert_eq!((image(1, "OldImage"), image(1, "NewImage")), (json!("now"), json!("later")));
    assert_eq!((image(2, "OldImage"), image(2, "NewImage")), (json!("later"), Value::Null));
    assert_eq!(stream.pump_once().await, 1, "every reader has a position of its own");
}

#[tokio::test]
async fn the_lowest_reported_failure_is_the_checkpoint() {
    let (db, host, stream) = streaming(echo().variable("ECHO_INIT", "exit")).await;
    for number in 1..=3 {
        db.put("PullRequests", &pull_request(number, "now"));
    }
    let all = Stream::new(&db, "PullRequests", &host, "echo", Filter::default()).retries(0);
    all.pump_once().await;
    let second = all.discarded()[1]["dynamodb"]["SequenceNumber"].clone();
    let answer = json!({"batchItemFailures": [{"itemIdentifier": second}]});
    host.add(echo().variable("ECHO_ANSWER", answer.to_string()));
    let stream = stream.retries(0);
    assert_eq!(stream.pump_once().await, 1);
    let kept: Vec<_> =
        stream.discarded().iter().map(|record| record["dynamodb"]["Keys"]["item"]["S"].clone()).collect();
    assert_eq!(kept, ["pr#2", "pr#3"]);
}

#[tokio::test]
async fn a_write_that_changes_nothing_makes_no_record() {
    let (db, _host, stream) = streaming(echo()).await;
    db.put("PullRequests", &pull_request(1, "now"));
    db.put("PullRequests", &pull_request(1, "now"));
    assert_eq!(stream.pump_once().await, 1);
}

#[tokio::test]
async fn a_schedule_invokes_with_its_event() {
    let host = host(echo()).await;
    let schedule = Schedule::new(&host, "echo", json!({"detail-type": "Scheduled Event"}));
    assert_eq!(schedule.tick_once().await.unwrap()["detail-type"], "Scheduled Event");
    let running = schedule.spawn(Duration::from_millis(1));
    until(|| host.invocations("echo") >= 3).await;
    drop(running);
}
