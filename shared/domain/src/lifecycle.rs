//! What a report makes of a pull request and of its tasks: pure decisions, the same for every caller.
//!
//! The webhook and reconcile both come here, the one with facts from a signed delivery, the other with facts read from
//! GitHub. Deciding twice from the same facts decides nothing new, and facts that come late change nothing that newer
//! ones said; so deliveries may be lost, repeated or swapped. [`crate::protocol`] says what is read before and written after.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::base::BaseMove;
use crate::history;
use crate::ids::{PullRequestKey, TaskId};
use crate::kid_tag::{KidTag, Tags};
use crate::outcome::{Applied, Change, Freshness, Outcome, TaskOutcome};
use crate::pull_request::{Mergeability, PullRequest, State};
use crate::report::{Answer, Facts, Look, Report};
use crate::schedule::Schedule;
use crate::storage::{Match, Stored, Write};
use crate::task::{CLOCK_SKEW, Merge, Status, Task};

mod owed;
#[cfg(test)]
mod tests;

use owed::Owed;

/// How long an ended pull request is kept, seconds.
const KEEP_ENDED: i64 = 90 * 24 * 60 * 60;

/// How long a merge waits by itself for its task to reach `pr_submitted`, seconds. After that the daily comparison looks for it.
pub const AWAIT_TASK: i64 = 7 * 24 * 60 * 60;

/// What a tag of the title that counts leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Link {
    Task(TaskId),
    NoTask,
    Ambiguous,
    OtherRepository(TaskId),
    Unreadable(TaskId),
}

/// What must be known before a decision: the row after the report, without links, and what leads on from it.
pub(crate) struct Observed {
    pub(crate) freshness: Freshness,
    /// `None`: it is none of ours.
    pub(crate) next: Option<PullRequest>,
}

/// What the report makes of the row, links and schedule aside.
pub(crate) fn observe(stored: Option<&PullRequest>, report: &Report, now: Timestamp) -> Observed {
    let (freshness, mut next) = match &report.facts {
        None => (Freshness::Same, stored.map(|known| known.clone().called(report.called.as_ref()))),
        Some(facts) => {
            let freshness = freshness(stored, facts, report.read_at);
            (freshness, take(stored, facts, freshness, now))
        }
    };
    if let (Some(next), Some(may_write)) = (&mut next, report.look.as_ref().and_then(|look| look.author_may_write)) {
        next.author_may_write = may_write || next.author_may_write;
    }
    Observed { freshness, next }
}

impl Observed {
    /// The tags whose tasks the decision rests on. Where there is no row, as after the table was lost, only the title before an edit leads to the
    /// tasks that lose their link by it.
    pub(crate) fn tags(&self, stored: Option<&PullRequest>, report: &Report) -> BTreeSet<KidTag> {
        let Some(next) = self.next.as_ref().filter(|next| links_count(next)) else { return BTreeSet::new() };
        let edited = report.facts.as_ref().filter(|_| stored.is_none()).and_then(Facts::previous_title);
        let titles = [Some(next.snapshot.title.as_str()), edited];
        titles.into_iter().flatten().flat_map(|title| Tags::of(title).named).collect()
    }

    /// The tasks that it rests on whatever their tags lead to.
    pub(crate) fn tasks(&self, stored: Option<&PullRequest>, report: &Report) -> BTreeSet<TaskId> {
        let known = stored.into_iter().flat_map(|known| known.task_ids.iter().chain(&known.unlinked_task_ids));
        known.chain(&report.claimed_by).cloned().collect()
    }
}

/// Whether links follow from the title as it is.
fn links_count(row: &PullRequest) -> bool {
    row.may_link() && !row.title_unconfirmed
}

