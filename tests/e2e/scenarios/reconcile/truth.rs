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
    pub(super) number: u64,
    pub(super) open: bool,
    pub(super) conflict: bool,
    pub(super) state: &'static str,
    pub(super) created: i64,
    /// The title that counts: the one at the merge, else the present one; without the tags of another repository's tasks.
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
    spent: BTreeSet<String>,
}

/// Pull requests, each under the key that cards name it by.
pub(super) type Pulls = BTreeMap<String, Pull>;

/// What happened, as it happened.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Whether the board writes down when it writes.
    pub(super) keeps_time: bool,
    /// GitHub after each event.
    github: Vec<(i64, Pulls)>,
    board: BTreeMap<String, Vec<Write>>,
}

fn spent(card: &Value) -> BTreeSet<String> {
    card["completed_by"].as_array().into_iter().flatten().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

impl Log {
    pub(super) fn new(keeps_time: bool) -> Self {
        Self { keeps_time, ..Self::default() }
    }

    pub(super) fn github(&mut self, at: i64, pulls: Pulls) {
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
            return Err(format!("{task} forgot that {forgotten} was spent"));
        }
        if column == last.column {
            return Ok(());
        }
        if (last.column.as_str(), column) != ("pr_submitted", "done") {
            return Err(format!("the app moved {task} from {} to {column}", last.column));
        }
        let by = now_spent.difference(&last.spent);
        let reasons: Vec<_> = by.map(|key| self.may_move(task, key, last, now)).collect();
        if reasons.iter().any(Result::is_ok) {
            return Ok(());
        }
        Err(format!("{task} is done, and no merge may have moved it: {reasons:?}"))
    }

    fn may_move(&self, task: &str, key: &str, last: &Write, now: i64) -> Result<(), String> {
        let pull = self.github.last().and_then(|(_, pulls)| pulls.get(key)).filter(|pull| pull.names(task));
        let Some((pull, merged)) = pull.and_then(|pull| Some((pull, pull.merged?))) else {
            return Err(format!("{key} is no merge that names it"));
        };
        if !self.keeps_time || (merged - last.at).abs() <= APART || last.at < merged {
            return Ok(());
        }
        if self.completed_before(last).is_some_and(|completed| pull.created < completed) {
            return Err(format!("{key} was opened before the card was completed last"));
        }
        let since = last.at + APART;
        let after = self.github.iter().enumerate().filter(|(at, _)| {
            let until = self.github.get(at + 1).map_or(now, |(next, _)| *next);
            until >= since
        });
        let mut after = after.map(|(_, (_, pulls))| pulls);
        if after.any(|pulls| newer_open(pulls, task, key).is_none()) {
            return Ok(());
        }
        Err(format!("{key} is old, and a newer one was open all the time"))
    }

    /// When the card was last completed before the board wrote it.
    fn completed_before(&self, last: &Write) -> Option<i64> {
        let (_, pulls) = self.github.last()?;
        last.spent.iter().filter_map(|key| pulls.get(key)?.merged).max()
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
        let unspent = pulls.iter().filter(|(key, pull)| pull.names(task) && !spent(card).contains(*key));
        for (key, pull) in unspent {
            let Some(merged) = pull.merged else { continue };
            let owed = if !self.keeps_time || (merged - last.at).abs() <= APART {
                !pulls.values().any(|other| other.open && other.names(task) && other.created >= merged)
            } else if last.at < merged {
                true
            } else {
                newer_open(pulls, task, key).is_none()
                    && self.completed_before(last).is_none_or(|completed| pull.created >= completed)
            };
            if owed {
                return Err(format!("{key} is merged, and {task} is still in pr_submitted"));
            }
        }
        Ok(())
    }
}

fn newer_open<'a>(pulls: &'a Pulls, task: &str, than: &str) -> Option<&'a String> {
    let age = |pull: &Pull| (pull.created, pull.number);
    let open = pulls.iter().filter(|(key, pull)| *key != than && pull.open && pull.names(task));
    open.filter(|(_, pull)| pulls.get(than).is_some_and(|than| age(pull) > age(than)))
        .max_by_key(|(_, pull)| age(pull))
        .map(|(key, _)| key)
}

/// Links, the current pull request and its conflict.
fn links(pulls: &Pulls, task: &str, card: &Value) -> Result<(), String> {
    let named: BTreeMap<&String, &Pull> = pulls.iter().filter(|(_, pull)| pull.names(task)).collect();
    let linked = card["pull_requests"].as_object().cloned().unwrap_or_default();
    let linked: BTreeMap<&String, &str> =
        linked.iter().filter_map(|(key, linked)| Some((key, linked["state"].as_str()?))).collect();
    let expected: BTreeMap<&String, &str> = named.iter().map(|(key, pull)| (*key, pull.state)).collect();
    if linked != expected {
        return Err(format!("{task} is linked to {linked:?}, and {expected:?} name it"));
    }
    let rank = |pull: &Pull| ["closed", "merged", "open"].iter().position(|state| *state == pull.state);
    let current = named.iter().max_by_key(|(_, pull)| (rank(pull), pull.created, pull.number));
    if card["pull_request"].as_str() != current.map(|(key, _)| key.as_str()) {
        return Err(format!("the current pull request of {task} is {}, and {current:?} is", card["pull_request"]));
    }
    let conflict = current.map_or(Value::Null, |(_, pull)| Value::Bool(pull.conflict));
    if card["has_merge_conflict"] != conflict {
        return Err(format!("{task} says of its conflict {}, and it is {conflict}", card["has_merge_conflict"]));
    }
    Ok(())
}
