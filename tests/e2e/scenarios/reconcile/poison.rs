//! An item that can never be read: it stays due until somebody mends it, tells of itself, and holds nothing else up.

use domain::ids::RepositoryId;
use serde_json::{Value, json};

use super::World;
use super::faults::{a_turn, conflict, linked, settled};
use super::world::REPOSITORY;

/// After this long the template's alarm for what is overdue goes off, seconds.
const ALARM: i64 = 30 * 60;

/// Two cards in review, of which one's pull request has a row that cannot be read.
async fn poisoned() -> (World, [u64; 2]) {
    let mut world = World::new().await;
    world.task("aaaaaaa1", "pr_submitted");
    world.task("bbbbbbb2", "pr_submitted");
    let opened = [world.open("A [kid: #aaaaaaa1]", "a.rs"), world.open("B [kid: #bbbbbbb2]", "b.rs")];
    for event in &opened {
        world.deliver(event).await;
    }
    let [poisoned, other] = opened.map(|event| event.number());
    change(&world, poisoned, &json!({"draft": "perhaps"}));
    (world, [poisoned, other])
}

fn change(world: &World, number: u64, changes: &Value) {
    let key = json!({"repository_id": world.repository_id.to_string(), "item": format!("pr#{number}")});
    world.dynamodb.change("PullRequests", &key, changes);
}

/// Half a day, three quarters of an hour at a time; gives what the last run told.
async fn half_a_day(world: &mut World) -> Value {
    let mut told = Value::Null;
    for _ in 0..16 {
        world.pass(45 * 60 + 1);
        world.stream().await;
        world.due().await;
        told = serde_json::to_value(world.due().await).unwrap();
    }
    told
}

#[tokio::test]
async fn a_row_that_cannot_be_read_holds_up_nothing_else_and_stays_due() {
    let (mut world, [poisoned, other]) = poisoned().await;
    world.stream().await;
    // Nobody is told of the merges, of a new one, or that a card was planted wrong: the resync and the scan find all of it.
    world.pass(60);
    world.hub().merge(REPOSITORY, poisoned);
    world.hub().merge(REPOSITORY, other);
    world.task("ccccccc3", "pr_submitted");
    world.open("C [kid: #ccccccc3]", "c.rs");
    world.task("ddddddd4", "pr_submitted");
    let links = world.read("bbbbbbb2")["pull_requests"].clone();
    world.change_task("ddddddd4", &json!({"pull_requests": links}));
    half_a_day(&mut world).await;
    let told = half_a_day(&mut world).await;
    assert_eq!((world.status("aaaaaaa1").as_str(), world.status("bbbbbbb2").as_str()), ("pr_submitted", "done"));
    assert!(!world.read("ccccccc3")["pull_request"].is_null(), "a new one is found");
    assert_eq!(world.read("ddddddd4")["pull_requests"], json!({}), "the scan goes on");
    let owed: Vec<_> = world.owed().iter().map(|item| item["number"].clone()).collect();
    assert!(owed.contains(&json!(poisoned)), "{owed:?}");
    assert!(told["oldest_due_seconds"].as_i64() > Some(ALARM), "{told}");
    change(&world, poisoned, &json!({"draft": false}));
    half_a_day(&mut world).await;
    assert_eq!(world.status("aaaaaaa1"), "done", "once it is mended");
}

/// Times that a hand or a script wrote, of which no integer holds one.
fn odd_times(world: &World) -> [Value; 2] {
    [json!(world.now.as_second() as f64 - 0.5), json!(-1e30)]
}

