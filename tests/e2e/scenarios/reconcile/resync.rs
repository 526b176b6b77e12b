//! What reconcile finds without any webhook.

use domain::contract::reconcile::Outcome;
use fake_github::{Fault, FaultKind, NewPullRequest};
use local_aws::Call;
use serde_json::{Value, json};

use super::World;
use super::world::{RECONCILE, REPOSITORY};

fn status(world: &World, digits: &str) -> Value {
    world.read(digits)["status"].clone()
}

/// Runs the schedule often enough for the installation, then its repositories, to have their turn.
async fn resync(world: &mut World) {
    for _ in 0..3 {
        world.pass(15 * 60 + 1);
        world.due().await;
        world.pass(20);
        world.due().await;
    }
}

#[tokio::test]
async fn a_webhook_that_was_off_for_a_week_costs_nothing_but_time() {
    let mut world = World::new().await;
    for task in ["aaaaaaa1", "bbbbbbb2", "ccccccc3", "ddddddd4"] {
        world.task(task, "pr_submitted");
    }
    let known = world.open("Known [kid: #aaaaaaa1]", "a.rs");
    let open = world.open("Stays open [kid: #ddddddd4]", "d.rs");
    world.deliver(&known).await;
    world.deliver(&open).await;
    resync(&mut world).await;
    world.pass(24 * 3600);
    world.hub().merge(REPOSITORY, known.number());
    world.pass(24 * 3600);
    let unheard = world.open("Never heard of [kid: #bbbbbbb2]", "b.rs");
    world.pass(24 * 3600);
    world.hub().merge(REPOSITORY, unheard.number());
    let closed = world.open("Given up [kid: #ccccccc3]", "c.rs");
    world.pass(24 * 3600);
    world.hub().close(REPOSITORY, closed.number());
    let untagged = world.open("Another's", "d.rs");
    world.hub().merge(REPOSITORY, untagged.number());
    world.pass(3 * 24 * 3600);
    world.settle().await;
    assert_eq!(status(&world, "aaaaaaa1"), "done");
    assert_eq!(status(&world, "bbbbbbb2"), "done");
    let given_up = world.read("ccccccc3");
    let key = format!("{}#{}", world.repository_id, closed.number());
    assert_eq!(
        (&given_up["status"], &given_up["pull_requests"][&key]["state"]),
        (&json!("pr_submitted"), &json!("closed"))
    );
    assert_eq!(world.read("ddddddd4")["has_merge_conflict"], true, "a merge without a tag moved the base");
    world.github.assert_nothing_unexpected();
}

#[tokio::test]
async fn the_first_resync_goes_back_ninety_days_and_takes_everything_open() {
    let mut world = World::new().await;
    for task in ["aaaaaaa1", "bbbbbbb2", "ccccccc3"] {
        world.task(task, "pr_submitted");
    }
    let ancient = world.open("Ancient [kid: #aaaaaaa1]", "a.rs");
    world.hub().merge(REPOSITORY, ancient.number());
    world.open("Open for ages [kid: #bbbbbbb2]", "b.rs");
    world.pass(91 * 24 * 3600);
    let recent = world.open("Recent [kid: #ccccccc3]", "c.rs");
    world.hub().merge(REPOSITORY, recent.number());
    world.settle().await;
    assert_eq!(status(&world, "aaaaaaa1"), "pr_submitted");
    assert_eq!(world.read("bbbbbbb2")["has_merge_conflict"], false);
    assert_eq!(status(&world, "ccccccc3"), "done");
}

