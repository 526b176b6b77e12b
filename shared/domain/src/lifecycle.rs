//! What facts about a pull request do to it and to its tasks: pure decisions, the same for every caller.
//!
//! The webhook and reconcile both come here, the one with facts from a signed delivery, the other with facts read from
//! GitHub. Deciding twice from the same facts decides nothing new, and facts that come late change nothing that newer
//! ones said; so deliveries may be lost, repeated or swapped. [`crate::board`] does the reading and writing around it.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::kid_tag::KidTag;
use crate::pull_request::{
    BaseMove, Check, DUE, FactSource, Facts, Mergeability, PullRequest, State, base_item_key, item_key,
};
use crate::task::{LinkedPullRequest, Status, Task, TaskId};

/// How many tags of a title count: every one costs two table calls, and a title can hold thousands.
pub const MAX_TAGS: usize = 8;

/// How long an ended pull request is kept, seconds.
const KEEP_ENDED: i64 = 90 * 24 * 60 * 60;

/// How long a merge waits for its task to reach `pr_submitted`, seconds.
pub const AWAIT_TASK: i64 = 7 * 24 * 60 * 60;

/// After how many minutes an item is looked at again that could not be settled; the last one goes on.
const BACKOFF_MINUTES: [i64; 5] = [1, 2, 5, 10, 15];

/// What the tasks table holds for a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// No task.
    None,
    /// Just this one.
    One(Box<Task>),
    /// At least these.
    Several(Vec<Task>),
}

/// How facts stand to what was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Nothing was known.
    New,
    /// They are newer, or the API's word on the same second.
    Newer,
    /// They are what was known.
    Same,
    /// They are of the same second and differ: one of two is true, and only GitHub can say which.
    Tie,
    /// They are older.
    Older,
}

/// What a tag of a title leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// The task it links.
    Task(TaskId),
    /// No task has an id that begins so.
    NoTask,
    /// More than one task has.
    Ambiguous,
    /// The task belongs to another repository.
    OtherRepository(TaskId),
    /// The pull request is a fork's, and nobody has seen yet that its author may write.
    AwaitsPermission,
    /// The title it stands in is not the one that counts.
    NotTaken,
}

/// What is to be written, and why.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The pull request as it is from now on; `None` if it is none of ours.
    pub pull_request: Option<PullRequest>,
    /// Whether that differs from what is stored.
    pub changed: bool,
    /// How the facts stood to what was stored.
    pub freshness: Freshness,
    /// The base branch that moved, if these facts are the first to say so.
    pub base_move: Option<BaseMove>,
    /// Each tag of the title and what it leads to.
    pub links: Vec<(KidTag, Link)>,
    /// The tasks that lose their link by these facts.
    pub unlinked: BTreeSet<TaskId>,
}

/// Decides what `facts` make of the pull request that is `stored`. `matches` are the first [`MAX_TAGS`] tags of the
/// facts' own title and what the tasks table holds for each.
pub fn plan(stored: Option<&PullRequest>, facts: &Facts, matches: &[(KidTag, Match)], now: Timestamp) -> Plan {
    let freshness = freshness(stored, facts);
    // Of a pull request that is not kept, only the merge itself is news of its base: an edit of a description comes later.
    let first_word = match stored {
        Some(known) => known.state != State::Merged,
        None => facts.source == FactSource::Api || announces_merge(facts) || !matches.is_empty(),
    };
    let base_move = (facts.state == State::Merged && first_word).then(|| base_move(facts, now));
    let Some(mut next) = observed(stored, facts, freshness, matches.is_empty()) else {
        return Plan {
            pull_request: None,
            changed: false,
            freshness,
            base_move,
            links: Vec::new(),
            unlinked: BTreeSet::new(),
        };
    };
    let links = link(&mut next, stored, facts, freshness, matches);
    end(&mut next, stored, facts, now);
    let unlinked = stored.map(|known| &known.task_ids - &next.task_ids).unwrap_or_default();
    // Of two facts of the same second one is false, so a tie is always worth a look; but nothing undoes a merge.
    let unsure = freshness == Freshness::Tie && next.state != State::Merged;
    let changed = stored != Some(&next) || unsure;
    if changed {
        next.revision += 1;
        invalidate(&mut next, stored, freshness);
        owe(&mut next, freshness, !matches.is_empty(), now);
    }
    Plan { pull_request: Some(next), changed, freshness, base_move, links, unlinked }
}

