//! DynamoDB, by dynoxide: real expressions, conditions, transactions, indexes and streams over an in-memory SQLite.

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, State},
    http::{HeaderMap, header},
    response::Response,
    routing::post,
};
use dynoxide::Database;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    attribute::{from_item, to_item},
    tables::{Names, Table, definitions},
    wire::{Call, Dialect, Wire, json_error},
};
use crate::loopback::{Cut, Server, client};

/// DynamoDB with the three tables; calls and faults are asked of its [`Wire`], to which it dereferences.
pub struct DynamoDb {
    database: Database,
    names: Names,
    front: Arc<Front>,
    server: Server,
    backend: JoinHandle<()>,
}

struct Front {
    wire: Wire,
    backend: String,
    client: reqwest::Client,
    statuses: Mutex<BTreeMap<String, String>>,
}

impl Deref for DynamoDb {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        &self.front.wire
    }
}

impl DynamoDb {
    /// Starts it with empty tables of the usual names.
    pub async fn start() -> Self {
        Self::with_names(Names::default()).await
    }

    /// Starts it with empty tables of these names.
    pub async fn with_names(names: Names) -> Self {
        let database = database(&names);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let backend = tokio::spawn(dynoxide::server::serve_on(listener, database.clone()));
        let front = Arc::new(Front {
            wire: Wire::new(DIALECT),
            backend: format!("http://{address}/"),
            client: client(),
            statuses: Mutex::default(),
        });
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&front));
        Self { database, names, front, server: Server::start(router).await, backend }
    }

    /// Closes every connection, as a server does with those that idle.
    pub fn hang_up(&self) {
        self.server.hang_up();
    }

    /// The endpoint for `AWS_ENDPOINT_URL_DYNAMODB`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The names of its tables.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The database itself: no HTTP, no record, no faults.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// An SDK client that calls through the wire as this access key.
    pub fn sdk(&self, access_key_id: &str) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&super::sdk_config(&self.url(), access_key_id))
    }

    /// Writes an item given as plain JSON.
    pub fn put(&self, table: &str, item: &Value) {
        let request = request(json!({"TableName": table, "Item": to_item(item)}));
        self.database.put_item(request).expect("the item fits its table");
    }

    /// Writes an item given in DynamoDB's own JSON, as `aws dynamodb scan` prints it.
    pub fn put_as_stored(&self, table: &str, item: &Value) {
        self.database.put_item(request(json!({"TableName": table, "Item": item}))).expect("the item fits its table");
    }

    /// Changes attributes, given as plain JSON, of an item that is there; the others stay as they are stored.
    pub fn change(&self, table: &str, key: &Value, changes: &Value) {
        let read = request(json!({"TableName": table, "Key": to_item(key), "ConsistentRead": true}));
        let mut item = plain(&self.database.get_item(read).expect("the key fits its table"))["Item"].take();
        let stored = item.as_object_mut().expect("the item is there");
        stored.extend(to_item(changes).as_object().cloned().unwrap_or_default());
        self.put_as_stored(table, &item);
    }

    /// Reads an item as plain JSON.
    pub fn get(&self, table: &str, key: &Value) -> Option<Value> {
        let request = request(json!({"TableName": table, "Key": to_item(key), "ConsistentRead": true}));
        let response = self.database.get_item(request).expect("the key fits its table");
        plain(&response)["Item"].as_object().map(|item| from_item(&json!(item)))
    }

    /// Removes an item.
    pub fn delete(&self, table: &str, key: &Value) {
        let request = request(json!({"TableName": table, "Key": to_item(key)}));
        self.database.delete_item(request).expect("the key fits its table");
    }

    /// Reads every item of a table as plain JSON.
    pub fn scan(&self, table: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut start = Value::Null;
        loop {
            let mut body = json!({"TableName": table});
            if !start.is_null() {
                body["ExclusiveStartKey"] = start;
            }
            let page = plain(&self.database.scan(request(body)).expect("the table exists"));
            items.extend(page["Items"].as_array().into_iter().flatten().map(from_item));
            start = page["LastEvaluatedKey"].clone();
            if start.is_null() {
                return items;
            }
        }
    }

    /// Removes a table.
    pub fn drop_table(&self, table: &str) {
        let request = request(json!({ "TableName": table }));
        self.database.delete_table(request).expect("the table exists");
    }

    /// Changes what is said of a table's status, such as `CREATING`; it works nevertheless.
    ///
    /// # Panics
    /// If another thread panicked while it held the statuses.
    pub fn set_table_status(&self, table: &str, status: &str) {
        let mut statuses = self.front.statuses.lock().expect("nothing panics here");
        statuses.insert(table.to_owned(), status.to_owned());
    }

    /// Makes the tables anew and forgets calls and faults: cheaper than a new server.
    pub fn reset(&self) {
        for table in definitions(&self.names) {
            let request = request(json!({"TableName": table.name()}));
            self.database.delete_table(request).expect("the table exists");
            create(&self.database, table);
        }
        self.clear_calls();
        self.clear_faults();
    }
}

