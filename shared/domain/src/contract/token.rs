//! The token function's contract: what it may be asked, what it answers, and how it refuses.
//!
//! The function reads with [`Request::parse`] what its callers write with [`Request::to_json`], and callers read with
//! [`Refusal::parse`] what the function writes. A field or an error type exists here or nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::ids::InstallationId;

/// How much life an answered token has at least, unless a request says otherwise.
pub const DEFAULT_TTL_SECONDS: u32 = 300;

/// A token lives an hour: asking for more than this would mint at every request.
pub const MOST_TTL_SECONDS: u32 = 3300;

/// <https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app>
pub const MOST_REPOSITORIES: usize = 500;

/// The longest request, in bytes: so many repositories by their longest names, with an owner each, and every permission.
const LARGEST_REQUEST: usize = 128 * 1024;

const FIELDS: [&str; 7] =
    ["action", "installation_id", "min_ttl_seconds", "permissions", "repositories", "token", "token_sha256"];

/// A permission's level; a higher one includes the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Allows to see it.
    Read,
    /// Allows to change it.
    Write,
    /// Allows everything, also its settings.
    Admin,
}

impl Level {
    /// GitHub's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Level {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "read" => Ok(Self::Read),
            "write" => Ok(Self::Write),
            "admin" => Ok(Self::Admin),
            _ => Err(Invalid::new("a permission's level is read, write or admin")),
        }
    }
}

/// Permission to level.
pub type Permissions = BTreeMap<String, Level>;

/// Whether a text may be a permission's name, such as `pull_requests`.
pub fn is_permission(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// Named repositories of one account, at least one: to GitHub an empty list means all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repositories {
    owner: Option<String>,
    names: BTreeSet<String>,
}

impl Repositories {
    /// Takes names as people write them, `owner/name` or `name`, in any case and order.
    ///
    /// # Errors
    /// [`Invalid`], which names the place and repeats nothing of what stands there: people paste tokens into wrong fields.
    pub fn new<T: AsRef<str>>(texts: &[T]) -> Result<Self, Invalid> {
        if texts.is_empty() || texts.len() > MOST_REPOSITORIES {
            return Err(Invalid::new(format!(
                "repositories must name 1 to {MOST_REPOSITORIES}: to GitHub an empty list means all of them; leave it \
                 out if that is meant"
            )));
        }
        let mut owners = BTreeSet::new();
        let mut names = BTreeSet::new();
        for (position, text) in texts.iter().enumerate() {
            let (owner, name) = repository(text.as_ref()).ok_or_else(|| {
                Invalid::new(format!("repositories[{position}] is not a repository's name or owner/name"))
            })?;
            owners.extend(owner);
            names.insert(name);
        }
        if owners.len() > 1 {
            return Err(Invalid::new("repositories must have one owner: an installation has one account"));
        }
        Ok(Self { owner: owners.pop_first(), names })
    }

    /// The account they were named with, in lower case.
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Their names without it, in lower case.
    pub fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    fn texts(&self) -> Vec<String> {
        let text = |name: &String| match &self.owner {
            Some(owner) => format!("{owner}/{name}"),
            None => name.clone(),
        };
        self.names.iter().map(text).collect()
    }
}

/// Owner, if there is one, and name, in lower case: GitHub compares both without case.
fn repository(text: &str) -> Option<(Option<String>, String)> {
    let text = text.to_ascii_lowercase();
    let (owner, name) = match text.split_once('/') {
        Some((owner, name)) => (Some(owner), name),
        None => (None, text.as_str()),
    };
    // Names go into URLs and messages: `..` would climb, and a token pasted here would be logged.
    let named = is_name(name, "._-") && name != "." && name != ".." && !is_like_a_token(name);
    let owned = owner.is_none_or(|owner| is_name(owner, "_-") && !is_like_a_token(owner));
    (named && owned).then(|| (owner.map(str::to_owned), name.to_owned()))
}

fn is_name(text: &str, punctuation: &str) -> bool {
    (1..=100).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || punctuation.contains(c))
}

fn is_like_a_token(text: &str) -> bool {
    let prefixes = ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"];
    text.len() >= 40 && prefixes.iter().any(|prefix| text.starts_with(prefix))
}

