//! Resync: what GitHub has that no webhook told.
//!
//! Every repository of every installation served is asked, each quarter of an hour, when a pull request of it was last touched and where the
//! bases of its open linked pull requests are; fifty quiet ones cost one query. Of the others, the pull requests are read from the last
//! touched back to the cursor, and every card is compared with its pull requests. So a webhook that was off for a week costs time and
//! nothing else, and a push to a base is found without any event.
//!
//! Each repository fails alone: a query that GitHub cannot answer is halved, a page is asked for with less in it and at last of REST, and a
//! pull request that no page shows is read alone, now and once an hour.

use std::collections::{BTreeMap, HashMap};

use adapters::github::Error;
use adapters::github::graphql::{self, Asked, Touched};
use adapters::github::pull_request::{Observed, Repository};
use domain::base::BaseMove;
use domain::ids::{InstallationId, PullRequestNumber, RepositoryId, RepositoryName};
use domain::item::{Item, ItemKey};
use domain::schedule::{Failing, Refusal, Schedule};
use domain::sync::{InstallationSync, RepositorySync, Resume, Tip};
use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use crate::github::{self, Failure};
use crate::lists::{Moves, READ_AT_ONCE, REST_SIZES, Seen, WRITES_AT_ONCE};
use crate::run::{Patience, Run, add};
use crate::{cards, lists, reads, scan};

/// How often a repository is asked, and an installation's list read, seconds: less than a quarter of an hour by the minute that a schedule
/// may come late, so that a push to a base is found within it; and half a minute off the minute, so that what is claimed together stays
/// together.
const PERIOD: i64 = 14 * 60 - 30;

/// Repositories in one query.
const ALIASED: usize = 50;

/// Bases of a repository whose tips are read in the query that it shares with others, and in one of its own for those beyond.
const TIPS: usize = 10;
const MORE_TIPS: usize = 100;

/// How far back the first resync goes for what is no longer open.
const FIRST_RESYNC: SignedDuration = SignedDuration::from_hours(90 * 24);

/// GitHub's lists may be this much behind its writes: a cursor is never later than the read's start less this, so what is
/// stamped with the cursor's second is surely seen.
const LISTS_LAG: SignedDuration = SignedDuration::from_secs(60);

/// How far behind its newest pull request a repository is read again once a day: GitHub's lists were seen to lag by more than [`LISTS_LAG`].
const LATE_IN_LISTS: SignedDuration = SignedDuration::from_hours(24);

/// How many pull requests that can be read neither in a page nor alone are kept, and how often they are tried again, seconds.
const MISSED: usize = 100;

const MISSED_AGAIN: i64 = 60 * 60;

/// When what is claimed now has its next turn, epoch seconds.
pub(crate) fn next_turn(started: Timestamp) -> i64 {
    started.as_second() + PERIOD
}

/// Lists and resyncs what is claimed of an installation.
pub(crate) async fn run(run: &Run<'_>, installation: Option<InstallationId>, claimed: Vec<Item>) {
    let (mut lists, mut repositories, mut scans) = (Vec::new(), Vec::new(), Vec::new());
    for item in claimed {
        match item {
            Item::Installation(sync) => lists.push(*sync),
            Item::Repository(sync) => repositories.push(*sync),
            Item::Scan(item) => scans.push(*item),
            Item::PullRequest(_) | Item::Base(_) => {}
        }
    }
    for sync in lists {
        let mut read = sync.listed;
        let listed = match sync.installation_id {
            Some(installation) => list(run, installation, &mut read).await,
            None => find_default(run).await,
        };
        listed_to(run, sync, read, listed.err()).await;
    }
    // One at which GitHub hangs may be in every query that hangs: those that failed come last, alone at first.
    let failing = repositories.extract_if(.., |sync| sync.schedule.failing.is_some()).collect();
    together(run, installation, repositories, ALIASED).await;
    together(run, installation, failing, 1).await;
    // Last: it takes all the time that is left, and goes on where it stopped.
    for item in scans {
        scan::run(run, item).await;
    }
}

/// Which installation the default one is: its repositories are listed under its own id, like those of any other.
async fn find_default(run: &Run<'_>) -> Result<(), Failure> {
    let held = run.token(None).await?;
    run.ensure_listed(Some(held.installation_id)).await
}

