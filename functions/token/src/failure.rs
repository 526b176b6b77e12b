//! What a caller is told when there is no token: a type to act on and a sentence that says what to do.

use std::time::Duration;

use adapters::Error;
use adapters::error::chain;
use adapters::github::{self, Barrier};
use domain::contract::token::{ErrorKind, ErrorType, Invalid, wait};
use domain::policy::Denied;
use jiff::{SignedDuration, Timestamp};
use lambda_runtime::Diagnostic;

use crate::store::{LONGEST_FAILURE, Remembered};

/// Why there is no token.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What a caller acts on.
    pub error_type: ErrorType,
    /// What to do, for the operator or the caller. Holds nothing secret.
    pub message: String,
    /// How long to ask nothing, where that is known.
    pub retry_after: Option<Duration>,
    /// What GitHub or AWS said, for the log alone.
    pub(crate) cause: Option<String>,
}

impl Failure {
    pub(crate) fn new(error_type: ErrorType, message: impl Into<String>) -> Self {
        Self { error_type, message: message.into(), retry_after: None, cause: None }
    }

    /// One that is over after a time, which the message ends with.
    pub(crate) fn over_in(error_type: ErrorType, message: &str, after: Duration) -> Self {
        let message = format!("{message}: {}", wait(after.as_secs().max(1)));
        Self { retry_after: Some(after), ..Self::new(error_type, message) }
    }

    /// What the environment or the secret lacks.
    pub(crate) fn of_configuration(error: &Error) -> Self {
        let failure = match error {
            Error::SecretUnreadable { source, .. } if source.is_denied() => {
                let message = format!("{error}; let the function's role read it (secretsmanager:GetSecretValue)");
                Self::new(ErrorType::NotConfigured, message)
            }
            Error::SecretUnreadable { id, .. } => Self::unreadable(id),
            Error::SecretNotConfigured { .. } => {
                Self::new(ErrorType::NotConfigured, format!("{error}; run `konduktor-github-app configure`"))
            }
            _ => Self::new(ErrorType::NotConfigured, error.to_string()),
        };
        Self { cause: Some(logged(error)), ..failure }
    }

    /// Trouble with Secrets Manager that nobody here can end.
    pub(crate) fn unreadable(secret: &str) -> Self {
        let message = format!(
            "the secret {secret} could not be read: Secrets Manager did not answer or failed. Try again in some seconds, and \
             see https://health.aws.amazon.com"
        );
        Self::new(ErrorType::Busy, message)
    }

    /// The invocation's time ran out over the table: every call of GitHub and of Secrets Manager ends before, and says so itself.
    pub(crate) fn out_of_time() -> Self {
        let message = "the table of tokens did not answer within the time of this invocation: try again in some seconds, and \
                       see https://health.aws.amazon.com";
        Self::new(ErrorType::Busy, message)
    }

    /// What is told to others for a while instead of being asked for again.
    pub(crate) fn remembered(&self, now: Timestamp) -> Remembered {
        Remembered { error_type: self.error_type, until: now + self.remembered_for() }
    }

    fn remembered_for(&self) -> SignedDuration {
        match self.error_type.kind() {
            // A key that was just added is refused for seconds, and repeated refusals get everything refused.
            ErrorKind::App if self.error_type == ErrorType::InvalidKey => SignedDuration::from_secs(20),
            ErrorKind::App | ErrorKind::Installation => SignedDuration::from_secs(60),
            ErrorKind::Limit => {
                let wait = SignedDuration::try_from(self.retry_after.unwrap_or_default());
                wait.unwrap_or(LONGEST_FAILURE).min(LONGEST_FAILURE)
            }
            // Another try may go well at once, and GitHub was not asked.
            ErrorKind::Passing if self.error_type == ErrorType::Busy => SignedDuration::ZERO,
            ErrorKind::Request => SignedDuration::ZERO,
            // Long enough for those who wait right now: were each to try in its turn, an outage would be a stampede.
            ErrorKind::Setup | ErrorKind::Passing => SignedDuration::from_secs(2),
        }
    }
}

/// What a refusal of GitHub is to a caller.
pub(crate) fn type_of(error: &github::Error) -> ErrorType {
    use github::Error as E;
    match error {
        E::InvalidKey(_) | E::NoPublicKey(_) => ErrorType::InvalidKey,
        E::AppNotFound(_) => ErrorType::AppNotFound,
        E::ClockSkew { .. } => ErrorType::ClockSkew,
        E::InstallationNotFound(_) | E::NotFound(_) => ErrorType::InstallationNotFound,
        E::InstallationSuspended(_) => ErrorType::InstallationSuspended,
        E::PermissionNotGranted(_) | E::NotAccessible(_) => ErrorType::PermissionNotGranted,
        E::RepositoryNotFound(_) => ErrorType::RepositoryNotFound,
        E::Barred { barrier: Barrier::IpAllowList, .. } => ErrorType::IpAllowList,
        E::Barred { barrier: Barrier::Saml, .. } => ErrorType::SamlEnforced,
        E::Barred { barrier: Barrier::Blocked, .. } => ErrorType::Blocked,
        // A sentence that is not known blames nothing.
        E::Unauthorized(_) | E::Unprocessable(_) | E::Forbidden(_) => ErrorType::Refused,
        E::RateLimited { .. } => ErrorType::RateLimited,
        E::LockedOut { .. } => ErrorType::LockedOut,
        E::NotTheApi(_) => ErrorType::NotConfigured,
        E::Unavailable(_) | E::Unexpected(_) => ErrorType::GitHubUnavailable,
    }
}

/// An error for the log, whose end a caller may read (`LogType=Tail`): without the table's name, and without secrets. What AWS says of
/// accounts, roles and resources is left out by [`adapters::aws::AwsError`] already.
pub(crate) fn logged(error: &Error) -> String {
    match error {
        Error::Table { operation, source, .. } | Error::Unwritable { operation, source, .. } => {
            format!("{operation} failed: {}", chain(source.as_ref()))
        }
        Error::Item { source, .. } => chain(source.as_ref()),
        Error::Contention { .. } => "the table kept changing under a conditional write".to_owned(),
        other => other.chain(),
    }
}

/// Whether a refusal is the App's, or its key's, in all its scopes. Then it stands on the App's row, and on no scope's: those are the same
/// for two versions of the secret that differ in how they name the App, and the good one would be refused what the other one met.
pub(crate) fn is_of_the_app(error_type: ErrorType) -> bool {
    matches!(error_type.kind(), ErrorKind::App | ErrorKind::Limit)
}

pub(crate) fn warn_of(result: adapters::Result<()>) {
    if let Err(error) = result {
        let error = logged(&error);
        tracing::warn!(error, "the table of tokens cannot be written; other environments will mint for themselves");
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self::new(ErrorType::InvalidRequest, invalid.to_string())
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        // The command line adds how to name them.
        let named =
            if denied.wants_repositories() { ErrorType::RepositoriesNotNamed } else { ErrorType::PermissionNotGranted };
        Self::new(named, denied.to_string())
    }
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: failure.error_type.name().to_owned(), error_message: failure.message }
    }
}
