//! One entry of a task's history, as it is stored.

use serde::{Deserialize, Serialize};

use crate::ids::DeliveryGuid;

/// One change of a task.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// When it was decided, epoch seconds.
    pub at: i64,
    /// What was done: one of the words of the webhook's answer.
    pub what: String,
    /// Why, in words for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The pull request that it was done for, as `owner/name#number`; by its key where its name is not known.
    pub pull_request: String,
    /// GitHub's id of the delivery that told of it (`X-GitHub-Delivery`), if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryGuid>,
    /// The function that did it.
    pub by: String,
}
