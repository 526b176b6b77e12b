//! DynamoDB as everybody here uses it: consistent reads, and writes on a condition, alone or together.
//!
//! The one place that spells out the SDK's calls and reads its errors. Whatever a write came to is one of three: it is durable, its condition
//! failed, or another transaction holds the item.

use std::collections::HashMap;
use std::pin::Pin;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::RequestId;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, KeysAndAttributes, Put, ReturnValue,
    ReturnValuesOnConditionCheckFailure as OnFailure, TransactWriteItem, Update,
};
use domain::protocol::Written;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aws::AwsError;
use crate::chain::Source;
use crate::pause::pause;
use crate::{Error, Result};

/// An item as DynamoDB gives it.
pub type Item = HashMap<String, AttributeValue>;

/// The most items that one BatchGetItem takes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>
const BATCH: usize = 100;

/// How often what a batch left out is asked for again.
const TRIES: u32 = 8;

/// One table.
#[derive(Debug, Clone)]
pub struct Table {
    client: Client,
    name: String,
}

/// What is asked of a query.
#[derive(Debug, Default)]
pub struct Query<'a> {
    /// The index; the table itself if `None`, and then read consistently.
    pub index: Option<&'a str>,
    /// The key condition. `#name` stands for the attribute `name`, where that is one of DynamoDB's reserved words.
    pub keys: &'a str,
    /// The values in it.
    pub values: Vec<(&'a str, AttributeValue)>,
    /// How many items a page has at most.
    pub limit: Option<usize>,
    /// Behind which key the page begins.
    pub after: Option<Item>,
}

/// A page of a query or a scan.
#[derive(Debug)]
pub struct Page {
    /// Its items.
    pub items: Vec<Item>,
    /// Behind which key the next one begins; `None` if this is the last.
    pub next: Option<Item>,
}

/// A write and its condition.
#[derive(Debug, Clone)]
pub struct Operation {
    kind: Kind,
    expression: Expression,
}

#[derive(Debug, Clone)]
enum Kind {
    Put(Item),
    Update(Item),
    Check(Item),
}

impl Operation {
    /// Replaces an item.
    pub fn put(item: Item, condition: Expression) -> Self {
        Self { kind: Kind::Put(item), expression: condition }
    }

    /// Changes attributes of the item with this key.
    pub fn update(key: Item, expression: Expression) -> Self {
        Self { kind: Kind::Update(key), expression }
    }

    /// Changes nothing of the item with this key.
    pub fn check(key: Item, condition: Expression) -> Self {
        Self { kind: Kind::Check(key), expression: condition }
    }
}