/// Whether facts read from GitHub say anything that is not stored. A comment moves `updated_at` too and is no news.
pub fn is_news(known: &PullRequest, facts: &Facts) -> bool {
    if facts.updated_at < known.github_updated_at {
        return false;
    }
    let unlinked = known.may_link() && known.task_ids.len() < KidTag::all_in(&facts.title).len().min(MAX_TAGS);
    !says_the_same(known, facts) || known.repository != facts.repository || (unlinked && known.state != State::Merged)
}

/// What reconcile found out about a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// There is nothing to ask GitHub, or GitHub has said all.
    Nothing,
    /// Whether it merges, for the head, base and `check_seq` of the item.
    Answer {
        /// GitHub's answer; never [`Mergeability::Unknown`].
        mergeability: Mergeability,
        /// The merges that moved its base since every pull request on it was last checked, if any is known.
        base: Option<Box<BaseMove>>,
    },
    /// GitHub did not say.
    Pending {
        /// When to ask again, epoch seconds, if GitHub said that.
        until: Option<i64>,
    },
}

/// When to look again at what could not be settled, epoch seconds.
pub fn look_again(attempts: u32, now: Timestamp) -> i64 {
    let last = BACKOFF_MINUTES.len() - 1;
    now.as_second() + 60 * BACKOFF_MINUTES[last.min(attempts as usize)]
}

/// The item after reconcile looked. `tasks` are its tasks as they are after [`step`].
pub fn conclude(known: &PullRequest, finding: &Finding, tasks: &[Task], now: Timestamp) -> PullRequest {
    let mut next = known.clone();
    if let Finding::Answer { mergeability, base } = finding {
        answer(&mut next, *mergeability, base.as_deref(), now);
    }
    next.unlinked_task_ids.clear();
    let wait = match finding {
        Finding::Pending { until } => Some(until.unwrap_or_else(|| look_again(known.attempts, now))),
        _ if awaits_task(known, tasks, now) => Some(look_again(known.attempts, now)),
        _ => None,
    };
    next.check = wait.map(|_| Check::Later);
    next.due = wait.map(|_| DUE.to_owned());
    next.next_check_at = wait;
    next.attempts = match (wait, finding) {
        (None, _) => 0,
        // GitHub named the time, which says nothing about how hard this one is to settle.
        (Some(_), Finding::Pending { until: Some(_) }) => known.attempts,
        (Some(_), _) => known.attempts.saturating_add(1),
    };
    next
}

/// A conflict has a culprit only if it merged before that and after, with the same head, one merge moved its base.
fn answer(next: &mut PullRequest, mergeability: Mergeability, base: Option<&BaseMove>, now: Timestamp) {
    let merged_before = next.mergeability == Mergeability::Mergeable && !asks_about_a_new_head(next);
    let culprit = base
        .filter(|base| base.base == next.base && next.checked_at.is_some_and(|checked| checked <= base.moved_at))
        .filter(|base| base.movers.len() == 1)
        .and_then(|base| base.movers.first().cloned());
    let caused_by = match (mergeability, next.mergeability) {
        (Mergeability::Conflicting, Mergeability::Conflicting) => next.conflict_caused_by.clone(),
        (Mergeability::Conflicting, _) if merged_before => culprit,
        _ => None,
    };
    if (next.mergeability, &next.conflict_caused_by) != (mergeability, &caused_by) {
        next.revision += 1;
    }
    next.conflict_caused_by = caused_by;
    next.mergeability = mergeability;
    next.checked_at = Some(now.as_second());
    next.checked_head_sha = Some(next.head_sha.clone());
}