/// Decides. `tags` and `tasks` are what the tables hold for [`Observed::tags`] and [`Observed::tasks`].
pub(crate) fn decide(
    stored: Option<&PullRequest>,
    report: &Report,
    tags: &BTreeMap<KidTag, Match>,
    tasks: &BTreeMap<TaskId, Stored>,
    now: Timestamp,
) -> (Vec<Write>, Applied) {
    let observed = observe(stored, report, now);
    let base_move = moved_base(stored, &observed, report, now);
    let freshness = observed.freshness;
    let said = Tags::of(report.facts.as_ref().map_or("", |facts| &facts.snapshot.title));
    let Some(mut next) = observed.next else {
        let claimed = unlinked_tasks(report, tasks);
        return without_row(report, freshness, base_move, said, claimed, now);
    };
    let links = if links_count(&next) { link(&mut next, tags, tasks) } else { keep_links(&mut next) };
    let tie = freshness == Freshness::Tie && next.snapshot.state != State::Merged;
    let read = report.facts.as_ref().is_some_and(Facts::are_read);
    let answer = report.look.as_ref().and_then(|look| look.answer.as_ref());
    // An answer that is not taken leaves its question open: a base that moved is off the work list once each of its own was asked about.
    let too_old = answer.is_some() && freshness == Freshness::Older;
    doubt(&mut next, stored, (tie && !read) || too_old);
    if let Some(answer) = answer.filter(|_| answers(&next, report.facts.as_ref(), freshness)) {
        take_answer(&mut next, answer, now);
    }
    next.unlinked_task_ids.clear();
    let concerned = concerned_tasks(stored, &next, report, tasks);
    let mut steps: Vec<Step> =
        concerned.iter().filter_map(|id| step(tasks.get(id)?, &next, report.look.as_ref(), now)).collect();
    note(&mut steps, freshness, &next.snapshot.name(), report, now, |step| outcome(step, &next));
    // Asked again at once, a read would find the same: what counts is one that is made when that second is over.
    let over = (tie && read).then(|| next.snapshot.updated_at.as_second() + CLOCK_SKEW + 1);
    let owed = Owed::of(&next, &links, &steps, tie && !read, over, now);
    // Of two facts of the same second one is false, so that is worth a look also where what is stored stands. Looks that overlap would ask for
    // one another without end if a read said so as well.
    let changed = stored != Some(&next) || (tie && !read);
    next.schedule = owed.schedule(stored, report.look.as_ref(), freshness, changed, now);
    let outcomes = outcomes(&next, &said, &links, &steps);
    let writes = writes(stored, &mut next, &steps, &concerned, tasks, base_move.clone());
    let changes = steps.into_iter().filter(Step::changes).map(Step::into_change).collect();
    let applied = Applied {
        freshness,
        pull_request: Some(next),
        tasks: outcomes,
        tags: said,
        base_moved: base_move.is_some(),
        changes,
    };
    (writes, applied)
}

/// Whether facts read from GitHub say anything that is not stored. A comment moves `updated_at` too and is no news.
pub fn is_news(known: &PullRequest, facts: &Facts) -> bool {
    if facts.snapshot.state == State::Merged && (known.snapshot.state != State::Merged || known.title_unconfirmed) {
        return true;
    }
    if facts.snapshot.updated_at < known.snapshot.updated_at {
        return false;
    }
    let retitled = facts.title_at_merge().is_some_and(|title| title != known.snapshot.title);
    !says_the_same(known, facts)
        || retitled
        || known.snapshot.repository != facts.snapshot.repository
        || known.snapshot.installation_id != facts.snapshot.installation_id
}

fn freshness(stored: Option<&PullRequest>, facts: &Facts, read_at: Option<i64>) -> Freshness {
    let Some(known) = stored else { return Freshness::New };
    let over = known.snapshot.updated_at.as_second() + CLOCK_SKEW;
    match facts.snapshot.updated_at.cmp(&known.snapshot.updated_at) {
        std::cmp::Ordering::Less => Freshness::Older,
        std::cmp::Ordering::Greater => Freshness::Newer,
        std::cmp::Ordering::Equal if says_the_same(known, facts) => Freshness::Same,
        // A read that was made before that second was over may have missed what a delivery tells of its end.
        std::cmp::Ordering::Equal if facts.are_read() && read_at.is_some_and(|at| at > over) => Freshness::Newer,
        std::cmp::Ordering::Equal => Freshness::Tie,
    }
}

/// What a title becomes after the merge says nothing, so it is not compared there.
fn says_the_same(known: &PullRequest, facts: &Facts) -> bool {
    let (known_title, known) = (&known.snapshot.title, &known.snapshot);
    let said = &facts.snapshot;
    known.state == said.state
        && (known.state == State::Merged || *known_title == said.title)
        && known.head_sha == said.head_sha
        && known.base == said.base
        && known.draft == said.draft
        && known.fork == said.fork
}

