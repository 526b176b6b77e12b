//! Coming to rest: what is left once nothing happens any more, held against the truth.

use super::{Budget, Fate, State, System};
use crate::truth;
use crate::world::SIZE;

impl System {
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

    pub(super) fn come_to_rest(&mut self, mut state: State, heard: bool) -> Result<(), String> {
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

    pub(super) fn cards(&self, state: &State) -> Result<(), String> {
        let world = self.world(state.world);
        for task in 0..self.scope.tasks {
            if let Some(card) = self.machine.tasks.get(state.tasks[task]) {
                truth::card(&world, task, card, state.past[task])?;
            }
        }
        Ok(())
    }

    /// Runs what is due, one after the other, until nothing is or it only waits for somebody.
    pub(super) fn drain(&mut self, state: &mut State, attempts: u32) -> Result<(), String> {
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
    pub(super) fn finish(&mut self, state: &mut State) -> Result<(), String> {
        for _ in 0..100 {
            if state.runs[0] == 0 {
                return Ok(());
            }
            if let Some(node) = self.decide(state, 0) {
                self.write(state, 0, node, Fate::Well)?;
            }
        }
        Err("a run does not end".to_owned())
    }
}
