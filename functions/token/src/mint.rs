//! One token from GitHub: asked for, retried where that can help, and compared with the ask.

use std::time::Duration;

use adapters::github::{self, AccessTokenRequest, InstallationToken, RepositorySelection};
use domain::ids::InstallationId;
use jiff::SignedDuration;

use crate::App;
use crate::clock::Clock;
use crate::entry::Entry;
use crate::failure::{ErrorType, Failure};
use crate::scope::{Level, Scope};
use crate::signer::Signer;

/// The pauses before a second and a third try of a call that GitHub could not serve.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_millis(1000)];

/// A clock that is wrong by more is not corrected but repaired: signatures for AWS fail by then anyway.
const MOST_OFFSET: SignedDuration = SignedDuration::from_hours(24);

impl App {
    /// Mints a token for exactly this scope.
    pub(crate) async fn mint(&self, signer: &Signer, scope: &Scope, clock: Clock) -> Result<Entry, Failure> {
        let minting = tokio::time::timeout(clock.left(), self.ask_github(signer, scope, clock));
        let minted = minting.await.unwrap_or_else(|elapsed| {
            let failure = Failure::of_scope(ErrorType::GitHubUnavailable, scope, None);
            Err(Failure { cause: Some(elapsed.to_string()), ..failure })
        })?;
        if let Err(difference) = compare(scope, &minted) {
            return Err(self.give_back(minted, scope, difference).await);
        }
        Ok(Entry::minted(minted, clock.now() + self.signers.offset()))
    }

    async fn ask_github(&self, signer: &Signer, scope: &Scope, clock: Clock) -> Result<InstallationToken, Failure> {
        let ask = AccessTokenRequest {
            repositories: scope.repositories.as_ref().map(|names| names.iter().cloned().collect()),
            permissions: scope.permissions.as_ref().map(|permissions| {
                permissions.iter().map(|(name, level)| (name.clone(), level.name().to_owned())).collect()
            }),
        };
        let mut pauses = PAUSES.iter();
        let mut corrected = false;
        loop {
            let app = signer.bearer(clock.now(), self.signers.offset());
            let error = match self
                .github
                .create_installation_access_token(&app, InstallationId(scope.installation_id), &ask)
                .await
            {
                Ok(minted) => return Ok(minted),
                Err(error) => error,
            };
            match (&error, pauses.as_slice().first()) {
                (github::Error::ClockSkew { github_now: Some(github_now), .. }, _) if !corrected => {
                    // Once: a clock that is right and still refused would be asked about for ever.
                    corrected = true;
                    let offset = github_now.duration_since(clock.now());
                    if offset.abs() > MOST_OFFSET {
                        return Err(Failure::from_github(error, scope));
                    }
                    self.signers.correct(offset);
                    tracing::warn!(offset_seconds = offset.as_secs(), "the clock differs from GitHub's; corrected");
                }
                (github::Error::Unavailable(_), Some(pause)) if clock.left() > *pause => {
                    tokio::time::sleep(*pause).await;
                    pauses.next();
                }
                _ => return Err(Failure::from_github(error, scope)),
            }
        }
    }

    /// Where a repository's installation is now, after a reinstallation gave it a new id.
    pub(crate) async fn rediscover(
        &self,
        signer: &Signer,
        scope: &Scope,
        (owner, name): &(String, String),
        clock: Clock,
    ) -> Option<u64> {
        let app = signer.bearer(clock.now(), self.signers.offset());
        let search = self.github.repository_installation(&app, owner, name);
        match tokio::time::timeout(clock.left(), search).await {
            // GitHub follows a transferred repository to its new owner, whose installation is none of ours.
            Ok(Ok(found)) if !found.account.login.eq_ignore_ascii_case(owner) => {
                tracing::warn!("the installation is gone, and its repository belongs to another account now");
                None
            }
            Ok(Ok(found)) if found.id.0 != scope.installation_id => Some(found.id.0),
            Ok(Ok(_)) => None,
            Ok(Err(error)) => {
                let error = github_chain(error);
                tracing::warn!(error, "the installation is gone, and its account has no other");
                None
            }
            Err(_) => None,
        }
    }

    /// A token of another scope than asked for must not stay in the world.
    async fn give_back(&self, minted: InstallationToken, scope: &Scope, difference: &'static str) -> Failure {
        let revoked = self.github.revoke_installation_access_token(&minted.token).await;
        if let Err(error) = revoked {
            let error = github_chain(error);
            tracing::error!(error, "a token of another scope than asked for could not be revoked");
        }
        let message = format!("GitHub answered with another scope than {scope}: {difference}; the token was revoked");
        Failure::new(ErrorType::PermissionNotGranted, message)
    }
}

pub(crate) fn github_chain(error: github::Error) -> String {
    github::redact(&adapters::Error::from(error).chain())
}

/// Whether a token opens what was asked for, no more and no less.
fn compare(scope: &Scope, minted: &InstallationToken) -> Result<(), &'static str> {
    if let Some(asked) = &scope.repositories {
        let given = minted.repositories.as_deref().unwrap_or_default();
        let selected = minted.repository_selection == Some(RepositorySelection::Selected);
        let all_asked = given.iter().all(|repository| asked.contains(&repository.name.to_ascii_lowercase()));
        if !selected || !all_asked || given.len() != asked.len() {
            return Err("its repositories differ");
        }
    }
    let Some(asked) = &scope.permissions else { return Ok(()) };
    let as_asked = |(name, level): (&String, &String)| {
        let level = Level::parse(level);
        // GitHub adds this one to every token.
        level.is_some() && (asked.get(name).copied() == level || (name == "metadata" && level == Some(Level::Read)))
    };
    let complete = asked.keys().all(|name| minted.permissions.contains_key(name));
    if complete && minted.permissions.iter().all(as_asked) { Ok(()) } else { Err("its permissions differ") }
}

/// The error that a failed mint leaves for others, and for how long.
pub(crate) fn remembered_for(failure: &Failure) -> SignedDuration {
    match failure.error_type {
        ErrorType::InstallationNotFound | ErrorType::InstallationSuspended | ErrorType::PermissionNotGranted => {
            SignedDuration::from_secs(60)
        }
        // A key that was just added is refused for seconds, and repeated refusals get everything refused.
        ErrorType::InvalidKey => SignedDuration::from_secs(10),
        ErrorType::RateLimited => {
            let wait = failure.retry_after.unwrap_or_default().as_secs().min(900);
            SignedDuration::from_secs(wait.try_into().unwrap_or_default())
        }
        // Long enough for those who wait right now: were each to try in its turn, an outage would be a stampede.
        ErrorType::GitHubUnavailable | ErrorType::ClockSkew => SignedDuration::from_secs(2),
        ErrorType::NotConfigured | ErrorType::InvalidRequest => SignedDuration::ZERO,
    }
}
