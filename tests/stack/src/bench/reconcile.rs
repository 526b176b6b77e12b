//! What reconcile asks and writes: counted, since its time is GitHub's.

use axum::body::Bytes;
use axum::http::Request;
use fake_github::{Event, NewPullRequest};
use stack::Stack;

use super::Bench;
use super::figures::timed;

/// A resync in which nothing happened, and a base that moves under many open pull requests.
pub(super) async fn run(bench: &Bench) {
    let stack = bench.stack().await;
    resync(&stack, 1000).await;
    println!("\nA base moves under open linked pull requests, ten of which conflict then");
    println!("  open   GraphQL queries   REST reads   item writes   task writes   seconds");
    for open in [500, 5000] {
        base_move(&stack, open).await;
    }
    let peak = stack.lambda.peak_memory("reconcile").unwrap_or_default();
    println!("  peak memory of reconcile: {:.1} MiB", peak as f64 / 1024.0 / 1024.0);
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
        stack.lambda.invoke("reconcile", stack::resync(None)).await.expect("reconcile answers");
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

fn signed(stack: &Stack, event: &Event) -> Request<Bytes> {
    let signed = stack.github.signed_request(event);
    let mut request = Request::post("/api/webhooks/github");
    for (name, value) in signed.headers {
        request = request.header(name, value);
    }
    request.body(signed.body.into()).expect("the headers are well-formed")
}
