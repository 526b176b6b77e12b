//! Whether pull requests merge: asked in rounds, for one (repository, base) at a time.
//!
//! GitHub works an answer out when it is asked and not before, so a round asks and the next one hears. A round is one read for
//! one pull request, and for several a list, page by page, with single reads for the few that the list leaves open. Whatever an
//! answer says about the pull request itself counts first, as a webhook's would; its mergeability is then that of the very head
//! and base it came with.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use adapters::board::Work;
use adapters::github::graphql::{self, Listed};
use adapters::github::pull_request::Observed;
use domain::kid_tag::KidTag;
use domain::lifecycle::{self, Finding};
use domain::pull_request::{
    BaseMove, InstallationId, Mergeability, PullRequest, PullRequestNumber, RepositoryId, State,
};
use futures_util::{StreamExt, stream};

use crate::github::{self, Failure};
use crate::run::{Run, add, failure};

/// Up to so many pull requests are read one by one; a list costs one request for a hundred.
const SINGLE_READS: usize = 20;

/// Groups that are asked about at the same time, and reads of one group. GitHub allows 100 requests at once for an App and
/// everything else it does. <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits>
const GROUPS_AT_ONCE: usize = 6;
const READS_AT_ONCE: usize = 4;

/// Tables take more than GitHub does.
const WRITES_AT_ONCE: usize = 16;

/// The open pull requests of one base that an answer is owed for.
#[derive(Debug)]
struct Group {
    repository_id: RepositoryId,
    repository: String,
    installation: Option<InstallationId>,
    base: String,
    /// The base's own item, if it moved: then every open pull request on it is asked about.
    moved: Option<Box<BaseMove>>,
    /// What was claimed and is not settled yet.
    claimed: BTreeMap<PullRequestNumber, PullRequest>,
    left: Left,
    /// The heads of which something doubtful was heard once.
    doubts: HashMap<PullRequestNumber, String>,
    failure: Option<Failure>,
}

