//! What is true of a card, said apart from the code under test: from what happened on GitHub and what the board wrote.
//!
//! It reads titles its own way and knows no row, no schedule and no protocol. Where the board wrote a card after a merge, or keeps no time,
//! more than one end may be right; else there is one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Two clocks may be so far apart, seconds.
const APART: i64 = 60;

/// A pull request at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pull {
    pub(super) open: bool,
    pub(super) conflict: bool,
    pub(super) state: &'static str,
    pub(super) created: i64,
    /// The title that counts: the one at the merge, else the present one.
    pub(super) title: String,
    /// When it was merged, if it was.
    pub(super) merged: Option<i64>,
}

impl Pull {
    fn names(&self, task: &str) -> bool {
        self.title.contains(&format!("[kid: #{task}]"))
    }
}

/// A writing of the board's.
#[derive(Debug, Clone)]
struct Write {
    at: i64,
    column: String,
    /// The merges that had been spent on the card by then.
    spent: BTreeSet<u64>,
}

/// What happened, as it happened.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Whether the board writes down when it writes.
    pub(super) keeps_time: bool,
    /// GitHub after each event.
    github: Vec<(i64, BTreeMap<u64, Pull>)>,
    board: BTreeMap<String, Vec<Write>>,
}

fn spent(card: &Value) -> BTreeSet<u64> {
    let keys = card["completed_by"].as_array().into_iter().flatten().filter_map(Value::as_str);
    keys.filter_map(|key| key.rsplit_once('#')?.1.parse().ok()).collect()
}

impl Log {
    pub(super) fn new(keeps_time: bool) -> Self {
        Self { keeps_time, ..Self::default() }
    }

    pub(super) fn github(&mut self, at: i64, pulls: BTreeMap<u64, Pull>) {
        self.github.push((at, pulls));
    }

    /// That the board writes a card, which was `before`. Whatever the app did to it until then must have been right.
    pub(super) fn board(&mut self, task: &str, before: Option<&Value>, column: &str, at: i64) -> Result<(), String> {
        if let Some(before) = before {
            self.moved_rightly(task, before, at)?;
        }
        let spent = before.map(spent).unwrap_or_default();
        self.board.entry(task.to_owned()).or_default().push(Write { at, column: column.to_owned(), spent });
        Ok(())
    }

    /// The column that a card had last when the board wrote it.
    fn last(&self, task: &str) -> Option<&Write> {
        self.board.get(task)?.last()
    }

    /// Whether the app moved a card only as it may: from `pr_submitted` to `done`, by a merge that had not moved it before.
    fn moved_rightly(&self, task: &str, card: &Value, now: i64) -> Result<(), String> {
        let Some(last) = self.last(task) else { return Ok(()) };
        let column = card["status"].as_str().unwrap_or_default();
        let now_spent = spent(card);
        if let Some(forgotten) = last.spent.difference(&now_spent).next() {
            return Err(format!("{task} forgot that #{forgotten} was spent"));
        }
        if column == last.column {
            return Ok(());
        }
        if (last.column.as_str(), column) != ("pr_submitted", "done") {
            return Err(format!("the app moved {task} from {} to {column}", last.column));
        }
        let by = now_spent.difference(&last.spent);
        let reasons: Vec<_> = by.map(|number| self.may_move(task, *number, last, now)).collect();
        if reasons.iter().any(Result::is_ok) {
            return Ok(());
        }
        Err(format!("{task} is done, and no merge may have moved it: {reasons:?}"))
    }

    fn may_move(&self, task: &str, number: u64, last: &Write, now: i64) -> Result<(), String> {
        let pull = self.github.last().and_then(|(_, pulls)| pulls.get(&number)).filter(|pull| pull.names(task));
        let Some((pull, merged)) = pull.and_then(|pull| Some((pull, pull.merged?))) else {
            return Err(format!("#{number} is no merge that names it"));
        };
        if !self.keeps_time || (merged - last.at).abs() <= APART || last.at < merged {
            return Ok(());
        }
        if self.completed_before(last).is_some_and(|completed| pull.created < completed) {
            return Err(format!("#{number} was opened before the card was completed last"));
        }
        let since = last.at + APART;
        let after = self.github.iter().enumerate().filter(|(at, _)| {
            let until = self.github.get(at + 1).map_or(now, |(next, _)| *next);
            until >= since
        });
        let mut after = after.map(|(_, (_, pulls))| pulls);
        if after.any(|pulls| newer_open(pulls, task, number).is_none()) {
            return Ok(());
        }
        Err(format!("#{number} is old, and a newer one was open all the time"))
    }

