//! The tables of tasks and of pull requests, and the one way in which reports reach them.
//!
//! [`Board::apply`] drives [`domain::protocol`]: it makes the reads and the one transaction that the protocol asks for, and decides nothing.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use domain::base::BaseMove;
use domain::ids::{PullRequestNumber, RepositoryId, TaskId};
use domain::item::ItemKey;
use domain::kid_tag::KidTag;
use domain::outcome::{Applied, Change};
use domain::protocol::{Found, Next, Protocol, RESTS_ON, Read, Stored, Write, Written};
use domain::pull_request::PullRequest;
use domain::report::Report;
use domain::task::Task;
use futures_util::future::try_join_all;
use jiff::Timestamp;

use crate::pause::pause;
use crate::table::{Expression, Item, Operation, Query, Table, number, text};
use crate::{Error, Result};

mod work;

pub use work::{Claim, Due};

/// The tables of tasks and of pull requests.
#[derive(Debug, Clone)]
pub struct Board {
    tasks: Table,
    pull_requests: Table,
}

/// Among how many items of one tag a task that can be read is looked for.
const SEARCHED: usize = 20;

/// Tasks as their items were read: a write is conditional on attributes that may hold anything.
type Raw = HashMap<TaskId, Item>;

impl Board {
    /// The board in two tables.
    pub fn new(client: Client, tasks: impl Into<String>, pull_requests: impl Into<String>) -> Self {
        Self { tasks: Table::new(client.clone(), tasks), pull_requests: Table::new(client, pull_requests) }
    }

    /// Makes the tables agree with a report. It may be called any number of times, by anyone, at the same time.
    ///
    /// Where the tags of the title cover the stored links it takes two round trips after each other, else three; one where nothing changes.
    ///
    /// # Errors
    /// [`crate::Error::Table`] when DynamoDB failed, [`crate::Error::Item`] when a pull request's item is not of the documented shape,
    /// [`crate::Error::Unwritable`] when DynamoDB refuses a write that is not a task's, [`crate::Error::Contention`] when other writers won every try. Nothing was written by then.
    pub async fn apply(&self, report: Report, now: Timestamp) -> Result<Applied> {
        let (mut protocol, mut next) = Protocol::start(report, now);
        let mut raw = Raw::new();
        let mut left_out = BTreeSet::new();
        loop {
            next = match next {
                Next::Read(reads) => {
                    let found = try_join_all(reads.into_iter().map(|read| self.read(read, &left_out))).await?;
                    let (found, items): (Vec<_>, Vec<_>) =
                        found.into_iter().map(|(read, found, items)| ((read, found), items)).unzip();
                    raw.extend(items.into_iter().flatten());
                    protocol.found(found)
                }
                Next::Write(writes) => {
                    let written = match self.write(&writes, &raw).await {
                        Err(error) => match leave_out(error, &writes, &mut left_out) {
                            Err(Error::Unwritable { .. }) if self.replace_spoilt_base(&writes).await? => Written::Busy,
                            decided => decided?,
                        },
                        Ok(written) => written,
                    };
                    if written == Written::Busy {
                        tokio::time::sleep(pause(protocol.tries())).await;
                    }
                    raw.clear();
                    protocol.written(written)
                }
                Next::Done(applied) => {
                    applied.changes.iter().for_each(log_conflict);
                    return Ok(*applied);
                }
                Next::GiveUp => return Err(self.tasks.contention()),
            };
        }
    }

    async fn read(&self, read: Read, left_out: &BTreeSet<TaskId>) -> Result<(Read, Found, Raw)> {
        let mut raw = Raw::new();
        let found = match &read {
            Read::PullRequest(repository, number) => {
                Found::PullRequest(self.pull_request(*repository, *number).await?.map(Box::new))
            }
            Read::Tag(tag) => Found::Tag(self.tagged(tag, left_out, &mut raw).await?),
            Read::Task(id) => match self.tasks.get(task_key(id)).await? {
                Some(item) => Found::Task(self.read_task(id, item, left_out, &mut raw)),
                None => Found::Task(Stored::Absent),
            },
        };
        Ok((read, found, raw))
    }

    /// The stored pull request, read consistently.
    ///
    /// # Errors
    /// [`crate::Error::Table`] or [`crate::Error::Item`].
    pub async fn pull_request(
        &self,
        repository: RepositoryId,
        number: PullRequestNumber,
    ) -> Result<Option<PullRequest>> {
        let item = self.pull_requests.get(key(&ItemKey::pull_request(repository, number))).await?;
        item.map(|item| self.pull_requests.parse(item)).transpose()
    }