/// What a group still lacks.
#[derive(Debug)]
enum Left {
    /// Nothing was asked yet.
    All,
    /// An answer for these.
    These(BTreeSet<PullRequestNumber>),
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

/// Settles claimed pull requests and bases, or leaves them due.
pub(crate) async fn run(run: &Run<'_>, pull_requests: Vec<PullRequest>, bases: Vec<BaseMove>) {
    let (merged, others): (Vec<_>, Vec<_>) = pull_requests.into_iter().partition(|item| item.state == State::Merged);
    stream::iter(merged).for_each_concurrent(WRITES_AT_ONCE, |item| settle_merged(run, item)).await;
    let mut groups = group(others, bases);
    for offset in run.rounds() {
        if groups.iter().all(Group::is_done) || !run.reach(*offset).await {
            break;
        }
        let waiting = groups.iter_mut().filter(|group| !group.is_done());
        stream::iter(waiting).for_each_concurrent(GROUPS_AT_ONCE, |group| group.round(run)).await;
    }
    for group in groups {
        group.close(run).await;
    }
}

fn group(pull_requests: Vec<PullRequest>, bases: Vec<BaseMove>) -> Vec<Group> {
    let mut groups: BTreeMap<(String, String, Option<PullRequestNumber>), Group> = BTreeMap::new();
    for base in bases {
        let Ok(id) = base.repository_id.parse() else { continue };
        let key = (base.repository_id.clone(), base.base.clone(), None);
        let mut group = Group::new(RepositoryId(id), &base.repository, base.installation_id, &base.base);
        group.moved = Some(Box::new(base));
        groups.insert(key, group);
    }
    for item in pull_requests {
        let Ok(id) = item.repository_id.parse() else { continue };
        // A closed one is in no list of open ones. It is read all the same: it may have been reopened in the same second.
        let alone = (item.state != State::Open).then_some(item.number);
        let key = (item.repository_id.clone(), item.base.clone(), alone);
        let group = groups
            .entry(key)
            .or_insert_with(|| Group::new(RepositoryId(id), &item.repository, item.installation_id, &item.base));
        group.claimed.insert(item.number, item);
    }
    groups.into_values().collect()
}

/// A merge that is known is final: what is left is that its tasks agree, and GitHub need not be asked for that.
async fn settle_merged(run: &Run<'_>, item: PullRequest) {
    let outcome = if awaits_permission(&item) {
        add(&run.tally.checked, 1);
        read(run, &item.repository, item.number, item.installation_id, &item).await
    } else {
        run.record(&item, &Finding::Nothing).await
    };
    if let Err(failure) = outcome {
        let repository = item.repository.clone();
        run.give_up(&repository, &Work::PullRequest(Box::new(item)), &failure).await;
    }
}

async fn read(
    run: &Run<'_>,
    repository: &str,
    number: PullRequestNumber,
    installation: Option<InstallationId>,
    item: &PullRequest,
) -> Result<(), Failure> {
    let observed = run.ask(installation, &github::pull(repository, number)).await?.body.observed(installation);
    match permit(run, item.clone(), &observed).await? {
        Some(item) => run.record(&item, &Finding::Nothing).await,
        None => Ok(()),
    }
}

fn awaits_permission(item: &PullRequest) -> bool {
    !item.may_link() && !KidTag::all_in(&item.title).is_empty()
}

/// Links a fork's pull request if its author may write to the repository. `None`: the item changed meanwhile.
async fn permit(run: &Run<'_>, item: PullRequest, observed: &Observed) -> Result<Option<PullRequest>, Failure> {
    let request = github::permission(&item.repository, &item.author);
    let may_write = match run.ask(item.installation_id, &request).await {
        Ok(answer) => answer.body.may_write(),
        // Of the two that could be missing, the repository was there a moment ago.
        Err(Failure::Gone) => false,
        Err(failure) => return Err(failure),
    };
    if !may_write {
        return Ok(Some(item));
    }
    let allowed = run.app.board.allow_author(&item).await.map_err(|error| run.table_failed(error))?;
    match allowed {
        Some(_) => run.apply(&observed.facts).await,
        None => Ok(None),
    }
}

impl Group {
    fn new(id: RepositoryId, repository: &str, installation: Option<InstallationId>, base: &str) -> Self {
        Self {
            repository_id: id,
            repository: repository.to_owned(),
            installation,
            base: base.to_owned(),
            moved: None,
            claimed: BTreeMap::new(),
            left: Left::All,
            doubts: HashMap::new(),
            failure: None,
        }
    }

    fn is_done(&self) -> bool {
        self.failure.is_some() || matches!(&self.left, Left::These(numbers) if numbers.is_empty())
    }

    async fn round(&mut self, run: &Run<'_>) {
        if let Err(failure) = self.ask(run).await {
            self.failure = Some(failure);
        }
    }

    async fn ask(&mut self, run: &Run<'_>) -> Result<(), Failure> {
        match &self.left {
            Left::All if self.moved.is_none() && self.claimed.len() == 1 => {
                let numbers: Vec<_> = self.claimed.keys().copied().collect();
                self.left = Left::These(BTreeSet::new());
                self.read_each(run, numbers).await
            }
            Left::These(numbers) if numbers.len() <= SINGLE_READS => {
                let numbers = numbers.iter().copied().collect();
                self.read_each(run, numbers).await
            }
            Left::All | Left::These(_) => self.list(run).await,
        }
    }

    async fn read_each(&mut self, run: &Run<'_>, numbers: Vec<PullRequestNumber>) -> Result<(), Failure> {
        let (installation, repository) = (self.installation, self.repository.clone());
        let reads = numbers.into_iter().map(|number| {
            let request = github::pull(&repository, number);
            async move { run.ask(installation, &request).await.map(|answer| answer.body.observed(installation)) }
        });
        let answers: Vec<_> = stream::iter(reads).buffer_unordered(READS_AT_ONCE).collect().await;
        let observed = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        self.take_in(run, observed).await
    }

