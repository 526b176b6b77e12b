//! Whether pull requests merge: asked in rounds, for one (repository, base) at a time.
//!
//! GitHub works an answer out when it is asked and not before, so a round asks and the next one hears. A round is one read for
//! one pull request, and for several a list, page by page, with single reads for the few that the list leaves open. Whatever an
//! answer says about the pull request itself counts first, as a webhook's would; its mergeability is then that of the very head
//! and base it came with.
//!
//! - A part that fails takes nothing else with it: one pull request is given up alone, a page is asked for with less in it and at last
//!   its pull requests one by one.
//! - A base is settled when each pull request on it has an answer that was asked for after the move, or a due row of its own.
//! - GitHub may show the answer of before a move for some seconds, so what is asked right after one is asked once more a minute later.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use adapters::github::graphql::{self, Listed, Page};
use adapters::github::pull_request::Observed;
use domain::base::BaseMove;
use domain::ids::{InstallationId, PullRequestNumber, RepositoryId, RepositoryName, TaskId};
use domain::item::Item;
use domain::kid_tag::Tags;
use domain::lifecycle::is_news;
use domain::outcome::Outcome;
use domain::pull_request::{Mergeability, PullRequest, Snapshot, State};
use domain::report::{Answer, Facts, Look, Report};
use domain::schedule::Schedule;
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use crate::github::Failure;
use crate::run::{Patience, Run, add};
use crate::{lists, reads};

/// Up to so many pull requests are read one by one in a round; a list costs one request for a hundred.
const SINGLE_READS: usize = 20;

/// Groups that are asked about at the same time. Requests have a room of their own.
const GROUPS_AT_ONCE: usize = 16;

/// Tables take more than GitHub does.
const WRITES_AT_ONCE: usize = 16;

/// For how many seconds GitHub may show the answer of before a move.
const SHOWS_THE_OLD: i64 = 60;

/// The version of no row: a look with it has claimed none, and leaves its schedule as it is.
const NOT_CLAIMED: u64 = u64::MAX;

/// The open pull requests of one base that an answer is owed for.
#[derive(Debug)]
struct Group {
    repository_id: RepositoryId,
    repository: RepositoryName,
    installation: Option<InstallationId>,
    base: String,
    /// The base's own item, if it moved: then every open pull request on it is asked about.
    moved: Option<Box<BaseMove>>,
    /// What was claimed and is not settled yet.
    claimed: BTreeMap<PullRequestNumber, PullRequest>,
    /// When the first question was asked, epoch seconds.
    began: Option<i64>,
    /// Whether the list is to be read: at first, and again while many are left open in it.
    list: bool,
    /// What the list leaves open.
    unknown: BTreeSet<PullRequestNumber>,
    /// What only a single read can tell: what no list shows, or shows in part.
    alone: BTreeSet<PullRequestNumber>,
    /// The heads of which something doubtful was heard once.
    doubts: HashMap<PullRequestNumber, String>,
    /// What failed alone.
    failed: BTreeMap<PullRequestNumber, Failure>,
    /// What failed for all of it.
    failure: Option<Failure>,
}

/// What came of one answer.
enum Step {
    /// Nothing more is to be asked.
    Settled,
    /// To be asked again, of the item as it is now.
    Again(Option<Box<PullRequest>>),
    /// The same, and to be believed if it is heard twice.
    Doubted(Option<Box<PullRequest>>, String),
}

/// Settles claimed pull requests and bases of an installation, or leaves them due.
pub(crate) async fn run(run: &Run<'_>, installation: Option<InstallationId>, claimed: Vec<Item>) {
    let (mut merged, mut others, mut bases) = (Vec::new(), Vec::new(), Vec::new());
    for item in claimed {
        match item {
            Item::PullRequest(row) if row.snapshot.state == State::Merged => merged.push(*row),
            Item::PullRequest(row) => others.push(*row),
            Item::Base(base) => bases.push(*base),
            Item::Repository(_) | Item::Installation(_) | Item::Scan(_) => {}
        }
    }
    // Side by side: a merge whose repository hangs would keep every other answer of its installation waiting.
    tokio::join!(settle_merged(run, installation, merged), rounds(run, group(installation, others, bases)));
}

