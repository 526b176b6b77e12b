//! GitHub answers in part, in small pages, later, under another name, or not at all: what cannot be had takes nothing else with it.

use std::time::Duration;

use adapters::telemetry::Invocation;
use domain::contract::reconcile::{Event, Outcome};
use fake_github::{Fault, FaultKind, LargePage, NewPullRequest, Selection};
use serde_json::{Value, json};

use super::World;
use super::world::REPOSITORY;

pub(super) const READ: &str = "GET /repos/{owner}/{repo}/pulls/{number}";
pub(super) const SAML: &str =
    "Resource protected by organization SAML enforcement. You must grant your OAuth token access to this organization.";

pub(super) async fn linked(world: &mut World, digits: &str, path: &str) -> u64 {
    world.task(digits, "pr_submitted");
    let opened = world.open(&format!("Work [kid: #{digits}]"), path);
    world.deliver(&opened).await;
    opened.number()
}

/// The same with a base of its own.
pub(super) async fn linked_into(world: &mut World, digits: &str, base: &str, path: &str) -> u64 {
    world.task(digits, "pr_submitted");
    world.github.push_to_branch(REPOSITORY, base, &[]);
    let title = format!("Work [kid: #{digits}]");
    let new = NewPullRequest { base: base.to_owned(), paths: vec![path.to_owned()], ..NewPullRequest::titled(&title) };
    let opened = world.open_with(new);
    world.deliver(&opened).await;
    opened.number()
}

/// One that was answered, in a repository that has had its turn.
pub(super) async fn settled(world: &mut World, digits: &str, path: &str) -> u64 {
    let number = linked(world, digits, path).await;
    world.stream().await;
    a_turn(world).await;
    number
}

pub(super) fn conflict(world: &World, digits: &str) -> Value {
    world.read(digits).get("has_merge_conflict").cloned().unwrap_or(Value::Null)
}

/// Merges another pull request that touches `path`, and delivers that.
pub(super) async fn merge_another(world: &mut World, path: &str) {
    world.pass(5);
    let other = world.open("Other", path);
    let merged = world.hub().merge(REPOSITORY, other.number());
    world.deliver(&merged).await;
}

/// Lets every repository have its turn once.
pub(super) async fn a_turn(world: &mut World) {
    world.pass(15 * 60 + 1);
    world.due().await;
    // What a run finds is due at its own time, which on a busy machine is some seconds on.
    world.pass(20);
    world.due().await;
    world.stream().await;
}

/// A pull request that is owed an answer, and whose repository has been read beyond it: only its own row leads to it.
async fn owed_by_its_row(world: &mut World) -> u64 {
    let number = settled(world, "aaaaaaa1", "a.rs").await;
    world.pass(5);
    let pushed = world.hub().push(REPOSITORY, number);
    world.deliver(&pushed).await;
    world.github.set_unknown_in_lists(REPOSITORY, number, true);
    world.github.fault(Fault::always("/pulls/", FaultKind::ServerError));
    a_turn(world).await;
    a_turn(world).await;
    world.github.clear_faults();
    assert_eq!(world.owed().len(), 1);
    number
}

async fn many(world: &mut World, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    for at in 0..count {
        numbers.push(linked(world, &format!("{at:08x}"), if at % 10 == 0 { "hot.rs" } else { "cold.rs" }).await);
    }
    world.stream().await;
    world.settle().await;
    numbers
}

#[tokio::test]
async fn a_pull_request_that_is_not_there_for_a_moment_stays_owed() {
    let mut world = World::new().await;
    linked(&mut world, "aaaaaaa1", "a.rs").await;
    let missing = FaultKind::Status(404, r#"{"message":"Not Found"}"#.into(), vec![]);
    world.github.fault(Fault { times: 2, ..Fault::always("/pulls/1", missing) });
    assert_eq!(world.stream().await.outcome, Outcome::Refused);
    assert_eq!((conflict(&world, "aaaaaaa1"), world.owed().len()), (Value::Null, 1));
    world.pass(61);
    world.due().await;
    world.pass(121);
    world.due().await;
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(false));
    assert!(world.item(1).get("failing").is_none());
}

