//! What people do on GitHub and on the board, drawn and done, in any place: and whether the cards are then as the truth ([`super::truth`]) has them.

use std::collections::BTreeMap;
use std::ops::Deref;

use fake_github::{Event, GitHub, NewPullRequest, PullState};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use stack::Services;

use super::truth::{Log, Pull};
use super::world::REPOSITORY;

pub(crate) const TASKS: [&str; 3] = ["aaaaaaa1", "bbbbbbb2", "ccccccc3"];
const BASES: [&str; 2] = ["main", "release"];
const PATHS: [&str; 3] = ["a.rs", "b.rs", "c.rs"];

/// Something that happens on GitHub or on the board. A pull request is meant by its place among those there are.
#[derive(Debug, Clone)]
pub(crate) enum Op {
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
pub(crate) struct Fate {
    pub(crate) copies: Vec<usize>,
}

/// After this what waits for a quarter of an hour is due, also where a run took a busy machine seconds: a run's clock goes on
/// while it works, the world's does not.
pub(crate) const A_QUARTER: i64 = 15 * 60 + 60;

const A_DAY: i64 = 24 * 60 * 60 + 60;

/// Comes only after everything has settled.
pub(crate) const VERY_LATE: usize = 1000;

/// `most` is how many pull requests are told apart.
pub(crate) fn op(most: usize) -> impl Strategy<Value = Op> {
    let at = 0..most;
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
pub(crate) fn tick() -> impl Strategy<Value = i64> {
    prop_oneof![2 => Just(0_i64), 2 => Just(1), 2 => Just(120)]
}

pub(crate) fn fate() -> impl Strategy<Value = Fate> {
    let late = prop_oneof![6 => Just(0), 6 => 1..6_usize, 1 => Just(VERY_LATE)];
    prop::collection::vec(late, 0..3).prop_map(|copies| Fate { copies })
}

fn title(tags: u8) -> String {
    let tags = TASKS.iter().enumerate().filter(|(at, _)| tags & (1 << at) != 0);
    format!("Work{}", tags.map(|(_, tag)| format!(" [kid: #{tag}]")).collect::<String>())
}

fn paths(mask: u8) -> Vec<&'static str> {
    PATHS.iter().enumerate().filter(|(at, _)| mask & (1 << at) != 0).map(|(_, path)| *path).collect()
}

/// Where people do things: the services, and a clock.
pub(crate) trait Place: Deref<Target = Services> {
    /// When it is.
    fn now(&self) -> Timestamp;

    /// Lets seconds pass.
    fn pass(&mut self, seconds: i64);

    /// GitHub, where whatever is done next is stamped with the place's time.
    fn hub(&self) -> &GitHub;

    /// Hands reconcile what the stream holds.
    async fn stream(&self);

    /// Lets reconcile do what is due.
    async fn due(&self);

    /// Everything that is owed, resyncs and the scan aside.
    fn owed(&self) -> Vec<Value> {
        let items = self.dynamodb.scan("PullRequests").into_iter();
        items.filter(|item| item.get("due").is_some() && item["item"] != "sync" && item["item"] != "scan").collect()
    }
}

/// GitHub, where whatever is done next to the repository is stamped with this time.
pub(crate) fn at(github: &GitHub, began: Timestamp, now: Timestamp) -> &GitHub {
    let touched = github.numbers(REPOSITORY).into_iter();
    let clock = touched.map(|number| github.truth(REPOSITORY, number).updated_at).max().unwrap_or(began);
    github.set_tick(now.as_second() - clock.as_second());
    github
}

/// A place, and what happened in it.
pub(crate) struct Played<P> {
    pub(crate) world: P,
    log: Log,
    /// How many seconds pass between what people do.
    tick: i64,
    /// When each pull request was merged, and its title then.
    merged: BTreeMap<u64, (i64, String)>,
    wrong: Option<String>,
}

impl<P: Place> Played<P> {
    /// Where nothing has happened yet; a task is in `pr_submitted` or in `in_progress`.
    pub(crate) fn new(world: P, submitted: &[bool], keeps_time: bool, tick: i64) -> Self {
        world.github.set_collaborator(REPOSITORY, "friend", "write");
        let log = Log::new(keeps_time);
        let mut played = Self { world, log, tick, merged: BTreeMap::new(), wrong: None };
        for (task, submitted) in submitted.iter().enumerate() {
            played.write_card(task, if *submitted { "pr_submitted" } else { "in_progress" });
        }
        played
    }

    fn now(&self) -> i64 {
        self.world.now().as_second()
    }

    fn card(&self, task: &str) -> Option<Value> {
        self.world.find(task)
    }

    /// The board writes a card, as a person who moves or makes it does.
    fn write_card(&mut self, task: usize, column: &str) {
        let task = TASKS[task];
        let before = self.card(task);
        let now = self.world.now();
        let logged = self.log.board(task, before.as_ref(), column, now.as_second());
        self.wrong = self.wrong.take().or(logged.err());
        let mut changes = json!({ "status": column });
        if self.log.keeps_time {
            changes["updated_at"] = json!(now.to_string());
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
    pub(crate) fn happen(&mut self, op: &Op) -> Vec<Event> {
        let tick = self.tick;
        self.world.pass(tick);
        let events = self.events(op);
        let (now, pulls) = (self.now(), self.pulls());
        self.log.github(now, pulls);
        events
    }

    fn events(&mut self, op: &Op) -> Vec<Event> {
        let tick = self.tick;
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
                self.tick = *seconds;
                None
            }
        };
        event.into_iter().collect()
    }

    /// Lets everything come to rest but merges that wait for their task, which is what they should do: what is due, resyncs and the daily
    /// comparison.
    pub(crate) async fn settle(&mut self) {
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
        panic!("still owed after three hours: {:#?}\nof {:#?}", world.owed(), world.dynamodb.scan("PullRequests"));
    }

    pub(crate) fn judge(&self) -> Result<(), String> {
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
