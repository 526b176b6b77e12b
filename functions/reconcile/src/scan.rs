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
use domain::task::Task;

use crate::github::Failure;
use crate::run::Run;
use crate::{Standing, reads};

/// How often the tasks are scanned, seconds.
const PERIOD: i64 = 24 * 60 * 60;

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
    let before = scan.clone();
    match pages(run, &mut scan).await {
        Ok(()) => {
            let next = if scan.after.is_some() { 0 } else { PERIOD };
            scan.schedule = Schedule::at(run.now().as_second() + next, 0);
            // `false`: its claim ran out, and somebody else goes on from where this one began.
            if let Err(error) = run.app.board.put(&Item::Scan(Box::new(scan))).await {
                run.table_failed(error);
            }
        }
        Err(failure) => run.give_up(&Item::Scan(Box::new(before)), &failure).await,
    }
}

async fn pages(run: &Run<'_>, scan: &mut TaskScan) -> Result<(), Failure> {
    loop {
        let page = run.app.board.all_tasks(scan.after.as_ref()).await;
        let (tasks, next) = page.map_err(|error| run.table_failed(error))?;
        heal_all(run, &tasks).await?;
        scan.after = next;
        if scan.after.is_none() || !run.has_time() {
            return Ok(());
        }
    }
}

/// Holds these tasks against their pull requests.
pub(crate) async fn heal(run: &Run<'_>, tasks: impl IntoIterator<Item = TaskId>) -> Result<(), Failure> {
    let tasks = run.app.board.tasks(tasks).await.map_err(|error| run.table_failed(error))?;
    heal_all(run, &tasks).await
}

async fn heal_all(run: &Run<'_>, tasks: &[Task]) -> Result<(), Failure> {
    let rows = run.app.board.rows(tasks.iter().flat_map(claimed)).await.map_err(|error| run.table_failed(error))?;
    for task in tasks {
        for doubt in doubts(task, &rows) {
            match settle(run, &rows, task, doubt).await {
                Err(Failure::Table) => return Err(Failure::Table),
                // What GitHub does not show says nothing about the card, and one that cannot be written nothing about the others: the next
                // scan tries again.
                Err(failure) => {
                    let said = failure.said();
                    tracing::warn!(task = task.id.prefix(), said, "what a task claims could not be settled");
                }
                Ok(()) => {}
            }
        }
    }
    Ok(())
}

async fn settle(
    run: &Run<'_>,
    rows: &BTreeMap<PullRequestKey, PullRequest>,
    task: &Task,
    doubt: Doubt,
) -> Result<(), Failure> {
    match doubt {
        Doubt::Compare(report) => {
            let row = rows.get(&PullRequestKey::new(report.repository_id, report.number));
            // Nothing of an installation that is not served moves a card.
            let served = run.served().await?;
            if row.is_some_and(|row| !served.serves(row.snapshot.installation_id)) {
                return Ok(());
            }
            run.apply(*report).await.map(drop)
        }
        Doubt::Ask(repository, number) => ask(run, task, repository, number).await,
    }
}

/// Asks GitHub about a pull request that only a task knows of.
async fn ask(run: &Run<'_>, task: &Task, repository: RepositoryId, number: PullRequestNumber) -> Result<(), Failure> {
    let served = run.served().await?;
    let syncs = run.app.board.repository_syncs(&[repository]).await.map_err(|error| run.table_failed(error))?;
    let Some(sync) = syncs.into_iter().next().filter(|sync| served.serves(sync.installation_id)) else {
        return Err(Failure::Gone(format!("{} is not served", ItemKey::repository(repository).partition)));
    };
    let report = match reads::one_of(run, sync.installation_id, repository, &sync.repository, number).await {
        Ok(seen) => Report::facts(seen.facts),
        // The repository is there and has none under this number: the next that is heard of one would link it again.
        Err(Failure::Gone(_)) if reads::name_of(run, sync.installation_id, repository).await.is_ok() => {
            Report::missing(repository, number)
        }
        Err(failure) => return Err(failure),
    };
    run.apply(report.claimed_by([task.id.clone()])).await.map(drop)
}