/// The row after facts. A pull request of which nobody ever said that it carries a tag has none.
fn take(stored: Option<&PullRequest>, facts: &Facts, freshness: Freshness, now: Timestamp) -> Option<PullRequest> {
    let Some(known) = stored else { return first_seen(facts, now) };
    let mut next = known.clone();
    // A redelivery brings back the repository's name of its day, so only news and the API are asked for it.
    if freshness == Freshness::Newer || (freshness == Freshness::Same && facts.are_read()) {
        next.snapshot.repository.clone_from(&facts.snapshot.repository);
        next.snapshot.url.clone_from(&facts.snapshot.url);
        next.snapshot.installation_id = facts.snapshot.installation_id.or(known.snapshot.installation_id);
    }
    if freshness == Freshness::Newer {
        next.snapshot.updated_at = facts.snapshot.updated_at;
        next.read_from_api = facts.are_read();
    }
    match (known.snapshot.state, facts.snapshot.state) {
        (State::Merged, State::Merged) => take_title_at_merge(&mut next, facts),
        // Nothing undoes a merge.
        (State::Merged, _) => {}
        // Nothing comes before a merge that was, so its age does not matter.
        (_, State::Merged) => {
            take_state(&mut next, facts);
            next.title_unconfirmed = facts.title_at_merge().is_none();
            if let Some(title) = facts.title_at_merge() {
                title.clone_into(&mut next.snapshot.title);
            }
        }
        _ if takes_over(known, facts, freshness) => take_state(&mut next, facts),
        _ => {}
    }
    end(&mut next, Some(known), facts, now);
    Some(next)
}

/// Whether facts about an open or closed pull request replace what is known of it.
fn takes_over(known: &PullRequest, facts: &Facts, freshness: Freshness) -> bool {
    match freshness {
        Freshness::New | Freshness::Newer | Freshness::Same => true,
        Freshness::Tie => !known.read_from_api && facts.snapshot.state > known.snapshot.state,
        Freshness::Older => false,
    }
}

fn take_state(next: &mut PullRequest, facts: &Facts) {
    next.snapshot.title.clone_from(&facts.snapshot.title);
    next.snapshot.head_sha.clone_from(&facts.snapshot.head_sha);
    next.snapshot.base.clone_from(&facts.snapshot.base);
    next.snapshot.state = facts.snapshot.state;
    next.snapshot.draft = facts.snapshot.draft;
    next.snapshot.fork = facts.snapshot.fork;
}

/// Of a merge that is known, only its title can still be learned. GitHub's timeline is the last word; where a delivery says otherwise than
/// what is stored, one of the two is wrong and GitHub is asked.
fn take_title_at_merge(next: &mut PullRequest, facts: &Facts) {
    let Some(title) = facts.title_at_merge() else { return };
    if next.title_unconfirmed || facts.are_read() {
        title.clone_into(&mut next.snapshot.title);
        next.title_unconfirmed = false;
    } else if next.snapshot.title != title {
        next.title_unconfirmed = true;
    }
}

fn first_seen(facts: &Facts, now: Timestamp) -> Option<PullRequest> {
    let merged = facts.snapshot.state == State::Merged;
    let title_at_merge = facts.title_at_merge();
    let title_unconfirmed = merged && title_at_merge.is_none();
    // A title that has just lost its tag is kept as well: what is older and comes later would else find nothing that is newer.
    let title = title_at_merge.unwrap_or(&facts.snapshot.title);
    if [Some(title), facts.previous_title()].into_iter().flatten().all(|title| Tags::of(title).named.is_empty()) {
        return None;
    }
    let mut next = PullRequest {
        snapshot: facts.snapshot.clone(),
        read_from_api: facts.are_read(),
        title_unconfirmed,
        author_may_write: false,
        task_ids: BTreeSet::new(),
        unlinked_task_ids: BTreeSet::new(),
        mergeability: Mergeability::Unknown,
        checked_at: None,
        checked_head_sha: None,
        conflict_caused_by: None,
        schedule: Schedule::default(),
        ttl: None,
        version: 0,
    };
    title.clone_into(&mut next.snapshot.title);
    end(&mut next, None, facts, now);
    Some(next)
}

