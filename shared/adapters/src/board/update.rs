//! How an `UpdateItem` and the keys of both tables are written down.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::Item;
use domain::task::TaskId;

/// An UpdateItem in the making.
#[derive(Clone)]
pub(super) struct Update {
    pub(super) condition: String,
    sets: Vec<String>,
    removes: Vec<String>,
    adds: Vec<String>,
    pub(super) names: HashMap<String, String>,
    pub(super) values: HashMap<String, AttributeValue>,
}

impl Update {
    pub(super) fn new(condition: String, values: Option<HashMap<String, AttributeValue>>) -> Self {
        let values = values.unwrap_or_default();
        Self { condition, sets: Vec::new(), removes: Vec::new(), adds: Vec::new(), names: HashMap::new(), values }
    }

    /// Names go through placeholders: `status` is one of DynamoDB's reserved words.
    pub(super) fn set(&mut self, name: &str, value: AttributeValue) {
        self.names.insert(format!("#{name}"), name.to_owned());
        self.values.insert(format!(":{name}"), value);
        self.sets.push(format!("#{name} = :{name}"));
    }

    pub(super) fn add(&mut self, name: &str, value: AttributeValue) {
        self.names.insert(format!("#{name}"), name.to_owned());
        self.values.insert(format!(":{name}"), value);
        self.adds.push(format!("#{name} :{name}"));
    }

    pub(super) fn set_or_remove(&mut self, name: &str, value: Option<AttributeValue>) {
        if let Some(value) = value {
            self.set(name, value);
        } else {
            self.names.insert(format!("#{name}"), name.to_owned());
            self.removes.push(format!("#{name}"));
        }
    }

    pub(super) fn require(&mut self, name: &str, value: AttributeValue) {
        self.values.insert(format!(":required_{name}"), value);
        self.condition.push_str(&format!(" AND #{name} = :required_{name}"));
    }

    pub(super) fn expression(&self) -> String {
        let mut expression = format!("SET {}", self.sets.join(", "));
        if !self.removes.is_empty() {
            expression.push_str(&format!(" REMOVE {}", self.removes.join(", ")));
        }
        if !self.adds.is_empty() {
            expression.push_str(&format!(" ADD {}", self.adds.join(", ")));
        }
        expression
    }
}

pub(super) fn item_key_of(repository_id: &str, item: &str) -> Item {
    HashMap::from([
        ("repository_id".to_owned(), AttributeValue::S(repository_id.to_owned())),
        ("item".to_owned(), AttributeValue::S(item.to_owned())),
    ])
}

pub(super) fn task_key(id: &TaskId) -> Item {
    HashMap::from([
        ("prefix".to_owned(), AttributeValue::S(id.prefix().to_owned())),
        ("id".to_owned(), AttributeValue::S(id.as_str().to_owned())),
    ])
}

/// The condition that an item is still the one that was read.
pub(super) fn unchanged_since(version: u64) -> (&'static str, Option<HashMap<String, AttributeValue>>) {
    if version == 0 {
        return ("attribute_not_exists(version)", None);
    }
    let values = HashMap::from([(":read_version".to_owned(), AttributeValue::N(version.to_string()))]);
    ("version = :read_version", Some(values))
}
