//! Lists of pull requests, page by page, and what they show made to count.
//!
//! A page that GitHub cannot answer is asked for with less in it and at last of REST, and a pull request that no page shows is read alone.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use adapters::github::Error;
use adapters::github::graphql::{self, Listed};
use adapters::github::pull_request::{Observed, Pull};
use domain::base::BaseMove;
use domain::ids::{InstallationId, PullRequestNumber, RepositoryId, RepositoryName, TaskId};
use domain::item::{Item, ItemKey};
use domain::kid_tag::Tags;
use domain::lifecycle::is_news;
use domain::pull_request::{PullRequest, State};
use domain::report::{Facts, Report};
use domain::schedule::{Refusal, Schedule};
use domain::sync::{RepositorySync, Resume};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::github::{self, Failure};
use crate::reads;
use crate::run::{Patience, Run, add};

/// Pull requests whose news are written at the same time.
pub(crate) const WRITES_AT_ONCE: usize = 8;

/// Repositories of one installation that are read back at the same time.
pub(crate) const READ_AT_ONCE: usize = 4;

/// Bases that merges without a tag moved, and the end of the last of them, epoch seconds.
pub(crate) type Moves = BTreeMap<String, (i64, BaseMove)>;

/// A page, and what comes after it.
type Page = (Vec<Listed>, Option<String>);

/// The sizes of pages of REST's lists. Each is a multiple of the next, so that a smaller page begins wherever a larger one does.
pub(crate) const REST_SIZES: [usize; 4] = [100, 50, 25, 1];

/// The largest page of at most `most` that begins behind so many.
pub(crate) fn size_at(read: usize, most: usize) -> usize {
    REST_SIZES.into_iter().find(|size| *size <= most && read.is_multiple_of(*size)).unwrap_or(1)
}

/// The next smaller size.
pub(crate) fn smaller_than(size: usize) -> usize {
    REST_SIZES.into_iter().find(|less| *less < size).unwrap_or(1)
}

/// One page, asked for with less in it where GitHub cannot answer it. Where it cannot answer the least either, or names not even what it
/// hides, the list begins again in REST, which costs GitHub less and hides less; and where that fails, in GraphQL with the next turn.
pub(crate) async fn page(
    run: &Run<'_>,
    installation: Option<InstallationId>,
    id: RepositoryId,
    repository: &RepositoryName,
    at: &mut Resume,
    back_to: Timestamp,
) -> Result<Page, Failure> {
    let mut shrunk = 0;
    loop {
        if at.rest {
            let page = page_of_rest(run, installation, id, repository, at, back_to).await;
            if page.as_ref().is_err_and(|failure| !failure.is_wide()) {
                *at = Resume::new(at.open, at.until);
            }
            return page;
        }
        let size = run.app.pages.size(id);
        let query = graphql::by_update(repository, at.open, size, at.after.as_deref());
        let answer = run.ask_with(Patience::None, installation, &query).await;
        let page =
            answer.and_then(|answer| answer.page(installation).map_err(|refused| Failure::of(&refused, run.now())));
        match page {
            Ok(page) if page.repository_id != id => return Err(reads::not_this(repository)),
            Ok(page) if !page.is_too_large() && !page.has_nameless() => {
                add(&run.tally.pages_shrunk, shrunk);
                return Ok((page.listed, page.next));
            }
            Err(failure) if !matches!(failure, Failure::Unavailable(_)) => return Err(failure),
            _ if run.app.pages.shrink(id, size) => shrunk += 1,
            least => {
                let in_rest = Resume { rest: true, ..Resume::new(at.open, at.until) };
                match (page_of_rest(run, installation, id, repository, &in_rest, back_to).await, least) {
                    (Ok(page), _) => {
                        add(&run.tally.pages_shrunk, shrunk + 1);
                        *at = in_rest;
                        return Ok(page);
                    }
                    (Err(_), Ok(page)) => {
                        add(&run.tally.pages_shrunk, shrunk);
                        return Ok((page.listed, page.next));
                    }
                    // It is not about the size: what was read so far counts, and the list goes on from there.
                    (Err(failure), Err(_)) => return Err(failure),
                }
            }
        }
    }
}

