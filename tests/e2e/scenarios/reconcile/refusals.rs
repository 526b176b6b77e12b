//! GitHub, or the token function, says no.

use std::sync::atomic::Ordering;
use std::time::Duration;

use adapters::telemetry::Invocation;
use domain::contract::reconcile::{Event, Outcome};
use fake_github::{Fault, FaultKind};
use serde_json::{Value, json};

use super::World;
use super::world::REPOSITORY;

async fn one_owed() -> (World, u64) {
    let mut world = World::new().await;
    world.task("aaaaaaa1", "pr_submitted");
    let opened = world.open("Work [kid: #aaaaaaa1]", "a.rs");
    world.deliver(&opened).await;
    (world, opened.number())
}

fn conflict(world: &World) -> Value {
    world.read("aaaaaaa1").get("has_merge_conflict").cloned().unwrap_or(Value::Null)
}

#[tokio::test]
async fn a_rate_limit_is_obeyed_and_is_no_failure() {
    let limits = [FaultKind::RateLimitPrimary(600), FaultKind::RateLimitSecondary(600), FaultKind::TooMany(600)];
    for limit in limits {
        let (mut world, number) = one_owed().await;
        world.github.fault(Fault::always("/pulls/", limit.clone()));
        let summary = world.stream().await;
        assert_eq!((summary.outcome, summary.github_requests), (Outcome::RateLimited, 1), "{limit:?}");
        assert!(summary.batch_item_failures.is_empty());
        let next = world.item(number)["next_check_at"].as_i64().unwrap() - world.now.as_second();
        assert!((598..=602).contains(&next), "{limit:?}: asked again in {next} s");
        world.github.clear_requests();
        world.pass(590);
        world.due().await;
        assert_eq!(world.github.count("GET /repos/{owner}/{repo}/pulls/{number}"), 0, "{limit:?}");
        world.github.clear_faults();
        world.pass(15);
        world.due().await;
        assert_eq!(conflict(&world), json!(false), "{limit:?}");
    }
}

#[tokio::test]
async fn a_rate_limit_spares_every_item_of_its_installation() {
    let mut world = World::new().await;
    for at in 0..40 {
        let task = format!("{at:08x}");
        world.task(&task, "pr_submitted");
        let opened = world.open_with(fake_github::NewPullRequest {
            base: format!("branch-{at}"),
            ..fake_github::NewPullRequest::titled(&format!("Work [kid: #{task}]"))
        });
        world.deliver(&opened).await;
    }
    world.github.fault(Fault::always("/pulls/", FaultKind::TooMany(300)));
    let summary = world.stream().await;
    assert!(summary.github_requests <= 12, "only what was under way was asked: {summary:?}");
    assert_eq!((world.owed().len(), summary.deferred), (40, 40));
    assert!(world.owed().iter().all(|item| item["next_check_at"].as_i64() >= Some(world.now.as_second() + 299)));
}

#[tokio::test]
async fn an_error_of_githubs_own_is_asked_about_again_and_then_later() {
    let (mut world, number) = one_owed().await;
    world.github.fault(Fault { times: 2, ..Fault::always("/pulls/", FaultKind::ServerError) });
    assert_eq!(world.stream().await.outcome, Outcome::Done);
    assert_eq!(conflict(&world), json!(false));
    world.pass(5);
    let pushed = world.hub().push(REPOSITORY, number);
    world.deliver(&pushed).await;
    world.github.fault(Fault::always("/pulls/", FaultKind::ServerError));
    let summary = world.stream().await;
    assert_eq!((summary.outcome, summary.deferred), (Outcome::Unavailable, 1));
    assert_eq!(world.item(number)["next_check_at"], json!(world.now.as_second() + 60));
    world.github.clear_faults();
    world.settle().await;
}

#[tokio::test]
async fn a_dropped_connection_is_asked_again() {
    let (world, _) = one_owed().await;
    world.github.fault(Fault { times: 2, ..Fault::always("/pulls/", FaultKind::DropConnection) });
    world.stream().await;
    assert_eq!(conflict(&world), json!(false));
}