/// Whether no answer is known for the head and base as they are: a conflict is then to be confirmed, since GitHub may
/// still show the one of the head before.
pub fn asks_about_a_new_head(known: &PullRequest) -> bool {
    known.checked_head_sha.as_ref() != Some(&known.head_sha)
}

/// Whether a merge may still move a task that has not reached `pr_submitted` yet.
fn awaits_task(known: &PullRequest, tasks: &[Task], now: Timestamp) -> bool {
    let key = known.key();
    let ended = known.ended_at.unwrap_or(0);
    known.state == State::Merged
        && now.as_second() < ended + AWAIT_TASK
        && tasks.iter().any(|task| {
            task.pull_requests.contains_key(&key)
                && !task.completed_by.contains(&key)
                && !matches!(task.status, Status::Done | Status::Trash)
        })
}

fn freshness(stored: Option<&PullRequest>, facts: &Facts) -> Freshness {
    let Some(known) = stored else { return Freshness::New };
    match facts.updated_at.cmp(&known.github_updated_at) {
        std::cmp::Ordering::Less => Freshness::Older,
        std::cmp::Ordering::Greater => Freshness::Newer,
        std::cmp::Ordering::Equal if says_the_same(known, facts) => Freshness::Same,
        std::cmp::Ordering::Equal if facts.source == FactSource::Api => Freshness::Newer,
        std::cmp::Ordering::Equal => Freshness::Tie,
    }
}

fn says_the_same(known: &PullRequest, facts: &Facts) -> bool {
    known.state == facts.state
        && known.title == facts.title
        && known.head_sha == facts.head_sha
        && known.base == facts.base
        && known.draft == facts.draft
        && known.fork == facts.fork
}

/// Whether the facts replace what is known. A known merge is final: what its title becomes later changes nothing.
fn takes_over(stored: Option<&PullRequest>, facts: &Facts, freshness: Freshness) -> bool {
    match freshness {
        Freshness::New | Freshness::Newer | Freshness::Same => {
            stored.is_none_or(|known| known.state != State::Merged || known.title == facts.title)
        }
        // Nothing follows a merge, so of one second it is the last word, also after what was read from the API.
        Freshness::Tie if facts.state == State::Merged => stored.is_some_and(|known| known.state != State::Merged),
        Freshness::Tie => stored.is_some_and(|known| !known.read_from_api && facts.state > known.state),
        Freshness::Older => false,
    }
}

/// The item after the facts, links aside. A pull request that never carried a tag has none.
fn observed(
    stored: Option<&PullRequest>,
    facts: &Facts,
    freshness: Freshness,
    without_tags: bool,
) -> Option<PullRequest> {
    let Some(known) = stored else {
        return (!without_tags).then(|| first_seen(facts));
    };
    let mut next = known.clone();
    let merged = known.state == State::Merged || facts.state == State::Merged;
    if takes_over(stored, facts, freshness) {
        next.title.clone_from(&facts.title);
        next.head_sha.clone_from(&facts.head_sha);
        next.base.clone_from(&facts.base);
        next.state = facts.state;
        next.draft = facts.draft;
        next.fork = facts.fork;
    }
    // A redelivery brings back the repository's name of its day, so only news and the API are asked for it.
    if freshness == Freshness::Newer || (freshness == Freshness::Same && facts.source == FactSource::Api) {
        next.repository.clone_from(&facts.repository);
        next.url.clone_from(&facts.url);
        next.installation_id = facts.installation_id.or(known.installation_id);
    }
    if freshness == Freshness::Newer {
        next.github_updated_at = facts.updated_at;
        next.read_from_api = facts.source == FactSource::Api;
    }
    if merged {
        next.state = State::Merged;
    }
    Some(next)
}

