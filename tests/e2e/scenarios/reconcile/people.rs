//! What people do on GitHub and on the board, drawn and done, in any place: and whether the cards are then as the truth ([`super::truth`]) has them.

use std::collections::BTreeMap;
use std::ops::Deref;

use fake_github::{Event, GitHub, NewPullRequest, PullState, Selection};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use stack::Services;

use super::truth::{Log, Pull, Pulls};
use super::world::REPOSITORY;

pub(crate) const TASKS: [&str; 3] = ["aaaaaaa1", "bbbbbbb2", "ccccccc3"];
/// Which of them is another repository's, where there is one.
const ELSEWHERE: usize = 2;

const BASES: [&str; 2] = ["main", "release"];
const PATHS: [&str; 3] = ["a.rs", "b.rs", "c.rs"];

/// Something that happens on GitHub or on the board. A pull request is meant by its place among those there are.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Open {
        second: bool,
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
        second: bool,
        base: bool,
        paths: u8,
    },
    /// Somebody pushes straight to a base.
    PushBase {
        second: bool,
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

/// Whether there is a second repository. Where there is one, the board says of each card to which it belongs, and pull requests name tasks of
/// both as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Second {
    None,
    /// Of the same owner, so that one installation's token opens both.
    SameOwner,
    /// Of another installation.
    AnotherOwner,
}

impl Second {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::SameOwner => Some("acme/gadgets"),
            Self::AnotherOwner => Some("globex/gadgets"),
        }
    }
}

/// What a history begins with.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) second: Second,
    /// Which of the first tasks are in `pr_submitted`; the others are in `in_progress`.
    pub(crate) submitted: Vec<bool>,
    /// Whether the board writes down when it writes.
    pub(crate) keeps_time: bool,
    /// How many reads GitHub answers with "not known yet".
    pub(crate) settle_reads: u32,
    /// How many a page of GitHub's lists holds.
    pub(crate) page_size: usize,
    /// How many seconds pass between what people do.
    pub(crate) tick: i64,
}

/// Settings with one of these.
pub(crate) fn setting(second: &'static [Second]) -> impl Strategy<Value = Setting> {
    let drawn = (
        prop::sample::select(second),
        prop::collection::vec(prop::bool::weighted(0.7), TASKS.len() - 1),
        prop::bool::weighted(0.8),
        0..3_u32,
        prop_oneof![1 => Just(100_usize), 1 => 1..3_usize],
        tick(),
    );
    drawn.prop_map(|(second, submitted, keeps_time, settle_reads, page_size, tick)| Setting {
        second,
        submitted,
        keeps_time,
        settle_reads,
        page_size,
        tick,
    })
}

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
        5 => (elsewhere(), 0..8_u8, any::<bool>(), 1..8_u8, any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(second, tags, base, paths, draft, fork)| Op::Open { second, tags, base, paths, draft, fork }),
        2 => (at.clone(), any::<bool>()).prop_map(|(at, rebased)| Op::Push { at, rebased }),
        1 => (at.clone(), any::<bool>()).prop_map(|(at, base)| Op::Retarget { at, base }),
        3 => (at.clone(), 0..8_u8).prop_map(|(at, tags)| Op::Retitle { at, tags }),
        1 => at.clone().prop_map(|at| Op::Draft { at }),
        2 => at.clone().prop_map(|at| Op::Close { at }),
        2 => at.clone().prop_map(|at| Op::Reopen { at }),
        4 => at.clone().prop_map(|at| Op::Merge { at }),
        1 => at.prop_map(|at| Op::Revert { at }),
        2 => (elsewhere(), any::<bool>(), 1..8_u8).prop_map(|(second, base, paths)| Op::MergeAnother { second, base, paths }),
        1 => (elsewhere(), any::<bool>(), 1..8_u8).prop_map(|(second, base, paths)| Op::PushBase { second, base, paths }),
        3 => (0..TASKS.len(), 0..COLUMNS.len()).prop_map(|(task, column)| Op::Move { task, column }),
        1 => tick().prop_map(|seconds| Op::Tick { seconds }),
    ]
}

/// Whether something happens in the second repository, if there is one.
fn elsewhere() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.3)
}