/// What a token is to open. What is left out is not bounded by the request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The installation, where it is not the one in the App's secret.
    pub installation_id: Option<InstallationId>,
    /// `None`: all that the installation covers.
    pub repositories: Option<Repositories>,
    /// `None`: what the caller's profile allows. Never empty: to GitHub that means all.
    pub permissions: Option<Permissions>,
    /// How much life the token has at least.
    pub min_ttl_seconds: Option<u32>,
}

/// What the function is asked for.
#[derive(Debug, Clone)]
pub enum Request {
    /// A token.
    Mint(Scope),
    /// To take a token out of service, whatever its scope.
    Revoke(SecretString),
    /// To give nobody the token with this SHA-256 any more: GitHub rejects it.
    Invalidate([u8; 32]),
}

/// What is wrong with a request, without anything of what was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(String);

impl Invalid {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

impl Request {
    /// The request as it is sent.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Mint(scope) => scope.to_json(),
            Self::Revoke(token) => json!({"action": "revoke", "token": token.expose_secret()}),
            Self::Invalidate(sha256) => json!({"action": "invalidate", "token_sha256": hex::encode(sha256)}),
        }
    }

    /// Reads the JSON of a request. Nothing is asked of anybody before it passed.
    ///
    /// # Errors
    /// [`Invalid`], which names the field and what it should be.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        // Lambda passes on 6 MB, and as a `Value` 6 MB of `{}` are hundreds of them: the environment would be ended, and every caller's tokens
        // with it.
        if text.len() > LARGEST_REQUEST {
            return Err(Invalid::new(format!("the request is longer than {} KB", LARGEST_REQUEST / 1024)));
        }
        Self::of(serde_json::from_str(text).map_err(|_| Invalid::new("the request must be JSON"))?)
    }

    /// Revoking and invalidating take the fields of a scope too, as callers of before sent them, and need none.
    fn of(request: Value) -> Result<Self, Invalid> {
        let Value::Object(mut fields) = request else {
            return Err(Invalid::new("the request must be a JSON object; {} asks for everything granted"));
        };
        if fields.keys().any(|name| !FIELDS.contains(&name.as_str())) {
            return Err(Invalid::new(format!("unknown field; the fields are {}", FIELDS.join(", "))));
        }
        let action = take::<String>(&mut fields, "action", "a text")?;
        let request = match action.as_deref() {
            None => None,
            Some("revoke") => Some(Self::Revoke(token(&mut fields)?)),
            Some("invalidate") => Some(Self::Invalidate(token_sha256(&mut fields)?)),
            Some(_) => return Err(Invalid::new("action must be revoke or invalidate, or be left out for a token")),
        };
        let scope = Scope::parse(&mut fields)?;
        match fields.keys().next() {
            None => Ok(request.unwrap_or(Self::Mint(scope))),
            Some(name) => Err(Invalid::new(format!("{name} does not belong to this action"))),
        }
    }
}

impl Scope {
    fn to_json(&self) -> Value {
        let mut fields = Map::new();
        if let Some(id) = self.installation_id {
            fields.insert("installation_id".into(), json!(id));
        }
        if let Some(repositories) = &self.repositories {
            fields.insert("repositories".into(), json!(repositories.texts()));
        }
        if let Some(permissions) = &self.permissions {
            fields.insert("permissions".into(), json!(permissions));
        }
        if let Some(seconds) = self.min_ttl_seconds {
            fields.insert("min_ttl_seconds".into(), json!(seconds));
        }
        Value::Object(fields)
    }

    fn parse(fields: &mut Map<String, Value>) -> Result<Self, Invalid> {
        let repositories = take::<Vec<String>>(fields, "repositories", "a list of names")?;
        let repositories = repositories.map(|texts| Repositories::new(&texts)).transpose()?;
        let installation_id = take(fields, "installation_id", "a number")?;
        if installation_id == Some(InstallationId(0)) {
            return Err(Invalid::new("installation_id must be a positive number"));
        }
        let min_ttl_seconds = take::<u32>(fields, "min_ttl_seconds", "a number of seconds")?;
        if min_ttl_seconds.is_some_and(|seconds| seconds > MOST_TTL_SECONDS) {
            return Err(Invalid::new(format!("min_ttl_seconds must be at most {MOST_TTL_SECONDS}")));
        }
        Ok(Self { installation_id, repositories, permissions: permissions(fields)?, min_ttl_seconds })
    }
}

