//! The whole: GitHub, the board, the tables and the functions that run, as one state that takes one step at a time.

use std::rc::Rc;

use domain::base::BaseMove;
use domain::kid_tag::Tags;
use domain::lifecycle;
use domain::protocol::RESTS_ON;
use domain::pull_request::{Mergeability, State as Stage};
use domain::report::{Answer, Facts, Look, Report};
use domain::schedule::Schedule;
use domain::task::{Status, Task};

use crate::machine::{Key, Machine, Op, Wants};
use crate::scope::{Card, Scope, TICK};
use crate::store::{Map, Store, fingerprint};
use crate::truth::{self, Past};
use crate::world::{self, BEGIN, REPOSITORY, SIZE, What, World, time};

/// When the histories begin: a day after the board wrote the cards.
pub(crate) const FIRST: u32 = 86_400;

/// How long reconcile has an item to itself, seconds.
const LEASE: i64 = 120;

/// The version of no row: of one that was not claimed by whoever looks.
const NOT_CLAIMED: u64 = u64::MAX;

/// For how long after a base moved reconcile asks once more, seconds.
const SHOWS_THE_OLD: i64 = 60;

/// What [`System::loses`] relies on.
const SAME_VERSION: &str = "a write leaves an item with the version that it had";

/// How many functions run at once.
pub(crate) const RUNS: usize = 3;

/// What may still happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Budget {
    pub(crate) events: u8,
    pub(crate) board: u8,
    pub(crate) duplicates: u8,
    pub(crate) faults: u8,
    pub(crate) ticks: u8,
    pub(crate) resyncs: u8,
}

/// One state: the numbers of what is stored once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct State {
    pub(crate) world: u32,
    pub(crate) rows: [u32; SIZE],
    pub(crate) base: u32,
    pub(crate) tasks: [u32; SIZE],
    pub(crate) past: [Past; SIZE],
    pub(crate) runs: [u32; RUNS],
    /// Whether each event was delivered, a bit each.
    pub(crate) delivered: u32,
    pub(crate) clock: u32,
    pub(crate) left: Budget,
}

impl State {
    /// What the state is, apart from what may still happen.
    pub(crate) fn fingerprint(&self) -> u128 {
        let past = |past: Past| past.board_at | u32::from(past.moved_by) << 24;
        fingerprint(&[
            self.world,
            self.rows[0],
            self.rows[1],
            self.base,
            self.tasks[0],
            self.tasks[1],
            self.runs[0],
            self.runs[1],
            self.runs[2],
            past(self.past[0]),
            past(self.past[1]),
            self.delivered,
            self.clock,
            u32::from_le_bytes([self.left.events, self.left.ticks, 0, 0]),
        ])
    }

    fn is_quiet(&self) -> bool {
        self.runs == [0; RUNS]
    }
}

impl Budget {
    /// How much may still happen.
    pub(crate) fn total(self) -> u8 {
        self.events + self.board + self.duplicates + self.faults + self.ticks + self.resyncs
    }

    /// The number of what may still happen of that which no state needs: a bit in a set of 64.
    pub(crate) fn place(self) -> u32 {
        u32::from(self.faults | self.resyncs << 1 | self.duplicates << 2 | self.board << 4)
    }
}

/// The places of budgets that allow at least as much: from a state with one of those, everything can happen that can from this one.
pub(crate) fn at_least(place: u32) -> u64 {
    let parts = |place: u32| [place & 1, place >> 1 & 1, place >> 2 & 3, place >> 4 & 3];
    let least = parts(place);
    let ample = (0..64).filter(|other| parts(*other).iter().zip(least).all(|(part, least)| *part >= least));
    ample.map(|other| 1 << other).sum()
}

/// A function at work.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Run {
    job: Job,
    /// Where its protocol is; `None` between two of them.
    node: Option<u32>,
    /// What the reads that the protocol waits for have found so far.
    got: Vec<(Key, u32)>,
}

/// What a function does, besides the protocol it is in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Job {
    /// The webhook hears an event, for the first time or again.
    Webhook { event: u8, again: bool },
    /// Reconcile looks at a row that it has claimed.
    Look { pr: u8, read_open: bool },
    /// It has read the open pull requests, reports each of those, and then the merged one.
    Listed { pr: u8, claimed: u64, began: u32, rest: Vec<u32> },
    /// Reconcile asks about the open pull requests of a base that it has claimed.
    Base { base: u32, began: u32, rest: Vec<u32> },
    /// And takes the base off the work list, or asks again a minute after it moved: GitHub shows the old answer for that long.
    SettleBase { base: u32, began: u32 },
    /// A resync.
    Resync { rest: Vec<Todo> },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Todo {
    /// Reports a pull request if that is news.
    News { pr: u8, report: u32 },
    /// Marks the base as moved by a merge that nobody may have heard of.
    MoveBase { base: u32, ended: u32 },
    /// Compares a row with its tasks.
    Compare { pr: u8 },
}

impl Todo {
    fn report(&mut self) -> Option<&mut u32> {
        match self {
            Self::News { report, .. } => Some(report),
            Self::MoveBase { .. } | Self::Compare { .. } => None,
        }
    }
}

/// How a step of a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Well,
    /// The function dies right after.
    Crash,
    /// It is written, and the repetition of the call says that it cannot be.
    LostAnswer,
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    GitHub(What, usize),
    Board(usize, Column),
    Tick(u32),
    Deliver(usize),
    Look {
        pr: usize,
        unknown: bool,
    },
    /// It claims a row and dies.
    DieLooking(usize),
    Base,
    Resync,
    Go(usize),
}

/// Where the board puts a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    PrSubmitted,
    InProgress,
    Done,
}

impl Column {
    pub(crate) fn status(self) -> Status {
        match self {
            Self::PrSubmitted => Status::PrSubmitted,
            Self::InProgress => Status::InProgress,
            Self::Done => Status::Done,
        }
    }
}

/// A step and where it leads.
pub(crate) struct Successor {
    pub(crate) action: Action,
    pub(crate) state: State,
    pub(crate) wrong: Option<String>,
}

/// Everything that the numbers stand for, and what steps there are.
pub(crate) struct System {
    pub(crate) scope: Scope,
    pub(crate) worlds: Store<World>,
    pub(crate) machine: Machine,
    runs: Store<Run>,
    exchanged_runs: Map<u32, u32>,
    plain_rows: Map<(u32, u32, u8), u32>,
    plain_tasks: Map<u32, u32>,
    plain_bases: Map<(u32, u32, u8), u32>,
    overdue: Map<(u32, u32), u32>,
    settled: Map<u128, Result<(), String>>,
    updates: Map<(u32, u32, u32), u32>,
    claims: Map<(u32, u32), u32>,
    deliveries: Map<(u32, usize), u32>,
    looks: Map<(u32, usize, Option<bool>, u32, u64), u32>,
    /// What was found wrong on the way to a step.
    noticed: Option<String>,
}

impl System {
    pub(crate) fn new(scope: Scope) -> Self {
        Self {
            scope,
            worlds: Store::default(),
            machine: Machine::default(),
            runs: Store::default(),
            exchanged_runs: Map::default(),
            plain_rows: Map::default(),
            plain_tasks: Map::default(),
            plain_bases: Map::default(),
            overdue: Map::default(),
            settled: Map::default(),
            updates: Map::default(),
            claims: Map::default(),
            deliveries: Map::default(),
            looks: Map::default(),
            noticed: None,
        }
    }

