//! What is owed an answer: finding it, claiming it, and writing down how it went.
//!
//! An item on the work list has `due` and `next_check_at`. Whoever works on it first moves `next_check_at` past its own life,
//! on condition that nobody else did; if it dies, the item is due again by itself. What it finds is written on condition of the
//! version it read, so an answer to an older question never replaces a newer one.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    self, AttributeValue, CancellationReason, KeysAndAttributes, Put, ReturnValue, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem,
};
use futures_util::future::join_all;
use jiff::Timestamp;
use serde::Serialize;

use super::update::{Update, item_key_of, task_key, unchanged_since};
use super::{Board, Item, TRIES, failed, log_conflict, parse, pause};
use crate::{Error, Result};
use domain::lifecycle::{self, Finding};
use domain::pull_request::{
    BaseMove, DUE, InstallationSync, PullRequest, PullRequestNumber, RepositoryId, RepositorySync, SYNC_ITEM,
    base_item_key, item_key,
};
use domain::task::Task;

/// The index of what is owed: `due`, `next_check_at` and the table's keys.
const DUE_INDEX: &str = "due-index";

/// The most items that one BatchGetItem takes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>
const BATCH: usize = 100;

/// The prefix of an installation's partition; a repository's is a bare number.
const INSTALLATION: &str = "installation:";

/// By how many seconds our clock and GitHub's may differ.
const CLOCK_SKEW: i64 = 60;

/// The key of an item of the pull requests table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkKey {
    /// Partition key: a repository's id, or `installation:<id>`.
    pub partition: String,
    /// Sort key: `pr#<number>`, `base#<branch>` or `sync`.
    pub item: String,
}

impl WorkKey {
    /// The key of a pull request.
    pub fn pull_request(repository: RepositoryId, number: PullRequestNumber) -> Self {
        Self { partition: repository.to_string(), item: item_key(number) }
    }

    /// The key of a repository's resync.
    pub fn sync(repository: RepositoryId) -> Self {
        Self { partition: repository.to_string(), item: SYNC_ITEM.to_owned() }
    }

    /// Whether it is a resync's, of a repository or of an installation.
    pub fn is_sync(&self) -> bool {
        self.item == SYNC_ITEM
    }

    /// Whether it is an installation's.
    pub fn is_installation(&self) -> bool {
        self.partition.starts_with(INSTALLATION)
    }

    fn attributes(&self) -> Item {
        item_key_of(&self.partition, &self.item)
    }
}

/// An entry of the due index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Whose.
    pub key: WorkKey,
    /// Since when, epoch seconds.
    pub next_check_at: i64,
}

/// On what condition an item is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It asks to be looked at now, as the stream says.
    IfAsked,
    /// It is still due at this time, as the index says.
    IfDueAt(i64),
    /// It exists: an operator asks.
    IfThere,
}

/// A claimed item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// A pull request.
    PullRequest(Box<PullRequest>),
    /// A base branch that moved.
    Base(Box<BaseMove>),
    /// A repository to be resynced.
    Repository(Box<RepositorySync>),
    /// An installation whose repositories are to be listed.
    Installation(Box<InstallationSync>),
}

/// What [`Board::record`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// The item and its tasks agree with what was found.
    Written {
        /// Whether something is still owed.
        owed: bool,
        /// How many tasks changed their column.
        moved: usize,
        /// How many tasks have a conflict now and had none.
        conflicts_found: usize,
        /// How many tasks had a conflict and have none now.
        conflicts_cleared: usize,
    },
    /// The item changed meanwhile. Nothing was written, and whoever changed it left it on the work list or settled it.
    Overtaken,
}

enum Attempt {
    Done,
    Overtaken,
    Again,
}

impl Board {
    /// What is due at `now`, the longest overdue first, at most `limit` entries.
    ///
    /// # Errors
    /// [`Error::Table`] or [`Error::Item`].
    pub async fn due(&self, now: i64, limit: usize) -> Result<Vec<Due>> {
        let mut found = Vec::new();
        let mut start = None;
        loop {
            let page = self
                .client
                .query()
                .table_name(&self.pull_requests)
                .index_name(DUE_INDEX)
                .key_condition_expression("due = :due AND next_check_at <= :now")
                .expression_attribute_values(":due", AttributeValue::S(DUE.to_owned()))
                .expression_attribute_values(":now", AttributeValue::N(now.to_string()))
                .limit(i32::try_from(limit - found.len()).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| failed(&self.pull_requests, "Query", error))?;
            for item in page.items.unwrap_or_default() {
                found.push(self.read_due(item)?);
            }
            start = page.last_evaluated_key;
            if start.is_none() || found.len() >= limit {
                return Ok(found);
            }
        }
    }

