//! Resync: what GitHub has that no webhook told.
//!
//! Every repository of every installation served is asked, each quarter of an hour, when a pull request of it was last touched;
//! fifty quiet ones cost one query. Of the others, the pull requests are read from the last touched back to the cursor. So a
//! webhook that was off for a week costs time and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use adapters::board::Work;
use adapters::github::graphql::{self, Asked, Listed, Touched};
use adapters::github::pull_request::Observed;
use domain::kid_tag::KidTag;
use domain::lifecycle;
use domain::pull_request::{
    BaseMove, DUE, InstallationId, InstallationSync, RepositoryId, RepositorySync, Resume, SYNC_ITEM, State,
};
use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use crate::github::{self, Failure};
use crate::run::{Run, add, failure};

/// How often a repository is asked, and an installation's list read, seconds.
pub(crate) const PERIOD: i64 = 15 * 60;

/// Repositories in one query.
const ALIASED: usize = 50;

/// How far back the first resync goes for what is no longer open.
const FIRST_RESYNC: SignedDuration = SignedDuration::from_hours(90 * 24);

/// GitHub's lists may be this much behind its writes: a cursor is never later than the read's start less this, so what is
/// stamped with the cursor's second is surely seen.
const LISTS_LAG: SignedDuration = SignedDuration::from_secs(60);

const WRITES_AT_ONCE: usize = 8;

/// Bases that merges without a tag moved, the end of the last of them, and whose they were.
type Moves = BTreeMap<String, (i64, BaseMove)>;

/// Lists the repositories of claimed installations, so that each has a resync of its own.
pub(crate) async fn installations(run: &Run<'_>, claimed: Vec<InstallationSync>) {
    for sync in claimed {
        let listed = match sync.installation_id {
            Some(installation) => list(run, installation).await,
            None => find_default(run).await,
        };
        match listed {
            Ok(()) => {}
            // The default one is a question of configuration, which may be answered tomorrow.
            Err(Failure::Gone | Failure::NoInstallation(_)) if sync.installation_id.is_none() => {
                tracing::warn!("the token function's own installation is not there");
            }
            Err(failure) => {
                let name = sync.repository_id.clone();
                run.give_up(&name, &Work::Installation(Box::new(sync)), &failure).await;
            }
        }
    }
}

/// Which installation the default one is: its repositories are listed under its own id, like those of any other.
async fn find_default(run: &Run<'_>) -> Result<(), Failure> {
    let held = run.token(None).await?;
    match held.installation_id {
        Some(installation) => run.know(Some(installation)).await,
        None => Ok(()),
    }
}

async fn list(run: &Run<'_>, installation: InstallationId) -> Result<(), Failure> {
    let mut page = None;
    loop {
        let answer = run.ask(Some(installation), &github::repositories(page)).await?;
        let listed: HashMap<RepositoryId, String> =
            answer.body.repositories.into_iter().map(|repository| (repository.id, repository.full_name)).collect();
        let ids: Vec<_> = listed.keys().copied().collect();
        let known = run.app.board.repository_syncs(&ids).await.map_err(|error| run.table_failed(error))?;
        let known: HashMap<String, RepositorySync> =
            known.into_iter().map(|sync| (sync.repository_id.clone(), sync)).collect();
        let changed = listed.into_iter().filter_map(|(id, name)| {
            let before = known.get(&id.to_string());
            let sync = listed_sync(before, id, name, installation, run.now());
            (before != Some(&sync)).then_some(sync)
        });
        let written = stream::iter(changed).map(|sync| async move { run.app.board.put_repository_sync(&sync).await });
        let written: Vec<_> = written.buffer_unordered(WRITES_AT_ONCE).collect().await;
        written.into_iter().collect::<adapters::Result<Vec<_>>>().map_err(|error| run.table_failed(error))?;
        page = answer.next;
        if page.is_none() {
            return Ok(());
        }
    }
}

/// The resync of a listed repository: as it is, or due now if it is new or was away.
fn listed_sync(
    before: Option<&RepositorySync>,
    id: RepositoryId,
    name: String,
    installation: InstallationId,
    now: Timestamp,
) -> RepositorySync {
    let mut sync = before.cloned().unwrap_or_else(|| new_sync(id, name.clone(), Some(installation)));
    sync.repository = name;
    sync.installation_id = Some(installation);
    if sync.due.is_none() {
        sync.due = Some(DUE.to_owned());
        sync.next_check_at = Some(now.as_second());
    }
    sync
}

