//! Who goes first where more is due than one invocation takes.

use std::collections::{BTreeMap, VecDeque};

use adapters::board::Due;

/// Takes at most `most` entries, the longest overdue of each owner first and one of each owner in turn: a thousand that are due of one
/// delay no other by more than its own share.
pub(crate) fn in_turn<O: Ord + Clone>(due: Vec<Due>, most: usize, owner: impl Fn(&Due) -> O) -> Vec<Due> {
    let mut order = Vec::new();
    let mut waiting: BTreeMap<O, VecDeque<Due>> = BTreeMap::new();
    for entry in due {
        let owner = owner(&entry);
        let queue = waiting.entry(owner.clone()).or_default();
        if queue.is_empty() {
            order.push(owner);
        }
        queue.push_back(entry);
    }
    let mut taken = Vec::new();
    while taken.len() < most && !order.is_empty() {
        order.retain(|owner| {
            let next = waiting.get_mut(owner).and_then(VecDeque::pop_front);
            let more = next.is_some();
            taken.extend(next);
            more
        });
    }
    taken.truncate(most);
    taken
}

#[cfg(test)]
mod tests {
    use domain::ids::{PullRequestNumber, RepositoryId};
    use domain::item::ItemKey;

    use super::*;

    fn due(repository: u64, number: u64) -> Due {
        let key = ItemKey::pull_request(RepositoryId(repository), PullRequestNumber(number));
        Due { key, due: "open".into(), next_check_at: number.to_string() }
    }

    #[test]
    fn one_that_has_much_delays_no_other() {
        let mut all: Vec<_> = (0..1000).map(|number| due(1, number)).collect();
        all.extend([due(2, 1000), due(3, 1001), due(3, 1002)]);
        let taken = in_turn(all, 6, |due| due.key.partition.clone());
        let taken: Vec<_> = taken.iter().map(|due| due.key.partition.as_str()).collect();
        assert_eq!(taken, ["1", "2", "3", "1", "3", "1"]);
    }

    #[test]
    fn everything_is_taken_once_if_there_is_room() {
        let all = vec![due(1, 1), due(2, 2), due(1, 3)];
        let mut taken = in_turn(all.clone(), 100, |due| due.key.partition.clone());
        taken.sort_by_key(Due::since);
        assert_eq!(taken, all);
    }
}
