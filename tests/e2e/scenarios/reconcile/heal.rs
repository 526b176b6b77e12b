//! Cards heal: whatever a hand or another writer put there, a resync that is asked for or the daily scan makes right.

use domain::ids::InstallationId;
use domain::served::Served;
use domain::sync::Blocked;
use fake_github::{Fault, FaultKind, NewPullRequest, Selection};
use serde_json::{Value, json};

use super::World;
use super::faults::{a_turn, conflict, linked, settled};
use super::world::REPOSITORY;

#[tokio::test]
async fn a_card_that_was_planted_wrong_is_right_after_a_resync_and_an_orphan_after_the_scan() {
    let mut world = World::new().await;
    let number = settled(&mut world, "aaaaaaa1", "a.rs").await;
    let right = world.read("aaaaaaa1");
    let mut wrong = right.clone();
    wrong["has_merge_conflict"] = json!(true);
    wrong["pull_requests"] = json!({});
    wrong.as_object_mut().unwrap().remove("pull_request");
    world.dynamodb.put("Tasks", &wrong);
    world.reconcile(json!({"resync": REPOSITORY})).await;
    let healed = world.read("aaaaaaa1");
    for name in ["pull_requests", "pull_request", "has_merge_conflict"] {
        assert_eq!(healed[name], right[name], "{name}");
    }
    // Nothing but itself leads to this one.
    world.task("bbbbbbb2", "pr_submitted");
    let mut orphan = world.read("bbbbbbb2");
    for name in ["pull_requests", "pull_request", "has_merge_conflict"] {
        orphan[name] = right[name].clone();
    }
    world.dynamodb.put("Tasks", &orphan);
    world.pass(24 * 60 * 60 + 1);
    world.due().await;
    world.pass(20);
    world.due().await;
    let healed = world.read("bbbbbbb2");
    assert_eq!(healed["pull_requests"], json!({}), "{healed:#}");
    assert!(healed.get("has_merge_conflict").is_none());
    assert_eq!(world.read("aaaaaaa1")["pull_request"], json!(format!("{}#{number}", world.repository_id)));
}

#[tokio::test]
async fn a_card_heals_whatever_shape_was_planted_and_its_merge_moves_it() {
    let mut world = World::new().await;
    let number = settled(&mut world, "aaaaaaa1", "a.rs").await;
    let right = world.read("aaaaaaa1");
    let (key, linked) = right["pull_requests"].as_object().unwrap().iter().next().unwrap();
    let with = |other: &str, value: Value| json!({"pull_requests": {key: linked, other: value}});
    let planted = [
        json!({"has_merge_conflict": "yes"}),
        json!({"has_merge_conflict": null, "conflict_caused_by": true}),
        json!({"conflict_checked_at": "now"}),
        json!({"pull_request": 7, "bound_name": []}),
        json!({"pull_requests": "none"}),
        json!({"pull_requests": [key]}),
        json!({"pull_requests": {key: {"state": "draft"}}}),
        with("424242#1", linked.clone()),
        with(&format!("0{key}"), linked.clone()),
        with(&format!("{}#4711", world.repository_id), json!("open")),
        json!({"repository_id": 424_242}),
        json!({"repository_id": "424242"}),
        json!({"title": 7, "history": {"long": "ago"}}),
    ];
    // Nothing but the row tells that this one is wrong.
    let bound = json!({"repository_id": "424242", "pull_requests": {"424242#1": linked}, "pull_request": "424242#1"});
    for planted in planted.iter().chain([&bound]) {
        for by_scan in [false, true] {
            world.change_task("aaaaaaa1", planted);
            if by_scan {
                world.pass(24 * 60 * 60 + 1);
                world.due().await;
                world.pass(20);
                world.due().await;
            } else {
                world.reconcile(json!({"resync": REPOSITORY})).await;
            }
            let (healed, row) = (world.read("aaaaaaa1"), world.item(number));
            for name in ["pull_request", "has_merge_conflict", "conflict_caused_by", "repository_id"] {
                assert_eq!(healed.get(name), right.get(name), "{planted}, by the scan: {by_scan}, {name}");
            }
            let mut linked = linked.clone();
            linked["checked_at"] = row["checked_at"].clone();
            assert_eq!(healed["pull_requests"], json!({key: linked}), "{planted}, by the scan: {by_scan}");
            assert_eq!(healed["conflict_checked_at"], row["checked_at"], "{planted}, by the scan: {by_scan}");
        }
    }
    for planted in planted {
        world.change_task("aaaaaaa1", &planted);
    }
    world.pass(5);
    let merged = world.hub().merge(REPOSITORY, number);
    world.deliver(&merged).await;
    // A card that was bound to another repository is let go first.
    world.once_more().await;
    assert_eq!(world.read("aaaaaaa1")["status"], "done");
}