    /// The states in which the histories begin: the first pull request was just opened.
    pub(crate) fn roots(&mut self) -> Vec<State> {
        let world = World::default().after(What::Open, 0, self.scope.opened_as[0], FIRST);
        let world = self.worlds.id(world);
        let cards = self.scope.cards;
        let roots = cards.iter().map(|cards| {
            let tasks = std::array::from_fn(|task| self.machine.tasks_id(task, cards[task]));
            State { world, tasks, clock: FIRST, left: self.scope.budget, ..State::default() }
        });
        roots.collect()
    }

    pub(crate) fn world(&self, id: u32) -> Rc<World> {
        self.worlds.get(id).cloned().unwrap_or_default()
    }

    fn run(&self, id: u32) -> Option<Rc<Run>> {
        self.runs.get(id).cloned()
    }

    // What may happen next.

    pub(crate) fn successors(&mut self, state: &State) -> Vec<Successor> {
        let mut found = Vec::new();
        for slot in 0..RUNS {
            // Two runs at the same point are the same.
            if state.runs[slot] != 0 && !state.runs[..slot].contains(&state.runs[slot]) {
                self.proceed(state, slot, Action::Go(slot), &mut found);
            }
        }
        if self.has_room(state) {
            self.beginnings(state, &mut found);
        }
        let world = self.world(state.world);
        let mut actions = Vec::new();
        self.outside(state, &world, &mut actions);
        for action in actions {
            self.happen(state, action, &mut found);
        }
        if let Some(wrong) = self.noticed.take() {
            found.push(Successor { action: Action::Resync, state: *state, wrong: Some(wrong) });
        }
        if self.scope.plain {
            return found;
        }
        for successor in &mut found {
            self.lose(&mut successor.state);
            self.normalise(&mut successor.state);
            if self.scope.alike {
                successor.state = successor.state.min(self.exchanged(&successor.state));
            }
        }
        found
    }

    /// Whether another function may run.
    fn has_room(&self, state: &State) -> bool {
        state.runs.iter().filter(|run| **run != 0).count() < self.scope.functions
    }

    /// The functions that may begin.
    fn beginnings(&mut self, state: &State, found: &mut Vec<Successor>) {
        let world = self.world(state.world);
        for event in 0..world.events.len() {
            let mut next = *state;
            if let Some(slot) = self.deliver(&mut next, event) {
                self.proceed(&next, slot, Action::Deliver(event), found);
            }
        }
        for pr in 0..SIZE {
            for (action, next, slot) in self.looks(state, pr) {
                match action {
                    Action::Look { .. } => self.proceed(&next, slot, action, found),
                    _ => found.push(Successor { action, state: next, wrong: None }),
                }
            }
        }
        if self.base_due(state).is_some_and(|at| at <= state.clock) {
            let mut next = *state;
            self.ask_about_base(&mut next);
            found.push(Successor { action: Action::Base, state: next, wrong: None });
        }
        if state.left.resyncs > 0 {
            let mut next = *state;
            next.left.resyncs -= 1;
            self.resync(&mut next);
            found.push(Successor { action: Action::Resync, state: next, wrong: None });
        }
    }

    /// The ways in which reconcile may begin to look at a row that is due: it is told whether it merges, or not yet, or dies with its claim.
    ///
    /// What it has claimed and read of GitHub is the same later on, until somebody writes the row or something happens to the pull request. So it
    /// begins just before one of these, or does all of its work at once.
    fn looks(&mut self, state: &State, pr: usize) -> Vec<(Action, State, usize)> {
        let mut found = Vec::new();
        if self.due(state, pr).is_none_or(|at| at > state.clock) || !self.has_room(state) {
            return found;
        }
        let open = self.world(state.world).prs[pr].is_some_and(|pr| pr.state == Stage::Open);
        let mut begin = |system: &mut Self, action, fault: u8, unknown| {
            let mut after = *state;
            after.left.faults -= fault;
            let Some(slot) = system.look(&mut after, pr, unknown) else { return };
            let before = State { rows: state.rows, ..after };
            if matches!(action, Action::DieLooking(_)) {
                after.runs[slot] = 0;
            }
            let after = system.overwritten(&before, after, &[Key::Row(pr as u8)], slot);
            found.extend(after.into_iter().map(|after| (action, after, slot)));
        };
        begin(self, Action::Look { pr, unknown: false }, 0, false);
        if state.left.faults > 0 {
            if open {
                begin(self, Action::Look { pr, unknown: true }, 1, true);
            }
            begin(self, Action::DieLooking(pr), 1, false);
        }
        found
    }

    /// A state, and those in which reconcile has just begun to look at some of these rows.
    fn looking(&mut self, state: &State, prs: &[usize]) -> Vec<State> {
        let mut states = vec![*state];
        for pr in prs.iter().filter(|_| !self.scope.plain).copied().collect::<Vec<_>>() {
            for before in states.clone() {
                let begun = self.looks(&before, pr).into_iter();
                states.extend(
                    begun.filter(|(action, ..)| matches!(action, Action::Look { .. })).map(|(_, next, _)| next),
                );
            }
        }
        states
    }

    /// What happens outside the functions.
    fn happen(&mut self, state: &State, action: Action, found: &mut Vec<Successor>) {
        let mut next = *state;
        match action {
            Action::GitHub(what, pr) => {
                let title = self.scope.opened_as[pr];
                let before = self.world(state.world);
                let world = before.after(what, pr, title, state.clock);
                let touched: Vec<_> = (0..SIZE).filter(|pr| before.prs[*pr] != world.prs[*pr]).collect();
                let id = self.worlds.id(world);
                for mut next in self.looking(state, &touched) {
                    next.world = id;
                    next.left.events -= u8::from(what != What::Open);
                    found.push(Successor { action, state: next, wrong: None });
                }
                return;
            }
            Action::Tick(seconds) => {
                next.left.ticks -= 1;
                next.clock += seconds;
            }
            Action::Board(task, column) => {
                let keys = [Key::Tag(task as u8), Key::Task(task as u8)];
                next.left.board -= 1;
                self.write_card(&mut next, task, column);
                let after = self.overwritten(&State { left: next.left, ..*state }, next, &keys, RUNS);
                found.extend(after.into_iter().map(|state| Successor { action, state, wrong: None }));
                return;
            }
            _ => return,
        }
        found.push(Successor { action, state: next, wrong: None });
    }

    /// A run reads what it still has to read, decides and writes: all at once, since whatever it read earlier that somebody wrote since, it
    /// read in [`Self::meanwhile`].
    fn proceed(&mut self, state: &State, slot: usize, action: Action, found: &mut Vec<Successor>) {
        if self.scope.plain {
            return self.take_one_step(state, slot, action, found);
        }
        let about = self.about(state, slot).filter(|_| !matches!(action, Action::Look { .. }));
        for before in self.looking(state, about.as_slice()) {
            self.go(&before, slot, action, found);
        }
    }

