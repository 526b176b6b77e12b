//! The whole: GitHub, the board, the tables and the functions that run, as one state that takes one step at a time.

mod early;
mod rest;
mod runs;
mod same;
mod tables;

use std::rc::Rc;

use domain::task::Status;

use crate::machine::{Key, Machine, Wants};
use crate::scope::{Budget, Scope};
use crate::store::{Fingerprint, Map, Set, Store, fingerprint};
use crate::truth::Past;
use crate::world::{SIZE, What, World};

use runs::{Job, Run};
#[cfg(test)]
pub(crate) use tables::new_card;

/// When the histories begin: a day after the board wrote the cards.
pub(crate) const FIRST: u32 = 86_400;

/// How many functions run at once.
pub(crate) const RUNS: usize = 3;

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
    pub(crate) fn fingerprint(&self) -> Fingerprint {
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
            self.past[0].board_at,
            self.past[1].board_at,
            self.delivered,
            self.clock,
            u32::from_le_bytes([self.left.events, self.left.ticks, 0, 0]),
        ])
    }

    fn is_quiet(&self) -> bool {
        self.runs == [0; RUNS]
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
    at_rest: Set<Fingerprint>,
    worlds_at_rest: Map<u32, u32>,
    versionless: Map<u32, u32>,
    updates: Map<(u32, u32, u32), u32>,
    claims: Map<(u32, u32), u32>,
    deliveries: Map<(u32, usize, bool, u32), u32>,
    decided: Map<[u32; 4], u32>,
    went_on: Map<[u32; 2], u32>,
    early: Map<Fingerprint, Rc<[u32]>>,
    renamed: Map<Fingerprint, Option<u32>>,
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
            at_rest: Set::default(),
            worlds_at_rest: Map::default(),
            versionless: Map::default(),
            updates: Map::default(),
            claims: Map::default(),
            deliveries: Map::default(),
            decided: Map::default(),
            went_on: Map::default(),
            early: Map::default(),
            renamed: Map::default(),
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
    /// read in [`Self::overwritten`].
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

    fn go(&mut self, state: &State, slot: usize, action: Action, found: &mut Vec<Successor>) {
        let mut ready = *state;
        let Some(node) = self.decide(&mut ready, slot) else {
            return found.push(Successor { action, state: ready, wrong: None });
        };
        let Wants::Write(ops) = self.machine.wants(node) else { return };
        let keys = self.writes(&ready, &ops);
        // A webhook that dies before its write is no delivery.
        let mut goes_on = self.run(state.runs[slot]).is_some_and(|run| !matches!(run.job, Job::Webhook { .. }));
        for fate in [Fate::Well, Fate::Crash, Fate::LostAnswer] {
            let may_be = match fate {
                Fate::Well => true,
                // That it dies after its last write is the end of it, too, and leaves less to happen.
                Fate::Crash => state.left.faults > 0 && goes_on,
                // A transaction is repeated with the same token and then answers as it did; one conditional write finds itself in the way.
                Fate::LostAnswer => state.left.faults > 0 && ops.len() == 1,
            };
            if !may_be {
                continue;
            }
            let mut next = ready;
            next.left.faults -= u8::from(fate != Fate::Well);
            let before = next;
            if let Err(wrong) = self.write(&mut next, slot, node, fate) {
                found.push(Successor { action, state: next, wrong: Some(wrong) });
                continue;
            }
            goes_on &= next.runs[slot] != 0;
            let after = self.overwritten(&before, next, &keys, slot);
            found.extend(after.into_iter().map(|state| Successor { action, state, wrong: None }));
        }
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
}