fn first_seen(facts: &Facts) -> PullRequest {
    PullRequest {
        repository_id: facts.repository_id.to_string(),
        item: item_key(facts.number),
        number: facts.number,
        installation_id: facts.installation_id,
        repository: facts.repository.clone(),
        title: facts.title.clone(),
        url: facts.url.clone(),
        head_sha: facts.head_sha.clone(),
        base: facts.base.clone(),
        state: facts.state,
        draft: facts.draft,
        author: facts.author.clone(),
        fork: facts.fork,
        author_may_write: false,
        task_ids: BTreeSet::new(),
        unlinked_task_ids: BTreeSet::new(),
        mergeability: Mergeability::Unknown,
        checked_at: None,
        checked_head_sha: None,
        conflict_caused_by: None,
        check_seq: 0,
        created_at: facts.created_at,
        ended_at: None,
        github_updated_at: facts.updated_at,
        read_from_api: facts.source == FactSource::Api,
        check: None,
        due: None,
        next_check_at: None,
        attempts: 0,
        ttl: None,
        revision: 0,
        version: 0,
    }
}

/// Sets the links of `next` and says what each tag led to.
fn link(
    next: &mut PullRequest,
    stored: Option<&PullRequest>,
    facts: &Facts,
    freshness: Freshness,
    matches: &[(KidTag, Match)],
) -> Vec<(KidTag, Link)> {
    let known = stored.map(|known| known.task_ids.clone()).unwrap_or_default();
    let merge_known = stored.is_some_and(|known| known.state == State::Merged);
    let replaces = takes_over(stored, facts, freshness) && !merge_known;
    // A signed merge counts for the tags of its own title, however late it comes and whatever was retitled since.
    let adds = takes_over(stored, facts, freshness)
        || (facts.state == State::Merged && (!merge_known || announces_merge(facts)));
    let links: Vec<_> = matches
        .iter()
        .map(|(tag, found)| (tag.clone(), if adds { resolve(tag, found, next, &known) } else { Link::NotTaken }))
        .collect();
    let named = links.iter().filter_map(|(_, link)| match link {
        Link::Task(id) => Some(id.clone()),
        _ => None,
    });
    next.task_ids = if replaces { named.collect() } else { known.iter().cloned().chain(named).collect() };
    let before = known.into_iter().chain(next.unlinked_task_ids.iter().cloned());
    next.unlinked_task_ids = before.filter(|id| !next.task_ids.contains(id)).collect();
    links
}

fn announces_merge(facts: &Facts) -> bool {
    facts.source == FactSource::Webhook { announces_merge: true }
}

fn resolve(tag: &KidTag, found: &Match, pull_request: &PullRequest, known: &BTreeSet<TaskId>) -> Link {
    if !pull_request.may_link() {
        return Link::AwaitsPermission;
    }
    let task = match found {
        Match::None => return Link::NoTask,
        Match::One(task) => task,
        // A link made while the tag was unique stays: a new task must not take the card away from an old one.
        Match::Several(_) => {
            let mut linked = known.iter().filter(|id| tag.names(id));
            return match (linked.next(), linked.next()) {
                (Some(id), None) => Link::Task(id.clone()),
                _ => Link::Ambiguous,
            };
        }
    };
    if belongs_elsewhere(task, pull_request) {
        Link::OtherRepository(task.id.clone())
    } else {
        Link::Task(task.id.clone())
    }
}

/// Once a task is bound, only the repository's id counts; before that, the name that the board wrote.
fn belongs_elsewhere(task: &Task, pull_request: &PullRequest) -> bool {
    match (&task.repository_id, &task.repository) {
        (Some(id), _) => *id != pull_request.repository_id,
        (None, Some(name)) => !name.trim().is_empty() && !name.trim().eq_ignore_ascii_case(&pull_request.repository),
        (None, None) => false,
    }
}

fn end(next: &mut PullRequest, stored: Option<&PullRequest>, facts: &Facts, now: Timestamp) {
    if next.state == State::Open {
        next.ended_at = None;
        next.ttl = None;
    } else if next.ended_at.is_none() || stored.is_some_and(|known| known.state != next.state) {
        let ended = facts.ended_at.unwrap_or(now);
        next.ended_at = Some(ended.as_second());
        next.ttl = Some(now.as_second() + KEEP_ENDED);
    }
}

