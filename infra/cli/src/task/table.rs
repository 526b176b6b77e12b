//! The board's side of the table of tasks.
//!
//! Every write names the attributes that the board owns and is conditional on what was read, so that it neither takes
//! back what the functions wrote meanwhile nor makes a task out of a deleted one.

use std::collections::HashMap;

use adapters::table::Item;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use domain::ids::{RepositoryName, TaskId};
use domain::kid_tag::{KidTag, MIN_DIGITS};
use domain::protocol::Stored;
use domain::task::{Status, Task};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::aws::{Call, Session};
use crate::failure::Failure;
use crate::subject::Subject;

/// A task with what the board alone reads of it.
#[derive(Debug)]
pub(crate) struct Card {
    pub(crate) task: Task,
    pub(crate) board: BoardSide,
    item: Item,
}

#[derive(Debug, Deserialize)]
pub(crate) struct BoardSide {
    #[serde(default)]
    pub(crate) priority: Option<String>,
    #[serde(default)]
    pub(crate) created_at: Option<String>,
    #[serde(default)]
    pub(crate) updated_at: Option<String>,
}

/// A task that is to be.
#[derive(Debug, Serialize)]
pub(super) struct NewTask {
    pub(super) title: String,
    pub(super) status: Status,
    pub(super) priority: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) repository: Option<RepositoryName>,
    pub(super) created_at: Timestamp,
}

impl Card {
    /// An item, if it is of the documented shape.
    pub(crate) fn read(item: Item) -> Option<Self> {
        let task = serde_dynamo::from_item(item.clone()).ok()?;
        let board = serde_dynamo::from_item(item.clone()).ok()?;
        Some(Self { task, board, item })
    }

    /// As the rules read it.
    pub(crate) fn stored(&self) -> Stored {
        Stored::Task(Box::new(self.task.clone()))
    }

    /// Everything that the table holds of it.
    pub(crate) fn json(&self) -> Result<Value, Failure> {
        serde_dynamo::from_item(self.item.clone())
            .map_err(|error| Failure::new(format!("the task {} is not readable as JSON: {error}", self.task.id)))
    }

    /// The most urgent first, then the oldest. What has no priority comes last.
    pub(crate) fn rank(&self) -> (&str, &str, &TaskId) {
        // Sorts after every digit and letter.
        let last = "~";
        let priority = self.board.priority.as_deref().unwrap_or(last);
        (priority, self.board.created_at.as_deref().unwrap_or(last), &self.task.id)
    }
}

/// The table.
pub(crate) struct Tasks {
    client: Client,
    session: Session,
    table: String,
}

impl Tasks {
    pub(crate) fn new(session: Session, table: String) -> Self {
        Self { client: Client::new(&session.config), session, table }
    }