/// Reads the list of an installation's repositories after the first `read` of it, which is then how far it came.
///
/// A page that GitHub cannot answer is asked for with less in it, and a repository that it cannot show alone is left out: that takes
/// nothing else with it, and the list counts as failed all the same.
async fn list(run: &Run<'_>, installation: InstallationId, read: &mut usize) -> Result<(), Failure> {
    let mut most = REST_SIZES[0];
    let mut left_out = None;
    let mut resumed = *read > 0;
    while run.has_time() {
        let size = lists::size_at(*read, most);
        let patience = if size > 1 { Patience::None } else { Patience::Some };
        match run.ask_with(patience, Some(installation), &github::repositories(size, *read / size + 1)).await {
            Ok(answer) => {
                note_listed(run, installation, answer.body.readable()).await?;
                add(&run.tally.pages_shrunk, usize::from(most < REST_SIZES[0]));
                most = REST_SIZES[0];
                if answer.next.is_none() {
                    *read = 0;
                    return left_out.map_or(Ok(()), Err);
                }
                *read += size;
            }
            Err(Failure::Unavailable(_)) if size > 1 => most = lists::smaller_than(size),
            // Where the next one cannot be shown either, it is not about one of them.
            Err(failure @ Failure::Unavailable(_)) if left_out.is_none() => {
                left_out = Some(failure);
                *read += 1;
            }
            // The list may have become shorter since it was left there: once from the beginning.
            Err(Failure::Gone(_)) if std::mem::take(&mut resumed) => *read = 0,
            Err(failure) => return Err(failure),
        }
    }
    Err(Failure::OutOfTime)
}

/// Sees to it that listed repositories are resynced, by this installation and under the names that they have.
async fn note_listed(
    run: &Run<'_>,
    installation: InstallationId,
    repositories: impl Iterator<Item = Repository>,
) -> Result<(), Failure> {
    let listed: HashMap<RepositoryId, RepositoryName> =
        repositories.map(|repository| (repository.id, repository.full_name)).collect();
    let ids: Vec<_> = listed.keys().copied().collect();
    let known = run.app.board.repository_syncs(&ids).await.map_err(|error| run.table_failed(error))?;
    let known: HashMap<_, _> = known.into_iter().map(|sync| (sync.repository_id, sync)).collect();
    let changed = listed.into_iter().filter_map(|(id, name)| {
        let before = known.get(&id);
        let sync = listed_sync(before, id, name, installation, run.now());
        (before != Some(&sync)).then_some(Item::Repository(Box::new(sync)))
    });
    let written = stream::iter(changed).map(|sync| async move { run.app.board.put(&sync).await });
    let written: Vec<_> = written.buffer_unordered(WRITES_AT_ONCE).collect().await;
    written.into_iter().collect::<adapters::Result<Vec<_>>>().map_err(|error| run.table_failed(error)).map(drop)
}

/// Writes down how far the list of an installation was read, if that is not what claiming it wrote.
async fn listed_to(run: &Run<'_>, sync: InstallationSync, read: usize, failure: Option<Failure>) {
    let known = Item::Installation(Box::new(sync.clone()));
    let next = match failure {
        Some(failure) => {
            run.give_up(&known, &failure).await;
            let stored = run.app.board.installation(sync.installation_id).await.ok().flatten();
            stored.map(|stored| InstallationSync { listed: read, ..stored })
        }
        None => {
            let schedule = Schedule::turn(sync.installation_id, next_turn(run.started()));
            Some(InstallationSync { listed: read, schedule, ..sync })
        }
    };
    let Some(next) = next.map(|next| Item::Installation(Box::new(next))) else { return };
    if next == known {
        return;
    }
    if let Err(error) = run.app.board.put(&next).await {
        run.table_failed(error);
    }
}

/// The resync of a listed repository: as it is, or due now if it is new or was away. What was away is read from the beginning.
fn listed_sync(
    before: Option<&RepositorySync>,
    id: RepositoryId,
    name: RepositoryName,
    installation: InstallationId,
    now: Timestamp,
) -> RepositorySync {
    let served = before.filter(|before| before.schedule.is_due()).cloned();
    let mut sync = served.unwrap_or_else(|| RepositorySync {
        schedule: Schedule::turn(Some(installation), now.as_second()),
        version: before.map_or(0, |before| before.version),
        ..RepositorySync::new(id, name.clone(), Some(installation))
    });
    sync.repository = name;
    if sync.installation_id != Some(installation) {
        // Another one refused it until now.
        sync.installation_id = Some(installation);
        sync.schedule = Schedule::turn(Some(installation), now.as_second());
    }
    sync
}

