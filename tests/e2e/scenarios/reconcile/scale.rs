//! What reconcile costs, and for how long things wait, before many repositories: `make scale`.
//!
//! No time passes in truth. The schedule comes each minute of the world's clock, and GitHub's 100 ms an answer, the pauses and the time-outs pass on
//! tokio's, which is paused and goes on to the next timer where nothing else is to be done. So what a run takes is what it would wait for
//! GitHub, and what this machine computes counts for nothing.

use std::time::Duration;

use domain::ids::InstallationId;
use domain::served::Served;
use fake_github::{Fault, FaultKind, NewPullRequest, Selection};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::World;
use super::faults::{READ, conflict};
use super::world::{RECONCILE, REPOSITORY};

const INSTALLATIONS: usize = 50;

/// What happened to one card: since when, and the eight digits of its id.
struct Waiting {
    digits: String,
    since: i64,
}

/// One installation for each account, `each` repositories in it, all of which have been read once.
struct Fleet {
    world: World,
    each: usize,
    opened: usize,
    /// The longest run so far, on tokio's clock.
    longest: Duration,
}

impl Fleet {
    async fn of(repositories: usize) -> Self {
        let world = World::new().await;
        let mut served = vec![InstallationId(world.installation)];
        let each = repositories / INSTALLATIONS;
        for account in 0..INSTALLATIONS {
            served.push(InstallationId(world.github.install(&format!("account{account}"), Selection::All)));
            for at in 0..each {
                world.github.create_repository(&format!("account{account}/r{at}"), true);
            }
        }
        world.board.serve(&Served::only(Some(served))).await.unwrap();
        world.github.set_settle_reads(0);
        let mut fleet = Self { world, each, opened: 0, longest: Duration::ZERO };
        fleet.answer_after(100);
        for _ in 0..30 {
            fleet.minute().await;
        }
        fleet
    }

    fn answer_after(&self, milliseconds: u64) {
        self.world.github.fault(Fault::always("/", FaultKind::Delay(Duration::from_millis(milliseconds))));
    }

    /// A minute passes, and the schedule comes.
    async fn minute(&mut self) {
        self.world.pass(60);
        let begun = Instant::now();
        self.world.due().await;
        self.longest = self.longest.max(begun.elapsed());
    }

    /// Opens a pull request in a repository of its turn.
    fn open(&mut self) -> (Waiting, fake_github::Event) {
        let digits = format!("{:08x}", self.opened);
        let repository =
            format!("account{}/r{}", self.opened % INSTALLATIONS, (self.opened / INSTALLATIONS) % self.each);
        self.opened += 1;
        self.world.task(&digits, "pr_submitted");
        self.world.github.set_time(self.world.now.as_second());
        let new = NewPullRequest::titled(&format!("Work [kid: #{digits}]"));
        let event = self.world.github.open_pull_request(&repository, new);
        (Waiting { digits, since: self.world.now.as_second() }, event)
    }

    fn is_answered(&self, waiting: &Waiting) -> bool {
        conflict(&self.world, &waiting.digits) != Value::Null
    }
}

/// Lets a quarter of an hour pass in which one repository of a hundred has news that no delivery tells, and one pull request a minute is
/// opened and delivered. Gives how long the first waited at most, and whether each of the second was answered by the run that it asked for.
async fn quarter(fleet: &mut Fleet) -> (i64, bool) {
    let busy = (fleet.each * INSTALLATIONS / 100).max(1);
    let mut lost: Vec<_> = (0..busy).map(|_| fleet.open().0).collect();
    let (mut longest, mut at_once) = (0, true);
    for _ in 0..16 {
        let (fresh, event) = fleet.open();
        fleet.world.deliver(&event).await;
        fleet.world.stream().await;
        at_once &= fleet.is_answered(&fresh);
        fleet.minute().await;
        fleet.world.stream().await;
        let now = fleet.world.now.as_second();
        lost.retain(|waiting| {
            let answered = conflict(&fleet.world, &waiting.digits) != Value::Null;
            longest = longest.max(now - waiting.since);
            !answered
        });
    }
    assert!(lost.is_empty(), "{} of {busy} are still not found", lost.len());
    (longest, at_once)
}