    /// When the card was last completed before the board wrote it.
    fn completed_before(&self, last: &Write) -> Option<i64> {
        let (_, pulls) = self.github.last()?;
        last.spent.iter().filter_map(|number| pulls.get(number)?.merged).max()
    }

    /// Whether a card is as it must be once everything has come to rest.
    pub(super) fn at_rest(&self, task: &str, card: &Value, now: i64) -> Result<(), String> {
        self.moved_rightly(task, card, now)?;
        let none = BTreeMap::new();
        let pulls = self.github.last().map_or(&none, |(_, pulls)| pulls);
        links(pulls, task, card)?;
        let Some(last) = self.last(task) else { return Ok(()) };
        if card["status"] != "pr_submitted" {
            return Ok(());
        }
        let unspent = pulls.iter().filter(|(number, pull)| pull.names(task) && !spent(card).contains(number));
        for (number, pull) in unspent {
            let Some(merged) = pull.merged else { continue };
            let owed = if !self.keeps_time || (merged - last.at).abs() <= APART {
                !pulls.values().any(|other| other.open && other.names(task) && other.created >= merged)
            } else if last.at < merged {
                true
            } else {
                newer_open(pulls, task, *number).is_none()
                    && self.completed_before(last).is_none_or(|completed| pull.created >= completed)
            };
            if owed {
                return Err(format!("#{number} is merged, and {task} is still in pr_submitted"));
            }
        }
        Ok(())
    }
}

fn newer_open(pulls: &BTreeMap<u64, Pull>, task: &str, than: u64) -> Option<u64> {
    let created = pulls.get(&than).map_or(i64::MAX, |pull| pull.created);
    let open = pulls.iter().filter(|(number, pull)| **number != than && pull.open && pull.names(task));
    open.map(|(number, pull)| (pull.created, *number))
        .filter(|newer| *newer > (created, than))
        .map(|(_, number)| number)
        .max()
}

/// Links, the current pull request and its conflict.
fn links(pulls: &BTreeMap<u64, Pull>, task: &str, card: &Value) -> Result<(), String> {
    let named: BTreeMap<u64, &Pull> =
        pulls.iter().filter(|(_, pull)| pull.names(task)).map(|(number, pull)| (*number, pull)).collect();
    let number = |key: &str| key.rsplit_once('#').and_then(|(_, number)| number.parse::<u64>().ok());
    let linked = card["pull_requests"].as_object().cloned().unwrap_or_default();
    let linked: BTreeMap<u64, String> =
        linked.iter().filter_map(|(key, linked)| Some((number(key)?, linked["state"].as_str()?.to_owned()))).collect();
    let expected: BTreeMap<u64, String> = named.iter().map(|(number, pull)| (*number, pull.state.to_owned())).collect();
    if linked != expected {
        return Err(format!("{task} is linked to {linked:?}, and {expected:?} name it"));
    }
    let rank = |pull: &Pull| ["closed", "merged", "open"].iter().position(|state| *state == pull.state);
    let current = named.iter().max_by_key(|(number, pull)| (rank(pull), pull.created, **number));
    if card["pull_request"].as_str().and_then(number) != current.map(|(number, _)| *number) {
        return Err(format!("the current pull request of {task} is {}, and {current:?} is", card["pull_request"]));
    }
    let conflict = current.map_or(Value::Null, |(_, pull)| Value::Bool(pull.conflict));
    if card["has_merge_conflict"] != conflict {
        return Err(format!("{task} says of its conflict {}, and it is {conflict}", card["has_merge_conflict"]));
    }
    Ok(())
}
