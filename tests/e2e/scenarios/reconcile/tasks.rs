//! Several tasks on one pull request, several pull requests on one task, and tasks that people move.

use domain::contract::reconcile::Outcome;
use fake_github::NewPullRequest;
use serde_json::json;

use super::World;
use super::faults::SAML;
use super::world::REPOSITORY;

#[tokio::test]
async fn a_merge_that_no_webhook_told_moves_every_task_it_names() {
    let mut world = World::new().await;
    world.task("aaaaaaa1", "pr_submitted");
    world.task("bbbbbbb2", "pr_submitted");
    let opened = world.open("Two [kid: #aaaaaaa1] at once [kid: #bbbbbbb2]", "a.rs");
    world.deliver(&opened).await;
    world.hub().merge(REPOSITORY, opened.number());
    let summary = world.stream().await;
    assert_eq!(world.read("aaaaaaa1")["status"], "done");
    assert_eq!(world.read("bbbbbbb2")["status"], "done");
    assert_eq!((summary.tasks_moved, summary.outcome), (2, Outcome::Done));
}

#[tokio::test]
async fn an_updated_at_that_is_no_time_counts_as_absent_and_stays_as_it_is() {
    let mut world = World::new().await;
    for written in [json!("yesterday"), json!(7), json!(null), json!("2026-01-01T00:00:00")] {
        world.put_task("aaaaaaa1", &json!({"title": "a card", "status": "pr_submitted", "updated_at": written}));
        let opened = world.open("Work [kid: #aaaaaaa1]", "a.rs");
        world.deliver(&opened).await;
        let merged = world.hub().merge(REPOSITORY, opened.number());
        world.deliver(&merged).await;
        let task = world.read("aaaaaaa1");
        // Written on condition of what stood there, whatever it was.
        assert_eq!((&task["status"], task.get("updated_at")), (&json!("done"), Some(&written)));
    }
}

#[tokio::test]
async fn an_item_that_is_no_task_stops_no_task_of_the_same_title() {
    let mut world = World::new().await;
    world.put_task("aaaaaaa1", &json!({"title": "a card", "status": 7}));
    world.task("bbbbbbb2", "pr_submitted");
    // Its id is none, and begins as the tag does.
    let junk = json!({"prefix": "bbbbbbb2", "id": "bbbbbbb2-junk", "title": "a card", "status": "pr_submitted"});
    world.dynamodb.put("Tasks", &junk);
    let opened = world.open("Both [kid: #aaaaaaa1] [kid: #bbbbbbb2]", "a.rs");
    world.deliver(&opened).await;
    let merged = world.hub().merge(REPOSITORY, opened.number());
    world.deliver(&merged).await;
    assert_eq!(world.read("bbbbbbb2")["status"], "done");
    assert_eq!(world.read("aaaaaaa1")["status"], 7);
    world.move_task("aaaaaaa1", "pr_submitted");
    world.settle().await;
    assert_eq!(world.read("aaaaaaa1")["status"], "done");
}

#[tokio::test]
async fn the_second_of_two_pull_requests_may_be_merged_first() {
    let mut world = World::new().await;
    world.task("aaaaaaa1", "pr_submitted");
    let first = world.open("First [kid: #aaaaaaa1]", "a.rs");
    let second = world.open("Second [kid: #aaaaaaa1]", "b.rs");
    world.deliver(&first).await;
    world.deliver(&second).await;
    world.stream().await;
    world.pass(1);
    let merged = world.hub().merge(REPOSITORY, second.number());
    world.deliver(&merged).await;
    world.stream().await;
    let task = world.read("aaaaaaa1");
    assert_eq!(task["status"], "done");
    let current = format!("{}#{}", world.repository_id, first.number());
    assert_eq!(task["pull_request"], json!(current), "the open one is current");
    world.pass(1);
    world.hub().close(REPOSITORY, first.number());
    world.settle().await;
    let task = world.read("aaaaaaa1");
    let current = format!("{}#{}", world.repository_id, second.number());
    assert_eq!((&task["pull_request"], &task["status"]), (&json!(current), &json!("done")));
}