#[tokio::test]
async fn pages_shrink_until_they_are_answered_and_at_last_each_is_read_alone() {
    for (how, largest) in [
        (LargePage::BadGateway, 50),
        (LargePage::BadGateway, 25),
        (LargePage::BadGateway, 0),
        (LargePage::NullNodes, 25),
        (LargePage::NullNodes, 10),
    ] {
        let mut world = World::new().await;
        world.github.set_settle_reads(0);
        many(&mut world, 30).await;
        world.github.set_largest_page(Some((largest, how)));
        merge_another(&mut world, "hot.rs").await;
        let summary = world.stream().await;
        assert!(summary.pages_shrunk > 0 || largest == 0, "{how:?} {largest}: {summary:?}");
        if largest == 0 {
            // Thirty are more than one run reads alone; the others are due by themselves.
            world.once_more().await;
        }
        for at in (0..30).step_by(10) {
            assert_eq!(conflict(&world, &format!("{at:08x}")), json!(true), "{how:?} {largest}: {at}");
        }
        // GitHub recovers, and a page is a hundred again after a list or two.
        world.github.set_largest_page(None);
        for _ in 0..3 {
            merge_another(&mut world, "z.rs").await;
            world.stream().await;
            world.once_more().await;
        }
        world.github.set_largest_page(Some((100, how)));
        merge_another(&mut world, "z.rs").await;
        world.github.clear_requests();
        assert_eq!(world.stream().await.pages_shrunk, 0);
        assert!(world.github.requests().iter().any(|request| request.body.contains(r#""first":100"#)));
    }
}

#[tokio::test]
async fn one_refused_pull_request_backs_off_alone() {
    let mut world = World::new().await;
    world.github.set_settle_reads(0);
    let numbers = many(&mut world, 11).await;
    world.github.bar(REPOSITORY, Some(numbers[0]), SAML);
    merge_another(&mut world, "hot.rs").await;
    world.github.clear_requests();
    let summary = world.stream().await;
    assert_eq!((summary.outcome, summary.conflicts_found), (Outcome::Refused, 1), "the other one that touches it");
    assert_eq!(conflict(&world, "0000000a"), json!(true));
    world.once_more().await;
    let owed = world.owed();
    assert_eq!(owed.len(), 1, "{owed:#?}");
    assert_eq!(owed[0]["number"], json!(numbers[0]));
    assert!(owed[0]["failing"]["because"].as_str().unwrap().contains("SAML"));
    world.github.unbar();
    world.settle().await;
    assert_eq!(conflict(&world, "00000000"), json!(true));
}

#[tokio::test]
async fn one_refused_repository_stops_the_resync_of_no_other() {
    let mut world = World::new().await;
    world.github.create_repository("acme/secret", true);
    a_turn(&mut world).await;
    world.task("aaaaaaa1", "pr_submitted");
    world.open("Work [kid: #aaaaaaa1]", "a.rs");
    world.github.bar("acme/secret", None, SAML);
    for _ in 0..5 {
        a_turn(&mut world).await;
    }
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(false));
    world.pass(61 * 60);
    let summary = world.due().await;
    assert_eq!(summary.outcome, Outcome::Refused, "{summary:?}");
    let unserved = &summary.unserved[0];
    assert!(unserved.because.contains("SAML") && unserved.seconds >= 60 * 60, "{unserved:?}");
    assert!(summary.unserved_seconds >= 60 * 60);
    world.github.unbar();
    for _ in 0..30 {
        a_turn(&mut world).await;
    }
    assert_eq!(world.due().await.unserved, []);
}

#[tokio::test]
async fn a_limit_of_graphql_holds_everything_of_the_installation_in_every_environment() {
    for kind in [Some("RATE_LIMIT"), Some("RATE_LIMITED"), None] {
        let mut world = World::new().await;
        a_turn(&mut world).await;
        for at in 0..3 {
            linked(&mut world, &format!("{at:08x}"), "a.rs").await;
        }
        world.github.fault(Fault::once("/graphql", FaultKind::GraphqlLimit(kind, 1800)));
        assert_eq!(world.stream().await.outcome, Outcome::RateLimited, "{kind:?}");
        world.github.clear_requests();
        let other = world.another_app();
        linked(&mut world, "aaaaaaa1", "a.rs").await;
        let batch = world.stream_event();
        let summary = world.reconcile_by(&other, batch).await;
        assert_eq!(
            (summary.outcome, summary.github_requests),
            (Outcome::RateLimited, 0),
            "{kind:?}: another environment"
        );
        for _ in 0..28 {
            world.pass(60);
            world.reconcile_by(&other, json!({"schedule": "due"})).await;
        }
        assert!(world.github.requests().is_empty(), "{kind:?}: {:#?}", world.github.requests());
        world.pass(130);
        world.reconcile_by(&other, json!({"schedule": "due"})).await;
        world.settle().await;
        for task in ["00000000", "00000002", "aaaaaaa1"] {
            assert_eq!(conflict(&world, task), json!(false), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn a_wrong_app_id_for_a_while_costs_nothing_but_the_while() {
    for (refusal, hours) in [("AppNotFound", 1), ("InstallationNotFound", 1), ("InstallationNotFound", 24 * 5)] {
        let mut world = World::new().await;
        let number = linked(&mut world, "aaaaaaa1", "a.rs").await;
        a_turn(&mut world).await;
        world.pass(2 * 60 * 60);
        world.hub().merge(REPOSITORY, number);
        linked(&mut world, "bbbbbbb2", "b.rs").await;
        *world.tokens.refuses.lock().unwrap() = Some((refusal, "as stored"));
        let app = world.another_app();
        world.reconcile_by(&app, world.stream_event()).await;
        for _ in 0..2 * hours {
            world.pass(30 * 60);
            world.reconcile_by(&app, json!({"schedule": "due"})).await;
        }
        *world.tokens.refuses.lock().unwrap() = None;
        for _ in 0..30 {
            world.pass(15 * 60);
            world.reconcile_by(&app, json!({"schedule": "due"})).await;
            world.reconcile_by(&app, world.stream_event()).await;
        }
        assert_eq!(world.read("aaaaaaa1")["status"], "done", "{refusal} for {hours} h");
        assert_eq!(conflict(&world, "bbbbbbb2"), json!(false), "{refusal} for {hours} h");
    }
}

#[tokio::test]
async fn a_blocked_installation_is_told_with_since_when_and_why() {
    let mut world = World::new().await;
    linked(&mut world, "aaaaaaa1", "a.rs").await;
    *world.tokens.refuses.lock().unwrap() = Some(("InstallationSuspended", "an owner suspended it"));
    world.stream().await;
    let mut last = None;
    for _ in 0..8 {
        world.pass(15 * 60);
        last = Some(world.due().await);
    }
    let last = last.unwrap();
    assert!(last.unserved_seconds > 60 * 60, "{last:?}");
    assert!(last.unserved.iter().any(|unserved| unserved.because.contains("an owner suspended it")), "{last:?}");
    assert_ne!(last.outcome, Outcome::Done);
}

#[tokio::test]
async fn one_that_stays_unknown_does_not_keep_its_base_on_the_list() {
    let mut world = World::new().await;
    let stays = linked(&mut world, "aaaaaaa1", "a.rs").await;
    linked(&mut world, "bbbbbbb2", "a.rs").await;
    world.stream().await;
    world.settle().await;
    world.github.set_unknown_in_lists(REPOSITORY, stays, true);
    merge_another(&mut world, "a.rs").await;
    world.github.fault(Fault::always(&format!("/pulls/{stays}"), FaultKind::ServerError));
    world.stream().await;
    world.once_more().await;
    assert_eq!(conflict(&world, "bbbbbbb2"), json!(true));
    let base = world.work_item(&world.repository_id.to_string(), "base#main").unwrap();
    assert!(base.get("due").is_none(), "{base:#}");
    assert_eq!(world.item(stays)["due"], "open", "it is owed by its own row");
    world.github.clear_faults();
    world.settle().await;
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(true));
}

#[tokio::test]
async fn a_push_to_the_base_is_found_within_a_quarter_of_an_hour_and_blames_nobody() {
    let mut world = World::new().await;
    linked(&mut world, "aaaaaaa1", "a.rs").await;
    world.stream().await;
    // The first turn after it was opened: its base is met then.
    a_turn(&mut world).await;
    world.once_more().await;
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(false));
    world.github.push_to_branch(REPOSITORY, "main", &["a.rs"]);
    for _ in 0..15 {
        world.pass(60);
        world.due().await;
        world.stream().await;
    }
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(true));
    assert!(world.read("aaaaaaa1").get("conflict_caused_by").is_none());
}

#[tokio::test]
async fn a_push_to_the_branch_another_is_stacked_on_is_found_too() {
    let mut world = World::new().await;
    linked_into(&mut world, "aaaaaaa1", "below", "a.rs").await;
    world.stream().await;
    for _ in 0..3 {
        a_turn(&mut world).await;
    }
    world.github.push_to_branch(REPOSITORY, "below", &["a.rs"]);
    a_turn(&mut world).await;
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(true));
}

#[tokio::test]
async fn the_answer_of_before_a_move_is_not_the_last_word() {
    let mut world = World::new().await;
    world.github.set_settle_reads(0);
    linked(&mut world, "aaaaaaa1", "a.rs").await;
    linked(&mut world, "bbbbbbb2", "b.rs").await;
    world.stream().await;
    world.settle().await;
    world.github.set_stale_reads(1);
    merge_another(&mut world, "a.rs").await;
    world.stream().await;
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(false), "GitHub still shows the old one");
    world.once_more().await;
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(true));
    assert!(world.owed().is_empty());
}