    /// The tasks whose ids begin with a tag, up to the second that can be read: whether there is another is all that matters of more.
    async fn tagged(&self, tag: &KidTag, left_out: &BTreeSet<TaskId>, raw: &mut Raw) -> Result<Vec<(TaskId, Stored)>> {
        let mut found: Vec<(TaskId, Stored)> = Vec::new();
        let mut after = None;
        loop {
            let query = Query {
                keys: "prefix = :prefix AND begins_with(id, :tag)",
                values: vec![(":prefix", text(tag.prefix())), (":tag", text(tag.as_str()))],
                limit: Some(2),
                after,
                ..Query::default()
            };
            let page = self.tasks.query(query).await?;
            for item in page.items {
                // What has no id is no task, and must not make a tag ambiguous.
                let id = item
                    .get("id")
                    .and_then(|id| id.as_s().ok())
                    .and_then(|id| id.parse::<TaskId>().ok().filter(|task| task.as_str() == id));
                match id {
                    Some(id) => {
                        let stored = self.read_task(&id, item, left_out, raw);
                        found.push((id, stored));
                    }
                    None => tracing::warn!(
                        prefix = tag.prefix(),
                        "an item of the table of tasks has no task's id; it is left out"
                    ),
                }
            }
            after = page.next;
            let readable = found.iter().filter(|(_, stored)| stored.is_readable()).count();
            // A delivery has no time for thousands that a bad import left.
            if readable >= 2 || after.is_none() || found.len() >= SEARCHED {
                return Ok(found);
            }
        }
    }

    fn read_task(&self, id: &TaskId, item: Item, left_out: &BTreeSet<TaskId>, raw: &mut Raw) -> Stored {
        if left_out.contains(id) {
            return Stored::Unreadable;
        }
        match self.parse_task(&item) {
            Ok(task) => {
                raw.insert(id.clone(), item);
                Stored::Task(Box::new(task))
            }
            Err(error) => {
                tracing::warn!(
                    task = id.as_str(),
                    error = error.chain(),
                    "a task's item cannot be read; it is left out"
                );
                Stored::Unreadable
            }
        }
    }

    /// One conditional write where one operation is all there is, else a transaction.
    async fn write(&self, writes: &[Write], raw: &Raw) -> Result<Written> {
        let mut operations = writes.iter().map(|write| self.operation(write, raw)).collect::<Result<Vec<_>>>()?;
        match operations.len() {
            1 => match operations.pop() {
                Some((table, operation)) => table.write(operation).await,
                None => Ok(Written::Done),
            },
            _ => Table::transact(operations).await,
        }
    }

    /// Whether the base that these writes move could not be read, and can be now.
    async fn replace_spoilt_base(&self, writes: &[Write]) -> Result<bool> {
        let moved = writes.iter().find_map(|write| match write {
            Write::MoveBase(base) | Write::MoveBaseOnce(base) => Some(base),
            _ => None,
        });
        match moved {
            Some(base) => self.replace_spoilt(base).await,
            None => Ok(false),
        }
    }

    fn operation(&self, write: &Write, raw: &Raw) -> Result<(&Table, Operation)> {
        let mut expression = Expression::default();
        Ok(match write {
            Write::PutPullRequest { row, read } => {
                expression.require_version(*read);
                let mut item = self.pull_requests.item(row)?;
                item.extend(key(&ItemKey::pull_request(row.snapshot.repository_id, row.snapshot.number)));
                (&self.pull_requests, Operation::put(item, expression))
            }
            Write::CheckPullRequest { repository_id, number, read } => {
                expression.require_version(*read);
                (
                    &self.pull_requests,
                    Operation::check(key(&ItemKey::pull_request(*repository_id, *number)), expression),
                )
            }
            Write::UpdateTask { before, after } => {
                rest_on(&mut expression, before, raw);
                self.change_task(&mut expression, before, after)?;
                (&self.tasks, Operation::update(task_key(&after.id), expression))
            }
            Write::CheckTask { task } => {
                rest_on(&mut expression, task, raw);
                (&self.tasks, Operation::check(task_key(&task.id), expression))
            }
            Write::CheckNoTask { id } => {
                expression.require("id", None);
                (&self.tasks, Operation::check(task_key(id), expression))
            }
            Write::MoveBase(base) => (&self.pull_requests, self.move_base_operation(base, expression)?),
            Write::MoveBaseOnce(base) => {
                let last = "attribute_not_exists(moved_by) OR moved_by <> :last";
                expression.require_that(last, [(":last", number(base.moved_by))]);
                (&self.pull_requests, self.move_base_operation(base, expression)?)
            }
        })
    }

