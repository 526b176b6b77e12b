//! When a pull request is looked at again.

use jiff::Timestamp;

use super::{AWAIT_TASK, Link, Step};
use crate::kid_tag::KidTag;
use crate::outcome::Freshness;
use crate::pull_request::{PullRequest, State};
use crate::report::Look;
use crate::schedule::{Schedule, look_again};
use crate::task::Merge;

/// After how many seconds a tag that led nowhere is looked up once more: tasks are made in the moment their pull request is.
const LOOK_UP_AGAIN: i64 = 60;

/// What is still owed once the decision is written, and so must be looked at again.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// GitHub is to be asked: the second at which two facts contradict each other, a title at a merge, a permission, an answer.
    github: bool,
    /// A read of GitHub that counts at this second or later, and not before.
    read_at: Option<i64>,
    /// A merge that waits for its task.
    task: bool,
    /// A tag that led nowhere.
    tag: bool,
}

impl Owed {
    pub(super) fn of(
        next: &PullRequest,
        links: &[(KidTag, Link)],
        steps: &[Step],
        confirm: bool,
        over: Option<i64>,
        now: Timestamp,
    ) -> Self {
        let open = next.snapshot.state == State::Open;
        let merged_at = next.snapshot.merged_at().unwrap_or(0);
        let merges = || steps.iter().filter_map(|step| step.merge.as_ref());
        let waits = |merge: &Merge| matches!(merge, Merge::NotSubmitted | Merge::NewerIsOpen(_));
        let read_at = |merge: &Merge| match merge {
            Merge::AwaitsRead(at) => Some(*at),
            _ => None,
        };
        Self {
            github: confirm
                || next.title_unconfirmed
                || next.awaits_permission()
                || (open && !next.task_ids.is_empty() && next.asks_about_a_new_head()),
            read_at: merges().filter_map(read_at).chain(over).min(),
            task: now.as_second() < merged_at.saturating_add(AWAIT_TASK) && merges().any(waits),
            tag: links.iter().any(|(_, link)| !matches!(link, Link::Task(_))),
        }
    }

    pub(super) fn schedule(
        &self,
        stored: Option<&PullRequest>,
        look: Option<&Look>,
        freshness: Freshness,
        changed: bool,
        now: Timestamp,
    ) -> Schedule {
        let known = stored.map(|known| known.schedule.clone()).unwrap_or_default();
        // Where somebody wrote the row after it was claimed, a question may have come after what was read here: nothing is settled then.
        let overtaken =
            |look: &Look| look.claimed.is_some_and(|claimed| stored.is_none_or(|row| row.version != claimed));
        let older = freshness == Freshness::Older;
        match look {
            Some(look) if !older && !overtaken(look) => self.answered(&known, look, now),
            // It says nothing that whoever was faster did not know, who left the row owed or settled.
            Some(look) if freshness == Freshness::Same || (older && look.answer.is_none()) => known,
            _ => self.ask(known, changed, now),
        }
    }

    /// After a delivery or a comparison: what is owed stays owed, and what is new joins it. What GitHub was asked before it is not asked again
    /// because of the same facts, else each redelivery would.
    fn ask(&self, known: Schedule, changed: bool, now: Timestamp) -> Schedule {
        if self.github && changed {
            return if known.is_at_once() { known } else { Schedule::at_once(now) };
        }
        if known.is_due() {
            let sooner = self.read_at.filter(|at| known.next_check_at.is_some_and(|next| *at < next));
            return sooner.map_or(known.clone(), |at| Schedule::at(at, known.attempts));
        }
        if let Some(at) = self.read_at {
            Schedule::at(at.max(now.as_second()), 0)
        } else if self.task {
            Schedule::again(0, now)
        } else if self.tag && changed {
            Schedule::at(now.as_second() + LOOK_UP_AGAIN, 1)
        } else {
            known
        }
    }

    /// After reconcile looked: only what it could not settle stays.
    fn answered(&self, known: &Schedule, look: &Look, now: Timestamp) -> Schedule {
        let asked_in_vain = (self.github || look.unanswered) && look.author_may_write != Some(false);
        let again = (asked_in_vain || self.task || self.read_at.is_some()).then(|| look_again(known.attempts, now));
        // A read that comes too early is of no use, and one that was not made is not waited for twice as long.
        let again = match self.read_at {
            Some(at) if at > now.as_second() => Some(again.map_or(at, |again| again.min(at))),
            _ => again,
        };
        let tag = (self.tag && known.attempts == 0).then(|| now.as_second() + LOOK_UP_AGAIN);
        match again.into_iter().chain(tag).min() {
            Some(at) => Schedule::at(at, known.attempts.saturating_add(1)),
            None => Schedule::default(),
        }
    }
}