    /// A run begins, makes one read, or writes.
    fn take_one_step(&mut self, state: &State, slot: usize, action: Action, found: &mut Vec<Successor>) {
        let Some(run) = self.run(state.runs[slot]) else { return };
        if !matches!(action, Action::Go(_)) {
            return found.push(Successor { action, state: *state, wrong: None });
        }
        let Some(Wants::Read(keys)) = run.node.map(|node| self.machine.wants(node)) else {
            return self.go(state, slot, action, found);
        };
        for key in keys.iter().filter(|key| !run.got.iter().any(|(got, _)| got == *key)) {
            let mut next = *state;
            self.read(&mut next, slot, &[*key]);
            found.push(Successor { action, state: next, wrong: None });
        }
    }

    /// The pull request whose row a run is about to write.
    fn about(&self, state: &State, slot: usize) -> Option<usize> {
        let run = self.runs.get(state.runs[slot])?;
        let about = match (run.node, &run.job) {
            (Some(node), _) => self.machine.about(node),
            (None, Job::Resync { rest }) => match rest.first()? {
                Todo::News { pr, .. } | Todo::Compare { pr } => *pr,
                Todo::MoveBase { .. } => return None,
            },
            (None, _) => return None,
        };
        (usize::from(about) < SIZE).then_some(usize::from(about))
    }

    fn go(&mut self, state: &State, slot: usize, action: Action, found: &mut Vec<Successor>) {
        let mut ready = *state;
        let Some(ops) = self.decide(&mut ready, slot) else {
            return found.push(Successor { action, state: ready, wrong: None });
        };
        let keys = self.writes(&ready, &ops);
        let webhook = self.run(state.runs[slot]).is_none_or(|run| matches!(run.job, Job::Webhook { .. }));
        let mut fates = vec![Fate::Well];
        if state.left.faults > 0 {
            // The one write of a webhook is all it has to do: that it dies after it is the end of it, that it dies before is no delivery.
            if !webhook {
                fates.push(Fate::Crash);
            }
            // A transaction is repeated with the same token and then answers as it did; one conditional write finds itself in the way.
            if ops.len() == 1 {
                fates.push(Fate::LostAnswer);
            }
        }
        for fate in fates {
            let mut next = ready;
            next.left.faults -= u8::from(fate != Fate::Well);
            let before = next;
            if let Err(wrong) = self.write(&mut next, slot, fate) {
                found.push(Successor { action, state: next, wrong: Some(wrong) });
                continue;
            }
            let after = self.overwritten(&before, next, &keys, slot);
            found.extend(after.into_iter().map(|state| Successor { action, state, wrong: None }));
        }
    }

    /// What a transaction would change, if it can be written.
    fn writes(&self, state: &State, ops: &[Op]) -> Vec<Key> {
        let mut keys = Vec::new();
        if ops.iter().all(|op| self.holds(state, op)) {
            for op in ops {
                match op {
                    Op::PutRow { pr, .. } => keys.push(Key::Row(*pr)),
                    Op::UpdateTask { task, .. } => keys.extend([Key::Tag(*task), Key::Task(*task)]),
                    _ => {}
                }
            }
        }
        keys
    }

    /// The states that a write of these keys leads to: the others may have read some of what it overwrites just before. A read can be put off until
    /// somebody writes what it reads, or until its own run writes; so those are the only times at which one is made, and no other order of reads
    /// leads to anything else. Whoever has read so and is where it was after all makes no other state.
    fn overwritten(&mut self, before: &State, after: State, keys: &[Key], writer: usize) -> Vec<State> {
        let mut states = vec![(*before, after)];
        if !keys.is_empty() && !self.scope.plain {
            for slot in (0..RUNS).filter(|slot| *slot != writer && before.runs[*slot] != 0) {
                let runs = self.early_reads(before, slot, keys, writer);
                for (before, after) in states.clone() {
                    self.had_read(&before, &after, slot, &runs, &mut states);
                }
            }
            for event in 0..self.world(before.world).events.len() {
                let mut heard = *before;
                let Some(slot) = self.deliver(&mut heard, event) else { continue };
                let runs = self.early_reads(&heard, slot, keys, writer);
                for (before, mut after) in states.clone().into_iter().filter(|_| !runs.is_empty()) {
                    let mut heard = before;
                    let Some(slot) = self.deliver(&mut heard, event) else { continue };
                    after.left.duplicates -= before.left.duplicates - heard.left.duplicates;
                    after.delivered |= before.delivered ^ heard.delivered;
                    self.had_read(&heard, &after, slot, &runs, &mut states);
                }
            }
        }
        states.into_iter().map(|(_, after)| after).collect()
    }

    /// Adds what comes of it if a run is one of these, which have read some of what is overwritten. Where functions are not patient it decides at once.
    fn had_read(&mut self, before: &State, after: &State, slot: usize, read: &[u32], states: &mut Vec<(State, State)>) {
        for run in read.iter().copied() {
            let mut next = *after;
            next.runs[slot] = run;
            if !self.scope.patient && self.decide(&mut next, slot).is_some() {
                let written = self.write(&mut next, slot, Fate::Well);
                self.noticed = self.noticed.take().or(written.err());
            }
            if before.runs[slot] != after.runs[slot] {
                self.forget_unless_begun(&mut next, slot);
            }
            if !states.iter().any(|(_, known)| *known == next) {
                let mut runs = before.runs;
                runs[slot] = run;
                states.push((State { runs, ..*before }, next));
            }
        }
    }

    /// What a run may be that has read some of the keys, and what it must have read before those.
    fn early_reads(&mut self, state: &State, slot: usize, keys: &[Key], writer: usize) -> Vec<u32> {
        let (mut state, mut found) = (*state, Vec::new());
        while let Some(run) = self.run(state.runs[slot]) {
            let Some(Wants::Read(wanted)) = run.node.map(|node| self.machine.wants(node)) else { break };
            let open: Vec<_> =
                wanted.iter().filter(|key| !run.got.iter().any(|(got, _)| got == *key)).copied().collect();
            let touched: Vec<_> = open.iter().filter(|key| keys.contains(key)).copied().collect();
            for some in 1..1_usize << touched.len() {
                if some.count_ones() as usize == open.len() {
                    continue;
                }
                let read = touched.iter().enumerate().filter(|(at, _)| some >> at & 1 == 1);
                let read: Vec<_> = read.map(|(_, key)| *key).collect();
                let mut next = state;
                self.read(&mut next, slot, &read);
                found.push(next.runs[slot]);
            }
            self.read(&mut state, slot, &open);
            // Whoever is through by then is as if it had run before the others.
            let Some(now) = self.run(state.runs[slot]).filter(|now| now.job == run.job) else { break };
            let through = match now.node.map(|node| self.machine.wants(node)) {
                Some(Wants::Read(_)) => false,
                Some(Wants::Write(ops)) => self.loses(&state, &ops, keys, writer),
                _ => true,
            };
            if !touched.is_empty() && !through {
                found.push(state.runs[slot]);
            }
        }
        found
    }

