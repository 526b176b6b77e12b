//! What can go wrong at the edge.
//!
//! It knows no HTTP: each function decides what its caller is told. The text of a variant is ours and may be shown; what a
//! vendor said is its source and is only logged.

use std::sync::Arc;

use crate::aws::AwsError;
pub use crate::chain::{Source, chain};
use crate::github;

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
        /// Which operations of a transaction they are, where DynamoDB says that.
        at: Vec<usize>,
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_sdk_dynamodb::error::{ErrorMetadata, SdkError};
    use aws_sdk_dynamodb::operation::get_item::GetItemError;
    use github::app::KeyError;
    use github::{Barrier, Refusal};

    use super::*;

    /// What stands in other people's words here, and must not come out.
    fn canaries() -> [String; 3] {
        let body = "c4nary".repeat(8);
        [
            format!("ghs_{body}"),
            format!("eyJ{body}.eyJ{body}.{body}"),
            format!("-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----"),
        ]
    }

    const ARN: &str = "arn:aws:sts::123456789012:assumed-role/c4nary/token";

    fn said() -> String {
        canaries().join(" ")
    }

    fn source() -> Source {
        said().into()
    }

    fn refusal() -> Refusal {
        Refusal::new(403, &said())
    }

    fn aws() -> AwsError {
        let meta = ErrorMetadata::builder().code("AccessDeniedException").message(format!("{ARN} {}", said())).build();
        AwsError::of(SdkError::<_, aws_sdk_dynamodb::config::http::HttpResponse>::service_error(
            GetItemError::generic(meta),
            aws_sdk_dynamodb::config::http::HttpResponse::new(400.try_into().unwrap(), ARN.into()),
        ))
    }

    /// One of each variant. A variant that is not listed does not compile, and neither does one of which there is no sample.
    macro_rules! every {
        ($of:ty: $($variant:pat => $sample:expr,)*) => {{
            let _ = |error: &$of| match error { $($variant => {})* };
            let mut all: Vec<$of> = Vec::new();
            $({
                let sample = $sample;
                assert!(matches!(sample, $variant), "{sample:?} stands beside another variant");
                all.push(sample);
            })*
            all
        }};
    }

    fn of_github() -> Vec<github::Error> {
        use github::Error as E;
        let retry_after = Duration::from_secs(7);
        every! { E:
            E::InvalidKey(_) => E::InvalidKey(refusal()),
            E::NoPublicKey(_) => E::NoPublicKey(refusal()),
            E::AppNotFound(_) => E::AppNotFound(refusal()),
            E::ClockSkew { .. } => E::ClockSkew { github_now: None, source: refusal() },
            E::InstallationNotFound(_) => E::InstallationNotFound(refusal()),
            E::InstallationSuspended(_) => E::InstallationSuspended(refusal()),
            E::PermissionNotGranted(_) => E::PermissionNotGranted(refusal()),
            E::RepositoryNotFound(_) => E::RepositoryNotFound(refusal()),
            E::RateLimited { .. } => E::RateLimited { retry_after, source: refusal() },
            E::LockedOut { .. } => E::LockedOut { retry_after, source: refusal() },
            E::Unavailable(_) => E::Unavailable(source()),
            E::Unauthorized(_) => E::Unauthorized(refusal()),
            E::NotAccessible(_) => E::NotAccessible(refusal()),
            E::Barred { .. } => E::Barred { barrier: Barrier::Saml, source: refusal() },
            E::Forbidden(_) => E::Forbidden(refusal()),
            E::NotFound(_) => E::NotFound(refusal()),
            E::Unprocessable(_) => E::Unprocessable(refusal()),
            E::NotTheApi(_) => E::NotTheApi(refusal()),
            E::Unexpected(_) => E::Unexpected(source()),
        }
    }

    fn of_everything() -> Vec<Error> {
        let (id, table, operation) = ("konduktor/app".to_owned(), || "Tokens".to_owned(), "GetItem");
        let others = every! { Error:
            Error::MissingVariables(_) => Error::MissingVariables(vec!["TASKS_TABLE"]),
            Error::InvalidVariable { .. } => Error::InvalidVariable { name: "TOKEN_POLICY", reason: said() },
            Error::SecretNotConfigured { .. } => Error::SecretNotConfigured { id: id.clone(), reason: said() },
            Error::SecretUnreadable { .. } => Error::SecretUnreadable { id, source: Arc::new(aws()) },
            Error::Table { .. } => Error::Table { table: table(), operation, source: aws().into() },
            Error::Unwritable { .. } => Error::Unwritable { table: table(), operation, at: Vec::new(), source: aws().into() },
            Error::Item { .. } => Error::Item { table: table(), source: source() },
            Error::Contention { .. } => Error::Contention { table: table() },
            Error::GitHub(_) => Error::GitHub(github::Error::Unexpected(source())),
        };
        others.into_iter().chain(of_github().into_iter().map(Error::GitHub)).collect()
    }

    #[test]
    fn no_error_brings_a_token_a_key_or_an_arn_into_a_log() {
        for error in of_everything() {
            let chain = error.chain();
            assert!(!chain.contains("c4nary"), "{error:?}: {chain}");
        }
        for error in of_github() {
            assert!(!error.to_string().contains("c4nary"), "what may be shown: {error}");
        }
        let keys = every! { KeyError:
            KeyError::NotPem => KeyError::NotPem,
            KeyError::PublicKey => KeyError::PublicKey,
            KeyError::Certificate => KeyError::Certificate,
            KeyError::Ssh => KeyError::Ssh,
            KeyError::Encrypted => KeyError::Encrypted,
            KeyError::Truncated => KeyError::Truncated,
            KeyError::Malformed => KeyError::Malformed,
        };
        assert!(keys.iter().all(|error| error.to_string().starts_with("private_key is ")));
    }
}