/// What is changed of an item, and on what condition. Names go through placeholders: `status` is one of DynamoDB's reserved words.
#[derive(Debug, Clone, Default)]
pub struct Expression {
    sets: Vec<String>,
    removes: Vec<String>,
    adds: Vec<String>,
    conditions: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Expression {
    /// Sets these attributes.
    pub fn setting<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Self {
        let mut expression = Self::default();
        attributes.into_iter().for_each(|(name, value)| expression.set(name, value));
        expression
    }

    /// Sets an attribute.
    pub fn set(&mut self, name: &str, value: AttributeValue) {
        let (name, value) = (self.name(name), self.value(name, value));
        self.sets.push(format!("{name} = {value}"));
    }

    /// Sets an attribute, or removes it.
    pub fn set_or_remove(&mut self, name: &str, value: Option<AttributeValue>) {
        match value {
            Some(value) => self.set(name, value),
            None => self.remove(&[name]),
        }
    }

    /// Removes attributes.
    pub fn remove(&mut self, names: &[&str]) {
        for name in names {
            let name = self.name(name);
            self.removes.push(name);
        }
    }

    /// Adds to a number.
    pub fn add(&mut self, name: &str, number: impl ToString) {
        let (name, value) = (self.name(name), self.value(name, AttributeValue::N(number.to_string())));
        self.adds.push(format!("{name} {value}"));
    }

    /// On condition that an attribute has this value, or none.
    pub fn require(&mut self, name: &str, value: Option<&AttributeValue>) {
        let placeholder = self.name(name);
        let condition = match value {
            Some(value) => format!("{placeholder} = {}", self.value(&format!("required_{name}"), value.clone())),
            None => format!("attribute_not_exists({placeholder})"),
        };
        self.conditions.push(condition);
    }

    /// On condition that the item has been written as often as when it was read.
    pub fn require_version(&mut self, version: u64) {
        let value = (version > 0).then(|| AttributeValue::N(version.to_string()));
        self.require("version", value.as_ref());
    }

    /// What a placeholder in a condition of [`Self::require_that`] stands for, where it is not known before: the key of a map.
    pub fn call(&mut self, placeholder: &str, name: &str) {
        self.names.insert(placeholder.to_owned(), name.to_owned());
    }

    /// On a condition in DynamoDB's words. Its values are named `:name`, and are these or those that attributes are set to.
    pub fn require_that(&mut self, condition: &str, values: impl IntoIterator<Item = (&'static str, AttributeValue)>) {
        self.conditions.push(format!("({condition})"));
        self.values.extend(values.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }

    /// The placeholder of an attribute's name.
    fn name(&mut self, name: &str) -> String {
        let placeholder = format!("#{name}");
        self.names.insert(placeholder.clone(), name.to_owned());
        placeholder
    }

    fn value(&mut self, name: &str, value: AttributeValue) -> String {
        let placeholder = format!(":{name}");
        self.values.insert(placeholder.clone(), value);
        placeholder
    }

    /// As the SDK takes it: names and values are moved into the request. Copied, they were a fiftieth of a merge's instructions.
    fn spelt(self) -> Spelt {
        let part = |word: &str, parts: &[String]| (!parts.is_empty()).then(|| format!("{word} {}", parts.join(", ")));
        let change = [part("SET", &self.sets), part("REMOVE", &self.removes), part("ADD", &self.adds)];
        Spelt {
            change: change.into_iter().flatten().collect::<Vec<_>>().join(" "),
            condition: (!self.conditions.is_empty()).then(|| self.conditions.join(" AND ")),
            names: (!self.names.is_empty()).then_some(self.names),
            values: (!self.values.is_empty()).then_some(self.values),
        }
    }
}

/// An [`Expression`] in DynamoDB's words.
struct Spelt {
    change: String,
    condition: Option<String>,
    names: Option<HashMap<String, String>>,
    values: Option<Item>,
}

impl Table {
    /// A table by its name.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The item with this key, read consistently.
    ///
    /// # Errors
    /// [`Error::Table`].
    pub async fn get(&self, key: Item) -> Result<Option<Item>> {
        let call = self.client.get_item().table_name(&self.name).set_key(Some(key)).consistent_read(true);
        Ok(boxed(call.send()).await.map_err(|error| self.failed("GetItem", error))?.item)
    }

    /// The items with these keys, those there are, read consistently, in any order.
    ///
    /// # Errors
    /// [`Error::Table`], or [`Error::Contention`] when DynamoDB kept leaving some out.
    pub async fn get_many(&self, keys: Vec<Item>) -> Result<Vec<Item>> {
        self.get_parts(keys, None).await
    }

    /// The same, and of each item these attributes alone, with commas between them; all if `None`.
    ///
    /// # Errors
    /// As [`Self::get_many`].
    pub async fn get_parts(&self, keys: Vec<Item>, attributes: Option<&str>) -> Result<Vec<Item>> {
        let mut found = Vec::with_capacity(keys.len());
        for keys in keys.chunks(BATCH) {
            let mut left = keys.to_vec();
            for attempt in 0..TRIES {
                let wanted = KeysAndAttributes::builder().set_keys(Some(left)).consistent_read(true);
                let wanted = wanted.set_projection_expression(attributes.map(ToOwned::to_owned));
                let wanted = wanted.build().map_err(|error| self.not_built("BatchGetItem", error))?;
                let call = self.client.batch_get_item().request_items(&self.name, wanted);
                let answer = boxed(call.send()).await.map_err(|error| self.failed("BatchGetItem", error))?;
                found.extend(answer.responses.unwrap_or_default().into_values().flatten());
                left = answer.unprocessed_keys.unwrap_or_default().into_values().flat_map(|rest| rest.keys).collect();
                if left.is_empty() {
                    break;
                }
                tokio::time::sleep(pause(attempt)).await;
            }
            if !left.is_empty() {
                return Err(Error::Contention { table: self.name.clone() });
            }
        }
        Ok(found)
    }

    /// A page of a query.
    ///
    /// # Errors
    /// [`Error::Table`].
    pub async fn query(&self, query: Query<'_>) -> Result<Page> {
        let values = query.values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let call = self
            .client
            .query()
            .table_name(&self.name)
            .set_index_name(query.index.map(ToOwned::to_owned))
            .consistent_read(query.index.is_none())
            .key_condition_expression(query.keys)
            .set_expression_attribute_names(placeholders(query.keys))
            .set_expression_attribute_values(Some(values))
            .set_limit(query.limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX)))
            .set_exclusive_start_key(query.after);
        let answer = boxed(call.send()).await.map_err(|error| self.failed("Query", error))?;
        Ok(Page { items: answer.items.unwrap_or_default(), next: answer.last_evaluated_key })
    }

    /// A page of all items.
    ///
    /// # Errors
    /// [`Error::Table`].
    pub async fn scan(&self, after: Option<Item>) -> Result<Page> {
        let call = self.client.scan().table_name(&self.name).consistent_read(true).set_exclusive_start_key(after);
        let answer = boxed(call.send()).await.map_err(|error| self.failed("Scan", error))?;
        Ok(Page { items: answer.items.unwrap_or_default(), next: answer.last_evaluated_key })
    }

    /// One write. A check alone is none, and is not made.
    ///
    /// # Errors
    /// [`Error::Table`].
    pub async fn write(&self, operation: Operation) -> Result<Written> {
        Ok(self.send(operation, ReturnValue::None, OnFailure::None).await?.0)
    }

    /// An update, and the item as it is then.
    ///
    /// # Errors
    /// [`Error::Table`].
    pub async fn update_and_get(&self, key: Item, expression: Expression) -> Result<(Written, Option<Item>)> {
        self.send(Operation::update(key, expression), ReturnValue::AllNew, OnFailure::None).await
    }

    /// One write, tried again while another transaction holds the item. `Some` if its condition failed: the item as it is, empty if there is
    /// none.
    ///
    /// # Errors
    /// [`Error::Table`], or [`Error::Contention`] when the item stayed held.
    pub async fn write_or_get(&self, operation: Operation) -> Result<Option<Item>> {
        for attempt in 0..TRIES {
            match self.send(operation.clone(), ReturnValue::None, OnFailure::AllOld).await? {
                (Written::Done, _) => return Ok(None),
                (Written::Lost, item) => return Ok(Some(item.unwrap_or_default())),
                (Written::Busy, _) => tokio::time::sleep(pause(attempt)).await,
            }
        }
        Err(self.contention())
    }

    /// One write, and the item that DynamoDB gave with its answer.
    async fn send(&self, write: Operation, done: ReturnValue, failed: OnFailure) -> Result<(Written, Option<Item>)> {
        let Operation { kind, expression } = write;
        let Spelt { change, condition, names, values } = expression.spelt();
        match kind {
            Kind::Put(item) => {
                let call = self.client.put_item().table_name(&self.name).set_item(Some(item));
                let call = call.set_condition_expression(condition);
                let call = call.set_expression_attribute_names(names);
                let call = call.set_expression_attribute_values(values);
                match boxed(call.return_values_on_condition_check_failure(failed).send()).await {
                    Ok(_) => Ok((Written::Done, None)),
                    Err(error) => match error.as_service_error() {
                        Some(PutItemError::ConditionalCheckFailedException(lost)) => {
                            Ok((Written::Lost, lost.item.clone()))
                        }
                        Some(PutItemError::TransactionConflictException(_)) => Ok((Written::Busy, None)),
                        _ => Err(self.failed("PutItem", error)),
                    },
                }
            }
            Kind::Update(key) => {
                let call = self.client.update_item().table_name(&self.name).set_key(Some(key)).return_values(done);
                let call = call.update_expression(change).set_condition_expression(condition);
                let call = call.set_expression_attribute_names(names);
                let call = call.set_expression_attribute_values(values);
                match boxed(call.return_values_on_condition_check_failure(failed).send()).await {
                    Ok(output) => Ok((Written::Done, output.attributes)),
                    Err(error) => match error.as_service_error() {
                        Some(UpdateItemError::ConditionalCheckFailedException(lost)) => {
                            Ok((Written::Lost, lost.item.clone()))
                        }
                        Some(UpdateItemError::TransactionConflictException(_)) => Ok((Written::Busy, None)),
                        _ => Err(self.failed("UpdateItem", error)),
                    },
                }
            }
            Kind::Check(_) => Ok((Written::Done, None)),
        }
    }

    /// All of these operations or none, at most 100 on as many items. The SDK sends a token with it, so that one whose answer was lost and that is
    /// sent again is not applied twice.
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
    ///
    /// # Errors
    /// [`Error::Table`].
    pub async fn transact(operations: Vec<(&Self, Operation)>) -> Result<Written> {
        let Some((first, _)) = operations.first() else { return Ok(Written::Done) };
        let first = *first;
        let not_built = |error| first.not_built("TransactWriteItems", error);
        let items = operations.into_iter().map(|(table, operation)| table.part(operation).map_err(not_built));
        let items = items.collect::<Result<Vec<_>>>()?;
        let call = first.client.transact_write_items().set_transact_items(Some(items));
        let Err(error) = boxed(call.send()).await else {
            return Ok(Written::Done);
        };
        // One reason for each operation, in their order: without a code for one that nothing was wrong with.
        let reasons = match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => canceled.cancellation_reasons(),
            Some(TransactWriteItemsError::TransactionInProgressException(_)) => return Ok(Written::Busy),
            _ => &[],
        };
        let first_with = |wanted| reasons.iter().position(|reason| reason.code() == Some(wanted));
        if first_with("ConditionalCheckFailed").is_some() {
            Ok(Written::Lost)
        } else if first_with("TransactionConflict").is_some() {
            Ok(Written::Busy)
        } else if first_with("ValidationError").is_some() {
            let refused = reasons.iter().enumerate().filter(|(_, reason)| reason.code() == Some("ValidationError"));
            let at = refused.map(|(at, _)| at).collect();
            Err(first.unwritable("TransactWriteItems", at, AwsError::of(error)))
        } else {
            Err(first.failed("TransactWriteItems", error))
        }
    }