#[tokio::test]
async fn a_repository_whose_old_name_is_anothers_is_read_under_its_own() {
    let mut world = World::new().await;
    let first = linked(&mut world, "aaaaaaa1", "a.rs").await;
    let second = linked(&mut world, "bbbbbbb2", "a.rs").await;
    // Two are listed by their base, and this one is read alone.
    world.task("ccccccc3", "pr_submitted");
    let alone = NewPullRequest { base: "release".to_owned(), ..NewPullRequest::titled("Work [kid: #ccccccc3]") };
    let alone = world.open_with(alone);
    world.deliver(&alone).await;
    world.stream().await;
    for number in [first, second, alone.number()] {
        world.pass(5);
        let pushed = world.hub().push(REPOSITORY, number);
        world.deliver(&pushed).await;
    }
    world.github.rename_repository(REPOSITORY, "acme/gadgets");
    world.github.create_repository(REPOSITORY, true);
    for number in [first, second, alone.number()] {
        let stranger = world.github.open_pull_request(REPOSITORY, NewPullRequest::titled("A stranger's"));
        assert_eq!(stranger.number(), number, "the same number in another repository");
    }
    world.stream().await;
    for number in [first, second, alone.number()] {
        let item = world.item(number);
        assert_eq!((&item["checked_head_sha"], &item["repository"]), (&item["head_sha"], &json!("acme/gadgets")));
    }
    assert!(world.owed().is_empty());
    // Resyncs too: the list of the installation need not come first.
    world.github.merge("acme/gadgets", second);
    for _ in 0..3 {
        a_turn(&mut world).await;
    }
    assert_eq!(world.read("bbbbbbb2")["status"], "done");
}