/// Looks a repository up by its name, for an operator, and makes sure that it has a resync, of the cards as well.
pub(crate) async fn find(
    run: &Run<'_>,
    repository: &RepositoryName,
    installation: InstallationId,
) -> Result<RepositoryId, Failure> {
    let touched = touched_alone(run, Patience::Some, Some(installation), repository, &[]).await?;
    let known = run.app.board.repository_syncs(&[touched.repository_id]).await;
    let known = known.map_err(|error| run.table_failed(error))?.pop();
    let mut sync = listed_sync(known.as_ref(), touched.repository_id, touched.repository, installation, run.now());
    sync.compared_at = None;
    // `false`: somebody is at it.
    run.app.board.put(&Item::Repository(Box::new(sync))).await.map_err(|error| run.table_failed(error))?;
    Ok(touched.repository_id)
}

/// When a repository was last touched, and where these branches of it are.
async fn touched_alone(
    run: &Run<'_>,
    patience: Patience,
    installation: Option<InstallationId>,
    repository: &RepositoryName,
    branches: &[String],
) -> Result<Touched, Failure> {
    let asked = [Asked { repository, branches }];
    let answer = run.ask_with(patience, installation, &graphql::last_touched(&asked)).await?;
    let nothing = || Err(Error::Unexpected("nothing was answered".into()));
    answer.touched(&asked).pop().unwrap_or_else(nothing).map_err(|refused| Failure::of(&refused, run.now()))
}

/// Resyncs claimed repositories of one installation, at most `most` in a query: fewer after one that failed, and more again after one that
/// did not. Claiming has moved each to its next turn, so a quiet one needs no write at all.
async fn together(run: &Run<'_>, installation: Option<InstallationId>, syncs: Vec<RepositorySync>, mut most: usize) {
    // With what was said of a larger query that each was in.
    let mut groups = vec![(syncs, None)];
    while let Some((mut syncs, suspected)) = groups.pop() {
        if syncs.is_empty() {
            continue;
        }
        if syncs.len() > most {
            groups.push((syncs.split_off(most), suspected.clone()));
        }
        let bases: Vec<Vec<String>> = syncs.iter().map(wanted_tips).collect();
        let asked: Vec<_> =
            syncs.iter().zip(&bases).map(|(sync, branches)| Asked { repository: &sync.repository, branches }).collect();
        let patience = if syncs.len() > 1 { Patience::None } else { Patience::Some };
        let reads_branches = run.token(installation).await.is_ok_and(|token| token.reads_branches);
        let asked: Vec<_> = asked
            .into_iter()
            .map(|asked| if reads_branches { asked } else { Asked { branches: &[], ..asked } })
            .collect();
        match run.ask_with(patience, installation, &graphql::last_touched(&asked)).await {
            Ok(answer) => {
                most = ALIASED.min(2 * most);
                let touched = answer.touched(&asked);
                let each = syncs.into_iter().zip(&bases).zip(touched);
                let each = stream::iter(each).map(|((sync, bases), touched)| {
                    let touched = touched.map_err(|refused| Failure::of(&refused, run.now()));
                    let bases = if reads_branches { bases.as_slice() } else { &[] };
                    // Boxed: all that a turn may need, laid out in one piece, is more than a thread's stack takes.
                    Box::pin(resync(run, installation, sync, bases, touched))
                });
                each.buffer_unordered(READ_AT_ONCE).collect::<Vec<()>>().await;
            }
            // It may be about one of them, or one of them too much for it.
            Err(failure) if syncs.len() > 1 && !failure.is_wide() && run.blocked(installation).is_none() => {
                most = syncs.len().div_ceil(2);
                add(&run.tally.pages_shrunk, 1);
                let second = syncs.split_off(most);
                groups.extend([(second, Some(failure.clone())), (syncs, Some(failure))]);
            }
            Err(failure) => {
                // One that a run has no time to find would else be in the first query of the next run again.
                let failure = match failure {
                    Failure::OutOfTime => suspected.unwrap_or(failure),
                    failure => failure,
                };
                // Side by side: each writes that it was given up, and the time for that is short.
                let each = stream::iter(syncs).map(|sync| resync(run, installation, sync, &[], Err(failure.clone())));
                each.for_each_concurrent(WRITES_AT_ONCE, Box::pin).await;
            }
        }
    }
}

