//! Which work an invocation takes, and how the installations share it.
//!
//! Pull requests and bases stand in one partition of the due index and resyncs in others, so that what is owed an answer never waits behind
//! thousands of quiet repositories. A scheduled invocation sees to all of it, or to the one shard that its event names: its share of the
//! first, and a partition of resyncs. One invocation a minute resyncs 2,500 repositories, which is 35,000 in a quarter of an hour; who has
//! more gives the schedule a target for each shard. What is claimed goes into lanes, one an installation, that run side by side and each within a room of its own: one that hangs or is limited
//! costs nobody else anything.

use std::collections::{BTreeMap, BTreeSet};

use adapters::board::{Claim, Due};
use domain::ids::{InstallationId, PullRequestNumber, RepositoryId, RepositoryName};
use domain::item::{Item, ItemKey};
use domain::report::Report;
use domain::schedule::{DUE, RESYNC_SHARDS, Schedule, resync_shard_at};
use domain::served::Served;
use domain::sync::InstallationSync;
use futures_util::{StreamExt, stream};

use crate::github::Failure;
use crate::run::{Run, add};
use crate::{check, resync, scan};

/// How many due pull requests and bases one invocation takes: at a dozen requests at once and a second a read, some hundred single reads
/// take half of a minute.
const ANSWERS_AT_ONCE: usize = 300;

/// How many resyncs it takes: fifty cost one query.
const RESYNCS_AT_ONCE: usize = 2_500;

/// How many entries of the index are looked at to find whose turn it is.
const LOOKED_AT: usize = 5_000;

/// How many entries of the due index are looked through for resyncs when an operator asks for all of them.
const LISTED_FOR_ALL: usize = 20_000;

/// How many items are claimed, and installations worked for, at the same time.
const CLAIMS_AT_ONCE: usize = 16;
const LANES_AT_ONCE: usize = 64;

/// What is claimed of one installation.
#[derive(Debug, Default)]
struct Lane {
    answers: Vec<Item>,
    resyncs: Vec<Item>,
}