#[tokio::test]
async fn a_github_that_hangs_costs_the_invocations_time_and_no_more() {
    let (mut world, number) = one_owed().await;
    world.github.fault(Fault::always("/pulls/", FaultKind::Hang));
    let event = Event::read(world.stream_event()).unwrap();
    // Four seconds are kept for writing down what is left.
    let summary =
        reconcile::handle(&world.app, event, &Invocation::begin("a-test"), world.now, Duration::from_millis(4_100))
            .await
            .unwrap();
    assert_eq!((summary.outcome, summary.deferred), (Outcome::Unavailable, 1));
    let item = world.item(number);
    assert_eq!((&item["due"], &item["check"]), (&json!("open"), &json!("later")));
    world.github.clear_faults();
    world.settle().await;
    assert_eq!(conflict(&world), json!(false));
}

#[tokio::test]
async fn what_is_gone_for_a_moment_is_asked_again_and_what_is_gone_for_days_leaves_and_comes_back() {
    let (mut world, number) = one_owed().await;
    world.stream().await;
    world.due().await;
    world.pass(5);
    let pushed = world.hub().push(REPOSITORY, number);
    world.deliver(&pushed).await;
    let kept = world.read("aaaaaaa1");
    world.github.create_repository("acme/other", true);
    world.github.remove_from_installation(world.installation, REPOSITORY);
    let summary = world.stream().await;
    assert_eq!((summary.outcome, summary.deferred), (Outcome::Refused, 1));
    assert_eq!(world.owed().len(), 1, "a refusal ends no debt");
    // Asked ever more rarely, and for three days.
    for _ in 0..60 {
        world.pass(2 * 60 * 60);
        world.due().await;
    }
    assert_eq!(world.read("aaaaaaa1"), kept);
    assert!(world.owed().is_empty() && world.sync().get("due").is_none(), "{:#?}", world.owed());
    world.github.add_to_installation(world.installation, REPOSITORY);
    for _ in 0..3 {
        world.pass(15 * 60 + 1);
        world.due().await;
    }
    assert!(world.sync().get("due").is_some());
    world.stream().await;
    let item = world.item(number);
    assert_eq!(item["checked_head_sha"], item["head_sha"], "what was owed is answered");
}

#[tokio::test]
async fn a_revoked_token_is_replaced_once() {
    let (mut world, number) = one_owed().await;
    world.stream().await;
    world.pass(5);
    let pushed = world.hub().push(REPOSITORY, number);
    world.deliver(&pushed).await;
    let token = world.github.minted().pop().unwrap().token;
    world.github.revoke_token(&token);
    world.pass(60);
    let summary = world.stream().await;
    assert_eq!((summary.outcome, summary.settled), (Outcome::Done, 1));
    assert_eq!(world.tokens.invalidations.load(Ordering::Relaxed), 1);
    assert_eq!(world.github.minted().len(), 2);
}

