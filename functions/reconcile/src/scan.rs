//! The daily scan of the tasks: what a card says of its pull requests is held against their rows, from the card's own side.
//!
//! What neither a row nor a tag leads to, a hand or another writer has put there. A resync that is asked for does the same for the cards that the
//! rows of its repository lead to.

use std::collections::BTreeMap;

use domain::compare::{Doubt, claimed, doubts};
use domain::ids::{PullRequestKey, PullRequestNumber, RepositoryId, TaskId};
use domain::item::{Item, ItemKey};
use domain::pull_request::PullRequest;
use domain::report::Report;
use domain::scan::TaskScan;
use domain::schedule::Schedule;
use domain::sync::RepositorySync;
use domain::task::Task;

use crate::github::Failure;
use crate::run::Run;
use crate::{Standing, reads};

/// How often the tasks are scanned, seconds.
const PERIOD: i64 = 24 * 60 * 60;

/// After how many seconds they are scanned again where GitHub did not tell all, and how often before the next day: a card whose repository is
/// gone for good is never told of.
const AGAIN: i64 = 60 * 60;

const TRIES: u32 = 3;

/// How many tasks have the rows of their pull requests read at once: those of a whole page may take all the time there is.
const AT_ONCE: usize = 200;

/// Makes sure that the scan is on the work list.
pub(crate) async fn ensure_due(run: &Run<'_>) -> Result<(), Failure> {
    if run.app.is_known(Standing::Scan, run.now()) {
        return Ok(());
    }
    let scan = TaskScan { schedule: Schedule::at(run.now().as_second(), 0), ..TaskScan::default() };
    // `false`: it is.
    run.app.board.put(&Item::Scan(Box::new(scan))).await.map_err(|error| run.table_failed(error))?;
    run.app.remember(Standing::Scan, run.now());
    Ok(())
}

/// Goes on with the scan for as long as there is time.
pub(crate) async fn run(run: &Run<'_>, mut scan: TaskScan) {
    let began = scan.after.clone();
    // Its lease brings it back.
    let Ok(ended) = pages(run, &mut scan).await else { return };
    if !ended && scan.after == began {
        // As overdue as it was: put off, what never comes any further would not be told of.
        return run.give_up(&Item::Scan(Box::new(scan)), &Failure::OutOfTime).await;
    }
    let (next, attempts) = match scan.schedule.attempts {
        tried if !ended => (0, tried),
        tried if scan.left && tried < TRIES => (AGAIN, tried + 1),
        _ => (PERIOD, 0),
    };
    scan.left &= !ended;
    scan.schedule = Schedule::at(run.now().as_second() + next, attempts);
    // `false`: its claim ran out, and somebody else goes on from where this one began.
    if let Err(error) = run.app.board.put(&Item::Scan(Box::new(scan))).await {
        run.table_failed(error);
    }
}

