//! The one record of each request: who asked for what, what they got, and never the token.

use std::collections::BTreeMap;

use adapters::github::redact;
use domain::contract::token::{Answer, ErrorKind, ErrorType};
use domain::ids::InstallationId;
use domain::policy::Profile;
use jiff::Timestamp;
use lambda_runtime::Context;

use crate::clock::Clock;
use crate::entry::{Entry, Source};
use crate::failure::Failure;
use crate::scope::Scope;

/// A claim is cut to this many characters.
const CLAIM_CHARACTERS: usize = 256;

/// What Lambda says about an invocation.
#[derive(Debug, Clone, Default)]
pub struct RequestContext {
    /// By which CloudTrail's data events name the caller.
    pub request_id: String,
    /// The function with the version or alias it was invoked by, which is the caller's profile.
    pub function: String,
    /// What the caller says about itself in the client context's `custom`: a claim, not a proof.
    pub claims: BTreeMap<String, String>,
    /// When Lambda ends the invocation, epoch milliseconds.
    pub deadline: u64,
}

impl From<Context> for RequestContext {
    fn from(context: Context) -> Self {
        Self {
            request_id: context.request_id,
            function: context.invoked_function_arn,
            claims: context.client_context.map(|context| context.custom.into_iter().collect()).unwrap_or_default(),
            deadline: context.deadline,
        }
    }
}

/// What is known of a request so far.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    outcome: Option<&'static str>,
    installation_id: Option<InstallationId>,
    repositories: Option<usize>,
    permissions: Option<String>,
    token_sha256: Option<String>,
    expires_at: Option<Timestamp>,
}

impl Audit {
    pub(crate) fn scope(&mut self, scope: &Scope) {
        self.installation_id = Some(scope.installation_id);
        self.repositories = scope.repositories.as_ref().map(std::collections::BTreeSet::len);
        self.permissions = scope.permissions_text();
    }

    pub(crate) fn answered(&mut self, entry: &Entry, source: Source) {
        self.token_sha256 = Some(entry.sha256());
        self.expires_at = Some(entry.expires_at);
        self.outcome = Some(match source {
            Source::Memory => "memory_hit",
            Source::Table => "table_hit",
            Source::GitHub => "minted",
        });
    }

    pub(crate) fn token(&mut self, sha256: &str) {
        self.token_sha256 = Some(sha256.to_owned());
    }

    pub(crate) fn revoked(&mut self) {
        self.outcome = Some("revoked");
    }

    pub(crate) fn invalidated(&mut self) {
        self.outcome = Some("invalidated");
    }

    pub(crate) fn write(
        &self,
        context: &RequestContext,
        profile: &Profile,
        result: &Result<Answer, Failure>,
        clock: Clock,
    ) {
        let failure = result.as_ref().err();
        let outcome = match failure.map(|failure| failure.error_type) {
            Some(ErrorType::PermissionNotGranted | ErrorType::RepositoryNotFound) => "refused",
            Some(error_type) if error_type.kind() == ErrorKind::Request => "refused",
            Some(_) => "failed",
            None => self.outcome.unwrap_or("refused"),
        };
        tracing::info!(
            outcome,
            profile = profile.as_str(),
            installation_id = self.installation_id.map(|id| id.0),
            repositories = self.repositories,
            permissions = self.permissions,
            token_sha256 = self.token_sha256,
            expires_at = self.expires_at.map(tracing::field::display),
            request_id = context.request_id,
            duration_ms = clock.duration_ms(),
            function = context.function,
            caller = claims(&context.claims),
            error_type = failure.map(|failure| failure.error_type.name()),
            error = failure.map(|failure| failure.message.as_str()),
            cause = failure.and_then(|failure| failure.cause.as_deref()),
            "token request"
        );
    }
}

fn claims(claims: &BTreeMap<String, String>) -> Option<String> {
    let all = claims.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
    let clean = redact(&all).chars().filter(|c| !c.is_control()).take(CLAIM_CHARACTERS).collect();
    (!all.is_empty()).then_some(clean)
}
