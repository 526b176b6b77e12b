//! Who has their turn where one has very much to do, hangs, or is limited.

use std::time::Duration;

use adapters::telemetry::Invocation;
use domain::contract::reconcile::{Event, Summary};
use fake_github::{Fault, FaultKind, NewPullRequest, Selection};
use local_aws::{Fault as Trouble, Rule};
use serde_json::{Value, json};
use stack::task_id;

use super::World;
use super::faults::{a_turn, conflict, linked, settled};
use super::world::REPOSITORY;

/// An installation that asks for so much, and that GitHub has limited for long: what it has to do costs no request.
const BIG: u64 = 4_000_000;

async fn due_within(world: &World, left: Duration) -> Summary {
    let event = Event::read(json!({"schedule": "due"})).unwrap();
    reconcile::handle(&world.app, event, &Invocation::begin("a-test"), world.now, left).await.unwrap()
}

fn limit_big(world: &World) {
    let until = world.now.as_second() + 24 * 3600;
    let blocked = json!({"since": 0, "until": until, "attempts": 0, "because": "GitHub asks to wait"});
    let partition = format!("installation:{BIG}");
    let item = json!({"repository_id": partition, "item": "sync", "installation_id": BIG, "blocked": blocked});
    world.dynamodb.put("PullRequests", &item);
}

fn scan(world: &World) -> Value {
    world.work_item("tasks", "scan").expect("the scan is on the work list")
}

#[tokio::test]
async fn thousands_of_overdue_resyncs_of_one_installation_delay_no_other() {
    let mut world = World::new().await;
    a_turn(&mut world).await;
    limit_big(&world);
    let (now, shard) = (world.now.as_second(), format!("resync-{}", BIG % 4));
    for at in 0..3_000 {
        let item = json!({
            "repository_id": (5_000_000 + at).to_string(), "item": "sync", "repository": format!("big/r{at}"),
            "installation_id": BIG, "due": shard, "next_check_at": now - 3600, "attempts": 0, "version": 1,
        });
        world.dynamodb.put("PullRequests", &item);
    }
    world.pass(15 * 60);
    let before = world.sync();
    assert!(before["next_check_at"].as_i64() <= Some(world.now.as_second()), "it is due");
    world.dynamodb.clear_calls();
    world.due().await;
    assert!(world.sync()["version"].as_u64() > before["version"].as_u64(), "it was claimed");
    // To see whose turn it is takes no more of each resync than that: whole ones are more than the function's memory.
    let batches = world.dynamodb.calls().into_iter().filter(|call| call.operation == "BatchGetItem");
    let asked = batches.map(|call| call.body["RequestItems"]["PullRequests"].clone());
    let whole = asked.filter(|asked| asked["ProjectionExpression"].is_null());
    let whole: usize = whole.map(|asked| asked["Keys"].as_array().map_or(0, Vec::len)).sum();
    assert!(whole < 100, "{whole} were read whole");
}

#[tokio::test]
async fn thousands_of_overdue_answers_of_one_repository_hide_no_other() {
    let mut world = World::new().await;
    settled(&mut world, "aaaaaaa1", "a.rs").await;
    limit_big(&world);
    let (row, now) = (world.item(1), world.now.as_second());
    for at in 0..6_000 {
        let mut item = row.clone();
        let changes = json!({
            "repository_id": "5000000", "item": format!("pr#{}", at + 1), "number": at + 1, "installation_id": BIG,
            "due": "open", "check": "later", "next_check_at": now - 3600,
        });
        item.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        world.dynamodb.put("PullRequests", &item);
    }
    linked(&mut world, "bbbbbbb2", "b.rs").await;
    world.pass(1);
    world.due().await;
    assert_eq!(conflict(&world, "bbbbbbb2"), json!(false));
}

