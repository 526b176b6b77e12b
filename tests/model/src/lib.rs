//! Every order, tried: the protocol and the decisions of `domain`, as they are, over tables in memory and a GitHub that changes by itself.
//!
//! - `world` is GitHub, `machine` the protocol as an automaton, `system` the functions, the board and the tables, `truth` what a card has to be.
//! - Reconcile's own steps (claim, read GitHub, report) are written down once more in `system`; everything that decides is `domain`'s.
//! - A read is made in one of two places: with the write of its own function, or just before somebody else writes what it reads. Every other order of
//!   reads leads to the same states: a read that moves to the next write of what it reads finds the same. Whoever has read what was then overwritten
//!   decides right after that write, or, in a scope of `patient` functions, at any time. Whoever decides so and loses is where it was, so what it read
//!   makes no other state, and it is combined with others only where something came of it. A test holds this against a search in which every read
//!   is a step of its own and nothing is reduced.
//! - Two tasks that only their ids tell apart are `alike`: a state and the same with both exchanged have the same future but for the names, because
//!   nothing of `domain` asks of an id more than whether it is another, and the truth asks no more. One of the two is searched. A test holds the
//!   outcomes against those without; a rule that did prefer one of two tasks would make them differ.
//! - What no rule asks of an item is forgotten between steps (`system::same`): how often it was written, when it was answered, when the board wrote a
//!   card that no merge may move. The same test holds the outcomes against a search that forgets nothing.
//! - A webhook that dies before its write is a delivery that never came, and one that dies after it is done; both are there anyway.
//! - No time passes while a function runs: a lease is longer than a function lives.

mod exchange;
mod machine;
mod scope;
mod search;
mod store;
mod system;
mod truth;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use search::{Found, Violation};

/// How many searches run at the same time. Each has memory of its own.
const THREADS: usize = 2;

