//! The board's side of the table of tasks.
//!
//! Every write names the attributes that the board owns and is conditional on what was read, so that it neither takes
//! back what the functions wrote meanwhile nor makes a task out of a deleted one.

use adapters::table::{Expression, Item, Operation, Page, Query, Table, text};
use aws_sdk_dynamodb::Client;
use domain::ids::{RepositoryName, TaskId};
use domain::kid_tag::{KidTag, MIN_DIGITS};
use domain::protocol::Stored;
use domain::task::{Status, Task};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::aws::Session;
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
    session: Session,
    table: Table,
}

impl Tasks {
    pub(crate) fn new(session: Session, table: String) -> Self {
        Self { table: Table::new(Client::new(&session.config), table), session }
    }

    /// Puts a new task on the board.
    ///
    /// Its id is random from the first digit on: the ids of UUID version 7 begin alike for a minute, and so would the
    /// tags of the tasks created in it.
    pub(super) async fn create(&self, new: &NewTask) -> Result<Card, Failure> {
        let id = TaskId::try_from(Uuid::new_v4().simple().to_string())
            .map_err(|error| Failure::new(format!("a new id cannot be made: {error}")))?;
        let mut item: Item =
            serde_dynamo::to_item(new).map_err(|error| Failure::new(format!("the task cannot be written: {error}")))?;
        item.extend(key(&id));
        item.insert("updated_at".to_owned(), text(new.created_at.to_string()));
        let mut new = Expression::default();
        new.require("id", None);
        let there = self.write(Operation::put(item.clone(), new)).await?;
        // A write whose answer was lost is sent again by the SDK, and then meets itself.
        if there.is_some_and(|there| there != item) {
            return Err(Failure::new(format!("there is a task {id} already: try again")));
        }
        Card::read(item).ok_or_else(|| Failure::new("the new task is not of the documented shape"))
    }

    /// Every task, and how many items are none.
    pub(crate) async fn all(&self) -> Result<(Vec<Card>, usize), Failure> {
        let (mut cards, mut unreadable, mut after) = (Vec::new(), 0, None);
        loop {
            let Page { items, next } = self.table.scan(after).await.map_err(|error| self.failure(error))?;
            for item in items {
                match Card::read(item) {
                    Some(card) => cards.push(card),
                    None => unreadable += 1,
                }
            }
            after = next;
            if after.is_none() {
                return Ok((cards, unreadable));
            }
        }
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
                Failure::new(format!("the item {tag} of the table {} is not of a task's shape", self.table.name()))
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
        let change = [("status", text(to.as_str())), ("updated_at", text(now.to_string()))];
        let mut change = Expression::setting(change);
        change.require_that("attribute_exists(id)", []);
        // Tasks without the attribute are read as in the column "".
        let from = Some(task.status.as_str()).filter(|from| !from.is_empty()).map(text);
        change.require("status", from.as_ref());
        let Some(there) = self.write(Operation::update(key(&task.id), change)).await? else { return Ok(()) };
        // A write whose answer was lost is sent again by the SDK, and then meets itself. It is told by its time, to the nanosecond: in one
        // millisecond two agents took the same task, and both believed that it was theirs.
        let is = |name: &str, value: &str| attribute(&there, name) == Some(value);
        if is("status", to.as_str()) && is("updated_at", &now.to_string()) {
            return Ok(());
        }
        Err(Failure::new(match attribute(&there, "status") {
            Some(status) => {
                format!("{} was moved to {status} meanwhile: look again before you move it", task.id.prefix())
            }
            None => format!("{} was deleted meanwhile", task.id.prefix()),
        }))
    }

    /// The items whose id begins so, read consistently.
    async fn beginning_with(&self, prefix: &str, start: &str, limit: Option<usize>) -> Result<Vec<Item>, Failure> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let keys = "prefix = :prefix AND begins_with(id, :start)";
            let values = vec![(":prefix", text(prefix)), (":start", text(start))];
            let query = Query { keys, values, limit, after, ..Query::default() };
            let page = self.table.query(query).await.map_err(|error| self.failure(error))?;
            found.extend(page.items);
            after = page.next;
            if after.is_none() || limit.is_some_and(|limit| found.len() >= limit) {
                return Ok(found);
            }
        }
    }

    async fn write(&self, operation: Operation) -> Result<Option<Item>, Failure> {
        self.table.write_or_get(operation).await.map_err(|error| self.failure(error))
    }

    fn failure(&self, error: adapters::Error) -> Failure {
        let if_missing = "name the stack's table with --tasks-table or TASKS_TABLE, and check the region";
        self.session.table_failure(error, if_missing)
    }
}

fn key(id: &TaskId) -> Item {
    Item::from([("prefix".to_owned(), text(id.prefix())), ("id".to_owned(), text(id.as_str()))])
}

fn attribute<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

fn digits_in_common(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count()
}
