//! What one execution environment remembers between invocations.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::ids::InstallationId;
use jiff::{SignedDuration, Timestamp};

use crate::directory::Directory;
use crate::entry::Entry;
use crate::seal::CacheKey;
use crate::store::{Remembered, RowKey};

/// A copy is compared with the table after this long, so a dropped token is gone everywhere by then.
const CHECKED_FOR: SignedDuration = SignedDuration::from_secs(30);

/// How long a reinstallation's new id is used without asking again.
const MOVED_FOR: SignedDuration = SignedDuration::from_mins(5);

/// How long a made-up name of an account is not asked about after another one.
const BETWEEN_NAMES: SignedDuration = SignedDuration::from_secs(5);

/// Bounds the memory: 512 tokens of 2 KB, each with its scope.
const MOST_ENTRIES: usize = 512;

#[derive(Debug, Default)]
pub(crate) struct Memory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<CacheKey, Held>,
    /// Installation to the `owner`, `name` of a repository that a token of it opened.
    worked: HashMap<InstallationId, (String, String)>,
    /// Old installation id to the new one, and when that was learned.
    moved: HashMap<InstallationId, (InstallationId, Timestamp)>,
    /// What holds for an App in all its scopes, for when the table cannot be asked.
    refused: HashMap<(RowKey, String), Remembered>,
    /// The App's installations as they were listed last.
    directory: Option<(RowKey, Arc<Directory>)>,
    /// Another name of an installation's account, lower-case, and when GitHub said so.
    names: HashMap<(InstallationId, String), Timestamp>,
    /// When GitHub was last asked for a name.
    names_asked_at: HashMap<InstallationId, Timestamp>,
}

#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) entry: Arc<Entry>,
    checked_at: Timestamp,
}

impl Held {
    pub(crate) fn is_checked(&self, now: Timestamp) -> bool {
        now.duration_since(self.checked_at) < CHECKED_FOR
    }
}

impl Memory {
    pub(crate) fn get(&self, key: &CacheKey) -> Option<Held> {
        self.state().entries.get(key).cloned()
    }

    pub(crate) fn keep(&self, key: CacheKey, installation_id: InstallationId, entry: &Arc<Entry>, now: Timestamp) {
        let mut state = self.state();
        if let Some(repository) = entry.repository() {
            state.worked.insert(installation_id, repository);
        }
        if state.entries.len() >= MOST_ENTRIES && !state.entries.contains_key(&key) {
            let soonest = state.entries.iter().min_by_key(|(_, held)| held.entry.expires_at).map(|(key, _)| *key);
            soonest.and_then(|key| state.entries.remove(&key));
        }
        state.entries.insert(key, Held { entry: Arc::clone(entry), checked_at: now });
    }

    pub(crate) fn drop(&self, key: &CacheKey) -> Option<Held> {
        self.state().entries.remove(key)
    }

    pub(crate) fn worked(&self, installation_id: InstallationId) -> Option<(String, String)> {
        self.state().worked.get(&installation_id).cloned()
    }

    pub(crate) fn moved(&self, installation_id: InstallationId, now: Timestamp) -> Option<InstallationId> {
        let moved = self.state().moved.get(&installation_id).copied();
        moved.filter(|(_, learned)| now.duration_since(*learned) < MOVED_FOR).map(|(id, _)| id)
    }

    pub(crate) fn set_moved(&self, from: InstallationId, to: InstallationId, now: Timestamp) {
        self.state().moved.insert(from, (to, now));
    }

    /// Drops the token with this hash, whatever its scope.
    pub(crate) fn drop_token(&self, sha256: &str) -> bool {
        let mut state = self.state();
        let before = state.entries.len();
        state.entries.retain(|_, held| held.entry.sha256() != sha256);
        state.entries.len() < before
    }

    /// Has the token with this hash compared with the table before it is handed out again.
    pub(crate) fn doubt_token(&self, sha256: &str) {
        let mut state = self.state();
        let held = state.entries.values_mut().find(|held| held.entry.sha256() == sha256);
        held.into_iter().for_each(|held| held.checked_at = Timestamp::MIN);
    }

    pub(crate) fn refused(&self, app: &RowKey, fingerprint: &str, now: Timestamp) -> Option<Remembered> {
        let state = self.state();
        let of = |fingerprint: &str| state.refused.get(&(app.clone(), fingerprint.to_owned())).copied();
        [of(""), of(fingerprint)].into_iter().flatten().find(|remembered| remembered.until > now)
    }

    /// Remembers a refusal of the App, or of one key of it, unless one stands for longer.
    pub(crate) fn set_refused(&self, app: &RowKey, fingerprint: Option<&str>, remembered: Remembered) {
        let key = (app.clone(), fingerprint.unwrap_or_default().to_owned());
        let mut state = self.state();
        let known = state.refused.entry(key).or_insert(remembered);
        if known.until < remembered.until {
            *known = remembered;
        }
    }

    pub(crate) fn directory(&self, row: &RowKey) -> Option<Arc<Directory>> {
        self.state().directory.as_ref().filter(|(of, _)| of == row).map(|(_, directory)| Arc::clone(directory))
    }

    pub(crate) fn set_directory(&self, row: RowKey, directory: &Arc<Directory>) {
        self.state().directory = Some((row, Arc::clone(directory)));
    }

    pub(crate) fn is_name_of(&self, installation_id: InstallationId, name: &str, now: Timestamp) -> bool {
        let asked_at = self.state().names.get(&(installation_id, name.to_owned())).copied();
        asked_at.is_some_and(|asked_at| now.duration_since(asked_at) < MOVED_FOR)
    }

    /// Whether GitHub may be asked for one more name: who makes names up must not use the App's limit up.
    pub(crate) fn may_ask_for_names(&self, installation_id: InstallationId, now: Timestamp) -> bool {
        let mut state = self.state();
        let asked_at = state.names_asked_at.get(&installation_id).copied();
        let may = asked_at.is_none_or(|asked_at| now.duration_since(asked_at) >= BETWEEN_NAMES);
        if may {
            state.names_asked_at.insert(installation_id, now);
        }
        may
    }

    pub(crate) fn set_name_of(&self, installation_id: InstallationId, name: &str, now: Timestamp) {
        self.state().names.insert((installation_id, name.to_owned()), now);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
