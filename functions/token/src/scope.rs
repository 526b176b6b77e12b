//! What a token opens, in the one form that is asked for, cached and compared.

use std::collections::BTreeSet;
use std::fmt;

use domain::contract::token::{Level, Permissions};
use domain::ids::InstallationId;
use domain::policy::Profile;

/// The scope of one token. `None` is everything that the installation was granted; an empty set does not occur, since
/// to GitHub it means everything too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    /// Whose bounds allowed it. Tokens of one profile are not shared with another, which could revoke them.
    pub(crate) profile: Profile,
    pub(crate) installation_id: InstallationId,
    /// Whether the installation is the one in the App's secret, or stands in for it.
    pub(crate) is_own: bool,
    /// Lower-case names without their owner: an installation has one account.
    pub(crate) repositories: Option<BTreeSet<String>>,
    pub(crate) permissions: Option<Permissions>,
}

impl Scope {
    /// `contents: read, pull_requests: write`, for people.
    pub(crate) fn permissions_text(&self) -> Option<String> {
        let named = |(name, level): (&String, &Level)| format!("{name}: {}", level.name());
        Some(self.permissions.as_ref()?.iter().map(named).collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.permissions_text().as_deref().unwrap_or("its permissions"))?;
        match &self.repositories {
            None => formatter.write_str(" on all its repositories"),
            Some(names) if names.len() > 5 => write!(formatter, " on {} repositories", names.len()),
            Some(names) => write!(formatter, " on {}", names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")),
        }
    }
}
