//! Any order, any loss, any duplication: whatever becomes of the deliveries, the board ends as if none had gone astray.
//!
//! A history is drawn and happens twice, on two equal GitHubs. On the one, each event is delivered at once, and reconcile runs
//! after it; on the other, deliveries are dropped, doubled, delayed and swapped, and reconcile runs now and then, by stream, by
//! schedule, or twice at once. In the end both boards must show the same, and what they show must be GitHub's truth.
//! Left out of the comparison is what rightly depends on when something was learned: times, culprits, versions, and which
//! repository a task was bound to by a link that is gone again. Titles are not edited after a merge.

use std::panic::AssertUnwindSafe;

use fake_github::{Event, NewPullRequest, PullState};
use futures_util::FutureExt;
use proptest::prelude::*;
use proptest::test_runner::{Config, FailurePersistence, FileFailurePersistence, TestCaseError, TestError, TestRunner};
use serde_json::{Value, json};

use super::World;
use super::world::REPOSITORY;

const TASKS: [&str; 3] = ["aaaaaaa1", "bbbbbbb2", "ccccccc3"];
const BASES: [&str; 2] = ["main", "release"];
const PATHS: [&str; 3] = ["a.rs", "b.rs", "c.rs"];

/// Something that happens on GitHub or on the board. A pull request is meant by its place among those there are.
#[derive(Debug, Clone)]
enum Op {
    Open {
        tags: u8,
        base: bool,
        paths: u8,
        draft: bool,
        fork: bool,
    },
    Push {
        at: usize,
        rebased: bool,
    },
    Retarget {
        at: usize,
        base: bool,
    },
    Retitle {
        at: usize,
        tags: u8,
    },
    Draft {
        at: usize,
    },
    Close {
        at: usize,
    },
    Reopen {
        at: usize,
    },
    Merge {
        at: usize,
    },
    /// A pull request without a tag is opened and merged.
    MergeAnother {
        base: bool,
        paths: u8,
    },
    Submit {
        task: usize,
    },
    /// How many seconds pass, to GitHub, between what people do from here on.
    Tick {
        seconds: i64,
    },
}

/// What becomes of an event's delivery: how many steps late each copy comes, if at all.
#[derive(Debug, Clone)]
struct Fate {
    copies: Vec<usize>,
}

/// After this what waits for a quarter of an hour is due, also where a run took a busy machine seconds: a run's clock goes on
/// while it works, the world's does not.
const A_QUARTER: i64 = 15 * 60 + 60;

/// Comes only after everything has settled.
const VERY_LATE: usize = 1000;

/// What reconcile does after a step.
#[derive(Debug, Clone, Copy)]
enum Work {
    Nothing,
    Stream,
    Due,
    /// A quarter of an hour passes first, so that resyncs are due.
    MuchLater,
    /// Two environments get the same batch, and a third runs by schedule.
    AtOnce,
}

#[derive(Debug, Clone)]
struct History {
    ops: Vec<Op>,
    fates: Vec<Fate>,
    work: Vec<Work>,
    submitted: Vec<bool>,
    settle_reads: u32,
    tick: i64,
}

fn op() -> impl Strategy<Value = Op> {
    let at = 0..4_usize;
    prop_oneof![
        5 => (0..8_u8, any::<bool>(), 1..8_u8, any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(tags, base, paths, draft, fork)| Op::Open { tags, base, paths, draft, fork }),
        2 => (at.clone(), any::<bool>()).prop_map(|(at, rebased)| Op::Push { at, rebased }),
        1 => (at.clone(), any::<bool>()).prop_map(|(at, base)| Op::Retarget { at, base }),
        2 => (at.clone(), 0..8_u8).prop_map(|(at, tags)| Op::Retitle { at, tags }),
        1 => at.clone().prop_map(|at| Op::Draft { at }),
        2 => at.clone().prop_map(|at| Op::Close { at }),
        2 => at.clone().prop_map(|at| Op::Reopen { at }),
        4 => at.prop_map(|at| Op::Merge { at }),
        2 => (any::<bool>(), 1..8_u8).prop_map(|(base, paths)| Op::MergeAnother { base, paths }),
        1 => (0..TASKS.len()).prop_map(|task| Op::Submit { task }),
        1 => tick().prop_map(|seconds| Op::Tick { seconds }),
    ]
}

