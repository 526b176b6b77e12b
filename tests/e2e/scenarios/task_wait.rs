//! `task start` and `task wait`: an agent takes a card, and sleeps until something is true of it.

use serde_json::json;
use stack::Stack;

use crate::harness::agent::Agent;

const TASK: &str = "4d9d444d0198c5c27f00aabbccddeeff";

#[tokio::test]
async fn of_two_agents_one_takes_the_task() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    stack.create_task(TASK, "Fix login", "to_do");
    let (one, other) = tokio::join!(agent.cli(&["task", "start", TASK]), agent.cli(&["task", "start", TASK]));
    let (taken, refused) = if one.ok { (one, other) } else { (other, one) };
    assert_eq!(taken.stdout, "4d9d444d-fix-login\n", "a name for the branch, and nothing else");
    let advice = refused.advice();
    assert!(advice.contains("in_progress"), "{advice}");
    for column in ["pr_submitted", "done", "trash"] {
        stack.create_task(TASK, "Fix login", column);
        assert!(agent.cli(&["task", "start", TASK]).await.advice().contains(column));
    }
}

#[tokio::test]
async fn a_wait_ends_with_what_came_true_and_asks_github_nothing() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    stack.create_task(TASK, "Fix login", "in_progress");
    let waits = agent.cli(&["task", "wait", TASK, "--until", "conflict", "--until", "done", "--timeout", "5m"]);
    let moves = async {
        // It has looked at least once before anything is true.
        while stack.dynamodb.calls().len() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        stack.create_task(TASK, "Fix login", "done");
    };
    let (ended, ()) = tokio::join!(waits, moves);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(15), "done\n"), "{ended:?}");

    let linked = json!({"7#42": {"state": "open", "url": "https://github.com/acme/app/pull/42",
        "created_at": "2026-11-09T00:00:00Z", "mergeability": "conflicting"}});
    let mut task = stack.read(TASK);
    task["pull_requests"] = linked;
    task["pull_request"] = json!("7#42");
    task["has_merge_conflict"] = json!(true);
    stack.dynamodb.put("Tasks", &task);
    let one = agent.cli(&["task", "wait", "acme/app#42", "--until", "conflict"]).await;
    assert_eq!((one.code, one.stdout.as_str()), (Some(0), "conflict\n"), "what was true already, alone: {one:?}");
    let over = agent.cli(&["task", "wait", TASK, "--until", "merged", "--timeout", "0s"]).await;
    assert_eq!((over.code, over.stdout.as_str()), (Some(124), ""), "{over:?}");
    let gone = agent.cli(&["task", "wait", "cccccccc", "--until", "merged"]).await;
    assert_eq!(gone.code, Some(1), "{gone:?}");
    assert!(stack.github.requests().is_empty(), "{:?}", stack.github.requests());
}

#[tokio::test]
async fn what_other_writers_put_into_a_task_cannot_write_to_the_terminal() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    let column = "odd\u{9b}2J\u{202e}\u{1b}]0;\u{7}";
    stack.create_task(TASK, "Fix login", column);
    let waited = agent.cli(&["task", "wait", TASK, "--until", "done", "--timeout", "0s"]).await;
    let started = agent.cli(&["task", "start", TASK, "--json"]).await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&started.stdout).unwrap()["moved_from"], column);
    let mut task = stack.read(TASK);
    task["status"] = json!(column);
    task["has_merge_conflict"] = json!(true);
    stack.dynamodb.put("Tasks", &task);
    let came = agent.cli(&["task", "wait", TASK, "--until", "conflict", "--json"]).await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&came.stdout).unwrap()["status"], column);
    for text in [&waited.stderr, &started.stdout, &started.stderr, &came.stdout, &came.stderr] {
        let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(acts), "{text:?}");
    }
    assert!(waited.stderr.contains("is in odd"), "{waited:?}");
}