/// Notes that the known answer to "does it merge" may no longer be true. The answer itself stays until a new one comes.
///
/// After a retarget it was given for another pair of commits, so that the base's last move explains nothing.
fn invalidate(next: &mut PullRequest, stored: Option<&PullRequest>, freshness: Freshness) {
    let doubtful = stored.is_none_or(|known| {
        known.head_sha != next.head_sha
            || known.base != next.base
            || (known.state != State::Open && next.state == State::Open)
            || freshness == Freshness::Tie
    });
    if doubtful && next.state == State::Open {
        next.check_seq += 1;
    }
    if stored.is_some_and(|known| known.base != next.base) {
        next.checked_head_sha = None;
    }
}

/// Asks reconcile to look: for an answer, and to finish what a failure between two writes may leave half done.
fn owe(next: &mut PullRequest, freshness: Freshness, has_tags: bool, now: Timestamp) {
    let concerns_tasks = !next.task_ids.is_empty() || !next.unlinked_task_ids.is_empty();
    let awaits_permission = has_tags && !next.may_link();
    if concerns_tasks || awaits_permission || freshness == Freshness::Tie {
        next.check = Some(Check::Now);
        next.due = Some(DUE.to_owned());
        next.next_check_at = Some(now.as_second());
        next.attempts = 0;
    }
}

/// The move of its base that a merge made.
pub fn base_move(facts: &Facts, now: Timestamp) -> BaseMove {
    BaseMove {
        repository_id: facts.repository_id.to_string(),
        item: base_item_key(&facts.base),
        repository: facts.repository.clone(),
        installation_id: facts.installation_id,
        base: facts.base.clone(),
        moved_at: now.as_second(),
        moved_by: facts.number,
        movers: BTreeSet::from([facts.url.clone()]),
        check: Some(Check::Now),
        due: Some(DUE.to_owned()),
        next_check_at: Some(now.as_second()),
        attempts: 0,
        ttl: now.as_second() + KEEP_ENDED,
        version: 0,
    }
}

/// The task after the pull request as it is now; equal to `task` when nothing is to be written.
///
/// A merge moves a task to `done` out of `pr_submitted` only, and only once: a task that was reopened for more work
/// is not closed by its old merge. <https://docs.github.com/en/webhooks/webhook-events-and-payloads#pull_request>
pub fn step(task: &Task, pull_request: &PullRequest) -> Task {
    let mut next = task.clone();
    let key = pull_request.key();
    if !pull_request.task_ids.contains(&task.id) {
        if next.pull_requests.remove(&key).is_some() {
            next.derive_current();
        }
        return next;
    }
    if task.repository_id.as_ref().is_some_and(|id| *id != pull_request.repository_id) {
        return next;
    }
    let known = task.pull_requests.get(&key).map(|linked| linked.revision);
    // Two deliveries may have been on their way at once; the slower one must not bring its old snapshot back.
    if known.is_some_and(|revision| revision > pull_request.revision) {
        return next;
    }
    if known != Some(pull_request.revision) {
        next.repository_id = Some(pull_request.repository_id.clone());
        next.repository = Some(pull_request.repository.clone());
        next.pull_requests.insert(key.clone(), linked(pull_request));
        next.derive_current();
    }
    if pull_request.state == State::Merged && !task.completed_by.contains(&key) {
        match task.status {
            Status::PrSubmitted => {
                next.status = Status::Done;
                next.completed_by.insert(key);
            }
            // It is done, so this merge has nothing left to do: not when the task is reopened for more work either.
            Status::Done => {
                next.completed_by.insert(key);
            }
            _ => {}
        }
    }
    next
}

fn linked(pull_request: &PullRequest) -> LinkedPullRequest {
    LinkedPullRequest {
        state: pull_request.state,
        url: pull_request.url.clone(),
        created_at: pull_request.created_at,
        mergeability: pull_request.mergeability,
        checked_at: pull_request.checked_at,
        caused_by: pull_request.conflict_caused_by.clone(),
        revision: pull_request.revision,
    }
}
