//! The App's installations and their accounts, listed once for all environments.
//!
//! An id that is not on the list is refused without a call and without a row of its own, however many are made up. The list also
//! says whose a token for all repositories is: GitHub's answer to a mint does not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::contract::token::ErrorType;
use domain::ids::InstallationId;
use jiff::{SignedDuration, Timestamp};

use crate::App;
use crate::cache::warn_of;
use crate::clock::Clock;
use crate::failure::{Failure, Subject};
use crate::store::Row;

/// For how long a list is good for the ids on it: accounts are renamed, rarely.
const KNOWN_FOR: SignedDuration = SignedDuration::from_hours(1);

/// For how long it is good for the ids that are not on it: the App may have been installed meanwhile.
const UNKNOWN_FOR: SignedDuration = SignedDuration::from_secs(60);

/// How long the account of a token that was minted is waited for.
const SOON: Duration = Duration::from_secs(2);

/// The installations as GitHub listed them.
#[derive(Debug)]
pub(crate) struct Directory {
    accounts: BTreeMap<InstallationId, String>,
    listed_at: Timestamp,
}

impl Directory {
    fn of(row: &Row) -> Option<Self> {
        let (accounts, listed_at) = row.list()?;
        Some(Self { accounts: serde_json::from_str(accounts).ok()?, listed_at })
    }

    /// Whether it can still tell about an installation. A list of the future is none.
    fn tells(&self, id: InstallationId, now: Timestamp) -> bool {
        let age = now.duration_since(self.listed_at);
        let good_for = if self.accounts.contains_key(&id) { KNOWN_FOR } else { UNKNOWN_FOR };
        age < good_for && age > -UNKNOWN_FOR
    }
}

impl App {
    /// Whether the App has the installation, as far as somebody may have made it up: the one in the secret was not.
    pub(crate) async fn check_installation(&self, subject: &Subject<'_>, clock: Clock) -> Result<(), Failure> {
        if subject.scope.is_own {
            return Ok(());
        }
        match self.directory(subject, clock).await {
            Ok(directory) if directory.accounts.contains_key(&subject.scope.installation_id) => Ok(()),
            Ok(_) => Err(subject.failure(ErrorType::InstallationNotFound, None)),
            // A list that cannot be had is no reason: GitHub will say of the installation itself.
            Err(failure) if failure.error_type == ErrorType::GitHubUnavailable => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// The account of the installation, if it can be had soon: a token that was minted is not to be lost for it. For callers that
    /// were let through to GitHub already.
    pub(crate) async fn account(&self, subject: &Subject<'_>, clock: Clock) -> Option<String> {
        let directory = match self.known_directory(subject, clock).await {
            Some(directory) => directory,
            None => {
                let listed = tokio::time::timeout(SOON.min(clock.left()), self.list(subject, clock)).await;
                self.hold(subject, listed.ok()?.ok()?)
            }
        };
        directory.accounts.get(&subject.scope.installation_id).filter(|account| !account.is_empty()).cloned()
    }

    async fn directory(&self, subject: &Subject<'_>, clock: Clock) -> Result<Arc<Directory>, Failure> {
        if let Some(directory) = self.known_directory(subject, clock).await {
            return Ok(directory);
        }
        let listing = self.at_github(subject, clock, async || {
            // Whoever went ahead may have listed them meanwhile.
            match self.known_directory(subject, clock).await {
                Some(directory) => Ok(directory),
                None => Ok(self.hold(subject, self.list(subject, clock).await?)),
            }
        });
        listing.await
    }

    /// The list in memory, or in the table.
    async fn known_directory(&self, subject: &Subject<'_>, clock: Clock) -> Option<Arc<Directory>> {
        let key = subject.signer.directory_row();
        let tells = |directory: &Directory| directory.tells(subject.scope.installation_id, clock.now());
        if let Some(directory) = self.memory.directory(&key).filter(|directory| tells(directory)) {
            return Some(directory);
        }
        let row = self.store.get(&key).await.ok()?;
        Directory::of(&row).filter(tells).map(|directory| self.hold(subject, directory))
    }

    fn hold(&self, subject: &Subject<'_>, directory: Directory) -> Arc<Directory> {
        let directory = Arc::new(directory);
        self.memory.set_directory(subject.signer.directory_row(), &directory);
        directory
    }

    async fn list(&self, subject: &Subject<'_>, clock: Clock) -> Result<Directory, adapters::github::Error> {
        let app = subject.signer.bearer(clock.now(), self.signers.offset());
        let all = self.github.installations(&app).await?;
        let accounts = all.into_iter().map(|found| (found.id, found.account.name().to_owned())).collect();
        let directory = Directory { accounts, listed_at: clock.now() };
        if let Ok(text) = serde_json::to_string(&directory.accounts) {
            warn_of(self.store.put_list(&subject.signer.directory_row(), &text, directory.listed_at).await);
        }
        Ok(directory)
    }
}
