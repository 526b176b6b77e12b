//! The three tables: the one definition that the local DynamoDB is made of and the template is compared with.

use serde_json::{Value, json};

/// The names the three tables go by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The board's tasks.
    pub tasks: String,
    /// What is known of pull requests, base branches and resyncs.
    pub pull_requests: String,
    /// Cached installation tokens, encrypted.
    pub tokens: String,
}

impl Default for Names {
    fn default() -> Self {
        Self { tasks: "Tasks".to_owned(), pull_requests: "PullRequests".to_owned(), tokens: "Tokens".to_owned() }
    }
}

/// One table as `CreateTable` and `UpdateTimeToLive` take it.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The body of `CreateTable`.
    pub create: Value,
    /// The attribute by which items expire, where they do.
    pub time_to_live: Option<&'static str>,
}

impl Table {
    /// The table's name.
    pub fn name(&self) -> &str {
        self.create["TableName"].as_str().expect("every definition is named")
    }
}

/// The definitions of all three tables.
pub fn definitions(names: &Names) -> [Table; 3] {
    [tasks(&names.tasks), pull_requests(&names.pull_requests), tokens(&names.tokens)]
}

fn tasks(name: &str) -> Table {
    Table {
        create: json!({
            "TableName": name,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [attribute("prefix", "S"), attribute("id", "S")],
            "KeySchema": [key("prefix", "HASH"), key("id", "RANGE")],
        }),
        time_to_live: None,
    }
}

fn pull_requests(name: &str) -> Table {
    Table {
        create: json!({
            "TableName": name,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                attribute("repository_id", "S"),
                attribute("item", "S"),
                attribute("due", "S"),
                attribute("next_check_at", "N"),
            ],
            "KeySchema": [key("repository_id", "HASH"), key("item", "RANGE")],
            "GlobalSecondaryIndexes": [{
                "IndexName": "due-index",
                "KeySchema": [key("due", "HASH"), key("next_check_at", "RANGE")],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }],
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        }),
        time_to_live: Some("ttl"),
    }
}

fn tokens(name: &str) -> Table {
    Table {
        create: json!({
            "TableName": name,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [attribute("cache_key", "S")],
            "KeySchema": [key("cache_key", "HASH")],
        }),
        time_to_live: Some("ttl"),
    }
}

fn attribute(name: &str, kind: &str) -> Value {
    json!({"AttributeName": name, "AttributeType": kind})
}

fn key(name: &str, kind: &str) -> Value {
    json!({"AttributeName": name, "KeyType": kind})
}
