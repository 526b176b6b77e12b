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
use domain::item::Item;
use domain::kid_tag::Tags;
use domain::lifecycle::is_news;
use domain::pull_request::{PullRequest, State};
use domain::report::{Facts, Report};
use domain::schedule::Schedule;
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

/// One page, asked for with less in it where GitHub cannot answer it. Where it cannot answer the least either, or names not even what it
/// hides, the list begins again in REST, which costs GitHub less and hides less.
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
            return page_of_rest(run, installation, id, repository, at, back_to).await;
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
                let in_rest = Resume { rest: true, after: None, ..at.clone() };
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

/// A page of REST's list. It does not tell which title was merged, so what was merged since `back_to` is read alone.
async fn page_of_rest(
    run: &Run<'_>,
    installation: Option<InstallationId>,
    id: RepositoryId,
    repository: &RepositoryName,
    at: &Resume,
    back_to: Timestamp,
) -> Result<Page, Failure> {
    let first = || github::first_page_of_pulls(repository, at.open);
    let answer = run.ask(installation, &github::pulls(&at.after.clone().unwrap_or_else(first))).await?;
    let listed: Vec<_> = answer.body.iter().map(|pull| listed_by_rest(pull, installation, back_to)).collect();
    let another = |listed: &Listed| matches!(listed, Listed::Seen(seen) if seen.facts.snapshot.repository_id != id);
    if listed.iter().any(another) {
        return Err(reads::not_this(repository));
    }
    Ok((listed, answer.next))
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

/// What a page shows, and what it does not show read alone. What cannot be read alone either is kept for later turns.
///
/// With it comes what is wrong with one that has not even a number: nothing may count as read to its end then.
pub(crate) async fn seen(
    run: &Run<'_>,
    sync: &mut RepositorySync,
    listed: Vec<Listed>,
) -> Result<(Vec<Observed>, Option<Failure>), Failure> {
    let mut observed = Vec::with_capacity(listed.len());
    let (mut nameless, mut numbers) = (None, Vec::new());
    for listed in listed {
        match listed {
            Listed::Seen(seen) => observed.push(*seen),
            Listed::Missing { number: Some(number), .. } => numbers.push(number),
            Listed::Missing { number: None, error } => {
                // Of the repository, and not of all that is asked: one that is gone would take it off the work list.
                nameless = Some(Failure::Refused(Failure::of(&error, run.now()).said().to_owned()));
            }
        }
    }
    observed.extend(alone(run, sync, numbers).await?);
    observed.sort_by_key(|seen| Reverse(seen.facts.snapshot.updated_at));
    Ok((observed, nameless))
}

/// Reads each alone. Those that cannot be read so either are kept for later.
pub(crate) async fn alone(
    run: &Run<'_>,
    sync: &mut RepositorySync,
    numbers: impl IntoIterator<Item = PullRequestNumber>,
) -> Result<Vec<Observed>, Failure> {
    let (installation, repository) = (sync.installation_id, sync.repository.clone());
    let reads = numbers.into_iter().map(|number| {
        let repository = &repository;
        async move { (number, reads::read_one(run, installation, repository, number).await) }
    });
    let answers: Vec<_> = stream::iter(reads).buffer_unordered(READ_AT_ONCE).collect().await;
    // Before any of them is taken for read: what was read is not applied then, and would be forgotten.
    let wide = answers.iter().find_map(|(_, answer)| answer.as_ref().err().filter(|failure| failure.is_wide()));
    if let Some(failure) = wide {
        return Err(failure.clone());
    }
    let mut observed = Vec::new();
    for (number, answer) in answers {
        match answer {
            Ok(seen) if seen.facts.snapshot.repository_id == sync.repository_id => {
                // That it was merged counts now, and which title was to be asked for again.
                if seen.facts.snapshot.state == State::Merged && seen.facts.title_at_merge().is_none() {
                    sync.miss(number, run.now());
                } else {
                    sync.missed.remove(&number);
                }
                observed.push(seen);
            }
            _ => sync.miss(number, run.now()),
        }
    }
    Ok(observed)
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
    let mut at = Resume { open: true, rest: false, after: None, until: run.started() };
    loop {
        if !run.has_time() {
            return Err(Failure::OutOfTime);
        }
        let mut sync = RepositorySync::new(id, repository.clone(), installation);
        let (listed, next) = page(run, installation, id, repository, &mut at, Timestamp::MIN).await?;
        let (observed, nameless) = seen(run, &mut sync, listed).await?;
        if let Some(failure) = nameless {
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
                Err(_) => sync.miss(number, run.now()),
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