#[tokio::test]
async fn a_resync_that_was_stopped_goes_on_where_it_was() {
    let mut world = World::new().await;
    world.task("aaaaaaa1", "pr_submitted");
    let oldest = world.open("The oldest [kid: #aaaaaaa1]", "a.rs");
    world.hub().merge(REPOSITORY, oldest.number());
    for _ in 0..450 {
        let event = world.open("Filler", "z.rs");
        world.github.close(REPOSITORY, event.number());
    }
    world.pass(61);
    // The installation, its repositories' own items, and the resync: the third run is the first to read pages.
    for _ in 0..2 {
        world.due().await;
        world.pass(20);
    }
    let before = world.github.graphql_use().queries;
    let limited = async {
        // One query asks whether anything is new, one for the open ones, and two for pages of the rest.
        while world.github.graphql_use().queries < before + 4 {
            tokio::task::yield_now().await;
        }
        world.github.fault(Fault::always("/graphql", FaultKind::TooMany(60)));
    };
    let (summary, ()) = tokio::join!(world.due(), limited);
    assert_eq!(summary.outcome, Outcome::RateLimited);
    let stopped = world.sync();
    assert!(stopped["resume"]["after"].is_string() && stopped.get("cursor").is_none(), "{stopped:#}");
    world.github.clear_faults();
    assert_eq!(status(&world, "aaaaaaa1"), "pr_submitted");
    world.pass(61);
    let before = world.github.graphql_use().queries;
    world.due().await;
    assert_eq!(status(&world, "aaaaaaa1"), "done");
    // 451 pull requests are five pages; two are done.
    assert_eq!(world.github.graphql_use().queries - before, 1 + 3);
    assert!(world.sync().get("resume").is_none() && world.sync()["cursor"].is_string());
}

#[tokio::test]
async fn quiet_repositories_cost_a_fiftieth_of_a_query_and_one_write_of_their_time() {
    let mut world = World::new().await;
    let names: Vec<_> = (0..119).map(|at| format!("acme/quiet-{at}")).collect();
    for name in &names {
        world.github.create_repository(name, true);
    }
    resync(&mut world).await;
    world.dynamodb.clear_calls();
    world.github.clear_requests();
    world.pass(15 * 60 + 1);
    let before = world.github.graphql_use().queries;
    world.due().await;
    assert_eq!(world.github.graphql_use().queries - before, 3, "120 repositories");
    assert_eq!(world.github.requests().len(), 3 + 2, "and two pages of the installation's list");
    let is_read = |call: &Call| ["Query", "BatchGetItem", "GetItem"].contains(&call.operation.as_str());
    let writes: Vec<_> = world.dynamodb.calls().into_iter().filter(|call| !is_read(call)).collect();
    assert!(writes.iter().all(|call| call.operation == "UpdateItem" && call.access_key_id == RECONCILE));
    assert_eq!(writes.len(), 120 + 2, "the repositories, the installation, and the default one");
}

#[tokio::test]
async fn the_repositories_of_an_installation_stay_together_and_cost_a_query_for_fifty() {
    let mut world = World::new().await;
    let mut served = vec![world.installation];
    for account in ["globex", "initech", "umbrella"] {
        for at in 0..50 {
            world.github.create_repository(&format!("{account}/quiet-{at}"), true);
        }
        served.push(world.github.install(account, fake_github::Selection::All));
    }
    for at in 1..50 {
        world.github.create_repository(&format!("acme/quiet-{at}"), true);
    }
    let ids = served.into_iter().map(domain::ids::InstallationId);
    world.board.serve(&domain::served::Served::only(Some(ids))).await.unwrap();
    // Minute by minute, as the schedule does; meanwhile one of them is busy.
    for minute in 0..60 {
        if minute == 20 {
            world.github.clear_requests();
        }
        if minute % 10 == 0 {
            world.open("Work", "a.rs");
        }
        world.pass(60);
        world.due().await;
    }
    let requests = world.github.requests();
    let asked = requests.iter().filter(|request| request.body.contains("fragment Touched")).count();
    assert!((8..=13).contains(&asked), "{asked} queries for 200 repositories, three times in 40 minutes");
}

