//! What one execution environment remembers between invocations.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::entry::Entry;
use crate::seal::CacheKey;

/// A copy is compared with the table after this long, so a dropped token is gone everywhere by then.
const CHECKED_FOR: SignedDuration = SignedDuration::from_secs(30);

/// How long a reinstallation's new id is used without asking again.
const MOVED_FOR: SignedDuration = SignedDuration::from_mins(5);

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
    worked: HashMap<u64, (String, String)>,
    /// Old installation id to the new one, and when that was learned.
    moved: HashMap<u64, (u64, Timestamp)>,
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

    pub(crate) fn keep(&self, key: CacheKey, installation_id: u64, entry: &Arc<Entry>, now: Timestamp) {
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

    pub(crate) fn worked(&self, installation_id: u64) -> Option<(String, String)> {
        self.state().worked.get(&installation_id).cloned()
    }

    pub(crate) fn moved(&self, installation_id: u64, now: Timestamp) -> Option<u64> {
        let moved = self.state().moved.get(&installation_id).copied();
        moved.filter(|(_, learned)| now.duration_since(*learned) < MOVED_FOR).map(|(id, _)| id)
    }

    pub(crate) fn set_moved(&self, from: u64, to: u64, now: Timestamp) {
        self.state().moved.insert(from, (to, now));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