#[tokio::test]
async fn of_a_full_record_the_time_of_the_last_merge_is_kept_though_the_merge_itself_is_not() {
    let mut world = World::new().await;
    let number = linked(&mut world, "aaaaaaa1", "a.rs").await;
    let spent: Vec<_> = (101..=150).map(|other| format!("{}#{other}", world.repository_id)).collect();
    world.change_task("aaaaaaa1", &json!({"completed_by": spent, "completed_at": 1}));
    world.pass(5);
    let merged = world.hub().merge(REPOSITORY, number);
    world.deliver(&merged).await;
    let done = world.read("aaaaaaa1");
    assert_eq!((&done["status"], &done["completed_at"]), (&json!("done"), &world.item(number)["ended_at"]));
    for _ in 0..2 {
        world.deliver(&merged).await;
    }
    assert_eq!(world.read("aaaaaaa1"), done);
}

#[tokio::test]
async fn a_board_that_writes_null_for_nothing_costs_no_write() {
    let mut world = World::new().await;
    world.task("bbbbbbb2", "to_do");
    world.change_task("bbbbbbb2", &json!({"has_merge_conflict": null, "pull_request": null}));
    let written = world.read("bbbbbbb2");
    world.due().await;
    world.pass(24 * 60 * 60 + 1);
    world.due().await;
    assert_eq!(world.read("bbbbbbb2"), written);
}

#[tokio::test]
async fn a_pull_request_that_there_is_not_is_taken_off_a_card_by_the_resync_that_is_asked_for() {
    let mut world = World::new().await;
    settled(&mut world, "aaaaaaa1", "a.rs").await;
    let right = world.read("aaaaaaa1");
    let mut wrong = right.clone();
    let planted = format!("{}#4711", world.repository_id);
    let invented = json!({"state": "open", "url": "https://github.com/acme/widgets/pull/4711", "created_at": "2030-01-01T00:00:00Z"});
    wrong["pull_requests"][&planted] = invented;
    wrong["pull_request"] = json!(planted);
    world.dynamodb.put("Tasks", &wrong);
    world.reconcile(json!({"resync": REPOSITORY})).await;
    let healed = world.read("aaaaaaa1");
    for name in ["pull_requests", "pull_request"] {
        assert_eq!(healed[name], right[name], "{name}");
    }
}

const RENAMED: &str = "acme/renamed";

/// Lets everything be answered that is owed.
async fn quiet(world: &mut World) {
    for _ in 0..3 {
        a_turn(world).await;
    }
}

/// Nothing is read of a renamed repository that is quiet but its new name.
async fn renamed(world: &mut World) {
    quiet(world).await;
    world.github.rename_repository(REPOSITORY, RENAMED);
    a_turn(world).await;
}

#[tokio::test]
async fn a_task_that_is_made_late_in_a_quiet_repository_is_linked_at_the_next_turn() {
    for name in [REPOSITORY, RENAMED] {
        let mut world = World::new().await;
        let opened = world.open("Work [kid: #aaaaaaa1]", "a.rs");
        world.deliver(&opened).await;
        world.stream().await;
        a_turn(&mut world).await;
        a_turn(&mut world).await;
        if name == RENAMED {
            renamed(&mut world).await;
        }
        world.put_task("aaaaaaa1", &json!({"title": "a card", "status": "pr_submitted", "repository": name}));
        a_turn(&mut world).await;
        assert!(world.read("aaaaaaa1").get("pull_request").is_some(), "{name}");
        world.once_more().await;
        // Its base is known by then.
        world.github.push_to_branch(name, "main", &["a.rs"]);
        a_turn(&mut world).await;
        assert_eq!(conflict(&world, "aaaaaaa1"), json!(true), "{name}");
    }
}