/// Much happens within one second, which GitHub's stamps cannot tell apart.
fn tick() -> impl Strategy<Value = i64> {
    prop_oneof![2 => Just(0_i64), 2 => Just(1), 1 => Just(120)]
}

fn fate() -> impl Strategy<Value = Fate> {
    let late = prop_oneof![6 => Just(0), 6 => 1..6_usize, 1 => Just(VERY_LATE)];
    prop::collection::vec(late, 0..3).prop_map(|copies| Fate { copies })
}

fn work() -> impl Strategy<Value = Work> {
    prop_oneof![
        5 => Just(Work::Nothing),
        3 => Just(Work::Stream),
        1 => Just(Work::Due),
        1 => Just(Work::MuchLater),
        1 => Just(Work::AtOnce),
    ]
}

fn history() -> impl Strategy<Value = History> {
    let lists = (
        prop::collection::vec(op(), 2..14),
        prop::collection::vec(fate(), 1..10),
        prop::collection::vec(work(), 1..10),
        prop::collection::vec(prop::bool::weighted(0.7), TASKS.len()),
        0..3_u32,
        tick(),
    );
    lists.prop_map(|(ops, fates, work, submitted, settle_reads, tick)| History {
        ops,
        fates,
        work,
        submitted,
        settle_reads,
        tick,
    })
}

fn title(tags: u8) -> String {
    let tags = TASKS.iter().enumerate().filter(|(at, _)| tags & (1 << at) != 0);
    format!("Work{}", tags.map(|(_, tag)| format!(" [kid: #{tag}]")).collect::<String>())
}

fn paths(mask: u8) -> Vec<String> {
    PATHS.iter().enumerate().filter(|(at, _)| mask & (1 << at) != 0).map(|(_, path)| (*path).to_owned()).collect()
}

/// Lets something happen, if it can, and gives GitHub's events.
fn happen(world: &mut World, op: &Op) -> Vec<Event> {
    let tick = world.tick;
    world.pass(tick);
    let github = world.hub().clone();
    let numbers = github.numbers(REPOSITORY);
    let pick = |at: usize| (!numbers.is_empty()).then(|| numbers[at % numbers.len()]);
    let is = |at: usize, state: PullState| pick(at).filter(|number| github.truth(REPOSITORY, *number).state == state);
    let open = |tags, base: bool, mask, draft, fork: bool| {
        github.open_pull_request(
            REPOSITORY,
            NewPullRequest {
                base: BASES[usize::from(base)].to_owned(),
                paths: paths(mask),
                draft,
                from_fork: fork,
                author: if fork { "friend".to_owned() } else { "octocat".to_owned() },
                ..NewPullRequest::titled(&title(tags))
            },
        )
    };
    let event = match op {
        Op::Open { tags, base, paths, draft, fork } => Some(open(*tags, *base, *paths, *draft, *fork)),
        Op::Push { at, rebased } => is(*at, PullState::Open).map(|number| match rebased {
            true => github.push_rebased(REPOSITORY, number),
            false => github.push(REPOSITORY, number),
        }),
        Op::Retarget { at, base } => is(*at, PullState::Open)
            .filter(|number| github.truth(REPOSITORY, *number).base != BASES[usize::from(*base)])
            .map(|number| github.retarget(REPOSITORY, number, BASES[usize::from(*base)])),
        Op::Retitle { at, tags } => pick(*at)
            .filter(|number| github.truth(REPOSITORY, *number).state != PullState::Merged)
            .map(|number| github.retitle(REPOSITORY, number, &title(*tags))),
        Op::Draft { at } => is(*at, PullState::Open).map(|number| match github.truth(REPOSITORY, number).draft {
            true => github.ready_for_review(REPOSITORY, number),
            false => github.convert_to_draft(REPOSITORY, number),
        }),
        Op::Close { at } => is(*at, PullState::Open).map(|number| github.close(REPOSITORY, number)),
        Op::Reopen { at } => is(*at, PullState::Closed).map(|number| github.reopen(REPOSITORY, number)),
        Op::Merge { at } => is(*at, PullState::Open)
            .filter(|number| !github.truth(REPOSITORY, *number).conflict)
            .map(|number| github.merge(REPOSITORY, number)),
        Op::MergeAnother { base, paths } => {
            let opened = open(0, *base, *paths, false, false);
            world.pass(tick);
            let merged = world.hub().merge(REPOSITORY, opened.number());
            return vec![opened, merged];
        }
        Op::Submit { task } => {
            if world.read_task(TASKS[*task])["status"] == "in_progress" {
                world.move_task(TASKS[*task], "pr_submitted");
            }
            None
        }
        Op::Tick { seconds } => {
            world.tick = *seconds;
            None
        }
    };
    event.into_iter().collect()
}

