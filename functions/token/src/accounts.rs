//! Whose installation is meant: which one stands in for one that is gone, and by which names an account goes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adapters::github::Installation;
use adapters::pause::is_recent;
use domain::contract::token::{ErrorType, Repositories};
use domain::ids::{AccountId, InstallationId};
use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;
use crate::directory::Directory;
use crate::entry::Entry;
use crate::failure::Failure;
use crate::gate::Gate;
use crate::subject::Subject;

/// How long a reinstallation's new id is used without asking again.
const MOVED_FOR: SignedDuration = SignedDuration::from_mins(5);

/// How long a made-up name of an account is not asked about after another one.
const BETWEEN_NAMES: SignedDuration = SignedDuration::from_secs(5);

/// What one execution environment has learned of accounts.
#[derive(Debug)]
pub(crate) struct Accounts {
    gate: Arc<Gate>,
    directory: Arc<Directory>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Old installation id to the new one, and when that was learned.
    moved: HashMap<InstallationId, (InstallationId, Timestamp)>,
    /// Another name of an installation's account, lower-case, and when GitHub said so.
    names: HashMap<(InstallationId, String), Timestamp>,
    /// When GitHub was last asked for a name.
    names_asked_at: HashMap<InstallationId, Timestamp>,
}

impl Accounts {
    pub(crate) fn new(gate: Arc<Gate>, directory: Arc<Directory>) -> Self {
        Self { gate, directory, state: Mutex::default() }
    }

    /// Whether the repositories were named with the installation's account, under a name that it has or had: GitHub leads an old
    /// one to where its repositories are.
    pub(crate) async fn check_owner(
        &self,
        subject: &Subject<'_>,
        named: Option<&Repositories>,
        entry: &Entry,
        clock: Clock,
    ) -> Result<(), Failure> {
        let id = subject.scope.installation_id;
        let Some(repositories) = named else { return Ok(()) };
        let (Some(owner), Some(name)) = (repositories.owner(), repositories.names().first()) else { return Ok(()) };
        let is_account = entry.account.as_ref().is_some_and(|account| account.eq_ignore_ascii_case(owner));
        if is_account || self.is_name_of(id, owner, clock.now()) {
            return Ok(());
        }
        if self.may_ask_for_names(id, clock.now()) {
            let found = self.installation_of(subject, owner, name, clock).await;
            match found {
                Ok(found) if found.id == id => {
                    self.set_name_of(id, owner, clock.now());
                    return Ok(());
                }
                Ok(_) => {}
                Err(failure) if failure.error_type == ErrorType::InstallationNotFound => {}
                Err(failure) => return Err(failure),
            }
        }
        let message = format!("installation {id} is of another account than the repositories were named with");
        Err(Failure::new(ErrorType::InvalidRequest, message))
    }

    /// Where the account's installation is now, after a reinstallation gave it a new id.
    pub(crate) async fn rediscover(
        &self,
        subject: &Subject<'_>,
        account: AccountId,
        clock: Clock,
    ) -> Option<InstallationId> {
        let found = self.directory.installation_on(account, subject, clock).await;
        if found.is_none() {
            tracing::warn!("the installation is gone, and its account has no other");
        }
        found
    }

    /// The installation that covers a repository.
    async fn installation_of(
        &self,
        subject: &Subject<'_>,
        owner: &str,
        name: &str,
        clock: Clock,
    ) -> Result<Installation, Failure> {
        let search = self.gate.at_github(subject, clock, async |_| {
            let app = self.gate.bearer(subject.signer, clock);
            self.gate.github.repository_installation(&app, owner, name).await
        });
        search.await
    }

    pub(crate) fn moved(&self, installation_id: InstallationId, now: Timestamp) -> Option<InstallationId> {
        let moved = self.state().moved.get(&installation_id).copied();
        moved.filter(|(_, learned)| is_recent(*learned, MOVED_FOR, now)).map(|(id, _)| id)
    }

    pub(crate) fn set_moved(&self, from: InstallationId, to: InstallationId, now: Timestamp) {
        self.state().moved.insert(from, (to, now));
    }

    fn is_name_of(&self, installation_id: InstallationId, name: &str, now: Timestamp) -> bool {
        let asked_at = self.state().names.get(&(installation_id, name.to_owned())).copied();
        asked_at.is_some_and(|asked_at| is_recent(asked_at, MOVED_FOR, now))
    }

    /// Whether GitHub may be asked for one more name: who makes names up must not use the App's limit up.
    fn may_ask_for_names(&self, installation_id: InstallationId, now: Timestamp) -> bool {
        let mut state = self.state();
        let asked_at = state.names_asked_at.get(&installation_id).copied();
        let may = !asked_at.is_some_and(|asked_at| is_recent(asked_at, BETWEEN_NAMES, now));
        if may {
            state.names_asked_at.insert(installation_id, now);
        }
        may
    }

    fn set_name_of(&self, installation_id: InstallationId, name: &str, now: Timestamp) {
        self.state().names.insert((installation_id, name.to_owned()), now);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