/// Asks in rounds, which are counted from here.
async fn rounds(run: &Run<'_>, mut groups: Vec<Group>) {
    let began = Instant::now();
    for offset in run.rounds() {
        if groups.iter().all(Group::is_done) {
            break;
        }
        if !run.reach(began + *offset).await {
            if groups.iter().any(|group| group.began.is_none()) {
                run.met(&Failure::OutOfTime);
            }
            break;
        }
        let waiting = groups.iter_mut().filter(|group| !group.is_done());
        stream::iter(waiting).for_each_concurrent(GROUPS_AT_ONCE, |group| group.round(run)).await;
    }
    stream::iter(groups).for_each_concurrent(GROUPS_AT_ONCE, |group| group.close(run)).await;
}

fn group(installation: Option<InstallationId>, rows: Vec<PullRequest>, bases: Vec<BaseMove>) -> Vec<Group> {
    let mut groups: BTreeMap<(RepositoryId, String, Option<PullRequestNumber>), Group> = BTreeMap::new();
    for base in bases {
        let key = (base.repository_id, base.base.clone(), None);
        let mut group = Group::new(base.repository_id, base.repository.clone(), installation, &base.base);
        group.moved = Some(Box::new(base));
        groups.insert(key, group);
    }
    for row in rows {
        let about = &row.snapshot;
        // A closed one is in no list of open ones. It is read all the same: it may have been reopened in the same second.
        let alone = (about.state != State::Open).then_some(about.number);
        let key = (about.repository_id, about.base.clone(), alone);
        let group = groups
            .entry(key)
            .or_insert_with(|| Group::new(about.repository_id, about.repository.clone(), installation, &about.base));
        group.claimed.insert(about.number, row);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    for group in &mut groups {
        if group.moved.is_none() && group.claimed.len() == 1 {
            group.list = false;
            group.alone = group.claimed.keys().copied().collect();
        }
    }
    groups
}

/// A merge whose title is known is final: what is left is that its tasks agree, and GitHub need not be asked for that. Merges that a board has
/// written after count once the open pull requests of their repository were read, which one reading does for all of them.
async fn settle_merged(run: &Run<'_>, installation: Option<InstallationId>, rows: Vec<PullRequest>) {
    let settled = rows.into_iter().map(|row| async move {
        let waiting = settle_one_merged(run, installation, &row).await;
        (row, waiting)
    });
    let mut waiting: BTreeMap<RepositoryId, Vec<(PullRequest, Vec<TaskId>)>> = BTreeMap::new();
    for (row, settled) in stream::iter(settled).buffer_unordered(WRITES_AT_ONCE).collect::<Vec<_>>().await {
        match settled {
            Ok(None) => {}
            Ok(Some(merge)) => waiting.entry(row.snapshot.repository_id).or_default().push(merge),
            Err(failure) => run.give_up(&Item::PullRequest(Box::new(row)), &failure).await,
        }
    }
    let waiting = stream::iter(waiting.into_values());
    waiting.for_each_concurrent(GROUPS_AT_ONCE, |merges| settle_waiting(run, installation, merges)).await;
}

/// Gives the row as it is then, and the tasks that the board has written since the merge, if there are any.
async fn settle_one_merged(
    run: &Run<'_>,
    installation: Option<InstallationId>,
    row: &PullRequest,
) -> Result<Option<(PullRequest, Vec<TaskId>)>, Failure> {
    let about = &row.snapshot;
    if row.title_unconfirmed || row.awaits_permission() {
        add(&run.tally.checked, 1);
        let seen = reads::one_of(run, installation, about.repository_id, &about.repository, about.number).await?;
        return take_answer(run, installation, RowAsRead::Claimed(row.clone()), seen, None, None).await.map(|_| None);
    }
    let compare = Report::compare(about.repository_id, about.number);
    let applied = run.apply(compare.looked(Look::default())).await?;
    let waiting = applied.tasks.into_iter().filter(|task| task.outcome == Outcome::SubmittedSince);
    let waiting: Vec<_> = waiting.filter_map(|task| task.task).collect();
    Ok(applied.pull_request.filter(|_| !waiting.is_empty()).map(|row| (row, waiting)))
}

/// Lets merges of one repository count, after its open pull requests were read.
async fn settle_waiting(run: &Run<'_>, installation: Option<InstallationId>, merges: Vec<(PullRequest, Vec<TaskId>)>) {
    let began = run.now().as_second();
    let tasks: Vec<_> = merges.iter().flat_map(|(_, tasks)| tasks.clone()).collect();
    let Some((first, _)) = merges.first() else { return };
    let doubtful = link_open(run, installation, &first.snapshot, &tasks).await;
    for (row, tasks) in merges {
        let compare = Report::compare(row.snapshot.repository_id, row.snapshot.number);
        let may_hold = |open: &&Doubtful| open.may_hold(row.snapshot.number, &tasks);
        let settled = match doubtful.as_ref().map(|doubtful| doubtful.iter().find(may_hold)) {
            Ok(None) => {
                run.apply(compare.looked(Look { open_read_at: Some(began), ..Look::default() })).await.map(drop)
            }
            Ok(Some(open)) => Err(open.failure.clone()),
            Err(failure) => Err(failure.clone()),
        };
        if let Err(failure) = settled {
            run.give_up(&Item::PullRequest(Box::new(row)), &failure).await;
        }
    }
}

/// An open pull request that may hold a merge up, and of which it is not known.
struct Doubtful {
    number: PullRequestNumber,
    /// What its title names; `None` where it cannot be read.
    tags: Option<Tags>,
    failure: Failure,
}

impl Doubtful {
    /// Only one that was opened after the merged one holds it up, and numbers grow with time.
    fn may_hold(&self, merged: PullRequestNumber, tasks: &[TaskId]) -> bool {
        let names = |tags: &Tags| tasks.iter().any(|task| tags.name(task));
        self.number > merged && self.tags.as_ref().is_none_or(names)
    }
}

/// Links the open pull requests of a repository that name one of the tasks. Gives those of which it is not known what they name, or which cannot
/// be linked.
async fn link_open(
    run: &Run<'_>,
    installation: Option<InstallationId>,
    about: &Snapshot,
    tasks: &[TaskId],
) -> Result<Vec<Doubtful>, Failure> {
    let id = about.repository_id;
    let (open, missed) = match lists::read_open(run, installation, id, &about.repository, tasks).await {
        Err(failure @ Failure::Gone(_)) => {
            let name = reads::new_name(run, installation, id, &about.repository, failure).await?;
            lists::read_open(run, installation, id, &name, tasks).await?
        }
        open => open?,
    };
    let unread = || Failure::Refused("a newer open pull request of the repository can be read in no way".to_owned());
    let missed = missed.into_iter().map(|number| Doubtful { number, tags: None, failure: unread() });
    let mut doubtful: Vec<_> = missed.collect();
    for facts in open {
        let (number, tags) = (facts.snapshot.number, Tags::of(&facts.snapshot.title));
        if let Err(failure) = link(run, installation, facts).await {
            doubtful.push(Doubtful { number, tags: Some(tags), failure });
        }
    }
    Ok(doubtful)
}

/// Links an open pull request to the tasks that its title names. It may be known for long and yet not be linked: its task was not there when its
/// tag was looked up, or nobody has asked for the permission of the author of its fork. It would hold no older merge up.
async fn link(run: &Run<'_>, installation: Option<InstallationId>, facts: Facts) -> Result<(), Failure> {
    let row = run.apply(Report::facts(facts.clone())).await?.pull_request;
    if row.is_some_and(|row| row.awaits_permission()) {
        let may = reads::may_write(run, installation, &facts.snapshot).await?;
        let look = Look { author_may_write: Some(may), claimed: Some(NOT_CLAIMED), ..Look::default() };
        run.apply(Report::facts(facts).looked(look)).await?;
    }
    Ok(())
}

impl Group {
    fn new(id: RepositoryId, repository: RepositoryName, installation: Option<InstallationId>, base: &str) -> Self {
        Self {
            repository_id: id,
            repository,
            installation,
            base: base.to_owned(),
            moved: None,
            claimed: BTreeMap::new(),
            began: None,
            list: true,
            unknown: BTreeSet::new(),
            alone: BTreeSet::new(),
            doubts: HashMap::new(),
            failed: BTreeMap::new(),
            failure: None,
        }
    }

    fn is_done(&self) -> bool {
        self.failure.is_some() || (!self.list && self.unknown.is_empty() && self.alone.is_empty())
    }

    async fn round(&mut self, run: &Run<'_>) {
        if let Err(failure) = self.ask(run).await {
            self.failure = Some(failure);
        }
    }

    async fn ask(&mut self, run: &Run<'_>) -> Result<(), Failure> {
        self.began.get_or_insert(run.now().as_second());
        let lists = self.list || self.unknown.len() > SINGLE_READS;
        if lists {
            self.list(run).await?;
        }
        // A list says UNKNOWN where a single read knows; a doubt that it raised is for a later round.
        let few = self.unknown.len() <= SINGLE_READS;
        let unknown = self.unknown.iter().filter(|number| few && !(lists && self.doubts.contains_key(number)));
        let wanted: Vec<_> = self.alone.iter().chain(unknown).copied().take(SINGLE_READS).collect();
        self.read_each(run, wanted).await
    }

    /// Reads each alone. What fails of them fails alone, and an answer counts as soon as it is there: one that waited for a slow one beside it
    /// could be written after a newer answer.
    async fn read_each(&mut self, run: &Run<'_>, numbers: Vec<PullRequestNumber>) -> Result<(), Failure> {
        let (installation, id) = (self.installation, self.repository_id);
        let group = &*self;
        // Taken within the reading: an answer may need another request, and what is not polled meanwhile keeps its place among those of one
        // installation.
        let reads = numbers.into_iter().map(|number| async move {
            let taken = async {
                let seen = reads::one_of(run, installation, id, &group.repository, number).await?;
                add(&run.tally.checked, 1);
                let row = match group.claimed.get(&number) {
                    Some(row) => RowAsRead::Claimed(row.clone()),
                    None => RowAsRead::Listed(group.rows(run, &[number]).await?.remove(&number)),
                };
                group.take_answer(run, row, seen).await
            };
            (number, taken.await)
        });
        let steps: Vec<_> = stream::iter(reads).buffer_unordered(SINGLE_READS).collect().await;
        self.note_all(steps)
    }

    /// The stored ones of these.
    async fn rows(
        &self,
        run: &Run<'_>,
        numbers: &[PullRequestNumber],
    ) -> Result<HashMap<PullRequestNumber, PullRequest>, Failure> {
        let stored = run.app.board.pull_requests(self.repository_id, numbers).await;
        stored.map_err(|error| run.table_failed(error))
    }

    async fn take_answer(&self, run: &Run<'_>, row: RowAsRead, seen: Observed) -> Result<Step, Failure> {
        let doubt = self.doubts.get(&seen.facts.snapshot.number).cloned();
        take_answer(run, self.installation, row, seen, doubt, self.moved.as_deref()).await
    }

    /// Reads the list page by page and lets go of each: of thousands of pull requests only the open questions are kept.
    async fn list(&mut self, run: &Run<'_>) -> Result<(), Failure> {
        self.list = false;
        self.unknown.clear();
        let mut absent: BTreeSet<_> = self.claimed.keys().copied().collect();
        let mut shown = BTreeSet::new();
        let mut after = None;
        let mut whole = true;
        loop {
            let Some(page) = self.page(run, after.as_deref()).await? else {
                whole = false;
                break;
            };
            let mut observed = Vec::new();
            for listed in page.listed {
                match listed {
                    Listed::Seen(seen) => observed.push(*seen),
                    Listed::Missing { number: Some(number), .. } => {
                        self.alone.insert(number);
                        absent.remove(&number);
                        shown.insert(number);
                    }
                    Listed::Missing { number: None, .. } => whole = false,
                }
            }
            shown.extend(observed.iter().map(|seen| seen.facts.snapshot.number));
            absent.retain(|number| !shown.contains(number));
            if self.moved.is_none() {
                observed.retain(|seen| self.claimed.contains_key(&seen.facts.snapshot.number));
            }
            self.take_answers(run, observed).await?;
            after = page.next;
            if after.is_none() || (self.moved.is_none() && absent.is_empty()) {
                break;
            }
        }
        // Closed, merged or retargeted since: a list of the base's open ones does not show them.
        self.alone.extend(absent);
        if whole {
            run.app.pages.grow(self.repository_id);
        }
        // One that was closed while the list was read and is open again has no answer: the base must not be settled without it.
        if self.moved.is_some() {
            let hidden = self.stored(run).await?.into_iter().filter(|number| !shown.contains(number));
            self.alone.extend(hidden);
        }
        Ok(())
    }

    /// One page, asked for with less in it where GitHub cannot answer it. `None`: not even the least is answered.
    async fn page(&mut self, run: &Run<'_>, after: Option<&str>) -> Result<Option<Page>, Failure> {
        let (mut renamed, mut shrunk) = (false, 0);
        loop {
            let size = run.app.pages.size(self.repository_id);
            let query = graphql::on_base(&self.repository, &self.base, size, after);
            let answer = run.ask_with(Patience::None, self.installation, &query).await;
            let page = answer
                .and_then(|answer| answer.page(self.installation).map_err(|refused| Failure::of(&refused, run.now())));
            let page = match page {
                Ok(page) if page.repository_id != self.repository_id => Err(reads::not_this(&self.repository)),
                page => page,
            };
            match page {
                Ok(page) if page.is_too_large() && run.app.pages.shrink(self.repository_id, size) => shrunk += 1,
                Ok(page) => {
                    add(&run.tally.pages_shrunk, shrunk);
                    return Ok(Some(page));
                }
                Err(Failure::Unavailable(_)) if run.app.pages.shrink(self.repository_id, size) => shrunk += 1,
                Err(Failure::Unavailable(_)) => {
                    add(&run.tally.pages_shrunk, shrunk + 1);
                    return Ok(None);
                }
                Err(failure @ Failure::Gone(_)) if !renamed => {
                    renamed = true;
                    let (installation, id) = (self.installation, self.repository_id);
                    self.repository = reads::new_name(run, installation, id, &self.repository, failure).await?;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// The open linked pull requests on the base, as far as they are stored.
    async fn stored(&self, run: &Run<'_>) -> Result<Vec<PullRequestNumber>, Failure> {
        let on_base = |row: &&PullRequest| {
            row.snapshot.state == State::Open && row.snapshot.base == self.base && !row.task_ids.is_empty()
        };
        // Page by page: what one repository has may be as much as an invocation's whole memory where all is held at once.
        let (mut numbers, mut after) = (Vec::new(), None);
        while run.has_time() {
            let page = run.app.board.stored_in(self.repository_id, after).await;
            let (rows, next) = page.map_err(|error| run.table_failed(error))?;
            numbers.extend(rows.iter().filter(on_base).map(|row| row.snapshot.number));
            after = next;
            if after.is_none() {
                return Ok(numbers);
            }
        }
        Err(Failure::OutOfTime)
    }

    async fn take_answers(&mut self, run: &Run<'_>, observed: Vec<Observed>) -> Result<(), Failure> {
        add(&run.tally.checked, observed.len());
        let numbers = observed.iter().map(|seen| seen.facts.snapshot.number);
        let strangers: Vec<_> = numbers.filter(|number| !self.claimed.contains_key(number)).collect();
        let mut stored = self.rows(run, &strangers).await?;
        let group = &*self;
        let asked = observed.into_iter().map(|seen| {
            let number = seen.facts.snapshot.number;
            let row = match group.claimed.get(&number) {
                Some(row) => RowAsRead::Claimed(row.clone()),
                None => RowAsRead::Listed(stored.remove(&number)),
            };
            async move { (number, group.take_answer(run, row, seen).await) }
        });
        let steps: Vec<_> = stream::iter(asked).buffer_unordered(WRITES_AT_ONCE).collect().await;
        self.note_all(steps)
    }

    /// Notes what came of each. What fails alone counts as failed, and what stops all of them comes back.
    fn note_all(&mut self, steps: Vec<(PullRequestNumber, Result<Step, Failure>)>) -> Result<(), Failure> {
        let mut wide = None;
        for (number, step) in steps {
            match step {
                Ok(step) => self.note(number, step),
                Err(failure) if failure.is_wide() => wide = Some(failure),
                Err(failure) => {
                    self.forget(number);
                    self.failed.insert(number, failure);
                }
            }
        }
        wide.map_or(Ok(()), Err)
    }

    /// Asks no more about one.
    fn forget(&mut self, number: PullRequestNumber) {
        self.doubts.remove(&number);
        self.unknown.remove(&number);
        self.alone.remove(&number);
    }

    fn note(&mut self, number: PullRequestNumber, step: Step) {
        let (row, doubt) = match step {
            Step::Settled => {
                self.claimed.remove(&number);
                return self.forget(number);
            }
            Step::Again(row) => (row, None),
            Step::Doubted(row, head) => (row, Some(head)),
        };
        if let (Some(row), Some(claimed)) = (row, self.claimed.get_mut(&number)) {
            *claimed = *row;
        }
        match doubt {
            Some(head) => self.doubts.insert(number, head),
            None => self.doubts.remove(&number),
        };
        self.alone.remove(&number);
        self.unknown.insert(number);
    }

    /// Leaves on the work list what has no answer, and takes the base off it if all have one or are on the list themselves.
    async fn close(mut self, run: &Run<'_>) {
        if let Some(failure) = self.failure.take() {
            for (number, row) in std::mem::take(&mut self.claimed) {
                let failure = self.failed.get(&number).unwrap_or(&failure);
                run.give_up(&Item::PullRequest(Box::new(row)), failure).await;
            }
            if let Some(base) = self.moved {
                run.give_up(&Item::Base(base), &failure).await;
            }
            return;
        }
        let left: Vec<_> = self.unknown.iter().chain(&self.alone).chain(self.failed.keys()).copied().collect();
        let owed = self.leave_due(run, &left).await;
        let Some(base) = self.moved else { return };
        let again_at = base.moved_at.saturating_add(SHOWS_THE_OLD);
        let base = Item::Base(base);
        match owed {
            Err(Failure::Table) => {}
            Err(failure) => run.give_up(&base, &failure).await,
            // The list was never read.
            Ok(()) if self.list => run.give_up(&base, &Failure::OutOfTime).await,
            Ok(()) if self.began.is_none_or(|began| began < again_at) => {
                run.reschedule(&base, &base.schedule().moved_to(again_at.max(run.now().as_second()))).await;
            }
            Ok(()) => settle_base(run, base).await,
        }
    }

    /// Sees to it that each of these is due by its own row, if it is one of ours and open.
    async fn leave_due(&self, run: &Run<'_>, left: &[PullRequestNumber]) -> Result<(), Failure> {
        let strangers: Vec<_> = left.iter().filter(|number| !self.claimed.contains_key(number)).copied().collect();
        let mut rows = self.rows(run, &strangers).await?;
        let wants_answer = |row: &PullRequest| row.snapshot.state == State::Open && !row.task_ids.is_empty();
        rows.retain(|_, row| wants_answer(row) && !row.schedule.is_due());
        rows.extend(self.claimed.clone());
        let each = rows.into_iter().map(|(number, mut row)| async move {
            let claimed = self.claimed.contains_key(&number);
            match self.failed.get(&number) {
                Some(failure) => run.give_up(&Item::PullRequest(Box::new(row)), failure).await,
                // There was no turn for it: that says nothing about how hard it is to settle.
                None if self.alone.contains(&number) => {
                    if !claimed {
                        row.schedule = Schedule::at(run.now().as_second(), row.schedule.attempts);
                    }
                    run.give_up(&Item::PullRequest(Box::new(row)), &Failure::OutOfTime).await;
                }
                None if claimed => {
                    let look = Look { claimed: Some(row.version), unanswered: wants_answer(&row), ..Look::default() };
                    let report = Report::compare(self.repository_id, number).looked(look);
                    run.apply(report).await?;
                }
                None => {
                    let again = Schedule::again(0, run.now());
                    run.reschedule(&Item::PullRequest(Box::new(row)), &again).await;
                }
            }
            Ok(())
        });
        let owed: Vec<Result<(), Failure>> = stream::iter(each).buffer_unordered(WRITES_AT_ONCE).collect().await;
        owed.into_iter().collect()
    }
}

async fn settle_base(run: &Run<'_>, base: Item) {
    let Item::Base(base) = base else { return };
    match run.app.board.settle_base(&base).await {
        Ok(settled) => add(if settled { &run.tally.settled } else { &run.tally.deferred }, 1),
        Err(error) => drop(run.table_failed(error)),
    }
}

/// The row that an answer is about, as it was when GitHub was asked.
enum RowAsRead {
    /// Claimed before that: if nobody else wrote it since, no question was asked that the answer is too old for.
    Claimed(PullRequest),
    /// Shown by a list and read after it: a question may have been asked in between.
    Listed(Option<PullRequest>),
}

/// What one answer makes of the row it is about.
async fn take_answer(
    run: &Run<'_>,
    installation: Option<InstallationId>,
    asked: RowAsRead,
    seen: Observed,
    doubt: Option<String>,
    moved: Option<&BaseMove>,
) -> Result<Step, Failure> {
    let (row, claimed) = match asked {
        RowAsRead::Claimed(row) => (Some(row), true),
        RowAsRead::Listed(row) => (row, false),
    };
    let version = row.as_ref().map(|row| row.version);
    let ours = row.is_some() || !Tags::of(&seen.facts.snapshot.title).named.is_empty();
    if !ours {
        return Ok(Step::Settled);
    }
    let merged = seen.facts.snapshot.state == State::Merged;
    let facts = &seen.facts;
    let heard_twice = doubt.as_ref() == Some(&facts.snapshot.head_sha);
    if let Some(row) = &row {
        let (said, known) = (&facts.snapshot, &row.snapshot);
        if said.updated_at < known.updated_at && said.state != State::Merged {
            return Ok(Step::Again(Some(Box::new(row.clone()))));
        }
        // Of one second, with another head: it may be an answer from before the push, which a later read does not repeat.
        if said.updated_at == known.updated_at && said.head_sha != known.head_sha && !heard_twice {
            return Ok(Step::Doubted(Some(Box::new(row.clone())), said.head_sha.clone()));
        }
    }
    let news = row.as_ref().is_none_or(|row| is_news(row, facts));
    let row = match row {
        Some(row) if !news => row,
        // Its webhook never came, or another one did.
        _ => match run.apply(Report::facts(facts.clone())).await?.pull_request {
            Some(row) if facts.snapshot.updated_at >= row.snapshot.updated_at || merged => row,
            Some(row) => return Ok(Step::Again(Some(Box::new(row)))),
            None => return Ok(Step::Settled),
        },
    };
    if claimed && version.is_some_and(|version| row.version > version + 1) {
        // Whoever wrote it since left it owed, or this run's claim on it ends and brings it back.
        add(&run.tally.deferred, 1);
        return Ok(Step::Settled);
    }
    let mut look = Look { claimed: Some(if claimed { row.version } else { NOT_CLAIMED }), ..Look::default() };
    if row.awaits_permission() {
        look.author_may_write = Some(reads::may_write(run, installation, &facts.snapshot).await?);
    }
    let linked = !row.task_ids.is_empty() || look.author_may_write == Some(true);
    if row.snapshot.state != State::Open || !linked {
        if row.schedule.is_due() || look.author_may_write.is_some() {
            run.apply(Report::facts(facts.clone()).looked(look)).await?;
        }
        return Ok(Step::Settled);
    }
    take_mergeability(run, row, &seen, look, heard_twice, moved).await
}

/// Takes or leaves an answer to "does it merge" for the row's own head and base.
async fn take_mergeability(
    run: &Run<'_>,
    row: PullRequest,
    seen: &Observed,
    mut look: Look,
    heard_twice: bool,
    moved: Option<&BaseMove>,
) -> Result<Step, Failure> {
    let mergeability = seen.mergeability;
    let new_head = row.asks_about_a_new_head();
    // GitHub may show the answer for the head before the push.
    let doubted = mergeability == Mergeability::Conflicting && new_head && !heard_twice;
    if mergeability == Mergeability::Unknown || doubted {
        let row = match look.author_may_write {
            // What is known of the author is kept: it is not asked again with every round.
            Some(true) => run.apply(Report::facts(seen.facts.clone()).looked(look)).await?.pull_request,
            _ => Some(row),
        };
        let row = row.map(Box::new);
        return Ok(if doubted { Step::Doubted(row, seen.facts.snapshot.head_sha.clone()) } else { Step::Again(row) });
    }
    if !row.schedule.is_due() && row.mergeability == mergeability && !new_head && look.author_may_write.is_none() {
        return Ok(Step::Settled);
    }
    let begins = mergeability == Mergeability::Conflicting && row.mergeability == Mergeability::Mergeable && !new_head;
    let base = match moved {
        Some(base) => Some(Box::new(base.clone())),
        None if begins => {
            let base = run.app.board.base(row.snapshot.repository_id, &row.snapshot.base).await;
            base.map_err(|error| run.table_failed(error))?.map(Box::new)
        }
        None => None,
    };
    look.answer = Some(Answer { mergeability, base });
    run.apply(Report::facts(seen.facts.clone()).looked(look)).await?;
    Ok(Step::Settled)
}