/// The bases whose tips are read with those of other repositories: one that GitHub did not tell may have spoilt the query for all of them.
fn wanted_tips(sync: &RepositorySync) -> Vec<String> {
    let told = sync.bases.iter().filter(|(_, tip)| tip.refused_since.is_none());
    told.take(TIPS).map(|(base, _)| base.clone()).collect()
}

/// Resyncs one repository as far as it needs it.
async fn resync(
    run: &Run<'_>,
    installation: Option<InstallationId>,
    mut sync: RepositorySync,
    mut bases: &[String],
    mut touched: Result<Touched, Failure>,
) {
    let known = Item::Repository(Box::new(sync.clone()));
    if let Err(Failure::Unavailable(_)) = touched
        && !sync.bases.is_empty()
    {
        // One of its branches may be what GitHub cannot answer for: then all of them are asked for apart.
        match touched_alone(run, Patience::None, installation, &sync.repository, &[]).await {
            Err(Failure::OutOfTime) => {}
            alone => (bases, touched) = (&[], alone),
        }
    }
    let unanswered = touched.as_ref().err().filter(|failure| matches!(failure, Failure::Unavailable(_))).cloned();
    let touched = match own(run, installation, &mut sync, touched).await {
        Ok(touched) => touched,
        Err(failure) => return run.give_up(&known, &failure).await,
    };
    match at_a_turn(run, &mut sync, bases, touched, unanswered.is_none()).await {
        Ok(()) => {
            let turn = Schedule::turn(sync.installation_id, next_turn(run.started()));
            let goes_on = sync.resume.is_some() || sync.comparing.is_some();
            sync.schedule = match unanswered {
                _ if goes_on => {
                    add(&run.tally.deferred, 1);
                    run.met(&Failure::OutOfTime);
                    // It goes on, and is not done: what it failed by still lasts.
                    Schedule { failing: known.schedule().failing.clone(), ..turn.moved_to(run.now().as_second()) }
                }
                // REST answered for it. The next query that it is in with others would hang as well, and nobody has read its tips.
                Some(failure) => {
                    run.met(&failure);
                    let refused = known.schedule().refused(Refusal::Other, failure.said(), run.now());
                    Schedule { failing: refused.and_then(|refused| refused.failing), ..turn }
                }
                None => turn,
            };
            run.tell_failing(&Item::Repository(Box::new(sync.clone())));
        }
        Err(Failure::Table) => return,
        Err(failure) => {
            // Where it stopped is kept, and when it goes on is the failure's.
            run.give_up(&known, &failure).await;
            let stored = run.app.board.repository_syncs(&[sync.repository_id]).await.unwrap_or_default().pop();
            let Some(stored) = stored.filter(|stored| stored.version == known.version() + 1) else { return };
            (sync.schedule, sync.version) = (stored.schedule, stored.version);
            // GitHub tells where its bases are, whatever else failed: the next push to one is to be found as soon as any.
            if unanswered.is_none() && !failure.is_wide() {
                let turn = next_turn(run.started());
                sync.schedule.next_check_at = sync.schedule.next_check_at.map(|at| at.min(turn));
            }
        }
    }
    // A quiet one is as it was claimed.
    if Item::Repository(Box::new(sync.clone())) == known {
        return;
    }
    // `false`: its claim ran out and somebody else goes on from where this one began.
    if let Err(error) = run.app.board.put(&Item::Repository(Box::new(sync))).await {
        run.table_failed(error);
    }
}

/// The answer for the very repository, under whatever name.
async fn own(
    run: &Run<'_>,
    installation: Option<InstallationId>,
    sync: &mut RepositorySync,
    touched: Result<Touched, Failure>,
) -> Result<Touched, Failure> {
    let failure = match touched {
        Ok(touched) if touched.repository_id == sync.repository_id => {
            // GitHub answers under the old name of a repository as well, and its cards are compared by the new one.
            sync.repository.clone_from(&touched.repository);
            return Ok(touched);
        }
        Ok(_) => reads::not_this(&sync.repository),
        Err(failure @ Failure::Unavailable(_)) => {
            // GraphQL does not answer for it, and REST does: it may have been touched just now.
            sync.repository = match reads::name_of(run, installation, sync.repository_id).await {
                Err(Failure::OutOfTime) => return Err(failure),
                name => name?,
            };
            let (repository_id, repository) = (sync.repository_id, sync.repository.clone());
            return Ok(Touched { repository_id, repository, newest: Some(Timestamp::MAX), tips: Vec::new() });
        }
        Err(failure @ Failure::Gone(_)) => failure,
        Err(failure) => return Err(failure),
    };
    sync.repository = reads::new_name(run, installation, sync.repository_id, &sync.repository, failure).await?;
    // Its tips are read with its next turn.
    touched_alone(run, Patience::Some, installation, &sync.repository, &[]).await
}

