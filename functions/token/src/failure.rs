//! What a caller is told when there is no token: a type to act on and a sentence that says what to do.

use std::time::Duration;

use adapters::Error;
use adapters::github::{self, redact};
use lambda_runtime::Diagnostic;

use crate::scope::Scope;

/// The `errorType` of an answer. <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-invokeerror>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorType {
    /// The environment or the secret lacks something.
    NotConfigured,
    /// The request is not one this function understands.
    InvalidRequest,
    /// The private key is not one, or GitHub does not know it.
    InvalidKey,
    /// The clock is wrong, and correcting it did not help.
    ClockSkew,
    /// The App is not installed there.
    InstallationNotFound,
    /// The installation is suspended.
    InstallationSuspended,
    /// The installation, or the policy, does not grant what was asked for.
    PermissionNotGranted,
    /// GitHub asks to wait.
    RateLimited,
    /// GitHub, or the way to it, failed.
    GitHubUnavailable,
}

impl ErrorType {
    const ALL: [Self; 9] = [
        Self::NotConfigured,
        Self::InvalidRequest,
        Self::InvalidKey,
        Self::ClockSkew,
        Self::InstallationNotFound,
        Self::InstallationSuspended,
        Self::PermissionNotGranted,
        Self::RateLimited,
        Self::GitHubUnavailable,
    ];

    /// The name that callers match.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotConfigured => "NotConfigured",
            Self::InvalidRequest => "InvalidRequest",
            Self::InvalidKey => "InvalidKey",
            Self::ClockSkew => "ClockSkew",
            Self::InstallationNotFound => "InstallationNotFound",
            Self::InstallationSuspended => "InstallationSuspended",
            Self::PermissionNotGranted => "PermissionNotGranted",
            Self::RateLimited => "RateLimited",
            Self::GitHubUnavailable => "GitHubUnavailable",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|error_type| error_type.name() == name)
    }
}

/// Why there is no token.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What a caller acts on.
    pub error_type: ErrorType,
    /// What to do, for the operator or the caller. Holds nothing secret.
    pub message: String,
    /// The seconds to wait, for [`ErrorType::RateLimited`].
    pub retry_after: Option<Duration>,
    /// What GitHub or AWS said, for the log alone.
    pub(crate) cause: Option<String>,
}

impl Failure {
    pub(crate) fn new(error_type: ErrorType, message: impl Into<String>) -> Self {
        Self { error_type, message: message.into(), retry_after: None, cause: None }
    }

    pub(crate) fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(ErrorType::InvalidRequest, message)
    }

    pub(crate) fn not_configured(error: &Error) -> Self {
        let message = match error {
            Error::SecretUnreadable { .. } => {
                format!("{error}; let the function's role read it (secretsmanager:GetSecretValue)")
            }
            Error::SecretNotConfigured { .. } => {
                format!("{error}; run `konduktor-github-app configure`")
            }
            _ => error.to_string(),
        };
        let failure = Self::new(ErrorType::NotConfigured, message);
        Self { cause: Some(redact(&error.chain())), ..failure }
    }

    /// What GitHub refused for a scope.
    pub(crate) fn from_github(error: github::Error, scope: &Scope) -> Self {
        use github::Error as E;
        let error_type = match &error {
            E::InvalidKey(_) | E::AppNotFound(_) | E::Unauthorized(_) => ErrorType::InvalidKey,
            E::ClockSkew { .. } => ErrorType::ClockSkew,
            E::InstallationNotFound(_) | E::NotFound(_) => ErrorType::InstallationNotFound,
            E::InstallationSuspended(_) => ErrorType::InstallationSuspended,
            E::PermissionNotGranted(_)
            | E::NotAccessible(_)
            | E::Barred { .. }
            | E::Forbidden(_)
            | E::Unprocessable(_) => ErrorType::PermissionNotGranted,
            E::RateLimited { .. } | E::LockedOut { .. } => ErrorType::RateLimited,
            E::NotTheApi(_) | E::Unavailable(_) | E::Unexpected(_) => ErrorType::GitHubUnavailable,
        };
        let failure = Self::of_scope(error_type, scope, error.wait());
        Self { cause: Some(redact(&Error::GitHub(error).chain())), ..failure }
    }

    /// The failure of a type for a scope, whether it happened just now or is remembered.
    pub(crate) fn of_scope(error_type: ErrorType, scope: &Scope, retry_after: Option<Duration>) -> Self {
        let id = scope.installation_id;
        let message = match error_type {
            ErrorType::InvalidKey => {
                "GitHub does not accept the App's private key: generate one in the App's settings \
                and store it together with its app_id (`konduktor-github-app configure`)"
                    .to_owned()
            }
            ErrorType::ClockSkew => "the clock differs from GitHub's and correcting for it did not help: check the \
                clock of this host"
                .to_owned(),
            ErrorType::InstallationNotFound => format!(
                "this App has no installation {id}: install the App on the account, or store the id that \
                 `konduktor-github-app verify` lists"
            ),
            ErrorType::InstallationSuspended => format!(
                "installation {id} is suspended: an owner of the account unsuspends it under Settings, GitHub Apps"
            ),
            ErrorType::PermissionNotGranted => format!(
                "installation {id} does not grant {scope}: grant it in the App's settings, let an owner of the account \
                 accept, or ask for less"
            ),
            ErrorType::RateLimited => {
                format!("GitHub asks to wait: try again in {} s", retry_after.unwrap_or_default().as_secs().max(1))
            }
            ErrorType::GitHubUnavailable => "GitHub did not answer or answered with an error of its own: try again in \
                some seconds, and see https://www.githubstatus.com"
                .to_owned(),
            ErrorType::NotConfigured | ErrorType::InvalidRequest => error_type.name().to_owned(),
        };
        Self { retry_after, ..Self::new(error_type, message) }
    }
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: failure.error_type.name().to_owned(), error_message: failure.message }
    }
}
