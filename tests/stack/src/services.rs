//! What every part of the system talks to, and what people do there: the one start-up and the one set of verbs of all harnesses.

use std::fmt::Display;

use fake_github::GitHub;
use local_aws::{DynamoDb, SecretsManager};
use serde_json::{Value, json};

/// What follows the 8 digits that a test calls a task by.
const REST_OF_ID: &str = "0198c5c27f00aabbccddeeff";

/// GitHub, the tables and the secrets, empty at first.
pub struct Services {
    /// GitHub.
    pub github: GitHub,
    /// The tables.
    pub dynamodb: DynamoDb,
    /// The secrets.
    pub secrets: SecretsManager,
}

impl Services {
    /// Starts them on ports that the system picks.
    pub async fn start() -> Self {
        Self {
            github: GitHub::start().await,
            dynamodb: DynamoDb::start().await,
            secrets: SecretsManager::start().await,
        }
    }

    /// Puts a task on the board, as a board writes one. Of an id, the first 8 digits are enough, here and below.
    pub fn create_task(&self, id: &str, title: &str, status: &str) {
        let time = "2026-11-23T00:00:00Z";
        self.put_task(
            id,
            &json!({"title": title, "status": status, "priority": "p2", "created_at": time, "updated_at": time}),
        );
    }

    /// The same with a title that does not matter.
    pub fn task(&self, id: &str, status: &str) {
        self.create_task(id, "Fix login", status);
    }

    /// Writes an item with these attributes and no others.
    pub fn put_task(&self, id: &str, attributes: &Value) {
        let mut item = key(id);
        extend(&mut item, attributes);
        self.dynamodb.put(&self.dynamodb.names().tasks, &item);
    }

    /// A task as it is in the table.
    ///
    /// # Panics
    /// If there is none.
    pub fn read(&self, id: &str) -> Value {
        self.find(id).expect("the task is in the table")
    }

    /// The same where there may be none.
    pub fn find(&self, id: &str) -> Option<Value> {
        self.dynamodb.get(&self.dynamodb.names().tasks, &key(id))
    }

    /// The board's own write: these attributes change and no others.
    pub fn change_task(&self, id: &str, changes: &Value) {
        self.dynamodb.change(&self.dynamodb.names().tasks, &key(id), changes);
    }

    /// A person or an agent moves the card.
    pub fn move_task(&self, id: &str, status: &str) {
        self.change_task(id, &json!({ "status": status }));
    }

    /// The column that a task is in.
    pub fn status(&self, id: &str) -> String {
        self.read(id)["status"].as_str().unwrap_or_default().to_owned()
    }

    /// An item of the table of pull requests, such as `pr#42`.
    pub fn row(&self, repository_id: impl Display, item: &str) -> Option<Value> {
        let key = json!({"repository_id": repository_id.to_string(), "item": item});
        self.dynamodb.get(&self.dynamodb.names().pull_requests, &key)
    }
}

/// The whole id of a task that a test calls by 8 digits.
pub fn task_id(id: &str) -> String {
    if id.len() == 8 { format!("{id}{REST_OF_ID}") } else { id.to_owned() }
}

fn key(id: &str) -> Value {
    let id = task_id(id);
    json!({"prefix": id[..8], "id": id})
}

fn extend(item: &mut Value, more: &Value) {
    if let (Value::Object(item), Value::Object(more)) = (item, more) {
        item.extend(more.clone());
    }
}