/// Does what a repository's turn is for.
async fn at_a_turn(
    run: &Run<'_>,
    sync: &mut RepositorySync,
    bases: &[String],
    touched: Touched,
    answered: bool,
) -> Result<(), Failure> {
    let compared = sync.compared_at.is_some_and(|at| run.now().as_second() < at.saturating_add(cards::COMPARED));
    // Once for each comparison: one that goes on had it when it began.
    let begins = sync.comparing.as_ref().is_none_or(|at| !at.claims);
    if !compared
        && begins
        && sync.resume.is_none()
        && touched.newest.is_some_and(|newest| newest > run.now() - LATE_IN_LISTS - LATE_IN_LISTS)
    {
        // What a list showed only after its second had been passed.
        let day_before = touched.newest.and_then(|newest| newest.checked_sub(LATE_IN_LISTS).ok());
        sync.cursor = sync.cursor.min(day_before.or(sync.cursor));
    }
    let quiet =
        sync.resume.is_none() && sync.cursor.is_some_and(|cursor| touched.newest.is_none_or(|newest| newest <= cursor));
    let newest = touched.newest;
    // Where REST answered in place of GraphQL, or under a new name, no tips are told, and none are asked for.
    let told = answered && (!touched.tips.is_empty() || bases.is_empty());
    let mut others = compare_tips(run, sync, bases, tips_of(run, touched)).await?;
    if told {
        others.extend(sync.bases.keys().filter(|base| !bases.contains(base)).cloned());
    }
    read_tips(run, sync, others).await?;
    read_missed(run, sync).await?;
    tell_missed(run, sync);
    let mut unread = Ok(());
    if !quiet {
        unread = read_back(run, sync, newest).await;
        if unread.as_ref().is_err_and(Failure::is_wide) {
            return unread;
        }
        if let Some(at) = &mut sync.comparing {
            at.again = true;
        }
    }
    // A list that cannot be read keeps neither a card wrong that the table could mend, nor a base from being watched.
    if (!quiet || !compared || sync.comparing.is_some()) && (sync.resume.is_none() || unread.is_err()) {
        cards::compare(run, sync, !compared).await?;
        if told && sync.comparing.is_none() {
            meet_bases(run, sync).await?;
        }
        return unread;
    }
    cards::look_up_tags(run, sync).await
}

/// Reads the tips of bases that are new to a repository, so that the next push to one of them is seen at the next turn.
async fn meet_bases(run: &Run<'_>, sync: &mut RepositorySync) -> Result<(), Failure> {
    let new = sync.bases.iter().filter(|(_, tip)| tip.read_at == 0).map(|(base, _)| base.clone()).collect();
    read_tips(run, sync, new).await
}

/// Reads the tips of these bases, so many at a time, and fewer where GitHub cannot answer that.
async fn read_tips(run: &Run<'_>, sync: &mut RepositorySync, bases: Vec<String>) -> Result<(), Failure> {
    if bases.is_empty() || !run.token(sync.installation_id).await?.reads_branches {
        return Ok(());
    }
    let mut groups: Vec<Vec<String>> = bases.chunks(MORE_TIPS).map(<[_]>::to_vec).collect();
    while let Some(mut group) = groups.pop() {
        let patience = if group.len() > 1 { Patience::None } else { Patience::Some };
        let answer = touched_alone(run, patience, sync.installation_id, &sync.repository, &group).await;
        let failed = answer.is_err();
        let tips = match answer {
            // The repository is met under its new name, or as what is gone, at its next turn.
            Ok(touched) if touched.repository_id != sync.repository_id => return Ok(()),
            Err(Failure::Gone(_)) => return Ok(()),
            Ok(touched) => tips_of(run, touched),
            Err(failure) if failure.is_wide() => return Err(failure),
            Err(failure) => group.iter().map(|_| Err(failure.clone())).collect(),
        };
        if let [base] = &group[..] {
            for tip in tips {
                compare_tip(run, sync, base, tip).await?;
            }
            if failed {
                // Where GraphQL tells of the repository without any tip, it is about this one alone; else the next turn asks again.
                let alone = touched_alone(run, Patience::Some, sync.installation_id, &sync.repository, &[]).await;
                match alone {
                    Err(failure) if failure.is_wide() => return Err(failure),
                    Err(_) => return Ok(()),
                    Ok(_) => {}
                }
            }
            continue;
        }
        let unanswered = compare_tips(run, sync, &group, tips).await?;
        if unanswered.len() < group.len() {
            groups.extend((!unanswered.is_empty()).then_some(unanswered));
        } else {
            let half = group.split_off(group.len().div_ceil(2));
            groups.extend([half, group]);
        }
    }
    Ok(())
}