#[tokio::test]
async fn many_that_a_list_does_not_show_are_read_all_the_same() {
    let mut world = World::new().await;
    world.github.set_settle_reads(0);
    let mut numbers = Vec::new();
    for at in 0..70 {
        numbers.push(linked(&mut world, &format!("{at:08x}"), "a.rs").await);
    }
    // Closed, all of them, and nobody told.
    for number in &numbers {
        world.pass(1);
        world.hub().close(REPOSITORY, *number);
    }
    world.github.clear_requests();
    world.stream().await;
    assert!(world.github.count("POST /graphql") <= 2, "{}", world.github.count("POST /graphql"));
    for _ in 0..4 {
        world.pass(61);
        world.due().await;
    }
    assert!(world.owed().is_empty(), "{}", world.owed().len());
    assert_eq!(world.github.count(READ), 70);
}

#[tokio::test]
async fn rows_of_an_installation_that_is_gone_are_taken_over_by_the_one_that_lists_them() {
    let mut world = World::new().await;
    let number = owed_by_its_row(&mut world).await;
    let old = world.installation;
    world.github.uninstall(old);
    let new = world.github.install("acme", Selection::All);
    world.tokens.serve_by(new);
    world.tokens.forget(old);
    let app = world.another_app();
    for _ in 0..6 {
        world.reconcile_by(&app, world.stream_event()).await;
        world.pass(5 * 60);
        world.reconcile_by(&app, json!({"schedule": "due"})).await;
        world.pass(20);
        world.reconcile_by(&app, json!({"schedule": "due"})).await;
    }
    let item = world.item(number);
    assert_eq!(item["installation_id"], json!(new), "{item:#}");
    assert_eq!(item["checked_head_sha"], item["head_sha"]);
    assert!(world.owed().is_empty());
}

