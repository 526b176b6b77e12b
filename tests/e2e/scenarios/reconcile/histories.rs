//! Any order, any loss, any duplication, any failure: whatever becomes of the deliveries and of the calls, the board ends as GitHub is.
//!
//! A history is drawn of what people do on GitHub and on the board. Deliveries are dropped, doubled, delayed and swapped; reconcile runs now and
//! then, by stream, by schedule or twice at once; tables and GitHub fail, and runs die. In the end everything is let come to rest, and each card is
//! held against the truth ([`super::truth`]), which knows nothing of how the app works.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

use domain::report::Report;
use fake_github::{Event, Fault as GitHubFault, FaultKind, NewPullRequest, PullState};
use futures_util::FutureExt;
use jiff::SignedDuration;
use local_aws::{Fault, Rule};
use proptest::prelude::*;
use proptest::test_runner::{Config, FailurePersistence, FileFailurePersistence, TestCaseError, TestError, TestRunner};
use serde_json::{Value, json};

use super::World;
use super::truth::{Log, Pull};
use super::world::{RECONCILE, REPOSITORY};

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
    /// Also after the merge, where it changes nothing.
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
    /// GitHub's own revert of a merged one is opened, and merged.
    Revert {
        at: usize,
    },
    /// A pull request without a tag is opened and merged.
    MergeAnother {
        base: bool,
        paths: u8,
    },
    /// Somebody pushes straight to a base.
    PushBase {
        base: bool,
        paths: u8,
    },
    /// The board puts a card into another column, whatever it is in; a task that is not there yet is made.
    Move {
        task: usize,
        column: usize,
    },
    /// How many seconds pass, to GitHub and to the board, between what people do from here on.
    Tick {
        seconds: i64,
    },
}

const COLUMNS: [&str; 4] = ["in_progress", "pr_submitted", "pr_submitted", "trash"];

/// What becomes of an event's delivery: how many steps late each copy comes, if at all.
#[derive(Debug, Clone)]
struct Fate {
    copies: Vec<usize>,
}

/// After this what waits for a quarter of an hour is due, also where a run took a busy machine seconds: a run's clock goes on
/// while it works, the world's does not.
const A_QUARTER: i64 = 15 * 60 + 60;

const A_DAY: i64 = 24 * 60 * 60 + 60;

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
    /// A run dies at its n-th table call.
    Dies(usize),
    /// A run whose n-th table call fails, and those that follow.
    TablesFail(usize),
    /// A committed write of a run's is never answered.
    AnswerLost(usize),
    /// GitHub fails while a run asks.
    GitHubFails,
}

#[derive(Debug, Clone)]
struct History {
    ops: Vec<Op>,
    fates: Vec<Fate>,
    work: Vec<Work>,
    submitted: Vec<bool>,
    keeps_time: bool,
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
        3 => (at.clone(), 0..8_u8).prop_map(|(at, tags)| Op::Retitle { at, tags }),
        1 => at.clone().prop_map(|at| Op::Draft { at }),
        2 => at.clone().prop_map(|at| Op::Close { at }),
        2 => at.clone().prop_map(|at| Op::Reopen { at }),
        4 => at.clone().prop_map(|at| Op::Merge { at }),
        1 => at.prop_map(|at| Op::Revert { at }),
        2 => (any::<bool>(), 1..8_u8).prop_map(|(base, paths)| Op::MergeAnother { base, paths }),
        1 => (any::<bool>(), 1..8_u8).prop_map(|(base, paths)| Op::PushBase { base, paths }),
        3 => (0..TASKS.len(), 0..COLUMNS.len()).prop_map(|(task, column)| Op::Move { task, column }),
        1 => tick().prop_map(|seconds| Op::Tick { seconds }),
    ]
}

/// Much happens within one second, which GitHub's stamps cannot tell apart.
fn tick() -> impl Strategy<Value = i64> {
    prop_oneof![2 => Just(0_i64), 2 => Just(1), 2 => Just(120)]
}

fn fate() -> impl Strategy<Value = Fate> {
    let late = prop_oneof![6 => Just(0), 6 => 1..6_usize, 1 => Just(VERY_LATE)];
    prop::collection::vec(late, 0..3).prop_map(|copies| Fate { copies })
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
        1 => Just(Work::GitHubFails),
    ]
}

fn history() -> impl Strategy<Value = History> {
    let lists = (
        prop::collection::vec(op(), 2..14),
        prop::collection::vec(fate(), 1..10),
        prop::collection::vec(work(), 1..10),
        prop::collection::vec(prop::bool::weighted(0.7), TASKS.len() - 1),
        prop::bool::weighted(0.8),
        0..3_u32,
        tick(),
    );
    lists.prop_map(|(ops, fates, work, submitted, keeps_time, settle_reads, tick)| History {
        ops,
        fates,
        work,
        submitted,
        keeps_time,
        settle_reads,
        tick,
    })
}