#[tokio::test]
async fn a_task_that_is_made_some_minutes_after_the_merge_is_done_at_the_next_turn() {
    for name in [REPOSITORY, RENAMED] {
        let mut world = World::new().await;
        let opened = world.open("Work [kid: #aaaaaaa1]", "a.rs");
        world.deliver(&opened).await;
        let merged = world.hub().merge(REPOSITORY, opened.number());
        world.deliver(&merged).await;
        world.stream().await;
        a_turn(&mut world).await;
        world.once_more().await;
        a_turn(&mut world).await;
        if name == RENAMED {
            renamed(&mut world).await;
        }
        world.put_task("aaaaaaa1", &json!({"title": "a card", "status": "pr_submitted", "repository": name}));
        a_turn(&mut world).await;
        assert_eq!(world.read("aaaaaaa1")["status"], "done", "{name}");
    }
}

#[tokio::test]
async fn a_task_of_a_repository_that_took_over_a_name_is_not_linked_to_the_one_that_had_it() {
    let mut world = World::new().await;
    let opened = world.open("Work [kid: #aaaaaaa1]", "a.rs");
    world.deliver(&opened).await;
    world.stream().await;
    a_turn(&mut world).await;
    a_turn(&mut world).await;
    renamed(&mut world).await;
    world.github.create_repository(REPOSITORY, true);
    world.put_task("aaaaaaa1", &json!({"title": "a card", "status": "pr_submitted", "repository": REPOSITORY}));
    a_turn(&mut world).await;
    assert_eq!(world.read("aaaaaaa1").get("pull_requests"), None);
}

#[tokio::test]
async fn a_row_that_could_not_be_read_for_a_while_has_its_tag_looked_up_as_before() {
    let mut world = World::new().await;
    let opened = world.open("Work [kid: #aaaaaaa1]", "a.rs");
    world.deliver(&opened).await;
    world.stream().await;
    a_turn(&mut world).await;
    a_turn(&mut world).await;
    let row = world.item(opened.number());
    let mut spoilt = row.clone();
    spoilt["title"] = json!(7);
    world.dynamodb.put("PullRequests", &spoilt);
    a_turn(&mut world).await;
    world.dynamodb.put("PullRequests", &row);
    world.task("aaaaaaa1", "pr_submitted");
    a_turn(&mut world).await;
    let linked = format!("{}#{}", world.repository_id, opened.number());
    assert_eq!(world.read("aaaaaaa1")["pull_request"], json!(linked));
}

#[tokio::test]
async fn what_github_does_not_tell_the_scan_is_asked_again_within_two_hours() {
    for lost in [false, true] {
        let mut world = World::new().await;
        settled(&mut world, "aaaaaaa1", "a.rs").await;
        let right = world.read("aaaaaaa1");
        let linked = right["pull_requests"].as_object().unwrap().values().next().unwrap();
        let planted = format!("{}#4711", world.repository_id);
        world.put_task(
            "bbbbbbb2",
            &json!({"title": "a card", "status": "pr_submitted", "repository_id": right["repository_id"],
                "pull_requests": {&planted: linked}, "pull_request": planted, "has_merge_conflict": false}),
        );
        world.pass(24 * 60 * 60 + 1);
        if lost {
            // With the table goes what was known of its repositories: nothing says yet through whom they are read.
            for item in world.dynamodb.scan("PullRequests") {
                let key = json!({"repository_id": item["repository_id"], "item": item["item"]});
                world.dynamodb.delete("PullRequests", &key);
            }
        } else {
            let until = world.now.as_second() + 1800;
            let blocked = Blocked { since: 0, until, attempts: 0, because: "GitHub asks to wait".to_owned() };
            let installation = Some(InstallationId(world.installation));
            world.board.block(installation, None, Some(&blocked)).await.unwrap();
            world.due().await;
            assert_ne!(world.read("bbbbbbb2")["pull_requests"], json!({}), "nothing is asked before GitHub's time");
        }
        for _ in 0..8 {
            a_turn(&mut world).await;
        }
        assert_eq!(world.read("bbbbbbb2")["pull_requests"], json!({}), "lost: {lost}");
    }
}