/// Takes a field; null is refused rather than read as absent, which for a scope would mean *all*.
fn take<T: DeserializeOwned>(fields: &mut Map<String, Value>, name: &str, shape: &str) -> Result<Option<T>, Invalid> {
    let Some(value) = fields.remove(name) else { return Ok(None) };
    let value = serde_json::from_value::<Option<T>>(value).ok().flatten();
    value.map(Some).ok_or_else(|| Invalid::new(format!("{name} must be {shape}")))
}

fn token(fields: &mut Map<String, Value>) -> Result<SecretString, Invalid> {
    let token = take::<String>(fields, "token", "a text")?;
    let token = token.filter(|token| !token.is_empty() && token.len() <= 2048);
    let token = token.filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()));
    token.map(SecretString::from).ok_or_else(|| Invalid::new("token must be the token to revoke"))
}

fn token_sha256(fields: &mut Map<String, Value>) -> Result<[u8; 32], Invalid> {
    let text = take::<String>(fields, "token_sha256", "a text")?;
    let bytes = text.and_then(|text| hex::decode(text).ok()?.try_into().ok());
    bytes.ok_or_else(|| Invalid::new("token_sha256 must be the SHA-256 of the token, 64 hex digits"))
}

fn permissions(fields: &mut Map<String, Value>) -> Result<Option<Permissions>, Invalid> {
    let shape = "an object of permission to level";
    let Some(asked) = take::<BTreeMap<String, String>>(fields, "permissions", shape)? else { return Ok(None) };
    if asked.is_empty() {
        return Err(Invalid::new(
            "permissions must name one: to GitHub an empty object means all of them; leave it out if that is meant",
        ));
    }
    let named = asked.into_iter().map(|(name, level)| {
        let level = level.parse().ok()?;
        is_permission(&name).then_some((name, level))
    });
    named
        .collect::<Option<_>>()
        .map(Some)
        .ok_or_else(|| Invalid::new("permissions must map names such as pull_requests to read, write or admin"))
}

/// A token, whose it is and what it opens.
#[derive(Debug, Serialize, Deserialize)]
pub struct Token {
    /// The token; to be treated as opaque, up to 2 KB.
    #[serde(serialize_with = "expose")]
    pub token: SecretString,
    /// When GitHub stops to accept it, RFC 3339.
    pub expires_at: Timestamp,
    /// The REST API of the GitHub that it is for. Functions of before did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_url: Option<String>,
    /// The installation it was minted for, which is another one than asked for after a reinstallation.
    pub installation_id: InstallationId,
    /// The account that the installation is on, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Permission to level, as GitHub granted them.
    #[serde(default)]
    pub permissions: BTreeMap<String, String>,
    /// The repositories' names, if some were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repositories: Option<Vec<String>>,
    /// Whether it was minted earlier.
    #[serde(default)]
    pub cached: bool,
}

fn expose<S: Serializer>(token: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(token.expose_secret())
}

/// The answer to an invocation.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// A token for the scope that was asked for.
    Token(Token),
    /// The token is out of service at GitHub.
    Revoked {
        /// Always true.
        revoked: bool,
        /// Whether a cached copy was dropped.
        dropped: bool,
    },
    /// What became of a report that a token is rejected.
    Invalidated {
        /// Whether a cached copy was dropped.
        invalidated: bool,
        /// Why not.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
    },
}

/// Who can end a refusal, and so what is done about it: for how long it is remembered, and whom it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The caller, with another request.
    Request,
    /// Whoever set the function up.
    Setup,
    /// Whoever holds the App or its key: all its scopes are refused.
    App,
    /// Time alone: GitHub asks the whole App to wait.
    Limit,
    /// The account that the App is installed on; of what a caller's profile does not grant, whoever wrote the profile.
    Installation,
    /// Nobody: it passes within seconds or minutes.
    Passing,
}

