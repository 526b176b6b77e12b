//! The tokens that one execution environment keeps between invocations.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adapters::pause::is_recent;
use domain::ids::{AccountId, InstallationId};
use jiff::{SignedDuration, Timestamp};

use crate::entry::Entry;
use crate::seal::CacheKey;

/// A copy is compared with the table after this long, so a dropped token is gone everywhere by then.
const CHECKED_FOR: SignedDuration = SignedDuration::from_secs(30);

/// Bounds the memory: 512 tokens of 2 KB, each with its scope.
const MOST_ENTRIES: usize = 512;

#[derive(Debug, Default)]
pub(crate) struct Memory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<CacheKey, Held>,
    /// Installation to the account that it was on when there was a token of it.
    worked: HashMap<InstallationId, AccountId>,
}

#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) entry: Arc<Entry>,
    checked_at: Timestamp,
}

impl Held {
    pub(crate) fn is_checked(&self, now: Timestamp) -> bool {
        is_recent(self.checked_at, CHECKED_FOR, now)
    }
}

impl Memory {
    pub(crate) fn get(&self, key: &CacheKey) -> Option<Held> {
        self.state().entries.get(key).cloned()
    }

    pub(crate) fn keep(&self, key: CacheKey, installation_id: InstallationId, entry: &Arc<Entry>, now: Timestamp) {
        let mut state = self.state();
        if let Some(account) = entry.account_id {
            state.worked.insert(installation_id, account);
        }
        if state.entries.len() >= MOST_ENTRIES && !state.entries.contains_key(&key) {
            let soonest = state.entries.iter().min_by_key(|(_, held)| held.entry.expires_at).map(|(key, _)| *key);
            soonest.and_then(|key| state.entries.remove(&key));
        }
        state.entries.insert(key, Held { entry: Arc::clone(entry), checked_at: now });
    }

    pub(crate) fn forget(&self, key: &CacheKey) {
        self.state().entries.remove(key);
    }

    pub(crate) fn worked(&self, installation_id: InstallationId) -> Option<AccountId> {
        self.state().worked.get(&installation_id).copied()
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