    /// The attributes that follow from a task's pull requests.
    fn derived(&self, task: &Task) -> Result<[(&'static str, Option<AttributeValue>); 7]> {
        let tasks = &self.tasks;
        Ok([
            ("pull_requests", Some(tasks.attribute(&task.pull_requests)?)),
            ("pull_request", tasks.optional(task.pull_request.as_ref())?),
            ("has_merge_conflict", tasks.optional(task.has_merge_conflict.as_ref())?),
            ("conflict_checked_at", tasks.optional(task.conflict_checked_at.as_ref())?),
            ("conflict_caused_by", tasks.optional(task.conflict_caused_by.as_ref())?),
            ("repository_id", task.repository_id.map(|id| text(id.to_string()))),
            ("bound_name", tasks.optional(task.bound_name.as_ref())?),
        ])
    }

    fn parse_task(&self, item: &Item) -> Result<Task> {
        let mut task: Task = self.tasks.parse(item.clone())?;
        let differs = |(name, value): &(&str, Option<AttributeValue>)| {
            // A board may write null for nothing, each time anew.
            let stored = item.get(*name).filter(|stored| !matches!(stored, AttributeValue::Null(_)));
            stored.is_some_and(|stored| Some(stored) != value.as_ref())
        };
        task.is_spoilt = self.derived(&task)?.iter().any(differs);
        Ok(task)
    }

    /// What is ours of a task. An attribute that is added to it does not compile until it is said here what becomes of it.
    fn change_task(&self, expression: &mut Expression, before: &Task, after: &Task) -> Result<()> {
        #[rustfmt::skip]
        let Task {
            id: _, title: _, is_spoilt: _,
            // By `derived`.
            pull_requests: _, pull_request: _, has_merge_conflict: _, conflict_checked_at: _, conflict_caused_by: _, repository_id: _, bound_name: _,
            version, repository, completed_by, completed_at, history, status, updated_at,
        } = after;
        expression.set("version", number(*version));
        for (name, value) in self.derived(after)? {
            expression.set_or_remove(name, value);
        }
        if *repository != before.repository {
            expression.set_or_remove("repository", self.tasks.optional(repository.as_ref())?);
        }
        if *completed_by != before.completed_by {
            let merges = completed_by.iter().map(ToString::to_string).collect();
            expression.set("completed_by", AttributeValue::Ss(merges));
        }
        // By itself: of a full record the merge that was just spent may be the one that falls out of it.
        if *completed_at != before.completed_at {
            expression.set_or_remove("completed_at", completed_at.map(number));
        }
        if *history != before.history {
            expression.set("history", self.tasks.attribute(history)?);
        }
        if *status != before.status {
            expression.set("status", text(status.as_str()));
        }
        if let Some(at) = updated_at.filter(|_| *updated_at != before.updated_at) {
            expression.set("updated_at", text(at.to_string()));
        }
        Ok(())
    }

    /// Marks a base as moved, on top of earlier moves that nobody has looked at yet.
    fn move_base_operation(&self, base: &BaseMove, mut expression: Expression) -> Result<Operation> {
        let mut item = self.pull_requests.item(base)?;
        for name in ["repository_id", "moves", "version"] {
            item.remove(name);
        }
        for (name, value) in item {
            expression.set(&name, value);
        }
        expression.add("moves", base.moves);
        expression.add("version", 1);
        Ok(Operation::update(key(&ItemKey::base(base.repository_id, &base.base)), expression))
    }
}

/// The condition that a task is as it was when it was read, as far as decisions rest on it. A board that moves a card between our reading and our
/// writing would else be overruled by a decision about another column.
fn rest_on(expression: &mut Expression, task: &Task, raw: &Raw) {
    let item = raw.get(&task.id);
    // The version as it is stored: a board may have made the card with one that reads as none.
    for name in ["id", "version"].into_iter().chain(RESTS_ON) {
        expression.require(name, item.and_then(|item| item.get(name)));
    }
}

/// A task whose write DynamoDB refuses counts as one that cannot be read: its tag stays owed, and the pull request's row and every other task
/// are written. Without this, a card near 400 KB stops each card that a title names beside it.
fn leave_out(error: crate::Error, writes: &[Write], left_out: &mut BTreeSet<TaskId>) -> Result<Written> {
    let crate::Error::Unwritable { at, .. } = &error else { return Err(error) };
    // All at once: one a try, a title with many of them would spend every try.
    let left_before = left_out.len();
    for at in at {
        if let Some(Write::UpdateTask { before, .. }) = writes.get(*at) {
            let task = before.id.as_str();
            tracing::warn!(task, error = error.chain(), "a task's item cannot be written; it is left out");
            left_out.insert(before.id.clone());
        }
    }
    if left_out.len() > left_before { Ok(Written::Lost) } else { Err(error) }
}

fn key(key: &ItemKey) -> Item {
    HashMap::from([("repository_id".to_owned(), text(&key.partition)), ("item".to_owned(), text(&key.item))])
}

fn task_key(id: &TaskId) -> Item {
    HashMap::from([("prefix".to_owned(), text(id.prefix())), ("id".to_owned(), text(id.as_str()))])
}

/// The line that the self-hosted server wrote, which its users look for.
fn log_conflict(change: &Change) {
    let (before, after) = (&change.before, &change.after);
    if before.has_merge_conflict != after.has_merge_conflict {
        let task = after.id.prefix();
        match after.has_merge_conflict {
            Some(conflict) => tracing::info!("Task {task} has_merge_conflict={conflict}"),
            None => tracing::info!("Task {task} has_merge_conflict=unknown"),
        }
    }
}
