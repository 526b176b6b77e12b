//! States that no step can tell apart, made the same.

use domain::base::BaseMove;
use domain::pull_request::PullRequest;
use domain::task::Status;

use super::runs::{Job, NOT_CLAIMED, Run, Todo};
use super::{RUNS, State, System};
use crate::machine::{Machine, Op, Wants};
use crate::scope::TICK;
use crate::store::fingerprint;
use crate::world::{BEGIN, What, time};

impl System {
    /// Tells those that have lost: a version that has changed since it was read never comes back, so it is all the same when they try.
    pub(super) fn lose(&mut self, state: &mut State) {
        for slot in 0..RUNS {
            let Some(run) = self.runs.get(state.runs[slot]) else { continue };
            let Some(node) = run.node else { continue };
            let Wants::Write(ops) = self.machine.wants(node) else { continue };
            if ops.iter().any(|op| self.has_moved_on(state, op)) {
                let node = self.machine.written(node, false);
                self.go_on(state, slot, node);
            }
        }
        (0..RUNS).for_each(|slot| self.forget_unless_begun(state, slot));
    }

    /// A webhook that begins again is one that has not begun.
    pub(super) fn forget_unless_begun(&self, state: &mut State, slot: usize) {
        let Some(run) = self.runs.get(state.runs[slot]) else { return };
        let Job::Webhook { event, again } = run.job else { return };
        let begins = run.node.is_some_and(|node| self.machine.just_begun(node).is_some());
        if begins && run.got.is_empty() {
            state.runs[slot] = 0;
            state.left.duplicates += u8::from(again);
            state.delivered &= !(u32::from(!again) << event);
        }
    }

    pub(super) fn has_moved_on(&self, state: &State, op: &Op) -> bool {
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
        self.forget_past(state);
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

    pub(super) fn exchanged_run(&mut self, id: u32) -> u32 {
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
    pub(super) fn forget(&mut self, state: &mut State) {
        let mut runs = [0; RUNS];
        for (renamed, run) in runs.iter_mut().zip(state.runs) {
            let Some(run) = self.renamed(state, run) else { return };
            *renamed = run;
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
        self.forget_of_tasks(state);
        state.base = self.plain_base(state, state.base);
    }

    /// When the board wrote a card: the truth asks that of one that a merge may move, on a board that keeps a time.
    fn forget_past(&self, state: &mut State) {
        for (past, task) in state.past.iter_mut().zip(state.tasks) {
            let task = self.machine.tasks.get(task);
            if task.is_none_or(|task| task.updated_at.is_none() || task.status != Status::PrSubmitted) {
                past.board_at = 0;
            }
        }
    }

    /// The version of a card, as above. The time that it keeps is read of one in `pr_submitted` alone; in any other column it changes with the
    /// column, on which each write is conditional as well. A rule that did read it there would see the time before the histories and no other.
    fn forget_of_tasks(&mut self, state: &mut State) {
        for id in &mut state.tasks {
            let Some(task) = self.machine.tasks.get(*id).cloned() else { continue };
            let machine = &mut self.machine;
            *id = *self.plain_tasks.entry(*id).or_insert_with(|| {
                let mut plain = (*task).clone();
                plain.version = plain.version.min(1);
                if plain.status != Status::PrSubmitted {
                    plain.updated_at = plain.updated_at.map(|_| time(0));
                }
                machine.task(plain)
            });
        }
    }

    /// The same of a state without functions that comes to rest: the times at which items are due count to the second.
    pub(super) fn forget_versions(&mut self, state: &mut State) {
        self.forget_past(state);
        self.forget_of_tasks(state);
        for row in &mut state.rows {
            let Some(known) = self.machine.rows.get(*row).filter(|row| row.version > 1).cloned() else { continue };
            let machine = &mut self.machine;
            let plain = || machine.row(PullRequest { version: 1, ..(*known).clone() });
            *row = *self.versionless.entry(*row).or_insert_with(plain);
        }
        if let Some(known) = self.machine.bases.get(state.base).filter(|base| base.version > 1).cloned() {
            state.base = self.machine.base(BaseMove { version: 1, ..(*known).clone() });
        }
    }

    /// What of GitHub's past still counts at rest: the merges that a resync lists and, where there is another pull request, which was open when.
    pub(super) fn world_at_rest(&mut self, id: u32) -> u32 {
        if self.scope.pull_requests > 1 {
            return id;
        }
        if let Some(known) = self.worlds_at_rest.get(&id) {
            return *known;
        }
        let mut world = (*self.world(id)).clone();
        world.events.retain(|event| matches!(event.what, What::Open | What::OtherMerge));
        let found = self.worlds.id(world);
        self.worlds_at_rest.insert(id, found);
        found
    }

    pub(super) fn plain_base(&mut self, state: &State, base: u32) -> u32 {
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
    fn renamed(&mut self, state: &State, id: u32) -> Option<u32> {
        if id == 0 {
            return Some(0);
        }
        let [first, second] = state.rows.map(|row| self.machine.rows.get(row).map_or(0, |row| row.version as u32 + 1));
        let key = fingerprint(&[id, first, second, state.base, state.clock, state.left.ticks.into()]);
        if let Some(known) = self.renamed.get(&key) {
            return *known;
        }
        let renamed = self.run(id).and_then(|run| self.rename(state, &run)).map(|run| self.runs.id(run));
        self.renamed.insert(key, renamed);
        renamed
    }

    fn rename(&mut self, state: &State, run: &Run) -> Option<Run> {
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
}

/// When an item is due, in ticks from now: none later than what is left of them.
fn due(at: i64, now: i64, ticks: u8) -> i64 {
    if at <= now { now } else { now + (i64::from(ticks) + 1).min((at - now + TICK - 1) / TICK) * TICK }
}

impl Machine {
    /// A row that is due, since when ever: it is claimed as any other that is.
    pub(super) fn overdue(&mut self, id: u32, now: u32) -> u32 {
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