/// Sets when it ended, which says when it may be forgotten and, of a merge, which tasks it may move.
fn end(next: &mut PullRequest, stored: Option<&PullRequest>, facts: &Facts, now: Timestamp) {
    let known = stored.map(|known| &known.snapshot);
    if next.snapshot.state == State::Open {
        next.snapshot.ended_at = None;
        next.ttl = None;
    } else if known.is_none_or(|known| known.state != next.snapshot.state) {
        next.snapshot.ended_at = facts.snapshot.ended_at.or(Some(now.as_second()));
        next.ttl = Some(now.as_second() + KEEP_ENDED);
    }
}

/// The base that these facts are the first to say was moved.
fn moved_base(stored: Option<&PullRequest>, observed: &Observed, report: &Report, now: Timestamp) -> Option<BaseMove> {
    let facts = report.facts.as_ref().filter(|facts| facts.snapshot.state == State::Merged)?;
    let first = match (stored, &observed.next) {
        (Some(known), _) => known.snapshot.state != State::Merged,
        // One that ended before rows are kept had its row, which is gone since: what moved then was asked about long ago.
        (None, Some(row)) => row.snapshot.merged_at().is_none_or(|at| now.as_second() < at.saturating_add(KEEP_ENDED)),
        // Of a pull request that is not kept, only the merge itself is news of its base: an edit of a description comes later.
        (None, None) => facts.announce_merge(),
    };
    first.then(|| BaseMove::by(&facts.snapshot, now))
}

/// Sets the links of `next`, which follow from its title, and says what each tag led to.
fn link(
    next: &mut PullRequest,
    tags: &BTreeMap<KidTag, Match>,
    tasks: &BTreeMap<TaskId, Stored>,
) -> Vec<(KidTag, Link)> {
    let links: Vec<_> = Tags::of(&next.snapshot.title)
        .named
        .into_iter()
        .map(|tag| {
            let found = tags.get(&tag).unwrap_or(&Match::None);
            let link = resolve(&tag, found, next, tasks);
            (tag, link)
        })
        .collect();
    let kept = |link: &Link| match link {
        Link::Task(id) => Some(id.clone()),
        Link::Unreadable(id) => next.task_ids.contains(id).then(|| id.clone()),
        _ => None,
    };
    next.task_ids = links.iter().filter_map(|(_, link)| kept(link)).collect();
    links
}

/// Of a pull request whose title does not count yet: the links are those it had.
fn keep_links(next: &mut PullRequest) -> Vec<(KidTag, Link)> {
    if !next.may_link() {
        next.task_ids.clear();
    }
    Vec::new()
}

fn resolve(tag: &KidTag, found: &Match, row: &PullRequest, tasks: &BTreeMap<TaskId, Stored>) -> Link {
    // A link made while the tag was unique stays: neither a new task nor the only one that can be read now takes the card away from an old one.
    let there = |id: &&TaskId| !matches!(tasks.get(*id), None | Some(Stored::Absent));
    let mut linked = row.task_ids.iter().filter(|id| tag.names(id)).filter(there);
    let id = match (linked.next(), linked.next(), found) {
        (Some(id), None, _) => id,
        (_, _, Match::None) => return Link::NoTask,
        (_, _, Match::One(id)) => id,
        (_, _, Match::Several) => match claimant(tag, row, tasks) {
            Some(id) => id,
            None => return Link::Ambiguous,
        },
    };
    match tasks.get(id) {
        Some(Stored::Task(task)) if task.belongs_elsewhere(row) => Link::OtherRepository(id.clone()),
        Some(Stored::Task(_)) => Link::Task(id.clone()),
        Some(Stored::Unreadable) => Link::Unreadable(id.clone()),
        Some(Stored::Absent) | None => Link::NoTask,
    }
}

