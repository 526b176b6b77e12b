//! Coming to rest: what is left once nothing happens any more, held against the truth.

use super::{Fate, State, System};
use crate::scope::Budget;
use crate::truth;
use crate::world::SIZE;

impl System {
    /// What is wrong with a state in which no function runs, once all that is due, the resync and the daily comparison have had their turns.
    pub(crate) fn settle(&mut self, state: &State) -> Result<(), String> {
        if !state.is_quiet() {
            return Ok(());
        }
        let heard = state.delivered.count_ones() as usize == self.world(state.world).events.len();
        let world = self.world_at_rest(state.world);
        self.come_to_rest(State { world, left: Budget::default(), ..*state }, heard)
    }

    /// Does what is due, one thing after the other, and then what comes later. Many states come to the same on the way, which is followed once.
    fn come_to_rest(&mut self, mut state: State, heard: bool) -> Result<(), String> {
        let (mut passed, mut part) = (Vec::new(), 0);
        loop {
            self.forget_versions(&mut state);
            // No event is heard any more, so that is the place for how far it has come.
            state.delivered = part << 1 | u32::from(heard && part == 0);
            let key = state.fingerprint();
            if self.at_rest.contains(&key) {
                break;
            }
            if passed.contains(&key) || passed.len() > 300 {
                return Err("what is due never comes to an end".to_owned());
            }
            passed.push(key);
            if self.rest(&mut state, &mut part, heard)? {
                break;
            }
        }
        self.at_rest.extend(passed);
        Ok(())
    }

    /// Does what is due next or, where nothing is, takes the next part: all was heard, a quarter of an hour is over, a week, and a resync after each.
    /// Whether that was the last.
    fn rest(&mut self, state: &mut State, part: &mut u32, heard: bool) -> Result<bool, String> {
        if self.do_what_is_due(state)? {
            return Ok(false);
        }
        match *part {
            // What was heard needs no resync, but where a task came after its tag was read.
            0 if heard && !self.scope.late_tasks => {
                self.cards(state).map_err(|wrong| format!("{wrong}, though all was heard and nothing is due"))?;
            }
            2 | 4 => self.cards(state).map_err(|wrong| format!("{wrong}, after a resync"))?,
            _ => {}
        }
        match *part {
            0 => state.clock += 900,
            2 => state.clock += 8 * 86_400,
            1 | 3 => {
                self.resync(state);
                self.finish(state)?;
            }
            _ => {
                let due = (0..SIZE).any(|pr| self.due(state, pr).is_some()) || self.base_due(state).is_some();
                return if due { Err("something is due for ever".to_owned()) } else { Ok(true) };
            }
        }
        *part += 1;
        Ok(false)
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

    /// Does what is due first, unless that is nothing or only waits for somebody.
    fn do_what_is_due(&mut self, state: &mut State) -> Result<bool, String> {
        let waits = |pr: usize| {
            let row = self.machine.rows.get(state.rows[pr]);
            row.is_some_and(|row| row.schedule.attempts >= 5 && self.due(state, pr) > Some(state.clock))
        };
        let rows = (0..SIZE).filter(|pr| !waits(*pr)).filter_map(|pr| Some((self.due(state, pr)?, Some(pr))));
        let base = self.base_due(state).map(|at| (at, None));
        let Some((at, what)) = rows.chain(base).min() else { return Ok(false) };
        state.clock = state.clock.max(at);
        match what {
            Some(pr) => drop(self.look(state, pr, false)),
            None => self.ask_about_base(state),
        }
        self.finish(state)?;
        Ok(true)
    }

    /// Lets the only run go to its end.
    fn finish(&mut self, state: &mut State) -> Result<(), String> {
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
