//! One token from GitHub: asked for, retried where that can help, and compared with the ask.

use std::time::Duration;

use adapters::github::{self, AccessTokenRequest, Installation, InstallationToken, RepositorySelection};
use domain::contract::token::{ErrorType, Level};
use domain::ids::InstallationId;
use jiff::SignedDuration;

use crate::App;
use crate::cache::warn_of;
use crate::clock::Clock;
use crate::entry::Entry;
use crate::failure::{Failure, Subject, logged};
use crate::gate::remembered_for;
use crate::scope::Scope;
use crate::store::Remembered;

/// The pauses before a second and a third try of a call that GitHub could not serve.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_millis(1000)];

/// A clock that is wrong by more is not corrected but repaired: signatures for AWS fail by then anyway.
const MOST_OFFSET: SignedDuration = SignedDuration::from_hours(24);

impl App {
    /// Mints a token for exactly this scope.
    pub(crate) async fn mint(&self, subject: &Subject<'_>, clock: Clock) -> Result<Entry, Failure> {
        let minted = self.at_github(subject, clock, async || {
            let minted = self.ask_github(subject, clock).await?;
            // GitHub names the account beside repositories that were asked for, and not where all of them were.
            let account = if minted.repositories.is_none() { self.account(subject, clock).await } else { None };
            Ok((minted, account))
        });
        let minted = minted.await;
        if let Err(failure) = &minted {
            self.note_installation(subject, failure, clock).await;
        }
        let (minted, account) = minted?;
        let scope = subject.scope;
        if let Err(difference) = compare(scope, &minted) {
            return Err(self.give_back(minted, scope, difference, clock).await);
        }
        Ok(Entry::minted(minted, account, clock.now() + self.signers.offset()))
    }

    /// Remembers what holds for the installation in all its scopes.
    async fn note_installation(&self, subject: &Subject<'_>, failure: &Failure, clock: Clock) {
        match failure.error_type {
            ErrorType::InstallationNotFound
            | ErrorType::InstallationSuspended
            | ErrorType::IpAllowList
            | ErrorType::SamlEnforced => {}
            _ => return,
        }
        let now = clock.now();
        let refusal = Remembered { error_type: failure.error_type, until: now + remembered_for(failure) };
        let row = subject.signer.installation_row(subject.scope.installation_id);
        warn_of(self.store.remember(&row, refusal, now).await);
    }

    async fn ask_github(&self, subject: &Subject<'_>, clock: Clock) -> Result<InstallationToken, github::Error> {
        let scope = subject.scope;
        let ask = AccessTokenRequest {
            repositories: scope.repositories.as_ref().map(|names| names.iter().cloned().collect()),
            permissions: scope.permissions.as_ref().map(|permissions| {
                permissions.iter().map(|(name, level)| (name.clone(), level.name().to_owned())).collect()
            }),
        };
        let mut pauses = PAUSES.iter();
        let mut corrected = false;
        loop {
            let app = subject.signer.bearer(clock.now(), self.signers.offset());
            let error = match self.github.create_installation_access_token(&app, scope.installation_id, &ask).await {
                Ok(minted) => return Ok(minted),
                Err(error) => error,
            };
            match (&error, pauses.as_slice().first()) {
                (github::Error::ClockSkew { github_now: Some(github_now), .. }, _) if !corrected => {
                    // Once: a clock that is right and still refused would be asked about for ever.
                    corrected = true;
                    let offset = github_now.duration_since(clock.now());
                    if offset.abs() > MOST_OFFSET {
                        return Err(error);
                    }
                    self.signers.correct(offset);
                    tracing::warn!(offset_seconds = offset.as_secs(), "the clock differs from GitHub's; corrected");
                }
                (github::Error::Unavailable(_), Some(pause)) if clock.left() > *pause => {
                    tokio::time::sleep(*pause).await;
                    pauses.next();
                }
                _ => return Err(error),
            }
        }
    }

    /// Where a repository's installation is now, after a reinstallation gave it a new id.
    pub(crate) async fn rediscover(
        &self,
        subject: &Subject<'_>,
        (owner, name): &(String, String),
        clock: Clock,
    ) -> Option<InstallationId> {
        match self.installation_of(subject, owner, name, clock).await {
            // GitHub follows a transferred repository to its new owner, whose installation is none of ours.
            Ok(found) if !found.account.login.eq_ignore_ascii_case(owner) => {
                tracing::warn!("the installation is gone, and its repository belongs to another account now");
                None
            }
            Ok(found) if found.id != subject.scope.installation_id => Some(found.id),
            Ok(_) => None,
            Err(failure) => {
                let error = failure.cause;
                tracing::warn!(error, "the installation is gone, and its account has no other");
                None
            }
        }
    }

    /// The installation that covers a repository.
    pub(crate) async fn installation_of(
        &self,
        subject: &Subject<'_>,
        owner: &str,
        name: &str,
        clock: Clock,
    ) -> Result<Installation, Failure> {
        let search = self.at_github(subject, clock, async || {
            let app = subject.signer.bearer(clock.now(), self.signers.offset());
            self.github.repository_installation(&app, owner, name).await
        });
        search.await
    }

    /// A token of another scope than asked for must not stay in the world.
    async fn give_back(
        &self,
        minted: InstallationToken,
        scope: &Scope,
        difference: &'static str,
        clock: Clock,
    ) -> Failure {
        let revoked = clock.bound(self.github.revoke_installation_access_token(&minted.token)).await;
        if let Err(error) = revoked {
            let error = logged(&error.into());
            tracing::error!(error, "a token of another scope than asked for could not be revoked");
        }
        let message = format!("GitHub answered with another scope than {scope}: {difference}; the token was revoked");
        Failure::new(ErrorType::PermissionNotGranted, message)
    }
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
        let level = level.parse::<Level>().ok();
        // GitHub adds this one to every token.
        level.is_some() && (asked.get(name).copied() == level || (name == "metadata" && level == Some(Level::Read)))
    };
    let complete = asked.keys().all(|name| minted.permissions.contains_key(name));
    if complete && minted.permissions.iter().all(as_asked) { Ok(()) } else { Err("its permissions differ") }
}
