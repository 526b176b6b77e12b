//! The webhook side by side: cold, warm, processor time and memory, for each kind of delivery.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use stack::Stack;

use super::contestants::{Contestant, new_task};
use super::figures::{SHOWN, Times, timed};
use super::payloads::{KINDS, Payloads};
use super::{Bench, setting};

/// What one contestant did with one kind of delivery.
#[derive(Default)]
struct Taken {
    times: Times,
    running: Duration,
    waiting: Duration,
}

/// By contestant and kind.
type Table = BTreeMap<(usize, &'static str), Taken>;

/// Every contestant in turn, for every kind of delivery.
pub(super) async fn run(bench: &Bench) {
    let stack = bench.stack().await;
    let payloads = Payloads::of(&stack);
    let contestants = Contestant::all(bench, &stack, "", &[]).await;
    let cold = cold(&stack, &payloads, &contestants, setting("COLD", 10)).await;
    print("From process start to the first answer", &contestants, &cold);
    let (warm, table) = warm(&stack, &payloads, &contestants, setting("WARM", 2000)).await;
    print("A warm environment's answer", &contestants, &warm);
    println!("  the table stand-in itself: a bare GetItem {}", table[0].shown());
    println!("  {:>43} {}", "a bare transaction", table[1].shown());
    peaks(&stack, &payloads, &contestants).await;
}

/// Of an environment that only ever got merges: a push of 1 MB is held as the event, its body and their copies.
async fn peaks(stack: &Stack, payloads: &Payloads, contestants: &[Contestant]) {
    println!("\nPeak memory after a hundred merges, MiB");
    for (index, contestant) in contestants.iter().enumerate() {
        stack.lambda.kill_environments(&contestant.function);
        for round in 0..100 {
            let number = (500_000 + 1000 * index + round) as u64;
            let answer = contestant.answer(payloads.delivery("merged", number, &new_task(stack))).await;
            answer.unwrap_or_else(|error| panic!("{}: {error}", contestant.label));
        }
        let peak = stack.lambda.peak_memory(&contestant.function).unwrap_or_default();
        println!("  {:<24}{:>8.1}", contestant.label, peak as f64 / 1024.0 / 1024.0);
    }
}

async fn cold(stack: &Stack, payloads: &Payloads, contestants: &[Contestant], rounds: usize) -> Table {
    let mut table = Table::new();
    let mut number = 1;
    for _ in 0..rounds {
        for kind in KINDS {
            for (index, contestant) in contestants.iter().enumerate() {
                number += 1;
                let task = new_task(stack);
                stack.lambda.kill_environments(&contestant.function);
                let answer = contestant.answer(payloads.delivery(kind, number, &task)).await;
                check(stack, contestant, kind, answer, &task);
                let start = stack.lambda.cold_starts(&contestant.function).pop().and_then(|start| start.answered);
                let spent = contestant.processor_time(stack);
                let taken = table.entry((index, kind)).or_default();
                taken.times.push(start.expect("the contestant started"));
                taken.running += spent.running;
                taken.waiting += spent.waiting;
            }
        }
    }
    table
}

/// Each round is the life of a pull request for each contestant, and what else comes; then the table itself is asked.
async fn warm(stack: &Stack, payloads: &Payloads, contestants: &[Contestant], rounds: usize) -> (Table, [Times; 2]) {
    let mut table = Table::new();
    let mut bare = [Times::default(), Times::default()];
    let http = local_aws::client();
    for round in 0..rounds + WARM_UP {
        let tasks: Vec<_> = contestants.iter().map(|_| new_task(stack)).collect();
        for kind in KINDS {
            let before: Vec<_> = contestants.iter().map(|contestant| contestant.processor_time(stack)).collect();
            let mut times = Vec::new();
            for (index, contestant) in contestants.iter().enumerate() {
                let number = 1_000_000 + (round * contestants.len() + index) as u64;
                let request = payloads.delivery(kind, number, &tasks[index]);
                let (took, answer) = timed(contestant.answer(request)).await;
                check(stack, contestant, kind, answer, &tasks[index]);
                times.push(took);
            }
            // What a process does after its answer belongs to this delivery.
            tokio::time::sleep(Duration::from_millis(1)).await;
            if round < WARM_UP {
                continue;
            }
            for (index, contestant) in contestants.iter().enumerate() {
                let spent = contestant.processor_time(stack) - before[index];
                let taken = table.entry((index, kind)).or_default();
                taken.times.push(times[index]);
                taken.running += spent.running;
                taken.waiting += spent.waiting;
            }
        }
        bare[0].push(timed(get(stack, &http, round)).await.0);
        bare[1].push(timed(transact(stack, &http, round)).await.0);
        stack.dynamodb.clear_calls();
        stack.secrets.clear_calls();
    }
    (table, bare)
}

/// Rounds that are not counted: a runtime that compiles while it runs is at its best later.
const WARM_UP: usize = 20;

/// A contestant that does not do the work is not measured.
fn check(
    stack: &Stack,
    contestant: &Contestant,
    kind: &str,
    answer: Result<Value, local_aws::lambda::FunctionError>,
    task: &str,
) {
    match answer {
        // Probot's adapter throws where the signature is wrong.
        Err(error) => assert_eq!(kind, "forged", "{}: {error}", contestant.label),
        Ok(answer) if contestant.works() => {
            let wanted = if kind == "forged" { 401 } else { 200 };
            assert_eq!(answer["statusCode"], wanted, "{} on {kind}: {answer}", contestant.label);
        }
        Ok(_) => {}
    }
    if kind == "merged" && contestant.works() {
        assert_eq!(stack.status(task), "done", "{} moves the card", contestant.label);
    }
}

async fn call(stack: &Stack, http: &reqwest::Client, operation: &str, body: Value) {
    let request = http.post(stack.dynamodb.url()).header("content-type", "application/x-amz-json-1.0");
    let request = request.header("x-amz-target", format!("DynamoDB_20120810.{operation}")).body(body.to_string());
    // dynoxide looks at the form of a signature and not at its value.
    let signed = "AWS4-HMAC-SHA256 Credential=BENCH/20261124/us-east-1/dynamodb/aws4_request, SignedHeaders=host;x-amz-date, Signature=0";
    let answer = request
        .header("x-amz-date", "20261124T000000Z")
        .header("authorization", signed)
        .send()
        .await
        .expect("the table answers");
    let status = answer.status();
    let text = answer.text().await.expect("the whole answer");
    assert!(status.is_success(), "{operation}: {text}");
}

fn key(round: usize) -> Value {
    json!({"repository_id": {"S": "bare"}, "item": {"S": format!("pr#{round}")}})
}

async fn get(stack: &Stack, http: &reqwest::Client, round: usize) {
    let body = json!({"TableName": stack.dynamodb.names().pull_requests, "Key": key(round), "ConsistentRead": true});
    call(stack, http, "GetItem", body).await;
}

/// Two items under a condition each, as a merge writes them.
async fn transact(stack: &Stack, http: &reqwest::Client, round: usize) {
    let names = stack.dynamodb.names();
    let id = uuid::Uuid::new_v4().simple().to_string();
    let mut row = key(round);
    row["title"] = json!({"S": "Fix login"});
    let task = json!({"prefix": {"S": id[..8]}, "id": {"S": id}, "status": {"S": "done"}});
    let put = |table: &str, item: Value| json!({"Put": {"TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(version)"}});
    let items = json!({"TransactItems": [put(&names.pull_requests, row), put(&names.tasks, task)]});
    call(stack, http, "TransactWriteItems", items).await;
}

fn print(title: &str, contestants: &[Contestant], table: &Table) {
    let count = table.values().next().map_or(0, |taken| taken.times.len());
    println!("\n{title}, ms ({count} each, in turn)");
    println!("  {:<16}{:<18}{SHOWN}{:>10}{:>10}  × empty function", "", "", "CPU µs", "wait µs");
    for kind in KINDS {
        let empty = &table[&(0, kind)].times;
        for (index, contestant) in contestants.iter().enumerate() {
            let taken = &table[&(index, kind)];
            let each = |time: Duration| time.as_secs_f64() * 1e6 / taken.times.len() as f64;
            println!(
                "  {kind:<16}{:<18}{}{:>10.0}{:>10.0}  {}",
                contestant.label,
                taken.times.shown(),
                each(taken.running),
                each(taken.waiting),
                taken.times.ratio(empty),
            );
        }
    }
}
