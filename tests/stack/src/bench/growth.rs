//! What becomes of the figures as a board grows, and as many deliveries come at once.

use std::time::{Duration, Instant};

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
/// Deliveries that look for a tag.
const LOOKUPS: u64 = 300;

/// `SOAK=1` goes on to a million tasks, which takes minutes.
pub(super) async fn run(bench: &Bench) {
    let sizes = &[1_000, 100_000, 1_000_000][..if setting("SOAK", 0) == 1 { 3 } else { 2 }];
    let mut boards = Vec::new();
    for size in sizes {
        let stack = bench.stack().await;
        (0..*size).for_each(|_| drop(new_task(&stack)));
        boards.push((stack, Times::default()));
    }
    // In turn, as everything else: what the machine does besides meets each alike.
    for number in 1..=LOOKUPS {
        for (stack, times) in &mut boards {
            times.push(lookup(stack, number).await);
        }
    }
    println!("\nA tag among many tasks: opened, warm, ms ({LOOKUPS} each, in turn)");
    println!("  {:<12}{SHOWN}  × the smallest", "tasks");
    for ((_, times), size) in boards.iter().zip(sizes) {
        println!("  {size:<12}{}  {}", times.shown(), times.ratio(&boards[0].1));
    }
    at_once(&boards[0].0).await;
}

async fn lookup(stack: &Stack, number: u64) -> Duration {
    let event = stack.front.event(Payloads::of(stack).delivery("opened", number, &new_task(stack)));
    let (took, answer) = timed(stack.front.invoke_event(event)).await;
    assert_eq!(answer.expect("the webhook answers")["statusCode"], 200);
    stack.dynamodb.clear_calls();
    took
}

async fn at_once(stack: &Stack) {
    let payloads = &Payloads::of(stack);
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