/// Where a branch is, or why that is not told.
type TipAnswer = Result<Option<String>, Failure>;

fn tips_of(run: &Run<'_>, touched: Touched) -> Vec<TipAnswer> {
    touched.tips.into_iter().map(|tip| tip.map_err(|refused| Failure::of(&refused, run.now()))).collect()
}

/// Compares each with where it was. Gives those that GitHub could not serve now: they are asked for in a query of their own.
async fn compare_tips(
    run: &Run<'_>,
    sync: &mut RepositorySync,
    bases: &[String],
    tips: Vec<TipAnswer>,
) -> Result<Vec<String>, Failure> {
    let mut unanswered = Vec::new();
    for (base, tip) in bases.iter().zip(tips) {
        match tip {
            Err(Failure::Unavailable(_)) => unanswered.push(base.clone()),
            tip => compare_tip(run, sync, base, tip).await?,
        }
    }
    Ok(unanswered)
}

/// Marks a base as moved whose tip is not where it was, or is not told: then it is asked about its conflicts all the same.
async fn compare_tip(run: &Run<'_>, sync: &mut RepositorySync, base: &str, tip: TipAnswer) -> Result<(), Failure> {
    let Some(known) = sync.bases.get(base) else { return Ok(()) };
    let (now, read_at) = (run.now().as_second(), run.started().as_second());
    let next = match tip {
        Ok(oid) if known.oid == oid && known.refused_since.is_none() => return Ok(()),
        Ok(oid) => Tip { oid, read_at, refused_since: None },
        Err(failure) => {
            let since = known.refused_since.unwrap_or(now);
            run.met(&failure);
            run.unserved(ItemKey::base(sync.repository_id, base).to_string(), since, failure.said());
            Tip { read_at, refused_since: Some(since), ..known.clone() }
        }
    };
    let stored = run.app.board.base(sync.repository_id, base).await.map_err(|error| run.table_failed(error))?;
    // A base that is met for the first time may have moved before: its pull requests are asked about once.
    let explained = stored.is_some_and(|stored| stored.moved_at >= known.read_at);
    let moved = BaseMove::pushed(sync, base, explained, run.now());
    match run.app.board.push_base(&moved).await.map_err(|error| run.not_written(error)) {
        Err(failure) if failure.is_wide() => return Err(failure),
        // One that cannot be written stops no other, and is tried with the next turn.
        Err(_) => {}
        Ok(()) => drop(sync.bases.insert(base.to_owned(), next)),
    }
    Ok(())
}

/// Reads a repository back to its cursor, or for as long as there is time.
async fn read_back(run: &Run<'_>, sync: &mut RepositorySync, newest: Option<Timestamp>) -> Result<(), Failure> {
    let lagging = run.started() - LISTS_LAG;
    // Of a repository without pull requests nothing is known but that: whatever comes first, however it is stamped, is new.
    let until = newest.map_or(Timestamp::UNIX_EPOCH, |newest| newest.min(lagging));
    let open = sync.cursor.is_none();
    let mut at = sync.resume.clone().unwrap_or(Resume::new(open, until));
    let began = at.clone();
    let mut moves = Moves::new();
    let read = pages(run, sync, &mut at, &mut moves).await;
    // Before the cursor: what it passes is not looked at again.
    let moved = lists::move_bases(run, moves).await;
    match (read, moved) {
        (Ok(true), Ok(())) => {
            sync.resume = None;
            sync.cursor = Some(sync.cursor.map_or(at.until, |cursor| cursor.max(at.until)));
            run.app.pages.grow(sync.repository_id);
            Ok(())
        }
        // Where it came no further it is as overdue as it was.
        (Ok(false) | Err(Failure::OutOfTime), Ok(())) if at == began => Err(Failure::OutOfTime),
        (Ok(false) | Err(Failure::OutOfTime), Ok(())) => {
            sync.resume = Some(at);
            Ok(())
        }
        (Err(failure), Ok(())) | (_, Err(failure)) => {
            sync.resume = Some(at);
            Err(failure)
        }
    }
}