    /// Puts a new task on the board.
    ///
    /// Its id is random from the first digit on: the ids of UUID version 7 begin alike for a minute, and so would the
    /// tags of the tasks created in it.
    pub(super) async fn create(&self, new: &NewTask) -> Result<Card, Failure> {
        let id = Uuid::new_v4().simple().to_string();
        let mut item: Item =
            serde_dynamo::to_item(new).map_err(|error| Failure::new(format!("the task cannot be written: {error}")))?;
        item.extend(key(&id));
        item.insert("updated_at".to_owned(), text(new.created_at.to_string()));
        let answer = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item.clone()))
            .condition_expression("attribute_not_exists(id)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        if let Err(error) = answer {
            let there = match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failure)) => failure.item(),
                _ => None,
            };
            // A write whose answer was lost is sent again by the SDK, and then meets itself.
            if there != Some(&item) {
                return Err(self.failure("dynamodb:PutItem", &error));
            }
        }
        Card::read(item).ok_or_else(|| Failure::new("the new task is not of the documented shape"))
    }

    /// Every task, and how many items are none.
    pub(crate) async fn all(&self) -> Result<(Vec<Card>, usize), Failure> {
        let mut pages = self.client.scan().table_name(&self.table).into_paginator().send();
        let (mut cards, mut unreadable) = (Vec::new(), 0);
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failure("dynamodb:Scan", &error))?;
            for item in page.items.unwrap_or_default() {
                match Card::read(item) {
                    Some(card) => cards.push(card),
                    None => unreadable += 1,
                }
            }
        }
        Ok((cards, unreadable))
    }

    /// The one task that is named so.
    pub(crate) async fn one(&self, subject: &Subject) -> Result<Card, Failure> {
        let mut found = match subject {
            Subject::Task(tag) => self.find(tag).await?,
            Subject::PullRequest { .. } => self.of_pull_request(subject).await?,
        };
        match (found.pop(), found.pop(), subject) {
            (Some(card), None, _) => Ok(card),
            (None, _, Subject::Task(tag)) => {
                Err(Failure::new(format!("no task has an id that begins with {tag}: see `{} task list`", crate::NAME)))
            }
            (Some(_), Some(_), Subject::Task(tag)) => {
                Err(Failure::new(format!("more than one task has an id that begins with {tag}: give more digits")))
            }
            (None, _, pull_request) => Err(Failure::new(format!(
                "no task is linked to {pull_request}: name the task by its id, or see `{} explain {pull_request}`",
                crate::NAME
            ))),
            (Some(one), Some(other), pull_request) => {
                found.extend([other, one]);
                let ids: Vec<_> = found.iter().map(|card| card.task.id.prefix()).collect();
                let ids = ids.join(", ");
                Err(Failure::new(format!("{pull_request} is linked to several tasks, {ids}: name one of them")))
            }
        }
    }

    /// The tasks that a pull request is linked to. No index leads there: this reads the whole table.
    async fn of_pull_request(&self, pull_request: &Subject) -> Result<Vec<Card>, Failure> {
        let (mut cards, _) = self.all().await?;
        cards.retain(|card| card.task.pull_requests.values().any(|linked| pull_request.is_page(&linked.url)));
        Ok(cards)
    }

    /// The tasks that a tag names, two at most: whether there is another is all that matters of the others.
    pub(crate) async fn find(&self, tag: &KidTag) -> Result<Vec<Card>, Failure> {
        let found = self.beginning_with(tag.prefix(), tag.as_str(), Some(2)).await?;
        let cards = found.into_iter().map(|item| {
            Card::read(item).ok_or_else(|| {
                Failure::new(format!("the item {tag} of the table {} is not of a task's shape", self.table))
            })
        });
        cards.collect()
    }

    /// The fewest digits, 8 at least, that no other task's id begins with.
    pub(crate) async fn shortest_tag(&self, id: &TaskId) -> Result<String, Failure> {
        let items = self.beginning_with(id.prefix(), id.prefix(), None).await?;
        let others = items.iter().filter_map(|item| item.get("id")?.as_s().ok()).filter(|other| *other != id.as_str());
        let shared = others.map(|other| digits_in_common(id.as_str(), other)).max();
        let digits = shared.map_or(MIN_DIGITS, |shared| MIN_DIGITS.max(shared + 1));
        Ok(id.as_str().chars().take(digits).collect())
    }

    /// Moves a task out of the column that it was read in. The condition makes sure of that: a merge may have moved it
    /// to `done` meanwhile, and whoever moves it out of there should know.
    pub(crate) async fn move_task(&self, task: &Task, to: &Status, now: Timestamp) -> Result<(), Failure> {
        let call = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(task.id.as_str())))
            .update_expression("SET #status = :to, updated_at = :now")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":to", text(to.as_str()))
            .expression_attribute_values(":now", text(now.to_string()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let call = match task.status.as_str() {
            // As tasks without the attribute are read.
            "" => call.condition_expression("attribute_exists(id) AND attribute_not_exists(#status)"),
            from => call
                .condition_expression("attribute_exists(id) AND #status = :from")
                .expression_attribute_values(":from", text(from)),
        };
        let Err(error) = call.send().await else { return Ok(()) };
        let Some(UpdateItemError::ConditionalCheckFailedException(failure)) = error.as_service_error() else {
            return Err(self.failure("dynamodb:UpdateItem", &error));
        };
        let there = failure.item();
        // A write whose answer was lost is sent again by the SDK, and then meets itself. It is told by its time, to the nanosecond: in one
        // millisecond two agents took the same task, and both believed that it was theirs.
        let is = |name: &str, value: &str| attribute(there, name) == Some(value);
        if is("status", to.as_str()) && is("updated_at", &now.to_string()) {
            return Ok(());
        }
        Err(Failure::new(match attribute(there, "status") {
            Some(status) => {
                format!("{} was moved to {status} meanwhile: look again before you move it", task.id.prefix())
            }
            None => format!("{} was deleted meanwhile", task.id.prefix()),
        }))
    }

    /// The items whose id begins so, read consistently.
    async fn beginning_with(&self, prefix: &str, start: &str, limit: Option<i32>) -> Result<Vec<Item>, Failure> {
        let mut found = Vec::new();
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("prefix = :prefix AND begins_with(id, :start)")
            .expression_attribute_values(":prefix", text(prefix))
            .expression_attribute_values(":start", text(start))
            .consistent_read(true)
            .set_limit(limit)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failure("dynamodb:Query", &error))?;
            found.extend(page.items.unwrap_or_default());
            if limit.is_some_and(|limit| usize::try_from(limit).is_ok_and(|limit| found.len() >= limit)) {
                break;
            }
        }
        Ok(found)
    }

    fn failure<E, R>(&self, action: &'static str, error: &SdkError<E, R>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        let call = Call {
            service: "DynamoDB",
            action,
            resource: &format!("table {}", self.table),
            if_missing: "name the stack's table with --tasks-table or TASKS_TABLE, and check the region",
            session: &self.session,
        };
        call.failure(error)
    }
}

fn key(id: &str) -> Item {
    let prefix = id.chars().take(MIN_DIGITS).collect::<String>();
    HashMap::from([("prefix".to_owned(), text(prefix)), ("id".to_owned(), text(id))])
}

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn attribute<'a>(item: Option<&'a Item>, name: &str) -> Option<&'a str> {
    item?.get(name)?.as_s().ok().map(String::as_str)
}

fn digits_in_common(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count()
}
