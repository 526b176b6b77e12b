//! What is true of a card, said once more and apart from the code under test: from what happened on GitHub and what the board wrote.
//!
//! It speaks of links by the titles' sets of tasks and never reads a tag; it knows no row, no schedule and no protocol. What the app wrote of the
//! past (`completed_by`, `completed_at`) it believes only because each such write was held against [`write`] when it was made.

use domain::ids::PullRequestKey;
use domain::pull_request::State;
use domain::task::{Status, Task};

use crate::world::{BEGIN, Pr, REPOSITORY, SIZE, World, number};

/// Two clocks may be so far apart, seconds.
const APART: u32 = 60;

/// What the model remembers of a card that is not on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Past {
    /// When the board last wrote it. That a merge has moved the card is not remembered: each that does is spent in the same write, [`write`] holds
    /// that none is forgotten, and so one that moves it again counts none.
    pub(crate) board_at: u32,
}

/// When the board last wrote a card, held against a merge.
#[derive(PartialEq, Eq)]
enum Board {
    Before,
    NotKnown,
    After,
}

fn board(task: &Task, past: Past, merged: u32) -> Board {
    if task.updated_at.is_none() || past.board_at.abs_diff(merged) <= APART {
        Board::NotKnown
    } else if past.board_at < merged {
        Board::Before
    } else {
        Board::After
    }
}

fn key(pr: usize) -> PullRequestKey {
    PullRequestKey::new(REPOSITORY, number(pr))
}

fn names(pr: &Pr, task: usize) -> bool {
    pr.names() & (1 << task) != 0
}

/// The other pull requests that name the task and are open.
fn open_others(prs: &[Option<Pr>; SIZE], task: usize, except: usize) -> impl Iterator<Item = (usize, Pr)> {
    let found = prs.iter().copied().enumerate().filter_map(|(at, pr)| Some((at, pr?)));
    found.filter(move |(at, pr)| *at != except && pr.state == State::Open && names(pr, task))
}

fn newer(other: (usize, Pr), than: (usize, Pr)) -> bool {
    (other.1.created, other.0) > (than.1.created, than.0)
}

/// Whether at some time from `since` on no open pull request that names the task was newer than this one.
fn was_newest(world: &World, task: usize, pr: (usize, Pr), since: u32, now: u32) -> bool {
    world.events.iter().enumerate().any(|(at, event)| {
        let until = world.events.get(at + 1).map_or(now, |next| next.at);
        until >= since && !open_others(&event.after, task, pr.0).any(|other| newer(other, pr))
    })
}

/// Whether the app may write this of a card, in the name of a pull request.
pub(crate) fn write(
    world: &World,
    now: u32,
    task: usize,
    pr: usize,
    before: &Task,
    after: &Task,
    past: Past,
) -> Result<(), String> {
    let lost = before.completed_by.difference(&after.completed_by).next();
    if let Some(lost) = lost {
        return Err(format!("the card forgets that the merge of {lost} is spent"));
    }
    let spent: Vec<_> = after.completed_by.difference(&before.completed_by).collect();
    let moves = before.status != after.status;
    if spent.is_empty() && !moves {
        return Ok(());
    }
    let Some(known) = world.prs.get(pr).copied().flatten().filter(|pr| pr.state == State::Merged) else {
        return Err("a card counts a merge that GitHub knows nothing of".to_owned());
    };
    if spent != [&key(pr)] {
        return Err("a card counts another merge, or moves without counting one".to_owned());
    }
    if !names(&known, task) {
        return Err("a merge counts for a task that its title then did not name".to_owned());
    }
    if after.status != Status::Done {
        return Err("a merge is spent on a card that is not done".to_owned());
    }
    if !moves {
        return Ok(());
    }
    if before.status != Status::PrSubmitted {
        return Err(format!("a merge moves a card out of {}", before.status));
    }
    match board(before, past, known.ended) {
        Board::Before => Ok(()),
        Board::NotKnown => {
            let after_merge = BEGIN + i64::from(known.ended);
            let open = before.pull_requests.iter().filter(|(other, linked)| {
                **other != key(pr) && linked.state == State::Open && linked.created_at.as_second() > after_merge
            });
            open.map(|(other, _)| format!("a merge moves a card under {other}, which is open and newer than the merge"))
                .next()
                .map_or(Ok(()), Err)
        }
        Board::After if before.completed_at.is_some_and(|at| BEGIN + i64::from(known.created) < at) => {
            Err("an old merge moves a card that was completed since and came back".to_owned())
        }
        Board::After if !was_newest(world, task, (pr, known), past.board_at + APART, now) => {
            Err("an old merge moves a card under a newer pull request that is open".to_owned())
        }
        Board::After => Ok(()),
    }
}

/// Whether a card is as GitHub and the board want it once everything has come to rest.
pub(crate) fn card(world: &World, task: usize, card: &Task, past: Past) -> Result<(), String> {
    links(world, task, card)?;
    for (at, pr) in world.prs.iter().enumerate() {
        let Some(pr) = pr.filter(|pr| pr.state == State::Merged && names(pr, task)) else { continue };
        if card.status != Status::PrSubmitted || card.completed_by.contains(&key(at)) {
            continue;
        }
        let mut open = open_others(&world.prs, task, at);
        let owed = match board(card, past, pr.ended) {
            Board::Before => true,
            Board::NotKnown => !open.any(|(_, other)| other.created >= pr.ended),
            Board::After => {
                !open.any(|other| newer(other, (at, pr)))
                    && card.completed_at.is_none_or(|at| BEGIN + i64::from(pr.created) >= at)
            }
        };
        if owed {
            return Err(format!("{} is merged and its card is still in pr_submitted", key(at)));
        }
    }
    Ok(())
}

fn links(world: &World, task: usize, card: &Task) -> Result<(), String> {
    let named = world.prs.iter().enumerate().filter_map(|(at, pr)| Some((at, (*pr)?)));
    let named: Vec<_> = named.filter(|(_, pr)| names(pr, task)).collect();
    for (at, pr) in &named {
        let Some(link) = card.pull_requests.get(&key(*at)) else {
            return Err(format!("the card does not have {}, which names it", key(*at)));
        };
        if link.state != pr.state {
            return Err(format!(
                "the card says that {} is {}, and it is {}",
                key(*at),
                link.state.as_str(),
                pr.state.as_str()
            ));
        }
    }
    if let Some(stranger) = card.pull_requests.keys().find(|has| !named.iter().any(|(at, _)| key(*at) == **has)) {
        return Err(format!("the card has {stranger}, which does not name it"));
    }
    let rank = |state| [State::Closed, State::Merged, State::Open].iter().position(|other| *other == state);
    let current = named.iter().max_by_key(|(at, pr)| (rank(pr.state), pr.created, *at));
    if card.pull_request != current.map(|(at, _)| key(*at)) {
        return Err(format!("the current pull request of the card is {:?}", card.pull_request));
    }
    let conflict = current.map(|(_, pr)| pr.state == State::Open && pr.conflict);
    if card.has_merge_conflict != conflict {
        return Err(format!("the card says of the conflict {:?}, and it is {conflict:?}", card.has_merge_conflict));
    }
    if card.repository_id.is_some() == named.is_empty() || card.repository.is_some() == named.is_empty() {
        return Err(format!("the card is bound to {:?} {:?}", card.repository_id, card.repository));
    }
    Ok(())
}