    /// Takes an item for as long as until `until`, epoch seconds. `None`: somebody else has it, or nothing is owed.
    ///
    /// The SDK repeats a claim whose answer was lost and then finds its own in the way: the item is left until `until`, which
    /// costs time and nothing else.
    ///
    /// # Errors
    /// [`Error::Table`] or [`Error::Item`].
    pub async fn claim(&self, key: &WorkKey, claim: Claim, until: i64) -> Result<Option<Work>> {
        let mut update = Update::new(String::new(), None);
        update.set("next_check_at", AttributeValue::N(until.to_string()));
        update.set("due", AttributeValue::S(DUE.to_owned()));
        if !key.is_sync() {
            update.set("check", AttributeValue::S("later".to_owned()));
        }
        update.add("version", AttributeValue::N("1".to_owned()));
        update.condition = match claim {
            Claim::IfAsked => {
                update.values.insert(":asked".to_owned(), AttributeValue::S("now".to_owned()));
                "#due = :due AND #check = :asked".to_owned()
            }
            Claim::IfDueAt(at) => {
                update.values.insert(":seen".to_owned(), AttributeValue::N(at.to_string()));
                "#due = :due AND #next_check_at = :seen".to_owned()
            }
            Claim::IfThere => "attribute_exists(repository_id)".to_owned(),
        };
        let answer = self
            .client
            .update_item()
            .table_name(&self.pull_requests)
            .set_key(Some(key.attributes()))
            .update_expression(update.expression())
            .condition_expression(update.condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        match answer {
            Ok(output) => output.attributes.map(|item| self.read_work(key, item)).transpose(),
            Err(error) => match error.as_service_error() {
                // A transaction that holds the item is about to change it: whoever does leaves it owed or settled.
                Some(
                    UpdateItemError::ConditionalCheckFailedException(_)
                    | UpdateItemError::TransactionConflictException(_),
                ) => Ok(None),
                _ => Err(failed(&self.pull_requests, "UpdateItem", error)),
            },
        }
    }

    /// Writes what was found about a pull request, to its item and to its tasks, in one step or not at all.
    ///
    /// One write, because neither order of two is safe: an item settled before its tasks were written leaves a wrong card that
    /// nobody looks at again, and a task written first may keep an answer that lost against a newer one.
    ///
    /// # Errors
    /// [`Error::Table`], [`Error::Item`], or [`Error::Contention`] when other writers won every try.
    pub async fn record(&self, known: &PullRequest, finding: &Finding, now: Timestamp) -> Result<Recorded> {
        for attempt in 0..TRIES {
            let ids = known.task_ids.iter().chain(&known.unlinked_task_ids);
            let tasks = join_all(ids.map(|id| self.task(id))).await.into_iter().collect::<Result<Vec<_>>>()?;
            let tasks: Vec<Task> = tasks.into_iter().flatten().collect();
            // Columns and links do not depend on the answer, so what is still owed is known before it is filled in.
            let stepped: Vec<Task> = tasks.iter().map(|task| lifecycle::step(task, known)).collect();
            let mut next = lifecycle::conclude(known, finding, &stepped, now);
            next.version = known.version + 1;
            let mut changes = Vec::new();
            for task in &tasks {
                let mut after = lifecycle::step(task, &next);
                if after != *task {
                    after.version = task.version + 1;
                    changes.push((task, after));
                }
            }
            match self.write_together(&next, &changes, now).await? {
                Attempt::Done => return Ok(recorded(&next, &changes)),
                Attempt::Overtaken => return Ok(Recorded::Overtaken),
                Attempt::Again => tokio::time::sleep(pause(attempt)).await,
            }
        }
        Err(Error::Contention { table: self.tasks.clone() })
    }

    async fn write_together(&self, next: &PullRequest, changes: &[(&Task, Task)], now: Timestamp) -> Result<Attempt> {
        if changes.is_empty() {
            return Ok(match self.put_pull_request(next).await? {
                super::Write::Done => Attempt::Done,
                super::Write::Lost(_) => Attempt::Overtaken,
                super::Write::Busy => Attempt::Again,
            });
        }
        let incomplete = |error| failed(&self.pull_requests, "TransactWriteItems", error);
        let (condition, values) = unchanged_since(next.version - 1);
        let item = Put::builder()
            .table_name(&self.pull_requests)
            .set_item(Some(self.item(next)?))
            .condition_expression(condition)
            .set_expression_attribute_values(values)
            .build()
            .map_err(incomplete)?;
        let mut writes = vec![TransactWriteItem::builder().put(item).build()];
        for (task, after) in changes {
            let update = self.task_update(task, after, now)?;
            let task = types::Update::builder()
                .table_name(&self.tasks)
                .set_key(Some(task_key(&task.id)))
                .update_expression(update.expression())
                .condition_expression(update.condition)
                .set_expression_attribute_names(Some(update.names))
                .set_expression_attribute_values(Some(update.values))
                .build()
                .map_err(incomplete)?;
            writes.push(TransactWriteItem::builder().update(task).build());
        }
        let Err(error) = self.client.transact_write_items().set_transact_items(Some(writes)).send().await else {
            changes.iter().for_each(|(task, after)| log_conflict(task, after));
            return Ok(Attempt::Done);
        };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                let reasons = canceled.cancellation_reasons();
                let code = |reason: &CancellationReason| reason.code().map(ToOwned::to_owned);
                if reasons.first().and_then(code).as_deref() == Some("ConditionalCheckFailed") {
                    return Ok(Attempt::Overtaken);
                }
                let other_writer = |code: String| code == "ConditionalCheckFailed" || code == "TransactionConflict";
                if reasons.iter().filter_map(code).any(other_writer) {
                    return Ok(Attempt::Again);
                }
                Err(failed(&self.pull_requests, "TransactWriteItems", error))
            }
            _ => Err(failed(&self.pull_requests, "TransactWriteItems", error)),
        }
    }

    /// Notes that the author of a fork may write to the repository. `None`: the item changed meanwhile.
    ///
    /// # Errors
    /// [`Error::Table`] or [`Error::Item`].
    pub async fn allow_author(&self, known: &PullRequest) -> Result<Option<PullRequest>> {
        let mut next = known.clone();
        next.author_may_write = true;
        next.version = known.version + 1;
        Ok(match self.put_pull_request(&next).await? {
            super::Write::Done => Some(next),
            super::Write::Lost(_) | super::Write::Busy => None,
        })
    }

    /// Takes an item off the work list without an answer. `false`: it changed meanwhile, and stays.
    ///
    /// # Errors
    /// [`Error::Table`].
    pub async fn drop_from_list(&self, work: &Work) -> Result<bool> {
        let mut update = Update::new(String::new(), None);
        for name in ["due", "next_check_at", "check"] {
            update.set_or_remove(name, None);
        }
        self.update_work(work, update).await
    }

    /// Leaves an item on the work list until `until`, epoch seconds, or for as long as [`lifecycle::look_again`] says. `false`:
    /// it changed meanwhile.
    ///
    /// # Errors
    /// [`Error::Table`].
    pub async fn postpone(&self, work: &Work, until: Option<i64>, now: Timestamp) -> Result<bool> {
        let attempts = work.attempts();
        let mut update = Update::new(String::new(), None);
        let at = until.unwrap_or_else(|| lifecycle::look_again(attempts.unwrap_or(0), now));
        update.set("next_check_at", AttributeValue::N(at.to_string()));
        if let (Some(attempts), None) = (attempts, until) {
            update.set("attempts", AttributeValue::N(attempts.saturating_add(1).to_string()));
        }
        self.update_work(work, update).await
    }

    /// Notes that every pull request on a base was checked since it moved. `false`: it moved again meanwhile, and stays owed.
    ///
    /// # Errors
    /// [`Error::Table`].
    pub async fn settle_base(&self, base: &BaseMove) -> Result<bool> {
        let mut update = Update::new(String::new(), None);
        update.set("attempts", AttributeValue::N("0".to_owned()));
        for name in ["due", "next_check_at", "check", "movers"] {
            update.set_or_remove(name, None);
        }
        self.update_work(&Work::Base(Box::new(base.clone())), update).await
    }

    async fn update_work(&self, work: &Work, mut update: Update) -> Result<bool> {
        let version = work.version();
        let (condition, values) = unchanged_since(version);
        update.values.extend(values.unwrap_or_default());
        update.set("version", AttributeValue::N((version + 1).to_string()));
        let answer = self
            .client
            .update_item()
            .table_name(&self.pull_requests)
            .set_key(Some(work.key().attributes()))
            .update_expression(update.expression())
            .condition_expression(condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(
                    UpdateItemError::ConditionalCheckFailedException(_)
                    | UpdateItemError::TransactionConflictException(_),
                ) => Ok(false),
                _ => Err(failed(&self.pull_requests, "UpdateItem", error)),
            },
        }
    }

    /// What is known of a base branch.
    ///
    /// # Errors
    /// [`Error::Table`] or [`Error::Item`].
    pub async fn base(&self, repository_id: &str, branch: &str) -> Result<Option<BaseMove>> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.pull_requests)
            .set_key(Some(item_key_of(repository_id, &base_item_key(branch))))
            .consistent_read(true)
            .send()
            .await;
        let output = answer.map_err(|error| failed(&self.pull_requests, "GetItem", error))?;
        output.item.map(|item| parse(&self.pull_requests, item)).transpose()
    }

    /// Marks a base as moved by merges that nobody may have heard of, the last of which ended at `ended_at`, epoch seconds.
    /// Does nothing if the base is known to have moved since: whoever looked after that saw those merges too.
    ///
    /// # Errors
    /// [`Error::Table`], [`Error::Item`] or [`Error::Contention`].
    pub async fn move_base(&self, base_move: &BaseMove, ended_at: i64) -> Result<()> {
        let mut update = self.base_update(base_move)?;
        let until = ended_at + CLOCK_SKEW;
        update.values.insert(":ended".to_owned(), AttributeValue::N(until.to_string()));
        let condition = "attribute_not_exists(moved_at) OR moved_at < :ended";
        for attempt in 0..TRIES {
            match self.put_base_update(base_move, update.clone(), condition).await? {
                super::Write::Busy => tokio::time::sleep(pause(attempt)).await,
                super::Write::Done | super::Write::Lost(_) => return Ok(()),
            }
        }
        Err(Error::Contention { table: self.pull_requests.clone() })
    }

    /// The stored ones of these pull requests of one repository, read consistently.
    ///
    /// # Errors
    /// [`Error::Table`] or [`Error::Item`].
    pub async fn pull_requests(
        &self,
        repository: RepositoryId,
        numbers: &[PullRequestNumber],
    ) -> Result<HashMap<PullRequestNumber, PullRequest>> {
        let keys = numbers.iter().map(|number| WorkKey::pull_request(repository, *number).attributes());
        let items = self.get_all(keys.collect()).await?;
        let items = items.into_iter().map(|item| self.read_pull_request(item));
        items.map(|item| item.map(|item| (item.number, item))).collect()
    }

    /// The stored resyncs of these repositories.
    ///
    /// # Errors
    /// [`Error::Table`] or [`Error::Item`].
    pub async fn repository_syncs(&self, repositories: &[RepositoryId]) -> Result<Vec<RepositorySync>> {
        let keys = repositories.iter().map(|id| WorkKey::sync(*id).attributes());
        let items = self.get_all(keys.collect()).await?;
        items.into_iter().map(|item| parse(&self.pull_requests, item)).collect()
    }

    /// Writes the state of a repository's resync; `sync` is as it was read. `false`: somebody else was faster.
    ///
    /// # Errors
    /// [`Error::Table`] or [`Error::Item`].
    pub async fn put_repository_sync(&self, sync: &RepositorySync) -> Result<bool> {
        let mut next = sync.clone();
        next.version += 1;
        self.put_sync(&next, sync.version).await
    }

    /// Writes the state of an installation's list. `false`: somebody else was faster, or knows it already.
    ///
    /// # Errors
    /// [`Error::Table`] or [`Error::Item`].
    pub async fn put_installation_sync(&self, sync: &InstallationSync) -> Result<bool> {
        let mut next = sync.clone();
        next.version += 1;
        self.put_sync(&next, sync.version).await
    }

    async fn put_sync(&self, next: &impl Serialize, version: u64) -> Result<bool> {
        let (condition, values) = unchanged_since(version);
        let answer = self
            .client
            .put_item()
            .table_name(&self.pull_requests)
            .set_item(Some(self.item(next)?))
            .condition_expression(condition)
            .set_expression_attribute_values(values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::None)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(_)) => Ok(false),
                _ => Err(failed(&self.pull_requests, "PutItem", error)),
            },
        }
    }

    async fn get_all(&self, keys: Vec<Item>) -> Result<Vec<Item>> {
        let mut found = Vec::with_capacity(keys.len());
        for keys in keys.chunks(BATCH) {
            let mut left = keys.to_vec();
            for attempt in 0..TRIES {
                let incomplete = |error| failed(&self.pull_requests, "BatchGetItem", error);
                let wanted = KeysAndAttributes::builder().set_keys(Some(left)).consistent_read(true);
                let answer = self
                    .client
                    .batch_get_item()
                    .request_items(&self.pull_requests, wanted.build().map_err(incomplete)?)
                    .send()
                    .await
                    .map_err(|error| failed(&self.pull_requests, "BatchGetItem", error))?;
                found.extend(answer.responses.unwrap_or_default().into_values().flatten());
                let unprocessed = answer.unprocessed_keys.unwrap_or_default().into_values();
                left = unprocessed.flat_map(|rest| rest.keys).collect();
                if left.is_empty() {
                    break;
                }
                tokio::time::sleep(pause(attempt)).await;
            }
            if !left.is_empty() {
                return Err(Error::Contention { table: self.pull_requests.clone() });
            }
        }
        Ok(found)
    }

    fn read_due(&self, item: Item) -> Result<Due> {
        #[derive(serde::Deserialize)]
        struct Entry {
            repository_id: String,
            item: String,
            next_check_at: i64,
        }
        let entry: Entry = parse(&self.pull_requests, item)?;
        let key = WorkKey { partition: entry.repository_id, item: entry.item };
        Ok(Due { key, next_check_at: entry.next_check_at })
    }

    fn read_work(&self, key: &WorkKey, item: Item) -> Result<Work> {
        let table = &self.pull_requests;
        Ok(if key.is_installation() {
            Work::Installation(Box::new(parse(table, item)?))
        } else if key.is_sync() {
            Work::Repository(Box::new(parse(table, item)?))
        } else if key.item.starts_with("base#") {
            Work::Base(Box::new(parse(table, item)?))
        } else {
            Work::PullRequest(Box::new(parse(table, item)?))
        })
    }
}