fn new_sync(id: RepositoryId, name: String, installation: Option<InstallationId>) -> RepositorySync {
    RepositorySync {
        repository_id: id.to_string(),
        item: SYNC_ITEM.to_owned(),
        repository: name,
        installation_id: installation,
        cursor: None,
        resume: None,
        due: None,
        next_check_at: None,
        version: 0,
    }
}

/// Looks a repository up by its name, for an operator, and makes sure that it has a resync.
pub(crate) async fn find(
    run: &Run<'_>,
    repository: &str,
    installation: Option<InstallationId>,
) -> Result<RepositoryId, Failure> {
    let touched = last_touched(run, installation, &[repository]).await?.pop().flatten().ok_or(Failure::Gone)?;
    let installation = installation.or(run.token(None).await?.installation_id);
    let mut sync = new_sync(touched.repository_id, touched.repository, installation);
    sync.due = Some(DUE.to_owned());
    sync.next_check_at = Some(run.now().as_second());
    // `false`: it has one.
    run.app.board.put_repository_sync(&sync).await.map_err(|error| run.table_failed(error))?;
    Ok(touched.repository_id)
}

async fn last_touched(
    run: &Run<'_>,
    installation: Option<InstallationId>,
    names: &[&str],
) -> Result<Vec<Option<Touched>>, Failure> {
    let asked: Vec<_> = names.iter().map(|name| Asked { repository: name, branches: &[] }).collect();
    let answer = run.ask(installation, &graphql::last_touched(&asked)).await?;
    Ok(answer.touched(&asked).into_iter().map(Result::ok).collect())
}

/// Resyncs claimed repositories. Claiming has moved each to its next turn, so a quiet one needs no write at all.
pub(crate) async fn repositories(run: &Run<'_>, claimed: Vec<RepositorySync>) {
    let mut by_installation: BTreeMap<Option<InstallationId>, Vec<RepositorySync>> = BTreeMap::new();
    for sync in claimed {
        by_installation.entry(sync.installation_id).or_default().push(sync);
    }
    for (installation, mut syncs) in by_installation {
        while !syncs.is_empty() {
            let rest = syncs.split_off(syncs.len().min(ALIASED));
            together(run, installation, syncs).await;
            syncs = rest;
        }
    }
}

async fn together(run: &Run<'_>, installation: Option<InstallationId>, syncs: Vec<RepositorySync>) {
    let names: Vec<_> = syncs.iter().map(|sync| sync.repository.as_str()).collect();
    let touched = match last_touched(run, installation, &names).await {
        Ok(touched) => touched,
        Err(failure) => {
            for sync in syncs {
                let name = sync.repository.clone();
                run.give_up(&name, &Work::Repository(Box::new(sync)), &failure).await;
            }
            return;
        }
    };
    for (sync, touched) in syncs.into_iter().zip(touched) {
        let name = sync.repository.clone();
        // The name may be another repository's by now; the installation's list has the new one.
        let touched = touched.filter(|touched| touched.repository_id.to_string() == sync.repository_id);
        let Some(touched) = touched else {
            run.give_up(&name, &Work::Repository(Box::new(sync)), &Failure::Gone).await;
            continue;
        };
        let quiet = sync.resume.is_none()
            && sync.cursor.is_some_and(|cursor| touched.newest.is_none_or(|newest| newest <= cursor));
        if !quiet {
            read_back(run, sync, touched.newest).await;
        }
    }
}

/// Reads a repository back to its cursor, or for as long as there is time.
async fn read_back(run: &Run<'_>, mut sync: RepositorySync, newest: Option<Timestamp>) {
    let lagging = run.started() - LISTS_LAG;
    // Of a repository without pull requests nothing is known but that: whatever comes first, however it is stamped, is new.
    let until = newest.map_or(Timestamp::UNIX_EPOCH, |newest| newest.min(lagging));
    let mut at = sync.resume.take().unwrap_or(Resume { open: sync.cursor.is_none(), after: None, until });
    let mut moves = Moves::new();
    let read = pages(run, &sync, &mut at, &mut moves).await;
    // Before the cursor: what it passes is not looked at again.
    let read = match move_bases(run, moves).await {
        Ok(()) => read,
        Err(failure) => Err(failure),
    };
    match read {
        Ok(true) => {
            sync.cursor = Some(sync.cursor.map_or(at.until, |cursor| cursor.max(at.until)));
            sync.next_check_at = Some(run.now().as_second() + PERIOD);
        }
        Ok(false) | Err(Failure::OutOfTime) => {
            sync.resume = Some(at);
            sync.next_check_at = Some(run.now().as_second());
        }
        Err(Failure::Limited { until }) => {
            sync.resume = Some(at);
            sync.next_check_at = Some(until);
        }
        Err(Failure::Unavailable(_)) => {
            sync.resume = Some(at);
            sync.next_check_at = Some(lifecycle::look_again(0, run.now()));
        }
        Err(failure) => {
            let name = sync.repository.clone();
            return run.give_up(&name, &Work::Repository(Box::new(sync)), &failure).await;
        }
    }
    if sync.resume.is_some() {
        add(&run.tally.deferred, 1);
    }
    // `false`: its claim ran out and somebody else goes on from where this one began.
    if let Err(error) = run.app.board.put_repository_sync(&sync).await {
        run.table_failed(error);
    }
}

