//! Names that GitHub and the board give to things, each a type of its own and each read from text in one place.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `<repository id>#<number>`: names a pull request for good, whatever its repository is called by then.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PullRequestKey(String);

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

/// A task's id: 32 lower-case hex digits, a UUID without its hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Cow<'_, str>")]
pub struct TaskId(String);

impl TaskId {
    /// The 32 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 8 digits: the partition key of the tasks table, and how logs and answers call a task.
    pub fn prefix(&self) -> &str {
        &self.0[..8]
    }
}

impl FromStr for TaskId {
    type Err = NotATaskId;

    /// Takes 32 hex digits, of any case and with or without a UUID's hyphens.
    fn from_str(text: &str) -> Result<Self, NotATaskId> {
        let digits: String = text.trim().chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
        if digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(digits))
        } else {
            Err(NotATaskId)
        }
    }
}

impl TryFrom<Cow<'_, str>> for TaskId {
    type Error = NotATaskId;

    fn try_from(text: Cow<'_, str>) -> Result<Self, NotATaskId> {
        text.parse()
    }
}

impl TryFrom<String> for TaskId {
    type Error = NotATaskId;

    fn try_from(text: String) -> Result<Self, NotATaskId> {
        text.parse()
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no task's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotATaskId;

impl fmt::Display for NotATaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a task id is 32 hex digits, a UUID with or without its hyphens")
    }
}

impl std::error::Error for NotATaskId {}

/// A repository's id as the tables hold it: digits in a string, since it is a partition key of type S.
pub mod repository_id_as_text {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::RepositoryId;

    /// Writes the digits.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(id: &RepositoryId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    /// Reads the digits.
    ///
    /// # Errors
    /// The deserializer's, for a text that is no id.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RepositoryId, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{InstallationId, RepositoryName, TaskId};

    #[test]
    fn an_id_is_digits_with_blanks_around_them() {
        assert_eq!("123456\n".parse(), Ok(InstallationId(123_456)));
        assert_eq!(" 7\r\n".parse(), Ok(InstallationId(7)));
        for text in ["", " ", "+7", "-7", "7.0", "0x7", "7 8", "99999999999999999999"] {
            assert!(text.parse::<InstallationId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_repository_is_owner_and_name_and_nothing_that_changes_a_url() {
        for name in ["acme/app", "Acme-Inc/app.rs", "user_acme/.github", "a/b_c-d.e"] {
            assert_eq!(name.parse::<RepositoryName>().map(|name| name.to_string()).as_deref(), Ok(name));
        }
        for name in [
            "",
            "acme",
            "acme/",
            "/app",
            "acme/..",
            "./app",
            "acme/app/x",
            "acme/a b",
            "acme/a%2f",
            "acme/app?x",
            "acme/app#1",
            "acme/app\n",
        ] {
            assert!(name.parse::<RepositoryName>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_task_id_is_a_uuid() {
        let id = "4d9d444d0198c5c27f00aabbccddeeff";
        for text in [id, "4D9D444D-0198-C5C2-7F00-AABBCCDDEEFF", " 4d9d444d0198c5c27f00aabbccddeeff "] {
            assert_eq!(text.parse::<TaskId>().map(|id| id.to_string()).as_deref(), Ok(id));
        }
        for text in ["", "4d9d444d", "4d9d444d0198c5c27f00aabbccddeefg", "4d9d444d0198c5c27f00aabbccddeeff0"] {
            assert!(text.parse::<TaskId>().is_err(), "{text:?}");
        }
    }
}