async fn start(history: &History) -> World {
    let mut world = World::new().await;
    world.tick = history.tick;
    world.github.set_collaborator(REPOSITORY, "friend", "write");
    world.github.set_settle_reads(history.settle_reads);
    for (task, submitted) in TASKS.iter().zip(&history.submitted) {
        world.task(task, if *submitted { "pr_submitted" } else { "in_progress" });
    }
    world
}

async fn faithful(history: &History) -> World {
    let mut world = start(history).await;
    for op in &history.ops {
        for event in happen(&mut world, op) {
            world.deliver(&event).await;
        }
        world.stream().await;
    }
    settle(&mut world).await;
    world
}

async fn unfaithful(history: &History) -> World {
    let mut world = start(history).await;
    let mut pending: Vec<(usize, Event)> = Vec::new();
    let mut events = 0;
    for (step, op) in history.ops.iter().enumerate() {
        for event in happen(&mut world, op) {
            let fate = &history.fates[events % history.fates.len()];
            pending.extend(fate.copies.iter().map(|late| (step + late, event.clone())));
            events += 1;
        }
        // The last to come first: what is late by one step overtakes what is on time.
        for (_, event) in pending.extract_if(.., |(at, _)| *at <= step).collect::<Vec<_>>().iter().rev() {
            world.deliver(event).await;
        }
        work_on(&mut world, history.work[step % history.work.len()]).await;
    }
    for (_, event) in pending.extract_if(.., |(at, _)| *at < VERY_LATE).collect::<Vec<_>>().iter().rev() {
        world.deliver(event).await;
    }
    settle(&mut world).await;
    if !pending.is_empty() {
        for (_, event) in pending {
            world.deliver(&event).await;
        }
        settle(&mut world).await;
    }
    world
}

async fn work_on(world: &mut World, work: Work) {
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
    }
}

/// Settles all but merges that wait for their task, which is what they should do.
async fn settle(world: &mut World) {
    for round in 0..8 {
        world.stream().await;
        world.pass(A_QUARTER);
        world.due().await;
        world.due().await;
        if round > 0 && world.owed().iter().all(|item| item["state"] == "merged") {
            return;
        }
    }
    let summary = world.due().await;
    panic!(
        "still owed after two hours: {:#?}\nof {:#?}\n{summary:?}",
        world.owed(),
        world.dynamodb.scan("PullRequests")
    );
}

