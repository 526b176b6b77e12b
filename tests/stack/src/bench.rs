//! Measurements of the functions as deployed, each beside an empty function in the same run.
//!
//! Figures of one machine on one day: compare within a run, not between runs. Nothing here passes or fails.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use fake_github::{Event, NewPullRequest};
use local_aws::lambda::Function;
use stack::{REPOSITORY, ROUTE, Stack};

const COLD_STARTS: usize = 20;
const WARM: usize = 300;

/// Prints the figures of the executables in a folder, `target/release`.
pub(super) async fn run(arguments: &[String]) {
    let folder = PathBuf::from(arguments.first().map_or("target/release", String::as_str));
    // The host starts processes in a folder of their own.
    let folder = folder.canonicalize().expect("the folder with the executables is there");
    let stack = Stack::with_binaries(0, |name| folder.join(name)).await;
    stack.lambda.add(Function::new("empty_http", folder.join("examples/empty_http")));
    stack.lambda.add(Function::new("empty", folder.join("examples/empty")));
    let empty_front = stack.lambda.front("empty_http", ROUTE).await;

    println!("Deployed size          executable    deflated");
    for name in ["webhook", "reconcile", "token"] {
        size(name, &folder.join(name));
    }

    println!("\nFrom process start to the first answer, ms ({COLD_STARTS} each, in turn)   min  median     max");
    for _ in 0..COLD_STARTS {
        cold(&stack, &["empty_http", "webhook"]);
        let merge = merge(&stack);
        let request = signed(&stack, &merge);
        empty_front.invoke_event(empty_front.event(request.clone())).await.expect("the empty function answers");
        let answer = stack.front.invoke_event(stack.front.event(request)).await.expect("the webhook answers");
        assert_moved(&answer);
    }
    for name in ["empty_http", "webhook"] {
        let starts = stack.lambda.cold_starts(name);
        row(name, starts.iter().filter_map(|start| start.answered).collect());
    }
    cold(&stack, &["token"]);
    stack.lambda.invoke("token", scope(0)).await.expect("a token is minted");
    let before = (stack.lambda.cold_starts("empty").len(), stack.lambda.cold_starts("token").len());
    for _ in 0..COLD_STARTS {
        cold(&stack, &["empty", "token"]);
        stack.lambda.invoke("empty", json!({})).await.expect("the empty function answers");
        let answer = stack.lambda.invoke("token", scope(0)).await.expect("a cached token");
        assert_eq!(answer["cached"], true);
    }
    row("empty", answered(&stack, "empty", before.0));
    row("token, table hit", answered(&stack, "token", before.1));

    println!("\nOne warm invocation, ms ({WARM} each, in turn)                          min  median     max");
    let (mut empty, mut webhook) = (Vec::new(), Vec::new());
    for _ in 0..WARM {
        let request = signed(&stack, &merge(&stack));
        empty.push(timed(empty_front.invoke_event(empty_front.event(request.clone()))).await.0);
        let (took, answer) = timed(stack.front.invoke_event(stack.front.event(request))).await;
        assert_moved(&answer.expect("the webhook answers"));
        webhook.push(took);
    }
    row("empty_http", empty);
    row("webhook, a merge", webhook);

    let (mut empty, mut hits) = (Vec::new(), Vec::new());
    for _ in 0..WARM {
        empty.push(timed(stack.lambda.invoke("empty", json!({}))).await.0);
        hits.push(timed(stack.lambda.invoke("token", scope(0))).await.0);
    }
    row("empty", empty);
    row("token, memory hit", hits);
    let mut mints = Vec::new();
    for index in 1..=40 {
        let name = format!("acme/service-{index}");
        stack.github.create_repository(&name, true);
        mints.push(timed(stack.lambda.invoke("token", scope(index))).await.0);
    }
    cold(&stack, &["token"]);
    stack.lambda.invoke("token", scope(0)).await.expect("a cached token");
    let mut hits = Vec::new();
    for index in 1..=40 {
        let (took, answer) = timed(stack.lambda.invoke("token", scope(index))).await;
        assert_eq!(answer.expect("a cached token")["cached"], true);
        hits.push(took);
    }
    row("token, table hit", hits);
    row("token, a mint (GitHub's time included)", mints);

    at_once(&stack, 200).await;

    resync(&stack, 1000).await;

    println!("\nA base moves under open linked pull requests, ten of which conflict then");
    println!("  open   GraphQL queries   REST reads   item writes   task writes   seconds");
    for open in [500, 5000] {
        base_move(&stack, open).await;
    }

    println!("\nPeak memory, MiB");
    for name in ["empty_http", "webhook", "empty", "token", "reconcile"] {
        let peak = stack.lambda.peak_memory(name).unwrap_or_default();
        println!("  {name:<24}{:>6.1}", peak as f64 / 1024.0 / 1024.0);
    }
}

/// Starts as many token processes as there are asks, all at the same moment and for one scope.
async fn at_once(stack: &Stack, processes: usize) {
    stack.github.create_repository("acme/wanted-by-all", true);
    stack.lambda.kill_environments("token");
    stack.lambda.set_concurrency("token", processes);
    let ask = json!({"repositories": ["wanted-by-all"], "permissions": {"contents": "read"}});
    let before = stack.github.minted().len();
    let asks = (0..processes).map(|_| timed(stack.lambda.invoke("token", ask.clone())));
    let answers = futures_util::future::join_all(asks).await;
    let failed = answers.iter().filter(|(_, answer)| answer.is_err()).count();
    let slowest = answers.iter().map(|(took, _)| took.as_secs_f64()).fold(0.0, f64::max);
    let mints = stack.github.minted().len() - before;
    println!(
        "\n{processes} token processes started at once for one scope: {mints} minted, {failed} failed, slowest {slowest:.2} s"
    );
    stack.lambda.kill_environments("token");
}

