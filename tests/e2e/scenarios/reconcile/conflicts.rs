//! What counts as a conflict, when it is written, and what a moved base costs.

use adapters::board::Claim;
use domain::ids::RepositoryId;
use domain::item::{Item, ItemKey};
use fake_github::{NewPullRequest, StaleHead};
use serde_json::{Value, json};

use super::World;
use super::faults::{READ, a_turn, conflict, linked, merge_another, settled};
use super::world::REPOSITORY;

#[tokio::test]
async fn a_merge_into_the_base_makes_another_conflict_and_is_named_and_a_push_ends_it() {
    let mut world = World::new().await;
    let number = linked(&mut world, "aaaaaaa1", "a.rs").await;
    assert_eq!(conflict(&world, "aaaaaaa1"), Value::Null);
    world.stream().await;
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(false));
    world.pass(5);
    let other = world.open("Other", "a.rs");
    let merged = world.hub().merge(REPOSITORY, other.number());
    world.deliver(&merged).await;
    let summary = world.stream().await;
    let task = world.read("aaaaaaa1");
    assert_eq!((&task["has_merge_conflict"], summary.conflicts_found), (&json!(true), 1));
    assert_eq!(task["conflict_caused_by"], merged.payload["pull_request"]["html_url"]);
    assert_eq!(task["conflict_checked_at"], json!(world.now.as_second()));
    world.pass(5);
    let pushed = world.hub().push_rebased(REPOSITORY, number);
    world.deliver(&pushed).await;
    let summary = world.stream().await;
    let task = world.read("aaaaaaa1");
    assert_eq!((&task["has_merge_conflict"], summary.conflicts_cleared), (&json!(false), 1));
    assert!(task.get("conflict_caused_by").is_none());
    world.once_more().await;
    assert!(world.owed().is_empty());
}

#[tokio::test]
async fn what_became_of_its_base_while_it_had_no_tag_is_asked_for_once_it_has_one_again() {
    let mut world = World::new().await;
    let number = settled(&mut world, "aaaaaaa1", "a.rs").await;
    // Keeps the base watched.
    settled(&mut world, "bbbbbbb2", "z.rs").await;
    world.pass(5);
    let retitled = world.hub().retitle(REPOSITORY, number, "Work");
    world.deliver(&retitled).await;
    merge_another(&mut world, "a.rs").await;
    world.stream().await;
    for _ in 0..2 {
        a_turn(&mut world).await;
    }
    let retitled = world.hub().retitle(REPOSITORY, number, "Work [kid: #aaaaaaa1]");
    world.deliver(&retitled).await;
    world.stream().await;
    a_turn(&mut world).await;
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(true));
}

#[tokio::test]
async fn one_that_github_cannot_tell_of_for_minutes_after_its_base_moved_stays_owed() {
    let mut world = World::new().await;
    let number = linked(&mut world, "aaaaaaa1", "a.rs").await;
    world.stream().await;
    world.settle().await;
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(false));
    world.github.set_settle_reads(1000);
    merge_another(&mut world, "a.rs").await;
    for _ in 0..6 {
        world.stream().await;
        world.pass(60);
        world.due().await;
    }
    assert_eq!(world.item(number)["due"], "open", "what is known of it is from before its base moved");
}

#[tokio::test]
async fn of_two_merges_none_is_named() {
    let mut world = World::new().await;
    linked(&mut world, "aaaaaaa1", "a.rs").await;
    world.stream().await;
    world.pass(5);
    for path in ["a.rs", "z.rs"] {
        let other = world.open("Other", path);
        let merged = world.hub().merge(REPOSITORY, other.number());
        world.deliver(&merged).await;
    }
    world.stream().await;
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(true));
    assert!(world.read("aaaaaaa1").get("conflict_caused_by").is_none());
}

#[tokio::test]
async fn no_answer_is_no_answer_and_is_asked_for_less_and_less_often() {
    let mut world = World::new().await;
    let number = linked(&mut world, "aaaaaaa1", "a.rs").await;
    world.stream().await;
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(false));
    world.github.set_settle_reads(1000);
    world.pass(5);
    let pushed = world.hub().push(REPOSITORY, number);
    world.deliver(&pushed).await;
    world.stream().await;
    for minutes in [1, 2, 5, 10, 15, 15] {
        let item = world.item(number);
        // A run's own clock goes on while it works.
        let next = item["next_check_at"].as_i64().unwrap() - world.now.as_second() - 60 * minutes;
        assert!((0..30).contains(&next), "{item:#}");
        assert_eq!((&item["check"], &item["mergeability"]), (&json!("later"), &json!("mergeable")));
        assert_eq!(conflict(&world, "aaaaaaa1"), json!(false), "the last answer stays");
        world.pass(60 * minutes + 30);
        world.due().await;
    }
}

#[tokio::test]
async fn an_unknown_mergeability_is_never_false() {
    let mut world = World::new().await;
    world.github.set_settle_reads(1000);
    linked(&mut world, "aaaaaaa1", "a.rs").await;
    world.stream().await;
    assert_eq!(conflict(&world, "aaaaaaa1"), Value::Null);
}

#[tokio::test]
async fn it_is_asked_again_within_one_invocation() {
    for (reads, known) in [(2, true), (3, false)] {
        let mut world = World::new().await;
        world.github.set_settle_reads(reads);
        linked(&mut world, "aaaaaaa1", "a.rs").await;
        world.stream().await;
        assert_eq!(conflict(&world, "aaaaaaa1").is_boolean(), known, "{reads} reads without an answer");
        assert_eq!(world.github.count(READ), 3);
    }
}

