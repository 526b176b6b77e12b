//! Taking a token out of service: revoked by its holder, or reported as rejected.

use adapters::github;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::SecretString;

use crate::audit::Audit;
use crate::clock::Clock;
use crate::entry::sha256;
use crate::failure::{ErrorType, Failure};
use crate::request::Ask;
use crate::scope::Scope;
use crate::seal::CacheKey;
use crate::{App, Response};

impl App {
    /// Revokes a token and drops its copies: first the copies, so that nobody is handed a dead one meanwhile.
    pub(crate) async fn revoke(
        &self,
        ask: &Ask,
        token: &SecretString,
        clock: Clock,
        audit: &mut Audit,
    ) -> Result<Response, Failure> {
        let sha256 = sha256(token);
        audit.token(&sha256);
        let keys = self.keys(ask, clock, audit).await?;
        let mut dropped = false;
        for (key, _) in &keys {
            dropped |= self.drop_from_memory(key, &sha256);
            dropped |= self.store.remove(key, &sha256).await.unwrap_or_else(|error| {
                let error = error.chain();
                tracing::warn!(error, "the cached copy of a revoked token could not be dropped");
                false
            });
        }
        match (self.github.revoke_installation_access_token(token).await, keys.first()) {
            // A token that GitHub does not know any more is as revoked as can be.
            (Ok(()) | Err(github::Error::Unauthorized(_)), _) => {}
            (Err(error), Some((_, scope))) => return Err(Failure::from_github(error, scope)),
            (Err(_), None) => return Err(Failure::new(ErrorType::NotConfigured, "the secret holds no value yet")),
        }
        audit.revoked();
        Ok(Response::Revoked { revoked: true, dropped })
    }

    /// Drops the copy of a token that a client reports as rejected.
    pub(crate) async fn invalidate(
        &self,
        ask: &Ask,
        sha256: &[u8; 32],
        clock: Clock,
        audit: &mut Audit,
    ) -> Result<Response, Failure> {
        let sha256 = BASE64_STANDARD.encode(sha256);
        audit.token(&sha256);
        let now = clock.now() + self.signers.offset();
        let mut reason = "no copy of this token, or a fresh one: those are refused for seconds by GitHub itself; or \
            one was dropped in the last 30 s";
        for (key, _) in self.keys(ask, clock, audit).await? {
            match self.store.invalidate(&key, &sha256, now).await {
                Ok(true) => {
                    self.drop_from_memory(&key, &sha256);
                    audit.invalidated();
                    return Ok(Response::Invalidated { invalidated: true, reason: None });
                }
                Ok(false) => {}
                Err(error) => {
                    let error = error.chain();
                    tracing::warn!(error, "a rejected token could not be dropped");
                    reason = "the table of tokens cannot be reached; try again";
                }
            }
        }
        Ok(Response::Invalidated { invalidated: false, reason: Some(reason) })
    }

    /// The scope's keys under every version of the secret: the token may have been minted before a rotation.
    async fn keys(&self, ask: &Ask, clock: Clock, audit: &mut Audit) -> Result<Vec<(CacheKey, Scope)>, Failure> {
        let versions = self.secret.versions(clock.now()).await.map_err(|error| Failure::not_configured(&error))?;
        let mut keys = Vec::with_capacity(versions.len());
        let mut unusable = None;
        for version in &versions {
            match self.scope(version, ask, clock, audit) {
                Ok((signer, scope)) => keys.push((signer.cache_key(&scope)?, scope)),
                Err(failure) if failure.error_type == ErrorType::InvalidKey => unusable = Some(failure),
                Err(failure) => return Err(failure),
            }
        }
        unusable.filter(|_| keys.is_empty()).map_or(Ok(keys), Err)
    }

    fn drop_from_memory(&self, key: &CacheKey, sha256: &str) -> bool {
        let is_it = self.memory.get(key).is_some_and(|held| held.entry.sha256() == sha256);
        is_it && self.memory.drop(key).is_some()
    }
}
