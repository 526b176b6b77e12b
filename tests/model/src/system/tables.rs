//! What the tables hold, and how it is written.

use domain::protocol::RESTS_ON;
use domain::task::{Status, Task};

use super::{Column, Fate, State, System};
use crate::machine::{Machine, Op, Wants};
use crate::scope::Card;
use crate::truth;
use crate::world::{self, time};

/// What [`System::loses`] relies on.
const SAME_VERSION: &str = "a write leaves an item with the version that it had";

impl System {
    pub(super) fn write_card(&mut self, state: &mut State, task: usize, column: Column) {
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

    /// Makes the write that a run has decided on at this point of its protocol.
    pub(super) fn write(&mut self, state: &mut State, slot: usize, node: u32, fate: Fate) -> Result<(), String> {
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
        self.go_on(state, slot, node);
        checked
    }

    pub(super) fn holds(&self, state: &State, op: &Op) -> bool {
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

    pub(super) fn is_as_read(&self, now: u32, read: u32) -> bool {
        let (Some(now), Some(read)) = (self.machine.tasks.get(now), self.machine.tasks.get(read)) else { return false };
        let attribute = |name: &str| match name {
            "status" => now.status == read.status,
            "updated_at" => now.updated_at == read.updated_at,
            "repository" => now.repository == read.repository,
            _ => false,
        };
        now.version == read.version && RESTS_ON.iter().all(|name| attribute(name))
    }

    pub(super) fn apply(&mut self, state: &mut State, op: &Op, about: usize) -> Result<(), String> {
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
    pub(super) fn update_task(
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
        truth::write(&world, state.clock, task, about, &stored, &written, state.past[task])
    }

    pub(super) fn move_base(&mut self, now: u32, by: u32) -> u32 {
        let Some(by) = self.machine.bases.get(by) else { return now };
        let mut next = (**by).clone();
        let known = self.machine.bases.get(now);
        next.moves = by.moves + known.map_or(0, |known| known.moves);
        next.version = 1 + known.map_or(0, |known| known.version);
        self.machine.base(next)
    }
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
    pub(super) fn tasks_id(&mut self, task: usize, card: Card) -> u32 {
        let status = match card {
            Card::None => return 0,
            Card::Submitted | Card::Timeless => Status::PrSubmitted,
            Card::InProgress => Status::InProgress,
        };
        let updated = (card != Card::Timeless).then_some(0);
        new_card(task, status, updated).map_or(0, |card| self.task(card))
    }
}
