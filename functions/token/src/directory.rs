//! The App's installations and their accounts, listed once for all environments.
//!
//! An id that is not on the list is refused without a call and without a row of its own, however many are made up. The list also
//! says whose a token for all repositories is: GitHub's answer to a mint does not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adapters::github;
use domain::contract::token::ErrorType;
use domain::ids::InstallationId;
use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;
use crate::failure::{Failure, warn_of};
use crate::gate::Gate;
use crate::store::{Row, RowKey, Store};
use crate::subject::Subject;

/// For how long a list is good for the ids on it: accounts are renamed, rarely.
const KNOWN_FOR: SignedDuration = SignedDuration::from_hours(1);

/// For how long it is good for the ids that are not on it: the App may have been installed meanwhile.
const UNKNOWN_FOR: SignedDuration = SignedDuration::from_secs(60);

/// How long the account of a token that was minted is waited for.
const SOON: Duration = Duration::from_secs(2);

/// The installations as GitHub listed them.
#[derive(Debug)]
struct Listed {
    accounts: BTreeMap<InstallationId, String>,
    listed_at: Timestamp,
}

impl Listed {
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

/// The list, as one execution environment knows it.
#[derive(Debug)]
pub(crate) struct Directory {
    gate: Arc<Gate>,
    store: Store,
    held: Mutex<Option<(RowKey, Arc<Listed>)>>,
}

impl Directory {
    pub(crate) fn new(gate: Arc<Gate>, store: Store) -> Self {
        Self { gate, store, held: Mutex::default() }
    }

    /// Whether the App has the installation, as far as somebody may have made it up: the one in the secret was not.
    pub(crate) async fn check_installation(&self, subject: &Subject<'_>, clock: Clock) -> Result<(), Failure> {
        if subject.scope.is_own {
            return Ok(());
        }
        match self.listed(subject, clock).await {
            Ok(listed) if listed.accounts.contains_key(&subject.scope.installation_id) => Ok(()),
            Ok(_) => Err(subject.failure(ErrorType::InstallationNotFound, None)),
            // A list that cannot be had is no reason against what stood on the last one: GitHub will say of the installation itself.
            Err(failure) if failure.error_type == ErrorType::GitHubUnavailable && self.was_listed(subject).await => {
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Whether the installation stood on the last list, however old. One that did not may be made up, and gets neither a row nor a mint.
    async fn was_listed(&self, subject: &Subject<'_>) -> bool {
        let id = subject.scope.installation_id;
        self.known(subject, |listed| listed.accounts.contains_key(&id)).await.is_some()
    }

    /// The account of the installation, if it can be had soon: a token that was minted is not to be lost for it. For callers that
    /// were let through to GitHub already.
    pub(crate) async fn account(&self, subject: &Subject<'_>, clock: Clock) -> Option<String> {
        let listed = match self.telling(subject, clock).await {
            Some(listed) => listed,
            None => {
                let listed = tokio::time::timeout(SOON.min(clock.left()), self.list(subject, clock)).await;
                self.hold(subject, listed.ok()?.ok()?)
            }
        };
        listed.accounts.get(&subject.scope.installation_id).filter(|account| !account.is_empty()).cloned()
    }

    async fn listed(&self, subject: &Subject<'_>, clock: Clock) -> Result<Arc<Listed>, Failure> {
        if let Some(listed) = self.telling(subject, clock).await {
            return Ok(listed);
        }
        let listing = self.gate.at_github(subject, clock, async || {
            // Whoever went ahead may have listed them meanwhile, or found that they cannot be listed.
            match self.telling(subject, clock).await {
                Some(listed) => Ok(listed),
                None if self.failed_just_now(subject, clock).await => {
                    Err(github::Error::Unavailable("the installations could not be listed just now".into()))
                }
                None => Ok(self.hold(subject, self.list(subject, clock).await?)),
            }
        });
        listing.await
    }

    async fn telling(&self, subject: &Subject<'_>, clock: Clock) -> Option<Arc<Listed>> {
        let id = subject.scope.installation_id;
        self.known(subject, |listed| listed.tells(id, clock.now())).await
    }

    /// The list in memory, or in the table, if it will do.
    async fn known(&self, subject: &Subject<'_>, will_do: impl Fn(&Listed) -> bool) -> Option<Arc<Listed>> {
        let key = subject.signer.directory_row();
        if let Some(listed) = self.here(&key).filter(|listed| will_do(listed)) {
            return Some(listed);
        }
        let row = self.store.get(&key).await.ok()?;
        Listed::of(&row).filter(will_do).map(|listed| self.hold(subject, listed))
    }

    async fn failed_just_now(&self, subject: &Subject<'_>, clock: Clock) -> bool {
        let row = self.store.get(&subject.signer.directory_row()).await;
        row.is_ok_and(|row| row.failure(clock.now()).is_some())
    }

    fn hold(&self, subject: &Subject<'_>, listed: Listed) -> Arc<Listed> {
        let listed = Arc::new(listed);
        *self.held() = Some((subject.signer.directory_row(), Arc::clone(&listed)));
        listed
    }

    fn here(&self, key: &RowKey) -> Option<Arc<Listed>> {
        self.held().as_ref().filter(|(of, _)| of == key).map(|(_, listed)| Arc::clone(listed))
    }

    fn held(&self) -> MutexGuard<'_, Option<(RowKey, Arc<Listed>)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn list(&self, subject: &Subject<'_>, clock: Clock) -> Result<Listed, github::Error> {
        let app = self.gate.bearer(subject.signer, clock);
        let all = match self.gate.github.installations(&app).await {
            Ok(all) => all,
            Err(error) => {
                self.note_unlisted(subject, &error, clock).await;
                return Err(error);
            }
        };
        let accounts = all.into_iter().map(|found| (found.id, found.account.name().to_owned())).collect();
        let listed = Listed { accounts, listed_at: clock.now() };
        if let Ok(text) = serde_json::to_string(&listed.accounts) {
            warn_of(self.store.put_list(&subject.signer.directory_row(), &text, listed.listed_at).await);
        }
        Ok(listed)
    }

    /// So that those who wait for the list do not each try in their turn.
    async fn note_unlisted(&self, subject: &Subject<'_>, error: &github::Error, clock: Clock) {
        if let github::Error::Unavailable(_) = error {
            let refusal = subject.failure(ErrorType::GitHubUnavailable, None).remembered(clock.now());
            warn_of(self.store.remember(&subject.signer.directory_row(), refusal, clock.now()).await);
        }
    }
}