/// Settles the tasks behind the last one that was, one after the other. `false`: there was no time for all of them.
async fn pages(run: &Run<'_>, scan: &mut TaskScan) -> Result<bool, Failure> {
    while run.has_time() {
        let page = run.app.board.all_tasks(scan.after.as_ref()).await;
        let (tasks, next) = page.map_err(|error| run.table_failed(error))?;
        for tasks in tasks.chunks(AT_ONCE) {
            let rows = rows(run, tasks).await?;
            for task in tasks {
                // Else Lambda ends the run before it is written down how far it came, and the next one begins where this one did.
                if !run.has_time() {
                    return Ok(false);
                }
                let settled = match settle(run, &rows, task).await {
                    Err(Failure::Table) => return Err(Failure::Table),
                    settled => settled,
                };
                // Also behind one that was not settled, and that one with the next scan: what hangs must not stop the scan for ever.
                scan.left |= settled.is_err();
                scan.after = Some((task.id.prefix().to_owned(), task.id.as_str().to_owned()));
                if let Err(Failure::OutOfTime) = settled {
                    return Ok(false);
                }
            }
        }
        scan.after = next;
        if scan.after.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Holds these tasks against their pull requests. `false`: what kept GitHub from telling all is not about one of them, and passes.
pub(crate) async fn heal(run: &Run<'_>, tasks: impl IntoIterator<Item = TaskId>) -> Result<bool, Failure> {
    let tasks = run.app.board.tasks(tasks).await.map_err(|error| run.table_failed(error))?;
    let rows = rows(run, &tasks).await?;
    let mut told = true;
    for task in &tasks {
        match settle(run, &rows, task).await {
            Err(failure @ (Failure::Table | Failure::OutOfTime)) => return Err(failure),
            Err(failure) => told &= !failure.is_wide(),
            Ok(()) => {}
        }
    }
    Ok(told)
}

type Rows = BTreeMap<PullRequestKey, PullRequest>;

async fn rows(run: &Run<'_>, tasks: &[Task]) -> Result<Rows, Failure> {
    run.app.board.rows(tasks.iter().flat_map(claimed)).await.map_err(|error| run.table_failed(error))
}

/// Settles each doubt about a task. What GitHub does not show says nothing about the card, and one that cannot be written nothing about the
/// others: of such failures the last is given, once everything was tried.
async fn settle(run: &Run<'_>, rows: &Rows, task: &Task) -> Result<(), Failure> {
    let mut settled = Ok(());
    for doubt in doubts(task, rows) {
        // One task may have as many as it has pull requests, each with calls of its own.
        if !run.has_time() {
            return Err(Failure::OutOfTime);
        }
        let answered = match doubt {
            Doubt::Compare(report) => compare(run, rows, *report).await,
            Doubt::Ask(repository, number) => ask(run, task, repository, number).await,
        };
        match answered {
            Err(failure @ (Failure::Table | Failure::OutOfTime)) => return Err(failure),
            Err(failure) => {
                let said = failure.said();
                tracing::warn!(task = task.id.prefix(), said, "what a task claims could not be settled");
                settled = Err(failure);
            }
            Ok(()) => {}
        }
    }
    settled
}

async fn compare(run: &Run<'_>, rows: &Rows, report: Report) -> Result<(), Failure> {
    if let Some(row) = rows.get(&PullRequestKey::new(report.repository_id, report.number)) {
        // The row of a quiet pull request keeps the installation of its day, which is gone after a reinstallation.
        let sync = sync(run, report.repository_id).await?;
        let installation = sync.map_or(row.snapshot.installation_id, |sync| sync.installation_id);
        // Nothing of an installation that is not served moves a card.
        if !run.served().await?.serves(installation) {
            return Err(not_served(report.repository_id));
        }
    }
    run.apply(report).await.map(drop)
}

/// Asks GitHub about a pull request that only a task knows of.
async fn ask(run: &Run<'_>, task: &Task, repository: RepositoryId, number: PullRequestNumber) -> Result<(), Failure> {
    let served = run.served().await?;
    let sync = sync(run, repository).await?.filter(|sync| served.serves(sync.installation_id));
    let sync = sync.ok_or_else(|| not_served(repository))?;
    let mut waits = run.app.pace.fresh_token.iter();
    let report = loop {
        match reads::one_of(run, sync.installation_id, repository, &sync.repository, number).await {
            Ok(seen) => break Report::facts(seen.facts),
            // The repository is there and shows none under this number. GitHub says so for a moment of one that there is, too: believed at once,
            // that would take a link off its card which nothing brings back.
            Err(Failure::Gone(_)) if reads::name_of(run, sync.installation_id, repository).await.is_ok() => {
                let Some(wait) = waits.next() else { break Report::missing(repository, number) };
                if !run.pause(*wait).await {
                    return Err(Failure::OutOfTime);
                }
            }
            Err(failure) => return Err(failure),
        }
    };
    run.apply(report.claimed_by([task.id.clone()])).await.map(drop)
}

async fn sync(run: &Run<'_>, repository: RepositoryId) -> Result<Option<RepositorySync>, Failure> {
    let syncs = run.app.board.repository_syncs(&[repository]).await.map_err(|error| run.table_failed(error))?;
    Ok(syncs.into_iter().next())
}

fn not_served(repository: RepositoryId) -> Failure {
    Failure::Gone(format!("{} is not served", ItemKey::repository(repository).partition))
}
