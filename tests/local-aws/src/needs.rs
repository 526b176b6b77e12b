//! What a call needs to be allowed.

use super::wire::Call;

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