fn title(tags: u8) -> String {
    let tags = TASKS.iter().enumerate().filter(|(at, _)| tags & (1 << at) != 0);
    format!("Work{}", tags.map(|(_, tag)| format!(" [kid: #{tag}]")).collect::<String>())
}

fn paths(mask: u8) -> Vec<&'static str> {
    PATHS.iter().enumerate().filter(|(at, _)| mask & (1 << at) != 0).map(|(_, path)| *path).collect()
}

/// A world, and what happened in it.
struct Played {
    world: World,
    log: Log,
    /// When each pull request was merged, and its title then.
    merged: BTreeMap<u64, (i64, String)>,
    wrong: Option<String>,
}

impl Played {
    async fn start(history: &History) -> Self {
        let mut world = World::new().await;
        world.tick = history.tick;
        world.github.set_collaborator(REPOSITORY, "friend", "write");
        world.github.set_settle_reads(history.settle_reads);
        let log = Log::new(history.keeps_time);
        let mut played = Self { world, log, merged: BTreeMap::new(), wrong: None };
        for (task, submitted) in history.submitted.iter().enumerate() {
            played.write_card(task, if *submitted { "pr_submitted" } else { "in_progress" });
        }
        played
    }

    fn now(&self) -> i64 {
        self.world.now.as_second()
    }

    fn card(&self, task: &str) -> Option<Value> {
        self.world.find(task)
    }

    /// The board writes a card, as a person who moves or makes it does.
    fn write_card(&mut self, task: usize, column: &str) {
        let task = TASKS[task];
        let before = self.card(task);
        let at = self.now();
        let logged = self.log.board(task, before.as_ref(), column, at);
        self.wrong = self.wrong.take().or(logged.err());
        let mut changes = json!({ "status": column });
        if self.log.keeps_time {
            changes["updated_at"] = json!(self.world.now.to_string());
        }
        if before.is_none() {
            self.world.put_task(task, &json!({"title": "a card"}));
        }
        self.world.change_task(task, &changes);
    }

    /// GitHub as it is now.
    fn pulls(&self) -> BTreeMap<u64, Pull> {
        let github = &self.world.github;
        let pull = |number: u64| {
            let truth = github.truth(REPOSITORY, number);
            let merged = self.merged.get(&number);
            let state = match truth.state {
                PullState::Open => "open",
                PullState::Closed => "closed",
                PullState::Merged => "merged",
            };
            // What a revert quotes names nothing.
            let title = merged.map_or(truth.title, |(_, title)| title.clone());
            let title = if title.starts_with("Revert \"") { String::new() } else { title };
            let pull = Pull {
                open: truth.state == PullState::Open,
                conflict: truth.conflict,
                state,
                created: truth.created_at.as_second(),
                title,
                merged: merged.map(|(at, _)| *at),
            };
            (number, pull)
        };
        github.numbers(REPOSITORY).into_iter().map(pull).collect()
    }

    fn merge(&mut self, number: u64) -> Event {
        let title = self.world.github.truth(REPOSITORY, number).title;
        let event = self.world.hub().merge(REPOSITORY, number);
        let at = self.world.github.truth(REPOSITORY, number).updated_at.as_second();
        self.merged.insert(number, (at, title));
        event
    }

    /// Lets something happen, if it can, and gives GitHub's events.
    fn happen(&mut self, op: &Op) -> Vec<Event> {
        let tick = self.world.tick;
        self.world.pass(tick);
        let events = self.events(op);
        let (now, pulls) = (self.now(), self.pulls());
        self.log.github(now, pulls);
        events
    }