#[tokio::test]
async fn blocked_behind_unstable_and_draft_are_no_conflicts() {
    for state in ["blocked", "behind", "unstable", "draft", "has_hooks"] {
        let mut world = World::new().await;
        let number = linked(&mut world, "aaaaaaa1", "a.rs").await;
        world.github.set_mergeable_state(REPOSITORY, number, Some(state));
        world.stream().await;
        assert_eq!(conflict(&world, "aaaaaaa1"), json!(false), "{state}");
    }
}

#[tokio::test]
async fn a_conflict_from_before_the_push_is_not_believed() {
    for head in [StaleHead::Old, StaleHead::New] {
        let mut world = World::new().await;
        let number = linked(&mut world, "aaaaaaa1", "a.rs").await;
        world.stream().await;
        world.pass(5);
        let pushed = world.hub().push(REPOSITORY, number);
        world.deliver(&pushed).await;
        world.github.stale_false_once(REPOSITORY, number, head);
        let summary = world.stream().await;
        assert_eq!((conflict(&world, "aaaaaaa1"), summary.conflicts_found), (json!(false), 0), "{head:?}");
        assert_eq!(world.item(number)["head_sha"], pushed.payload["pull_request"]["head"]["sha"]);
        assert!(world.owed().is_empty());
    }
}

#[tokio::test]
async fn a_newer_head_brings_its_own_facts() {
    let mut world = World::new().await;
    let number = linked(&mut world, "aaaaaaa1", "a.rs").await;
    world.pass(5);
    let pushed = world.hub().push(REPOSITORY, number);
    world.stream().await;
    assert_eq!(world.item(number)["head_sha"], pushed.payload["pull_request"]["head"]["sha"]);
    assert_eq!(world.item(number)["checked_head_sha"], world.item(number)["head_sha"]);
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(false));
}

#[tokio::test]
async fn several_of_one_base_cost_one_list_and_few_single_reads() {
    let mut world = World::new().await;
    world.github.set_settle_reads(0);
    let mut numbers = Vec::new();
    for at in 0..30 {
        numbers.push(linked(&mut world, &format!("{at:08x}"), "a.rs").await);
    }
    for number in &numbers[..5] {
        world.github.set_unknown_in_lists(REPOSITORY, *number, true);
    }
    world.github.clear_requests();
    world.stream().await;
    assert_eq!((world.github.count("POST /graphql"), world.github.count(READ)), (1, 5));
    assert!(world.owed().is_empty());
}

#[tokio::test]
async fn a_moved_base_costs_a_query_a_hundred_and_writes_only_what_changed() {
    let mut world = World::new().await;
    world.github.set_settle_reads(0);
    for at in 0..150 {
        linked(&mut world, &format!("{at:08x}"), if at % 50 == 0 { "hot.rs" } else { "cold.rs" }).await;
    }
    world.stream().await;
    world.settle().await;
    world.pass(5);
    let other = world.open_with(NewPullRequest { paths: vec!["hot.rs".to_owned()], ..NewPullRequest::titled("Other") });
    let merged = world.hub().merge(REPOSITORY, other.number());
    world.deliver(&merged).await;
    world.github.clear_requests();
    world.dynamodb.clear_calls();
    let summary = world.stream().await;
    assert_eq!((summary.conflicts_found, summary.github_requests), (3, 2));
    let calls = world.dynamodb.calls();
    let of = |operation: &str| calls.iter().filter(|call| call.operation == operation).count();
    assert_eq!(of("TransactWriteItems"), 3, "one write to item and task each");
    assert_eq!((of("PutItem"), of("UpdateItem")), (0, 2), "the base is claimed and settled, nothing else is written");
    assert_eq!(world.read("00000032")["conflict_caused_by"], merged.payload["pull_request"]["html_url"]);
    assert_eq!(conflict(&world, "00000001"), json!(false));
}

#[tokio::test]
async fn moves_of_a_base_within_a_batch_are_one_piece_of_work() {
    let mut world = World::new().await;
    linked(&mut world, "aaaaaaa1", "a.rs").await;
    world.stream().await;
    for path in ["x.rs", "y.rs", "z.rs"] {
        let other = world.open("Other", path);
        let merged = world.hub().merge(REPOSITORY, other.number());
        world.deliver(&merged).await;
    }
    world.github.clear_requests();
    let before = world.stream_event();
    assert_eq!(before["Records"].as_array().map(Vec::len), Some(1));
    world.reconcile(before).await;
    world.once_more().await;
    assert!(world.owed().is_empty());
    let base = world.work_item(&world.repository_id.to_string(), "base#main").unwrap();
    assert!(base.get("movers").is_none() && base.get("check").is_none());
}

#[tokio::test]
async fn a_base_that_moves_during_its_check_is_checked_again() {
    let mut world = World::new().await;
    linked(&mut world, "aaaaaaa1", "a.rs").await;
    world.stream().await;
    let first = world.open("First", "x.rs");
    let merged = world.hub().merge(REPOSITORY, first.number());
    world.deliver(&merged).await;
    let key = ItemKey::base(RepositoryId(world.repository_id), "main");
    let claimed = world.board.claim(&key, &Claim::IfAsked, world.now.as_second() + 120).await.unwrap();
    let Some(Item::Base(base)) = claimed else { panic!("a base, not {claimed:?}") };
    let second = world.open("Second", "a.rs");
    let merged = world.hub().merge(REPOSITORY, second.number());
    world.deliver(&merged).await;
    assert!(!world.board.settle_base(&base).await.unwrap());
    world.stream().await;
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(true));
    world.once_more().await;
    assert!(world.owed().is_empty());
}
