//! The App's installations and their accounts, listed once for all environments.
//!
//! An id that is not on the list is refused without a call and without a row of its own, however many are made up. The list also
//! says whose a token for all repositories is: GitHub's answer to a mint does not. And it leads from an installation that is gone to
//! the one that its account has now, so it is sealed like a token: who may write the table must not lead it elsewhere.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adapters::github;
use domain::contract::token::ErrorType;
use domain::ids::{AccountId, InstallationId};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::entry::Account;
use crate::failure::{Failure, warn_of};
use crate::gate::Gate;
use crate::seal::{CacheKey, Seal, Sealed};
use crate::store::{Row, RowKey, Store};
use crate::subject::Subject;

/// For how long a list is good for the ids on it: accounts are renamed, rarely.
const KNOWN_FOR: SignedDuration = SignedDuration::from_hours(1);

/// For how long it is good for the ids that are not on it: the App may have been installed meanwhile.
const UNKNOWN_FOR: SignedDuration = SignedDuration::from_secs(60);

/// For how long it is good for accounts that had an installation and have none: they are about to install the App again.
const BETWEEN_LOOKS: SignedDuration = SignedDuration::from_secs(5);

/// How long the account of a token that was minted is waited for.
const SOON: Duration = Duration::from_secs(2);

/// The installations as GitHub listed them.
#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    accounts: BTreeMap<InstallationId, Account>,
    listed_at: Timestamp,
}

impl Listed {
    /// What does not open, of an earlier version or of somebody else, is no list.
    fn open(row: &Row, key: &RowKey, seal: &Seal) -> Option<Self> {
        let plain = seal.open(&CacheKey::of_text(key.as_str()), &row.sealed()?)?;
        serde_json::from_slice(&plain).ok()
    }

    fn seal(&self, key: &RowKey, seal: &Seal) -> Option<Sealed> {
        let plain = serde_json::to_vec(self).ok()?;
        seal.seal(&CacheKey::of_text(key.as_str()), &plain).ok()
    }

    /// Whether it can still tell about an installation.
    fn tells(&self, id: InstallationId, now: Timestamp) -> bool {
        self.is_younger_than(if self.accounts.contains_key(&id) { KNOWN_FOR } else { UNKNOWN_FOR }, now)
    }

    /// A list of the future is none.
    fn is_younger_than(&self, good_for: SignedDuration, now: Timestamp) -> bool {
        let age = now.duration_since(self.listed_at);
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
        let id = subject.scope.installation_id;
        match self.listed(subject, clock, |listed| listed.tells(id, clock.now())).await {
            Ok(listed) if listed.accounts.contains_key(&id) => Ok(()),
            Ok(_) => Err(subject.failure(ErrorType::InstallationNotFound, None)),
            // A list that cannot be had is no reason against what stood on the last one, however old: GitHub will say of the installation
            // itself. One that did not stand there may be made up, and gets neither a row nor a mint.
            Err(failure) if failure.error_type == ErrorType::GitHubUnavailable => {
                let last = self.here(&subject.signer.directory_row());
                last.filter(|last| last.accounts.contains_key(&id)).map(drop).ok_or(failure)
            }
            Err(failure) => Err(failure),
        }
    }

    /// The installation that an account has in place of the one that is gone. It is looked for at GitHub once in a while: whoever asks for
    /// what is not installed any more must not use the App's limit up.
    pub(crate) async fn installation_on(
        &self,
        account: AccountId,
        subject: &Subject<'_>,
        clock: Clock,
    ) -> Option<InstallationId> {
        let gone = subject.scope.installation_id;
        let other = |listed: &Listed| {
            let mut on = listed.accounts.iter().filter(|(id, on)| **id != gone && on.id == Some(account));
            on.next().map(|(id, _)| *id)
        };
        let will_do = |listed: &Listed| {
            let good_for = if other(listed).is_some() { UNKNOWN_FOR } else { BETWEEN_LOOKS };
            listed.is_younger_than(good_for, clock.now())
        };
        other(&*self.listed(subject, clock, will_do).await.ok()?)
    }

    /// The account of the installation, if it can be had soon: a token that was minted is not to be lost for it. For callers that
    /// were let through to GitHub already.
    pub(crate) async fn account(&self, subject: &Subject<'_>, clock: Clock) -> Option<Account> {
        let id = subject.scope.installation_id;
        let listed = match self.known(subject, |listed| listed.tells(id, clock.now())).await {
            Ok(listed) => listed,
            Err(_) => tokio::time::timeout(SOON.min(clock.left()), self.list(subject, clock)).await.ok()?.ok()?,
        };
        listed.accounts.get(&id).filter(|account| !account.name.is_empty()).cloned()
    }

    /// A list that will do, from here, from the table or from GitHub.
    async fn listed(
        &self,
        subject: &Subject<'_>,
        clock: Clock,
        will_do: impl Fn(&Listed) -> bool,
    ) -> Result<Arc<Listed>, Failure> {
        let row = match self.known(subject, &will_do).await {
            Ok(listed) => return Ok(listed),
            Err(row) => row,
        };
        let listing = self.gate.at_github(subject, clock, async |waited| {
            // Whoever went ahead may have listed them meanwhile, or found that they cannot be listed.
            let row = match if waited { self.known(subject, &will_do).await } else { Err(row) } {
                Ok(listed) => return Ok(listed),
                Err(row) => row,
            };
            if row.failure(clock.now()).is_some() {
                return Err(github::Error::Unavailable(
                    "GitHub did not list the App's installations a moment ago".into(),
                ));
            }
            self.list(subject, clock).await
        });
        listing.await
    }

    /// The list here, or in the table, if it will do; else the row that was read.
    async fn known(&self, subject: &Subject<'_>, will_do: impl Fn(&Listed) -> bool) -> Result<Arc<Listed>, Row> {
        let key = subject.signer.directory_row();
        if let Some(listed) = self.here(&key).filter(|listed| will_do(listed)) {
            return Ok(listed);
        }
        let row = self.store.get(&key).await.unwrap_or_default();
        let listed = Listed::open(&row, &key, &subject.signer.seal).map(|listed| self.hold(key, listed));
        listed.filter(|listed| will_do(listed)).ok_or(row)
    }

    fn hold(&self, key: RowKey, listed: Listed) -> Arc<Listed> {
        let listed = Arc::new(listed);
        *self.held() = Some((key, Arc::clone(&listed)));
        listed
    }

    fn here(&self, key: &RowKey) -> Option<Arc<Listed>> {
        self.held().as_ref().filter(|(of, _)| of == key).map(|(_, listed)| Arc::clone(listed))
    }

    fn held(&self) -> MutexGuard<'_, Option<(RowKey, Arc<Listed>)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn list(&self, subject: &Subject<'_>, clock: Clock) -> Result<Arc<Listed>, github::Error> {
        let app = self.gate.bearer(subject.signer, clock);
        let all = match self.gate.github.installations(&app).await {
            Ok(all) => all,
            Err(error) => {
                self.note_unlisted(subject, &error, clock).await;
                return Err(error);
            }
        };
        let accounts = all.into_iter().map(|found| (found.id, Account::from(&found.account))).collect();
        let key = subject.signer.directory_row();
        let listed = self.hold(key.clone(), Listed { accounts, listed_at: clock.now() });
        if let Some(sealed) = listed.seal(&key, &subject.signer.seal) {
            warn_of(self.store.put_list(&key, sealed, listed.listed_at).await);
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