    /// Whether a transaction cannot be written any more once these keys are: it is conditional on a version of one of them, or on the time that the
    /// board last wrote, which it writes anew. Whoever has read so early that it loses begins again, and is where it was.
    fn loses(&self, state: &State, ops: &[Op], keys: &[Key], writer: usize) -> bool {
        let now = time(state.clock);
        let has_old_time =
            |task| self.machine.tasks.get(task).and_then(|task| task.updated_at).is_some_and(|at| at < now);
        ops.iter().any(|op| match op {
            Op::PutRow { pr, .. } | Op::CheckRow { pr, .. } => keys.contains(&Key::Row(*pr)),
            Op::UpdateTask { task, before, .. } | Op::CheckTask { task, before } => {
                keys.contains(&Key::Task(*task)) && (writer < RUNS || has_old_time(*before))
            }
            Op::CheckNoTask { .. } | Op::MoveBase { .. } => false,
        })
    }

    /// A webhook begins to hear an event, if that may still be.
    fn deliver(&mut self, state: &mut State, event: usize) -> Option<usize> {
        let again = state.delivered >> event & 1 == 1;
        if (again && state.left.duplicates == 0) || !self.has_room(state) {
            return None;
        }
        state.left.duplicates -= u8::from(again);
        state.delivered |= 1 << event;
        let report = match self.deliveries.get(&(state.world, event)) {
            Some(report) => *report,
            None => {
                let facts = self.world(state.world).delivery(event)?;
                let report = self.facts_report(facts, None);
                self.deliveries.insert((state.world, event), report);
                report
            }
        };
        let node = self.machine.start(report, state.clock);
        Some(
            self.begin(
                state,
                Run { job: Job::Webhook { event: event as u8, again }, node: Some(node), got: Vec::new() },
            ),
        )
    }

    fn outside(&self, state: &State, world: &World, actions: &mut Vec<Action>) {
        let left = state.left;
        for pr in 0..self.scope.pull_requests {
            if world.prs[pr].is_none() {
                actions.push(Action::GitHub(What::Open, pr));
            } else if left.events > 0 {
                let possible = world.possible(pr, self.scope.titles);
                actions.extend(possible.into_iter().map(|what| Action::GitHub(what, pr)));
            }
        }
        if left.events > 0 && self.scope.other_merges {
            actions.push(Action::GitHub(What::OtherMerge, 0));
        }
        if left.board > 0 {
            for task in 0..self.scope.tasks {
                self.board(state, task, actions);
            }
        }
        // No function outlives its lease, which is shorter than any of these times.
        if left.ticks > 0 && state.is_quiet() {
            actions.extend(self.scope.ticks.iter().map(|tick| Action::Tick(*tick)));
        }
    }

    fn board(&self, state: &State, task: usize, actions: &mut Vec<Action>) {
        let Some(card) = self.machine.tasks.get(state.tasks[task]) else {
            return actions.push(Action::Board(task, Column::PrSubmitted));
        };
        for column in [Column::PrSubmitted, Column::InProgress, Column::Done] {
            // A card that stays where it is gets a new time, which counts in the one column that merges move cards out of.
            let touch = column.status() == Status::PrSubmitted && card.updated_at.is_some();
            if column.status() != card.status || touch {
                actions.push(Action::Board(task, column));
            }
        }
    }

    pub(crate) fn due(&self, state: &State, pr: usize) -> Option<u32> {
        let row = self.machine.rows.get(state.rows[pr])?;
        row.schedule.next_check_at.filter(|_| row.schedule.is_due()).map(clock)
    }

    fn base_due(&self, state: &State) -> Option<u32> {
        let base = self.machine.bases.get(state.base)?;
        base.schedule.next_check_at.filter(|_| base.schedule.is_due()).map(clock)
    }

    // Taking a step.

    fn write_card(&mut self, state: &mut State, task: usize, column: Column) {
        let now = time(state.clock);
        let card = match self.machine.tasks.get(state.tasks[task]) {
            Some(card) => {
                let mut card = (**card).clone();
                card.status = column.status();
                card.updated_at = card.updated_at.map(|_| now);
                Some(card)
            }
            None => new_card(task, column.status(), Some(state.clock)),
        };
        if let Some(card) = card {
            state.tasks[task] = self.machine.task(card);
            state.past[task].board_at = state.clock;
        }
    }

    fn begin(&mut self, state: &mut State, run: Run) -> usize {
        let slot = state.runs.iter().position(|run| *run == 0).unwrap_or(0);
        state.runs[slot] = self.runs.id(run);
        slot
    }

    /// A report of a delivery, or of a read that began at this second.
    fn facts_report(&mut self, facts: Facts, read_at: Option<u32>) -> u32 {
        let report = Report::facts(facts);
        self.machine.report(match read_at {
            Some(at) => report.read_at(BEGIN + i64::from(at)),
            None => report,
        })
    }

    /// A comparison of a row with its tasks; with a look at it, when the open pull requests were read and which version was claimed.
    fn compare_report(&mut self, pr: u8, look: Option<(Option<u32>, u64)>) -> u32 {
        let report = Report::compare(REPOSITORY, world::number(pr.into()));
        self.machine.report(match look {
            None => report,
            Some((began, claimed)) => {
                let open_read_at = began.map(|began| BEGIN + i64::from(began));
                report.looked(Look { open_read_at, claimed: Some(claimed), ..Look::default() })
            }
        })
    }

    /// What reconcile reports of a pull request that it has just read. What moved its base only names a culprit.
    fn looked_report(&mut self, facts: Facts, answer: Option<Mergeability>, read_at: u32, claimed: u64) -> u32 {
        let answer = answer.map(|mergeability| Answer { mergeability, base: None });
        let look = Look { answer, claimed: Some(claimed), ..Look::default() };
        self.machine.report(Report::facts(facts).looked(look).read_at(BEGIN + i64::from(read_at)))
    }

    /// Claims a row and reads GitHub.
    fn look(&mut self, state: &mut State, pr: usize, unknown: bool) -> Option<usize> {
        let row = self.machine.rows.get(state.rows[pr]).cloned()?;
        let machine = &mut self.machine;
        state.rows[pr] = *self.claims.entry((state.rows[pr], state.clock)).or_insert_with(|| {
            let mut claimed = (*row).clone();
            claimed.schedule = lease(&row.schedule, state.clock);
            claimed.version += 1;
            machine.row(claimed)
        });
        let claimed = row.version + 1;
        let report = if row.is_merge_known() {
            self.compare_report(pr as u8, Some((None, claimed)))
        } else {
            let world = self.world(state.world);
            let open = world.prs[pr].filter(|pr| pr.state == Stage::Open && !unknown);
            let key = (state.world, pr, open.map(|pr| pr.conflict), state.clock, claimed);
            match self.looks.get(&key) {
                Some(report) => *report,
                None => {
                    let facts = world.read(pr)?;
                    let report = self.looked_report(facts, open.map(|pr| pr.mergeability()), state.clock, claimed);
                    self.looks.insert(key, report);
                    report
                }
            }
        };
        let node = self.machine.start(report, state.clock);
        let job = Job::Look { pr: pr as u8, read_open: false };
        Some(self.begin(state, Run { job, node: Some(node), got: Vec::new() }))
    }

