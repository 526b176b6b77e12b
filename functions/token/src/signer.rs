//! The App's identity out of its secret, and which version of the secret GitHub accepts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adapters::github::ApiUrl;
use adapters::github::app::{AppBearer, AppKey, KeyError};
use adapters::secrets::{AppSecret, Secret, Versions};
use domain::contract::token::ErrorType;
use domain::ids::{InstallationId, Issuer};
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;

use crate::clock::Clock;
use crate::failure::Failure;
use crate::scope::Scope;
use crate::seal::{CacheKey, Seal};
use crate::store::RowKey;

/// One version of the secret, ready for use.
#[derive(Debug)]
pub(crate) struct Signer {
    pub(crate) installation_id: Option<InstallationId>,
    pub(crate) seal: Seal,
    pub(crate) api_url: ApiUrl,
    pub(crate) app_id: Issuer,
    /// What GitHub is told whose the JSON Web Token is: the client id or the App ID.
    pub(crate) issuer: Issuer,
    /// Where all this is stored.
    pub(crate) secret_id: String,
    key: AppKey,
}

impl Signer {
    fn new(secret: &AppSecret, secret_id: &str, api_url: &ApiUrl) -> Result<Self, KeyError> {
        let key = AppKey::from_pem(&secret.private_key)?;
        // A GitHub Enterprise Server takes the App ID in every version, the client id only in late ones.
        let client_id = secret.client_id.clone().filter(|_| !api_url.is_enterprise_server());
        Ok(Self {
            installation_id: secret.installation_id,
            seal: Seal::derive(key.pkcs8_der()).map_err(|_| KeyError::Malformed)?,
            api_url: api_url.clone(),
            app_id: secret.app_id.clone(),
            issuer: client_id.map_or_else(|| secret.app_id.clone(), Issuer::Client),
            secret_id: secret_id.to_owned(),
            key,
        })
    }

    pub(crate) fn cache_key(&self, scope: &Scope) -> CacheKey {
        CacheKey::new(self.api_url.as_str(), &self.app_id, self.key.fingerprint(), scope)
    }

    /// Names what holds for the App in all its scopes: all of GitHub's word about it, whatever key it signs with.
    pub(crate) fn app_row(&self) -> RowKey {
        RowKey::shared("app", &(self.api_url.as_str(), &self.app_id, &self.issuer))
    }

    /// Names what holds for one installation in all its scopes.
    pub(crate) fn installation_row(&self, id: InstallationId) -> RowKey {
        RowKey::shared("installation", &(self.api_url.as_str(), &self.app_id, id))
    }

    /// Names the list of the App's installations.
    pub(crate) fn directory_row(&self) -> RowKey {
        RowKey::shared("installations", &(self.api_url.as_str(), &self.app_id))
    }

    /// Which field of the secret the issuer stands in.
    pub(crate) fn issuer_field(&self) -> &'static str {
        if self.issuer == self.app_id { "app_id" } else { "client_id" }
    }

    pub(crate) fn bearer(&self, now: Timestamp, offset: SignedDuration) -> AppBearer<'_> {
        self.key.bearer(&self.issuer, now, offset)
    }

    pub(crate) fn fingerprint(&self) -> &str {
        self.key.fingerprint()
    }
}

/// The secret with the App's key, and the signers in use.
#[derive(Debug)]
pub(crate) struct Signers {
    secret: Secret<AppSecret>,
    api_url: ApiUrl,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Parsing a key and deriving from it takes a millisecond, which no memory hit should pay.
    parsed: Vec<(Arc<AppSecret>, Arc<Signer>)>,
    /// The version that worked when the first one did not.
    accepted: Option<Arc<AppSecret>>,
}

impl Signers {
    pub(crate) fn new(secret: Secret<AppSecret>, api_url: ApiUrl) -> Self {
        Self { secret, api_url, state: Mutex::default() }
    }

    /// The versions that are in service.
    pub(crate) async fn versions(&self, clock: Clock) -> Result<Versions<AppSecret>, Failure> {
        let read = tokio::time::timeout(clock.left(), self.secret.versions(clock.now())).await;
        match read {
            Ok(known) => known.map_err(|error| Failure::of_configuration(&error)),
            Err(_) => Err(Failure::unreadable(self.secret.name())),
        }
    }

    /// The versions anew, unless that was just done or fails.
    pub(crate) async fn refreshed(&self, clock: Clock) -> Option<Versions<AppSecret>> {
        let refreshed = tokio::time::timeout(clock.left(), self.secret.refresh(clock.now())).await;
        refreshed.ok().and_then(Result::ok).flatten()
    }

    /// The version to begin with: the one that worked last if it is still there, else the newest.
    pub(crate) fn first<'a>(&self, versions: &'a [Arc<AppSecret>]) -> Option<&'a Arc<AppSecret>> {
        let accepted = self.state().accepted.clone();
        let known = accepted.and_then(|accepted| versions.iter().find(|version| same(version, &accepted)));
        known.or_else(|| versions.first())
    }

    pub(crate) fn accept(&self, version: &Arc<AppSecret>) {
        self.state().accepted = Some(Arc::clone(version));
    }

    pub(crate) fn signer(&self, version: &Arc<AppSecret>) -> Result<Arc<Signer>, Failure> {
        let secret_id = self.secret.name();
        let mut state = self.state();
        if let Some((_, signer)) = state.parsed.iter().find(|(known, _)| Arc::ptr_eq(known, version)) {
            return Ok(Arc::clone(signer));
        }
        let signer = match state.parsed.iter().position(|(known, _)| same(known, version)) {
            Some(at) => state.parsed.swap_remove(at).1,
            None => {
                Arc::new(Signer::new(version, secret_id, &self.api_url).map_err(|error| invalid_key(error, secret_id))?)
            }
        };
        // Current and previous; an older key has no business in memory.
        state.parsed.truncate(1);
        state.parsed.push((Arc::clone(version), Arc::clone(&signer)));
        Ok(signer)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether two reads of the secret gave the same key and App.
pub(crate) fn same(one: &AppSecret, other: &AppSecret) -> bool {
    one.app_id == other.app_id
        && one.client_id == other.client_id
        && one.installation_id == other.installation_id
        && one.private_key.expose_secret() == other.private_key.expose_secret()
}

fn invalid_key(error: KeyError, secret_id: &str) -> Failure {
    Failure::new(ErrorType::InvalidKey, format!("the secret {secret_id} cannot be used: {error}"))
}
