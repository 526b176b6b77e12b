//! The cards of a repository, held against its stored pull requests.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use domain::compare::claimed;
use domain::ids::{PullRequestNumber, TaskId};
use domain::kid_tag::Tags;
use domain::lifecycle::AWAIT_TASK;
use domain::outcome::{Applied, Change, Outcome, TaskOutcome};
use domain::pull_request::{PullRequest, State};
use domain::report::Report;
use domain::sync::{Comparing, RepositorySync};
use domain::task::Task;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;

use crate::github::Failure;
use crate::lists::WRITES_AT_ONCE;
use crate::run::Run;
use crate::scan;

/// How many bases are watched for pushes, in a repository, those with the most open pull requests: the names must fit into its item.
const BASES: usize = 500;

/// How often the cards of a quiet repository are compared with its pull requests, seconds.
pub(crate) const COMPARED: i64 = 24 * 60 * 60;

/// How many pull requests, the newest, whose tags lead nowhere have them looked up at each turn.
const UNTIED: usize = 200;

/// Looks the tags up that led nowhere: in a quiet repository nothing else tells of a task that was made or became findable since.
pub(crate) async fn look_up_tags(run: &Run<'_>, sync: &mut RepositorySync) -> Result<(), Failure> {
    for number in sync.untied.clone() {
        match compare_one(run, sync, number).await {
            Ok(applied) if leads_nowhere(&applied, run.now()) => {}
            Ok(_) => drop(sync.untied.remove(&number)),
            Err(failure) if failure.is_wide() => return Err(failure),
            // One that cannot be written now still leads nowhere.
            Err(_) => {}
        }
    }
    Ok(())
}

/// Whether a tag of a pull request that may still be linked or move a card names no task that can be found.
fn leads_nowhere(applied: &Applied, now: Timestamp) -> bool {
    let may_follow =
        |row: &PullRequest| row.snapshot.ended_at.is_none_or(|at| now.as_second() < at.saturating_add(AWAIT_TASK));
    let nowhere = |task: &TaskOutcome| {
        matches!(task.outcome, Outcome::NoTask | Outcome::Ambiguous | Outcome::OtherRepository | Outcome::Unreadable)
    };
    applied.pull_request.as_ref().is_some_and(may_follow) && applied.tasks.iter().any(nowhere)
}

/// Compares the cards of a repository with its pull requests, and learns which bases its open linked ones have.
///
/// `claims`: also what the cards say of others, which nothing but a hand or another writer can have put there. Without time for all of it, the
/// next turn goes on from `sync.comparing`.
pub(crate) async fn compare(run: &Run<'_>, sync: &mut RepositorySync, claims: bool) -> Result<(), Failure> {
    let under_way = sync.comparing.clone().filter(|at| at.claims || !claims);
    let mut at = under_way.unwrap_or(Comparing { claims, ..Comparing::default() });
    loop {
        if !run.has_time() {
            // It is kept in the repository's item, and has to fit into it.
            at.bases = most_used(at.bases);
            at.untied = at.untied.into_iter().rev().take(UNTIED).collect();
            // Where it came no further it is as overdue as it was.
            return if at.after.is_some() && sync.comparing.as_ref() != Some(&at) {
                sync.comparing = Some(at);
                Ok(())
            } else {
                Err(Failure::OutOfTime)
            };
        }
        let page = run.app.board.stored_in(sync.repository_id, at.after).await;
        let (rows, next) = page.map_err(|error| run.table_failed(error))?;
        // Also of those whose tag leads nowhere yet: it may be linked before the next comparison.
        let open =
            |row: &&PullRequest| row.snapshot.state == State::Open && !Tags::of(&row.snapshot.title).named.is_empty();
        for row in rows.iter().filter(open) {
            *at.bases.entry(row.snapshot.base.clone()).or_default() += 1;
        }
        let tasks = compare_page(run, sync, rows, &mut at.untied).await?;
        if at.claims {
            at.untold |= match scan::heal(run, tasks).await {
                // What hangs must not stop the comparison for ever: it is asked about with the next one.
                Err(Failure::OutOfTime) => true,
                told => !told?,
            };
        }
        at.after = next;
        if at.after.is_none() {
            break;
        }
    }
    let mut before = std::mem::take(&mut sync.bases);
    let bases = most_used(at.bases).into_keys();
    sync.bases = bases.map(|base| (base.clone(), before.remove(&base).unwrap_or_default())).collect();
    sync.untied = at.untied.into_iter().rev().take(UNTIED).collect();
    sync.comparing = at.again.then(Comparing::default);
    // Else the next turn compares them again: what a limit kept from being told would wait for a day.
    if !at.untold {
        sync.compared_at = Some(run.now().as_second());
    }
    Ok(())
}