/// Much happens within one second, which GitHub's stamps cannot tell apart.
fn tick() -> impl Strategy<Value = i64> {
    prop_oneof![2 => Just(0_i64), 2 => Just(1), 2 => Just(120)]
}

pub(crate) fn fate() -> impl Strategy<Value = Fate> {
    let late = prop_oneof![6 => Just(0), 6 => 1..6_usize, 1 => Just(VERY_LATE)];
    prop::collection::vec(late, 0..3).prop_map(|copies| Fate { copies })
}

fn title(tags: u8) -> String {
    let tags = TASKS.iter().enumerate().filter(|(at, _)| tags & (1 << at) != 0);
    format!("Work{}", tags.map(|(_, task)| format!(" {}", tag(task))).collect::<String>())
}

fn tag(task: &str) -> String {
    format!("[kid: #{task}]")
}

fn paths(mask: u8) -> Vec<&'static str> {
    PATHS.iter().enumerate().filter(|(at, _)| mask & (1 << at) != 0).map(|(_, path)| *path).collect()
}

/// A repository's name, and the number of a pull request in it.
type PullName = (&'static str, u64);

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

/// A place, and what happened in it.
pub(crate) struct Played<P> {
    pub(crate) world: P,
    repositories: Vec<&'static str>,
    log: Log,
    /// How many seconds pass between what people do.
    tick: i64,
    /// When each pull request was merged, and its title then.
    merged: BTreeMap<PullName, (i64, String)>,
    wrong: Option<String>,
}

impl<P: Place> Played<P> {
    /// Where nothing has happened yet.
    pub(crate) fn new(world: P, setting: &Setting) -> Self {
        let github = &world.github;
        let Setting { second, submitted, keeps_time, settle_reads, page_size, tick } = setting;
        github.set_settle_reads(*settle_reads);
        github.set_page_size(*page_size);
        if let Some(name) = second.name() {
            github.create_repository(name, true);
            if let (Second::AnotherOwner, Some((owner, _))) = (second, name.split_once('/')) {
                github.install(owner, Selection::All);
            }
        }
        let repositories: Vec<_> = [REPOSITORY].into_iter().chain(second.name()).collect();
        for repository in &repositories {
            github.set_collaborator(repository, "friend", "write");
        }
        let log = Log::new(*keeps_time);
        let mut played = Self { world, repositories, log, tick: *tick, merged: BTreeMap::new(), wrong: None };
        for (task, submitted) in submitted.iter().enumerate() {
            played.write_card(task, if *submitted { "pr_submitted" } else { "in_progress" });
        }
        played
    }

    /// The repository that the board says a task belongs to.
    fn home(&self, task: usize) -> Option<&'static str> {
        let second = self.repositories.get(1)?;
        Some(if task == ELSEWHERE { second } else { REPOSITORY })
    }

    fn now(&self) -> i64 {
        self.world.now().as_second()
    }

    fn card(&self, task: &str) -> Option<Value> {
        self.world.find(task)
    }

    /// The board writes a card, as a person who moves or makes it does.
    fn write_card(&mut self, task: usize, column: &str) {
        let id = TASKS[task];
        let before = self.card(id);
        let now = self.world.now();
        let logged = self.log.board(id, before.as_ref(), column, now.as_second());
        self.wrong = self.wrong.take().or(logged.err());
        let mut changes = json!({ "status": column });
        if self.log.keeps_time {
            changes["updated_at"] = json!(now.to_string());
        }
        if before.is_none() {
            self.world.put_task(
                id,
                &match self.home(task) {
                    Some(home) => json!({"title": "a card", "repository": home}),
                    None => json!({"title": "a card"}),
                },
            );
        }
        self.world.change_task(id, &changes);
    }

    /// GitHub as it is now.
    fn pulls(&self) -> Pulls {
        let github = &self.world.github;
        let pull = |named @ (repository, number): PullName| {
            let truth = github.truth(repository, number);
            let merged = self.merged.get(&named);
            let state = match truth.state {
                PullState::Open => "open",
                PullState::Closed => "closed",
                PullState::Merged => "merged",
            };
            // What a revert quotes names nothing, and neither does the tag of a task of another repository.
            let title = merged.map_or(truth.title, |(_, title)| title.clone());
            let title = if title.starts_with("Revert \"") { String::new() } else { title };
            let foreign = (0..TASKS.len()).filter(|task| self.home(*task).is_some_and(|home| home != repository));
            let pull = Pull {
                number,
                open: truth.state == PullState::Open,
                conflict: truth.conflict,
                state,
                created: truth.created_at.as_second(),
                title: foreign.fold(title, |title, task| title.replace(&tag(TASKS[task]), "")),
                merged: merged.map(|(at, _)| *at),
            };
            (format!("{}#{number}", github.repository_id(repository)), pull)
        };
        self.all().into_iter().map(pull).collect()
    }

    /// The pull requests of all repositories.
    fn all(&self) -> Vec<PullName> {
        let of = |repository| self.world.github.numbers(repository).into_iter().map(move |number| (repository, number));
        self.repositories.iter().copied().flat_map(of).collect()
    }

    fn merge(&mut self, pull_request: PullName) -> Event {
        let (repository, number) = pull_request;
        let title = self.world.github.truth(repository, number).title;
        let event = self.world.hub().merge(repository, number);
        let at = self.world.github.truth(repository, number).updated_at.as_second();
        self.merged.insert(pull_request, (at, title));
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
        let github = self.world.hub().clone();
        let all = self.all();
        let pick = |at: usize| (!all.is_empty()).then(|| all[at % all.len()]);
        let truth = |(repository, number): PullName| github.truth(repository, number);
        let is = |at: usize, state: PullState| pick(at).filter(|named| truth(*named).state == state);
        let place = |second: bool| self.repositories.get(usize::from(second)).copied().unwrap_or(REPOSITORY);
        let open = |repository, title: &str, base: bool, mask, draft, fork: bool| {
            github.open_pull_request(
                repository,
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
            Op::Open { second, tags, base, paths, draft, fork } => {
                Some(open(place(*second), &title(*tags), *base, *paths, *draft, *fork))
            }
            Op::Push { at, rebased } => is(*at, PullState::Open).map(|(repository, number)| match rebased {
                true => github.push_rebased(repository, number),
                false => github.push(repository, number),
            }),
            Op::Retarget { at, base } => is(*at, PullState::Open)
                .filter(|named| truth(*named).base != BASES[usize::from(*base)])
                .map(|(repository, number)| github.retarget(repository, number, BASES[usize::from(*base)])),
            Op::Retitle { at, tags } => {
                pick(*at).map(|(repository, number)| github.retitle(repository, number, &title(*tags)))
            }
            Op::Draft { at } => is(*at, PullState::Open).map(|named @ (repository, number)| match truth(named).draft {
                true => github.ready_for_review(repository, number),
                false => github.convert_to_draft(repository, number),
            }),
            Op::Close { at } => is(*at, PullState::Open).map(|(repository, number)| github.close(repository, number)),
            Op::Reopen { at } => {
                is(*at, PullState::Closed).map(|(repository, number)| github.reopen(repository, number))
            }
            Op::Merge { at } => {
                let mergeable = is(*at, PullState::Open).filter(|named| !truth(*named).conflict);
                mergeable.map(|named| self.merge(named))
            }
            Op::Revert { at } => {
                let Some(reverted) = is(*at, PullState::Merged) else { return Vec::new() };
                let title = format!("Revert \"{}\"", self.merged[&reverted].1);
                return self.merged_at_once(open(reverted.0, &title, false, 1, false, false), reverted.0);
            }
            Op::MergeAnother { second, base, paths } => {
                let repository = place(*second);
                return self.merged_at_once(open(repository, &title(0), *base, *paths, false, false), repository);
            }
            Op::PushBase { second, base, paths: mask } => {
                github.push_to_branch(place(*second), BASES[usize::from(*base)], &paths(*mask));
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

    /// Merges what was just opened.
    fn merged_at_once(&mut self, opened: Event, repository: &'static str) -> Vec<Event> {
        self.world.pass(self.tick);
        let merged = self.merge((repository, opened.number()));
        vec![opened, merged]
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
