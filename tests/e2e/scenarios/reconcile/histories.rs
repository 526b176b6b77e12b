//! Any order, any loss, any duplication, any failure: whatever becomes of the deliveries and of the calls, the board ends as GitHub is.
//!
//! A history is drawn of what people do on GitHub and on the board ([`super::people`]). Deliveries are dropped, doubled, delayed and swapped; reconcile runs now and
//! then, by stream, by schedule or twice at once; tables and GitHub fail, and runs die. In the end everything is let come to rest, and each card is
//! held against the truth ([`super::truth`]), which knows nothing of how the app works.

use std::panic::AssertUnwindSafe;

use domain::report::Report;
use fake_github::{Event, Fault as GitHubFault, FaultKind, LargePage};
use futures_util::FutureExt;
use jiff::SignedDuration;
use local_aws::{Fault, Rule};
use proptest::prelude::*;
use proptest::test_runner::{Config, FailurePersistence, FileFailurePersistence, TestCaseError, TestError, TestRunner};
use serde_json::json;

use super::World;
use super::faults::SAML;
use super::people::{A_QUARTER, Fate, Op, Played, Second, Setting, VERY_LATE, fate, op, setting};
use super::world::{RECONCILE, REPOSITORY};

/// How many pull requests are told apart.
const PULLS: usize = 4;

/// What reconcile does after a step.
#[derive(Debug, Clone)]
enum Work {
    Nothing,
    Stream,
    Due,
    /// A quarter of an hour passes first, so that resyncs are due.
    MuchLater,
    /// Two environments get the same batch, and a third runs by schedule.
    AtOnce,
    /// A run dies at its n-th table call.
    Dies(usize),
    /// A run whose n-th table call fails, and those that follow.
    TablesFail(usize),
    /// A committed write of a run's is never answered.
    AnswerLost(usize),
    /// GitHub answers everything like this while a run asks.
    GitHubFails(FaultKind),
    /// It lists no more than so many pull requests at once, or fails.
    GitHubListsFewer(usize, LargePage),
    /// It shows the n-th pull request to nobody, or the whole repository.
    GitHubHides(Option<usize>),
}

/// Limits, refusals, outages and half answers.
fn github_fails() -> impl Strategy<Value = Work> {
    let said = |status, sentence: &str| FaultKind::Status(status, json!({"message": sentence}).to_string(), vec![]);
    let kinds = vec![
        FaultKind::ServerError,
        FaultKind::DropConnection,
        FaultKind::CutShort,
        FaultKind::RateLimitPrimary(600),
        FaultKind::RateLimitSecondary(60),
        FaultKind::TooMany(60),
        FaultKind::GraphqlLimit(Some("RATE_LIMITED"), 600),
        said(401, "Bad credentials"),
        said(403, SAML),
        said(404, "Not Found"),
        said(451, "Repository access blocked"),
    ];
    prop_oneof![
        3 => prop::sample::select(kinds).prop_map(Work::GitHubFails),
        1 => (0..3_usize, prop::sample::select(vec![LargePage::BadGateway, LargePage::NullNodes]))
            .prop_map(|(most, how)| Work::GitHubListsFewer(most, how)),
        1 => prop::option::weighted(0.7, 0..PULLS).prop_map(Work::GitHubHides),
    ]
}

#[derive(Debug, Clone)]
struct History {
    setting: Setting,
    ops: Vec<Op>,
    fates: Vec<Fate>,
    work: Vec<Work>,
}

fn work() -> impl Strategy<Value = Work> {
    prop_oneof![
        6 => Just(Work::Nothing),
        4 => Just(Work::Stream),
        1 => Just(Work::Due),
        1 => Just(Work::MuchLater),
        1 => Just(Work::AtOnce),
        1 => (1..30_usize).prop_map(Work::Dies),
        1 => (0..30_usize).prop_map(Work::TablesFail),
        1 => (0..30_usize).prop_map(Work::AnswerLost),
        2 => github_fails(),
    ]
}

fn history() -> impl Strategy<Value = History> {
    let lists = (
        prop::collection::vec(op(PULLS), 2..14),
        prop::collection::vec(fate(), 1..10),
        prop::collection::vec(work(), 1..10),
        setting(&[Second::None, Second::None, Second::SameOwner, Second::AnotherOwner]),
    );
    lists.prop_map(|(ops, fates, work, setting)| History { setting, ops, fates, work })
}

impl Played<World> {
    /// A delivery whose tables fail is answered 500, and GitHub does not repeat it.
    async fn deliver(&self, event: &Event) {
        let body = event.payload.to_string();
        let read = webhook::event::read(body.as_bytes(), Some(&event.name), None, &domain::served::Served::default())
            .expect("a readable event");
        let webhook::event::Event::PullRequest { facts, .. } = read else { panic!("not a pull request's event") };
        let _answered = self.world.board.apply(Report::facts(*facts), self.world.now).await;
    }

