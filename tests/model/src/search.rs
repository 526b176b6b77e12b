//! Every state once: those first that need the least of the budget, and of these the nearest. So a violation is found by its plainest trace, and a
//! state is seldom searched again because there is a way to it that leaves more to happen.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::scope::{Scope, at_least};
use crate::store::{Fingerprint, Map};
use crate::system::{RUNS, State, System};
use crate::world::SIZE;

/// Something that must not be, and how it came to be.
#[derive(Debug)]
pub struct Violation {
    /// What is wrong.
    pub wrong: String,
    /// The steps, one a line.
    pub trace: String,
}

/// What a search found.
#[derive(Debug)]
pub struct Found {
    /// What was searched.
    pub name: &'static str,
    /// How many different states there are.
    pub states: usize,
    /// How many steps lead from one to another.
    pub steps: usize,
    /// How many of the states have no function running; each of them was let come to rest.
    pub at_rest: usize,
    /// How long it took.
    pub took: Duration,
    /// Whether all states were seen: the search stops at a limit.
    pub complete: bool,
    /// The first violation of each kind.
    pub violations: Vec<Violation>,
}

impl Found {
    /// Whether every state was seen and none is wrong.
    pub fn passed(&self) -> bool {
        self.complete && self.violations.is_empty()
    }
}

const ROOT: u32 = u32::MAX;

/// Searches a scope, up to a number of states.
pub(crate) fn search(scope: Scope, limit: usize) -> Found {
    let began = Instant::now();
    let mut system = System::new(scope);
    let ample: Vec<u64> = (0..64).map(at_least).collect();
    let mut seen: Map<Fingerprint, u64> = Map::default();
    let mut is_new = |state: &State| {
        let place = state.left.place();
        let budgets = seen.entry(state.fingerprint()).or_insert(0);
        let new = *budgets & ample[place as usize] == 0;
        *budgets |= 1 << place;
        new
    };
    let mut from: Vec<(u32, u16)> = Vec::new();
    // By how much of the budget is spent.
    let mut queues = vec![VecDeque::new(); usize::from(scope.budget.total()) + 1];
    let spent = |state: &State| usize::from(scope.budget.total() - state.left.total());
    let (mut steps, mut at_rest, mut complete) = (0, 0, true);
    let mut wrong: Vec<(u32, u16, String)> = Vec::new();
    for (at, root) in system.roots().into_iter().enumerate() {
        if is_new(&root) {
            from.push((ROOT, at as u16));
            queues[spent(&root)].push_back((at as u32, root));
        }
    }
    while let Some((index, state)) = queues.iter_mut().find_map(VecDeque::pop_front) {
        if state.runs == [0; RUNS] {
            at_rest += 1;
            if let Err(found) = system.settle(&state) {
                note(&mut wrong, index, u16::MAX, found);
            }
        }
        for (at, next) in system.successors(&state).into_iter().enumerate() {
            steps += 1;
            if let Some(found) = next.wrong {
                note(&mut wrong, index, at as u16, found);
            } else if is_new(&next.state) {
                queues[spent(&next.state)].push_back((from.len() as u32, next.state));
                from.push((index, at as u16));
            }
        }
        if from.len() > limit {
            complete = false;
            break;
        }
    }
    let violations = wrong
        .into_iter()
        .map(|(state, step, wrong)| Violation { trace: trace(&mut system, &from, state, step), wrong });
    let violations = violations.collect();
    Found { name: scope.name, states: from.len(), steps, at_rest, took: began.elapsed(), complete, violations }
}

fn note(wrong: &mut Vec<(u32, u16, String)>, state: u32, step: u16, found: String) {
    if wrong.len() < 20 && !wrong.iter().any(|(_, _, known)| *known == found) {
        wrong.push((state, step, found));
    }
}

/// The steps that lead to a state, and one further.
fn trace(system: &mut System, from: &[(u32, u16)], state: u32, last: u16) -> String {
    let mut path = vec![last];
    let mut at = state;
    let mut root = 0;
    while let Some((parent, step)) = from.get(at as usize).copied() {
        if parent == ROOT {
            root = step;
            break;
        }
        path.push(step);
        at = parent;
    }
    let mut text = String::new();
    let Some(mut state) = system.roots().get(usize::from(root)).copied() else { return text };
    let _ = writeln!(text, "     begins with {}", tell(system, &state));
    for (number, step) in path.iter().rev().enumerate() {
        if *step == u16::MAX {
            let _ = writeln!(text, "{:>3}. everything comes to rest", number + 1);
            break;
        }
        let Some(next) = system.successors(&state).into_iter().nth(usize::from(*step)) else { break };
        let _ = writeln!(text, "{:>3}. {:?}", number + 1, next.action);
        state = next.state;
        let _ = writeln!(text, "     {}", tell(system, &state));
    }
    text
}

pub(crate) fn tell(system: &System, state: &State) -> String {
    let mut text = format!("at {}:", state.clock - crate::system::FIRST);
    let world = system.world(state.world);
    for pr in 0..SIZE {
        if let Some(github) = world.prs[pr] {
            let _ = write!(
                text,
                " #{}={}/{:02b}/{:02b}@{}",
                pr + 1,
                github.state.as_str(),
                github.title,
                github.title_at_merge,
                github.updated - crate::system::FIRST
            );
        }
        if let Some(row) = system.machine.rows.get(state.rows[pr]) {
            let _ = write!(
                text,
                " row(v{} {} {:?}{} links {:?} {:?} due {:?}/{})",
                row.version,
                row.snapshot.state.as_str(),
                row.snapshot.title.get(9..).unwrap_or(""),
                if row.title_unconfirmed { "?" } else { "" },
                row.task_ids.iter().filter_map(|id| id.as_str().get(..1)).collect::<String>(),
                row.mergeability,
                system.due(state, pr).map(|at| i64::from(at) - i64::from(crate::system::FIRST)),
                row.schedule.attempts
            );
        }
    }
    for task in 0..SIZE {
        if let Some(card) = system.machine.tasks.get(state.tasks[task]) {
            let links = card.pull_requests.iter().map(|(key, linked)| format!("{key} {}", linked.state.as_str()));
            let links: Vec<_> = links.collect();
            let _ = write!(
                text,
                " card {}(v{} {} board@{} {links:?} conflict {:?} completed_by {})",
                ["a", "b"][task],
                card.version,
                card.status,
                i64::from(state.past[task].board_at) - i64::from(crate::system::FIRST),
                card.has_merge_conflict,
                card.completed_by.len()
            );
        }
    }
    for run in state.runs.iter().filter(|run| **run != 0) {
        let _ = write!(text, "\n       runs: {}", system.tell_run(*run));
    }
    text
}
