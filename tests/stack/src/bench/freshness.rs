//! From what happens on GitHub to the right card, with GitHub as slow as it is, and every second time from cold.

use std::sync::Arc;
use std::time::Duration;

use fake_github::{Event, Fault, FaultKind, NewPullRequest};
use stack::Stack;

use super::contestants::new_task;
use super::figures::{Times, timed};
use super::{Bench, setting};

/// What a request of GitHub's API takes.
const GITHUB: Duration = Duration::from_millis(100);
/// The template's schedule, and what it resyncs by.
const SCHEDULE: f64 = 60.0;
const RESYNC: f64 = 15.0 * 60.0;

/// The stream is read every two seconds, as the template gathers it; nothing else is waited for.
pub(super) async fn run(bench: &Bench) {
    let stack = bench.stack().await;
    stack.github.fault(Fault::always("/", FaultKind::Delay(GITHUB)));
    let stream = Arc::clone(&stack.stream).spawn(Duration::from_secs(2));
    let samples = setting("SAMPLES", 40);
    println!(
        "\nFrom GitHub's event to the right card, s ({samples} each, every second from cold; GitHub takes 0.1 s a request)"
    );
    println!("  {:<52}{:>8}{:>8}", "", "p50", "p99");
    row("opened: the card has its pull request", &take(&stack, samples, linked).await);
    row("opened: the card says whether it merges", &take(&stack, samples, known).await);
    row("merged: the card is done", &take(&stack, samples, merged).await);
    row("a merge elsewhere: the card says that it conflicts", &take(&stack, samples, conflicting).await);
    drop(stream);
    let resyncs = take(&stack, samples, lost).await;
    row("lost delivery: a resync's run", &resyncs);
    row("lost delivery: the wait for it, simulated", &waits(samples, &resyncs));
    stack.github.assert_nothing_unexpected();
}

async fn take(stack: &Stack, samples: usize, one: impl AsyncFn(&Stack, &str, usize) -> Duration) -> Times {
    let mut times = Times::default();
    for sample in 0..samples {
        let repository = format!("acme/fresh-{}", uuid::Uuid::new_v4().simple());
        stack.github.create_repository(&repository, true);
        if sample.is_multiple_of(2) {
            for function in ["webhook", "reconcile", "token"] {
                stack.lambda.kill_environments(function);
            }
        }
        // Not in step with the stream.
        tokio::time::sleep(Duration::from_millis((sample as u64 * 617) % 2000)).await;
        times.push(one(stack, &repository, sample).await);
    }
    times
}

async fn linked(stack: &Stack, repository: &str, _: usize) -> Duration {
    let (task, opened) = open(stack, repository, "a.rs");
    timed(async {
        stack.github.deliver(&opened).await;
        until(stack, &task, |card| card["pull_request"].is_string() || card["pull_request"].is_object()).await;
    })
    .await
    .0
}

async fn known(stack: &Stack, repository: &str, _: usize) -> Duration {
    let (task, opened) = open(stack, repository, "a.rs");
    timed(async {
        stack.github.deliver(&opened).await;
        until(stack, &task, |card| card["has_merge_conflict"] == false).await;
    })
    .await
    .0
}

async fn merged(stack: &Stack, repository: &str, _: usize) -> Duration {
    let (task, opened) = open(stack, repository, "a.rs");
    stack.github.deliver(&opened).await;
    let merged = stack.github.merge(repository, opened.number());
    timed(async {
        stack.github.deliver(&merged).await;
        until(stack, &task, |card| card["status"] == "done").await;
    })
    .await
    .0
}

async fn conflicting(stack: &Stack, repository: &str, sample: usize) -> Duration {
    let (task, opened) = open(stack, repository, "shared.rs");
    stack.github.deliver(&opened).await;
    until(stack, &task, |card| card["has_merge_conflict"] == false).await;
    if sample.is_multiple_of(2) {
        stack.lambda.kill_environments("reconcile");
    }
    let (_, another) = open(stack, repository, "shared.rs");
    let merged = stack.github.merge(repository, another.number());
    timed(async {
        stack.github.deliver(&merged).await;
        until(stack, &task, |card| card["has_merge_conflict"] == true).await;
    })
    .await
    .0
}

/// The merge's delivery never comes.
async fn lost(stack: &Stack, repository: &str, _: usize) -> Duration {
    let (task, opened) = open(stack, repository, "a.rs");
    stack.github.deliver(&opened).await;
    stack.github.merge(repository, opened.number());
    timed(async {
        stack.lambda.invoke("reconcile", stack::resync(Some(repository))).await.expect("reconcile answers");
        until(stack, &task, |card| card["status"] == "done").await;
    })
    .await
    .0
}

/// Events spread evenly between two resyncs, each of which begins at the schedule's next tick after it is due.
fn waits(samples: usize, resyncs: &Times) -> Times {
    let part = |index: usize, of: f64| of * (index as f64 + 0.5) / samples as f64;
    let all = (0..samples).flat_map(|due| (0..samples).map(move |tick| part(due, RESYNC) + part(tick, SCHEDULE)));
    all.map(|wait| Duration::from_secs_f64(wait + resyncs.at(0.5) / 1000.0)).collect()
}

fn open(stack: &Stack, repository: &str, path: &str) -> (String, Event) {
    let task = new_task(stack);
    let mut new = NewPullRequest::titled(&format!("Fix login [kid: #{}]", &task[..12]));
    new.paths = vec![path.to_owned()];
    let opened = stack.github.open_pull_request(repository, new);
    (task, opened)
}

/// Looks at the card until it is as wanted.
async fn until(stack: &Stack, task: &str, wanted: impl Fn(&serde_json::Value) -> bool) {
    for _ in 0..30_000 {
        if wanted(&stack.read(task)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("the card never became right: {}", stack.read(task));
}

fn row(name: &str, times: &Times) {
    println!("  {name:<52}{:>8.2}{:>8.2}", times.at(0.5) / 1000.0, times.at(0.99) / 1000.0);
}
