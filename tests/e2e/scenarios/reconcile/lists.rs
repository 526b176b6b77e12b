//! Lists that GitHub cannot answer, and what is noted of an installation for every environment.

use domain::contract::reconcile::Outcome;
use domain::ids::InstallationId;
use domain::sync::Blocked;
use fake_github::{Fault, FaultKind, LargePage, NewPullRequest};
use serde_json::json;

use super::World;
use super::faults::{READ, SAML, a_turn, conflict, linked, settled};
use super::world::REPOSITORY;

const BY_REST: &str = "GET /repos/{owner}/{repo}/pulls";

fn syncs(world: &World) -> usize {
    world
        .dynamodb
        .scan("PullRequests")
        .iter()
        .filter(|item| item["item"] == "sync" && item.get("repository").is_some())
        .count()
}

#[tokio::test]
async fn a_resync_goes_on_by_rest_where_graphql_answers_not_even_the_smallest_page() {
    let mut world = World::new().await;
    let merged = settled(&mut world, "aaaaaaa1", "a.rs").await;
    // Neither of these is ever delivered, and the merge is renamed: only its timeline tells what it closes.
    world.pass(5);
    world.hub().merge(REPOSITORY, merged);
    world.hub().retitle(REPOSITORY, merged, "Renamed since");
    world.task("bbbbbbb2", "pr_submitted");
    world.open("New [kid: #bbbbbbb2]", "b.rs");
    for at in 0..130 {
        world.open(&format!("Without a tag {at}"), "c.rs");
    }
    world.github.set_largest_page(Some((0, LargePage::BadGateway)));
    a_turn(&mut world).await;
    assert_eq!(world.read("aaaaaaa1")["status"], "done");
    assert_eq!(conflict(&world, "bbbbbbb2"), json!(false));
    assert_eq!(world.github.count(BY_REST), 2, "132 are two pages");
    assert_eq!(world.sync().get("resume"), None);
    // GitHub recovers, and so does the way to ask.
    world.github.set_largest_page(None);
    world.github.clear_requests();
    world.task("ccccccc3", "pr_submitted");
    world.open("Newer [kid: #ccccccc3]", "d.rs");
    a_turn(&mut world).await;
    assert_eq!((conflict(&world, "ccccccc3"), world.github.count(BY_REST)), (json!(false), 0));
}

#[tokio::test]
async fn a_page_of_repositories_that_cannot_be_answered_is_asked_for_with_less_in_it() {
    let mut world = World::new().await;
    for at in 0..129 {
        world.github.create_repository(&format!("acme/r{at}"), true);
    }
    for size in [100, 50] {
        world.github.fault(Fault::always(&format!("per_page={size}&"), FaultKind::ServerError));
    }
    a_turn(&mut world).await;
    assert_eq!(syncs(&world), 130);
}

#[tokio::test]
async fn one_repository_that_no_page_shows_hides_no_other() {
    let mut world = World::new().await;
    for at in 0..29 {
        world.github.create_repository(&format!("acme/r{at}"), true);
    }
    // The ninth of them spoils each page that it is on.
    for page in ["per_page=100&page=1", "per_page=50&page=1", "per_page=25&page=1", "per_page=1&page=9"] {
        world.github.fault(Fault::always(&format!("/installation/repositories?{page}"), FaultKind::ServerError));
    }
    world.due().await;
    world.pass(20);
    assert_eq!(world.due().await.outcome, Outcome::Unavailable);
    assert_eq!(syncs(&world), 29);
    world.github.clear_faults();
    a_turn(&mut world).await;
    assert_eq!(syncs(&world), 30);
}

#[tokio::test]
async fn what_can_be_read_neither_in_a_page_nor_alone_is_tried_once_an_hour() {
    let mut world = World::new().await;
    a_turn(&mut world).await;
    world.task("aaaaaaa1", "pr_submitted");
    let number = world.open("Hidden [kid: #aaaaaaa1]", "a.rs").number();
    world.github.bar(REPOSITORY, Some(number), SAML);
    a_turn(&mut world).await;
    world.github.clear_requests();
    for _ in 0..8 {
        a_turn(&mut world).await;
    }
    let tries = world.github.count(READ);
    assert!((1..=3).contains(&tries), "{tries} in two hours");
    world.github.unbar();
    for _ in 0..5 {
        a_turn(&mut world).await;
    }
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(false));
}