    /// Claims the base and reads its open pull requests.
    fn ask_about_base(&mut self, state: &mut State) {
        let Some(base) = self.machine.bases.get(state.base).cloned() else { return };
        let mut claimed = (*base).clone();
        claimed.schedule = lease(&base.schedule, state.clock);
        claimed.version += 1;
        state.base = self.machine.base(claimed);
        let rest = self.open_reports(state, true);
        let run = Run { job: Job::Base { base: state.base, began: state.clock, rest }, node: None, got: Vec::new() };
        self.begin_with(state, run);
    }

    fn begin_with(&mut self, state: &mut State, run: Run) {
        let slot = self.begin(state, run.clone());
        self.leave(state, slot, run, false);
    }

    /// Reports of every pull request that is open: with its answer where its base is asked about, and then of those that are stored as open, too.
    fn open_reports(&mut self, state: &State, asked: bool) -> Vec<u32> {
        let world = self.world(state.world);
        let mut reports = Vec::new();
        for (at, pr) in world.prs.iter().enumerate() {
            let (Some(pr), Some(facts)) = (pr, world.read(at)) else { continue };
            let open = pr.state == Stage::Open;
            let stored = self.machine.rows.get(state.rows[at]).map(|row| row.snapshot.state);
            if open && asked {
                reports.push(self.looked_report(facts, Some(pr.mergeability()), state.clock, NOT_CLAIMED));
            } else if open || (asked && stored == Some(Stage::Open)) {
                reports.push(self.facts_report(facts, Some(state.clock)));
            }
        }
        reports
    }

    /// Reads everything from GitHub.
    fn resync(&mut self, state: &mut State) {
        let world = self.world(state.world);
        let mut rest = Vec::new();
        for pr in 0..SIZE {
            let Some(facts) = world.read(pr) else { continue };
            rest.push(Todo::News { pr: pr as u8, report: self.facts_report(facts, Some(state.clock)) });
        }
        for (at, event) in world.events.iter().enumerate().filter(|(_, event)| event.what == What::OtherMerge) {
            let Some(facts) = world.delivery(at) else { continue };
            let base = self.machine.base(BaseMove::by(&facts.snapshot, time(state.clock)));
            rest.push(Todo::MoveBase { base, ended: event.at });
        }
        rest.extend((0..SIZE).filter(|pr| world.prs[*pr].is_some()).map(|pr| Todo::Compare { pr: pr as u8 }));
        let run = Run { job: Job::Resync { rest }, node: None, got: Vec::new() };
        self.begin_with(state, run);
    }

    fn look_up(&self, state: &State, key: Key) -> u32 {
        match key {
            Key::Row(pr) => state.rows.get(usize::from(pr)).copied().unwrap_or(0),
            Key::Tag(task) | Key::Task(task) => state.tasks[usize::from(task)],
        }
    }

    fn read(&mut self, state: &mut State, slot: usize, some: &[Key]) {
        let Some(mut run) = self.run(state.runs[slot]).map(|run| (*run).clone()) else { return };
        let Some(node) = run.node else { return };
        let Wants::Read(keys) = self.machine.wants(node) else { return };
        run.got.extend(some.iter().map(|key| (*key, self.look_up(state, *key))));
        run.got.sort_unstable();
        if run.got.len() == keys.len() {
            let node = self.machine.found(node, &run.got);
            run.got.clear();
            run.node = Some(node);
            return self.go_on(state, slot, run);
        }
        state.runs[slot] = self.runs.id(run);
    }

    /// Takes a run to its next write, and gives what is to be written; `None`: its protocol came to an end without one, or it did something else.
    fn decide(&mut self, state: &mut State, slot: usize) -> Option<Rc<[Op]>> {
        let mut run = (*self.run(state.runs[slot])?).clone();
        if run.node.is_none() {
            run = self.act(state, slot, run)?;
        }
        let mut node = run.node?;
        loop {
            match self.machine.wants(node) {
                Wants::Read(keys) => {
                    let read = keys.iter().map(|key| {
                        let known = run.got.iter().find(|(got, _)| got == key);
                        known.copied().unwrap_or((*key, self.look_up(state, *key)))
                    });
                    let mut read: Vec<_> = read.collect();
                    read.sort_unstable();
                    run.got.clear();
                    node = self.machine.found(node, &read);
                }
                Wants::Write(ops) => {
                    state.runs[slot] = self.runs.id(Run { node: Some(node), ..run });
                    return Some(ops);
                }
                Wants::Done { .. } | Wants::GiveUp => {
                    self.go_on(state, slot, Run { node: Some(node), ..run });
                    return None;
                }
            }
        }
    }

    /// Puts a run back, or takes it to what follows where its protocol is through.
    fn go_on(&mut self, state: &mut State, slot: usize, run: Run) {
        let Some(node) = run.node else { return self.leave(state, slot, run, false) };
        match self.machine.wants(node) {
            Wants::Read(_) | Wants::Write(_) => state.runs[slot] = self.runs.id(run),
            Wants::GiveUp => state.runs[slot] = 0,
            Wants::Done { awaits_read } => self.leave(state, slot, run, awaits_read),
        }
    }

    /// What a job does once a protocol of it is done.
    fn leave(&mut self, state: &mut State, slot: usize, run: Run, through: bool) {
        let awaits_read = through;
        // Between two protocols of a resync `through` says that its next point is done.
        let through = run.node.is_some() || through;
        let (job, report) = match run.job {
            Job::Webhook { .. } => (None, None),
            Job::Look { pr, read_open: false } if awaits_read => {
                let rest = self.open_reports(state, false);
                let version = self.machine.rows.get(state.rows[usize::from(pr)]).map(|row| row.version);
                let claimed = version.unwrap_or(NOT_CLAIMED);
                let job = Job::Listed { pr, claimed, began: state.clock, rest };
                return self.leave(state, slot, Run { job, node: None, got: Vec::new() }, false);
            }
            Job::Look { .. } | Job::SettleBase { .. } => (None, None),
            Job::Listed { pr, claimed, began, mut rest } => match rest.pop() {
                Some(report) => (Some(Job::Listed { pr, claimed, began, rest }), Some(report)),
                None => (
                    Some(Job::Look { pr, read_open: true }),
                    Some(self.compare_report(pr, Some((Some(began), claimed)))),
                ),
            },
            Job::Base { base, began, mut rest } => match rest.pop() {
                Some(report) => (Some(Job::Base { base, began, rest }), Some(report)),
                None => (Some(Job::SettleBase { base, began }), None),
            },
            Job::Resync { mut rest } => {
                if through {
                    rest.remove(0);
                }
                match rest.first() {
                    None => (None, None),
                    Some(Todo::Compare { pr }) => {
                        let report = self.compare_report(*pr, None);
                        (Some(Job::Resync { rest }), Some(report))
                    }
                    Some(_) => (Some(Job::Resync { rest }), None),
                }
            }
        };
        let node = report.map(|report| self.machine.start(report, state.clock));
        state.runs[slot] = job.map_or(0, |job| self.runs.id(Run { job, node, got: Vec::new() }));
    }