impl Work {
    /// Its key.
    pub fn key(&self) -> WorkKey {
        let (partition, item) = match self {
            Self::PullRequest(item) => (&item.repository_id, &item.item),
            Self::Base(item) => (&item.repository_id, &item.item),
            Self::Repository(item) => (&item.repository_id, &item.item),
            Self::Installation(item) => (&item.repository_id, &item.item),
        };
        WorkKey { partition: partition.clone(), item: item.clone() }
    }

    fn version(&self) -> u64 {
        match self {
            Self::PullRequest(item) => item.version,
            Self::Base(item) => item.version,
            Self::Repository(item) => item.version,
            Self::Installation(item) => item.version,
        }
    }

    fn attempts(&self) -> Option<u32> {
        match self {
            Self::PullRequest(item) => Some(item.attempts),
            Self::Base(item) => Some(item.attempts),
            Self::Repository(_) | Self::Installation(_) => None,
        }
    }
}

fn recorded(next: &PullRequest, changes: &[(&Task, Task)]) -> Recorded {
    let count =
        |counts: fn(&Task, &Task) -> bool| changes.iter().filter(|(before, after)| counts(before, after)).count();
    Recorded::Written {
        owed: next.due.is_some(),
        moved: count(|before, after| before.status != after.status),
        conflicts_found: count(|before, after| !in_conflict(before) && in_conflict(after)),
        conflicts_cleared: count(|before, after| in_conflict(before) && !in_conflict(after)),
    }
}

fn in_conflict(task: &Task) -> bool {
    task.has_merge_conflict == Some(true)
}
