//! A function's table call that waits while something else happens.

use local_aws::lambda::access_key_id;
use local_aws::{Fault, Rule};
use serde_json::{Value, json};
use stack::Stack;
use tokio::sync::Notify;

/// Runs something that makes a function call the tables, and holds its `nth` call, counted from 0, while something else happens. Whether it made
/// so many: if not, the other did not happen.
///
/// The SDK gives a held call up after 1.2 s and sends it again, which is not held. So on a machine that is slow the order is another, and what
/// comes out has to be right all the same.
pub async fn while_held(
    stack: &Stack,
    function: &str,
    nth: usize,
    runs: impl Future<Output = ()>,
    meanwhile: impl AsyncFnOnce(),
) -> bool {
    stack.dynamodb.fail(Rule::new(Fault::Hold).from(&access_key_id(function)).after(nth).times(1));
    let over = Notify::new();
    let first = async {
        runs.await;
        over.notify_one();
    };
    let second = async {
        let held = tokio::select! {
            () = stack.dynamodb.held() => true,
            () = over.notified() => false,
        };
        if held {
            meanwhile().await;
            stack.dynamodb.release();
        }
        held
    };
    let ((), held) = tokio::join!(first, second);
    stack.dynamodb.clear_faults();
    held
}

/// Lets reconcile do all that is owed to a pull request, as if its time had come.
///
/// # Panics
/// If something stays owed.
pub async fn settle(stack: &Stack, number: u64) {
    for _ in 0..8 {
        stack.stream.drain().await;
        let Some(row) = owed(stack, number) else { return };
        let key = json!({"repository_id": row["repository_id"], "item": row["item"]});
        stack.dynamodb.change(&stack.dynamodb.names().pull_requests, &key, &json!({"next_check_at": 0}));
        stack.schedule.tick_once().await.expect("reconcile runs");
    }
    panic!("still owed: {:#?}", owed(stack, number));
}

/// The row of a pull request, if it is owed an answer.
pub fn owed(stack: &Stack, number: u64) -> Option<Value> {
    let mut rows = stack.dynamodb.scan(&stack.dynamodb.names().pull_requests).into_iter();
    rows.find(|row| row["item"] == format!("pr#{number}") && row.get("due").is_some())
}
