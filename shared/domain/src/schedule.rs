//! When an item is to be looked at: the same four attributes for every kind of item.
//!
//! An item that has `due` and `next_check_at` is in the sparse index of what is owed an answer; `check` is what the table's stream is
//! filtered by. The three are set together and taken off together, so they are one value.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// After how many minutes an item is looked at again that could not be settled; the last one goes on.
const BACKOFF_MINUTES: [i64; 5] = [1, 2, 5, 10, 15];

/// The one value of the attribute `due`, the partition key of the sparse index of what is owed an answer.
pub const DUE: &str = "open";

/// What `check` of an item says; the stream's filter matches `now`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// Reconcile is to look at once.
    Now,
    /// Reconcile has looked and will look again when it is due.
    Later,
}

/// When reconcile looks at an item. The default: not before something happens to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Schedule {
    /// [`Check::Now`] until reconcile has taken it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// [`DUE`] while an answer is owed, else absent: the index is sparse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
    /// When reconcile is to look, epoch seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_check_at: Option<i64>,
    /// How often reconcile has looked since the last question without settling it.
    #[serde(default)]
    pub attempts: u32,
}

impl Schedule {
    /// At once: by the stream, or by the schedule where the stream failed.
    pub fn at_once(now: Timestamp) -> Self {
        Self { check: Some(Check::Now), ..Self::at(now.as_second(), 0) }
    }

    /// At this second.
    pub fn at(second: i64, attempts: u32) -> Self {
        Self { check: Some(Check::Later), due: Some(DUE.to_owned()), next_check_at: Some(second), attempts }
    }

    /// As [`Self::at`], for items that the stream never asks for.
    pub fn turn(second: i64) -> Self {
        Self { check: None, ..Self::at(second, 0) }
    }

    /// Once more, ever more rarely.
    pub fn again(attempts: u32, now: Timestamp) -> Self {
        Self::at(look_again(attempts, now), attempts.saturating_add(1))
    }

    /// Whether reconcile is to look at all.
    pub fn is_due(&self) -> bool {
        self.due.is_some()
    }

    /// Whether it is to look at once.
    pub fn is_at_once(&self) -> bool {
        self.is_due() && self.check == Some(Check::Now)
    }
}

/// When to look again at what could not be settled, epoch seconds.
pub fn look_again(attempts: u32, now: Timestamp) -> i64 {
    let last = BACKOFF_MINUTES.len() - 1;
    now.as_second() + 60 * BACKOFF_MINUTES[last.min(attempts as usize)]
}