/// The one task that has the pull request of a row that was lost: its link was made while the tag was unique.
fn claimant<'a>(tag: &KidTag, row: &PullRequest, tasks: &'a BTreeMap<TaskId, Stored>) -> Option<&'a TaskId> {
    let (is_new, key) = (row.version == 0, row.key());
    let claims = |stored: &Stored| matches!(stored, Stored::Task(task) if task.pull_requests.contains_key(&key));
    let mut claimants = tasks.iter().filter(|(id, stored)| is_new && tag.names(id) && claims(stored)).map(|(id, _)| id);
    claimants.next().filter(|_| claimants.next().is_none())
}

/// Notes that the known answer to "does it merge" may no longer be true. The answer itself stays until a new one comes.
fn doubt(next: &mut PullRequest, stored: Option<&PullRequest>, confirm: bool) {
    let doubtful = stored.is_some_and(|known| {
        known.snapshot.base != next.snapshot.base
            || (known.snapshot.state != State::Open && next.snapshot.state == State::Open)
            // Nobody asks about one without a task: its base may have moved meanwhile.
            || (known.task_ids.is_empty() && !next.task_ids.is_empty())
            || confirm
    });
    if doubtful {
        next.checked_head_sha = None;
    }
    // Who was merged into the base of before did not move the new one.
    if stored.is_some_and(|known| known.snapshot.base != next.snapshot.base) {
        next.conflict_caused_by = None;
    }
}

/// An answer is one only for the very head and base that it was given for.
fn answers(next: &PullRequest, facts: Option<&Facts>, freshness: Freshness) -> bool {
    let same =
        |facts: &Facts| facts.snapshot.head_sha == next.snapshot.head_sha && facts.snapshot.base == next.snapshot.base;
    freshness != Freshness::Older && next.snapshot.state == State::Open && facts.is_some_and(same)
}

/// A conflict has a culprit only if it merged before that and after, with the same head, one merge moved its base.
fn take_answer(next: &mut PullRequest, answer: &Answer, now: Timestamp) {
    let merged_before = next.mergeability == Mergeability::Mergeable && !next.asks_about_a_new_head();
    let culprit = answer
        .base
        .as_deref()
        .filter(|base| {
            base.base == next.snapshot.base && next.checked_at.is_some_and(|checked| checked <= base.moved_at)
        })
        .and_then(BaseMove::culprit);
    next.conflict_caused_by = match (answer.mergeability, next.mergeability) {
        (Mergeability::Conflicting, Mergeability::Conflicting) => next.conflict_caused_by.take(),
        (Mergeability::Conflicting, _) if merged_before => culprit.map(ToOwned::to_owned),
        _ => None,
    };
    next.mergeability = answer.mergeability;
    next.checked_at = Some(now.as_second());
    next.checked_head_sha = Some(next.snapshot.head_sha.clone());
}

/// Every task whose record may have to change: those that are linked, were, or say they are. Of the tasks that were read, those that a title which
/// counts still names are left out: a tag that became ambiguous takes no link away.
fn concerned_tasks(
    stored: Option<&PullRequest>,
    next: &PullRequest,
    report: &Report,
    tasks: &BTreeMap<TaskId, Stored>,
) -> BTreeSet<TaskId> {
    let before = stored.into_iter().flat_map(|known| known.task_ids.iter().chain(&known.unlinked_task_ids));
    let named = Tags::of(&next.snapshot.title).named;
    let says = |stored: &Stored| matches!(stored, Stored::Task(task) if task.pull_requests.contains_key(&next.key()));
    let edited_away = |(id, stored): &(&TaskId, &Stored)| says(stored) && !named.iter().any(|tag| tag.names(id));
    let claims = tasks.iter().filter(|_| links_count(next)).filter(edited_away).map(|(id, _)| id);
    next.task_ids.iter().chain(before).chain(&report.claimed_by).chain(claims).cloned().collect()
}

/// One task, before and after.
struct Step {
    before: Task,
    after: Task,
    linked: bool,
    merge: Option<Merge>,
}

impl Step {
    fn changes(&self) -> bool {
        self.before != self.after
    }

    fn into_change(self) -> Change {
        Change { before: self.before, after: self.after }
    }
}

