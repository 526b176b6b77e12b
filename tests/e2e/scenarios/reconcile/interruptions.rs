//! Two runs at once, and a run that dies between any two table calls.

use local_aws::{Fault, Rule};
use serde_json::{Value, json};

use super::World;
use super::world::{RECONCILE, REPOSITORY};

const TASKS: [&str; 4] = ["aaaaaaa1", "bbbbbbb2", "ccccccc3", "ddddddd4"];

/// One of everything that reconcile has to do: a conflict to find by a moved base, a merge and a new title that no webhook
/// told, a fork to link, and a pull request nobody ever heard of.
async fn busy() -> World {
    let mut world = World::new().await;
    TASKS.iter().for_each(|task| drop(world.task(task, "pr_submitted")));
    world.github.set_collaborator(REPOSITORY, "friend", "write");
    let conflicting = world.open("Conflicts [kid: #aaaaaaa1]", "a.rs");
    let merged = world.open("Merged [kid: #bbbbbbb2] [kid: #ccccccc3]", "b.rs");
    let fork = world.open_with(fake_github::NewPullRequest {
        from_fork: true,
        author: "friend".to_owned(),
        ..fake_github::NewPullRequest::titled("Fork [kid: #ccccccc3]")
    });
    for event in [&conflicting, &merged, &fork] {
        world.deliver(event).await;
    }
    world.stream().await;
    world.pass(5);
    world.hub().retitle(REPOSITORY, merged.number(), "Merged [kid: #bbbbbbb2]");
    world.pass(1);
    world.hub().merge(REPOSITORY, merged.number());
    let other = world.open("Other", "a.rs");
    let moved = world.hub().merge(REPOSITORY, other.number());
    world.deliver(&moved).await;
    world.pass(1);
    let pushed = world.hub().push(REPOSITORY, fork.number());
    world.deliver(&pushed).await;
    world.open("Never heard of [kid: #ddddddd4]", "d.rs");
    world
}

fn board(world: &World) -> Vec<Value> {
    let shown = |task: &str| {
        let task = world.read(task);
        json!([task["status"], task["pull_request"], task["has_merge_conflict"], task["completed_by"]])
    };
    TASKS.map(shown).to_vec()
}

#[tokio::test]
async fn two_runs_at_once_share_the_work_and_lose_nothing() {
    let mut alone = busy().await;
    alone.stream().await;
    alone.settle().await;
    let mut world = busy().await;
    let other = world.another_app();
    let batch = world.stream_event();
    let due = json!({"schedule": "due"});
    world.dynamodb.clear_calls();
    tokio::join!(
        world.reconcile(batch.clone()),
        world.reconcile_by(&other, batch.clone()),
        world.reconcile_by(&other, due.clone()),
    );
    let calls = world.dynamodb.calls().into_iter();
    let claims = calls.filter(|call| call.body["ReturnValues"] == "ALL_NEW" && call.status == Some(200));
    let claimed: Vec<_> = claims.map(|call| call.body["Key"].to_string()).collect();
    let once: std::collections::BTreeSet<_> = claimed.iter().collect();
    assert!(claimed.len() == once.len() && claimed.len() > 1, "each item is claimed once: {claimed:#?}");
    world.settle().await;
    assert_eq!(board(&world), board(&alone));
    assert_eq!(board(&world)[0][2], json!(true));
    assert_eq!(board(&world)[1][0], json!("done"));
}

#[tokio::test]
async fn a_crash_before_or_after_any_table_call_is_repaired_by_the_next_run() {
    let mut alone = busy().await;
    alone.dynamodb.clear_calls();
    alone.stream().await;
    for _ in 0..3 {
        alone.pass(15 * 60 + 1);
        alone.due().await;
    }
    let calls: Vec<_> = alone.dynamodb.calls().into_iter().filter(|call| call.access_key_id == RECONCILE).collect();
    // To die before a read is to die before the write that follows it.
    let reads = ["GetItem", "BatchGetItem", "Query", "Scan"];
    let writes = (1..=calls.len()).filter(|at| !reads.contains(&calls[at - 1].operation.as_str()));
    let writes: Vec<_> = writes.collect();
    assert!(writes.len() > 25, "{} writes are less than this test was made for", writes.len());
    alone.settle().await;
    let right = board(&alone);
    for lost in [false, true] {
        for at in writes.clone() {
            let mut world = busy().await;
            if lost {
                // It is carried out, and the one who called does not live to hear of it.
                world.dynamodb.fail(Rule::new(Fault::AnswerLost).from(RECONCILE).after(at - 1).times(1));
                world.dynamodb.fail(Rule::new(Fault::Unreachable).from(RECONCILE).after(at - 1));
            } else {
                world.dynamodb.crash_at(RECONCILE, at);
            }
            let _died = world.try_by(&world.app, world.stream_event()).await;
            for _ in 0..3 {
                world.pass(15 * 60 + 1);
                let _died = world.try_by(&world.app, json!({"schedule": "due"})).await;
            }
            world.dynamodb.clear_faults();
            world.settle().await;
            assert_eq!(board(&world), right, "died at call {at}, lost: {lost}");
        }
    }
}

#[tokio::test]
async fn a_table_that_fails_is_an_error_and_its_items_stay_due() {
    let mut world = busy().await;
    world.dynamodb.fail(Rule::new(Fault::ServerError).from(RECONCILE));
    let failed = world.try_by(&world.app, world.stream_event()).await;
    assert!(matches!(failed, Err(adapters::Error::Table { .. })), "{failed:?}");
    world.dynamodb.clear_faults();
    assert!(!world.owed().is_empty());
    world.settle().await;
    assert_eq!(board(&world)[0][2], json!(true));
}
