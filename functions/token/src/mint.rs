//! One token from GitHub: asked for, retried where that can help, and compared with the ask.

use std::sync::Arc;
use std::time::Duration;

use adapters::github::{self, AccessTokenRequest, InstallationToken, RepositorySelection};
use domain::contract::token::{ErrorType, Level};
use jiff::SignedDuration;

use crate::clock::Clock;
use crate::directory::Directory;
use crate::entry::Entry;
use crate::failure::{Failure, logged, warn_of};
use crate::gate::Gate;
use crate::scope::Scope;
use crate::store::Store;
use crate::subject::Subject;

/// The pauses before a second and a third try of a call that GitHub could not serve.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_millis(1000)];

/// A clock that is wrong by more is not corrected but repaired: signatures for AWS fail by then anyway.
const MOST_OFFSET: SignedDuration = SignedDuration::from_hours(24);

/// How tokens are asked for.
#[derive(Debug)]
pub(crate) struct Mint {
    gate: Arc<Gate>,
    directory: Arc<Directory>,
    store: Store,
}

impl Mint {
    pub(crate) fn new(gate: Arc<Gate>, directory: Arc<Directory>, store: Store) -> Self {
        Self { gate, directory, store }
    }

    /// Mints a token for exactly this scope.
    pub(crate) async fn token(&self, subject: &Subject<'_>, clock: Clock) -> Result<Entry, Failure> {
        let minted = self.gate.at_github(subject, clock, async |_| {
            let minted = self.ask_github(subject, clock).await?;
            // GitHub names the account beside repositories that were asked for, and not where all of them were.
            let account =
                if minted.repositories.is_none() { self.directory.account(subject, clock).await } else { None };
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
        Ok(Entry::minted(minted, account, self.gate.now(clock)))
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
        let row = subject.signer.installation_row(subject.scope.installation_id);
        warn_of(self.store.remember(&row, failure.remembered(now), now).await);
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
            let app = self.gate.bearer(subject.signer, clock);
            let error = match self.gate.github.create_installation_access_token(&app, scope.installation_id, &ask).await
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
                        return Err(error);
                    }
                    self.gate.correct(offset);
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

    /// Revokes a token whose scope differs from what was asked for: it may open more than the caller may have.
    async fn give_back(
        &self,
        minted: InstallationToken,
        scope: &Scope,
        difference: &'static str,
        clock: Clock,
    ) -> Failure {
        let revoked = clock.bound(self.gate.github.revoke_installation_access_token(&minted.token)).await;
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