#[tokio::test(start_paused = true)]
#[ignore = "a bench of minutes: make scale"]
async fn a_cycle_of_many_repositories() {
    println!("repositories  GraphQL queries   REST requests   table calls    a lost one    the longest");
    println!("              of 50 quiet ones  a repository    a repository   is found in   run");
    let mut costs = Vec::new();
    for repositories in [100, 1_000, 10_000] {
        let mut fleet = Fleet::of(repositories).await;
        // A quarter in which nothing happens.
        fleet.world.github.clear_requests();
        fleet.world.dynamodb.clear_calls();
        for _ in 0..14 {
            fleet.minute().await;
        }
        let requests = fleet.world.github.requests();
        let queries = requests.iter().filter(|request| request.path == "/graphql").count();
        let rest = requests.len() - queries;
        let calls = fleet.world.dynamodb.calls().iter().filter(|call| call.access_key_id == RECONCILE).count();
        let of_fifty = queries as f64 * 50.0 / repositories as f64;
        let cost = calls as f64 / repositories as f64;
        let (longest, at_once) = quarter(&mut fleet).await;
        println!(
            "{repositories:>12}  {of_fifty:>16.2}  {:>14.3}  {cost:>13.2}  {:>9} min  {:>9.2} s",
            rest as f64 / repositories as f64,
            longest / 60,
            fleet.longest.as_secs_f64()
        );
        assert!(longest <= 15 * 60, "a lost one waited {longest} s");
        assert!(fleet.longest < Duration::from_secs(60), "a run lasts until after the next one");
        assert!(at_once, "a fresh pull request waited behind resyncs");
        costs.push((of_fifty, cost));
    }
    let (of_fifty, cost) = costs[2];
    assert!(of_fifty <= 1.1, "{of_fifty} queries");
    assert!(cost <= 1.1 * costs[1].1, "a repository costs more where there are more: {costs:?}");
}

#[tokio::test(start_paused = true)]
#[ignore = "a bench of minutes: make scale"]
async fn an_installation_that_hangs_among_fifty() {
    let mut fleet = Fleet::of(1_000).await;
    fleet.world.github.clear_faults();
    fleet.world.github.fault(Fault::query("account7", FaultKind::Hang));
    fleet.world.github.fault(Fault::always("/repos/account7/", FaultKind::Hang));
    fleet.answer_after(100);
    let mut waiting = Vec::new();
    for _ in 0..INSTALLATIONS {
        let (fresh, event) = fleet.open();
        fleet.world.deliver(&event).await;
        if fleet.opened % INSTALLATIONS != 8 {
            waiting.push(fresh);
        }
    }
    let event = fleet.world.stream_event();
    fleet.world.reconcile(event).await;
    let late = waiting.iter().filter(|waiting| !fleet.is_answered(waiting)).count();
    println!(
        "one installation of 50 hangs: {} fresh pull requests of the others, {late} not answered by the first run",
        waiting.len()
    );
    assert_eq!(late, 0);
}

#[tokio::test(start_paused = true)]
#[ignore = "a bench of minutes: make scale"]
async fn a_thousand_open_pull_requests_on_a_base_that_moves() {
    let mut world = World::new().await;
    world.github.set_settle_reads(0);
    for at in 0..1_000 {
        let digits = format!("{at:08x}");
        world.task(&digits, "pr_submitted");
        let opened = world.open(&format!("Work [kid: #{digits}]"), if at % 10 == 0 { "hot.rs" } else { "cold.rs" });
        world.deliver(&opened).await;
    }
    world.stream().await;
    world.settle().await;
    let mover = world.open("Move the base", "hot.rs");
    let merged = world.hub().merge(REPOSITORY, mover.number());
    world.github.fault(Fault::always("/", FaultKind::Delay(Duration::from_millis(100))));
    world.deliver(&merged).await;
    world.github.clear_requests();
    let begun = Instant::now();
    world.stream().await;
    let took = begun.elapsed();
    let requests = world.github.requests().len();
    let wrong = (0..1_000).filter(|at| conflict(&world, &format!("{at:08x}")) != json!(at % 10 == 0)).count();
    println!(
        "a base moves under 1,000: {requests} requests, {} of them single reads, {wrong} flags wrong after them, {:.2} s",
        world.github.count(READ),
        took.as_secs_f64()
    );
    assert_eq!(wrong, 0);
    assert!(took <= Duration::from_secs(5), "{took:?}");
    assert!(requests <= 30, "{requests} requests");
}