/// What the board shows of a task.
fn shown(world: &World, task: &str) -> Value {
    let task = world.read_task(task);
    let linked = task["pull_requests"].as_object().cloned().unwrap_or_default();
    let linked: serde_json::Map<_, _> = linked
        .into_iter()
        .map(|(key, linked)| {
            let open = linked["state"] == "open";
            let mergeability = if open { linked["mergeability"].clone() } else { Value::Null };
            (key, json!({"state": linked["state"], "url": linked["url"], "mergeability": mergeability}))
        })
        .collect();
    json!({
        "status": task["status"],
        "pull_requests": linked,
        "pull_request": task["pull_request"],
        "has_merge_conflict": task["has_merge_conflict"],
        "completed_by": task.get("completed_by").cloned().unwrap_or_else(|| json!([])),
    })
}

/// Whether the board says of the current pull request what is so.
fn truth_of(world: &World, task: &Value) -> Value {
    let Some(number) = task["pull_request"].as_str().and_then(|key| key.rsplit_once('#')?.1.parse().ok()) else {
        return Value::Null;
    };
    json!(world.github.truth(REPOSITORY, number).conflict)
}

async fn compare(history: &History) -> Result<(), TestCaseError> {
    let (right, tried) = (faithful(history).await, unfaithful(history).await);
    for task in TASKS {
        let (right, tried_task) = (shown(&right, task), shown(&tried, task));
        prop_assert_eq!(&tried_task, &right, "task {}", task);
        prop_assert_eq!(&tried_task["has_merge_conflict"], &truth_of(&tried, &tried_task), "task {}", task);
    }
    tried.github.assert_nothing_unexpected();
    Ok(())
}

/// Histories that went wrong once, or that only a rare draw would hit.
#[tokio::test]
async fn the_board_ends_right_after_histories_that_once_went_wrong() {
    let on_time = || Fate { copies: vec![0] };
    let lost = || Fate { copies: vec![] };
    let open = |tags| Op::Open { tags, base: false, paths: 1, draft: false, fork: false };
    let known = [
        // Read from the API, retitled and merged in one second: the merge counts for the title it was merged with.
        History {
            ops: vec![open(1), Op::Draft { at: 0 }, Op::Retitle { at: 0, tags: 2 }, Op::Merge { at: 0 }],
            fates: vec![on_time(), lost(), lost(), on_time()],
            work: vec![Work::Nothing, Work::Stream, Work::Nothing, Work::Nothing],
            submitted: vec![true; 3],
            settle_reads: 1,
            tick: 0,
        },
        // Left its base owed once, on a machine with eight times the work it has processors for, and never again since.
        History {
            ops: vec![
                Op::Open { tags: 7, base: false, paths: 6, draft: true, fork: false },
                Op::Draft { at: 2 },
                Op::Open { tags: 6, base: true, paths: 2, draft: false, fork: true },
                Op::Open { tags: 1, base: false, paths: 4, draft: true, fork: false },
                Op::Open { tags: 3, base: true, paths: 5, draft: false, fork: false },
                Op::Merge { at: 2 },
                Op::Retarget { at: 0, base: false },
                Op::Merge { at: 1 },
                Op::Retarget { at: 3, base: false },
                Op::Retarget { at: 1, base: true },
                Op::Open { tags: 4, base: false, paths: 5, draft: true, fork: true },
            ],
            fates: vec![
                on_time(),
                lost(),
                lost(),
                Fate { copies: vec![1] },
                lost(),
                Fate { copies: vec![5] },
                Fate { copies: vec![1] },
                lost(),
            ],
            work: vec![Work::Stream, Work::Nothing, Work::Nothing, Work::Nothing, Work::Nothing, Work::Nothing],
            submitted: vec![false, true, false],
            settle_reads: 0,
            tick: 0,
        },
        // Resynced several times before it has any pull request.
        History {
            ops: vec![Op::Tick { seconds: 1 }, Op::Tick { seconds: 1 }, open(1)],
            fates: vec![lost()],
            work: vec![Work::MuchLater],
            submitted: vec![true; 3],
            settle_reads: 0,
            tick: 1,
        },
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
