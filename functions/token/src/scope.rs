//! What a token opens, in the one form that is asked for, cached and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// A permission's level; a higher one includes the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Read,
    Write,
    Admin,
}

impl Level {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "read" => Some(Self::Read),
            "write" => Some(Self::Write),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// The scope of one token. `None` is everything that the installation was granted; an empty set does not occur, since
/// to GitHub it means everything too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) installation_id: u64,
    /// Lower-case names without their owner: an installation has one account.
    pub(crate) repositories: Option<BTreeSet<String>>,
    pub(crate) permissions: Option<BTreeMap<String, Level>>,
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
