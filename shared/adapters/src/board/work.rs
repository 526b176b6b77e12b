//! What is owed an answer: finding it, claiming it, and leaving it for later.
//!
//! An item on the work list has `due` and `next_check_at`. Whoever works on it first moves `next_check_at` past its own life,
//! on condition that nobody else did; if it dies, the item is due again by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use domain::base::BaseMove;
use domain::ids::{InstallationId, PullRequestKey, PullRequestNumber, RepositoryId, TaskId, repository_id_as_text};
use domain::item::{Item, ItemKey, Kind};
use domain::protocol::Written;
use domain::pull_request::PullRequest;
use domain::schedule::{DUE, Schedule};
use domain::served::Served;
use domain::sync::{Blocked, InstallationSync, RepositorySync};
use domain::task::{CLOCK_SKEW, Task};
use serde::Deserialize;

use super::{Board, key};
use crate::pause::pause;
use crate::table::{self, Expression, Operation, Query, number, text};
use crate::{Error, Result};

/// The index of what is owed: `due`, `next_check_at` and the table's keys.
const DUE_INDEX: &str = "due-index";

/// How often a write is tried again that another transaction is in the way of.
const TRIES: u32 = 8;

/// How many stored pull requests are read at once: each may have its cards written before the time is looked at again.
const STORED_AT_ONCE: usize = 200;

/// How many entries of the due index come in one answer: a megabyte of them would be tens of megabytes once it is read.
const DUE_AT_ONCE: usize = 1_000;

/// How many resyncs are asked at once by whom their repositories are listed.
const LISTED_AT_ONCE: usize = 1_000;

/// An entry of the due index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The key of the item that is due.
    pub key: ItemKey,
    /// The partition of the index that it stands in.
    pub due: Arc<str>,
    /// Since when, as the number that is stored: another writer may have put a fraction there, or more than fits. See [`Self::since`].
    pub next_check_at: String,
}

impl Due {
    /// An entry of this partition of the index; `None` for one that has not the keys of the index.
    fn read(partition: &Arc<str>, entry: &table::Item) -> Option<Self> {
        let text = |name: &str| entry.get(name)?.as_s().ok().cloned();
        let key = ItemKey { partition: text("repository_id")?, item: text("item")? };
        let next_check_at = entry.get("next_check_at")?.as_n().ok()?.clone();
        Some(Self { key, due: Arc::clone(partition), next_check_at })
    }

    /// Since when, epoch seconds, as near as they come to what is stored.
    pub fn since(&self) -> i64 {
        // By way of a float, which every number of DynamoDB's can be read as: one that is odd must not hold up all that is due beside it.
        self.next_check_at.parse::<f64>().map_or(i64::MIN, |seconds| seconds as i64)
    }
}

/// On what condition an item is claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It asks to be looked at now, as the stream says.
    IfAsked,
    /// It is still due as the index says.
    IfDue(Due),
    /// It exists: an operator asks.
    IfThere,
}

/// What is asked of the resyncs of many repositories.
#[derive(Deserialize)]
struct Listed {
    #[serde(with = "repository_id_as_text")]
    repository_id: RepositoryId,
    installation_id: Option<InstallationId>,
}