/// A page of REST's list, asked for with less in it where GitHub cannot answer it: a hundred descriptions may be more than an answer may have.
/// One that no page shows is left out, and counts as one without a number. It does not tell which title was merged, so what was merged
/// since `back_to` is read alone.
async fn page_of_rest(
    run: &Run<'_>,
    installation: Option<InstallationId>,
    id: RepositoryId,
    repository: &RepositoryName,
    at: &Resume,
    back_to: Timestamp,
) -> Result<Page, Failure> {
    let mut read = at.after.as_deref().map_or(0, github::read_before);
    let (mut most, mut listed) = (REST_SIZES[0], Vec::new());
    let answer = loop {
        let size = size_at(read, most);
        let patience = if size > 1 { Patience::None } else { Patience::Some };
        match run.ask_with(patience, installation, &github::pulls(repository, at.open, size, read / size + 1)).await {
            Ok(answer) => {
                read += size;
                break answer;
            }
            Err(Failure::Unavailable(_)) if size > 1 => most = smaller_than(size),
            // Where the next one cannot be shown either, it is not about one of them.
            Err(Failure::Unavailable(said)) if listed.is_empty() => {
                listed.push(Listed::Missing { number: None, error: Error::Unexpected(said.into()) });
                read += 1;
            }
            Err(failure) => return Err(failure),
        }
    };
    add(&run.tally.pages_shrunk, usize::from(most < REST_SIZES[0]));
    listed.extend(answer.body.iter().map(|pull| listed_by_rest(pull, installation, back_to)));
    let another = |listed: &Listed| matches!(listed, Listed::Seen(seen) if seen.facts.snapshot.repository_id != id);
    if listed.iter().any(another) {
        return Err(reads::not_this(repository));
    }
    Ok((listed, answer.next.map(|_| read.to_string())))
}

fn listed_by_rest(pull: &Value, installation: Option<InstallationId>, back_to: Timestamp) -> Listed {
    let alone = |why: &str| Listed::Missing {
        number: PullRequestNumber::deserialize(&pull["number"]).ok(),
        error: Error::Unexpected(why.into()),
    };
    let Ok(read) = Pull::deserialize(pull) else { return alone("a pull request of another shape than documented") };
    let seen = read.observed(installation);
    let about = &seen.facts.snapshot;
    if about.state == State::Merged && about.updated_at >= back_to {
        alone("a list does not tell which title was merged")
    } else {
        Listed::Seen(Box::new(seen))
    }
}

/// What was read of a page.
pub(crate) struct Seen {
    pub(crate) observed: Vec<Observed>,
    /// What is wrong with one that has not even a number: nothing may count as read to its end then.
    pub(crate) nameless: Option<Failure>,
    /// What ended the reading of the others: the page is to be read again.
    pub(crate) wide: Option<Failure>,
}

/// What a page shows, and what it does not show read alone. What cannot be read alone either is kept for later turns.
pub(crate) async fn seen(run: &Run<'_>, sync: &mut RepositorySync, listed: Vec<Listed>) -> Seen {
    let mut observed = Vec::with_capacity(listed.len());
    let (mut nameless, mut numbers) = (None, Vec::new());
    for listed in listed {
        match listed {
            // It was read before, and what is missed of it is the title that was merged, which no list of REST's tells.
            Listed::Seen(seen) if is_untitled(&seen) && sync.missed.contains_key(&seen.facts.snapshot.number) => {}
            Listed::Seen(seen) => {
                sync.missed.remove(&seen.facts.snapshot.number);
                observed.push(*seen);
            }
            Listed::Missing { number: Some(number), .. } => numbers.push(number),
            Listed::Missing { number: None, error } => {
                // Of the repository, and not of all that is asked: one that is gone would take it off the work list.
                nameless = Some(Failure::Refused(Failure::of(&error, run.now()).said().to_owned()));
            }
        }
    }
    let (read, wide) = alone(run, sync, numbers).await;
    observed.extend(read);
    observed.sort_by_key(|seen| Reverse(seen.facts.snapshot.updated_at));
    Seen { observed, nameless, wide }
}

/// Whether it is merged, and nothing tells which title was.
fn is_untitled(seen: &Observed) -> bool {
    seen.facts.snapshot.state == State::Merged && seen.facts.title_at_merge().is_none()
}

/// Reads each alone. Those that cannot be read so either are kept for later. With them comes what ended the reading, if anything did: what was
/// read until then counts.
pub(crate) async fn alone(
    run: &Run<'_>,
    sync: &mut RepositorySync,
    numbers: impl IntoIterator<Item = PullRequestNumber>,
) -> (Vec<Observed>, Option<Failure>) {
    let (installation, repository) = (sync.installation_id, sync.repository.clone());
    let reads = numbers.into_iter().map(|number| {
        let repository = &repository;
        async move { (number, reads::read_one(run, installation, repository, number).await) }
    });
    let answers: Vec<_> = stream::iter(reads).buffer_unordered(READ_AT_ONCE).collect().await;
    let (mut observed, mut wide) = (Vec::new(), None);
    for (number, answer) in answers {
        match answer {
            Err(failure) if failure.is_wide() => wide = Some(failure),
            Ok(seen) if seen.facts.snapshot.repository_id == sync.repository_id => {
                // That it was merged counts now, and which title was to be asked for again.
                if is_untitled(&seen) {
                    sync.miss(number, Refusal::Refused, run.now());
                } else {
                    sync.missed.remove(&number);
                }
                observed.push(seen);
            }
            answer => {
                let refusal = answer.err().map_or(Refusal::Refused, |failure| failure.refusal());
                if !sync.miss(number, refusal, run.now()) {
                    let item = ItemKey::pull_request(sync.repository_id, number).to_string();
                    tracing::warn!(item, "GitHub has said for three days that it is not there; it is read no more");
                }
            }
        }
    }
    (observed, wide)
}

