//! Installation tokens, from the token function, kept until shortly before they end.

use std::collections::HashMap;
use std::sync::Arc;

use adapters::aws::AwsError;
use adapters::error::chain;
use aws_sdk_lambda::primitives::Blob;
use domain::contract::token::{ErrorKind, ErrorType, Level, Permissions, Refusal as Said, Request, Scope, Token};
use domain::ids::InstallationId;
use domain::policy::RECONCILE_PERMISSIONS;
use domain::schedule::Refusal;
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

/// How long to ask nothing where the token function was told to slow down and did not say for how long.
const UNSTATED_WAIT: i64 = 60;

/// Pull requests, and the tips of branches if the installation grants them.
const WANTED: [&[&str]; 2] = [&RECONCILE_PERMISSIONS, &["metadata", "pull_requests"]];

/// A token and whose it is.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) token: SecretString,
    pub(crate) installation_id: InstallationId,
    /// Whether it reads the tips of branches.
    pub(crate) reads_branches: bool,
    expires_at: Timestamp,
    fresh_until: Timestamp,
}

impl Held {
    fn lasts(&self, now: Timestamp) -> bool {
        self.expires_at.duration_since(now) > LEAST_LIFE
    }

    /// Whether a refusal may mean no more than that the token is new.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        now <= self.fresh_until
    }
}

/// Where the token of one installation is kept.
type Place = Arc<Mutex<Option<Held>>>;

/// The tokens of one execution environment, one an installation.
#[derive(Debug)]
pub(crate) struct Tokens {
    client: aws_sdk_lambda::Client,
    function: String,
    /// Each is locked while it is asked for: one token serves all the work of its installation, and no installation waits for the token of
    /// another.
    held: Mutex<HashMap<Option<InstallationId>, Place>>,
}

impl Tokens {
    pub(crate) fn new(client: aws_sdk_lambda::Client, function: String) -> Self {
        Self { client, function, held: Mutex::default() }
    }

    async fn place(&self, installation: Option<InstallationId>) -> Place {
        Arc::clone(self.held.lock().await.entry(installation).or_default())
    }

    /// A token of an installation; of the token function's own one for `None`.
    pub(crate) async fn get(&self, installation: Option<InstallationId>, now: Timestamp) -> Result<Held, Failure> {
        let place = self.place(installation).await;
        let mut held = place.lock().await;
        if let Some(known) = held.as_ref().filter(|known| known.lasts(now)) {
            return Ok(known.clone());
        }
        Ok(held.insert(self.ask(installation, now).await?).clone())
    }

    /// Another token than this one, which GitHub refuses though it should not have ended: it was revoked.
    pub(crate) async fn replace(
        &self,
        installation: Option<InstallationId>,
        refused: &Held,
        now: Timestamp,
    ) -> Result<Held, Failure> {
        let place = self.place(installation).await;
        let mut held = place.lock().await;
        let known = held
            .as_ref()
            .filter(|known| known.token.expose_secret() != refused.token.expose_secret() && known.lasts(now));
        if let Some(known) = known {
            return Ok(known.clone());
        }
        *held = None;
        let sha256 = Sha256::digest(refused.token.expose_secret()).into();
        self.invoke(&Request::Invalidate(sha256)).await?.map_err(|said| failure(&said, now))?;
        Ok(held.insert(self.ask(installation, now).await?).clone())
    }

    /// Asks for as much as is granted of what reconcile reads.
    async fn ask(&self, installation: Option<InstallationId>, now: Timestamp) -> Result<Held, Failure> {
        let mut refused = None;
        for (less, permissions) in WANTED.into_iter().enumerate() {
            let answer = match self.invoke(&request(installation, permissions)).await? {
                Ok(answer) => answer,
                Err(said) if said.error_type == ErrorType::PermissionNotGranted => {
                    refused = Some(said);
                    continue;
                }
                Err(said) => return Err(failure(&said, now)),
            };
            // serde's message may quote what it stumbled over, and that may be the token.
            let minted: Token = serde_json::from_slice(&answer).map_err(|_| {
                Failure::Unavailable("the token function's answer is not of the documented shape".to_owned())
            })?;
            let minted_at = if minted.cached { minted.expires_at.checked_sub(LIFETIME).unwrap_or(now) } else { now };
            return Ok(Held {
                token: minted.token,
                installation_id: minted.installation_id,
                reads_branches: less == 0,
                expires_at: minted.expires_at,
                fresh_until: minted_at + SPREADS_WITHIN,
            });
        }
        Err(refused
            .map_or_else(|| Failure::Unavailable("nothing was asked for".to_owned()), |said| failure(&said, now)))
    }

    /// The function's answer, or its refusal.
    async fn invoke(&self, request: &Request) -> Result<Result<Vec<u8>, Said>, Failure> {
        let answer = self
            .client
            .invoke()
            .function_name(&self.function)
            .payload(Blob::new(request.to_json().to_string()))
            .send()
            .await
            .map_err(|error| {
                // AWS's own text names roles and functions, and this is written into a table and the log.
                let said = chain(&AwsError::of(error));
                Failure::Unavailable(format!("the token function could not be invoked: {said}"))
            })?;
        let failed = answer.function_error.is_some();
        let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
        if !failed {
            return Ok(Ok(payload));
        }
        let unknown = |kind: String| Failure::Unavailable(format!("the token function failed: {kind}"));
        Said::parse(&payload).map(Err).map_err(unknown)
    }
}

/// Exactly what reconcile needs, and the same each time: the scope is what tokens are cached under.
fn request(installation_id: Option<InstallationId>, permissions: &[&str]) -> Request {
    let permissions: Permissions = permissions.iter().map(|name| ((*name).to_owned(), Level::Read)).collect();
    Request::Mint(Scope { installation_id, permissions: Some(permissions), ..Scope::default() })
}

/// The token function's refusals, as far as something different is done about them.
fn failure(said: &Said, now: Timestamp) -> Failure {
    let text = format!("{}: {}", said.error_type.name(), said.error_message);
    let no_token = |refusal| Failure::NoToken { refusal, said: text.clone() };
    match said.error_type.kind() {
        ErrorKind::Limit => {
            let wait = said.retry_after().and_then(|wait| i64::try_from(wait).ok()).unwrap_or(UNSTATED_WAIT);
            Failure::Limited { until: now.as_second().saturating_add(wait), said: text }
        }
        ErrorKind::Installation if said.error_type == ErrorType::InstallationNotFound => no_token(Refusal::Gone),
        ErrorKind::Request | ErrorKind::Setup | ErrorKind::App | ErrorKind::Installation => no_token(Refusal::Other),
        ErrorKind::Passing => Failure::Unavailable(text),
    }
}
