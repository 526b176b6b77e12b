//! What the roles called, written down: the template's check compares it with what they are granted.

use std::{
    collections::BTreeSet,
    fs::OpenOptions,
    io::Write,
    sync::{Mutex, PoisonError},
};

use super::wire::Call;

/// Names the file that lines are added to; without it nothing is written.
const FILE: &str = "RECORDED_CALLS";

impl Call {
    /// The IAM actions that the call needs, without their service, each with what it needs to be allowed on.
    ///
    /// A transaction needs what its parts need, and a query of an index the index
    /// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html>).
    pub fn needs(&self) -> Vec<(String, String)> {
        if let Some(items) = self.body["TransactItems"].as_array() {
            let parts = items.iter().filter_map(|item| item.as_object()).flatten();
            let table = |part: &serde_json::Value| part["TableName"].as_str().unwrap_or_default().to_owned();
            return parts.map(|(kind, part)| (format!("{kind}Item"), table(part))).collect();
        }
        let index = self.body["IndexName"].as_str().map(|name| format!("/index/{name}")).unwrap_or_default();
        let needs = |resource| (self.operation.clone(), format!("{resource}{index}"));
        self.resources.iter().map(needs).collect()
    }
}

/// Writes down, once in this process, that this access key needs an action on a resource.
pub fn record(access_key_id: &str, action: &str, resource: &str) {
    static WRITTEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let Some(file) = std::env::var_os(FILE) else { return };
    let line = format!("{access_key_id}\t{action}\t{resource}\n");
    if !WRITTEN.lock().unwrap_or_else(PoisonError::into_inner).insert(line.clone()) {
        return;
    }
    let opened = OpenOptions::new().create(true).append(true).open(file);
    // One write a line: processes that append at the same time do not mix theirs.
    opened.and_then(|mut file| file.write_all(line.as_bytes())).expect("the file for recorded calls can be written");
}