#[tokio::test]
async fn merges_that_wait_for_one_repository_share_one_reading_of_it() {
    let mut world = World::new().await;
    a_turn(&mut world).await;
    let mut numbers = Vec::new();
    for at in 0..6 {
        numbers.push(linked(&mut world, &format!("{at:08x}"), &format!("{at}.rs")).await);
        world.move_task(&format!("{at:08x}"), "in_progress");
    }
    world.stream().await;
    for number in numbers {
        let merged = world.hub().merge(REPOSITORY, number);
        world.deliver(&merged).await;
        world.pass(1);
    }
    world.pass(120);
    for at in 0..6 {
        let changes = json!({"status": "pr_submitted", "updated_at": world.now.to_string()});
        world.change_task(&format!("{at:08x}"), &changes);
    }
    world.pass(120);
    world.github.clear_requests();
    world.due().await;
    for at in 0..6 {
        assert_eq!(world.read(&format!("{at:08x}"))["status"], "done", "{at}");
    }
    let lists = world.github.requests().into_iter().filter(|request| request.body.contains("states: $states")).count();
    assert!(lists <= 3, "{lists} lists: two of the resync, one for all that wait");
}

fn blocked(until: i64, attempts: u32) -> Blocked {
    Blocked { since: 0, until, attempts, because: "GitHub asks to wait".to_owned() }
}

#[tokio::test]
async fn of_two_limits_that_environments_note_at_once_the_later_one_counts() {
    let mut world = World::new().await;
    a_turn(&mut world).await;
    let installation = Some(InstallationId(world.installation));
    let stored =
        async || world.board.installation(installation).await.unwrap().unwrap().blocked.map(|known| known.until);
    let (long, short) = (blocked(2000, 0), blocked(1000, 0));
    world.board.block(installation, None, Some(&long)).await.unwrap();
    world.board.block(installation, None, Some(&short)).await.unwrap();
    assert_eq!(stored().await, Some(2000));
    world.board.block(installation, Some(&short), None).await.unwrap();
    assert_eq!(stored().await, Some(2000), "who knew of another one ends nothing");
    world.board.block(installation, Some(&long), None).await.unwrap();
    assert_eq!(stored().await, None);
}

#[tokio::test]
async fn an_operator_asks_nothing_of_github_before_its_own_time() {
    let mut world = World::new().await;
    let number = linked(&mut world, "aaaaaaa1", "a.rs").await;
    a_turn(&mut world).await;
    let until = world.now.as_second() + 1800;
    let installation = Some(InstallationId(world.installation));
    world.board.block(installation, None, Some(&blocked(until, 0))).await.unwrap();
    world.github.clear_requests();
    for event in [json!({"resync": REPOSITORY}), json!({"repository": REPOSITORY, "number": number})] {
        let summary = world.reconcile(event.clone()).await;
        assert_eq!((summary.outcome, summary.github_requests), (Outcome::RateLimited, 0), "{event}");
        assert!(summary.reason.unwrap().contains(&until.to_string()), "{event}");
    }
    assert!(world.github.requests().is_empty());
    world.pass(1801);
    assert_eq!(world.reconcile(json!({"resync": REPOSITORY})).await.outcome, Outcome::Done);
}

#[tokio::test]
async fn an_installation_without_a_token_is_refused_and_not_called_limited() {
    let mut world = World::new().await;
    linked(&mut world, "aaaaaaa1", "a.rs").await;
    *world.tokens.refuses.lock().unwrap() = Some(("InstallationSuspended", "an owner suspended it"));
    assert_eq!(world.stream().await.outcome, Outcome::Refused);
    world.task("bbbbbbb2", "pr_submitted");
    let opened = world.open("Second [kid: #bbbbbbb2]", "b.rs");
    world.deliver(&opened).await;
    let other = world.another_app();
    let summary = world.reconcile_by(&other, world.stream_event()).await;
    assert_eq!((summary.outcome, summary.unserved.len()), (Outcome::Refused, 1), "{summary:?}");
}