#[tokio::test(start_paused = true)]
async fn a_merge_whose_repository_hangs_delays_no_fresh_pull_request() {
    let mut world = World::new().await;
    world.github.create_repository("acme/other", true);
    a_turn(&mut world).await;
    world.task("aaaaaaa1", "in_progress");
    let opened = world.open("Early [kid: #aaaaaaa1]", "a.rs");
    let merged = world.hub().merge(REPOSITORY, opened.number());
    world.deliver(&merged).await;
    world.stream().await;
    a_turn(&mut world).await;
    world.pass(3600);
    world.change_task("aaaaaaa1", &json!({"status": "pr_submitted", "updated_at": world.now.to_string()}));
    world.pass(3600);
    world.task("bbbbbbb2", "pr_submitted");
    world.github.set_settle_reads(0);
    let fresh = world.hub().open_pull_request("acme/other", NewPullRequest::titled("Fresh [kid: #bbbbbbb2]"));
    world.deliver(&fresh).await;
    world.github.fault(Fault::query("widgets", FaultKind::Hang));
    world.github.fault(Fault::always("/repos/acme/widgets/pulls?", FaultKind::Hang));
    due_within(&world, Duration::from_secs(9)).await;
    assert_eq!(conflict(&world, "bbbbbbb2"), json!(false));
    assert_eq!(world.read("aaaaaaa1")["status"], "pr_submitted", "it could not be read whether a newer one is open");
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_told_to_other_environments_before_the_slowest_installation_is_done() {
    let mut world = World::new().await;
    world.github.create_repository("globex/tools", true);
    world.github.install("globex", Selection::All);
    world.task("bbbbbbb2", "pr_submitted");
    let slow = world.hub().open_pull_request("globex/tools", NewPullRequest::titled("Slow [kid: #bbbbbbb2]"));
    world.deliver(&slow).await;
    linked(&mut world, "aaaaaaa1", "a.rs").await;
    world.github.fault(Fault::always("globex", FaultKind::Hang));
    world.github.fault(Fault::always("/repos/acme/widgets/pulls/", FaultKind::TooMany(600)));
    let partition = format!("installation:{}", world.installation);
    let noted = async {
        tokio::time::sleep(Duration::from_secs(8)).await;
        world.work_item(&partition, "sync").and_then(|noted| noted.get("blocked").cloned())
    };
    let (_, noted) = tokio::join!(world.stream(), noted);
    assert!(noted.is_some(), "noted after 8 s");
}

#[tokio::test]
async fn the_default_installation_has_one_lane_and_one_note_of_its_limits() {
    let mut world = World::new().await;
    let number = linked(&mut world, "aaaaaaa1", "a.rs").await;
    let key = json!({"repository_id": world.repository_id.to_string(), "item": format!("pr#{number}")});
    world.dynamodb.change("PullRequests", &key, &json!({"installation_id": null}));
    world.github.fault(Fault::always("/pulls/", FaultKind::TooMany(600)));
    world.stream().await;
    let blocked = |name: &str| {
        world.work_item(&format!("installation:{name}"), "sync").is_some_and(|noted| noted.get("blocked").is_some())
    };
    assert!(blocked(&world.installation.to_string()) && !blocked("default"));
}

#[tokio::test(start_paused = true)]
async fn a_comparison_of_cards_that_has_no_time_goes_on_where_it_was() {
    let mut world = World::new().await;
    settled(&mut world, "aaaaaaa1", "a.rs").await;
    let row = world.item(1);
    for number in 2..=1_000 {
        let mut item = row.clone();
        let title = "Without a tag";
        let changes = json!({
            "item": format!("pr#{number}"), "number": number, "state": "closed", "title": title, "task_ids": [], "tags": [],
        });
        item.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        world.dynamodb.put("PullRequests", &item);
    }
    let compared_at = world.sync()["compared_at"].clone();
    world.pass(25 * 3600);
    // A second for each page, and some for finding out what is due.
    let late = Rule::new(Trouble::Delay(Duration::from_secs(1))).operation("Query");
    world.dynamodb.fail(late);
    let (mut stopped, mut runs) = (Vec::new(), 0);
    while world.sync()["compared_at"] == compared_at {
        runs += 1;
        assert!(runs < 20, "{stopped:?}");
        world.pass(60);
        due_within(&world, Duration::from_millis(11_500)).await;
        stopped.extend(world.sync()["comparing"]["after"].as_u64());
    }
    assert!(stopped.len() >= 2 && stopped.is_sorted_by(|a, b| a != b), "{stopped:?}");
    assert!(world.sync()["bases"].get("main").is_some());
}

/// Cards, each with a row of its own; of every twenty-fifth, which are given, something else stands on the board than in the row.
fn cards(world: &World, count: usize) -> Vec<String> {
    let (card, row, id) = (world.read("aaaaaaa1"), world.item(1), "5000000");
    let linked = card["pull_requests"].as_object().unwrap().values().next().unwrap();
    let mut wrong = Vec::new();
    for number in 1..=count {
        let (digits, key) = (format!("{number:08x}"), format!("{id}#{number}"));
        let is_wrong = number % 25 == 0;
        world.put_task(
            &digits,
            &json!({"title": "a card", "status": "pr_submitted", "repository_id": id, "bound_name": card["bound_name"],
                "repository": card["repository"], "pull_requests": {&key: linked}, "pull_request": key,
                "conflict_checked_at": card["conflict_checked_at"], "has_merge_conflict": is_wrong}),
        );
        let mut row = row.clone();
        let changes = json!({
            "repository_id": id, "item": format!("pr#{number}"), "number": number, "tags": [], "task_ids": [task_id(&digits)],
            "title": format!("Work [kid: #{digits}]"),
        });
        row.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        world.dynamodb.put("PullRequests", &row);
        wrong.extend(is_wrong.then_some(digits));
    }
    wrong
}

#[tokio::test(start_paused = true)]
async fn a_scan_of_a_slow_page_stops_in_time_and_goes_on_behind_the_last_card_it_settled() {
    let mut world = World::new().await;
    settled(&mut world, "aaaaaaa1", "a.rs").await;
    let wrong = cards(&world, 1_000);
    let linked = world.read("00000001")["pull_requests"]["5000000#1"].clone();
    let invented: Value = (1..=30).map(|number| (format!("6000000#{number}"), linked.clone())).collect();
    world.put_task("eeeeeee1", &json!({"title": "a card", "status": "pr_submitted", "pull_requests": invented}));
    world.pass(25 * 3600);
    // All the rows of the one page that there is would take longer than a run, and so would all that this card invents.
    world.dynamodb.fail(Rule::new(Trouble::Delay(Duration::from_secs(1))).operation("BatchGetItem"));
    let mut stopped = Vec::new();
    while scan(&world)["next_check_at"].as_i64() < Some(world.now.as_second() + 1800) {
        assert!(stopped.len() < 20, "{stopped:?}");
        world.pass(60);
        let left = Duration::from_secs(12);
        let ran = tokio::time::timeout(left, due_within(&world, left)).await;
        ran.expect("it ends before Lambda ends it");
        stopped.extend(scan(&world)["after"].as_array().cloned());
    }
    assert!(stopped.len() >= 2 && stopped.is_sorted_by(|a, b| a != b), "{stopped:?}");
    wrong.iter().for_each(|digits| assert_eq!(conflict(&world, digits), json!(false), "{digits}"));
}

#[tokio::test]
async fn a_scan_for_which_no_time_is_left_stays_as_overdue_as_it_was() {
    let mut world = World::new().await;
    a_turn(&mut world).await;
    world.pass(25 * 3600);
    let before = scan(&world);
    due_within(&world, Duration::from_secs(4)).await;
    let after = scan(&world);
    assert_eq!(after["next_check_at"], before["next_check_at"]);
    assert!(after["version"].as_u64() > before["version"].as_u64(), "it was claimed");
}
