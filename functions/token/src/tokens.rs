//! Answering a request for a token: under which version of the secret, for which installation, within which bounds.

use std::sync::Arc;

use adapters::secrets::AppSecret;
use domain::contract::token::{Answer, DEFAULT_TTL_SECONDS, ErrorType, Scope as Ask, Token};
use domain::policy::{Policy, Profile, Target};
use jiff::SignedDuration;

use crate::accounts::Accounts;
use crate::audit::Audit;
use crate::cache::{Cache, Refused};
use crate::clock::Clock;
use crate::entry::Source;
use crate::failure::Failure;
use crate::scope::Scope;
use crate::signer::{Signers, same};
use crate::subject::Subject;

/// What answers requests for tokens.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) signers: Arc<Signers>,
    pub(crate) policy: Policy,
    pub(crate) accounts: Accounts,
    pub(crate) cache: Cache,
}

impl Tokens {
    /// Answers with a token, under the version of the secret that GitHub accepts.
    pub(crate) async fn answer(
        &self,
        ask: &Ask,
        profile: &Profile,
        clock: Clock,
        audit: &mut Audit,
    ) -> Result<Answer, Failure> {
        let known = self.signers.versions(clock).await?;
        let Some(first) = self.signers.first(&known) else {
            return Err(Failure::new(ErrorType::NotConfigured, "the secret holds no value yet"));
        };
        let failure = match self.token_under(first, ask, profile, clock, audit).await {
            Err(failure) if is_of_the_secret(&failure) => failure,
            answer => return answer,
        };
        // Each other version once: GitHub refuses everything for a while after repeated bad credentials.
        let refreshed = self.signers.refreshed(clock).await;
        for version in refreshed.as_ref().unwrap_or(&known).iter().filter(|version| !same(version, first)) {
            match self.token_under(version, ask, profile, clock, audit).await {
                Ok(answer) => {
                    tracing::warn!("GitHub accepts another version of the App's secret than the one used so far");
                    self.signers.accept(version);
                    return Ok(answer);
                }
                Err(failure) if is_of_the_secret(&failure) => {}
                Err(failure) => return Err(failure),
            }
        }
        Err(failure)
    }

    async fn token_under(
        &self,
        version: &Arc<AppSecret>,
        ask: &Ask,
        profile: &Profile,
        clock: Clock,
        audit: &mut Audit,
    ) -> Result<Answer, Failure> {
        let signer = &*self.signers.signer(version)?;
        let asked_for = ask.installation_id.or(signer.installation_id).ok_or_else(|| {
            let message = "no installation: store its installation_id in the App's secret, or name one in the request";
            Failure::new(ErrorType::NotConfigured, message)
        })?;
        let least = SignedDuration::from_secs(ask.min_ttl_seconds.unwrap_or(DEFAULT_TTL_SECONDS).into());
        let is_own = signer.installation_id == Some(asked_for);
        let bound = |installation_id, audit: &mut Audit| {
            let permissions = self.policy.bound(profile, ask, Target { installation_id, is_own })?;
            let repositories = ask.repositories.as_ref().map(|repositories| repositories.names().clone());
            let scope = Scope { profile: profile.clone(), installation_id, is_own, repositories, permissions };
            audit.scope(&scope);
            Ok::<_, Failure>(scope)
        };
        let mut scope = bound(self.accounts.moved(asked_for, clock.now()).unwrap_or(asked_for), audit)?;
        let mut obtained = self.cache.obtain(Subject { signer, scope: &scope }, least, clock).await;
        if let Err(Refused { failure, served: Some(served) }) = &obtained
            && failure.error_type == ErrorType::InstallationNotFound
            && let Some(id) = self.accounts.rediscover(&Subject { signer, scope: &scope }, *served, clock).await
        {
            tracing::warn!(old = scope.installation_id.0, new = id.0, "the App was reinstalled; store the new id");
            let moved = bound(id, audit)?;
            self.accounts.set_moved(scope.installation_id, id, clock.now());
            scope = moved;
            obtained = self.cache.obtain(Subject { signer, scope: &scope }, least, clock).await;
        }
        let (entry, source) = obtained.map_err(|refused| refused.failure)?;
        self.accounts.check_owner(&Subject { signer, scope: &scope }, ask.repositories.as_ref(), &entry, clock).await?;
        audit.answered(&entry, source);
        Ok(Answer::Token(Token {
            token: entry.token.clone(),
            expires_at: entry.expires_at,
            api_url: Some(signer.api_url.to_string()),
            installation_id: scope.installation_id,
            account: entry.account.clone(),
            permissions: entry.permissions.clone(),
            repositories: entry.repositories.clone(),
            cached: source != Source::GitHub,
        }))
    }
}

/// Whether another version of the secret may do better.
fn is_of_the_secret(failure: &Failure) -> bool {
    matches!(failure.error_type, ErrorType::InvalidKey | ErrorType::AppNotFound)
}
