//! Who goes first where more is due than one invocation takes.

use std::collections::{BTreeMap, VecDeque};

use adapters::board::Due;

/// Takes at most `most` entries, the longest overdue of each repository or installation first and one of each in turn: a thousand that
/// are due in one place delay no other place by more than its own share.
pub(crate) fn in_turn(due: Vec<Due>, most: usize) -> Vec<Due> {
    let mut order = Vec::new();
    let mut waiting: BTreeMap<String, VecDeque<Due>> = BTreeMap::new();
    for entry in due {
        let queue = waiting.entry(entry.key.partition.clone()).or_default();
        if queue.is_empty() {
            order.push(entry.key.partition.clone());
        }
        queue.push_back(entry);
    }
    let mut taken = Vec::new();
    while taken.len() < most && !order.is_empty() {
        order.retain(|partition| {
            let next = waiting.get_mut(partition).and_then(VecDeque::pop_front);
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
        Due { key, due: "open".to_owned(), next_check_at: i64::try_from(number).unwrap() }
    }

    #[test]
    fn one_that_has_much_delays_no_other() {
        let mut all: Vec<_> = (0..1000).map(|number| due(1, number)).collect();
        all.extend([due(2, 1000), due(3, 1001), due(3, 1002)]);
        let taken = in_turn(all, 6);
        let taken: Vec<_> = taken.iter().map(|due| due.key.partition.as_str()).collect();
        assert_eq!(taken, ["1", "2", "3", "1", "3", "1"]);
    }

    #[test]
    fn everything_is_taken_once_if_there_is_room() {
        let all = vec![due(1, 1), due(2, 2), due(1, 3)];
        let mut taken = in_turn(all.clone(), 100);
        taken.sort_by_key(|due| due.next_check_at);
        assert_eq!(taken, all);
    }
}