/// Searches every scope whose name has `only` in it, with so many events on GitHub besides the opening of pull requests, each up to `limit`
/// states, and tells of each when it is through.
pub fn search_all(events: u8, limit: usize, only: &str, tell: impl Fn(&Found) + Sync) -> Vec<Found> {
    let scopes: Vec<_> = scope::scopes(events).into_iter().filter(|scope| scope.name.contains(only)).collect();
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(|| {
                while let Some(scope) = scopes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let one = search::search(*scope, limit);
                    let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    tell(&one);
                    found.push(one);
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use domain::task::{Status, Task};

    use crate::scope::{Budget, Scope, scopes};
    use crate::search::{search, tell};
    use crate::system::{FIRST, RUNS, System, new_card};
    use crate::truth::{self, Past};
    use crate::world::{What, World};

    /// Every state without a running function that a scope leads to, in words; of two that only the names of the tasks tell apart, one.
    fn outcomes(scope: Scope) -> BTreeSet<String> {
        let mut system = System::new(scope);
        let mut left = system.roots();
        let mut seen: HashSet<_> = left.iter().copied().collect();
        let mut found = BTreeSet::new();
        while let Some(mut state) = left.pop() {
            left.extend(system.successors(&state).into_iter().map(|next| next.state).filter(|next| seen.insert(*next)));
            if state.runs == [0; RUNS] {
                system.normalise(&mut state);
                let other = system.exchanged(&state);
                found.insert(tell(&system, &state).min(tell(&system, &other)));
            }
        }
        found
    }

    fn scope(name: &str, budget: Budget) -> Scope {
        let found = scopes(0).into_iter().find(|scope| scope.name == name);
        Scope { functions: 2, budget, ..found.expect(name) }
    }

    #[test]
    fn tasks_that_are_alike_hide_no_outcome() {
        let budget = Budget { events: 1, board: 1, duplicates: 0, faults: 0, ticks: 1, resyncs: 0 };
        let alike = scope("one pull request, two tasks", budget);
        assert_eq!(outcomes(alike), outcomes(Scope { alike: false, ..alike }));
    }

    #[test]
    fn reads_just_before_a_write_hide_no_outcome() {
        let budget = Budget { events: 0, board: 2, duplicates: 1, faults: 1, ticks: 1, resyncs: 0 };
        for budget in [budget, Budget { events: 1, board: 0, faults: 0, ..budget }] {
            let patient = scope("reads of any age", budget);
            let every = outcomes(Scope { plain: true, ..patient });
            assert_eq!(outcomes(patient), every);
            assert_eq!(outcomes(Scope { patient: false, ..patient }), every);
        }
    }

    #[test]
    fn nothing_is_wrong_in_the_smallest_scopes() {
        for scope in scopes(0).into_iter().filter(|scope| scope.pull_requests == 1) {
            let found = search(scope, usize::MAX);
            assert!(found.complete && found.violations.is_empty(), "{}: {:#?}", found.name, found.violations);
            assert!(found.at_rest > 50, "{}: only {} states were let come to rest", found.name, found.at_rest);
        }
    }

    /// A pull request that is closed, read, reopened and heard of before the read is reported has no answer, and its base may not be settled yet.
    #[test]
    fn a_base_is_not_settled_by_a_read_that_is_too_old() {
        let budget = Budget { events: 3, board: 0, duplicates: 0, faults: 0, ticks: 1, resyncs: 0 };
        let alone = scope("one pull request, one task", budget);
        let found = search(Scope { cards: &alone.cards[..1], titles: &[1], ..alone }, usize::MAX);
        assert!(found.passed(), "{:#?}", found.violations);
    }

    #[test]
    fn what_is_wrong_at_rest_is_told_of_every_state_that_comes_to_it() {
        let mut system = System::new(scope("one pull request, one task", Budget::default()));
        let mut card = new_card(0, Status::PrSubmitted, Some(0)).unwrap();
        card.repository = Some("acme/other".to_owned());
        let mut state = system.roots()[0];
        state.tasks[0] = system.machine.task(card);
        let wrong = system.settle(&state).unwrap_err();
        assert!(wrong.contains("does not have 7#1"), "{wrong}");
        for _ in 0..2 {
            assert_eq!(system.settle(&state), Err(wrong.clone()));
            state.clock += 900;
        }
    }

    /// A merge of the only pull request, which the board wrote the card long before.
    fn merged() -> World {
        World::default().after(What::Open, 0, 1, FIRST).after(What::Merge, 0, 1, FIRST + 200)
    }

    #[test]
    fn a_card_that_nobody_linked_is_wrong() {
        let card = new_card(0, Status::Done, Some(0)).unwrap();
        let wrong = truth::card(&merged(), 0, &card, Past::default()).unwrap_err();
        assert!(wrong.contains("does not have 7#1"), "{wrong}");
    }

    #[test]
    fn a_move_that_no_merge_allows_is_wrong() {
        let before = new_card(0, Status::PrSubmitted, Some(0)).unwrap();
        let mut after = before.clone();
        after.status = Status::Done;
        after.completed_by.insert(domain::ids::PullRequestKey::new(crate::world::REPOSITORY, crate::world::number(0)));
        let write = |world: &World, before: &Task, past| truth::write(world, FIRST + 300, 0, 0, before, &after, past);
        assert_eq!(write(&merged(), &before, Past::default()), Ok(()));
        let back = Task { status: Status::PrSubmitted, ..after.clone() };
        assert!(write(&merged(), &back, Past::default()).is_err(), "one merge moves a card once");
        let open = World::default().after(What::Open, 0, 1, FIRST);
        assert!(write(&open, &before, Past::default()).is_err(), "nothing was merged");
        let retitled = World::default().after(What::Open, 0, 0, FIRST).after(What::Merge, 0, 1, FIRST + 200);
        assert!(write(&retitled, &before, Past::default()).is_err(), "the title did not name it");
        let working = new_card(0, Status::InProgress, Some(0)).unwrap();
        assert!(write(&merged(), &working, Past::default()).is_err(), "it was in in_progress");
    }

    #[test]
    fn an_old_merge_moves_no_card_under_a_newer_pull_request() {
        let world = merged().after(What::Open, 1, 1, FIRST + 300);
        let before = new_card(0, Status::PrSubmitted, Some(FIRST + 400)).unwrap();
        let mut after = before.clone();
        after.status = Status::Done;
        after.completed_by.insert(domain::ids::PullRequestKey::new(crate::world::REPOSITORY, crate::world::number(0)));
        let past = Past { board_at: FIRST + 400 };
        assert!(truth::write(&world, FIRST + 600, 0, 0, &before, &after, past).is_err());
        assert_eq!(truth::write(&merged(), FIRST + 600, 0, 0, &before, &after, past), Ok(()));
    }
}