/// One pull request for each of these cards, none of them delivered, and a turn of the repository that finds them.
async fn found_by_a_resync(world: &mut World, cards: &[&str]) {
    for digits in cards {
        world.open(&format!("Work [kid: #{digits}]"), &format!("{digits}.rs"));
    }
    a_turn(world).await;
}

#[tokio::test]
async fn a_card_that_cannot_be_written_keeps_no_other_from_being_right() {
    let mut world = World::new().await;
    a_turn(&mut world).await;
    // What the App writes would make it larger than an item may be.
    world.put_task("aaaaaaa1", &json!({"title": "x".repeat(409_500), "status": "pr_submitted"}));
    world.task("bbbbbbb2", "pr_submitted");
    found_by_a_resync(&mut world, &["aaaaaaa1", "bbbbbbb2"]).await;
    assert_eq!(conflict(&world, "bbbbbbb2"), json!(false));
    world.put_task("aaaaaaa1", &json!({"title": "short", "status": "pr_submitted"}));
    for _ in 0..5 {
        a_turn(&mut world).await;
    }
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(false));
}

#[tokio::test]
async fn a_card_that_cannot_be_written_keeps_no_other_of_the_same_title_from_its_column() {
    for by_delivery in [true, false] {
        let mut world = World::new().await;
        a_turn(&mut world).await;
        world.put_task("aaaaaaa1", &json!({"title": "x".repeat(409_500), "status": "pr_submitted"}));
        world.task("bbbbbbb2", "pr_submitted");
        let opened = world.open("Both [kid: #aaaaaaa1] [kid: #bbbbbbb2]", "a.rs");
        if by_delivery {
            world.deliver(&opened).await;
            let merged = world.hub().merge(REPOSITORY, opened.number());
            world.deliver(&merged).await;
        } else {
            world.hub().merge(REPOSITORY, opened.number());
            a_turn(&mut world).await;
        }
        assert_eq!(world.read("bbbbbbb2")["status"], "done", "by a delivery: {by_delivery}");
        world.put_task("aaaaaaa1", &json!({"title": "short", "status": "pr_submitted"}));
        for _ in 0..3 {
            a_turn(&mut world).await;
        }
        assert_eq!(world.read("aaaaaaa1")["status"], "done", "by a delivery: {by_delivery}");
    }
}

#[tokio::test]
async fn a_title_of_nothing_but_cards_that_cannot_be_written_leaves_the_one_that_it_named_before() {
    let mut world = World::new().await;
    let number = linked(&mut world, "bbbbbbb2", "a.rs").await;
    let full: Vec<_> = (0..8).map(|at| format!("aaaaaaa{at}")).collect();
    for card in &full {
        world.put_task(card, &json!({"title": "x".repeat(409_500), "status": "pr_submitted"}));
    }
    let title: String = full.iter().map(|card| format!("[kid: #{card}] ")).collect();
    world.pass(5);
    let retitled = world.hub().retitle(REPOSITORY, number, &title);
    world.deliver(&retitled).await;
    assert_eq!(world.read("bbbbbbb2")["pull_requests"], json!({}));
    for card in &full {
        world.put_task(card, &json!({"title": "short", "status": "pr_submitted"}));
    }
    for _ in 0..3 {
        a_turn(&mut world).await;
    }
    for card in &full {
        assert_eq!(conflict(&world, card), json!(false), "{card}");
    }
}

#[tokio::test]
async fn a_card_that_was_made_with_a_version_is_written_like_any_other() {
    let mut world = World::new().await;
    a_turn(&mut world).await;
    world.put_task("aaaaaaa1", &json!({"title": "a card", "status": "pr_submitted", "version": 0}));
    found_by_a_resync(&mut world, &["aaaaaaa1"]).await;
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(false));
}

#[tokio::test]
async fn a_row_that_somebody_spoilt_stops_nobody_who_reads_the_others() {
    let mut world = World::new().await;
    let spoilt = linked(&mut world, "aaaaaaa1", "a.rs").await;
    linked(&mut world, "bbbbbbb2", "b.rs").await;
    world.stream().await;
    let mut row = world.item(spoilt);
    row["title"] = json!(7);
    world.dynamodb.put("PullRequests", &row);
    world.task("ccccccc3", "pr_submitted");
    found_by_a_resync(&mut world, &["ccccccc3"]).await;
    assert_eq!(conflict(&world, "ccccccc3"), json!(false));
    let mut wrong = world.read("bbbbbbb2");
    wrong["has_merge_conflict"] = json!(true);
    world.dynamodb.put("Tasks", &wrong);
    world.reconcile(json!({"resync": REPOSITORY})).await;
    assert_eq!(conflict(&world, "bbbbbbb2"), json!(false), "the cards are compared all the same");
}