impl Board {
    /// What is due at `now` of one partition of the index, the longest overdue first, at most `limit` entries.
    ///
    /// # Errors
    /// [`crate::Error::Table`].
    pub async fn due(&self, partition: &str, now: i64, limit: usize) -> Result<Vec<Due>> {
        let partition = Arc::from(partition);
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let query = Query {
                index: Some(DUE_INDEX),
                keys: "due = :due AND next_check_at <= :now",
                values: vec![(":due", text(&*partition)), (":now", number(now))],
                limit: Some(DUE_AT_ONCE.min(limit - found.len())),
                after,
            };
            let page = self.pull_requests.query(query).await?;
            for entry in page.items {
                match Due::read(&partition, &entry) {
                    Some(due) => found.push(due),
                    None => tracing::warn!(%partition, "an entry of the due index has odd keys; it is left out"),
                }
            }
            after = page.next;
            if after.is_none() || found.len() >= limit {
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
    /// [`crate::Error::Table`] or [`crate::Error::Item`].
    pub async fn claim(&self, item: &ItemKey, claim: &Claim, until: i64) -> Result<Option<Item>> {
        let mut expression = Expression::default();
        expression.set("next_check_at", number(until));
        if !item.is_sync() {
            expression.set("check", text("later"));
        }
        match claim {
            Claim::IfAsked => {
                expression.require("due", Some(&text(DUE)));
                expression.require("check", Some(&text("now")));
            }
            Claim::IfDue(due) => {
                expression.require("due", Some(&text(&*due.due)));
                expression.require("next_check_at", Some(&number(&due.next_check_at)));
            }
            Claim::IfThere => {
                expression.set("due", text(DUE));
                expression.require("repository_id", Some(&text(&item.partition)));
            }
        }
        expression.add("version", 1);
        // A transaction that holds the item is about to change it: whoever does leaves it owed or settled.
        let (_, found) = self.pull_requests.update_and_get(key(item), expression).await?;
        let read = found.map(|found| self.read_item(item, found)).transpose().map(Option::flatten);
        if let (Err(_), Claim::IfDue(due)) = (&read, claim) {
            self.put_back(due, until).await?;
        }
        read
    }

    /// Takes back the claim of an item that cannot be read: claimed anew by each run it would never be long overdue, and nobody be told.
    async fn put_back(&self, due: &Due, until: i64) -> Result<()> {
        let mut expression = Expression::default();
        expression.set("next_check_at", number(&due.next_check_at));
        expression.require("next_check_at", Some(&number(until)));
        self.pull_requests.write(Operation::update(key(&due.key), expression)).await.map(drop)
    }

    /// Changes when an item is looked at, if nobody wrote it since it was read. `false`: somebody did, and leaves it owed or settled.
    ///
    /// # Errors
    /// [`crate::Error::Table`].
    pub async fn reschedule(&self, item: &Item, schedule: &Schedule) -> Result<bool> {
        let mut expression = Expression::default();
        self.schedule(&mut expression, schedule)?;
        self.update_item(item, expression).await
    }

    /// Notes that every pull request on a base was checked since it moved. `false`: it moved again meanwhile, and stays owed.
    ///
    /// # Errors
    /// [`crate::Error::Table`].
    pub async fn settle_base(&self, base: &BaseMove) -> Result<bool> {
        let mut expression = Expression::default();
        self.schedule(&mut expression, &Schedule::default())?;
        expression.set("moves", number(0));
        expression.set_or_remove("movers", None);
        self.update_item(&Item::Base(Box::new(base.clone())), expression).await
    }

    fn schedule(&self, expression: &mut Expression, schedule: &Schedule) -> Result<()> {
        expression.set_or_remove("check", self.pull_requests.optional(schedule.check.as_ref())?);
        expression.set_or_remove("due", schedule.due.as_ref().map(text));
        expression.set_or_remove("next_check_at", schedule.next_check_at.map(number));
        expression.set("attempts", number(schedule.attempts));
        expression.set_or_remove("failing", self.pull_requests.optional(schedule.failing.as_ref())?);
        Ok(())
    }

    async fn update_item(&self, item: &Item, mut expression: Expression) -> Result<bool> {
        expression.require_version(item.version());
        expression.set("version", number(item.version() + 1));
        let written = self.pull_requests.write(Operation::update(key(&item.key()), expression)).await?;
        Ok(written == Written::Done)
    }

    /// Writes a resync as it is now; `item` has the version it was read with. `false`: somebody else was faster.
    ///
    /// # Errors
    /// [`crate::Error::Table`] or [`crate::Error::Item`].
    pub async fn put(&self, item: &Item) -> Result<bool> {
        let table = &self.pull_requests;
        let mut written = match item {
            Item::PullRequest(item) => table.item(item)?,
            Item::Base(item) => table.item(item)?,
            Item::Repository(item) => table.item(item)?,
            Item::Installation(item) => table.item(item)?,
            Item::Scan(item) => table.item(item)?,
        };
        written.extend(key(&item.key()));
        written.insert("version".to_owned(), number(item.version() + 1));
        let mut expression = Expression::default();
        expression.require_version(item.version());
        Ok(table.write(Operation::put(written, expression)).await? == Written::Done)
    }

    /// What is known of a base branch, if it can be read.
    ///
    /// # Errors
    /// [`crate::Error::Table`].
    pub async fn base(&self, repository: RepositoryId, branch: &str) -> Result<Option<BaseMove>> {
        let item = self.pull_requests.get(key(&ItemKey::base(repository, branch))).await?;
        Ok(readable(item, |item| self.pull_requests.parse(item)).pop())
    }

    /// Puts a move in the place of one that cannot be read, and that no move can be added to: else no merge into the base would count.
    /// What stood there is not known, so nobody is blamed. `false`: the item can be read.
    pub(super) async fn replace_spoilt(&self, base: &BaseMove) -> Result<bool> {
        let key = key(&ItemKey::base(base.repository_id, &base.base));
        let stored = self.pull_requests.get(key.clone()).await?;
        if stored.is_none_or(|item| self.pull_requests.parse::<BaseMove>(item).is_ok()) {
            return Ok(false);
        }
        let mut item = self.pull_requests.item(&base.by_nobody())?;
        item.extend(key);
        self.pull_requests.write(Operation::put(item, Expression::default())).await.map(|_| true)
    }

    /// Marks a base as moved by merges that nobody may have heard of, the last of which ended at `ended_at`, epoch seconds.
    /// Does nothing if the base is known to have moved since: whoever looked after that saw those merges too.
    ///
    /// # Errors
    /// [`crate::Error::Table`], [`crate::Error::Item`] or [`crate::Error::Contention`].
    pub async fn move_base(&self, base: &BaseMove, ended_at: i64) -> Result<()> {
        let mut expression = Expression::default();
        let ended = number(ended_at.saturating_add(CLOCK_SKEW));
        expression.require_that("attribute_not_exists(moved_at) OR moved_at < :ended", [(":ended", ended)]);
        self.write_base(base, expression).await
    }

    /// Marks a base as moved by a push. It commutes with the moves of merges.
    ///
    /// # Errors
    /// [`crate::Error::Table`], [`crate::Error::Item`] or [`crate::Error::Contention`].
    pub async fn push_base(&self, base: &BaseMove) -> Result<()> {
        self.write_base(base, Expression::default()).await
    }

    async fn write_base(&self, base: &BaseMove, condition: Expression) -> Result<()> {
        let operation = self.move_base_operation(base, condition)?;
        for attempt in 0..TRIES {
            match self.pull_requests.write(operation.clone()).await {
                Ok(Written::Busy) => tokio::time::sleep(pause(attempt)).await,
                Ok(Written::Done | Written::Lost) => return Ok(()),
                Err(Error::Unwritable { .. }) if self.replace_spoilt(base).await? => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Err(self.pull_requests.contention())
    }

    /// What is known of an installation, if it can be read: its pull requests do not wait until somebody mends that.
    ///
    /// # Errors
    /// [`crate::Error::Table`].
    pub async fn installation(&self, installation: Option<InstallationId>) -> Result<Option<InstallationSync>> {
        let item = self.pull_requests.get(key(&ItemKey::installation(installation))).await?;
        Ok(readable(item, |item| self.pull_requests.parse(item)).pop())
    }

    /// Notes for every execution environment that nothing is to be asked for an installation, or that it may be again. `before`: what was known.
    ///
    /// Others may have noted something meanwhile: of two the one that ends later counts, and only what was known is ended.
    ///
    /// # Errors
    /// [`crate::Error::Table`] or [`crate::Error::Item`].
    pub async fn block(
        &self,
        installation: Option<InstallationId>,
        before: Option<&Blocked>,
        blocked: Option<&Blocked>,
    ) -> Result<()> {
        let item = ItemKey::installation(installation);
        let mut expression = Expression::default();
        expression.set_or_remove("blocked", self.pull_requests.optional(blocked)?);
        expression.add("version", 1);
        expression.require("repository_id", Some(&text(&item.partition)));
        match blocked {
            Some(blocked) => {
                expression.call("#until", "until");
                let until = [(":until", number(blocked.until))];
                expression.require_that("attribute_not_exists(blocked) OR blocked.#until < :until", until);
            }
            None => expression.require("blocked", self.pull_requests.optional(before)?.as_ref()),
        }
        self.pull_requests.write(Operation::update(key(&item), expression)).await.map(drop)
    }

    /// Notes which installations are served, if that is not what is known already.
    ///
    /// # Errors
    /// [`crate::Error::Table`] or [`crate::Error::Item`].
    pub async fn serve(&self, served: &Served) -> Result<()> {
        let mut item = self.pull_requests.item(served)?;
        let mut expression = Expression::default();
        match item.get("installations") {
            Some(list) => expression.require_that(
                "attribute_not_exists(installations) OR installations <> :list",
                [(":list", list.clone())],
            ),
            None => {
                expression.require_that("attribute_not_exists(repository_id) OR attribute_exists(installations)", []);
            }
        }
        item.extend(key(&Served::key()));
        self.pull_requests.write(Operation::put(item, expression)).await.map(drop)
    }

    /// Which installations are served; `None` where the webhook has not written it yet, the table was lost, or it cannot be read: the next signed
    /// delivery writes it anew.
    ///
    /// # Errors
    /// [`crate::Error::Table`].
    pub async fn served(&self) -> Result<Option<Served>> {
        let item = self.pull_requests.get(key(&Served::key())).await?;
        Ok(readable(item, |item| self.pull_requests.parse(item)).pop())
    }

    /// The stored ones of these pull requests of one repository, read consistently.
    ///
    /// # Errors
    /// [`crate::Error::Table`] or [`crate::Error::Item`].
    pub async fn pull_requests(
        &self,
        repository: RepositoryId,
        numbers: &[PullRequestNumber],
    ) -> Result<HashMap<PullRequestNumber, PullRequest>> {
        let rows = self.rows(numbers.iter().map(|number| (repository, *number))).await?;
        Ok(rows.into_values().map(|row| (row.snapshot.number, row)).collect())
    }

    /// A page of the pull requests that are stored of a repository, and behind which number the next one begins.
    ///
    /// # Errors
    /// [`crate::Error::Table`] or [`crate::Error::Item`].
    pub async fn stored_in(
        &self,
        repository: RepositoryId,
        after: Option<PullRequestNumber>,
    ) -> Result<(Vec<PullRequest>, Option<PullRequestNumber>)> {
        let mut after = after.map(|number| key(&ItemKey::pull_request(repository, number)));
        let mut rows = Vec::new();
        loop {
            let query = Query {
                keys: "repository_id = :repository AND begins_with(#item, :prefix)",
                values: vec![(":repository", text(repository.to_string())), (":prefix", text("pr#"))],
                limit: Some(STORED_AT_ONCE),
                after,
                ..Query::default()
            };
            let page = self.pull_requests.query(query).await?;
            rows.extend(readable(page.items, |item| self.pull_requests.parse(item)));
            let Some(next) = page.next else { return Ok((rows, None)) };
            let number = next.get("item").and_then(|item| item.as_s().ok()?.strip_prefix("pr#")?.parse().ok());
            // Behind the number of a key that is spelt oddly, such as `pr# 7`, or without one, the next page would leave rows out.
            if let Some(number) = number.filter(|number| key(&ItemKey::pull_request(repository, *number)) == next) {
                return Ok((rows, Some(number)));
            }
            after = Some(next);
        }
    }

    /// The stored ones of these pull requests of any repositories that can be read, read consistently.
    ///
    /// # Errors
    /// [`crate::Error::Table`].
    pub async fn rows(
        &self,
        wanted: impl IntoIterator<Item = (RepositoryId, PullRequestNumber)>,
    ) -> Result<BTreeMap<PullRequestKey, PullRequest>> {
        let wanted: BTreeSet<_> =
            wanted.into_iter().map(|(repository, number)| ItemKey::pull_request(repository, number)).collect();
        let items = self.pull_requests.get_many(wanted.iter().map(key).collect()).await?;
        let rows: Vec<PullRequest> = readable(items, |item| self.pull_requests.parse(item));
        Ok(rows.into_iter().map(|row| (row.key(), row)).collect())
    }

    /// These tasks, those that can be read.
    ///
    /// # Errors
    /// [`crate::Error::Table`].
    pub async fn tasks(&self, ids: impl IntoIterator<Item = TaskId>) -> Result<Vec<Task>> {
        let ids: BTreeSet<_> = ids.into_iter().collect();
        let items = self.tasks.get_many(ids.iter().map(super::task_key).collect()).await?;
        Ok(readable(items, |item| self.parse_task(&item)))
    }

    /// A page of all tasks, those that can be read under their own key, and behind which key the next one begins.
    ///
    /// # Errors
    /// [`crate::Error::Table`].
    pub async fn all_tasks(&self, after: Option<&(String, String)>) -> Result<(Vec<Task>, Option<(String, String)>)> {
        let after =
            after.map(|(prefix, id)| HashMap::from([("prefix".to_owned(), text(prefix)), ("id".to_owned(), text(id))]));
        let page = self.tasks.scan(after).await?;
        let part = |item: &table::Item, name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
        let next = page.next.as_ref().and_then(|next| Some((part(next, "prefix")?, part(next, "id")?)));
        // Of one under another key, such as a copy, nothing can be written; and who went on behind the id's own would be somewhere else.
        let is_its_own = |item: &table::Item| {
            let id = part(item, "id").and_then(|id| id.parse::<TaskId>().ok());
            id.is_none_or(|id| super::task_key(&id).iter().all(|(name, value)| item.get(name) == Some(value)))
        };
        let items = page.items.into_iter().filter(is_its_own);
        Ok((readable(items, |item| self.parse_task(&item)), next))
    }

    /// The stored resyncs of these repositories, those that can be read.
    ///
    /// # Errors
    /// [`crate::Error::Table`].
    pub async fn repository_syncs(&self, repositories: &[RepositoryId]) -> Result<Vec<RepositorySync>> {
        let keys = repositories.iter().map(|id| key(&ItemKey::repository(*id)));
        let items = self.pull_requests.get_many(keys.collect()).await?;
        Ok(readable(items, |item| self.pull_requests.parse(item)))
    }

    /// By which installation each of these repositories was listed, of those whose resync is stored.
    ///
    /// It is asked of all that are due, and the whole resync of one may have hundreds of bases in it: held at once, they would be more than a
    /// function's memory.
    ///
    /// # Errors
    /// [`crate::Error::Table`].
    pub async fn listed_by(
        &self,
        repositories: &[RepositoryId],
    ) -> Result<BTreeMap<RepositoryId, Option<InstallationId>>> {
        let mut listed = BTreeMap::new();
        for some in repositories.chunks(LISTED_AT_ONCE) {
            let keys = some.iter().map(|id| key(&ItemKey::repository(*id)));
            let items = self.pull_requests.get_parts(keys.collect(), Some("repository_id, installation_id")).await?;
            let read: Vec<Listed> = readable(items, |item| self.pull_requests.parse(item));
            listed.extend(read.into_iter().map(|sync| (sync.repository_id, sync.installation_id)));
        }
        Ok(listed)
    }

    fn read_item(&self, key: &ItemKey, item: table::Item) -> Result<Option<Item>> {
        let table = &self.pull_requests;
        Ok(Some(match key.kind() {
            Some(Kind::PullRequest) => Item::PullRequest(Box::new(table.parse(item)?)),
            Some(Kind::Base) => Item::Base(Box::new(table.parse(item)?)),
            Some(Kind::Repository) => Item::Repository(Box::new(table.parse(item)?)),
            Some(Kind::Installation) => Item::Installation(Box::new(table.parse(item)?)),
            Some(Kind::Scan) => Item::Scan(Box::new(table.parse(item)?)),
            None => return Ok(None),
        }))
    }
}

/// Those of these items that can be read: one that another writer has spoilt stops nobody who reads the others.
fn readable<T>(items: impl IntoIterator<Item = table::Item>, parse: impl Fn(table::Item) -> Result<T>) -> Vec<T> {
    let left_out =
        |error: &crate::Error| tracing::warn!(error = error.chain(), "an item cannot be read; it is left out");
    items.into_iter().filter_map(|item| parse(item).inspect_err(left_out).ok()).collect()
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::primitives::Blob;
    use aws_sdk_dynamodb::types::AttributeValue;
    use domain::scan::TaskScan;
    use serde_json::{Value, json};

    use super::*;

    /// DynamoDB's JSON as the SDK gives it; whatever it does not know is left out.
    fn attributes(item: &Value) -> table::Item {
        let attribute = |(name, value): (&String, &Value)| Some((name.clone(), attribute(value)?));
        item.as_object().into_iter().flatten().filter_map(attribute).collect()
    }

    fn attribute(value: &Value) -> Option<AttributeValue> {
        let (kind, value) = value.as_object()?.iter().next()?;
        let text = || value.as_str().map(ToOwned::to_owned);
        let texts = || Some(value.as_array()?.iter().filter_map(|text| text.as_str().map(ToOwned::to_owned)).collect());
        Some(match kind.as_str() {
            "S" => AttributeValue::S(text()?),
            "N" => AttributeValue::N(text()?),
            "B" => AttributeValue::B(Blob::new(text()?)),
            "BOOL" => AttributeValue::Bool(value.as_bool()?),
            "NULL" => AttributeValue::Null(true),
            "SS" => AttributeValue::Ss(texts()?),
            "NS" => AttributeValue::Ns(texts()?),
            "L" => AttributeValue::L(value.as_array()?.iter().filter_map(attribute).collect()),
            "M" => AttributeValue::M(attributes(value)),
            _ => return None,
        })
    }

    #[test]
    fn a_hostile_item_is_read_or_left_out() {
        let second = json!({"N": "1795500000"});
        let linked = json!({"M": {"state": {"S": "open"}, "url": {"S": "https://github.com/acme/app/pull/1"},
            "created_at": {"S": "2026-01-01T00:00:00Z"}, "mergeability": {"S": "conflicting"}, "checked_at": second}});
        let items = [
            json!({"prefix": {"S": "4d9d444d"}, "id": {"S": "4d9d444d0198c5c27f00aabbccddeeff"}, "status": {"S": "pr_submitted"},
                "title": {"S": "Fix"}, "updated_at": {"S": "2026-01-01T00:00:00Z"}, "repository_id": {"S": "7"}, "version": {"N": "3"},
                "pull_requests": {"M": {"7#1": linked}}, "pull_request": {"S": "7#1"}, "completed_by": {"SS": ["7#2"]},
                "completed_at": second, "history": {"L": [{"M": {"at": second, "what": {"S": "linked"}, "by": {"S": "webhook"}}}]}}),
            json!({"repository_id": {"S": "7"}, "item": {"S": "base#main"}, "repository": {"S": "acme/app"}, "base": {"S": "main"},
                "moved_at": second, "moved_by": {"N": "1"}, "moves": {"N": "1"}, "movers": {"SS": ["u"]}, "ttl": second,
                "due": {"S": "open"}, "next_check_at": second, "check": {"S": "now"}, "version": {"N": "1"}}),
            json!({"repository_id": {"S": "installations"}, "item": {"S": "served"}, "only": {"L": [{"N": "7"}, {"B": "AA=="}]},
                "x": {"NULL": true}, "y": {"NS": ["1"]}, "z": {"BOOL": true}}),
        ];
        hostile::attack(&items.map(|item| item.to_string()), |input| {
            let Ok(item) = serde_json::from_slice(input) else { return };
            let item = attributes(&item);
            let _ = serde_dynamo::from_item::<_, Task>(item.clone());
            let _ = serde_dynamo::from_item::<_, PullRequest>(item.clone());
            let _ = serde_dynamo::from_item::<_, BaseMove>(item.clone());
            let _ = serde_dynamo::from_item::<_, RepositorySync>(item.clone());
            let _ = serde_dynamo::from_item::<_, InstallationSync>(item.clone());
            let _ = serde_dynamo::from_item::<_, Served>(item.clone());
            let _ = serde_dynamo::from_item::<_, TaskScan>(item.clone());
            let _ = Due::read(&DUE.into(), &item).map(|due| due.since());
        });
    }
}
