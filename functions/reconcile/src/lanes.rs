//! Which work an invocation takes, and how the installations share it.
//!
//! Pull requests and bases stand in one partition of the due index and resyncs in others, so that what is owed an answer never waits behind
//! thousands of quiet repositories. A scheduled invocation sees to all of it, or to the one shard that its event names: its share of the
//! first, and a partition of resyncs. One invocation a minute resyncs 2,500 repositories, which is 35,000 in a quarter of an hour; who has
//! more gives the schedule a target for each shard. What is claimed goes into lanes, one an installation, that run side by side and each within
//! a room of its own: one that hangs or is limited costs nobody else anything.

use std::collections::{BTreeMap, BTreeSet};

use adapters::board::{Claim, Due};
use domain::ids::{InstallationId, PullRequestNumber, RepositoryId, RepositoryName};
use domain::item::{Item, ItemKey};
use domain::report::Report;
use domain::schedule::{DUE, RESYNC_SHARDS, Refusal, resync_shard_at};
use domain::served::Served;
use domain::sync::InstallationSync;
use futures_util::{StreamExt, stream};

use crate::github::Failure;
use crate::run::{Run, add};
use crate::turns::in_turn;
use crate::{Standing, check, reads, resync, scan};

/// How many due pull requests and bases one invocation takes: at a dozen requests at once and a second a read, some hundred single reads
/// take half of a minute.
const ANSWERS_AT_ONCE: usize = 300;

/// How many resyncs it takes: fifty cost one query.
const RESYNCS_AT_ONCE: usize = 2_500;

/// How many entries of a partition of the index are looked at to find whose turn it is. They are keys alone, so this is a few pages; behind
/// fewer, what is due of one would stand unseen behind thousands of another.
const LOOKED_AT: usize = 50_000;

/// How many entries of the due index are looked through for resyncs when an operator asks for all of them.
const LISTED_FOR_ALL: usize = 20_000;

/// How many items are claimed, and installations worked for, at the same time.
const CLAIMS_AT_ONCE: usize = 16;
const LANES_AT_ONCE: usize = 64;