/// The task after the pull request as it is now. `None` for one that is gone or cannot be read.
fn step(stored: &Stored, row: &PullRequest, look: Option<&Look>, now: Timestamp) -> Option<Step> {
    let Stored::Task(task) = stored else { return None };
    let mut after = task.clone();
    let linked = row.task_ids.contains(&task.id);
    let mut merge = None;
    if row.title_unconfirmed {
        // Nothing is known of what it names.
    } else if linked {
        after.link(row);
        if row.snapshot.state == State::Merged {
            let verdict = after.merge(row, look.and_then(|look| look.open_read_at), now);
            if verdict == Merge::Moves {
                after.status = Status::Done;
                // A board that keeps no time is not begun to be kept one for.
                after.updated_at = after.updated_at.map(|_| now);
            }
            if matches!(verdict, Merge::Moves | Merge::FoundDone) {
                after.spend(row);
            }
            merge = Some(verdict);
        }
    } else {
        after.unlink(&row.key());
    }
    Some(Step { before: (**task).clone(), after: *after, linked, merge })
}

/// What is written, each item on condition of what was read.
fn writes(
    stored: Option<&PullRequest>,
    next: &mut PullRequest,
    steps: &[Step],
    concerned: &BTreeSet<TaskId>,
    tasks: &BTreeMap<TaskId, Stored>,
    base_move: Option<BaseMove>,
) -> Vec<Write> {
    let read = stored.map_or(0, |known| known.version);
    let changed = stored != Some(next);
    if !changed && !steps.iter().any(Step::changes) {
        return Vec::new();
    }
    let row = if changed {
        next.version = version_after(read);
        Write::PutPullRequest { row: Box::new(next.clone()), read }
    } else {
        Write::CheckPullRequest { repository_id: next.snapshot.repository_id, number: next.snapshot.number, read }
    };
    let absent = concerned.iter().filter(|id| matches!(tasks.get(*id), Some(Stored::Absent)));
    let mut writes = vec![row];
    writes.extend(steps.iter().map(task_write));
    writes.extend(absent.map(|id| Write::CheckNoTask { id: id.clone() }));
    writes.extend(base_move.map(|base| Write::MoveBase(Box::new(base))));
    writes
}

/// What an item's `version` is next. Others write the tables too: one that cannot be counted further begins anew, and differs.
pub(crate) fn version_after(version: u64) -> u64 {
    version.checked_add(1).unwrap_or(1)
}

fn task_write(step: &Step) -> Write {
    if step.changes() {
        let mut after = step.after.clone();
        after.version = version_after(step.before.version);
        Write::UpdateTask { before: Box::new(step.before.clone()), after: Box::new(after) }
    } else {
        Write::CheckTask { task: Box::new(step.before.clone()) }
    }
}

/// Writes down in each task that changes what is done to it.
fn note(
    steps: &mut [Step],
    freshness: Freshness,
    name: &str,
    report: &Report,
    now: Timestamp,
    outcome: impl Fn(&Step) -> Outcome,
) {
    for step in steps.iter_mut().filter(|step| step.changes()) {
        let outcome = outcome(step);
        history::note(&step.before, &mut step.after, outcome, freshness, name.to_owned(), report, now.as_second());
    }
}

/// Tasks that say they have a pull request which is none of ours.
fn unlinked_tasks(report: &Report, tasks: &BTreeMap<TaskId, Stored>) -> Vec<Step> {
    let key = PullRequestKey::new(report.repository_id, report.number);
    let unlink = |id: &TaskId| match tasks.get(id) {
        Some(Stored::Task(task)) => {
            let mut after = (**task).clone();
            // Without facts nothing is known of it but that it is not stored, and a row that is lost takes no card with it.
            if report.facts.is_some() || report.missing {
                after.unlink(&key);
            } else {
                after.derive();
            }
            Some(Step { before: (**task).clone(), after, linked: false, merge: None })
        }
        _ => None,
    };
    report.claimed_by.iter().filter_map(unlink).collect()
}