/// Applies page after page; `at` says how far it came. `false`: there is more, and no time for it.
async fn pages(run: &Run<'_>, sync: &RepositorySync, at: &mut Resume, moves: &mut Moves) -> Result<bool, Failure> {
    let back_to = sync.cursor.unwrap_or(at.until - FIRST_RESYNC);
    loop {
        if !run.has_time() {
            return Ok(false);
        }
        let query = graphql::by_update(&sync.repository, at.open, github::PAGE, at.after.as_deref());
        let page = run.ask(sync.installation_id, &query).await?.page(sync.installation_id);
        let page = page.map_err(|refused| failure(&refused, run.now()))?;
        let id = page.repository_id;
        let seen = page.listed.into_iter().map(|listed| match listed {
            Listed::Seen(seen) => Ok(*seen),
            Listed::Missing { error, .. } => Err(failure(&error, run.now())),
        });
        let observed = seen.collect::<Result<Vec<_>, _>>()?;
        add(&run.tally.checked, observed.len());
        // The cursor's own second is read again: its list may have been cut within that second.
        let passed = !at.open && observed.last().is_some_and(|last| last.facts.updated_at < back_to);
        let wanted = observed.into_iter().filter(|seen| at.open || seen.facts.updated_at >= back_to).collect();
        apply(run, id, wanted, moves).await?;
        match page.next {
            Some(next) if !passed => at.after = Some(next),
            _ if at.open => *at = Resume { open: false, after: None, until: at.until },
            _ => return Ok(true),
        }
    }
}

async fn apply(run: &Run<'_>, id: RepositoryId, seen: Vec<Observed>, moves: &mut Moves) -> Result<(), Failure> {
    let numbers: Vec<_> = seen.iter().map(|seen| seen.facts.number).collect();
    let stored = run.app.board.pull_requests(id, &numbers).await.map_err(|error| run.table_failed(error))?;
    let mut news = Vec::new();
    for Observed { facts, .. } in seen {
        match stored.get(&facts.number) {
            Some(known) if lifecycle::is_news(known, &facts) => news.push(facts),
            Some(_) => {}
            None if !KidTag::all_in(&facts.title).is_empty() => news.push(facts),
            None if facts.state == State::Merged => {
                let ended = facts.ended_at.unwrap_or(facts.updated_at).as_second();
                let (last, base_move) =
                    moves.entry(facts.base.clone()).or_insert_with(|| (ended, lifecycle::base_move(&facts, run.now())));
                *last = ended.max(*last);
                // Of two it is not known which caused a conflict, and of thousands neither.
                if base_move.movers.len() < 2 {
                    base_move.movers.insert(facts.url);
                }
            }
            None => {}
        }
    }
    let applied = stream::iter(news).map(|facts| async move { run.apply(&facts).await.map(drop) });
    let applied: Vec<_> = applied.buffer_unordered(WRITES_AT_ONCE).collect().await;
    applied.into_iter().collect()
}

async fn move_bases(run: &Run<'_>, moves: Moves) -> Result<(), Failure> {
    for (ended, base_move) in moves.into_values() {
        run.app.board.move_base(&base_move, ended).await.map_err(|error| run.table_failed(error))?;
    }
    Ok(())
}

/// The installations of these items that were not met before.
pub(crate) fn installations_of(work: &[Work]) -> BTreeSet<InstallationId> {
    let ids = work.iter().filter_map(|work| match work {
        Work::PullRequest(item) => item.installation_id,
        Work::Base(item) => item.installation_id,
        Work::Repository(_) | Work::Installation(_) => None,
    });
    ids.collect()
}