#[tokio::test]
async fn an_installation_whose_github_hangs_costs_only_its_own_turn() {
    let mut world = World::new().await;
    linked(&mut world, "aaaaaaa1", "a.rs").await;
    world.github.create_repository("globex/tools", true);
    world.github.install("globex", Selection::All);
    for at in 0..30 {
        let digits = format!("{at:08x}");
        world.task(&digits, "pr_submitted");
        let new = NewPullRequest {
            base: format!("branch-{at}"),
            ..NewPullRequest::titled(&format!("Work [kid: #{digits}]"))
        };
        let opened = world.github.open_pull_request("globex/tools", new);
        world.deliver(&opened).await;
    }
    world.github.fault(Fault::always("/repos/globex/", FaultKind::Hang));
    let event = Event::read(world.stream_event()).unwrap();
    let invocation = Invocation::begin("a-test");
    let run = reconcile::handle(&world.app, event, &invocation, world.now, Duration::from_secs(600));
    let answered = async {
        while conflict(&world, "aaaaaaa1") != json!(false) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        summary = run => panic!("it is still waiting for the installation that hangs: {summary:?}"),
        () = answered => {}
    }
    assert_eq!(world.owed().len(), 30);
}

#[tokio::test]
async fn a_list_of_repositories_goes_on_where_it_was_stopped() {
    let mut world = World::new().await;
    for at in 0..250 {
        world.github.create_repository(&format!("acme/r{at}"), true);
    }
    world.github.fault(Fault::once("page=3", FaultKind::TooMany(60)));
    world.due().await;
    world.pass(20);
    world.due().await;
    let sync = world.work_item(&format!("installation:{}", world.installation), "sync").unwrap();
    assert_eq!(sync["listed"], 200, "{sync:#}");
    world.github.clear_requests();
    world.pass(121);
    world.due().await;
    let pages: Vec<_> = world.github.requests().into_iter().map(|request| request.path).collect();
    assert!(pages.iter().any(|path| path.contains("page=3")) && !pages.iter().any(|path| path.contains("page=2")));
    let syncs = world.dynamodb.scan("PullRequests").into_iter().filter(|item| item["item"] == "sync").count();
    assert_eq!(syncs, 251 + 2);
}

#[tokio::test]
async fn resyncs_that_an_earlier_version_put_beside_the_answers_move_to_their_shard() {
    let mut world = World::new().await;
    a_turn(&mut world).await;
    for mut item in world.dynamodb.scan("PullRequests") {
        if item["item"] == "sync" {
            item["due"] = json!("open");
            world.dynamodb.put("PullRequests", &item);
        }
    }
    let shard = format!("resync-{}", world.installation % 4);
    for _ in 0..2 {
        world.pass(15 * 60 + 1);
        for shard in 0..4 {
            world.reconcile(json!({"schedule": "due", "shard": shard})).await;
        }
    }
    let syncs: Vec<_> = world.dynamodb.scan("PullRequests").into_iter().filter(|item| item["item"] == "sync").collect();
    for sync in syncs.iter().filter(|sync| sync["repository_id"] != "installation:default") {
        assert_eq!(sync["due"], json!(shard), "{sync:#}");
    }
}

#[tokio::test]
async fn an_installation_that_is_not_served_moves_nothing_and_is_resynced_once_it_is() {
    let mut world = World::new().await;
    let number = linked(&mut world, "aaaaaaa1", "a.rs").await;
    let only = |id: u64| domain::served::Served::only(Some([domain::ids::InstallationId(id)]));
    world.board.serve(&only(1)).await.unwrap();
    world.github.merge(REPOSITORY, number);
    world.github.clear_requests();
    for _ in 0..3 {
        a_turn(&mut world).await;
    }
    assert!(!world.github.requests().iter().any(|request| request.path.contains("/pulls/")));
    assert_eq!(world.read("aaaaaaa1")["status"], "pr_submitted");
    world.board.serve(&domain::served::Served::only(Some([]))).await.unwrap();
    let refused = world.reconcile(json!({"resync": REPOSITORY, "installation_id": world.installation})).await;
    assert!(format!("{refused:?}").contains("list of installations is empty"), "{refused:?}");
    world.board.serve(&only(world.installation)).await.unwrap();
    let app = world.another_app();
    for _ in 0..4 {
        world.pass(15 * 60 + 1);
        world.reconcile_by(&app, json!({"schedule": "due"})).await;
        world.pass(20);
        world.reconcile_by(&app, json!({"schedule": "due"})).await;
    }
    assert_eq!(world.read("aaaaaaa1")["status"], "done");
}