impl Drop for DynamoDb {
    fn drop(&mut self) {
        self.backend.abort();
    }
}

/// A database with empty tables of these names, reached in this process only.
pub fn database(names: &Names) -> Database {
    let database = Database::memory().expect("an in-memory database");
    for table in definitions(names) {
        create(&database, table);
    }
    database
}

fn create(database: &Database, table: Table) {
    let name = table.name().to_owned();
    database.create_table(request(table.create)).expect("the definition is valid");
    if let Some(attribute) = table.time_to_live {
        let specification = json!({"AttributeName": attribute, "Enabled": true});
        let request = request(json!({"TableName": name, "TimeToLiveSpecification": specification}));
        database.update_time_to_live(request).expect("the table exists");
    }
}

/// Builds dynoxide's request from the JSON that DynamoDB takes.
pub(super) fn request<T: serde::de::DeserializeOwned>(body: Value) -> T {
    serde_json::from_value(body).expect("the request has DynamoDB's shape")
}

/// Turns dynoxide's response into the JSON that DynamoDB gives.
pub(super) fn plain(response: &impl serde::Serialize) -> Value {
    serde_json::to_value(response).expect("a response is JSON")
}

const DIALECT: Dialect = Dialect {
    service: "dynamodb",
    content_type: "application/x-amz-json-1.0",
    server_error: "com.amazonaws.dynamodb.v20120810#InternalServerError",
    throttled: (400, "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"),
    access_denied: "AccessDeniedException",
    error: json_error,
};

async fn answer(
    State(front): State<Arc<Front>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let call = Call::read(&headers, &body);
    front.wire.answer(call, cut, front.forward(headers, body)).await
}

impl Front {
    async fn forward(&self, mut headers: HeaderMap, body: Bytes) -> Response {
        for hop in [header::HOST, header::CONTENT_LENGTH, header::CONNECTION, header::TRANSFER_ENCODING] {
            headers.remove(hop);
        }
        let sent = self.client.post(&self.backend).headers(headers).body(body).send().await;
        let answer = sent.expect("dynoxide answers on loopback");
        let mut response = Response::builder().status(answer.status());
        for name in ["content-type", "x-amz-crc32", "x-amzn-requestid"] {
            if let Some(value) = answer.headers().get(name) {
                response = response.header(name, value);
            }
        }
        let body = answer.bytes().await.expect("dynoxide finishes its answer");
        match self.with_status(&body) {
            Some(changed) => self.wire.json(200, changed.to_string().into()),
            None => response.body(Body::from(body)).expect("dynoxide's own headers are valid"),
        }
    }

    /// The answer of `DescribeTable` with the status that a test has set.
    fn with_status(&self, body: &[u8]) -> Option<Value> {
        let statuses = self.statuses.lock().expect("nothing panics here");
        if statuses.is_empty() {
            return None;
        }
        let mut answer: Value = serde_json::from_slice(body).ok()?;
        let status = statuses.get(answer["Table"]["TableName"].as_str()?)?;
        answer["Table"]["TableStatus"] = json!(status);
        Some(answer)
    }
}
