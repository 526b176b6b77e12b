//! The handle that tests hold, and what it shares with the server.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;

use super::state::State;

/// A running fake; clones share it, and it ends with the last of them.
#[derive(Debug, Clone)]
pub struct GitHub {
    pub(super) running: Arc<Running>,
}

#[derive(Debug)]
pub(super) struct Running {
    pub(super) shared: Arc<Shared>,
    /// Dropping it tells the server to end.
    pub(super) _end: oneshot::Sender<()>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
}

impl Shared {
    /// A verb that panicked, as on a merge GitHub would not do, must not hide behind a poisoned lock.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl GitHub {
    /// The REST base; GHES's `/api/v3` and `/api/graphql`, and git, are below it too.
    pub fn url(&self) -> String {
        self.state().url.clone()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.running.shared.state()
    }
}