    fn events(&mut self, op: &Op) -> Vec<Event> {
        let tick = self.world.tick;
        let github = self.world.hub().clone();
        let numbers = github.numbers(REPOSITORY);
        let pick = |at: usize| (!numbers.is_empty()).then(|| numbers[at % numbers.len()]);
        let is =
            |at: usize, state: PullState| pick(at).filter(|number| github.truth(REPOSITORY, *number).state == state);
        let open = |title: &str, base: bool, mask, draft, fork: bool| {
            github.open_pull_request(
                REPOSITORY,
                NewPullRequest {
                    base: BASES[usize::from(base)].to_owned(),
                    paths: paths(mask).into_iter().map(ToOwned::to_owned).collect(),
                    draft,
                    from_fork: fork,
                    author: if fork { "friend".to_owned() } else { "octocat".to_owned() },
                    ..NewPullRequest::titled(title)
                },
            )
        };
        let event = match op {
            Op::Open { tags, base, paths, draft, fork } => Some(open(&title(*tags), *base, *paths, *draft, *fork)),
            Op::Push { at, rebased } => is(*at, PullState::Open).map(|number| match rebased {
                true => github.push_rebased(REPOSITORY, number),
                false => github.push(REPOSITORY, number),
            }),
            Op::Retarget { at, base } => is(*at, PullState::Open)
                .filter(|number| github.truth(REPOSITORY, *number).base != BASES[usize::from(*base)])
                .map(|number| github.retarget(REPOSITORY, number, BASES[usize::from(*base)])),
            Op::Retitle { at, tags } => pick(*at).map(|number| github.retitle(REPOSITORY, number, &title(*tags))),
            Op::Draft { at } => is(*at, PullState::Open).map(|number| match github.truth(REPOSITORY, number).draft {
                true => github.ready_for_review(REPOSITORY, number),
                false => github.convert_to_draft(REPOSITORY, number),
            }),
            Op::Close { at } => is(*at, PullState::Open).map(|number| github.close(REPOSITORY, number)),
            Op::Reopen { at } => is(*at, PullState::Closed).map(|number| github.reopen(REPOSITORY, number)),
            Op::Merge { at } => is(*at, PullState::Open)
                .filter(|number| !github.truth(REPOSITORY, *number).conflict)
                .map(|number| self.merge(number)),
            Op::Revert { at } => {
                let Some(reverted) = is(*at, PullState::Merged) else { return Vec::new() };
                let title = format!("Revert \"{}\"", self.merged[&reverted].1);
                let opened = open(&title, false, 1, false, false);
                self.world.pass(tick);
                let merged = self.merge(opened.number());
                return vec![opened, merged];
            }
            Op::MergeAnother { base, paths } => {
                let opened = open(&title(0), *base, *paths, false, false);
                self.world.pass(tick);
                let merged = self.merge(opened.number());
                return vec![opened, merged];
            }
            Op::PushBase { base, paths: mask } => {
                github.push_to_branch(REPOSITORY, BASES[usize::from(*base)], &paths(*mask));
                None
            }
            Op::Move { task, column } => {
                let moved = self.card(TASKS[*task]).is_none_or(|card| card["status"] != COLUMNS[*column]);
                if moved {
                    self.write_card(*task, COLUMNS[*column]);
                }
                None
            }
            Op::Tick { seconds } => {
                self.world.tick = *seconds;
                None
            }
        };
        event.into_iter().collect()
    }

    /// A delivery whose tables fail is answered 500, and GitHub does not repeat it.
    async fn deliver(&self, event: &Event) {
        let body = event.payload.to_string();
        let read = webhook::event::read(body.as_bytes(), Some(&event.name), None, |_| true).expect("a readable event");
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
            self.work_on(history.work[step % history.work.len()]).await;
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
            Work::GitHubFails => {
                world.github.fault(GitHubFault::always("/", FaultKind::ServerError));
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
    }

    /// Lets everything come to rest but merges that wait for their task, which is what they should do: what is due, resyncs and the daily
    /// comparison.
    async fn settle(&mut self) {
        let world = &mut self.world;
        world.pass(A_DAY);
        for round in 0..12 {
            world.stream().await;
            world.pass(A_QUARTER);
            for _ in 0..3 {
                world.due().await;
            }
            if round > 1 && world.owed().iter().all(|item| item["state"] == "merged") {
                return;
            }
        }
        let summary = world.due().await;
        panic!(
            "still owed after three hours: {:#?}\nof {:#?}\n{summary:?}",
            world.owed(),
            world.dynamodb.scan("PullRequests")
        );
    }

    fn judge(&self) -> Result<(), String> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        for task in TASKS {
            if let Some(card) = self.card(task) {
                self.log.at_rest(task, &card, self.now()).map_err(|wrong| format!("{wrong}\n{card:#}"))?;
            }
        }
        Ok(())
    }
}

async fn compare(history: &History) -> Result<(), TestCaseError> {
    let mut played = Played::start(history).await;
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
    let open = |tags| Op::Open { tags, base: false, paths: 1, draft: false, fork: false };
    let usual = |ops, fates, work| History {
        ops,
        fates,
        work,
        submitted: vec![true; 2],
        keeps_time: true,
        settle_reads: 0,
        tick: 1,
    };
    // A task that comes after an old merge of it and after the opening of a newer pull request.
    let late_task = |fork| History {
        submitted: vec![false, false],
        tick: 0,
        ..usual(
            vec![
                open(4),
                open(0),
                Op::Merge { at: 0 },
                open(0),
                Op::Merge { at: 1 },
                Op::Open { tags: 4, base: false, paths: 1, draft: false, fork },
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
            settle_reads: 1,
            tick: 0,
            ..usual(
                vec![open(1), Op::Draft { at: 0 }, Op::Retitle { at: 0, tags: 2 }, Op::Merge { at: 0 }],
                vec![on_time(), lost(), lost(), on_time()],
                vec![Work::Nothing, Work::Stream, Work::Nothing, Work::Nothing],
            )
        },
        // Left its base owed once, on a machine with eight times the work it has processors for.
        History {
            submitted: vec![false, true],
            tick: 0,
            ..usual(
                vec![
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
        usual(vec![Op::Tick { seconds: 1 }, Op::Tick { seconds: 1 }, open(1)], vec![lost()], vec![Work::MuchLater]),
        // Merged, reworked, reverted by GitHub's own button, and submitted with another pull request.
        usual(
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
