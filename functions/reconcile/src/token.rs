//! Installation tokens, from the token function, kept until shortly before they end.

use std::collections::HashMap;

use aws_sdk_lambda::error::DisplayErrorContext;
use aws_sdk_lambda::primitives::Blob;
use domain::contract::token::{ErrorType, Level, Refusal, Request, Scope, Token};
use domain::pull_request::InstallationId;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use crate::github::Failure;

/// A token with less life than this is not used for a run that may take minutes.
const LEAST_LIFE: SignedDuration = SignedDuration::from_mins(5);

/// How long a token lives. <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-an-installation-access-token-for-a-github-app>
const LIFETIME: SignedDuration = SignedDuration::from_hours(1);

/// For how long a new token may be refused before every machine of GitHub's knows it.
const SPREADS_WITHIN: SignedDuration = SignedDuration::from_secs(10);

/// How long to ask nothing where the token function was told to slow down and does not say for how long.
const UNSTATED_WAIT: i64 = 60;

/// A token and whose it is.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) token: SecretString,
    pub(crate) installation_id: Option<InstallationId>,
    expires_at: Timestamp,
    fresh_until: Timestamp,
}

impl Held {
    /// Whether a refusal may mean no more than that the token is new.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        now <= self.fresh_until
    }
}

/// The tokens of one execution environment, one an installation.
#[derive(Debug)]
pub(crate) struct Tokens {
    client: aws_sdk_lambda::Client,
    function: String,
    /// Locked while a token is asked for: several groups of work start at once, and one token serves them all.
    held: Mutex<HashMap<Option<InstallationId>, Held>>,
}

impl Tokens {
    pub(crate) fn new(client: aws_sdk_lambda::Client, function: String) -> Self {
        Self { client, function, held: Mutex::default() }
    }

    /// A token of an installation; of the token function's own one for `None`.
    pub(crate) async fn get(&self, installation: Option<InstallationId>, now: Timestamp) -> Result<Held, Failure> {
        let mut held = self.held.lock().await;
        if let Some(known) = held.get(&installation).filter(|known| known.expires_at - LEAST_LIFE > now) {
            return Ok(known.clone());
        }
        let fresh = self.ask(installation, now).await?;
        held.insert(installation, fresh.clone());
        Ok(fresh)
    }

    /// Another token than this one, which GitHub refuses though it should not have ended: it was revoked.
    pub(crate) async fn replace(
        &self,
        installation: Option<InstallationId>,
        refused: &Held,
        now: Timestamp,
    ) -> Result<Held, Failure> {
        let mut held = self.held.lock().await;
        let known = held.get(&installation).filter(|known| {
            known.token.expose_secret() != refused.token.expose_secret() && known.expires_at - LEAST_LIFE > now
        });
        if let Some(known) = known {
            return Ok(known.clone());
        }
        held.remove(&installation);
        let sha256 = Sha256::digest(refused.token.expose_secret()).into();
        self.invoke(&Request::Invalidate(sha256), now).await?;
        let fresh = self.ask(installation, now).await?;
        held.insert(installation, fresh.clone());
        Ok(fresh)
    }

    async fn ask(&self, installation: Option<InstallationId>, now: Timestamp) -> Result<Held, Failure> {
        let answer = self.invoke(&Request::Mint(scope(installation)), now).await?;
        // serde's message may quote what it stumbled over, and that may be the token.
        let minted: Token = serde_json::from_slice(&answer)
            .map_err(|_| Failure::Refused("the token function's answer is not of the documented shape".to_owned()))?;
        let minted_at = if minted.cached { minted.expires_at - LIFETIME } else { now };
        Ok(Held {
            token: minted.token,
            installation_id: Some(minted.installation_id),
            expires_at: minted.expires_at,
            fresh_until: minted_at + SPREADS_WITHIN,
        })
    }

    async fn invoke(&self, request: &Request, now: Timestamp) -> Result<Vec<u8>, Failure> {
        let answer = self
            .client
            .invoke()
            .function_name(&self.function)
            .payload(Blob::new(request.to_json().to_string()))
            .send()
            .await
            .map_err(|error| Failure::Unavailable(DisplayErrorContext(error).to_string()))?;
        let failed = answer.function_error.is_some();
        let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
        if failed { Err(refusal(&payload, now)) } else { Ok(payload) }
    }
}

/// Exactly what reconcile needs, and the same each time: the scope is what tokens are cached under.
fn scope(installation: Option<InstallationId>) -> Scope {
    let permissions = ["metadata", "pull_requests"].map(|name| (name.to_owned(), Level::Read));
    Scope { installation_id: installation, permissions: Some(permissions.into()), ..Scope::default() }
}

/// The token function's typed errors, as far as something different is done about them.
fn refusal(payload: &[u8], now: Timestamp) -> Failure {
    let refusal = match Refusal::parse(payload) {
        Ok(refusal) => refusal,
        Err(error_type) => return Failure::Unavailable(format!("the token function failed ({error_type})")),
    };
    let said = format!("{}: {}", refusal.error_type.name(), refusal.error_message);
    match refusal.error_type {
        ErrorType::RateLimited | ErrorType::LockedOut => {
            let seconds =
                refusal.retry_after().and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(UNSTATED_WAIT);
            Failure::Limited { until: now.as_second().saturating_add(seconds) }
        }
        ErrorType::InstallationNotFound => Failure::NoInstallation(said),
        ErrorType::NotConfigured
        | ErrorType::InvalidRequest
        | ErrorType::InvalidKey
        | ErrorType::AppNotFound
        | ErrorType::ClockSkew
        | ErrorType::InstallationSuspended
        | ErrorType::PermissionNotGranted
        | ErrorType::IpAllowList
        | ErrorType::SamlEnforced
        | ErrorType::Blocked
        | ErrorType::Refused => Failure::Refused(said),
        ErrorType::GitHubUnavailable | ErrorType::Busy => Failure::Unavailable(said),
    }
}