    /// What a run does between two protocols. Gives it back where that begins one.
    fn act(&mut self, state: &mut State, slot: usize, run: Run) -> Option<Run> {
        match run.job {
            Job::SettleBase { base, began } => {
                self.settle_base(state, base, began);
                state.runs[slot] = 0;
                None
            }
            Job::Resync { rest } => match *rest.first()? {
                Todo::News { pr, report } => self.hear(state, slot, usize::from(pr), report, rest),
                Todo::MoveBase { base, ended } => {
                    let last = self.machine.bases.get(state.base).map(|base| base.moved_at);
                    if last.is_none_or(|last| last < BEGIN + i64::from(ended) + 60) {
                        state.base = self.move_base(state.base, base);
                    }
                    self.leave(state, slot, Run { job: Job::Resync { rest }, node: None, got: Vec::new() }, true);
                    None
                }
                Todo::Compare { .. } => None,
            },
            _ => None,
        }
    }

    fn settle_base(&mut self, state: &mut State, claimed: u32, began: u32) {
        let version = self.machine.bases.get(claimed).map(|base| base.version);
        let Some(now) = self.machine.bases.get(state.base).filter(|base| Some(base.version) == version) else { return };
        let mut settled = (**now).clone();
        let again = now.moved_at + SHOWS_THE_OLD;
        if BEGIN + i64::from(began) < again {
            settled.schedule = now.schedule.moved_to(again);
        } else {
            settled.schedule = Schedule::default();
            settled.moves = 0;
        }
        settled.version += 1;
        state.base = self.machine.base(settled);
    }

    /// A resync reads the row of what it read from GitHub, and reports it if that is news.
    fn hear(&mut self, state: &mut State, slot: usize, pr: usize, report: u32, mut rest: Vec<Todo>) -> Option<Run> {
        let facts = self.machine.facts(report)?;
        let tagged = [Some(facts.snapshot.title.as_str()), facts.title_at_merge()];
        let tagged = tagged.into_iter().flatten().any(|title| !Tags::of(title).named.is_empty());
        let news = match self.machine.rows.get(state.rows[pr]) {
            Some(known) => lifecycle::is_news(known, &facts),
            None => tagged,
        };
        if news {
            let node = self.machine.start(report, state.clock);
            return Some(Run { job: Job::Resync { rest }, node: Some(node), got: Vec::new() });
        }
        if state.rows[pr] == 0 && facts.snapshot.state == Stage::Merged {
            let base = self.machine.base(BaseMove::by(&facts.snapshot, time(state.clock)));
            let ended = clock(facts.snapshot.ended_at.unwrap_or(BEGIN));
            rest.insert(1, Todo::MoveBase { base, ended });
        }
        self.leave(state, slot, Run { job: Job::Resync { rest }, node: None, got: Vec::new() }, true);
        None
    }

    /// Makes the write that a run has decided on.
    fn write(&mut self, state: &mut State, slot: usize, fate: Fate) -> Result<(), String> {
        let Some(run) = self.run(state.runs[slot]) else { return Ok(()) };
        let Some(node) = run.node else { return Ok(()) };
        let Wants::Write(ops) = self.machine.wants(node) else { return Ok(()) };
        let holds = ops.iter().all(|op| self.holds(state, op));
        let mut checked = Ok(());
        if holds {
            let about = usize::from(self.machine.about(node));
            for op in ops.iter() {
                checked = checked.and(self.apply(state, op, about));
            }
        }
        if fate == Fate::Crash {
            state.runs[slot] = 0;
            return checked;
        }
        let node = self.machine.written(node, holds && fate != Fate::LostAnswer);
        self.go_on(state, slot, Run { node: Some(node), got: Vec::new(), job: run.job.clone() });
        checked
    }

    fn holds(&self, state: &State, op: &Op) -> bool {
        let version = |pr: u8| {
            let row = state.rows.get(usize::from(pr)).and_then(|row| self.machine.rows.get(*row));
            row.map_or(0, |row| row.version)
        };
        match op {
            Op::PutRow { pr, read, .. } | Op::CheckRow { pr, read } => version(*pr) == *read,
            Op::UpdateTask { task, before, .. } | Op::CheckTask { task, before } => {
                let now = state.tasks[usize::from(*task)];
                now == *before || self.is_as_read(now, *before)
            }
            Op::CheckNoTask { task } => state.tasks[usize::from(*task)] == 0,
            Op::MoveBase { base, once } => {
                let (last, this) = (self.machine.bases.get(state.base), self.machine.bases.get(*base));
                !once || last.map(|last| last.moved_by) != this.map(|this| this.moved_by)
            }
        }
    }

    fn is_as_read(&self, now: u32, read: u32) -> bool {
        let (Some(now), Some(read)) = (self.machine.tasks.get(now), self.machine.tasks.get(read)) else { return false };
        let attribute = |name: &str| match name {
            "status" => now.status == read.status,
            "updated_at" => now.updated_at == read.updated_at,
            "repository" => now.repository == read.repository,
            _ => false,
        };
        now.version == read.version && RESTS_ON.iter().all(|name| attribute(name))
    }

    fn apply(&mut self, state: &mut State, op: &Op, about: usize) -> Result<(), String> {
        match op {
            Op::PutRow { pr, row, .. } => {
                let before = std::mem::replace(&mut state.rows[usize::from(*pr)], *row);
                let version = |id| self.machine.rows.get(id).map(|row| row.version);
                return if version(before) == version(*row) { Err(SAME_VERSION.to_owned()) } else { Ok(()) };
            }
            Op::UpdateTask { task, before, after } => {
                return self.update_task(state, usize::from(*task), *before, *after, about);
            }
            Op::MoveBase { base, .. } => state.base = self.move_base(state.base, *base),
            Op::CheckRow { .. } | Op::CheckTask { .. } | Op::CheckNoTask { .. } => {}
        }
        Ok(())
    }

    /// Writes what is ours of a task, as an update of single attributes does.
    fn update_task(
        &mut self,
        state: &mut State,
        task: usize,
        before: u32,
        after: u32,
        about: usize,
    ) -> Result<(), String> {
        let now = state.tasks[task];
        let get = |id| self.machine.tasks.get(id).cloned();
        let (Some(stored), Some(read), Some(wanted)) = (get(now), get(before), get(after)) else { return Ok(()) };
        let id = match self.updates.get(&(now, before, after)) {
            Some(id) => *id,
            None => {
                let id = self.machine.task(updated(&stored, &read, &wanted));
                self.updates.insert((now, before, after), id);
                id
            }
        };
        state.tasks[task] = id;
        let Some(written) = self.machine.tasks.get(id).cloned() else { return Ok(()) };
        if written.version == stored.version {
            return Err(SAME_VERSION.to_owned());
        }
        let world = self.world(state.world);
        let past = state.past[task];
        if written.status != stored.status {
            state.past[task].moved_by |= 1 << about;
        }
        truth::write(&world, state.clock, task, about, &stored, &written, past)
    }

    fn move_base(&mut self, now: u32, by: u32) -> u32 {
        let Some(by) = self.machine.bases.get(by) else { return now };
        let mut next = (**by).clone();
        let known = self.machine.bases.get(now);
        next.moves = by.moves + known.map_or(0, |known| known.moves);
        next.version = 1 + known.map_or(0, |known| known.version);
        self.machine.base(next)
    }

