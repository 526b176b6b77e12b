//! What GitHub was asked about, and the sentence for each way in which it refuses that.

use std::time::Duration;

use adapters::github::{self, ApiUrl, Barrier};
use domain::contract::token::ErrorType;
use jiff::Timestamp;

use crate::failure::{Failure, logged, type_of};
use crate::scope::Scope;
use crate::signer::Signer;
use crate::store::Remembered;

/// One scope under one key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) signer: &'a Signer,
    pub(crate) scope: &'a Scope,
}

impl Subject<'_> {
    /// What GitHub refused.
    pub(crate) fn refused(&self, error: github::Error) -> Failure {
        let failure = self.failure(type_of(&error), error.wait());
        Failure { cause: Some(logged(&error.into())), ..failure }
    }

    /// What was refused earlier.
    pub(crate) fn remembered(&self, refusal: Remembered, now: Timestamp) -> Failure {
        let left = Duration::try_from(refusal.until.duration_since(now)).unwrap_or_default();
        let failure = self.failure(refusal.error_type, Some(Duration::from_secs(left.as_secs() + 1)));
        Failure { cause: Some("remembered from an earlier try".into()), ..failure }
    }

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
                "{} is not the address of GitHub's API: set GITHUB_API_URL (the stack's GitHubApiUrl); {}",
                signer.api_url,
                ApiUrl::HINT
            ),
            // These come before GitHub is asked, and are never remembered.
            ErrorType::InvalidRequest | ErrorType::RepositoriesNotNamed => "the request is invalid".to_owned(),
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
