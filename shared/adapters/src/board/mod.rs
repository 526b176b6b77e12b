//! The two tables, and the one way in which facts reach them.
//!
//! [`Board::apply`] reads, asks [`domain::lifecycle`] what the facts mean, and writes. Every write is conditional on the
//! version that was read; when somebody else was faster, DynamoDB hands back what is there now, and the decision is made
//! again from that. The pull request is written before its tasks, and stays due until reconcile has seen that its
//! tasks agree: a failure between the two writes leaves work on the list, not a card in the wrong column.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{self, AttributeValue, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem};
use futures_util::future::join_all;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};
use domain::kid_tag::KidTag;
use domain::lifecycle::{self, Freshness, Link, MAX_TAGS, Match, Plan};
use domain::pull_request::{BaseMove, Facts, PullRequest, PullRequestNumber, RepositoryId, State, item_key};
use domain::task::{Status, Task, TaskId};

mod update;
mod work;

pub use work::{Claim, Due, Recorded, Work, WorkKey};

use update::{Update, item_key_of, task_key, unchanged_since};

/// An item as DynamoDB gives it.
pub type Item = HashMap<String, AttributeValue>;

/// How often a conditional write is tried again before the delivery is given up for reconcile to repair.
const TRIES: u32 = 8;

/// The tables of tasks and of pull requests.
#[derive(Debug, Clone)]
pub struct Board {
    client: Client,
    tasks: String,
    pull_requests: String,
}

/// What [`Board::apply`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// How the facts stood to what was known.
    pub freshness: Freshness,
    /// The pull request as it is now; `None` if it carries no tag and never did.
    pub pull_request: Option<PullRequest>,
    /// What became of each tag of the title, and of each task that lost or kept its link without one.
    pub tasks: Vec<TaskOutcome>,
    /// Tags beyond the first [`MAX_TAGS`], which were not looked at.
    pub tags_not_read: usize,
    /// Whether this was the first word of a merge, so that its base branch was marked as moved.
    pub base_moved: bool,
}

/// What became of one tag or one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskOutcome {
    /// The tag, if the title has one for it.
    pub tag: Option<KidTag>,
    /// The task, if there is one.
    pub task: Option<TaskId>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a tag or a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The merge moved the task to `done`.
    Moved {
        /// The column it was in.
        from: Status,
    },
    /// The merge is known to the task but moved nothing, because of the column it is in.
    NotMoved {
        /// The column it is in.
        status: Status,
    },
    /// The merge had moved the task before, and may do so once.
    CompletedBefore {
        /// The column it is in now.
        status: Status,
    },
    /// The task learned of the pull request.
    Linked,
    /// The task learned something new about the pull request.
    Updated,
    /// The task knew all this.
    Unchanged,
    /// The pull request no longer names the task.
    Unlinked,
    /// No task has an id that begins so.
    NoTask,
    /// More than one has.
    Ambiguous,
    /// The task belongs to another repository.
    OtherRepository,
    /// The pull request comes from a fork whose author is not yet known to have write access.
    AwaitsPermission,
    /// The title is not the one that counts: see the freshness of the facts.
    NotTaken,
    /// The task is gone.
    Gone,
}

enum Write<T> {
    Done,
    /// Somebody else was faster: what is there now, if anything.
    Lost(Option<T>),
    /// Another transaction holds the item.
    Busy,
}

impl Board {
    /// The board in two tables.
    pub fn new(client: Client, tasks: impl Into<String>, pull_requests: impl Into<String>) -> Self {
        Self { client, tasks: tasks.into(), pull_requests: pull_requests.into() }
    }

    /// Makes the tables agree with `facts`. It may be called any number of times, by anyone, at the same time.
    ///
    /// One tag costs at most four calls where nobody interferes, each further one two; independent calls run at the same
    /// time.
    ///
    /// # Errors
    /// [`Error::Table`] when DynamoDB failed, [`Error::Item`] when an item is not of the documented shape,
    /// [`Error::Contention`] when other writers won every try. Whatever was written by then stays right.
    pub async fn apply(&self, facts: &Facts, now: Timestamp) -> Result<Applied> {
        let mut tags = KidTag::all_in(&facts.title);
        let tags_not_read = tags.len().saturating_sub(MAX_TAGS);
        tags.truncate(MAX_TAGS);
        let (stored, matches) = tokio::join!(
            self.pull_request(facts.repository_id, facts.number),
            join_all(tags.into_iter().map(|tag| async {
                let found = self.find(&tag).await?;
                Ok((tag, found))
            })),
        );
        let matches = matches.into_iter().collect::<Result<Vec<_>>>()?;
        let plan = self.write_plan(stored?, facts, &matches, now).await?;
        let tasks = match &plan.pull_request {
            Some(pull_request) => self.step_all(pull_request, &plan, &matches, now).await?,
            None => Vec::new(),
        };
        Ok(Applied {
            freshness: plan.freshness,
            pull_request: plan.pull_request,
            tasks,
            tags_not_read,
            base_moved: plan.base_move.is_some(),
        })
    }

