//! What never answers costs itself its turn, and nobody else theirs. Time is tokio's own, which is paused: nothing of it passes in truth.

use std::collections::HashMap;
use std::time::Duration;

use adapters::telemetry::Invocation;
use domain::contract::reconcile::{Event, Outcome, Summary};
use fake_github::{Fault, FaultKind, LargePage, NewPullRequest};
use serde_json::{Value, json};

use super::World;
use super::faults::linked;
use super::world::REPOSITORY;

/// The schedule comes, with all the time that Lambda gives.
async fn due(world: &World) -> Summary {
    let event = Event::read(json!({"schedule": "due"})).unwrap();
    let left = Duration::from_secs(90);
    reconcile::handle(&world.app, event, &Invocation::begin("a-test"), world.now, left).await.unwrap()
}

async fn minutes(world: &mut World, count: usize) -> Summary {
    let mut told = Summary::default();
    for _ in 0..count {
        world.pass(60);
        told = due(world).await;
    }
    told
}

/// Repositories `r0`, `r1` …, each of which had its turn.
async fn with_repositories(count: usize) -> (World, HashMap<String, u64>) {
    let mut world = World::new().await;
    let name = |at| format!("acme/r{at}");
    let ids = (0..count).map(|at| (name(at), world.github.create_repository(&name(at), true))).collect();
    world.github.set_settle_reads(0);
    minutes(&mut world, 17).await;
    (world, ids)
}

fn sync(world: &World, id: u64) -> Value {
    world.work_item(&id.to_string(), "sync").expect("the repository has a resync")
}

fn hundred_milliseconds() -> Fault {
    Fault::always("/", FaultKind::Delay(Duration::from_millis(100)))
}

#[tokio::test(start_paused = true)]
async fn a_repository_at_which_graphql_hangs_backs_off_and_delays_no_other() {
    let (mut world, ids) = with_repositories(200).await;
    world.github.fault(Fault::query(r#":"r7""#, FaultKind::Hang));
    world.github.fault(hundred_milliseconds());
    let mut asked: HashMap<u64, i64> = HashMap::new();
    let (mut longest, began) = (0, world.now.as_second());
    for _ in 0..45 {
        world.github.clear_requests();
        minutes(&mut world, 1).await;
        let now = world.now.as_second();
        let requests = world.github.requests();
        let answered = requests.iter().filter(|request| request.path == "/graphql" && request.status == Some(200));
        let bodies: Vec<_> = answered.map(|request| &request.body).collect();
        for (name, id) in ids.iter().filter(|(name, _)| *name != "acme/r7") {
            let name = format!(r#":"{}""#, name.trim_start_matches("acme/"));
            let before = asked.entry(*id).or_insert(began);
            longest = longest.max(now - *before);
            if bodies.iter().any(|body| body.contains(&name)) {
                *before = now;
            }
        }
    }
    assert!(longest <= 17 * 60, "one waited {longest} s");
    let hanging = sync(&world, ids["acme/r7"]);
    assert!(hanging["failing"]["because"].is_string(), "{hanging:#}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_does_not_wait_for_one_beside_it_that_hangs() {
    let mut world = World::new().await;
    world.github.set_settle_reads(0);
    let mut numbers = Vec::new();
    for card in ["aaaaaaa1", "bbbbbbb2"] {
        numbers.push(linked(&mut world, card, &format!("{card}.rs")).await);
        world.github.set_unknown_in_lists(REPOSITORY, numbers[numbers.len() - 1], true);
    }
    world.github.fault(Fault::always(&format!("/pulls/{}", numbers[1]), FaultKind::Hang));
    world.pass(60);
    let began = world.now.as_second();
    due(&world).await;
    let answered = world.read("aaaaaaa1")["conflict_checked_at"].as_i64().unwrap();
    assert!(answered - began < 5, "after {} s", answered - began);
    assert!(world.item(numbers[1])["failing"]["because"].is_string());
}

#[tokio::test(start_paused = true)]
async fn permissions_are_asked_for_while_other_reads_wait_for_their_place() {
    let mut world = World::new().await;
    world.github.set_settle_reads(0);
    world.github.set_collaborator(REPOSITORY, "friend", "write");
    for at in 0..16 {
        let digits = format!("{at:08x}");
        world.task(&digits, "pr_submitted");
        let title = format!("Work [kid: #{digits}]");
        let new = NewPullRequest { from_fork: true, author: "friend".to_owned(), ..NewPullRequest::titled(&title) };
        let opened = world.open_with(new);
        world.deliver(&opened).await;
    }
    world.github.set_largest_page(Some((0, LargePage::BadGateway)));
    // The first is answered while the others hold every place of the installation, and wait for theirs.
    for number in 2..=16 {
        let slow = FaultKind::Delay(Duration::from_secs(2));
        world.github.fault(Fault { times: 1, ..Fault::always(&format!("/pulls/{number}"), slow) });
    }
    world.pass(60);
    tokio::time::timeout(Duration::from_secs(100), due(&world)).await.expect("it ends in its own time");
    for at in 0..16 {
        assert_eq!(world.read(&format!("{at:08x}"))["has_merge_conflict"], json!(false), "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn repositories_whose_lists_never_answer_are_told_of() {
    let (mut world, ids) = with_repositories(40).await;
    for name in ids.keys() {
        world.github.open_pull_request(name, fake_github::NewPullRequest::titled("Work"));
    }
    world.github.fault(Fault::always("/pulls?", FaultKind::ServerError));
    world.github.fault(Fault::query("$first: Int!", FaultKind::ServerError));
    world.github.fault(hundred_milliseconds());
    let mut longest = 0;
    for _ in 0..40 {
        world.pass(120);
        let told = minutes(&mut world, 1).await;
        assert!(told.outcome != Outcome::Done || told.deferred == 0, "{told:?}");
        longest = longest.max(told.oldest_due_seconds.unwrap_or(0)).max(told.unserved_seconds);
    }
    assert!(longest > 60 * 60, "told of {longest} s after two hours");
}