    /// Reads the list page by page and lets go of each: of thousands of pull requests only the open questions are kept.
    async fn list(&mut self, run: &Run<'_>) -> Result<(), Failure> {
        self.left = Left::These(BTreeSet::new());
        let mut absent: BTreeSet<_> = self.claimed.keys().copied().collect();
        let mut after = None;
        loop {
            let query = graphql::on_base(&self.repository, &self.base, github::PAGE, after.as_deref());
            let page = run.ask(self.installation, &query).await?.page(self.installation);
            let page = page.map_err(|refused| failure(&refused, run.now()))?;
            let seen = page.listed.into_iter().filter_map(|listed| match listed {
                Listed::Seen(seen) => Some(*seen),
                Listed::Missing { .. } => None,
            });
            let mut observed: Vec<_> = seen.collect();
            observed.iter().for_each(|seen| {
                absent.remove(&seen.facts.number);
            });
            if self.moved.is_none() {
                observed.retain(|seen| self.claimed.contains_key(&seen.facts.number));
            }
            self.take_in(run, observed).await?;
            after = page.next;
            if after.is_none() || (self.moved.is_none() && absent.is_empty()) {
                break;
            }
        }
        // Closed, merged or retargeted since: a list of the base's open ones does not show them.
        self.keep_asking(absent);
        match &self.left {
            // A list says UNKNOWN where a single read knows; a doubt is for a later round.
            Left::These(numbers) if numbers.len() <= SINGLE_READS => {
                let unknown = numbers.iter().filter(|number| !self.doubts.contains_key(number)).copied().collect();
                self.read_each(run, unknown).await
            }
            _ => Ok(()),
        }
    }

    fn keep_asking(&mut self, numbers: impl IntoIterator<Item = PullRequestNumber>) {
        if let Left::These(left) = &mut self.left {
            left.extend(numbers);
        }
    }