    /// The stored pull request, read consistently.
    ///
    /// # Errors
    /// [`Error::Table`] or [`Error::Item`].
    pub async fn pull_request(
        &self,
        repository: RepositoryId,
        number: PullRequestNumber,
    ) -> Result<Option<PullRequest>> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.pull_requests)
            .key("repository_id", AttributeValue::S(repository.to_string()))
            .key("item", AttributeValue::S(item_key(number)))
            .consistent_read(true)
            .send()
            .await;
        let output = answer.map_err(|error| failed(&self.pull_requests, "GetItem", error))?;
        output.item.map(|item| self.read_pull_request(item)).transpose()
    }

    /// What the tasks table holds for a tag: one consistent query, whatever the number of tasks.
    ///
    /// # Errors
    /// [`Error::Table`] or [`Error::Item`].
    pub async fn find(&self, tag: &KidTag) -> Result<Match> {
        let answer = self
            .client
            .query()
            .table_name(&self.tasks)
            .key_condition_expression("prefix = :prefix AND begins_with(id, :tag)")
            .expression_attribute_values(":prefix", AttributeValue::S(tag.prefix().to_owned()))
            .expression_attribute_values(":tag", AttributeValue::S(tag.as_str().to_owned()))
            .consistent_read(true)
            .limit(2)
            .send()
            .await;
        let output = answer.map_err(|error| failed(&self.tasks, "Query", error))?;
        let found = output.items.unwrap_or_default().into_iter().map(|item| self.read_task(item));
        let mut found = found.collect::<Result<Vec<_>>>()?;
        Ok(match found.len() {
            0 => Match::None,
            1 => found.pop().map_or(Match::None, |task| Match::One(Box::new(task))),
            _ => Match::Several(found),
        })
    }

    /// A task by its id, read consistently.
    ///
    /// # Errors
    /// [`Error::Table`] or [`Error::Item`].
    pub async fn task(&self, id: &TaskId) -> Result<Option<Task>> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.tasks)
            .set_key(Some(task_key(id)))
            .consistent_read(true)
            .send()
            .await;
        let output = answer.map_err(|error| failed(&self.tasks, "GetItem", error))?;
        output.item.map(|item| self.read_task(item)).transpose()
    }

    async fn write_plan(
        &self,
        mut stored: Option<PullRequest>,
        facts: &Facts,
        matches: &[(KidTag, Match)],
        now: Timestamp,
    ) -> Result<Plan> {
        for attempt in 0..TRIES {
            let mut plan = lifecycle::plan(stored.as_ref(), facts, matches, now);
            let written = match (&mut plan.pull_request, &plan.base_move) {
                (Some(next), base_move) if plan.changed => {
                    next.version = stored.as_ref().map_or(0, |known| known.version) + 1;
                    match base_move {
                        None => self.put_pull_request(next).await?,
                        Some(base_move) => self.put_merge(next, base_move).await?,
                    }
                }
                (None, Some(base_move)) => self.put_base_move(base_move).await?,
                _ => Write::Done,
            };
            stored = match written {
                Write::Done => return Ok(plan),
                Write::Lost(current) => current,
                Write::Busy => {
                    tokio::time::sleep(pause(attempt)).await;
                    self.pull_request(facts.repository_id, facts.number).await?
                }
            };
        }
        Err(Error::Contention { table: self.pull_requests.clone() })
    }

    async fn put_pull_request(&self, next: &PullRequest) -> Result<Write<PullRequest>> {
        let (condition, values) = unchanged_since(next.version - 1);
        let answer = self
            .client
            .put_item()
            .table_name(&self.pull_requests)
            .set_item(Some(self.item(next)?))
            .condition_expression(condition)
            .set_expression_attribute_values(values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(Write::Done),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failure)) => {
                    self.lost_pull_request(next, failure.item.clone())
                }
                Some(PutItemError::TransactionConflictException(_)) => Ok(Write::Busy),
                _ => Err(failed(&self.pull_requests, "PutItem", error)),
            },
        }
    }

    /// A merge and the move of its base are one write: a base that moved unseen would leave conflicts unseen.
    async fn put_merge(&self, next: &PullRequest, base_move: &BaseMove) -> Result<Write<PullRequest>> {
        let (condition, values) = unchanged_since(next.version - 1);
        let merge = Put::builder()
            .table_name(&self.pull_requests)
            .set_item(Some(self.item(next)?))
            .condition_expression(condition)
            .set_expression_attribute_values(values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let update = self.base_update(base_move)?;
        let base = types::Update::builder()
            .table_name(&self.pull_requests)
            .set_key(Some(item_key_of(&base_move.repository_id, &base_move.item)))
            .update_expression(update.expression())
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values));
        let incomplete = |error| failed(&self.pull_requests, "TransactWriteItems", error);
        let writes = vec![
            TransactWriteItem::builder().put(merge.build().map_err(incomplete)?).build(),
            TransactWriteItem::builder().update(base.build().map_err(incomplete)?).build(),
        ];
        let Err(error) = self.client.transact_write_items().set_transact_items(Some(writes)).send().await else {
            return Ok(Write::Done);
        };
        let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = error.as_service_error() else {
            return Err(failed(&self.pull_requests, "TransactWriteItems", error));
        };
        let reasons = canceled.cancellation_reasons();
        if let Some(reason) = reasons.iter().find(|reason| reason.code() == Some("ConditionalCheckFailed")) {
            return self.lost_pull_request(next, reason.item.clone());
        }
        if reasons.iter().any(|reason| reason.code() == Some("TransactionConflict")) {
            return Ok(Write::Busy);
        }
        Err(failed(&self.pull_requests, "TransactWriteItems", error))
    }

    /// The merge of a pull request without a tag. A redelivery of it moves nothing again.
    async fn put_base_move(&self, base_move: &BaseMove) -> Result<Write<PullRequest>> {
        let mut update = self.base_update(base_move)?;
        update.values.insert(":url".into(), AttributeValue::S(base_move.url().to_owned()));
        let condition = "(attribute_not_exists(moved_by) OR moved_by <> :moved_by) AND NOT contains(movers, :url)";
        self.put_base_update(base_move, update, condition).await
    }

    async fn put_base_update(
        &self,
        base_move: &BaseMove,
        update: Update,
        condition: &str,
    ) -> Result<Write<PullRequest>> {
        let answer = self
            .client
            .update_item()
            .table_name(&self.pull_requests)
            .set_key(Some(item_key_of(&base_move.repository_id, &base_move.item)))
            .update_expression(update.expression())
            .condition_expression(condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(Write::Done),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(Write::Done),
                Some(UpdateItemError::TransactionConflictException(_)) => Ok(Write::Busy),
                _ => Err(failed(&self.pull_requests, "UpdateItem", error)),
            },
        }
    }

    /// Marks a base as moved, on top of earlier moves that nobody has looked at yet.
    fn base_update(&self, base_move: &BaseMove) -> Result<Update> {
        let mut update = Update::new(String::new(), None);
        let mut item = self.item(base_move)?;
        for key in ["repository_id", "item", "movers", "version"] {
            item.remove(key);
        }
        for (name, value) in item {
            update.set(&name, value);
        }
        update.add("movers", AttributeValue::Ss(base_move.movers.iter().cloned().collect()));
        update.add("version", AttributeValue::N("1".to_owned()));
        Ok(update)
    }

    /// The SDK repeats a write whose answer was lost, and then finds its own write in the way.
    fn lost_pull_request(&self, next: &PullRequest, current: Option<Item>) -> Result<Write<PullRequest>> {
        let current = current.map(|item| self.read_pull_request(item)).transpose()?;
        Ok(if current.as_ref() == Some(next) { Write::Done } else { Write::Lost(current) })
    }

    /// Brings every task that the pull request names, or no longer names, into agreement with it.
    async fn step_all(
        &self,
        pull_request: &PullRequest,
        plan: &Plan,
        matches: &[(KidTag, Match)],
        now: Timestamp,
    ) -> Result<Vec<TaskOutcome>> {
        // What an earlier delivery unlinked is on the row, and the row is due: reconcile sees to it.
        let ids = pull_request.task_ids.iter().chain(&plan.unlinked);
        let stepped = join_all(ids.map(|id| async {
            let read = matches.iter().find_map(|(_, found)| match found {
                Match::One(task) if task.id == *id => Some((**task).clone()),
                _ => None,
            });
            let outcome = self.step(id, read, pull_request, now).await?;
            Ok((id.clone(), outcome))
        }))
        .await;
        // Every task has had its turn before the first failure is reported.
        let mut stepped = stepped.into_iter().collect::<Result<Vec<_>>>()?;
        let mut tasks: Vec<_> = plan.links.iter().map(|(tag, link)| tag_outcome(tag, link, &stepped)).collect();
        stepped.retain(|(id, _)| !tasks.iter().any(|outcome| outcome.task.as_ref() == Some(id)));
        stepped.retain(|(_, outcome)| *outcome != Outcome::Unchanged);
        let without_tag = |(id, outcome)| TaskOutcome { tag: None, task: Some(id), outcome };
        tasks.extend(stepped.into_iter().map(without_tag));
        Ok(tasks)
    }

    /// Brings one task into agreement with a pull request. `read` is the task if it was just read.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn step(
        &self,
        id: &TaskId,
        read: Option<Task>,
        pull_request: &PullRequest,
        now: Timestamp,
    ) -> Result<Outcome> {
        let read = match read {
            Some(task) => Some(task),
            None => self.task(id).await?,
        };
        let Some(mut task) = read else { return Ok(Outcome::Gone) };
        for attempt in 0..TRIES {
            let mut next = lifecycle::step(&task, pull_request);
            if next == task {
                return Ok(outcome(&task, &next, pull_request));
            }
            next.version = task.version + 1;
            match self.update_task(&task, &next, now).await? {
                Write::Done => {
                    log_conflict(&task, &next);
                    return Ok(outcome(&task, &next, pull_request));
                }
                Write::Lost(Some(current)) => task = current,
                Write::Lost(None) => return Ok(Outcome::Gone),
                Write::Busy => tokio::time::sleep(pause(attempt)).await,
            }
        }
        Err(Error::Contention { table: self.tasks.clone() })
    }

    async fn update_task(&self, task: &Task, next: &Task, now: Timestamp) -> Result<Write<Task>> {
        let update = self.task_update(task, next, now)?;
        let answer = self
            .client
            .update_item()
            .table_name(&self.tasks)
            .set_key(Some(task_key(&task.id)))
            .update_expression(update.expression())
            .condition_expression(update.condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(Write::Done),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failure)) => {
                    let current = failure.item.clone().map(|item| self.read_task(item)).transpose()?;
                    Ok(if current.as_ref() == Some(next) { Write::Done } else { Write::Lost(current) })
                }
                Some(UpdateItemError::TransactionConflictException(_)) => Ok(Write::Busy),
                _ => Err(failed(&self.tasks, "UpdateItem", error)),
            },
        }
    }

    /// What is ours of a task. The column is part of the condition when it is moved: people move tasks as they like,
    /// also in the moment between our reading and our writing.
    fn task_update(&self, task: &Task, next: &Task, now: Timestamp) -> Result<Update> {
        let (unchanged, values) = unchanged_since(task.version);
        let mut update = Update::new(format!("attribute_exists(id) AND {unchanged}"), values);
        update.set("version", AttributeValue::N(next.version.to_string()));
        update.set("pull_requests", self.attribute(&next.pull_requests)?);
        update.set_or_remove("pull_request", self.optional(next.pull_request.as_ref())?);
        update.set_or_remove("has_merge_conflict", self.optional(next.has_merge_conflict.as_ref())?);
        update.set_or_remove("conflict_checked_at", self.optional(next.conflict_checked_at.as_ref())?);
        update.set_or_remove("conflict_caused_by", self.optional(next.conflict_caused_by.as_ref())?);
        if next.repository_id != task.repository_id || next.repository != task.repository {
            update.set_or_remove("repository_id", self.optional(next.repository_id.as_ref())?);
            update.set_or_remove("repository", self.optional(next.repository.as_ref())?);
        }
        if next.completed_by != task.completed_by {
            let completed_by = next.completed_by.iter().map(ToString::to_string).collect();
            update.set("completed_by", AttributeValue::Ss(completed_by));
        }
        if next.status != task.status {
            update.set("updated_at", AttributeValue::S(now.to_string()));
            update.set("status", AttributeValue::S(next.status.as_str().to_owned()));
            update.require("status", AttributeValue::S(task.status.as_str().to_owned()));
        }
        Ok(update)
    }

    fn read_task(&self, item: Item) -> Result<Task> {
        parse(&self.tasks, item)
    }

    fn read_pull_request(&self, item: Item) -> Result<PullRequest> {
        parse(&self.pull_requests, item)
    }

    fn item(&self, value: &impl Serialize) -> Result<Item> {
        serde_dynamo::to_item(value)
            .map_err(|error| Error::Item { table: self.pull_requests.clone(), source: error.into() })
    }

    fn attribute(&self, value: &impl Serialize) -> Result<AttributeValue> {
        serde_dynamo::to_attribute_value(value)
            .map_err(|error| Error::Item { table: self.tasks.clone(), source: error.into() })
    }

    fn optional(&self, value: Option<&impl Serialize>) -> Result<Option<AttributeValue>> {
        value.map(|value| self.attribute(value)).transpose()
    }
}