#[tokio::test]
async fn a_resync_that_github_stopped_compares_the_cards_once_it_may_ask_again() {
    let mut world = World::new().await;
    settled(&mut world, "aaaaaaa1", "a.rs").await;
    let right = world.read("aaaaaaa1");
    let mut wrong = right.clone();
    let linked = right["pull_requests"].as_object().unwrap().values().next().unwrap();
    wrong["pull_requests"][format!("{}#4711", world.repository_id)] = linked.clone();
    world.dynamodb.put("Tasks", &wrong);
    world.github.fault(Fault::once("/pulls/4711", FaultKind::TooMany(1800)));
    world.reconcile(json!({"resync": REPOSITORY})).await;
    for _ in 0..4 {
        a_turn(&mut world).await;
    }
    assert_eq!(world.read("aaaaaaa1")["pull_request"], right["pull_request"]);
    assert_eq!(world.read("aaaaaaa1")["pull_requests"].as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn a_pull_request_that_github_does_not_show_for_a_moment_stays_on_its_card() {
    let mut world = World::new().await;
    let number = settled(&mut world, "aaaaaaa1", "a.rs").await;
    quiet(&mut world).await;
    let linked = world.read("aaaaaaa1")["pull_request"].clone();
    let row = json!({"repository_id": world.repository_id.to_string(), "item": format!("pr#{number}")});
    world.dynamodb.delete("PullRequests", &row);
    let not_found = FaultKind::Status(404, r#"{"message":"Not Found"}"#.into(), vec![]);
    world.github.fault(Fault::once(&format!("/pulls/{number}"), not_found));
    world.pass(24 * 60 * 60 + 1);
    for _ in 0..2 {
        world.due().await;
        world.pass(20);
    }
    assert_eq!(world.read("aaaaaaa1")["pull_request"], linked);
}

#[tokio::test]
async fn a_card_heals_though_the_row_is_of_an_installation_that_is_gone() {
    let mut world = World::new().await;
    let number = settled(&mut world, "aaaaaaa1", "a.rs").await;
    quiet(&mut world).await;
    let old = world.installation;
    world.github.uninstall(old);
    let new = world.github.install("acme", Selection::All);
    world.tokens.serve_by(new);
    world.tokens.forget(old);
    world.board.serve(&Served::only(Some([InstallationId(new)]))).await.unwrap();
    let app = world.another_app();
    for _ in 0..3 {
        world.pass(15 * 60 + 1);
        world.reconcile_by(&app, json!({"schedule": "due"})).await;
    }
    assert_eq!(world.item(number)["installation_id"], json!(old), "nothing happened to it since");
    let right = world.read("aaaaaaa1");
    world.task("bbbbbbb2", "pr_submitted");
    let mut orphan = world.read("bbbbbbb2");
    for name in ["pull_requests", "pull_request", "has_merge_conflict"] {
        orphan[name] = right[name].clone();
    }
    world.dynamodb.put("Tasks", &orphan);
    world.pass(24 * 60 * 60 + 1);
    for _ in 0..2 {
        world.reconcile_by(&app, json!({"schedule": "due"})).await;
        world.pass(20);
    }
    assert_eq!(world.read("bbbbbbb2")["pull_requests"], json!({}));
}

#[tokio::test]
async fn where_nothing_says_who_is_served_only_the_apps_own_installation_is() {
    let mut world = World::new().await;
    world.dynamodb.delete("PullRequests", &json!({"repository_id": "installations", "item": "served"}));
    world.github.create_repository("globex/app", true);
    world.github.install("globex", Selection::All);
    world.task("aaaaaaa1", "pr_submitted");
    let own = linked(&mut world, "bbbbbbb2", "a.rs").await;
    let opened = world.hub().open_pull_request("globex/app", NewPullRequest::titled("Work [kid: #aaaaaaa1]"));
    world.deliver(&opened).await;
    world.hub().merge("globex/app", opened.number());
    world.hub().merge(REPOSITORY, own);
    a_turn(&mut world).await;
    a_turn(&mut world).await;
    assert_eq!(world.read("bbbbbbb2")["status"], "done");
    assert_eq!(world.read("aaaaaaa1")["status"], "pr_submitted");
    world.board.serve(&Served::default()).await.unwrap();
    for _ in 0..4 {
        a_turn(&mut world).await;
    }
    assert_eq!(world.read("aaaaaaa1")["status"], "done");
}