#[tokio::test]
async fn a_cursor_moves_only_when_something_changed() {
    let mut world = World::new().await;
    world.task("aaaaaaa1", "pr_submitted");
    world.open("Work [kid: #aaaaaaa1]", "a.rs");
    world.settle().await;
    resync(&mut world).await;
    let cursor = world.sync()["cursor"].clone();
    assert!(cursor.is_string());
    resync(&mut world).await;
    assert_eq!(world.sync()["cursor"], cursor);
}

#[tokio::test]
async fn an_operator_asks_for_one_pull_request() {
    let mut world = World::new().await;
    world.task("aaaaaaa1", "pr_submitted");
    let opened = world.open("Work [kid: #aaaaaaa1]", "a.rs");
    let asked = json!({"repository": REPOSITORY, "number": opened.number()});
    world.reconcile(asked.clone()).await;
    assert_eq!(world.read("aaaaaaa1")["has_merge_conflict"], false);
    assert!(world.owed().is_empty());
    world.pass(5);
    world.hub().merge(REPOSITORY, opened.number());
    world.reconcile(asked).await;
    assert_eq!(status(&world, "aaaaaaa1"), "done");
    let untagged = world.open("No tag", "b.rs");
    let told = world.reconcile(json!({"repository": REPOSITORY, "number": untagged.number()})).await;
    assert!(told.reason.unwrap().contains("no kid tag"));
    let told = world.reconcile(json!({"repository": "acme/missing", "number": 1})).await;
    assert!(told.reason.unwrap().contains("not there"));
}

#[tokio::test]
async fn an_operator_asks_for_a_resync() {
    for asked in [json!({"resync": REPOSITORY}), json!({"resync": "all"})] {
        let mut world = World::new().await;
        world.task("aaaaaaa1", "pr_submitted");
        let opened = world.open("Work [kid: #aaaaaaa1]", "a.rs");
        world.hub().merge(REPOSITORY, opened.number());
        world.reconcile(asked.clone()).await;
        assert_eq!(status(&world, "aaaaaaa1"), "done", "{asked}");
        world.pass(5);
        world.task("bbbbbbb2", "pr_submitted");
        let opened = world.open("More [kid: #bbbbbbb2]", "a.rs");
        world.hub().merge(REPOSITORY, opened.number());
        world.reconcile(asked.clone()).await;
        assert_eq!(status(&world, "bbbbbbb2"), "done", "{asked}: a second time");
    }
}

#[tokio::test]
async fn an_installation_is_served_once_a_pull_request_of_it_was_seen() {
    let mut world = World::new().await;
    let elsewhere = world.github.create_repository("globex/tools", true);
    world.github.install("globex", fake_github::Selection::All);
    world.task("aaaaaaa1", "pr_submitted");
    let opened = world.github.open_pull_request("globex/tools", NewPullRequest::titled("Work [kid: #aaaaaaa1]"));
    world.deliver(&opened).await;
    world.stream().await;
    assert_eq!(world.read("aaaaaaa1")["has_merge_conflict"], false);
    world.github.merge("globex/tools", opened.number());
    resync(&mut world).await;
    assert_eq!(status(&world, "aaaaaaa1"), "done");
    assert!(world.work_item(&elsewhere.to_string(), "sync").is_some());
}

#[tokio::test]
async fn a_renamed_repository_keeps_its_tasks() {
    let mut world = World::new().await;
    world.task("aaaaaaa1", "pr_submitted");
    let opened = world.open("Work [kid: #aaaaaaa1]", "a.rs");
    world.deliver(&opened).await;
    world.github.rename_repository(REPOSITORY, "acme/gadgets");
    world.stream().await;
    assert_eq!(world.item(opened.number())["repository"], "acme/gadgets");
    assert_eq!(world.read("aaaaaaa1")["repository"], "acme/gadgets");
    assert_eq!(world.read("aaaaaaa1")["has_merge_conflict"], false);
    resync(&mut world).await;
    assert_eq!(world.sync()["repository"], "acme/gadgets");
}