fn without_row(
    report: &Report,
    freshness: Freshness,
    base_move: Option<BaseMove>,
    tags: Tags,
    mut claimed: Vec<Step>,
    now: Timestamp,
) -> (Vec<Write>, Applied) {
    let base_moved = base_move.is_some();
    let key = PullRequestKey::new(report.repository_id, report.number);
    let name = report.facts.as_ref().map_or_else(|| key.to_string(), |facts| facts.snapshot.name());
    note(&mut claimed, freshness, &name, report, now, unclaimed);
    let changed = claimed.iter().any(Step::changes);
    let mut writes = Vec::new();
    if changed {
        writes.push(Write::CheckPullRequest { repository_id: report.repository_id, number: report.number, read: 0 });
        writes.extend(claimed.iter().map(task_write));
    }
    writes.extend(base_move.map(|base| Write::MoveBaseOnce(Box::new(base))));
    let tasks = claimed.iter().filter(|step| step.changes()).map(|step| TaskOutcome {
        tag: None,
        task: Some(step.before.id.clone()),
        outcome: unclaimed(step),
    });
    let tasks = tasks.collect();
    let changes = claimed.into_iter().filter(Step::changes).map(Step::into_change).collect();
    (writes, Applied { freshness, pull_request: None, tasks, tags, base_moved, changes })
}

/// What became of a task that claimed what is none of ours.
fn unclaimed(step: &Step) -> Outcome {
    if step.before.pull_requests == step.after.pull_requests { Outcome::Updated } else { Outcome::Unlinked }
}

/// What became of each tag of the title that was said, and of each task that changed without one.
fn outcomes(next: &PullRequest, said: &Tags, links: &[(KidTag, Link)], steps: &[Step]) -> Vec<TaskOutcome> {
    let of_task =
        |id: &TaskId| steps.iter().find(|step| step.before.id == *id).map_or(Outcome::Gone, |step| outcome(step, next));
    let mut outcomes: Vec<TaskOutcome> = Vec::new();
    for (tag, link) in links {
        let (task, outcome) = match link {
            Link::Task(id) => (Some(id.clone()), of_task(id)),
            Link::NoTask => (None, Outcome::NoTask),
            Link::Ambiguous => (None, Outcome::Ambiguous),
            Link::OtherRepository(id) => (Some(id.clone()), Outcome::OtherRepository),
            Link::Unreadable(id) => (Some(id.clone()), Outcome::Unreadable),
        };
        outcomes.push(TaskOutcome { tag: Some(tag.clone()), task, outcome });
    }
    for tag in said.named.iter().filter(|tag| !links.iter().any(|(counted, _)| counted == *tag)) {
        let linked = steps.iter().find(|step| step.linked && tag.names(&step.before.id));
        let outcome = if !next.may_link() {
            Outcome::AwaitsPermission
        } else if next.title_unconfirmed {
            Outcome::TitleUnconfirmed
        } else {
            linked.map_or(Outcome::NotTaken, |step| outcome(step, next))
        };
        let task = linked.map(|step| step.before.id.clone());
        outcomes.push(TaskOutcome { tag: Some(tag.clone()), task, outcome });
    }
    let told: BTreeSet<TaskId> = outcomes.iter().filter_map(|outcome| outcome.task.clone()).collect();
    let untold = steps.iter().filter(|step| !told.contains(&step.before.id));
    outcomes.extend(untold.filter(|step| step.changes()).map(|step| TaskOutcome {
        tag: None,
        task: Some(step.before.id.clone()),
        outcome: outcome(step, next),
    }));
    outcomes
}

fn outcome(step: &Step, next: &PullRequest) -> Outcome {
    let Step { before, after, linked, merge } = step;
    let key = next.key();
    if !linked {
        return if before.pull_requests.contains_key(&key) { Outcome::Unlinked } else { Outcome::Unchanged };
    }
    match merge {
        Some(Merge::Moves) => Outcome::Moved { from: before.status.clone() },
        Some(Merge::NotSubmitted) => Outcome::NotMoved { status: after.status.clone() },
        Some(Merge::FoundDone | Merge::Spent) => Outcome::CompletedBefore { status: after.status.clone() },
        Some(Merge::NewerIsOpen(other)) => Outcome::NewerIsOpen { pull_request: other.clone() },
        Some(Merge::CompletedSince) => Outcome::CompletedSince,
        Some(Merge::AwaitsRead(_)) => Outcome::SubmittedSince,
        // Before the next: a task keeps its newest pull requests, and never has one that is older.
        None if before == after => Outcome::Unchanged,
        None if !before.pull_requests.contains_key(&key) => Outcome::Linked,
        None => Outcome::Updated,
    }
}