    async fn play(&mut self, history: &History) {
        let mut pending: Vec<(usize, Event)> = Vec::new();
        let mut events = 0;
        for (step, op) in history.ops.iter().enumerate() {
            for event in self.happen(op) {
                let fate = &history.fates[events % history.fates.len()];
                pending.extend(fate.copies.iter().map(|late| (step + late, event.clone())));
                events += 1;
            }
            // The last to come first: what is late by one step overtakes what is on time.
            for (_, event) in pending.extract_if(.., |(at, _)| *at <= step).collect::<Vec<_>>().iter().rev() {
                self.deliver(event).await;
            }
            self.work_on(history.work[step % history.work.len()].clone()).await;
        }
        for (_, event) in pending.extract_if(.., |(at, _)| *at < VERY_LATE).collect::<Vec<_>>().iter().rev() {
            self.deliver(event).await;
        }
        self.settle().await;
        if !pending.is_empty() {
            for (_, event) in pending {
                self.deliver(&event).await;
            }
            self.settle().await;
        }
    }

    async fn work_on(&mut self, work: Work) {
        let world = &mut self.world;
        match work {
            Work::Nothing => {}
            Work::Stream => drop(world.stream().await),
            Work::Due => drop(world.due().await),
            Work::MuchLater => {
                world.pass(A_QUARTER);
                world.due().await;
                world.due().await;
            }
            Work::AtOnce => {
                let (batch, other) = (world.stream_event(), world.another_app());
                tokio::join!(
                    world.reconcile(batch.clone()),
                    world.reconcile_by(&other, batch),
                    world.reconcile_by(&other, json!({"schedule": "due"})),
                );
            }
            Work::Dies(at) => {
                world.dynamodb.crash_at(RECONCILE, at);
                self.run_in_vain().await;
            }
            Work::TablesFail(after) => {
                world.dynamodb.fail(Rule::new(Fault::ServerError).from(RECONCILE).after(after));
                self.run_in_vain().await;
            }
            Work::AnswerLost(after) => {
                world.dynamodb.fail(Rule::new(Fault::AnswerLost).from(RECONCILE).after(after).times(1));
                world.dynamodb.fail(Rule::new(Fault::Unreachable).from(RECONCILE).after(after));
                self.run_in_vain().await;
            }
            Work::GitHubFails(kind) => {
                world.github.fault(GitHubFault::always("/", kind));
                self.run_in_vain().await;
            }
            Work::GitHubListsFewer(most, how) => {
                world.github.set_largest_page(Some((most, how)));
                self.run_in_vain().await;
            }
            Work::GitHubHides(at) => {
                let numbers = world.github.numbers(REPOSITORY);
                let hidden = at.filter(|_| !numbers.is_empty()).map(|at| numbers[at % numbers.len()]);
                world.github.bar(REPOSITORY, hidden, SAML);
                self.run_in_vain().await;
            }
        }
    }

    async fn run_in_vain(&mut self) {
        let world = &mut self.world;
        let _failed = world.try_by(&world.app, world.stream_event()).await;
        world.pass(A_QUARTER);
        let _failed = world.try_by(&world.app, json!({"schedule": "due"})).await;
        world.dynamodb.clear_faults();
        world.github.clear_faults();
        world.github.set_largest_page(None);
        world.github.unbar();
    }
}

async fn compare(history: &History) -> Result<(), TestCaseError> {
    let world = World::new().await;
    let mut played = Played::new(world, &history.setting);
    if history.setting.second == Second::AnotherOwner {
        // Of an installation nothing is known before a first delivery that names a task.
        let first = Op::Open { second: true, tags: 4, base: false, paths: 1, draft: false, fork: false };
        for event in played.happen(&first) {
            played.deliver(&event).await;
        }
    }
    played.world.now += SignedDuration::from_secs(1);
    played.play(history).await;
    played.judge().map_err(TestCaseError::fail)?;
    played.world.github.assert_nothing_unexpected();
    Ok(())
}

