//! What starts a function by itself: the stream of a table, and the clock.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use dynoxide::Database;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{
    DynamoDb, REGION,
    dynamodb::{plain, request},
};
use crate::lambda::{FunctionError, Host, LambdaHost};

/// The filter of an event source mapping, as `FilterCriteria` holds it: a record passes if one of the patterns matches.
#[derive(Clone, Debug, Default)]
pub struct Filter(Vec<Value>);

impl Filter {
    /// Reads the patterns, each the JSON that a `Pattern` string holds.
    pub fn new(patterns: impl IntoIterator<Item = Value>) -> Self {
        Self(patterns.into_iter().collect())
    }

    /// Whether a record passes; without patterns, all do.
    ///
    /// # Panics
    ///
    /// If a pattern uses an operator other than equality, `prefix`, `exists` and `anything-but`.
    pub fn matches(&self, record: &Value) -> bool {
        self.0.is_empty() || self.0.iter().any(|pattern| matches(pattern, Some(record)))
    }
}

fn matches(pattern: &Value, value: Option<&Value>) -> bool {
    match pattern {
        Value::Object(members) => {
            members.iter().all(|(name, inner)| matches(inner, value.and_then(|value| value.get(name))))
        }
        Value::Array(choices) => choices.iter().any(|choice| chosen(choice, value)),
        other => panic!("a filter pattern holds objects and arrays, not {other}"),
    }
}

fn chosen(choice: &Value, value: Option<&Value>) -> bool {
    let Some((operator, operand)) = choice.as_object().and_then(|operators| operators.iter().next()) else {
        return value == Some(choice);
    };
    match operator.as_str() {
        "exists" => operand.as_bool() == Some(value.is_some()),
        "prefix" => {
            let start = operand.as_str().unwrap_or_default();
            value.and_then(Value::as_str).is_some_and(|text| text.starts_with(start))
        }
        "anything-but" => value.is_some_and(|value| !operand.as_array().is_some_and(|not| not.contains(value))),
        other => panic!("the filter operator {other} is not known here"),
    }
}

/// An event source mapping from a table's stream to a function, with `ReportBatchItemFailures` and bisection.
pub struct Stream {
    database: Database,
    host: Arc<Host>,
    function: String,
    filter: Filter,
    batch_size: usize,
    retries: usize,
    position: tokio::sync::Mutex<Position>,
    discarded: Mutex<Vec<Value>>,
}

struct Position {
    arn: String,
    iterator: String,
}

/// Records still to be handed over, and how often they failed.
struct Batch {
    records: Vec<Value>,
    failures: usize,
}

impl Stream {
    /// Reads the stream of `table` from its beginning, and hands what passes `filter` to `function`.
    pub fn new(dynamodb: &DynamoDb, table: &str, host: &LambdaHost, function: &str, filter: Filter) -> Self {
        let database = dynamodb.database().clone();
        let position = beginning(&database, table);
        Self {
            database,
            host: host.host(),
            function: function.to_owned(),
            filter,
            batch_size: 100,
            retries: 3,
            position: tokio::sync::Mutex::new(position),
            discarded: Mutex::default(),
        }
    }

    /// Hands over at most so many records at once.
    pub fn batch_size(mut self, records: usize) -> Self {
        self.batch_size = records;
        self
    }

    /// Repeats a failing batch so many times; then it is split, and a single record discarded.
    pub fn retries(mut self, retries: usize) -> Self {
        self.retries = retries;
        self
    }

    /// Hands over what the stream holds now; says how many records the function took.
    pub async fn pump_once(&self) -> usize {
        // Held throughout: a shard has one reader, which is what keeps the order per item.
        let mut position = self.position.lock().await;
        let records = self.read(&mut position);
        let mut delivered = 0;
        for batch in records.chunks(self.batch_size) {
            delivered += self.deliver(batch.to_vec()).await;
        }
        delivered
    }

    /// Hands over records until there are none, those included that the function's own writes add.
    pub async fn drain(&self) -> usize {
        let mut delivered = 0;
        loop {
            match self.pump_once().await {
                0 => return delivered,
                more => delivered += more,
            }
        }
    }

    /// The records that were given up.
    pub fn discarded(&self) -> Vec<Value> {
        self.gave_up().clone()
    }

    /// Pumps every `window` until the returned handle is dropped.
    pub fn spawn(self: Arc<Self>, window: Duration) -> Running {
        Running(tokio::spawn(async move {
            loop {
                tokio::time::sleep(window).await;
                self.pump_once().await;
            }
        }))
    }