#[tokio::test]
async fn one_that_has_not_even_a_number_lets_no_old_merge_count_and_no_cursor_pass() {
    let mut world = World::new().await;
    world.task("aaaaaaa1", "in_progress");
    let old = world.open("Part one [kid: #aaaaaaa1]", "a.rs");
    world.deliver(&old).await;
    world.pass(5);
    let merged = world.hub().merge(REPOSITORY, old.number());
    world.deliver(&merged).await;
    world.stream().await;
    a_turn(&mut world).await;
    // Part two: nobody hears that it is opened, and GitHub shows nothing of it.
    world.pass(5);
    let lost = world.open("Part two [kid: #aaaaaaa1]", "b.rs");
    world.pass(5);
    world.change_task("aaaaaaa1", &json!({"status": "pr_submitted", "updated_at": world.now.to_string()}));
    world.github.set_largest_page(Some((0, LargePage::NullNodes)));
    world.github.fault(Fault::always("/pulls?state", FaultKind::ServerError));
    for _ in 0..3 {
        a_turn(&mut world).await;
        assert_eq!(world.read("aaaaaaa1")["status"], "pr_submitted");
    }
    world.pass(15 * 60 + 1);
    let summary = world.due().await;
    assert!(summary.unserved_seconds > 0 && summary.outcome != Outcome::Done, "{summary:?}");
    // What GraphQL hides, REST shows.
    world.github.clear_faults();
    for _ in 0..4 {
        world.pass(6 * 60 * 60);
        world.due().await;
        a_turn(&mut world).await;
    }
    let card = world.read("aaaaaaa1");
    let links = card["pull_requests"].as_object().unwrap();
    assert!(links.keys().any(|key| key.ends_with(&format!("#{}", lost.number()))), "{card:#}");
    assert_eq!(card["status"], "pr_submitted");
}

#[tokio::test]
async fn a_list_that_is_wrong_for_a_while_ends_no_debt_and_lets_nobody_move_a_card() {
    let mut world = World::new().await;
    let number = owed_by_its_row(&mut world).await;
    let only = |id: u64| domain::served::Served::only(Some([domain::ids::InstallationId(id)]));
    world.board.serve(&only(1)).await.unwrap();
    a_turn(&mut world).await;
    // Nor by an operator's word.
    let other = world.open("Work [kid: #bbbbbbb2]", "b.rs").number();
    world.task("bbbbbbb2", "pr_submitted");
    world.hub().merge(REPOSITORY, other);
    for event in [json!({"repository": REPOSITORY, "number": other}), json!({"resync": REPOSITORY})] {
        let reason = world.reconcile(event).await.reason.unwrap();
        assert!(reason.contains("not on the list of those served"), "{reason}");
    }
    assert_eq!(world.read("bbbbbbb2")["status"], "pr_submitted");
    world.board.serve(&only(world.installation)).await.unwrap();
    for _ in 0..6 {
        a_turn(&mut world).await;
    }
    assert_eq!(world.item(number)["checked_head_sha"], world.item(number)["head_sha"]);
    assert_eq!(world.read("bbbbbbb2")["status"], "done");
    assert!(world.owed().is_empty(), "{:#?}", world.owed());
}

#[tokio::test]
async fn after_the_table_is_lost_the_resync_of_everything_brings_all_back() {
    let mut world = World::new().await;
    let number = settled(&mut world, "aaaaaaa1", "a.rs").await;
    for item in world.dynamodb.scan("PullRequests") {
        world.dynamodb.delete("PullRequests", &json!({"repository_id": item["repository_id"], "item": item["item"]}));
    }
    world.pass(5);
    world.hub().merge(REPOSITORY, number);
    world.reconcile(json!({"resync": "all"})).await;
    world.reconcile(json!({"resync": "all"})).await;
    assert_eq!(world.read("aaaaaaa1")["status"], "done");
}