impl Run<'_> {
    pub(crate) async fn stream(&self, keys: Vec<ItemKey>) -> Result<(), Failure> {
        let work = self.claim(keys.into_iter().map(|key| (key, Claim::IfAsked)).collect()).await;
        self.work(work).await
    }

    /// What is due of a shard, or of all of them.
    pub(crate) async fn due(&self, shard: Option<u64>) -> Result<(), Failure> {
        let served = self.served().await?;
        self.know_served(&served).await?;
        let now = self.now().as_second();
        let mut open = self.due_in(DUE, now, LOOKED_AT).await?;
        open.retain(|due| shard.is_none_or(|shard| shard_of(&due.key) == shard));
        let (old_resyncs, answers): (Vec<_>, Vec<_>) = open.into_iter().partition(|due| due.key.is_sync());
        let mut taken = crate::turns::in_turn(answers, ANSWERS_AT_ONCE);
        let mut resyncs = old_resyncs;
        for shard in shard.map_or(0..RESYNC_SHARDS, |shard| shard..shard + 1) {
            resyncs.extend(self.due_in(&resync_shard_at(shard), now, RESYNCS_AT_ONCE).await?);
        }
        let oldest = taken.iter().chain(&resyncs).map(|due| now - due.next_check_at).max().unwrap_or(0);
        self.tally.oldest_due_seconds.get_or_init(|| oldest);
        resyncs.sort_by_key(|due| due.next_check_at);
        resyncs.truncate(RESYNCS_AT_ONCE);
        taken.extend(resyncs);
        let work = self.claim(taken.into_iter().map(as_claim).collect()).await;
        self.work(work).await
    }

    async fn due_in(&self, partition: &str, now: i64, limit: usize) -> Result<Vec<Due>, Failure> {
        self.app.board.due(partition, now, limit).await.map_err(|error| self.table_failed(error))
    }

    pub(crate) async fn pull_request(
        &self,
        repository: &RepositoryName,
        number: PullRequestNumber,
        installation: Option<InstallationId>,
    ) -> Result<(), Failure> {
        let installation = installation.unwrap_or(self.token(None).await?.installation_id);
        let facts = check::read_one(self, Some(installation), repository, number).await?.facts;
        let id = facts.snapshot.repository_id;
        if self.apply(Report::facts(facts)).await?.pull_request.is_none() {
            return Err(Failure::Refused("it carries no kid tag, and never did".to_owned()));
        }
        let work = self.claim(vec![(ItemKey::pull_request(id, number), Claim::IfThere)]).await;
        self.work(work).await
    }

    pub(crate) async fn resync(
        &self,
        repository: &RepositoryName,
        installation: Option<InstallationId>,
    ) -> Result<(), Failure> {
        let installation = installation.unwrap_or(self.token(None).await?.installation_id);
        let id = resync::find(self, repository, installation).await?;
        let work = self.claim(vec![(ItemKey::repository(id), Claim::IfThere)]).await;
        self.work(work).await
    }

    /// First the installations, then the one that the default turns out to be, then all repositories.
    pub(crate) async fn resync_all(&self) -> Result<(), Failure> {
        let served = self.served().await?;
        self.know_served(&served).await?;
        let now = self.now().as_second();
        for (installations, due_by) in [(true, i64::MAX), (true, now), (false, i64::MAX)] {
            let mut listed = self.due_in(DUE, due_by, LISTED_FOR_ALL).await?;
            for shard in 0..RESYNC_SHARDS {
                listed.extend(self.due_in(&resync_shard_at(shard), due_by, LISTED_FOR_ALL).await?);
            }
            let is_installation = |key: &ItemKey| key.kind() == Some(domain::item::Kind::Installation);
            let wanted = |due: &Due| due.key.is_sync() && is_installation(&due.key) == installations;
            let work = self.claim(listed.into_iter().filter(wanted).map(as_claim).collect()).await;
            self.work(work).await?;
        }
        Ok(())
    }

    async fn claim(&self, claims: Vec<(ItemKey, Claim)>) -> Vec<Item> {
        let claims = claims.into_iter().map(|(key, claim)| async move {
            // Claiming a resync moves it to its next turn: for a quiet repository that is the only write.
            let until = if key.is_sync() { resync::next_turn(self.started()) } else { self.lease() };
            self.app.board.claim(&key, &claim, until).await
        });
        let claimed: Vec<_> = stream::iter(claims).buffer_unordered(CLAIMS_AT_ONCE).collect().await;
        let logged =
            |claim: adapters::Result<Option<Item>>| claim.map_err(|error| self.table_failed(error)).ok().flatten();
        let work: Vec<_> = claimed.into_iter().filter_map(logged).collect();
        add(&self.tally.claimed, work.len());
        work
    }

    async fn work(&self, work: Vec<Item>) -> Result<(), Failure> {
        if work.is_empty() {
            return Ok(());
        }
        let served = self.served().await?;
        let mut lanes = into_lanes(work);
        while !lanes.is_empty() {
            let worked = lanes.into_iter().map(|(installation, lane)| self.lane(&served, installation, lane));
            let moved: Vec<_> = stream::iter(worked).buffer_unordered(LANES_AT_ONCE).collect().await;
            lanes = into_lanes(moved.into_iter().flatten().collect());
        }
        Ok(())
    }

    /// Works for one installation, and gives back what another one serves by now.
    async fn lane(&self, served: &Served, installation: Option<InstallationId>, lane: Lane) -> Vec<Item> {
        if installation.is_some() && !served.serves(installation) {
            // The installation itself keeps its turn: once it is served, its list brings everything back.
            let items = lane.answers.iter().chain(&lane.resyncs);
            for item in items.filter(|item| !matches!(item, Item::Installation(_))) {
                self.write_schedule(item, &Schedule::default()).await;
            }
            return Vec::new();
        }
        // A failure is logged, and the next item of the installation tries again.
        let _tried = self.know(installation).await;
        let before = match self.app.board.installation(installation).await {
            Ok(known) => known.and_then(|known| known.blocked),
            Err(error) => {
                self.table_failed(error);
                return Vec::new();
            }
        };
        let heeded = before.as_ref().filter(|blocked| blocked.until > self.now().as_second());
        match heeded {
            Some(blocked) => self.heed(installation, blocked),
            // What the lane is told then, every request of it would be told.
            None => drop(self.token(installation).await),
        }
        let (stays, moves) = self.elsewhere(installation, lane.answers).await;
        // Resyncs ask one at a time, and need not wait until the last mergeability is known.
        tokio::join!(check::run(self, installation, stays), resync::run(self, installation, lane.resyncs));
        let verdict = if heeded.is_some() { None } else { self.verdict(installation, before.as_ref()) };
        if let Some(verdict) = &verdict
            && let Err(error) = self.app.board.block(installation, verdict.as_ref()).await
        {
            self.table_failed(error);
        }
        if let Some(blocked) = verdict.unwrap_or(before) {
            let name = ItemKey::installation(installation).partition;
            self.unserved(name, blocked.since, &blocked.because);
        }
        moves
    }

    /// Parts the items of an installation that is not to be had from those whose repository another one lists by now: the App was
    /// installed again, under another id.
    async fn elsewhere(&self, installation: Option<InstallationId>, items: Vec<Item>) -> (Vec<Item>, Vec<Item>) {
        if self.blocked(installation).is_none() || items.is_empty() {
            return (items, Vec::new());
        }
        let repositories: BTreeSet<_> = items.iter().filter_map(repository_of).collect();
        let syncs = self.app.board.repository_syncs(&repositories.into_iter().collect::<Vec<_>>()).await;
        let syncs = match syncs {
            Ok(syncs) => syncs,
            Err(error) => {
                self.table_failed(error);
                return (items, Vec::new());
            }
        };
        let lists: BTreeMap<_, _> = syncs.into_iter().map(|sync| (sync.repository_id, sync.installation_id)).collect();
        let (mut stays, mut moves) = (Vec::new(), Vec::new());
        for mut item in items {
            let other = repository_of(&item).and_then(|id| lists.get(&id).copied().flatten());
            match (&mut item, other.filter(|other| Some(*other) != installation)) {
                (Item::PullRequest(row), Some(other)) => row.snapshot.installation_id = Some(other),
                (Item::Base(base), Some(other)) => base.installation_id = Some(other),
                _ => {
                    stays.push(item);
                    continue;
                }
            }
            moves.push(item);
        }
        (stays, moves)
    }

    async fn served(&self) -> Result<Served, Failure> {
        self.app.board.served().await.map_err(|error| self.table_failed(error))
    }

    /// Makes sure that the repositories of every installation that is named are listed, and those of the token function's own one.
    async fn know_served(&self, served: &Served) -> Result<(), Failure> {
        self.know(None).await?;
        scan::know(self).await?;
        for installation in served.installations.iter().flatten() {
            self.know(Some(*installation)).await?;
        }
        Ok(())
    }

    /// Makes sure that an installation's repositories are listed from time to time.
    pub(crate) async fn know(&self, installation: Option<InstallationId>) -> Result<(), Failure> {
        let known = || self.app.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner).contains(&installation);
        if known() {
            return Ok(());
        }
        let failed = |error| self.table_failed(error);
        let mut sync = InstallationSync::new(installation, self.now());
        let stored = self.app.board.installation(installation).await.map_err(failed)?;
        if !stored.as_ref().is_some_and(|stored| stored.schedule.is_due()) {
            // One that had left is listed again: whoever asks has met it.
            if let Some(stored) = stored {
                sync = InstallationSync { schedule: sync.schedule, ..stored };
            }
            // `false`: another environment was first.
            self.app.board.put(&Item::Installation(Box::new(sync))).await.map_err(failed)?;
        }
        self.app.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(installation);
        Ok(())
    }
}

