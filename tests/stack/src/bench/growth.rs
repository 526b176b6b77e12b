//! What becomes of the figures as a board grows, and as many deliveries come at once.

use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::iter;
use stack::Stack;

use super::contestants::new_task;
use super::figures::{SHOWN, Times, timed};
use super::payloads::Payloads;
use super::{Bench, setting};

/// How many deliveries, and how many environments take them.
const DELIVERIES: usize = 10_000;
const ENVIRONMENTS: usize = 50;

/// `SOAK=1` goes on to a million tasks, which takes minutes.
pub(super) async fn run(bench: &Bench) {
    let stack = bench.stack().await;
    let payloads = Payloads::of(&stack);
    println!("\nA tag among many tasks: opened, warm, ms\n  {:<12}{SHOWN}", "tasks");
    let steps = [1_000, 100_000, 1_000_000];
    let mut tasks = 0;
    for step in &steps[..if setting("SOAK", 0) == 1 { 3 } else { 2 }] {
        for _ in tasks..*step {
            new_task(&stack);
        }
        tasks = *step;
        println!("  {step:<12}{}", lookups(&stack, &payloads, *step as u64, 300).await.shown());
    }
    at_once(&stack, &payloads).await;
}

async fn lookups(stack: &Stack, payloads: &Payloads, from: u64, count: u64) -> Times {
    let mut times = Times::default();
    for number in 0..count {
        let task = new_task(stack);
        let event = stack.front.event(payloads.delivery("opened", 10 * from + number, &task));
        let (took, answer) = timed(stack.front.invoke_event(event)).await;
        assert_eq!(answer.expect("the webhook answers")["statusCode"], 200);
        times.push(took);
        stack.dynamodb.clear_calls();
    }
    times
}

async fn at_once(stack: &Stack, payloads: &Payloads) {
    stack.lambda.set_concurrency("webhook", ENVIRONMENTS);
    let began = Instant::now();
    let deliveries = iter(0..DELIVERIES).map(|index| {
        let task = new_task(stack);
        let event = stack.front.event(payloads.delivery("merged", 100_000_000 + index as u64, &task));
        async move {
            let (took, answer) = timed(stack.front.invoke_event(event)).await;
            let moved = answer.is_ok_and(|answer| answer["statusCode"] == 200) && stack.status(&task) == "done";
            (took, moved)
        }
    });
    let all: Vec<_> = deliveries.buffer_unordered(ENVIRONMENTS).collect().await;
    let seconds = began.elapsed().as_secs_f64();
    let missed = all.iter().filter(|(_, moved)| !moved).count();
    let times: Times = all.iter().map(|(took, _)| *took).collect();
    let environments = stack.lambda.environments("webhook");
    println!(
        "\n{DELIVERIES} merges, {ENVIRONMENTS} at a time through {environments} environments: {missed} cards not moved, {:.0} a second",
        DELIVERIES as f64 / seconds
    );
    println!("  {:<12}{SHOWN}\n  {:<12}{}", "ms", "", times.shown());
}
