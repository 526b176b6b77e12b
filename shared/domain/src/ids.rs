//! Names that GitHub and the board give to things, each a type of its own and each read from text in one place.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::pasted::trimmed;

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

    /// What it was made of; `None` for a text that is no key, and for another spelling of one: a link of that name would stand beside the right
    /// one and never be removed.
    pub fn parts(&self) -> Option<(RepositoryId, PullRequestNumber)> {
        let (repository, number) = self.0.split_once('#')?;
        let (repository, number) = (repository.parse().ok()?, number.parse().ok()?);
        (Self::new(repository, number) == *self).then_some((repository, number))
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
                let digits = trimmed(text);
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
    /// GitHub's id of a user, an organization or an enterprise. It outlives renames, and no other account ever gets it.
    AccountId
}
number! {
    /// GitHub's id of the App.
    AppId
}
number! {
    /// GitHub's id of one attempt to deliver an event to the App's webhook.
    /// <https://docs.github.com/en/rest/apps/webhooks#list-deliveries-for-an-app-webhook>
    HookDeliveryId
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

/// The App's client id, such as `Iv23liAbCdEf0123456789`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientId(String);

impl FromStr for ClientId {
    type Err = NotAnIssuer;

    /// Takes any text that is not blank: GitHub documents no shape. The blanks around it are not part of it.
    fn from_str(text: &str) -> Result<Self, NotAnIssuer> {
        let text = trimmed(text);
        if text.is_empty() { Err(NotAnIssuer) } else { Ok(Self(text.to_owned())) }
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the App names itself to GitHub, as `iss` of its JSON Web Token.
/// <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Issuer {
    /// By its App ID.
    App(AppId),
    /// By its client id.
    Client(ClientId),
}

impl FromStr for Issuer {
    type Err = NotAnIssuer;

    /// Takes an App ID, or a client id as GitHub gives them out: `Iv23liAbCdEf0123456789`, `lv1.0123456789abcdef`.
    fn from_str(text: &str) -> Result<Self, NotAnIssuer> {
        let text = trimmed(text);
        if let Ok(id) = text.parse::<AppId>() {
            return if id.0 > 0 { Ok(Self::App(id)) } else { Err(NotAnIssuer) };
        }
        let begins = text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("iv"));
        if begins && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.') {
            text.parse().map(Self::Client)
        } else {
            Err(NotAnIssuer)
        }
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App(id) => id.fmt(f),
            Self::Client(id) => id.fmt(f),
        }
    }
}

impl Serialize for Issuer {
    /// As a text, which an `iss` has to be. The token cache's keys are made of it too: a number would lose every cached token.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that is neither an App ID nor a client id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnIssuer;

impl fmt::Display for NotAnIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the App ID is the number near the top of the App's settings, such as 123456")
    }
}

impl std::error::Error for NotAnIssuer {}

/// GitHub's id of an event that it delivers (`X-GitHub-Delivery`): the same for a delivery and its redeliveries.
/// <https://docs.github.com/en/webhooks/webhook-events-and-payloads#delivery-headers>
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryGuid(String);

impl DeliveryGuid {
    /// What a header says, without what no GUID has: it reaches the log and the board, whoever sent it.
    pub fn of_header(text: &str) -> Self {
        Self(text.chars().filter(|c| c.is_ascii_alphanumeric() || "_-.".contains(*c)).take(64).collect())
    }
}

impl fmt::Display for DeliveryGuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

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
    use super::{AppId, DeliveryGuid, InstallationId, Issuer, RepositoryName, TaskId};

    #[test]
    fn an_id_is_digits_with_blanks_around_them() {
        assert_eq!("123456\n".parse(), Ok(InstallationId(123_456)));
        assert_eq!(" 7\r\n".parse(), Ok(InstallationId(7)));
        for text in ["", " ", "+7", "-7", "7.0", "0x7", "7 8", "99999999999999999999"] {
            assert!(text.parse::<InstallationId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_issuer_is_an_app_id_or_a_client_id() {
        assert_eq!(" 123456\n".parse(), Ok(Issuer::App(AppId(123_456))));
        for text in ["Iv23liAbCdEf0123456789", "lv1.0123456789abcdef".replace('l', "I").as_str(), "iv1.a"] {
            let read = text.parse::<Issuer>();
            assert!(matches!(read, Ok(Issuer::Client(_))), "{text:?}");
            assert_eq!(read.map(|issuer| issuer.to_string()).as_deref(), Ok(text));
        }
        for text in ["", " ", "0", "-7", "konduktor", "Iv1 a", "i"] {
            assert!(text.parse::<Issuer>().is_err(), "{text:?}");
        }
        let as_json = serde_json::to_string(&Issuer::App(AppId(7))).unwrap();
        assert_eq!(as_json, "\"7\"", "the keys of the token cache have it as a text");
    }

    #[test]
    fn a_delivery_header_leaves_nothing_that_a_log_could_take_for_more() {
        let guid = DeliveryGuid::of_header("72d3162e-cc78\u{1b}[31m \"x\":1");
        assert_eq!(guid.to_string(), "72d3162e-cc7831mx1");
        assert_eq!(DeliveryGuid::of_header(&"a".repeat(100)).to_string().len(), 64);
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