/// Why something of an installation is not looked at.
const NOT_SERVED: &str = "the installation is not on the list of those served, as the webhook read it from its secret with the last signed delivery";

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
        self.list_served().await?;
        let now = self.now().as_second();
        let mut open = self.due_in(DUE, now, LOOKED_AT).await?;
        open.retain(|due| shard.is_none_or(|shard| shard_of(&due.key) == shard));
        let (old_resyncs, answers): (Vec<_>, Vec<_>) = open.into_iter().partition(|due| due.key.is_sync());
        let mut resyncs = old_resyncs;
        for shard in shard.map_or(0..RESYNC_SHARDS, |shard| shard..shard + 1) {
            resyncs.extend(self.due_in(&resync_shard_at(shard), now, LOOKED_AT).await?);
        }
        let oldest = answers.iter().chain(&resyncs).map(|due| now.saturating_sub(due.since())).max().unwrap_or(0);
        self.tally.oldest_due_seconds.get_or_init(|| oldest);
        resyncs.sort_by_cached_key(Due::since);
        let mut taken = self.in_turn(answers, ANSWERS_AT_ONCE).await?;
        taken.extend(self.in_turn(resyncs, RESYNCS_AT_ONCE).await?);
        let work = self.claim(taken.into_iter().map(as_claim).collect()).await;
        self.work(work).await
    }

    /// As many as an invocation takes: of each installation in turn, and of those of each of its repositories.
    async fn in_turn(&self, due: Vec<Due>, most: usize) -> Result<Vec<Due>, Failure> {
        if due.len() <= most {
            return Ok(due);
        }
        let repository = |due: &Due| due.key.partition.parse().ok().map(RepositoryId);
        let repositories: BTreeSet<_> = due.iter().filter_map(repository).collect();
        let repositories: Vec<_> = repositories.into_iter().collect();
        let whose = self.app.board.listed_by(&repositories).await.map_err(|error| self.table_failed(error))?;
        let of_repositories = in_turn(due, usize::MAX, repository);
        // One that no list has shown yet has a turn of its own.
        Ok(in_turn(of_repositories, most, |due| {
            let repository = repository(due);
            let installation = repository.and_then(|id| whose.get(&id).copied());
            (installation, repository.filter(|_| installation.is_none()))
        }))
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
        let installation = self.served_or_default(installation).await?;
        let facts = reads::read_one(self, Some(installation), repository, number).await?.facts;
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
        let installation = self.served_or_default(installation).await?;
        let id = resync::find(self, repository, installation).await?;
        let work = self.claim(vec![(ItemKey::repository(id), Claim::IfThere)]).await;
        self.work(work).await
    }

    /// The installation that an operator names or the default one, if it is served: no other one's pull requests move a card.
    async fn served_or_default(&self, named: Option<InstallationId>) -> Result<InstallationId, Failure> {
        let installation = match named {
            Some(named) => named,
            None => self.token(None).await?.installation_id,
        };
        if self.served().await?.serves(Some(installation)) {
            Ok(installation)
        } else {
            Err(Failure::Refused(format!("{installation}: {}", not_served(self.served().await?))))
        }
    }

    /// First the installations, then the one that the default turns out to be, then all repositories.
    pub(crate) async fn resync_all(&self) -> Result<(), Failure> {
        // The table may have been lost since: what an operator asks for is not left to what this environment remembers.
        self.app.known().clear();
        self.list_served().await?;
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
            if let Claim::IfDue(due) = &claim {
                self.due_since(key.clone(), due.since());
            }
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
        let lanes = stream::iter(into_lanes(work));
        // What moves from one to another follows it at once: the slowest of the others would take its time.
        let worked = lanes.for_each_concurrent(LANES_AT_ONCE, async |(installation, lane)| {
            let mut lanes = vec![(installation, lane)];
            while let Some((installation, lane)) = lanes.pop() {
                lanes.extend(into_lanes(Box::pin(self.lane(served, installation, lane)).await));
            }
        });
        worked.await;
        Ok(())
    }

    /// Works for one installation, and gives back what another one serves by now.
    async fn lane(&self, served: &Served, installation: Option<InstallationId>, mut lane: Lane) -> Vec<Item> {
        let mut moves = Vec::new();
        if !self.is_served(served, installation).await {
            moves = self.elsewhere(installation, true, &mut lane.answers).await;
            self.set_aside(
                not_served(served),
                lane.answers.drain(..).chain(lane.resyncs.extract_if(.., is_of_a_repository)),
            )
            .await;
            // The installation itself keeps its turn: once it is served, its list brings everything back.
            if installation.is_some() {
                return moves;
            }
        }
        // A failure is logged, and the next item of the installation tries again.
        let _tried = self.ensure_listed(installation).await;
        // What the lane is told then, every request of it would be told.
        let token = self.token(installation).await;
        if let (None, Ok(held)) = (installation, &token) {
            // Under its own id, like all that is listed of it: else one installation has two lanes, two rooms and two notes of its limits.
            let named = Some(held.installation_id);
            moves.extend(lane.answers.drain(..).map(|item| to_installation(named, item)));
        }
        moves.extend(self.elsewhere(installation, self.blocked(installation).is_some(), &mut lane.answers).await);
        // Resyncs ask one at a time, and need not wait until the last mergeability is known.
        let answers = Box::pin(check::run(self, installation, lane.answers));
        tokio::join!(answers, Box::pin(resync::run(self, installation, lane.resyncs)));
        self.tell_others_of(installation).await;
        moves
    }

    /// Whether events of an installation count; of the default one by the id that it has.
    async fn is_served(&self, served: &Served, installation: Option<InstallationId>) -> bool {
        match installation {
            None if served.installations.is_some() => {
                // Without a token nothing of it is asked or moved.
                self.token(None).await.map_or(true, |held| served.serves(Some(held.installation_id)))
            }
            None => true,
            named => served.serves(named),
        }
    }

    /// Leaves what is not served alone, ever longer and at last for good: a list that was wrong for a while ends no debt.
    async fn set_aside(&self, because: &str, items: impl Iterator<Item = Item>) {
        for item in items {
            let next = item.schedule().refused(Refusal::Gone, because, self.now()).unwrap_or_default();
            self.write_schedule(&item, &next).await;
        }
    }

    /// Takes out of the items of an installation those whose repository another one lists by now: the App was installed again, under another id, or
    /// the repository was transferred. `all`: of an installation that has no token or is not served; else of what GitHub has refused before.
    async fn elsewhere(&self, installation: Option<InstallationId>, all: bool, items: &mut Vec<Item>) -> Vec<Item> {
        let doubtful = |item: &Item| all || item.schedule().failing.is_some();
        let repositories: BTreeSet<_> = items.iter().filter(|item| doubtful(item)).filter_map(repository_of).collect();
        if repositories.is_empty() {
            return Vec::new();
        }
        let lists = match self.app.board.listed_by(&repositories.into_iter().collect::<Vec<_>>()).await {
            Ok(lists) => lists,
            Err(error) => {
                self.table_failed(error);
                return Vec::new();
            }
        };
        let other = |item: &Item| {
            let lists = repository_of(item).and_then(|id| lists.get(&id).copied().flatten());
            lists.filter(|other| Some(*other) != installation)
        };
        let moves = items.extract_if(.., |item| doubtful(item) && other(item).is_some());
        moves.map(|item| to_installation(other(&item), item)).collect()
    }

    /// Makes sure that the repositories of every installation that is named are listed, and those of the token function's own one.
    async fn list_served(&self) -> Result<(), Failure> {
        // First: what keeps the App's own one from being asked is noted there.
        self.ensure_listed(None).await?;
        scan::ensure_due(self).await?;
        for installation in self.served().await?.installations.iter().flatten() {
            self.ensure_listed(Some(*installation)).await?;
        }
        Ok(())
    }

    /// Makes sure that an installation's repositories are listed from time to time.
    pub(crate) async fn ensure_listed(&self, installation: Option<InstallationId>) -> Result<(), Failure> {
        let standing = Standing::Installation(installation);
        if self.app.is_known(standing, self.now()) {
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
        self.app.remember(standing, self.now());
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

fn to_installation(installation: Option<InstallationId>, mut item: Item) -> Item {
    match &mut item {
        Item::PullRequest(row) => row.snapshot.installation_id = installation,
        Item::Base(base) => base.installation_id = installation,
        Item::Repository(_) | Item::Installation(_) | Item::Scan(_) => {}
    }
    item
}

fn is_of_a_repository(item: &mut Item) -> bool {
    matches!(item, Item::Repository(_))
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

fn not_served(served: &Served) -> &'static str {
    if served.is_nobody() { Served::NOBODY } else { NOT_SERVED }
}