    fn part(&self, operation: Operation) -> Result<TransactWriteItem, BuildError> {
        let Operation { kind, expression } = operation;
        let Spelt { change, condition, names, values } = expression.spelt();
        let part = TransactWriteItem::builder();
        Ok(match kind {
            Kind::Put(item) => part.put(
                Put::builder()
                    .table_name(&self.name)
                    .set_item(Some(item))
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .build()?,
            ),
            Kind::Update(key) => part.update(
                Update::builder()
                    .table_name(&self.name)
                    .set_key(Some(key))
                    .update_expression(change)
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .build()?,
            ),
            Kind::Check(key) => part.condition_check(
                ConditionCheck::builder()
                    .table_name(&self.name)
                    .set_key(Some(key))
                    .condition_expression(condition.unwrap_or_default())
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .build()?,
            ),
        }
        .build())
    }

    /// An item's value in Rust.
    ///
    /// # Errors
    /// [`Error::Item`].
    pub fn parse<T: DeserializeOwned>(&self, item: Item) -> Result<T> {
        serde_dynamo::from_item(item).map_err(|error| self.malformed(error))
    }

    /// A value as an item.
    ///
    /// # Errors
    /// [`Error::Item`].
    pub fn item(&self, value: &impl Serialize) -> Result<Item> {
        serde_dynamo::to_item(value).map_err(|error| self.malformed(error))
    }