/// Of these bases as many as are watched: those with the most open pull requests.
fn most_used(bases: BTreeMap<String, usize>) -> BTreeMap<String, usize> {
    let mut bases: Vec<_> = bases.into_iter().collect();
    bases.sort_by_key(|(_, count)| Reverse(*count));
    bases.truncate(BASES);
    bases.into_iter().collect()
}

/// Compares the cards of these pull requests, and adds to `untied` those whose tags lead nowhere. Gives the tasks that they are linked to.
async fn compare_page(
    run: &Run<'_>,
    sync: &RepositorySync,
    rows: Vec<PullRequest>,
    untied: &mut BTreeSet<PullRequestNumber>,
) -> Result<BTreeSet<TaskId>, Failure> {
    let compared =
        rows.into_iter().map(|row| async move { (row.snapshot.number, compare_listed(run, sync, row).await) });
    let mut compared = stream::iter(compared).buffer_unordered(WRITES_AT_ONCE);
    let mut tasks = BTreeSet::new();
    while let Some((number, compared)) = compared.next().await {
        match compared {
            Ok(applied) => {
                let nowhere = leads_nowhere(&applied, run.now());
                untied.extend(nowhere.then_some(number));
                tasks.extend(applied.pull_request.into_iter().flat_map(|row| row.task_ids));
            }
            Err(failure) if failure.is_wide() => return Err(failure),
            // One that cannot be written stops no other. Its tag may lead nowhere: who forgets it looks it up a day later.
            Err(_) => drop(untied.insert(number)),
        }
    }
    Ok(tasks)
}

/// Compares the cards of a listed row, and once more where one is bound to a repository of which nothing is known: not a pull request that the card
/// says it has is stored, and no resync. If the row had the card, or the card names the row's own repository, a hand has bound it. That nothing is
/// known of a repository is not enough by itself: the table of pull requests may have been lost.
async fn compare_listed(run: &Run<'_>, sync: &RepositorySync, row: PullRequest) -> Result<Applied, Failure> {
    let applied = compare_one(run, sync, row.snapshot.number).await?;
    let elsewhere = applied.tasks.iter().filter(|task| task.outcome == Outcome::OtherRepository);
    let elsewhere: Vec<_> = elsewhere.filter_map(|task| task.task.clone()).collect();
    let mut freed = false;
    for task in run.app.board.tasks(elsewhere).await.map_err(|error| run.table_failed(error))? {
        let named = task.repository.as_ref().is_some_and(|name| sync.repository.is(name));
        if (named || row.task_ids.contains(&task.id)) && is_bound_to_nothing(run, &task).await? {
            for (repository, number) in claimed(&task) {
                run.apply(Report::missing(repository, number).claimed_by([task.id.clone()])).await?;
            }
            freed = true;
        }
    }
    if freed { compare_one(run, sync, row.snapshot.number).await } else { Ok(applied) }
}

/// Whether nothing is stored of any pull request that a task says it has, nor of their repositories.
async fn is_bound_to_nothing(run: &Run<'_>, task: &Task) -> Result<bool, Failure> {
    let rows = run.app.board.rows(claimed(task)).await.map_err(|error| run.table_failed(error))?;
    // Each once: DynamoDB refuses a batch that names a key twice.
    let repositories: BTreeSet<_> = claimed(task).map(|(repository, _)| repository).collect();
    let repositories: Vec<_> = repositories.into_iter().collect();
    let syncs = run.app.board.repository_syncs(&repositories).await.map_err(|error| run.table_failed(error))?;
    Ok(rows.is_empty() && syncs.is_empty())
}

/// Compares the cards of one pull request, and once more where one had been bound to another repository by a hand: it is free now.
async fn compare_one(run: &Run<'_>, sync: &RepositorySync, number: PullRequestNumber) -> Result<Applied, Failure> {
    let report = Report::compare(sync.repository_id, number).called(sync.repository.clone());
    let compare = async || run.apply(report.clone()).await;
    let applied = compare().await?;
    let freed = |change: &Change| change.before.repository_id.is_some() && change.after.repository_id.is_none();
    if applied.changes.iter().any(freed) { compare().await } else { Ok(applied) }
}