fn outcome(before: &Task, after: &Task, pull_request: &PullRequest) -> Outcome {
    let key = pull_request.key();
    if before.status != after.status {
        return Outcome::Moved { from: before.status.clone() };
    }
    if !pull_request.task_ids.contains(&before.id) {
        return if before.pull_requests.contains_key(&key) { Outcome::Unlinked } else { Outcome::Unchanged };
    }
    if !after.pull_requests.contains_key(&key) {
        return Outcome::OtherRepository;
    }
    if pull_request.state == State::Merged {
        let status = after.status.clone();
        return if after.completed_by.contains(&key) {
            Outcome::CompletedBefore { status }
        } else {
            Outcome::NotMoved { status }
        };
    }
    if !before.pull_requests.contains_key(&key) {
        Outcome::Linked
    } else if before == after {
        Outcome::Unchanged
    } else {
        Outcome::Updated
    }
}

fn tag_outcome(tag: &KidTag, link: &Link, stepped: &[(TaskId, Outcome)]) -> TaskOutcome {
    let (task, outcome) = match link {
        Link::Task(id) => {
            let found = stepped.iter().find(|(stepped, _)| stepped == id);
            (Some(id.clone()), found.map_or(Outcome::Gone, |(_, outcome)| outcome.clone()))
        }
        Link::NotTaken => {
            // Its tags say nothing, but a task of theirs may be linked by the title that counts.
            let found = stepped.iter().find(|(id, _)| tag.names(id));
            found.map_or((None, Outcome::NotTaken), |(id, outcome)| (Some(id.clone()), outcome.clone()))
        }
        Link::OtherRepository(id) => (Some(id.clone()), Outcome::OtherRepository),
        Link::NoTask => (None, Outcome::NoTask),
        Link::Ambiguous => (None, Outcome::Ambiguous),
        Link::AwaitsPermission => (None, Outcome::AwaitsPermission),
    };
    TaskOutcome { tag: Some(tag.clone()), task, outcome }
}

/// The line that the self-hosted server wrote, which its users look for.
fn log_conflict(before: &Task, after: &Task) {
    if before.has_merge_conflict != after.has_merge_conflict {
        let task = after.id.prefix();
        match after.has_merge_conflict {
            Some(conflict) => tracing::info!("Task {task} has_merge_conflict={conflict}"),
            None => tracing::info!("Task {task} has_merge_conflict=unknown"),
        }
    }
}

/// Between two tries at an item that a transaction holds: 20 ms, doubled each time.
fn pause(attempt: u32) -> std::time::Duration {
    std::time::Duration::from_millis(20 << attempt.min(4))
}

fn parse<T: DeserializeOwned>(table: &str, item: Item) -> Result<T> {
    serde_dynamo::from_item(item).map_err(|error| Error::Item { table: table.to_owned(), source: error.into() })
}

fn failed<E>(table: &str, operation: &'static str, error: E) -> Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    let source = DisplayErrorContext(error).to_string().into();
    Error::Table { table: table.to_owned(), operation, source }
}