/// Histories that went wrong once, or that only a rare draw would hit.
#[tokio::test]
async fn the_board_ends_right_after_histories_that_once_went_wrong() {
    let on_time = || Fate { copies: vec![0] };
    let lost = || Fate { copies: vec![] };
    let open = |tags| Op::Open { second: false, tags, base: false, paths: 1, draft: false, fork: false };
    let usual = Setting {
        second: Second::None,
        submitted: vec![true; 2],
        keeps_time: true,
        settle_reads: 0,
        page_size: 100,
        tick: 1,
    };
    let played = |ops, fates, work| History { setting: usual.clone(), ops, fates, work };
    // A task that comes after an old merge of it and after the opening of a newer pull request.
    let late_task = |fork| History {
        setting: Setting { submitted: vec![false, false], tick: 0, ..usual.clone() },
        ..played(
            vec![
                open(4),
                open(0),
                Op::Merge { at: 0 },
                open(0),
                Op::Merge { at: 1 },
                Op::Open { second: false, tags: 4, base: false, paths: 1, draft: false, fork },
                open(0),
                Op::Move { task: 2, column: 1 },
            ],
            vec![lost(), lost(), on_time()],
            vec![Work::Nothing, Work::Nothing, Work::Dies(1), Work::Nothing, Work::Stream],
        )
    };
    let known = [
        late_task(false),
        late_task(true),
        // Read from the API, retitled and merged in one second: the merge counts for the title it was merged with.
        History {
            setting: Setting { settle_reads: 1, tick: 0, ..usual.clone() },
            ..played(
                vec![open(1), Op::Draft { at: 0 }, Op::Retitle { at: 0, tags: 2 }, Op::Merge { at: 0 }],
                vec![on_time(), lost(), lost(), on_time()],
                vec![Work::Nothing, Work::Stream, Work::Nothing, Work::Nothing],
            )
        },
        // Left its base owed once, on a machine with eight times the work it has processors for.
        History {
            setting: Setting { submitted: vec![false, true], tick: 0, ..usual.clone() },
            ..played(
                vec![
                    Op::Open { second: false, tags: 7, base: false, paths: 6, draft: true, fork: false },
                    Op::Draft { at: 2 },
                    Op::Open { second: false, tags: 6, base: true, paths: 2, draft: false, fork: true },
                    Op::Open { second: false, tags: 1, base: false, paths: 4, draft: true, fork: false },
                    Op::Open { second: false, tags: 3, base: true, paths: 5, draft: false, fork: false },
                    Op::Merge { at: 2 },
                    Op::Retarget { at: 0, base: false },
                    Op::Merge { at: 1 },
                    Op::Retarget { at: 3, base: false },
                    Op::Retarget { at: 1, base: true },
                    Op::Open { second: false, tags: 4, base: false, paths: 5, draft: true, fork: true },
                ],
                vec![
                    on_time(),
                    lost(),
                    lost(),
                    Fate { copies: vec![1] },
                    lost(),
                    Fate { copies: vec![5] },
                    Fate { copies: vec![1] },
                    lost(),
                ],
                vec![Work::Stream, Work::Nothing, Work::Nothing, Work::Nothing, Work::Nothing, Work::Nothing],
            )
        },
        // Resynced several times before it has any pull request.
        played(vec![Op::Tick { seconds: 1 }, Op::Tick { seconds: 1 }, open(1)], vec![lost()], vec![Work::MuchLater]),
        // Merged, reworked, reverted by GitHub's own button, and submitted with another pull request.
        played(
            vec![
                open(1),
                Op::Merge { at: 0 },
                Op::Tick { seconds: 120 },
                Op::Move { task: 0, column: 0 },
                open(1),
                Op::Move { task: 0, column: 1 },
                Op::Revert { at: 0 },
            ],
            vec![on_time()],
            vec![Work::Stream],
        ),
    ];
    for history in known {
        if let Err(failed) = compare(&history).await {
            panic!("{failed}\n{history:#?}");
        }
    }
}

/// How many histories are drawn where `HISTORIES` does not say.
const DRAWN: u32 = 200;

#[test]
fn the_board_ends_right_whatever_became_of_the_deliveries() {
    let drawn = std::env::var("HISTORIES").ok().and_then(|count| count.parse().ok()).unwrap_or(DRAWN);
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u32);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| draw(drawn.div_ceil(threads)));
        }
    });
}

/// Draws histories until one fails, and shrinks that one; its seed is kept beside this file and comes first from then on.
fn draw(cases: u32) {
    let regressions = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/reconcile/histories.regressions");
    let failure_persistence: Option<Box<dyn FailurePersistence>> =
        Some(Box::new(FileFailurePersistence::Direct(regressions)));
    let config = Config { cases, max_shrink_iters: 500, failure_persistence, ..Config::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = TestRunner::new(config).run(&history(), |history| {
        let compared = runtime.block_on(AssertUnwindSafe(compare(&history)).catch_unwind());
        compared.unwrap_or_else(|_| Err(TestCaseError::fail("panicked")))
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, history)) => panic!("{reason}\n{history:#?}"),
        Err(error) => panic!("{error}"),
    }
}
