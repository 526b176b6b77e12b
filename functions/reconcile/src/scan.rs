//! The daily scan of the tasks: what a card says of its pull requests is held against their rows, from the card's own side.
//!
//! What neither a row nor a tag leads to, a hand or another writer has put there. It is found here and nowhere else.

use std::sync::atomic::Ordering;

use domain::compare::{Doubt, claimed, doubts};
use domain::ids::{PullRequestNumber, RepositoryId};
use domain::item::{Item, ItemKey};
use domain::report::Report;
use domain::scan::TaskScan;
use domain::schedule::Schedule;
use domain::task::Task;

use crate::check;
use crate::github::Failure;
use crate::run::Run;

/// How often the tasks are scanned, seconds.
const PERIOD: i64 = 24 * 60 * 60;

/// Makes sure that the scan is on the work list.
pub(crate) async fn know(run: &Run<'_>) -> Result<(), Failure> {
    if run.app.scans.load(Ordering::Relaxed) {
        return Ok(());
    }
    let scan = TaskScan { schedule: Schedule::at(run.now().as_second(), 0), ..TaskScan::default() };
    // `false`: it is.
    run.app.board.put(&Item::Scan(Box::new(scan))).await.map_err(|error| run.table_failed(error))?;
    run.app.scans.store(true, Ordering::Relaxed);
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
    let failed = |error| run.table_failed(error);
    loop {
        let (tasks, next) = run.app.board.all_tasks(scan.after.as_ref()).await.map_err(failed)?;
        let rows = run.app.board.rows(tasks.iter().flat_map(claimed)).await.map_err(failed)?;
        for task in &tasks {
            for doubt in doubts(task, &rows) {
                settle(run, task, doubt).await?;
            }
        }
        scan.after = next;
        if scan.after.is_none() || !run.has_time() {
            return Ok(());
        }
    }
}

async fn settle(run: &Run<'_>, task: &Task, doubt: Doubt) -> Result<(), Failure> {
    match doubt {
        Doubt::Compare(report) => run.apply(*report).await.map(drop),
        Doubt::Ask(repository, number) => match ask(run, task, repository, number).await {
            // What GitHub does not show says nothing about the card; the next scan asks again.
            Err(Failure::Table) => Err(Failure::Table),
            Err(failure) => {
                tracing::warn!(
                    task = task.id.prefix(),
                    said = failure.said(),
                    "what a task claims could not be asked about"
                );
                Ok(())
            }
            Ok(()) => Ok(()),
        },
    }
}

/// Asks GitHub about a pull request that only a task knows of.
async fn ask(run: &Run<'_>, task: &Task, repository: RepositoryId, number: PullRequestNumber) -> Result<(), Failure> {
    let syncs = run.app.board.repository_syncs(&[repository]).await.map_err(|error| run.table_failed(error))?;
    let Some(sync) = syncs.into_iter().next() else {
        return Err(Failure::Gone(format!("{} is not served", ItemKey::repository(repository).partition)));
    };
    let seen = check::one_of(run, sync.installation_id, repository, &sync.repository, number).await?;
    run.apply(Report::facts(seen.facts).claimed_by([task.id.clone()])).await.map(drop)
}
