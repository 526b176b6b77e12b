//! The three tables, as the template defines them.

use serde_json::{Value, json};

use super::template;

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
    let Names { tasks, pull_requests, tokens } = names;
    [("TasksTable", tasks), ("PullRequestsTable", pull_requests), ("TokensTable", tokens)]
        .map(|(resource, name)| table(resource, name))
}

fn table(resource: &str, name: &str) -> Table {
    let properties = template::properties(resource);
    let mut create = json!({ "TableName": name });
    for property in ["BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes"] {
        if let Some(value) = properties.get(property) {
            create[property] = value.clone();
        }
    }
    if let Some(stream) = properties.get("StreamSpecification") {
        // CloudFormation takes a view type for the wish to have a stream; the API wants both.
        create["StreamSpecification"] = json!({"StreamEnabled": true, "StreamViewType": stream["StreamViewType"]});
    }
    let time_to_live = properties.get("TimeToLiveSpecification").filter(|expiry| expiry["Enabled"] == true);
    Table { create, time_to_live: time_to_live.and_then(|expiry| expiry["AttributeName"].as_str()) }
}