/// Opens as many linked pull requests as are missing, moves their base, and counts what that costs.
async fn base_move(stack: &Stack, open: usize) {
    stack.github.set_settle_reads(0);
    let repository = format!("acme/base-of-{open}");
    stack.github.create_repository(&repository, true);
    for index in 0..open {
        let id = uuid::Uuid::new_v4().simple().to_string();
        stack.create_task(&id, "Fix login", "pr_submitted");
        let mut new = NewPullRequest::titled(&format!("Fix login [kid: #{}]", &id[..16]));
        new.paths = vec![if index < 10 { "shared.rs".to_owned() } else { id }];
        let opened = stack.github.open_pull_request(&repository, new);
        let answer = stack.front.invoke_event(stack.front.event(signed(stack, &opened))).await;
        answer.expect("the webhook answers");
    }
    stack.stream.drain().await;
    let mut new = NewPullRequest::titled("Move the base");
    new.paths = vec!["shared.rs".to_owned()];
    let mover = stack.github.open_pull_request(&repository, new);
    let merged = stack.github.merge(&repository, mover.number());
    stack.front.invoke_event(stack.front.event(signed(stack, &merged))).await.expect("the webhook answers");
    stack.github.clear_requests();
    stack.dynamodb.clear_calls();
    let (took, _) = timed(stack.stream.drain()).await;
    let requests = stack.github.requests();
    let of = |path: &str| requests.iter().filter(|request| request.path.contains(path)).count();
    let (mut items, mut tasks) = (0, 0);
    for call in stack.dynamodb.calls() {
        let writes = |names: &[&str]| names.contains(&call.operation.as_str());
        if writes(&["PutItem", "UpdateItem", "TransactWriteItems"]) {
            items += usize::from(call.on("PullRequests"));
            tasks += usize::from(call.on("Tasks"));
        }
    }
    println!("{open:>6}{:>18}{:>13}{items:>14}{tasks:>14}{:>10.2}", of("/graphql"), of("/pulls/"), took.as_secs_f64());
}

/// Reads repositories in which nothing happened since they were last read.
async fn resync(stack: &Stack, repositories: usize) {
    for index in 0..repositories {
        stack.github.create_repository(&format!("acme/quiet-{index}"), true);
    }
    for _ in 0..2 {
        stack.github.clear_requests();
        stack.dynamodb.clear_calls();
        stack.lambda.invoke("reconcile", json!({"resync": "all"})).await.expect("reconcile answers");
    }
    let queries = stack.github.requests().len();
    let calls = stack.dynamodb.calls();
    let writes =
        calls.iter().filter(|call| ["PutItem", "TransactWriteItems"].contains(&call.operation.as_str())).count();
    let claims = calls.iter().filter(|call| call.operation == "UpdateItem").count();
    println!(
        "\nA resync of {repositories} quiet repositories: {queries} requests to GitHub, {claims} updates of a due time, {writes} other writes"
    );
}

fn cold(stack: &Stack, functions: &[&str]) {
    for function in functions {
        stack.lambda.kill_environments(function);
    }
}

fn answered(stack: &Stack, function: &str, skip: usize) -> Vec<Duration> {
    stack.lambda.cold_starts(function).iter().skip(skip).filter_map(|start| start.answered).collect()
}

/// A task in `pr_submitted` and the merge of its pull request.
fn merge(stack: &Stack) -> Event {
    let id = uuid::Uuid::new_v4().simple().to_string();
    stack.create_task(&id, "Fix login", "pr_submitted");
    let mut new = NewPullRequest::titled(&format!("Fix login [kid: #{}]", &id[..12]));
    new.paths = vec![id];
    let opened = stack.github.open_pull_request(REPOSITORY, new);
    stack.github.merge(REPOSITORY, opened.number())
}

fn signed(stack: &Stack, event: &Event) -> axum::http::Request<axum::body::Bytes> {
    let signed = stack.github.signed_request(event);
    let mut request = axum::http::Request::post("/api/webhooks/github");
    for (name, value) in signed.headers {
        request = request.header(name, value);
    }
    request.body(signed.body.into()).expect("the headers are well-formed")
}

fn assert_moved(answer: &Value) {
    let body = answer["body"].as_str().unwrap_or_default();
    assert!(body.contains("\"moved\""), "{answer}");
}

/// Each repository is a scope of its own.
fn scope(index: usize) -> Value {
    let name = if index == 0 { "app".to_owned() } else { format!("service-{index}") };
    json!({"repositories": [name], "permissions": {"contents": "read"}})
}

async fn timed<T>(work: impl Future<Output = T>) -> (Duration, T) {
    let start = Instant::now();
    let result = work.await;
    (start.elapsed(), result)
}

fn row(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let milliseconds = |time: Option<&Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0);
    println!(
        "  {name:<58}{:>8.2}{:>8.2}{:>8.2}",
        milliseconds(times.first()),
        milliseconds(times.get(times.len() / 2)),
        milliseconds(times.last()),
    );
}

fn size(name: &str, executable: &Path) {
    let megabytes = |bytes: usize| bytes as f64 / 1e6;
    let whole = std::fs::metadata(executable).map_or(0, |metadata| metadata.len()) as usize;
    let deflated =
        Command::new("gzip").args(["-9", "--stdout"]).arg(executable).output().expect("gzip runs").stdout.len();
    println!("  {name:<18}{:>9.2} MB{:>9.2} MB", megabytes(whole), megabytes(deflated));
}