    async fn take_in(&mut self, run: &Run<'_>, observed: Vec<Observed>) -> Result<(), Failure> {
        add(&run.tally.checked, observed.len());
        let strangers =
            observed.iter().map(|seen| seen.facts.number).filter(|number| !self.claimed.contains_key(number));
        let strangers: Vec<_> = strangers.collect();
        let stored = run.app.board.pull_requests(self.repository_id, &strangers).await;
        let mut stored = stored.map_err(|error| run.table_failed(error))?;
        let asked = observed.into_iter().map(|seen| {
            let number = seen.facts.number;
            let item = self.claimed.get(&number).cloned().or_else(|| stored.remove(&number));
            let doubt = self.doubts.get(&number).cloned();
            let moved = self.moved.as_deref();
            async move { (number, consider(run, item, seen, doubt, moved).await) }
        });
        let steps: Vec<_> = stream::iter(asked).buffer_unordered(WRITES_AT_ONCE).collect().await;
        let mut failed = None;
        for (number, step) in steps {
            match step {
                Ok(step) => self.note(number, step),
                Err(failure) => failed = Some(failure),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn note(&mut self, number: PullRequestNumber, step: Step) {
        let (item, doubt) = match step {
            Step::Settled => {
                self.claimed.remove(&number);
                self.doubts.remove(&number);
                if let Left::These(left) = &mut self.left {
                    left.remove(&number);
                }
                return;
            }
            Step::Again(item) => (item, None),
            Step::Doubted(item, head) => (item, Some(head)),
        };
        if let (Some(item), Some(claimed)) = (item, self.claimed.get_mut(&number)) {
            *claimed = *item;
        }
        match doubt {
            Some(head) => self.doubts.insert(number, head),
            None => self.doubts.remove(&number),
        };
        self.keep_asking([number]);
    }

    /// Leaves on the work list what has no answer, and takes the base off it if all have one.
    async fn close(self, run: &Run<'_>) {
        let complete = matches!(&self.left, Left::These(numbers) if numbers.is_empty()) && self.failure.is_none();
        let failure = self.failure;
        let repository = &self.repository;
        stream::iter(self.claimed.into_values())
            .for_each_concurrent(WRITES_AT_ONCE, |item| {
                let failure = failure.as_ref();
                async move {
                    match failure {
                        Some(failure) => run.give_up(repository, &Work::PullRequest(Box::new(item)), failure).await,
                        None => drop(run.record(&item, &Finding::Pending { until: None }).await),
                    }
                }
            })
            .await;
        let Some(base) = self.moved else { return };
        let settled = match (&failure, complete) {
            (None, true) => run.app.board.settle_base(&base).await,
            (None, false) => run.app.board.postpone(&Work::Base(base), None, run.now()).await.map(|_| false),
            (Some(failure), _) => return run.give_up(repository, &Work::Base(base), failure).await,
        };
        match settled {
            Ok(settled) => add(if settled { &run.tally.settled } else { &run.tally.deferred }, 1),
            Err(error) => drop(run.table_failed(error)),
        }
    }
}

/// What one answer makes of the item it is about.
async fn consider(
    run: &Run<'_>,
    item: Option<PullRequest>,
    seen: Observed,
    doubt: Option<String>,
    moved: Option<&BaseMove>,
) -> Result<Step, Failure> {
    let facts = &seen.facts;
    let mut item = match item {
        Some(item) => item,
        // Its webhook never came.
        None if !KidTag::all_in(&facts.title).is_empty() => match run.apply(facts).await? {
            Some(item) => item,
            None => return Ok(Step::Settled),
        },
        None => return Ok(Step::Settled),
    };
    if facts.updated_at < item.github_updated_at {
        return Ok(Step::Again(Some(Box::new(item))));
    }
    let heard_twice = doubt.as_ref() == Some(&facts.head_sha);
    // Of one second, with another head: it may be an answer from before the push, which a later read does not repeat.
    if facts.updated_at == item.github_updated_at && facts.head_sha != item.head_sha && !heard_twice {
        return Ok(Step::Doubted(Some(Box::new(item)), facts.head_sha.clone()));
    }
    if lifecycle::is_news(&item, facts) {
        match run.apply(facts).await? {
            Some(applied) if facts.updated_at >= applied.github_updated_at => item = applied,
            applied => return Ok(Step::Again(applied.map(Box::new))),
        }
    }
    if awaits_permission(&item) {
        match permit(run, item, &seen).await? {
            Some(permitted) => item = permitted,
            None => return Ok(Step::Settled),
        }
    }
    let has_tasks = !item.task_ids.is_empty() || !item.unlinked_task_ids.is_empty();
    if item.state != State::Open || !has_tasks {
        if item.due.is_some() {
            run.record(&item, &Finding::Nothing).await?;
        }
        return Ok(Step::Settled);
    }
    weigh(run, item, &seen, heard_twice, moved).await
}

/// Takes or leaves an answer to "does it merge" for the item's own head and base.
async fn weigh(
    run: &Run<'_>,
    item: PullRequest,
    seen: &Observed,
    heard_twice: bool,
    moved: Option<&BaseMove>,
) -> Result<Step, Failure> {
    let mergeability = seen.mergeability;
    let new_head = lifecycle::asks_about_a_new_head(&item);
    if mergeability == Mergeability::Unknown {
        return Ok(Step::Again(Some(Box::new(item))));
    }
    // GitHub may show the answer for the head before the push.
    if mergeability == Mergeability::Conflicting && new_head && !heard_twice {
        let head = seen.facts.head_sha.clone();
        return Ok(Step::Doubted(Some(Box::new(item)), head));
    }
    if item.due.is_none() && item.mergeability == mergeability && !new_head {
        return Ok(Step::Settled);
    }
    let begins = mergeability == Mergeability::Conflicting && item.mergeability == Mergeability::Mergeable && !new_head;
    let base = match moved {
        Some(base) => Some(Box::new(base.clone())),
        None if begins => {
            let base = run.app.board.base(&item.repository_id, &item.base).await;
            base.map_err(|error| run.table_failed(error))?.map(Box::new)
        }
        None => None,
    };
    run.record(&item, &Finding::Answer { mergeability, base }).await?;
    Ok(Step::Settled)
}