    fn gave_up(&self) -> MutexGuard<'_, Vec<Value>> {
        self.discarded.lock().expect("a plain list")
    }

    fn read(&self, position: &mut Position) -> Vec<Value> {
        let mut passed = Vec::new();
        loop {
            let body = json!({"ShardIterator": position.iterator});
            let page = plain(&self.database.get_records(request(body)).expect("the stream can be read"));
            position.iterator = string(&page["NextShardIterator"]);
            let records = page["Records"].as_array().cloned().unwrap_or_default();
            let through = records.is_empty();
            let records = records.into_iter().map(|record| as_delivered(record, &position.arn));
            passed.extend(records.filter(|record| is_change(record) && self.filter.matches(record)));
            // Where writes go on all the time, nothing would ever be handed over.
            if through || passed.len() >= self.batch_size {
                return passed;
            }
        }
    }

    async fn deliver(&self, records: Vec<Value>) -> usize {
        let mut delivered = 0;
        let mut waiting = vec![Batch { records, failures: 0 }];
        while let Some(batch) = waiting.pop() {
            let failed_from = self.hand(&batch.records).await;
            delivered += failed_from;
            if failed_from < batch.records.len() {
                self.repeat(batch, failed_from, &mut waiting);
            }
        }
        delivered
    }

    /// Puts what is left of a batch back: whole, or in halves once it was repeated often enough.
    fn repeat(&self, mut batch: Batch, failed_from: usize, waiting: &mut Vec<Batch>) {
        let progress = failed_from > 0;
        batch.records.drain(..failed_from);
        batch.failures = if progress { 1 } else { batch.failures + 1 };
        if batch.failures <= self.retries {
            waiting.push(batch);
        } else if batch.records.len() > 1 {
            let later = batch.records.split_off(batch.records.len() / 2);
            waiting.push(Batch { records: later, failures: 0 });
            waiting.push(Batch { records: batch.records, failures: 0 });
        } else {
            self.gave_up().append(&mut batch.records);
        }
    }

    /// Hands a batch over; says how many records from its start are done.
    async fn hand(&self, records: &[Value]) -> usize {
        let event = json!({"Records": records});
        match self.host.invoke(&self.function, &event, None).await {
            Err(_) => 0,
            Ok(answer) => checkpoint(records, &answer),
        }
    }
}

/// The lowest of the reported sequence numbers is the checkpoint; everything from it on is repeated
/// (<https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html>).
fn checkpoint(records: &[Value], answer: &Value) -> usize {
    let failures = answer["batchItemFailures"].as_array().cloned().unwrap_or_default();
    let failed: BTreeSet<String> = failures.iter().map(|failure| string(&failure["itemIdentifier"])).collect();
    if failed.is_empty() {
        return records.len();
    }
    let is_failed = |record: &Value| failed.contains(&string(&record["dynamodb"]["SequenceNumber"]));
    // An identifier that is not in the batch fails the whole of it (same page).
    records.iter().position(is_failed).unwrap_or(0)
}

fn beginning(database: &Database, table: &str) -> Position {
    let described = plain(&database.describe_table(request(json!({"TableName": table}))).expect("the table exists"));
    let arn = string(&described["Table"]["LatestStreamArn"]);
    let stream = plain(&database.describe_stream(request(json!({"StreamArn": arn}))).expect("the table has a stream"));
    let shard = string(&stream["StreamDescription"]["Shards"][0]["ShardId"]);
    let body = json!({"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
    let iterator = plain(&database.get_shard_iterator(request(body)).expect("the shard exists"));
    Position { arn, iterator: string(&iterator["ShardIterator"]) }
}

/// AWS records no write that leaves an item as it was
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html>); dynoxide does.
fn is_change(record: &Value) -> bool {
    record["eventName"] != "MODIFY" || record["dynamodb"]["OldImage"] != record["dynamodb"]["NewImage"]
}

fn as_delivered(mut record: Value, arn: &str) -> Value {
    record["eventSourceARN"] = json!(arn);
    record["awsRegion"] = json!(REGION);
    record
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// An EventBridge schedule: one event to one function, again and again.
pub struct Schedule {
    host: Arc<Host>,
    function: String,
    event: Value,
}

impl Schedule {
    /// Hands `event` to `function`.
    pub fn new(host: &LambdaHost, function: &str, event: Value) -> Self {
        Self { host: host.host(), function: function.to_owned(), event }
    }

    /// Invokes the function now.
    ///
    /// # Errors
    ///
    /// As [`LambdaHost::invoke`].
    pub async fn tick_once(&self) -> Result<Value, FunctionError> {
        self.host.invoke(&self.function, &self.event, None).await
    }

    /// Invokes it every `period` until the returned handle is dropped.
    pub fn spawn(self, period: Duration) -> Running {
        Running(tokio::spawn(async move {
            loop {
                tokio::time::sleep(period).await;
                // A failed run is logged by the function; the next one is the retry.
                let _ = self.tick_once().await;
            }
        }))
    }
}

/// Something that runs in the background until it is dropped.
pub struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}