macro_rules! error_types {
    ($($(#[$doc:meta])* $name:ident, $kind:ident, $headline:literal;)*) => {
        /// The `errorType` of a refusal. <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-invokeerror>
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum ErrorType {
            $($(#[$doc])* $name,)*
        }

        impl ErrorType {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name that is sent.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// Who can end it.
            pub fn kind(self) -> ErrorKind {
                match self {
                    $(Self::$name => ErrorKind::$kind,)*
                }
            }

            /// It in words for people; what to do is in the message that comes with it.
            pub fn headline(self) -> &'static str {
                match self {
                    $(Self::$name => $headline,)*
                }
            }
        }
    };
}

error_types! {
    /// The environment or the secret lacks something.
    NotConfigured, Setup, "the token function is not configured";
    /// The request is not one the function understands.
    InvalidRequest, Request, "the token function does not take this request";
    /// The caller's profile is given tokens for named repositories only, and the request names none.
    RepositoriesNotNamed, Request, "this is not granted";
    /// The private key is not one, or GitHub does not know it.
    InvalidKey, App, "GitHub refuses the App";
    /// GitHub has no App of the App ID.
    AppNotFound, App, "GitHub refuses the App";
    /// The clock is wrong, and correcting it did not help.
    ClockSkew, Setup, "GitHub refuses the token function's clock";
    /// The App is not installed there.
    InstallationNotFound, Installation, "the App is not installed";
    /// The installation is suspended.
    InstallationSuspended, Installation, "the App is suspended";
    /// The installation, or the caller's profile, does not grant what was asked for.
    PermissionNotGranted, Installation, "this is not granted";
    /// A repository that was asked for is not among the installation's.
    RepositoryNotFound, Installation, "this is not granted";
    /// The account admits named addresses only.
    IpAllowList, Installation, "the account keeps the App out";
    /// The organization wants a single sign-on.
    SamlEnforced, Installation, "the account keeps the App out";
    /// GitHub or the law closed it.
    Blocked, Installation, "GitHub keeps this closed";
    /// GitHub refuses in words that are not known.
    Refused, Installation, "GitHub gives no token";
    /// GitHub asks to wait.
    RateLimited, Limit, "GitHub's rate limit is reached";
    /// GitHub takes no credentials for a while, after too many wrong ones.
    LockedOut, Limit, "GitHub takes no credentials at this time";
    /// GitHub, or the way to it, failed.
    GitHubUnavailable, Passing, "GitHub gives no token";
    /// There was no time left to wait for whoever mints this token, or for AWS.
    Busy, Passing, "the token is not ready";
}

impl ErrorType {
    /// The type of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|error_type| error_type.name() == name)
    }
}

/// Why there is no token, as it is sent: Lambda passes on these two texts and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// What a caller acts on.
    pub error_type: ErrorType,
    /// What to do, for the operator or the caller. Holds nothing secret. Ends with [`wait`] where GitHub asks to wait.
    pub error_message: String,
}

/// What ends the message of a refusal that is over at a known time.
pub fn wait(seconds: u64) -> String {
    format!("{WAIT}{seconds} s")
}

const WAIT: &str = "try again in ";

impl Refusal {
    /// Reads the payload of an invocation that failed.
    ///
    /// # Errors
    /// The `errorType` of something else than a refusal of the function's, such as a time-out of the platform's.
    pub fn parse(payload: &[u8]) -> Result<Self, String> {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Texts {
            error_type: String,
            error_message: String,
        }
        let Texts { error_type, error_message } = serde_json::from_slice(payload).unwrap_or_default();
        match ErrorType::from_name(&error_type) {
            Some(error_type) => Ok(Self { error_type, error_message }),
            None => Err(error_type),
        }
    }

    /// How many seconds to ask nothing, where GitHub asks to wait.
    pub fn retry_after(&self) -> Option<u64> {
        if self.error_type.kind() != ErrorKind::Limit {
            return None;
        }
        self.error_message.rsplit_once(WAIT)?.1.strip_suffix(" s")?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scopes() -> impl Strategy<Value = Scope> {
        let names = proptest::collection::vec("[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", 1..5);
        let repositories = (proptest::option::of("[A-Za-z0-9][A-Za-z0-9-]{0,10}"), names).prop_map(|(owner, names)| {
            let texts = names.into_iter().map(|name| owner.iter().fold(name, |name, owner| format!("{owner}/{name}")));
            Repositories::new(&texts.collect::<Vec<_>>()).unwrap()
        });
        let level = prop_oneof![Just(Level::Read), Just(Level::Write), Just(Level::Admin)];
        let permissions = proptest::collection::btree_map("[a-z_]{1,20}", level, 1..4);
        (
            proptest::option::of(1..u64::MAX),
            proptest::option::of(repositories),
            proptest::option::of(permissions),
            proptest::option::of(0..=MOST_TTL_SECONDS),
        )
            .prop_map(|(id, repositories, permissions, min_ttl_seconds)| Scope {
                installation_id: id.map(InstallationId),
                repositories,
                permissions,
                min_ttl_seconds,
            })
    }

    proptest! {
        #[test]
        fn what_a_caller_writes_is_what_the_function_reads(scope in scopes()) {
            match Request::of(Request::Mint(scope.clone()).to_json()) {
                Ok(Request::Mint(read)) => prop_assert_eq!(read, scope),
                other => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn a_limits_time_arrives(seconds in 0..u64::MAX, before in ".{0,40}") {
            let message = format!("{before}: {}", wait(seconds));
            let sent = Refusal { error_type: ErrorType::RateLimited, error_message: message };
            let read = Refusal::parse(&serde_json::to_vec(&sent).unwrap()).unwrap();
            prop_assert_eq!(read.retry_after(), Some(seconds));
            prop_assert_eq!(read, sent);
        }
    }

    #[test]
    fn every_error_type_is_read_under_the_name_it_is_sent_by() {
        for error_type in ErrorType::ALL {
            let sent = json!({"errorType": error_type, "errorMessage": "m"}).to_string();
            let refusal = Refusal { error_type: *error_type, error_message: "m".into() };
            assert_eq!(Refusal::parse(sent.as_bytes()), Ok(refusal));
        }
        assert_eq!(Refusal::parse(br#"{"errorType": "Sandbox.Timedout"}"#), Err("Sandbox.Timedout".into()));
        assert_eq!(Refusal::parse(b"not JSON"), Err(String::new()));
    }

    #[test]
    fn only_a_limit_has_a_time() {
        let refusal = |error_type| Refusal { error_type, error_message: wait(7) };
        assert_eq!(refusal(ErrorType::LockedOut).retry_after(), Some(7));
        assert_eq!(refusal(ErrorType::GitHubUnavailable).retry_after(), None);
    }

    #[test]
    fn revoking_and_invalidating_need_no_scope_and_take_one() {
        let token = SecretString::from("ghs_abc");
        let revoke = Request::Revoke(token).to_json();
        assert!(matches!(Request::of(revoke.clone()), Ok(Request::Revoke(_))));
        let mut scoped = revoke;
        scoped["repositories"] = json!(["app"]);
        assert!(matches!(Request::of(scoped), Ok(Request::Revoke(_))));
        let report = Request::Invalidate([7; 32]).to_json();
        assert!(matches!(Request::of(report), Ok(Request::Invalidate(sha256)) if sha256 == [7; 32]));
    }

    #[test]
    fn nothing_that_was_sent_is_repeated() {
        let pasted = ["ghs_", "ghp_", "github_pat_"].map(|prefix| format!("{prefix}{}", "a1B2".repeat(10)));
        for text in &pasted {
            for texts in [vec![text.clone()], vec![format!("{text}/app")], vec![format!("acme/{text}")]] {
                let invalid = Repositories::new(&texts).unwrap_err().to_string();
                assert!(invalid.contains("repositories[0]") && !invalid.contains("a1B2"), "{invalid}");
            }
        }
    }

    #[test]
    fn a_hostile_request_or_answer_is_read_or_refused_without_a_word_of_it() {
        let texts = [
            r#"{"repositories":["acme/c4nary"],"permissions":{"contents":"read"},"installation_id":7,"min_ttl_seconds":9}"#,
            r#"{"action":"revoke","token":"ghs_c4nary"}"#,
            r#"{"action":"invalidate","token_sha256":"0000000000000000000000000000000000000000000000000000000000000000"}"#,
            r#"{"errorType":"RateLimited","errorMessage":"GitHub asks to wait: try again in 7 s"}"#,
            r#"{"token":"ghs_c4nary","expires_at":"2026-01-01T00:00:00Z","installation_id":7,"permissions":{}}"#,
        ];
        hostile::attack(&texts, |input| {
            if let Err(invalid) = Request::parse(&String::from_utf8_lossy(input)) {
                let invalid = invalid.to_string();
                assert!(invalid.len() < 300 && !invalid.contains("c4nary"), "{invalid}");
            }
            if let Ok(refusal) = Refusal::parse(input) {
                refusal.retry_after();
            }
            if let Ok(mut token) = serde_json::from_slice::<Token>(input) {
                let shown = format!("{token:?}");
                token.token = "another".into();
                assert_eq!(format!("{token:?}"), shown, "it is not shown which token it is");
            }
        });
    }
}