#[tokio::test]
async fn pull_requests_closed_and_opened_in_every_order_leave_the_right_one_current() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut world = World::new().await;
        world.task("aaaaaaa1", "pr_submitted");
        let mut numbers = Vec::new();
        for at in 0..3 {
            let opened = world.open(&format!("Try {at} [kid: #aaaaaaa1]"), "a.rs");
            numbers.push(opened.number());
            world.deliver(&opened).await;
        }
        for (closed, at) in order.into_iter().enumerate() {
            world.pass(1);
            // Every second one is found by reconcile alone.
            let event = world.hub().close(REPOSITORY, numbers[at]);
            if closed % 2 == 0 {
                world.deliver(&event).await;
            }
            world.settle().await;
            let left = order[closed + 1..].iter().max().or(order.iter().max()).expect("three");
            let current = format!("{}#{}", world.repository_id, numbers[*left]);
            assert_eq!(world.read("aaaaaaa1")["pull_request"], json!(current), "{order:?} after {closed}");
        }
        let reopened = world.hub().reopen(REPOSITORY, numbers[order[0]]);
        world.settle().await;
        let current = format!("{}#{}", world.repository_id, reopened.number());
        assert_eq!(world.read("aaaaaaa1")["pull_request"], json!(current), "{order:?} reopened");
        assert_eq!(world.read("aaaaaaa1")["status"], "pr_submitted");
    }
}

#[tokio::test]
async fn a_reworked_task_is_not_closed_by_its_old_merge() {
    let mut world = World::new().await;
    world.task("aaaaaaa1", "pr_submitted");
    let opened = world.open("First [kid: #aaaaaaa1]", "a.rs");
    world.deliver(&opened).await;
    let merged = world.hub().merge(REPOSITORY, opened.number());
    world.deliver(&merged).await;
    world.stream().await;
    world.move_task("aaaaaaa1", "pr_submitted");
    world.deliver(&merged).await;
    world.settle().await;
    assert_eq!(world.read("aaaaaaa1")["status"], "pr_submitted");
    let again = world.open("Second [kid: #aaaaaaa1]", "b.rs");
    world.hub().merge(REPOSITORY, again.number());
    world.settle().await;
    assert_eq!(world.read("aaaaaaa1")["status"], "done");
}

#[tokio::test]
async fn a_task_that_is_submitted_after_its_merge_moves_within_a_week() {
    let mut world = World::new().await;
    world.task("aaaaaaa1", "in_progress");
    let opened = world.open("Early [kid: #aaaaaaa1]", "a.rs");
    world.deliver(&opened).await;
    let merged = world.hub().merge(REPOSITORY, opened.number());
    world.deliver(&merged).await;
    world.stream().await;
    assert_eq!(world.read("aaaaaaa1")["status"], "in_progress");
    world.pass(6 * 24 * 3600);
    world.due().await;
    assert_eq!(world.item(opened.number())["due"], "open", "still waiting");
    world.move_task("aaaaaaa1", "pr_submitted");
    world.settle().await;
    assert_eq!(world.read("aaaaaaa1")["status"], "done");
}

/// A merge whose task is submitted after it, and another pull request that is open: opened after the merged one, or before.
async fn submitted_beside_another(newer: bool) -> (World, u64) {
    let mut world = World::new().await;
    world.task("aaaaaaa1", "in_progress");
    world.task("bbbbbbb2", "pr_submitted");
    let mut other = None;
    if !newer {
        other = Some(world.open("Other [kid: #bbbbbbb2]", "b.rs"));
    }
    let opened = world.open("Early [kid: #aaaaaaa1]", "a.rs");
    world.deliver(&opened).await;
    let merged = world.hub().merge(REPOSITORY, opened.number());
    world.deliver(&merged).await;
    world.stream().await;
    let other = other.unwrap_or_else(|| world.open("Other [kid: #bbbbbbb2]", "b.rs"));
    world.deliver(&other).await;
    world.stream().await;
    world.pass(3600);
    (world, other.number())
}

#[tokio::test]
async fn only_a_newer_open_pull_request_that_cannot_be_read_holds_a_merge_up() {
    for newer in [true, false] {
        let (mut world, other) = submitted_beside_another(newer).await;
        world.github.bar(REPOSITORY, Some(other), SAML);
        submit(&world);
        hours(&mut world).await;
        let status = if newer { "pr_submitted" } else { "done" };
        assert_eq!(world.read("aaaaaaa1")["status"], status, "newer: {newer}");
        world.github.unbar();
        hours(&mut world).await;
        assert_eq!(world.read("aaaaaaa1")["status"], "done", "newer: {newer}");
    }
}

#[tokio::test]
async fn a_newer_open_pull_request_whose_row_cannot_be_written_was_read() {
    let (mut world, other) = submitted_beside_another(true).await;
    let key = json!({"repository_id": world.repository_id.to_string(), "item": format!("pr#{other}")});
    world.dynamodb.change("PullRequests", &key, &json!({"draft": "perhaps"}));
    submit(&world);
    hours(&mut world).await;
    assert_eq!(world.read("aaaaaaa1")["status"], "done");
}