fn into_lanes(items: Vec<Item>) -> BTreeMap<Option<InstallationId>, Lane> {
    let mut lanes: BTreeMap<Option<InstallationId>, Lane> = BTreeMap::new();
    for item in items {
        let lane = lanes.entry(item.installation()).or_default();
        match item {
            Item::PullRequest(_) | Item::Base(_) => lane.answers.push(item),
            Item::Repository(_) | Item::Installation(_) | Item::Scan(_) => lane.resyncs.push(item),
        }
    }
    lanes
}

fn repository_of(item: &Item) -> Option<RepositoryId> {
    match item {
        Item::PullRequest(row) => Some(row.snapshot.repository_id),
        Item::Base(base) => Some(base.repository_id),
        Item::Repository(sync) => Some(sync.repository_id),
        Item::Installation(_) | Item::Scan(_) => None,
    }
}

/// Which invocation sees to an item that is in no shard of its own.
fn shard_of(key: &ItemKey) -> u64 {
    let digits = key.partition.bytes().filter(u8::is_ascii_digit);
    digits.fold(0, |shard, digit| (shard * 10 + u64::from(digit - b'0')) % RESYNC_SHARDS)
}

fn as_claim(due: Due) -> (ItemKey, Claim) {
    (due.key.clone(), Claim::IfDue(due))
}
