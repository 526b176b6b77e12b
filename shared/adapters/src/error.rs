//! The one error type.
//!
//! It knows no HTTP: a function matches it in full and turns it into its own kind of answer in one place. The text
//! of a variant is ours and may be shown; what a vendor said is its source and is only logged.

use std::sync::Arc;

use crate::aws::AwsError;
use crate::github;

/// What a source may be: anything that can cross a task boundary.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong outside the domain.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment lacks variables; all of them are named at once.
    #[error("set these environment variables: {}", .0.join(", "))]
    MissingVariables(Vec<&'static str>),

    /// An environment variable holds something unusable.
    #[error("the environment variable {name} is not usable: {reason}")]
    InvalidVariable {
        /// The variable.
        name: &'static str,
        /// What is wrong with it and what it should be.
        reason: String,
    },

    /// The secret exists in name only: nobody has configured it, or what it holds is not what we write there.
    #[error("the secret {id} is not configured: {reason}")]
    SecretNotConfigured {
        /// The secret's name.
        id: String,
        /// What is missing or malformed, without any of the value.
        reason: String,
    },

    /// Secrets Manager did not answer, or did not allow the read.
    #[error("the secret {id} could not be read")]
    SecretUnreadable {
        /// The secret's name.
        id: String,
        /// What Secrets Manager or the connection said.
        #[source]
        source: Arc<AwsError>,
    },

    /// A DynamoDB call failed after the SDK's own retries.
    #[error("{operation} on the table {table} failed")]
    Table {
        /// The table's name.
        table: String,
        /// DynamoDB's name of the operation.
        operation: &'static str,
        /// What DynamoDB or the connection said.
        #[source]
        source: Source,
    },

    /// DynamoDB refuses this one write, and would refuse it again: the item would be larger than 400 KB, or an attribute that others write
    /// is of another type.
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-items>
    #[error(
        "{operation} on the table {table} is refused for this item: it may be larger than 400 KB, or hold an attribute of a wrong type"
    )]
    Unwritable {
        /// The table's name.
        table: String,
        /// DynamoDB's name of the operation.
        operation: &'static str,
        /// What DynamoDB said.
        #[source]
        source: Source,
    },

    /// An item in a table is not of the documented shape.
    #[error("an item of the table {table} is not of the documented shape")]
    Item {
        /// The table's name.
        table: String,
        /// Which attribute, and what was expected.
        #[source]
        source: Source,
    },

    /// Another writer won every one of our bounded tries at a conditional write.
    #[error("the table {table} kept changing under a conditional write")]
    Contention {
        /// The table's name.
        table: String,
    },

    /// GitHub refused, or could not be reached.
    #[error(transparent)]
    GitHub(#[from] github::Error),
}

impl Error {
    /// The error and everything below it in one line, for a log.
    pub fn chain(&self) -> String {
        chain(self)
    }

    /// Whether it is about one item, and says nothing of the others in the table.
    pub fn is_of_one_item(&self) -> bool {
        matches!(self, Self::Unwritable { .. } | Self::Item { .. } | Self::Contention { .. })
    }
}

/// An error and everything below it in one line, for a log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
