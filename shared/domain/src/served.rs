//! Which installations of the App this board serves.
//!
//! The list stands in the webhook's secret, which reconcile cannot read. So the webhook writes it into the table of pull requests, each time it
//! has read the secret again and a signed delivery came; reconcile reads it there, and takes nobody's word for it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::InstallationId;
use crate::item::ItemKey;

/// The installations that are served.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Served {
    /// `None`: every installation of the App.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installations: Option<BTreeSet<InstallationId>>,
}

impl Served {
    /// What a list without an installation comes to, for people.
    pub const NOBODY: &str = "the webhook secret's list of installations is empty, so this board serves nobody: `konduktor-github-app \
                              configure` puts the installation there that is configured";

    /// Those of a list; every one without a list.
    pub fn only(installations: Option<impl IntoIterator<Item = InstallationId>>) -> Self {
        Self { installations: installations.map(|ids| ids.into_iter().collect()) }
    }

    /// The key of its item in the table of pull requests.
    pub fn key() -> ItemKey {
        ItemKey { partition: "installations".to_owned(), item: "served".to_owned() }
    }

    /// Whether the list is there and empty.
    pub fn is_nobody(&self) -> bool {
        self.installations.as_ref().is_some_and(BTreeSet::is_empty)
    }

    /// Whether events and pull requests of this installation count. One that names no installation counts only where all do.
    pub fn serves(&self, installation: Option<InstallationId>) -> bool {
        match (&self.installations, installation) {
            (None, _) => true,
            (Some(served), Some(id)) => served.contains(&id),
            (Some(_), None) => false,
        }
    }
}
