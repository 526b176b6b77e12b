//! What somebody may have read, or begun to look at, just before another writes: no read is a step of its own.

use std::rc::Rc;

use domain::pull_request::State as Stage;

use super::{Action, Fate, RUNS, State, System};
use crate::machine::{Key, Op, Wants};
use crate::store::fingerprint;
use crate::world::time;

impl System {
    /// The ways in which reconcile may begin to look at a row that is due: it is told whether it merges, or not yet, or dies with its claim.
    ///
    /// What it has claimed and read of GitHub is the same later on, until somebody writes the row or something happens to the pull request. So it
    /// begins just before one of these, or does all of its work at once.
    pub(super) fn looks(&mut self, state: &State, pr: usize) -> Vec<(Action, State, usize)> {
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
    pub(super) fn looking(&mut self, state: &State, prs: &[usize]) -> Vec<State> {
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

    /// What a transaction would change, if it can be written.
    pub(super) fn writes(&self, state: &State, ops: &[Op]) -> Vec<Key> {
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
    pub(super) fn overwritten(&mut self, before: &State, after: State, keys: &[Key], writer: usize) -> Vec<State> {
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
    pub(super) fn had_read(
        &mut self,
        before: &State,
        after: &State,
        slot: usize,
        read: &[u32],
        states: &mut Vec<(State, State)>,
    ) {
        for run in read.iter().copied() {
            let mut next = *after;
            next.runs[slot] = run;
            if let Some(node) = if self.scope.patient { None } else { self.decide(&mut next, slot) } {
                let written = self.write(&mut next, slot, node, Fate::Well);
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
    fn early_reads(&mut self, state: &State, slot: usize, keys: &[Key], writer: usize) -> Rc<[u32]> {
        let id = state.runs[slot];
        let row = self.about(state, slot).map_or(0, |about| state.rows[about]);
        let written = keys.iter().map(Key::bit).sum::<u32>() << 1 | u32::from(writer < RUNS);
        let key = fingerprint(&[id, row, state.tasks[0], state.tasks[1], written, state.clock]);
        if let Some(known) = self.early.get(&key) {
            return Rc::clone(known);
        }
        let found: Rc<[u32]> = self.find_early_reads(state, slot, keys, writer).into();
        self.early.insert(key, Rc::clone(&found));
        found
    }

    fn find_early_reads(&mut self, state: &State, slot: usize, keys: &[Key], writer: usize) -> Vec<u32> {
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
    pub(super) fn loses(&self, state: &State, ops: &[Op], keys: &[Key], writer: usize) -> bool {
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
}
