//! Each function is killed before and after each of its table calls, stands still for longer than anybody waits, fails to start: in every case the
//! card ends as if nothing had been.

use std::cell::Cell;

use fake_github::{Event, NewPullRequest};
use local_aws::lambda::access_key_id;
use local_aws::{Fault, Rule};
use serde_json::{Value, json};
use stack::{REPOSITORY, Stack};
use tokio::sync::Notify;

use crate::harness::holding::settle;

/// More than any run here makes.
const MOST_CALLS: usize = 60;

async fn start() -> Stack {
    let stack = Stack::start().await;
    stack.github.set_tick(-2 * 60 * 60);
    stack.github.open_pull_request(REPOSITORY, NewPullRequest::titled("Long ago"));
    stack.github.set_tick(1);
    assert_eq!(stack.github.deliver(&stack.github.ping_event()).await.status, 200);
    stack
}

/// The id of the trial's card, and the event that is its pull request's opening.
async fn opened(stack: &Stack, nth: usize) -> (String, Event) {
    let task = format!("{nth:02x}eeeeee");
    stack.task(&task, "pr_submitted");
    let title = format!("Fix login [kid: #{task}]");
    let new = NewPullRequest { paths: vec![task.clone()], ..NewPullRequest::titled(&title) };
    let opened = stack.github.open_pull_request(REPOSITORY, new);
    (task, opened)
}

/// Kills a function before or after its `nth` table call of what `runs`; whether it made so many.
async fn killed(stack: &Stack, function: &str, (hold, nth): (Fault, usize), runs: impl Future<Output = ()>) -> bool {
    stack.dynamodb.fail(Rule::new(hold).from(&access_key_id(function)).after(nth).times(1));
    let over = Notify::new();
    let first = async {
        runs.await;
        over.notify_one();
    };
    let second = async {
        tokio::select! {
            () = stack.dynamodb.held() => stack.lambda.kill_busy(function) == 1,
            () = over.notified() => false,
        }
    };
    let ((), killed) = tokio::join!(first, second);
    stack.dynamodb.clear_faults();
    killed
}

/// Kills a function at each of its table calls; `again` is what GitHub or AWS does next, and `right` what must be so when all has settled.
async fn each_call(
    function: &str,
    before: impl AsyncFn(&Stack, &Event),
    runs: impl AsyncFn(&Stack, &Event),
    again: impl AsyncFn(&Stack, &Event),
    right: impl Fn(&Stack, &str),
) {
    let stack = start().await;
    let mut trials = 0;
    for hold in [Fault::Hold, Fault::HoldAnswer] {
        for nth in 0..MOST_CALLS {
            let (task, event) = opened(&stack, trials).await;
            trials += 1;
            before(&stack, &event).await;
            if !killed(&stack, function, (hold, nth), runs(&stack, &event)).await {
                assert!(nth > 1, "it reads and writes");
                break;
            }
            again(&stack, &event).await;
            settle(&stack, event.number()).await;
            right(&stack, &task);
        }
    }
    stack.github.assert_nothing_unexpected();
}

fn linked(stack: &Stack, task: &str) {
    let card = stack.read(task);
    assert_eq!(card["pull_requests"].as_object().map(serde_json::Map::len), Some(1), "{card:#}");
    assert_eq!(card["has_merge_conflict"], false, "{card:#}");
}

#[tokio::test]
async fn a_webhook_that_is_killed_at_any_table_call_is_answered_5xx_and_a_redelivery_heals_it() {
    let answered = Cell::new(0);
    each_call(
        "webhook",
        async |_, _| {},
        async |stack, event| answered.set(stack.github.deliver(event).await.status),
        async |stack, event| {
            assert_eq!(answered.get(), 500);
            assert_eq!(stack.github.deliver(event).await.status, 200);
        },
        linked,
    )
    .await;
}

#[tokio::test]
async fn a_reconcile_that_is_killed_at_any_table_call_leaves_the_rest_to_the_next() {
    each_call(
        "reconcile",
        async |stack, event| assert_eq!(stack.github.deliver(event).await.status, 200),
        async |stack, _| {
            stack.stream.pump_once().await;
        },
        async |_, _| {},
        linked,
    )
    .await;
}

#[tokio::test]
async fn a_token_function_that_is_killed_at_any_table_call_is_asked_again() {
    each_call(
        "token",
        async |stack, _| {
            stack.lambda.kill_environments("token");
            stack.lambda.kill_environments("reconcile");
            stack.dynamodb.scan("Tokens").iter().for_each(|item| {
                stack.dynamodb.delete("Tokens", &json!({"cache_key": item["cache_key"]}));
            });
        },
        async |stack, event| {
            assert_eq!(stack.github.deliver(event).await.status, 200);
            stack.stream.pump_once().await;
        },
        async |_, _| {},
        linked,
    )
    .await;
}

#[tokio::test]
async fn a_function_that_cannot_start_is_started_again() {
    let stack = start().await;
    let (task, event) = opened(&stack, 0).await;
    let table = stack.dynamodb.names().pull_requests.clone();
    stack.lambda.set_variable("webhook", "PULL_REQUESTS_TABLE", "");
    stack.lambda.set_variable("reconcile", "PULL_REQUESTS_TABLE", "");
    assert_eq!(stack.github.deliver(&event).await.status, 503);
    stack.schedule.tick_once().await.unwrap_err();
    stack.lambda.set_variable("webhook", "PULL_REQUESTS_TABLE", &table);
    stack.lambda.set_variable("reconcile", "PULL_REQUESTS_TABLE", &table);
    assert_eq!(stack.github.deliver(&event).await.status, 200);
    settle(&stack, event.number()).await;
    linked(&stack, &task);
}

#[tokio::test]
async fn an_event_that_is_delivered_twice_at_once_counts_once() {
    let stack = start().await;
    let (task, event) = opened(&stack, 0).await;
    let deliver = || stack.github.deliver(&event);
    let answers = tokio::join!(deliver(), deliver(), deliver(), deliver());
    assert!([answers.0, answers.1, answers.2, answers.3].iter().all(|answer| answer.status == 200));
    settle(&stack, event.number()).await;
    linked(&stack, &task);
    let history = stack.read(&task)["history"].as_array().cloned().unwrap_or_default();
    let linked = history.iter().filter(|entry: &&Value| entry["what"] == "linked").count();
    assert_eq!(linked, 1, "{history:#?}");
}

#[tokio::test]
async fn an_environment_that_was_frozen_for_longer_than_its_connections_are_kept_takes_the_next_delivery() {
    let stack = start().await;
    stack.lambda.freeze_between_invocations(true);
    for nth in 0..3 {
        let (task, event) = opened(&stack, nth).await;
        assert_eq!(stack.github.deliver(&event).await.status, 200);
        settle(&stack, event.number()).await;
        linked(&stack, &task);
        stack.dynamodb.hang_up();
        stack.secrets.hang_up();
    }
    let environments = stack.lambda.cold_starts("webhook").len();
    assert_eq!(environments, 1, "it was the same one all the time");
}