#[tokio::test]
async fn a_token_that_is_refused_for_good_is_not_asked_for_in_a_loop() {
    let (mut world, number) = one_owed().await;
    world
        .github
        .fault(Fault::always("/pulls/", FaultKind::Status(401, r#"{"message":"Bad credentials"}"#.into(), vec![])));
    let summary = world.stream().await;
    assert!(summary.github_requests <= 12, "{summary:?}");
    assert!(world.tokens.invalidations.load(Ordering::Relaxed) <= 1);
    assert_eq!(world.item(number)["next_check_at"], json!(world.now.as_second() + 60));
    world.github.clear_faults();
    world.settle().await;
}

#[tokio::test]
async fn a_token_that_is_refused_for_one_repository_is_used_for_the_others() {
    let (mut world, number) = one_owed().await;
    world.github.create_repository("acme/other", true);
    world.task("bbbbbbb2", "pr_submitted");
    let other = fake_github::NewPullRequest::titled("Work [kid: #bbbbbbb2]");
    let opened = world.hub().open_pull_request("acme/other", other);
    world.deliver(&opened).await;
    let refused = FaultKind::Status(401, r#"{"message":"Bad credentials"}"#.into(), vec![]);
    world.github.fault(Fault::always("/repos/acme/other/pulls/", refused));
    for _ in 0..3 {
        let summary = world.stream().await;
        assert_eq!((summary.outcome, conflict(&world)), (Outcome::Refused, json!(false)), "{summary:?}");
        let noted = world.work_item(&format!("installation:{}", world.installation), "sync");
        assert!(noted.is_none_or(|noted| noted.get("blocked").is_none()));
        let item = format!("pr#{}", opened.number());
        let row = world.row(world.github.repository_id("acme/other"), &item).unwrap();
        assert_eq!(
            row["failing"]["because"],
            "refused with a token that GitHub takes elsewhere: GitHub answered 401: Bad credentials"
        );
        world.pass(60);
        let pushed = world.hub().push(REPOSITORY, number);
        world.deliver(&pushed).await;
        let pushed = world.hub().push("acme/other", opened.number());
        world.deliver(&pushed).await;
    }
    assert_eq!((world.github.minted().len(), world.tokens.invalidations.load(Ordering::Relaxed)), (1, 0));
}

#[tokio::test]
async fn a_new_token_may_be_refused_for_some_seconds() {
    for status in [401, 403] {
        let (world, _) = one_owed().await;
        world.github.fresh_token_answers(status, 3);
        world.stream().await;
        assert_eq!(conflict(&world), json!(false), "{status}");
        assert_eq!((world.github.minted().len(), world.tokens.invalidations.load(Ordering::Relaxed)), (1, 0));
    }
}

#[tokio::test]
async fn no_refusal_of_the_token_function_ends_a_debt_and_its_time_is_taken() {
    let kinds = [
        ("InstallationNotFound", "not there", Outcome::Refused, 60),
        ("InstallationSuspended", "suspended", Outcome::Refused, 60),
        ("NotConfigured", "no secret", Outcome::Refused, 60),
        ("AppNotFound", "no such App", Outcome::Refused, 60),
        ("PermissionNotGranted", "not granted", Outcome::Refused, 60),
        ("RateLimited", "GitHub asks to wait: try again in 600 s", Outcome::RateLimited, 600),
        ("LockedOut", "too many wrong credentials: try again in 900 s", Outcome::RateLimited, 900),
        ("GitHubUnavailable", "no answer", Outcome::Unavailable, 60),
    ];
    for (kind, message, outcome, again_in) in kinds {
        let (mut world, number) = one_owed().await;
        *world.tokens.refuses.lock().unwrap() = Some((kind, message));
        let summary = world.stream().await;
        assert_eq!((summary.github_requests, summary.outcome), (0, outcome), "{kind}");
        let next = world.item(number)["next_check_at"].as_i64().unwrap() - world.now.as_second();
        assert!((again_in..again_in + 3).contains(&next), "{kind}: asked again in {next} s");
        *world.tokens.refuses.lock().unwrap() = None;
        world.pass(again_in + 3);
        world.due().await;
        assert_eq!(conflict(&world), json!(false), "{kind}");
    }
}

#[tokio::test]
async fn a_suspended_installation_is_asked_again_once_it_is_not() {
    let (mut world, _) = one_owed().await;
    world.stream().await;
    world.pass(5);
    let pushed = world.hub().push(REPOSITORY, 1);
    world.deliver(&pushed).await;
    world.github.suspend(world.installation);
    assert_eq!(world.stream().await.deferred, 1);
    world.github.unsuspend(world.installation);
    world.settle().await;
}

#[test]
fn what_is_no_event_says_what_would_be_one() {
    let no_events = [
        json!({}),
        json!(null),
        json!({"schedule": "later"}),
        json!({"repository": "acme"}),
        json!({"repository": "../app", "number": 1}),
        json!({"repository": "acme/../app", "number": 1}),
        json!({"repository": "acme/widgets?x", "number": 1}),
        json!({"repository": "acme/widgets", "number": "1"}),
        json!({"resync": "acme"}),
        json!({"Records": [{"eventSource": "aws:sqs"}]}),
    ];
    for event in no_events {
        let refused = Event::read(event.clone()).expect_err(&event.to_string()).to_string();
        assert!(refused.contains(r#"{"schedule":"due"}"#), "{refused}");
    }
    assert_eq!(Event::read(json!({"schedule": "due"})).unwrap(), Event::Due { shard: None });
    assert_eq!(
        Event::read(json!({"resync": "all"})).unwrap(),
        Event::Resync { repository: None, installation_id: None }
    );
}