/// The board's own writing, which comes after the merge.
fn submit(world: &World) {
    world.change_task("aaaaaaa1", &json!({"status": "pr_submitted", "updated_at": world.now.to_string()}));
}

async fn hours(world: &mut World) {
    for _ in 0..10 {
        world.pass(15 * 60 + 1);
        world.due().await;
        world.stream().await;
    }
}

#[tokio::test]
async fn a_merge_waits_a_week_for_its_task_and_no_longer() {
    let mut world = World::new().await;
    world.task("aaaaaaa1", "in_progress");
    let opened = world.open("Early [kid: #aaaaaaa1]", "a.rs");
    world.deliver(&opened).await;
    let merged = world.hub().merge(REPOSITORY, opened.number());
    world.deliver(&merged).await;
    world.stream().await;
    world.pass(7 * 24 * 3600 + 60);
    world.due().await;
    assert!(world.owed().is_empty(), "{:#?}", world.owed());
    assert!(world.item(opened.number())["ttl"].is_number());
}

#[tokio::test]
async fn a_tag_that_was_taken_away_unseen_is_unlinked() {
    let mut world = World::new().await;
    world.task("aaaaaaa1", "pr_submitted");
    let opened = world.open("Mine [kid: #aaaaaaa1]", "a.rs");
    world.deliver(&opened).await;
    world.stream().await;
    world.hub().retitle(REPOSITORY, opened.number(), "Not mine");
    world.settle().await;
    let task = world.read("aaaaaaa1");
    assert_eq!((&task["pull_requests"], task.get("pull_request")), (&json!({}), None));
}

fn from_a_fork(title: &str) -> NewPullRequest {
    NewPullRequest { from_fork: true, author: "stranger".to_owned(), ..NewPullRequest::titled(title) }
}

#[tokio::test]
async fn a_fork_links_once_its_author_is_seen_to_write() {
    for (permission, links) in [("admin", true), ("maintain", true), ("write", true), ("read", false), ("none", false)]
    {
        let mut world = World::new().await;
        world.task("aaaaaaa1", "pr_submitted");
        world.github.set_collaborator(REPOSITORY, "stranger", permission);
        let opened = world.open_with(from_a_fork("Fork [kid: #aaaaaaa1]"));
        world.deliver(&opened).await;
        assert!(world.read("aaaaaaa1").get("pull_request").is_none());
        world.settle().await;
        assert_eq!(world.read("aaaaaaa1").get("pull_request").is_some(), links, "{permission}");
        let merged = world.hub().merge(REPOSITORY, opened.number());
        world.deliver(&merged).await;
        world.settle().await;
        let status = if links { "done" } else { "pr_submitted" };
        assert_eq!(world.read("aaaaaaa1")["status"], status, "{permission}");
    }
}

#[tokio::test]
async fn a_fork_that_is_heard_of_after_its_merge_moves_its_task_too() {
    let mut world = World::new().await;
    world.task("aaaaaaa1", "pr_submitted");
    world.github.set_collaborator(REPOSITORY, "stranger", "write");
    let opened = world.open_with(from_a_fork("Fork [kid: #aaaaaaa1]"));
    let merged = world.hub().merge(REPOSITORY, opened.number());
    world.deliver(&merged).await;
    assert_eq!(world.read("aaaaaaa1")["status"], "pr_submitted");
    world.stream().await;
    world.settle().await;
    assert_eq!(world.read("aaaaaaa1")["status"], "done");
}

#[tokio::test]
async fn one_that_was_closed_and_reopened_within_a_second_is_open() {
    let mut world = World::new().await;
    world.task("aaaaaaa1", "pr_submitted");
    let opened = world.open("Work [kid: #aaaaaaa1]", "a.rs");
    world.deliver(&opened).await;
    world.pass(5);
    let closed = world.hub().close(REPOSITORY, opened.number());
    let reopened = world.hub().reopen(REPOSITORY, opened.number());
    world.deliver(&reopened).await;
    world.deliver(&closed).await;
    assert_eq!(world.item(opened.number())["state"], "closed", "of two facts of one second the higher is kept");
    world.stream().await;
    // A read is believed once the second that it tells of is over, by anybody's clock.
    world.pass(62);
    world.due().await;
    assert_eq!(world.item(opened.number())["state"], "open");
    assert_eq!(world.read("aaaaaaa1")["has_merge_conflict"], false);
}