#[tokio::test]
async fn an_item_that_is_due_at_an_odd_time_is_overdue_and_holds_up_nothing_else() {
    for which in [0, 1] {
        let mut world = World::new().await;
        let number = linked(&mut world, "aaaaaaa1", "a.rs").await;
        linked(&mut world, "bbbbbbb2", "b.rs").await;
        let odd = odd_times(&world)[which].clone();
        change(&world, number, &json!({"next_check_at": odd}));
        world.due().await;
        assert_eq!((conflict(&world, "bbbbbbb2"), conflict(&world, "aaaaaaa1")), (json!(false), json!(false)), "{odd}");
        // The same of a resync: nobody is told of the merges.
        a_turn(&mut world).await;
        let sync = json!({"repository_id": world.repository_id.to_string(), "item": "sync"});
        world.hub().merge(REPOSITORY, number);
        world.dynamodb.change("PullRequests", &sync, &json!({"next_check_at": odd_times(&world)[which]}));
        world.due().await;
        assert_eq!(world.status("aaaaaaa1"), "done", "{odd}");
        world.pass(60);
        world.hub().merge(REPOSITORY, number + 1);
        world.dynamodb.change("PullRequests", &sync, &json!({"next_check_at": odd_times(&world)[which]}));
        world.reconcile(json!({"resync": "all"})).await;
        assert_eq!(world.status("bbbbbbb2"), "done", "{odd}");
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_stays_due_since_its_odd_time() {
    let (mut world, [poisoned, _]) = poisoned().await;
    world.stream().await;
    world.pass(2 * 60 * 60);
    change(&world, poisoned, &json!({"next_check_at": -1e30}));
    for _ in 0..2 {
        world.pass(60);
        let told = world.due().await;
        assert!(told.oldest_due_seconds > Some(ALARM), "{told:?}");
    }
    change(&world, poisoned, &json!({"draft": false}));
    world.due().await;
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(false), "once it is mended");
}

#[tokio::test]
async fn odd_keys_at_the_end_of_a_page_hide_no_row_behind_them() {
    let mut world = World::new().await;
    let number = linked(&mut world, "aaaaaaa1", "a.rs").await;
    let row = world.item(number);
    let spellings = ["1?a", "+9?", " 9?", "09?"];
    let mut found = Vec::new();
    for (odd, id) in spellings.into_iter().zip(5_000_000..) {
        let put = |item: String, changes: Value| {
            let mut row = row.clone();
            let key = json!({"repository_id": id.to_string(), "item": item});
            row.as_object_mut().unwrap().extend([key, changes].iter().flat_map(|of| of.as_object().unwrap().clone()));
            world.dynamodb.put("PullRequests", &row);
        };
        // A page of them, and more: they come first.
        for at in 100..350 {
            put(format!("pr#{}", odd.replace('?', &at.to_string())), json!({"draft": "perhaps"}));
        }
        for number in [2, 3, 2_000] {
            put(format!("pr#{number}"), json!({"number": number}));
        }
        let mut after = None;
        loop {
            let (rows, next) = world.board_of_reconcile().stored_in(RepositoryId(id), after).await.unwrap();
            found.extend(rows.iter().map(|row| (odd, row.snapshot.number.0)));
            after = next;
            if after.is_none() {
                break;
            }
        }
    }
    let all = spellings.into_iter().flat_map(|odd| [2, 2_000, 3].map(|number| (odd, number)));
    assert_eq!(found, all.collect::<Vec<_>>());
}

#[tokio::test]
async fn the_scan_leaves_out_a_card_behind_whose_id_it_would_go_on_elsewhere() {
    let world = World::new().await;
    let id = world.task("aaaaaaa1", "pr_submitted");
    for (name, odd) in [("prefix", "ffffffff".to_owned()), ("id", id.to_uppercase())] {
        let mut copy = world.read("aaaaaaa1");
        copy[name] = json!(odd);
        world.dynamodb.put("Tasks", &copy);
    }
    let (tasks, _) = world.board_of_reconcile().all_tasks(None).await.unwrap();
    assert_eq!(tasks.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), [id]);
}

#[tokio::test]
async fn what_is_noted_of_an_installation_that_cannot_be_read_holds_up_none_of_its_pull_requests() {
    let mut world = World::new().await;
    world.task("aaaaaaa1", "pr_submitted");
    let opened = world.open("A [kid: #aaaaaaa1]", "a.rs");
    world.deliver(&opened).await;
    world.stream().await;
    let other = world.open("Other", "a.rs");
    let moved = world.hub().merge(REPOSITORY, other.number());
    world.deliver(&moved).await;
    let items = world.dynamodb.scan("PullRequests").into_iter();
    let noted = items.filter(|item| item["repository_id"].as_str().is_some_and(|id| id.starts_with("installation:")));
    let keys: Vec<_> =
        noted.map(|item| json!({"repository_id": item["repository_id"], "item": item["item"]})).collect();
    assert!(!keys.is_empty());
    keys.iter().for_each(|key| world.dynamodb.change("PullRequests", key, &json!({"attempts": "many"})));
    half_a_day(&mut world).await;
    assert_eq!(world.read("aaaaaaa1")["has_merge_conflict"], true);
}

#[tokio::test]
async fn a_base_whose_row_cannot_be_read_is_written_anew_by_its_next_move() {
    for by_push in [true, false] {
        let mut world = World::new().await;
        settled(&mut world, "aaaaaaa1", "a.rs").await;
        let other = world.open("Other", "z.rs");
        let moved = world.hub().merge(REPOSITORY, other.number());
        world.deliver(&moved).await;
        world.stream().await;
        world.once_more().await;
        a_turn(&mut world).await;
        let key = json!({"repository_id": world.repository_id.to_string(), "item": "base#main"});
        world.dynamodb.change("PullRequests", &key, &json!({"moves": "many"}));
        world.pass(60);
        if by_push {
            world.github.push_to_branch(REPOSITORY, "main", &["a.rs"]);
        } else {
            world.task("bbbbbbb2", "pr_submitted");
            let merged = world.open("B [kid: #bbbbbbb2]", "a.rs");
            let merged = world.hub().merge(REPOSITORY, merged.number());
            world.deliver(&merged).await;
            assert_eq!(world.status("bbbbbbb2"), "done", "the merge counts");
        }
        world.stream().await;
        a_turn(&mut world).await;
        assert_eq!(world.read("aaaaaaa1")["has_merge_conflict"], true, "by a push: {by_push}");
        assert!(world.read("aaaaaaa1").get("conflict_caused_by").is_none(), "of several moves nobody is blamed");
    }
}

#[tokio::test]
async fn a_list_of_those_served_that_cannot_be_read_is_no_reason_to_do_nothing() {
    let mut world = World::new().await;
    world.task("aaaaaaa1", "pr_submitted");
    world.open("A [kid: #aaaaaaa1]", "a.rs");
    let key = json!({"repository_id": "installations", "item": "served"});
    world.dynamodb.change("PullRequests", &key, &json!({"installations": "all"}));
    a_turn(&mut world).await;
    a_turn(&mut world).await;
    assert_eq!(world.read("aaaaaaa1")["has_merge_conflict"], false, "of the App's own installation");
}