    /// Tells those that have lost: a version that has changed since it was read never comes back, so it is all the same when they try.
    fn lose(&mut self, state: &mut State) {
        for slot in 0..RUNS {
            let Some(run) = self.runs.get(state.runs[slot]) else { continue };
            let Some(node) = run.node else { continue };
            let Wants::Write(ops) = self.machine.wants(node) else { continue };
            if ops.iter().any(|op| self.has_moved_on(state, op)) {
                let job = run.job.clone();
                let node = self.machine.written(node, false);
                self.go_on(state, slot, Run { node: Some(node), got: Vec::new(), job });
            }
        }
        (0..RUNS).for_each(|slot| self.forget_unless_begun(state, slot));
    }

    /// A webhook that begins again is one that has not begun.
    fn forget_unless_begun(&self, state: &mut State, slot: usize) {
        let Some(run) = self.runs.get(state.runs[slot]) else { return };
        let Job::Webhook { event, again } = run.job else { return };
        let begins = run.node.is_some_and(|node| self.machine.just_begun(node).is_some());
        if begins && run.got.is_empty() {
            state.runs[slot] = 0;
            state.left.duplicates += u8::from(again);
            state.delivered &= !(u32::from(!again) << event);
        }
    }

    fn has_moved_on(&self, state: &State, op: &Op) -> bool {
        match op {
            Op::PutRow { .. } | Op::CheckRow { .. } => !self.holds(state, op),
            Op::UpdateTask { task, before, .. } | Op::CheckTask { task, before } => {
                let (now, read) =
                    (self.machine.tasks.get(state.tasks[usize::from(*task)]), self.machine.tasks.get(*before));
                let (Some(now), Some(read)) = (now, read) else { return true };
                // What the board wrote may come back: if it writes again, and as long as that second lasts if it keeps a time.
                let over =
                    read.updated_at.is_some_and(|at| at < time(state.clock)) && now.updated_at != read.updated_at;
                now.version != read.version || over || (state.left.board == 0 && !self.holds(state, op))
            }
            Op::CheckNoTask { .. } | Op::MoveBase { .. } => false,
        }
    }

    /// Makes states that no step can tell apart the same.
    pub(crate) fn normalise(&mut self, state: &mut State) {
        state.runs.sort_unstable_by(|a, b| b.cmp(a));
        for row in &mut state.rows {
            let machine = &mut self.machine;
            *row = *self.overdue.entry((*row, state.clock)).or_insert_with(|| machine.overdue(*row, state.clock));
        }
        self.forget(state);
    }

    /// The same state with the tasks exchanged. Nobody holds on to what was read of a table: where functions are patient, no tasks are alike.
    pub(crate) fn exchanged(&mut self, state: &State) -> State {
        let [first, second] = state.tasks.map(|task| self.machine.tasks.exchanged(task));
        let mut runs = state.runs.map(|run| self.exchanged_run(run));
        runs.sort_unstable_by(|a, b| b.cmp(a));
        State {
            world: self.worlds.exchanged(state.world),
            rows: state.rows.map(|row| self.machine.rows.exchanged(row)),
            tasks: [second, first],
            past: [state.past[1], state.past[0]],
            runs,
            ..*state
        }
    }

    fn exchanged_run(&mut self, id: u32) -> u32 {
        if let Some(known) = self.exchanged_runs.get(&id) {
            return *known;
        }
        let Some(mut run) = self.run(id).map(|run| (*run).clone()) else { return 0 };
        let begun = run.node.and_then(|node| self.machine.just_begun(node));
        let machine = &mut self.machine;
        run.node = begun.map(|(report, clock)| {
            let report = machine.exchanged_report(report);
            machine.start(report, clock)
        });
        let exchange = |report: &mut u32| *report = machine.exchanged_report(*report);
        match &mut run.job {
            Job::Listed { rest, .. } | Job::Base { rest, .. } => rest.iter_mut().for_each(exchange),
            Job::Resync { rest } => rest.iter_mut().filter_map(Todo::report).for_each(exchange),
            Job::Webhook { .. } | Job::Look { .. } | Job::SettleBase { .. } => {}
        }
        let other = self.runs.id(run);
        self.exchanged_runs.extend([(id, other), (other, id)]);
        other
    }

    /// Of a state in which nobody holds on to what was read of a table: what no rule can tell apart. Of a version it is whether there is one, and
    /// whether it is the one that was claimed; of the time at which an item is due after how many ticks it is; of its attempts whether there were any.
    fn forget(&mut self, state: &mut State) {
        let mut runs = [0; RUNS];
        for (renamed, run) in runs.iter_mut().zip(state.runs) {
            let Some(run) = self.runs.get(run).cloned() else { continue };
            let Some(run) = self.renamed(state, &run) else { return };
            *renamed = self.runs.id(run);
        }
        state.runs = runs;
        let (now, ticks) = (BEGIN + i64::from(state.clock), state.left.ticks);
        for row in &mut state.rows {
            let Some(known) = self.machine.rows.get(*row).cloned() else { continue };
            let machine = &mut self.machine;
            *row = *self.plain_rows.entry((*row, state.clock, state.left.ticks)).or_insert_with(|| {
                let mut plain = (*known).clone();
                plain.version = plain.version.min(1);
                plain.schedule.next_check_at = plain.schedule.next_check_at.map(|at| due(at, now, ticks));
                plain.schedule.attempts = plain.schedule.attempts.min(1);
                machine.row(plain)
            });
        }
        for id in &mut state.tasks {
            let Some(task) = self.machine.tasks.get(*id).filter(|task| task.version > 1).cloned() else { continue };
            let machine = &mut self.machine;
            let plain = || machine.task(Task { version: 1, ..(*task).clone() });
            *id = *self.plain_tasks.entry(*id).or_insert_with(plain);
        }
        state.base = self.plain_base(state, state.base);
    }

    fn plain_base(&mut self, state: &State, base: u32) -> u32 {
        let Some(known) = self.machine.bases.get(base).cloned() else { return 0 };
        let (machine, ticks) = (&mut self.machine, state.left.ticks);
        *self.plain_bases.entry((base, state.clock, ticks)).or_insert_with(|| {
            let mut plain = (*known).clone();
            plain.version = 1;
            let at = plain.schedule.next_check_at;
            plain.schedule.next_check_at = at.map(|at| due(at, BEGIN + i64::from(state.clock), ticks));
            machine.base(plain)
        })
    }

    /// A run whose versions are those of [`Self::forget`]; `None`: it has read a table, so nothing may be forgotten.
    fn renamed(&mut self, state: &State, run: &Run) -> Option<Run> {
        if !run.got.is_empty() {
            return None;
        }
        let versions = state.rows.map(|row| self.machine.rows.get(row).map(|row| row.version));
        let renamed = |claimed: u64, pr: u8| match versions.get(usize::from(pr)) {
            Some(version) if *version == Some(claimed) => 1,
            _ => NOT_CLAIMED,
        };
        let mut job = run.job.clone();
        match &mut job {
            Job::Listed { pr, claimed, .. } => *claimed = renamed(*claimed, *pr),
            Job::Base { base, .. } | Job::SettleBase { base, .. } => {
                let version = |base| self.machine.bases.get(base).map(|base| base.version);
                *base = if version(*base) == version(state.base) { self.plain_base(state, state.base) } else { 0 };
            }
            _ => {}
        }
        let node = match run.node {
            None => None,
            Some(node) => {
                let (report, clock) = self.machine.just_begun(node)?;
                let about = self.machine.about(node);
                let report = self.machine.claimed(report, |claimed| renamed(claimed, about));
                Some(self.machine.start(report, clock))
            }
        };
        Some(Run { job, node, got: Vec::new() })
    }

