//! What a caller is told when there is no token: a type to act on and a sentence that says what to do.

use std::time::Duration;

use adapters::Error;
use adapters::error::chain;
use adapters::github::{self, Barrier};
use domain::contract::token::{ErrorType, Invalid, wait};
use domain::policy::Denied;
use lambda_runtime::Diagnostic;

use crate::scope::Scope;
use crate::signer::Signer;

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

    /// Trouble with Secrets Manager that nobody here can mend.
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

    /// What GitHub refused.
    pub(crate) fn from_github(error: github::Error, subject: &Subject<'_>) -> Self {
        let failure = subject.failure(type_of(&error), error.wait());
        Self { cause: Some(logged(&error.into())), ..failure }
    }
}

/// What a refusal of GitHub is to a caller.
pub(crate) fn type_of(error: &github::Error) -> ErrorType {
    use github::Error as E;
    match error {
        E::InvalidKey(_) => ErrorType::InvalidKey,
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

/// What GitHub was asked about, for the sentence that says what to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) signer: &'a Signer,
    pub(crate) scope: &'a Scope,
}

impl Subject<'_> {
    /// The failure of a type, whether it happened just now or is remembered.
    pub(crate) fn failure(&self, error_type: ErrorType, after: Option<Duration>) -> Failure {
        let (signer, scope) = (self.signer, self.scope);
        let id = scope.installation_id;
        let message = match error_type {
            ErrorType::InvalidKey => format!(
                "GitHub does not accept the key in the secret {} for the App {}: generate one in the App's settings and \
                 store it together with its app_id (`konduktor-github-app configure`)",
                signer.secret_id, signer.issuer
            ),
            ErrorType::AppNotFound => format!(
                "GitHub at {} has no App {}, which stands as {} in the secret {}: store what the App's settings show \
                 (`konduktor-github-app configure`)",
                signer.api_url,
                signer.issuer,
                signer.issuer_field(),
                signer.secret_id
            ),
            ErrorType::ClockSkew => "the clock differs from GitHub's and correcting for it did not help: check the \
                clock of this host"
                .to_owned(),
            ErrorType::InstallationNotFound => format!(
                "the App {} has no installation {id}: install the App on the account, or store the id that \
                 `konduktor-github-app verify` lists",
                signer.app_id
            ),
            ErrorType::InstallationSuspended => format!(
                "installation {id} is suspended: an owner of the account unsuspends it under Settings, GitHub Apps"
            ),
            ErrorType::PermissionNotGranted => format!(
                "installation {id} does not grant {scope}: grant it in the App's settings, let an owner of the account \
                 accept, or ask for less"
            ),
            ErrorType::RepositoryNotFound => format!(
                "{} not among the repositories of installation {id}: see that the name is right, or add it in the account's \
                 settings under GitHub Apps",
                missing(scope)
            ),
            ErrorType::IpAllowList => format!("installation {id}: {}", Barrier::IpAllowList),
            ErrorType::SamlEnforced => format!("installation {id}: {}", Barrier::Saml),
            ErrorType::Blocked => format!("installation {id}: {}", Barrier::Blocked),
            ErrorType::Refused => format!(
                "GitHub refuses installation {id} a token in words that this function does not know: its log has them, \
                 under this request's id"
            ),
            ErrorType::RateLimited => {
                return Failure::over_in(error_type, "GitHub asks to wait", after.unwrap_or_default());
            }
            ErrorType::LockedOut => {
                let message = "GitHub refuses everything for a while after too many wrong credentials";
                return Failure::over_in(error_type, message, after.unwrap_or_default());
            }
            ErrorType::GitHubUnavailable => "GitHub did not answer or answered with an error of its own: try again in \
                some seconds, and see https://www.githubstatus.com"
                .to_owned(),
            ErrorType::Busy => {
                "another environment is getting this token and is not done, or GitHub is asked for many \
                others: try again in some seconds"
                    .to_owned()
            }
            ErrorType::NotConfigured => format!(
                "{} is not the address of GitHub's API: set GITHUB_API_URL (the stack's GitHubApiUrl); that of an \
                 Enterprise Server ends in /api/v3",
                signer.api_url
            ),
            ErrorType::InvalidRequest => error_type.name().to_owned(),
        };
        Failure { retry_after: after, ..Failure::new(error_type, message) }
    }
}

/// GitHub does not say which of several it is.
fn missing(scope: &Scope) -> String {
    let names: Vec<&str> = scope.repositories.iter().flatten().map(String::as_str).collect();
    match names.as_slice() {
        [name] => format!("{name} is"),
        names => format!("of {} at least one is", names.join(", ")),
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self::new(ErrorType::InvalidRequest, invalid.to_string())
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        Self::new(ErrorType::PermissionNotGranted, denied.to_string())
    }
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: failure.error_type.name().to_owned(), error_message: failure.message }
    }
}
