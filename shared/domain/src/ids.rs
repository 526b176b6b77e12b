//! Names that GitHub and the board give to things, each a type of its own and each read from text in one place.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `<repository id>#<number>`: names a pull request for good, whatever its repository is called by then.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PullRequestKey(pub(crate) String);

impl PullRequestKey {
    /// The key of a repository's pull request.
    pub fn new(repository: RepositoryId, number: PullRequestNumber) -> Self {
        Self(format!("{repository}#{number}"))
    }

    /// The text of the key.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it was made of; `None` for a text that is no key.
    pub fn parts(&self) -> Option<(RepositoryId, PullRequestNumber)> {
        let (repository, number) = self.0.split_once('#')?;
        Some((RepositoryId(repository.parse().ok()?), PullRequestNumber(number.parse().ok()?)))
    }
}

impl fmt::Display for PullRequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            /// Takes decimal digits, with blanks and line breaks around them: people paste them so.
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let digits = text.trim();
                if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(NotAnId);
                }
                digits.parse().map(Self).map_err(|_| NotAnId)
            }
        }
    };
}

number! {
    /// GitHub's id of a repository. It outlives renames and transfers.
    RepositoryId
}
number! {
    /// A pull request's number in its repository.
    PullRequestNumber
}
number! {
    /// GitHub's id of one installation of the App on one account.
    InstallationId
}
number! {
    /// GitHub's id of the App.
    AppId
}

/// A text that is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnId;

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id is a whole number, such as 12345678")
    }
}

impl std::error::Error for NotAnId {}

/// A repository's full name, `owner/name`. It becomes part of URLs, so nothing else is one.
/// <https://docs.github.com/en/rest/repos/repos#get-a-repository>
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryName(String);

impl RepositoryName {
    /// `owner/name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The account.
    pub fn owner(&self) -> &str {
        self.0.split_once('/').map_or("", |(owner, _)| owner)
    }

    /// The name within the account.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }

    /// Whether both are the same to GitHub, which does not tell letters' case apart.
    pub fn is(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other.trim())
    }
}

impl FromStr for RepositoryName {
    type Err = NotARepositoryName;

    fn from_str(text: &str) -> Result<Self, NotARepositoryName> {
        let plain = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        match text.split_once('/') {
            Some((owner, name)) if plain(owner) && plain(name) => Ok(Self(text.to_owned())),
            _ => Err(NotARepositoryName),
        }
    }
}

impl TryFrom<String> for RepositoryName {
    type Error = NotARepositoryName;

    fn try_from(text: String) -> Result<Self, NotARepositoryName> {
        text.parse()
    }
}

impl From<RepositoryName> for String {
    fn from(name: RepositoryName) -> Self {
        name.0
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no repository's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotARepositoryName;

impl fmt::Display for NotARepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a repository is named owner/name")
    }
}

impl std::error::Error for NotARepositoryName {}
