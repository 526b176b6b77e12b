//! The daily scan of the tasks: it finds what neither a pull request's row nor a tag leads to.

use serde::{Deserialize, Serialize};

use crate::schedule::Schedule;

/// How far the tasks have been compared with their pull requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskScan {
    /// Behind which task a scan that ran out of time goes on: the two parts of its key, as they stand in the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<(String, String)>,
    /// That GitHub did not tell all that this scan has asked so far.
    #[serde(default)]
    pub left: bool,
    /// When the scan goes on, or the next one begins.
    #[serde(flatten)]
    pub schedule: Schedule,
    /// Counts the writes of this item.
    #[serde(default)]
    pub version: u64,
}