    // Coming to rest.

    /// What is wrong with a state in which no function runs, once all that is due, the resync and the daily comparison have had their turns.
    pub(crate) fn settle(&mut self, state: &State) -> Result<(), String> {
        if !state.is_quiet() {
            return Ok(());
        }
        let heard = state.delivered.count_ones() as usize == self.world(state.world).events.len();
        let mut from = *state;
        from.left = Budget::default();
        from.delivered = u32::from(heard);
        let key = from.fingerprint();
        if let Some(known) = self.settled.get(&key) {
            return known.clone();
        }
        let found = self.come_to_rest(from, heard);
        self.settled.insert(key, found.clone());
        found
    }

    fn come_to_rest(&mut self, mut state: State, heard: bool) -> Result<(), String> {
        self.drain(&mut state, 5)?;
        // What was heard needs no resync, but where a task came after its tag was read.
        if heard && !self.scope.late_tasks {
            self.cards(&state).map_err(|wrong| format!("{wrong}, though all was heard and nothing is due"))?;
        }
        for wait in [900, 8 * 86_400] {
            state.clock += wait;
            self.drain(&mut state, 5)?;
            self.resync(&mut state);
            self.finish(&mut state)?;
            self.drain(&mut state, 5)?;
            self.cards(&state).map_err(|wrong| format!("{wrong}, after a resync"))?;
        }
        let due = (0..SIZE).any(|pr| self.due(&state, pr).is_some()) || self.base_due(&state).is_some();
        if due { Err("something is due for ever".to_owned()) } else { Ok(()) }
    }

    fn cards(&self, state: &State) -> Result<(), String> {
        let world = self.world(state.world);
        for task in 0..self.scope.tasks {
            if let Some(card) = self.machine.tasks.get(state.tasks[task]) {
                truth::card(&world, task, card, state.past[task])?;
            }
        }
        Ok(())
    }

    /// Runs what is due, one after the other, until nothing is or it only waits for somebody.
    fn drain(&mut self, state: &mut State, attempts: u32) -> Result<(), String> {
        for _ in 0..60 {
            let waits = |pr: usize| {
                let row = self.machine.rows.get(state.rows[pr]);
                row.is_some_and(|row| row.schedule.attempts >= attempts && self.due(state, pr) > Some(state.clock))
            };
            let rows = (0..SIZE).filter(|pr| !waits(*pr)).filter_map(|pr| Some((self.due(state, pr)?, Some(pr))));
            let base = self.base_due(state).map(|at| (at, None));
            let Some((at, what)) = rows.chain(base).min() else { return Ok(()) };
            state.clock = state.clock.max(at);
            match what {
                Some(pr) => drop(self.look(state, pr, false)),
                None => self.ask_about_base(state),
            }
            self.finish(state)?;
        }
        Err("what is due never comes to an end".to_owned())
    }

    /// Lets the only run go to its end.
    fn finish(&mut self, state: &mut State) -> Result<(), String> {
        for _ in 0..100 {
            if state.runs[0] == 0 {
                return Ok(());
            }
            if self.decide(state, 0).is_some() {
                self.write(state, 0, Fate::Well)?;
            }
        }
        Err("a run does not end".to_owned())
    }

    // In words.

    pub(crate) fn tell_run(&self, id: u32) -> String {
        let Some(run) = self.run(id) else { return String::new() };
        let job = match &run.job {
            Job::Webhook { event, .. } => format!("webhook of event {event}"),
            Job::Look { pr, .. } | Job::Listed { pr, .. } => {
                format!("reconcile of {}", world::number((*pr).into()))
            }
            Job::Base { .. } | Job::SettleBase { .. } => "reconcile of the base".to_owned(),
            Job::Resync { .. } => "resync".to_owned(),
        };
        let wants = match run.node.map(|node| self.machine.wants(node)) {
            Some(Wants::Read(keys)) => {
                format!("reads {keys:?}, has {:?}", run.got.iter().map(|(key, _)| key).collect::<Vec<_>>())
            }
            Some(Wants::Write(ops)) => format!("writes {ops:?}"),
            _ => "goes on".to_owned(),
        };
        format!("{job}: {wants}")
    }
}

/// When an item is due, in ticks from now: none later than what is left of them.
fn due(at: i64, now: i64, ticks: u8) -> i64 {
    if at <= now { now } else { now + (i64::from(ticks) + 1).min((at - now + TICK - 1) / TICK) * TICK }
}

fn lease(schedule: &Schedule, now: u32) -> Schedule {
    Schedule::at(BEGIN + i64::from(now) + LEASE, schedule.attempts)
}

fn clock(second: i64) -> u32 {
    u32::try_from(second - BEGIN).unwrap_or(0)
}

/// A card as the board makes it.
pub(crate) fn new_card(task: usize, status: Status, updated: Option<u32>) -> Option<Task> {
    Some(Task { updated_at: updated.map(time), ..Task::new(world::task_id(task)?, status) })
}

/// What is stored after an update: what is ours of the wanted task, and of the board's attributes what was to change.
fn updated(stored: &Task, read: &Task, wanted: &Task) -> Task {
    let mut next = Task {
        id: stored.id.clone(),
        title: stored.title.clone(),
        status: stored.status.clone(),
        repository: stored.repository.clone(),
        updated_at: stored.updated_at,
        completed_by: stored.completed_by.clone(),
        completed_at: stored.completed_at,
        ..wanted.clone()
    };
    if wanted.status != read.status {
        next.status = wanted.status.clone();
    }
    if wanted.repository != read.repository {
        next.repository.clone_from(&wanted.repository);
    }
    if wanted.updated_at.is_some() && wanted.updated_at != read.updated_at {
        next.updated_at = wanted.updated_at;
    }
    if wanted.completed_by != read.completed_by {
        next.completed_by.clone_from(&wanted.completed_by);
    }
    if wanted.completed_at != read.completed_at {
        next.completed_at = wanted.completed_at;
    }
    next
}

impl Machine {
    fn tasks_id(&mut self, task: usize, card: Card) -> u32 {
        let status = match card {
            Card::None => return 0,
            Card::Submitted | Card::Timeless => Status::PrSubmitted,
            Card::InProgress => Status::InProgress,
        };
        let updated = (card != Card::Timeless).then_some(0);
        new_card(task, status, updated).map_or(0, |card| self.task(card))
    }

    /// A row that is due, since when ever: it is claimed as any other that is.
    fn overdue(&mut self, id: u32, now: u32) -> u32 {
        let now = BEGIN + i64::from(now);
        match self.rows.get(id) {
            Some(row) if row.schedule.next_check_at.is_some_and(|at| at < now) => {
                let mut row = (**row).clone();
                row.schedule.next_check_at = Some(now);
                self.row(row)
            }
            _ => id,
        }
    }
}