/// Applies page after page; `at` says how far it came. `false`: there is more, and no time for it.
async fn pages(run: &Run<'_>, sync: &mut RepositorySync, at: &mut Resume, moves: &mut Moves) -> Result<bool, Failure> {
    let back_to = sync.cursor.unwrap_or_else(|| at.until.checked_sub(FIRST_RESYNC).unwrap_or(Timestamp::MIN));
    let mut nameless = None;
    loop {
        if !run.has_time() {
            return Ok(false);
        }
        let (listed, next) =
            lists::page(run, sync.installation_id, sync.repository_id, &sync.repository, at, back_to).await?;
        let missed = sync.missed.clone();
        let Seen { observed, nameless: hidden, wide } = lists::seen(run, sync, listed).await;
        add(&run.tally.checked, observed.len());
        // The cursor's own second is read again: its list may have been cut within that second.
        let passed = !at.open && observed.last().is_some_and(|last| last.facts.snapshot.updated_at < back_to);
        let wanted = observed.into_iter().filter(|Observed { facts, .. }| {
            // What was missed is not seen again otherwise: the cursor has passed it.
            at.open || facts.snapshot.updated_at >= back_to || missed.contains_key(&facts.snapshot.number)
        });
        lists::apply(run, sync, wanted.collect(), moves).await?;
        miss_since(sync, missed);
        if let Some(failure) = wide {
            return Err(failure);
        }
        at.hidden |= hidden.is_some();
        nameless = nameless.or(hidden);
        // More than are kept: nothing may count as read then.
        if sync.missed.len() > MISSED {
            return Err(Failure::Refused(format!("more than {MISSED} pull requests can be read in no way")));
        }
        match next {
            Some(next) if !passed => at.after = Some(next),
            _ if at.open && !at.hidden => *at = Resume::new(false, at.until),
            _ => break,
        }
    }
    if !at.hidden {
        return Ok(true);
    }
    // The cursor stays, and the pages are read again from the first.
    *at = Resume::new(at.open, at.until);
    Err(nameless.unwrap_or_else(|| Failure::Refused("a page hides a pull request without its number".to_owned())))
}

/// Tells of the one that could be read in no way for the longest time: no resync waits for it, so nothing else would.
fn tell_missed(run: &Run<'_>, sync: &RepositorySync) {
    let known = sync.missed.iter().filter(|(_, failing)| failing.since > 0);
    let Some((number, Failing { since, .. })) = known.min_by_key(|(_, failing)| failing.since) else { return };
    let failure =
        Failure::Refused(format!("one of {} that can be read in no way, or not be written", sync.missed.len()));
    run.unserved(ItemKey::pull_request(sync.repository_id, *number).to_string(), *since, failure.said());
    run.met(&failure);
}

async fn read_missed(run: &Run<'_>, sync: &mut RepositorySync) -> Result<(), Failure> {
    let tried = sync.missed_at.is_some_and(|at| run.now().as_second() < at.saturating_add(MISSED_AGAIN));
    if sync.missed.is_empty() || tried {
        return Ok(());
    }
    sync.missed_at = Some(run.now().as_second());
    let before = sync.missed.clone();
    let (observed, wide) = lists::alone(run, sync, before.keys().copied()).await;
    let mut moves = Moves::new();
    lists::apply(run, sync, observed, &mut moves).await?;
    miss_since(sync, before);
    lists::move_bases(run, moves).await?;
    wide.map_or(Ok(()), Err)
}

/// One that was read, and again could not be written, has been missed since it first was: else no alarm would ever ring for it.
fn miss_since(sync: &mut RepositorySync, before: BTreeMap<PullRequestNumber, Failing>) {
    for (number, Failing { since, .. }) in before.into_iter().filter(|(_, failing)| failing.since > 0) {
        sync.missed.entry(number).and_modify(|now| now.since = since);
    }
}