#[tokio::test]
async fn a_page_of_repositories_that_is_never_there_is_not_asked_for_in_a_loop() {
    let world = World::new().await;
    for at in 0..150 {
        world.github.create_repository(&format!("acme/r{at}"), true);
    }
    world.github.fault(Fault::always(
        "per_page=100&page=2",
        FaultKind::Status(404, r#"{"message":"Not Found"}"#.into(), vec![]),
    ));
    world.due().await;
    let mut world = world;
    world.pass(20);
    world.due().await;
    let lists = world.github.count("GET /installation/repositories");
    assert!(lists <= 4, "{lists} requests");
    assert_eq!(syncs(&world), 100);
}

#[tokio::test]
async fn a_query_of_many_repositories_that_is_refused_whole_is_asked_in_parts() {
    let mut world = World::new().await;
    for at in 0..10 {
        world.github.create_repository(&format!("acme/r{at}"), true);
    }
    a_turn(&mut world).await;
    let whole = r#""n7":"#;
    let refused = FaultKind::Status(403, r#"{"message":"Something that GitHub has never said."}"#.into(), vec![]);
    world.github.fault(Fault::query(whole, refused));
    world.task("aaaaaaa1", "pr_submitted");
    found_by_a_resync(&mut world, &["aaaaaaa1"]).await;
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(false));
}

#[tokio::test]
async fn a_fork_of_an_account_that_github_hides_holds_nobodys_merge_up() {
    let mut world = World::new().await;
    let merged = linked(&mut world, "aaaaaaa1", "a.rs").await;
    world.stream().await;
    let fork = NewPullRequest {
        author: "stranger".to_owned(),
        from_fork: true,
        ..NewPullRequest::titled("Mine now [kid: #aaaaaaa1]")
    };
    world.open_with(fork);
    let hidden = FaultKind::Status(404, r#"{"message":"stranger is not a user"}"#.into(), vec![]);
    world.github.fault(Fault::always("/collaborators/stranger/permission", hidden));
    let event = world.hub().merge(REPOSITORY, merged);
    world.pass(120);
    world.change_task("aaaaaaa1", &json!({"updated_at": world.now.to_string()}));
    world.deliver(&event).await;
    world.pass(120);
    world.stream().await;
    a_turn(&mut world).await;
    assert_eq!(world.read("aaaaaaa1")["status"], "done");
}

#[tokio::test]
async fn that_a_pull_request_was_merged_counts_though_its_title_at_the_merge_is_hidden_for_now() {
    let mut world = World::new().await;
    a_turn(&mut world).await;
    let number = linked(&mut world, "aaaaaaa1", "a.rs").await;
    world.stream().await;
    world.hub().merge(REPOSITORY, number);
    let refused = FaultKind::Status(403, r#"{"message":"Something that GitHub has never said."}"#.into(), vec![]);
    world.github.fault(Fault::query("pullRequest(number: $number) { title ...Timeline }", refused));
    for _ in 0..2 {
        a_turn(&mut world).await;
    }
    world.github.clear_faults();
    for _ in 0..5 {
        a_turn(&mut world).await;
    }
    assert_eq!(world.read("aaaaaaa1")["status"], "done");
}

#[tokio::test]
async fn a_pull_request_that_can_be_read_in_no_way_is_told_of_for_as_long_as_that_lasts() {
    let mut world = World::new().await;
    a_turn(&mut world).await;
    world.task("aaaaaaa1", "pr_submitted");
    let opened = world.open("Work [kid: #aaaaaaa1]", "a.rs");
    world.github.bar(REPOSITORY, Some(opened.number()), SAML);
    for _ in 0..6 {
        a_turn(&mut world).await;
    }
    world.pass(15 * 60 + 1);
    let told = world.due().await;
    assert!(told.unserved_seconds > 3600, "{told:?}");
    assert_eq!(told.outcome, Outcome::Refused);
    assert!(told.unserved[0].what.ends_with(&format!("pr#{}", opened.number())), "{told:?}");
    world.github.unbar();
    for _ in 0..6 {
        a_turn(&mut world).await;
    }
    world.pass(15 * 60 + 1);
    assert_eq!(world.due().await.unserved, []);
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(false));
}

#[tokio::test]
async fn of_those_that_could_not_be_read_a_limit_makes_none_forgotten() {
    let mut world = World::new().await;
    a_turn(&mut world).await;
    let mut opened = Vec::new();
    for task in ["aaaaaaa1", "bbbbbbb2"] {
        world.task(task, "pr_submitted");
        opened.push(world.open(&format!("Work [kid: #{task}]"), &format!("{task}.rs")).number());
        world.github.bar(REPOSITORY, opened.last().copied(), SAML);
    }
    a_turn(&mut world).await;
    world.github.unbar();
    world.github.fault(Fault::once(&format!("/pulls/{}", opened[1]), FaultKind::TooMany(600)));
    for _ in 0..12 {
        a_turn(&mut world).await;
    }
    for task in ["aaaaaaa1", "bbbbbbb2"] {
        assert_eq!(conflict(&world, task), json!(false), "{task}");
    }
}

#[tokio::test]
async fn a_pull_request_that_is_refused_for_an_hour_is_told_of() {
    let mut world = World::new().await;
    let number = settled(&mut world, "aaaaaaa1", "a.rs").await;
    world.pass(5);
    let pushed = world.hub().push(REPOSITORY, number);
    world.github.bar(REPOSITORY, Some(number), SAML);
    world.deliver(&pushed).await;
    let mut longest = 0;
    for _ in 0..130 {
        world.pass(60);
        longest = longest.max(world.due().await.unserved_seconds);
    }
    assert!(longest > 3600, "{longest}");
}

#[tokio::test]
async fn what_a_list_shows_only_after_its_second_was_passed_is_found_within_a_day() {
    let mut world = World::new().await;
    settled(&mut world, "aaaaaaa1", "a.rs").await;
    world.task("bbbbbbb2", "pr_submitted");
    let late = world.open("Late [kid: #bbbbbbb2]", "b.rs");
    world.github.hide_from_lists(REPOSITORY, late.number(), true);
    world.pass(300);
    world.open("Another's", "c.rs");
    world.pass(300);
    a_turn(&mut world).await;
    world.github.hide_from_lists(REPOSITORY, late.number(), false);
    for _ in 0..12 {
        world.pass(2 * 3600);
        world.due().await;
        world.stream().await;
    }
    a_turn(&mut world).await;
    assert_eq!(conflict(&world, "bbbbbbb2"), json!(false));
}

#[tokio::test]
async fn an_open_pull_request_that_is_touched_while_the_list_is_read_is_in_it() {
    let mut world = World::new().await;
    world.task("aaaaaaa1", "in_progress");
    let opened = world.open("Early [kid: #aaaaaaa1]", "a.rs");
    let merged = world.hub().merge(REPOSITORY, opened.number());
    world.deliver(&merged).await;
    world.stream().await;
    let newer = world.open("Newer", "b.rs").number();
    world.hub().retitle(REPOSITORY, newer, "Newer [kid: #aaaaaaa1]");
    for at in 0..119 {
        world.open(&format!("Without a tag {at}"), "c.rs");
    }
    world.pass(3600);
    world.change_task("aaaaaaa1", &json!({"status": "pr_submitted", "updated_at": world.now.to_string()}));
    world.pass(3600);
    let first_page = |world: &World| {
        let requests = world.github.requests();
        requests.iter().any(|request| request.status.is_some() && request.body.contains("$states"))
    };
    world.github.clear_requests();
    let touch = async {
        while !first_page(&world) {
            tokio::task::yield_now().await;
        }
        world.hub().push(REPOSITORY, newer);
    };
    let asked = json!({"repository": REPOSITORY, "number": opened.number()});
    tokio::join!(world.reconcile(asked), touch);
    assert_eq!(world.read("aaaaaaa1")["status"], "pr_submitted", "one that is newer than the merge is open");
}