    /// A value as an attribute.
    ///
    /// # Errors
    /// [`Error::Item`].
    pub fn attribute(&self, value: &impl Serialize) -> Result<AttributeValue> {
        serde_dynamo::to_attribute_value(value).map_err(|error| self.malformed(error))
    }

    /// A value as an attribute, if there is one.
    ///
    /// # Errors
    /// [`Error::Item`].
    pub fn optional(&self, value: Option<&impl Serialize>) -> Result<Option<AttributeValue>> {
        value.map(|value| self.attribute(value)).transpose()
    }

    /// That other writers kept being faster.
    pub fn contention(&self) -> Error {
        Error::Contention { table: self.name.clone() }
    }

    fn malformed(&self, error: serde_dynamo::Error) -> Error {
        Error::Item { table: self.name.clone(), source: error.into() }
    }

    fn failed<E: ProvideErrorMetadata, R>(&self, operation: &'static str, error: SdkError<E, R>) -> Error
    where
        SdkError<E, R>: RequestId + Into<Source>,
    {
        let error = AwsError::of(error);
        if error.is_invalid() {
            return self.unwritable(operation, Vec::new(), error);
        }
        Error::Table { table: self.name.clone(), operation, source: error.into() }
    }

    fn unwritable(&self, operation: &'static str, at: Vec<usize>, error: AwsError) -> Error {
        Error::Unwritable { table: self.name.clone(), operation, at, source: error.into() }
    }

    fn not_built(&self, operation: &'static str, error: BuildError) -> Error {
        Error::Table { table: self.name.clone(), operation, source: error.into() }
    }
}

/// A text attribute.
pub fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A number attribute.
pub fn number(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// The attributes that an expression names through placeholders.
fn placeholders(expression: &str) -> Option<HashMap<String, String>> {
    let word = |part: &str| part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    let names = expression.split('#').skip(1).map(word);
    let names: HashMap<_, _> = names.map(|name| (format!("#{name}"), name)).collect();
    (!names.is_empty()).then_some(names)
}

/// A call of the SDK is some ten kilobytes of state, which whoever awaits it holds again, and whoever awaits that: unboxed, some steps of
/// reconcile take more than the two megabytes of a thread's stack.
fn boxed<F: Future>(call: F) -> Pin<Box<F>> {
    Box::pin(call)
}