/// Reads the open pull requests of a repository and takes in what is news of them. Gives those whose titles name one of the tasks, and the
/// numbers of those that can be read in no way.
pub(crate) async fn read_open(
    run: &Run<'_>,
    installation: Option<InstallationId>,
    id: RepositoryId,
    repository: &RepositoryName,
    tasks: &[TaskId],
) -> Result<(Vec<Facts>, BTreeSet<PullRequestNumber>), Failure> {
    let names_one = |facts: &&Facts| {
        let tags = Tags::of(&facts.snapshot.title);
        tasks.iter().any(|task| tags.name(task))
    };
    let (mut named, mut missed) = (Vec::new(), BTreeSet::new());
    let mut at = Resume::new(true, run.started());
    loop {
        if !run.has_time() {
            return Err(Failure::OutOfTime);
        }
        let mut sync = RepositorySync::new(id, repository.clone(), installation);
        let (listed, next) = page(run, installation, id, repository, &mut at, Timestamp::MIN).await?;
        let Seen { observed, nameless, wide } = seen(run, &mut sync, listed).await;
        if let Some(failure) = wide.or(nameless) {
            return Err(failure);
        }
        missed.extend(sync.missed.keys());
        named.extend(observed.iter().map(|seen| &seen.facts).filter(names_one).cloned());
        // One that cannot be written was read: what its title names is known.
        apply(run, &mut sync, observed, &mut Moves::new()).await?;
        at.after = next;
        if at.after.is_none() {
            return Ok((named, missed));
        }
    }
}

/// Lets what was seen count. What cannot be written is kept for later, and stops nothing else.
pub(crate) async fn apply(
    run: &Run<'_>,
    sync: &mut RepositorySync,
    seen: Vec<Observed>,
    moves: &mut Moves,
) -> Result<(), Failure> {
    let id = sync.repository_id;
    let numbers: Vec<_> = seen.iter().map(|seen| seen.facts.snapshot.number).collect();
    let stored = run.app.board.pull_requests(id, &numbers).await.map_err(|error| run.table_failed(error))?;
    let (mut news, mut forgotten) = (Vec::new(), Vec::new());
    for Observed { facts, .. } in seen {
        let about = &facts.snapshot;
        let counts = facts.title_at_merge().unwrap_or(&about.title);
        match stored.get(&about.number) {
            Some(known) if is_news(known, &facts) => news.push(facts),
            // It had left the work list without an answer, and is listed again.
            Some(known) if is_forgotten(known) => forgotten.push(Item::PullRequest(Box::new(known.clone()))),
            Some(_) => {}
            None if !Tags::of(counts).named.is_empty() => news.push(facts),
            None if about.state == State::Merged => {
                let ended = about.merged_at().unwrap_or_default();
                let (last, moved) = moves
                    .entry(about.base.clone())
                    .or_insert_with(|| (ended, no_moves(BaseMove::by(about, run.now()))));
                *last = ended.max(*last);
                moved.moves += 1;
            }
            None => {}
        }
    }
    for item in forgotten {
        run.write_schedule(&item, &Schedule::at_once(run.now())).await;
    }
    // A merge of the same page may move a card that is under a newer pull request only once that one is linked.
    let (open, others): (Vec<_>, Vec<_>) = news.into_iter().partition(|facts| facts.snapshot.state == State::Open);
    for news in [open, others] {
        let applied = stream::iter(news).map(|facts| async move {
            let number = facts.snapshot.number;
            (number, run.apply(Report::facts(facts)).await.map(drop))
        });
        for (number, applied) in applied.buffer_unordered(WRITES_AT_ONCE).collect::<Vec<_>>().await {
            match applied {
                Err(failure) if failure.is_wide() => return Err(failure),
                Err(_) => drop(sync.miss(number, Refusal::Refused, run.now())),
                Ok(()) => {}
            }
        }
    }
    Ok(())
}

fn is_forgotten(known: &PullRequest) -> bool {
    let open = known.snapshot.state == State::Open;
    let unanswered = open && !known.task_ids.is_empty() && known.asks_about_a_new_head();
    let unpermitted = open && known.awaits_permission();
    (unanswered || unpermitted || known.title_unconfirmed) && !known.schedule.is_due()
}

fn no_moves(base: BaseMove) -> BaseMove {
    BaseMove { moves: 0, ..base }
}

pub(crate) async fn move_bases(run: &Run<'_>, moves: Moves) -> Result<(), Failure> {
    for (ended, base_move) in moves.into_values() {
        match run.app.board.move_base(&base_move, ended).await.map_err(|error| run.not_written(error)) {
            Err(failure) if failure.is_wide() => return Err(failure),
            // One that cannot be written stops no other.
            Err(_) | Ok(()) => {}
        }
    }
    Ok(())
}
