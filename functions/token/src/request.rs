//! Validates a request. Nothing is asked of anybody before it passed.
//!
//! No message repeats a value that was sent: it is logged, and people put tokens into wrong fields.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::scope::Level;

/// How much life an answered token has at least, unless a request says otherwise.
const DEFAULT_TTL_SECONDS: u32 = 300;

/// A token lives an hour: asking for more than this would mint at every request.
const MOST_TTL_SECONDS: u32 = 3300;

/// <https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app>
const MOST_REPOSITORIES: usize = 500;

const FIELDS: [&str; 7] =
    ["action", "installation_id", "min_ttl_seconds", "permissions", "repositories", "token", "token_sha256"];

/// A valid request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) action: Action,
    pub(crate) ask: Ask,
}

/// What to do with a scope.
#[derive(Debug)]
pub(crate) enum Action {
    /// Answer with a token.
    Mint,
    /// Revoke this token and drop its cached copy.
    Revoke(SecretString),
    /// Drop the cached copy of the token with this SHA-256.
    Invalidate([u8; 32]),
}

/// The scope as it was asked for, before the policy and the secret complete it.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) installation_id: Option<u64>,
    /// The owner that the repositories were named with, lower-case.
    pub(crate) owner: Option<String>,
    pub(crate) repositories: Option<BTreeSet<String>>,
    pub(crate) permissions: Option<BTreeMap<String, Level>>,
    pub(crate) min_ttl: SignedDuration,
}

impl Request {
    /// # Errors
    /// An `InvalidRequest` that names the field and what it should be.
    pub(crate) fn parse(request: Value) -> Result<Self, Failure> {
        let Value::Object(mut fields) = request else {
            return Err(Failure::invalid_request("the request must be a JSON object; {} asks for everything granted"));
        };
        if fields.keys().any(|name| !FIELDS.contains(&name.as_str())) {
            return Err(Failure::invalid_request(format!("unknown field; the fields are {}", FIELDS.join(", "))));
        }
        let action = action(&mut fields)?;
        let (owner, repositories) = repositories(&mut fields)?;
        let ask = Ask {
            installation_id: installation_id(&mut fields)?,
            owner,
            repositories,
            permissions: permissions(&mut fields)?,
            min_ttl: min_ttl(&mut fields)?,
        };
        match fields.keys().next() {
            None => Ok(Self { action, ask }),
            Some(name) => Err(Failure::invalid_request(format!("{name} does not belong to this action"))),
        }
    }
}

/// Takes a field; null is refused rather than read as absent, which for a scope would mean *all*.
fn take<T: DeserializeOwned>(fields: &mut Map<String, Value>, name: &str, shape: &str) -> Result<Option<T>, Failure> {
    let Some(value) = fields.remove(name) else { return Ok(None) };
    let value = serde_json::from_value::<Option<T>>(value).ok().flatten();
    value.map(Some).ok_or_else(|| Failure::invalid_request(format!("{name} must be {shape}")))
}

fn action(fields: &mut Map<String, Value>) -> Result<Action, Failure> {
    match take::<String>(fields, "action", "a text")?.as_deref() {
        None => Ok(Action::Mint),
        Some("revoke") => take::<String>(fields, "token", "a text")?
            .filter(|token| !token.is_empty() && token.len() <= 2048 && token.bytes().all(|b| b.is_ascii_graphic()))
            .map(|token| Action::Revoke(token.into()))
            .ok_or_else(|| Failure::invalid_request("token must be the token to revoke")),
        Some("invalidate") => take::<String>(fields, "token_sha256", "a text")?
            .and_then(|text| hex::decode(text).ok()?.try_into().ok())
            .map(Action::Invalidate)
            .ok_or_else(|| Failure::invalid_request("token_sha256 must be the SHA-256 of the token, 64 hex digits")),
        Some(_) => Err(Failure::invalid_request("action must be revoke or invalidate, or be left out for a token")),
    }
}

fn installation_id(fields: &mut Map<String, Value>) -> Result<Option<u64>, Failure> {
    let id = take::<u64>(fields, "installation_id", "a number")?;
    if id == Some(0) { Err(Failure::invalid_request("installation_id must be a positive number")) } else { Ok(id) }
}

fn min_ttl(fields: &mut Map<String, Value>) -> Result<SignedDuration, Failure> {
    let seconds = take::<u32>(fields, "min_ttl_seconds", "a number of seconds")?.unwrap_or(DEFAULT_TTL_SECONDS);
    if seconds > MOST_TTL_SECONDS {
        return Err(Failure::invalid_request(format!("min_ttl_seconds must be at most {MOST_TTL_SECONDS}")));
    }
    Ok(SignedDuration::from_secs(seconds.into()))
}

type Repositories = (Option<String>, Option<BTreeSet<String>>);

fn repositories(fields: &mut Map<String, Value>) -> Result<Repositories, Failure> {
    let Some(asked) = take::<Vec<String>>(fields, "repositories", "a list of repository names")? else {
        return Ok((None, None));
    };
    if asked.is_empty() || asked.len() > MOST_REPOSITORIES {
        return Err(Failure::invalid_request(format!(
            "repositories must name 1 to {MOST_REPOSITORIES}: to GitHub an empty list means all of them; leave it out \
             if that is meant"
        )));
    }
    let mut owners = BTreeSet::new();
    let mut names = BTreeSet::new();
    for (position, text) in asked.iter().enumerate() {
        let (owner, name) = repository(text).ok_or_else(|| {
            Failure::invalid_request(format!("repositories[{position}] is not a repository's name or owner/name"))
        })?;
        owners.extend(owner);
        names.insert(name);
    }
    if owners.len() > 1 {
        return Err(Failure::invalid_request("repositories must have one owner: an installation has one account"));
    }
    Ok((owners.pop_first(), Some(names)))
}

/// Owner, if there is one, and name, in lower case: GitHub compares both without case.
fn repository(text: &str) -> Option<(Option<String>, String)> {
    let text = text.to_ascii_lowercase();
    let (owner, name) = match text.split_once('/') {
        Some((owner, name)) => (Some(owner), name),
        None => (None, text.as_str()),
    };
    // Names go into URLs and messages: `..` would climb, and a token pasted here would be logged.
    let named = is_name(name, "._-") && name != "." && name != ".." && !(name.starts_with("ghs_") && name.len() >= 40);
    let owned = owner.is_none_or(|owner| is_name(owner, "_-"));
    (named && owned).then(|| (owner.map(str::to_owned), name.to_owned()))
}

fn is_name(text: &str, punctuation: &str) -> bool {
    (1..=100).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || punctuation.contains(c))
}

fn permissions(fields: &mut Map<String, Value>) -> Result<Option<BTreeMap<String, Level>>, Failure> {
    let shape = "an object of permission to level";
    let Some(asked) = take::<BTreeMap<String, String>>(fields, "permissions", shape)? else { return Ok(None) };
    if asked.is_empty() {
        return Err(Failure::invalid_request(
            "permissions must name one: to GitHub an empty object means all of them; leave it out if that is meant",
        ));
    }
    let named = asked.into_iter().map(|(name, level)| Some((permission(name)?, Level::parse(&level)?)));
    named.collect::<Option<_>>().map(Some).ok_or_else(|| {
        Failure::invalid_request("permissions must map names such as pull_requests to read, write or admin")
    })
}

pub(crate) fn permission(name: String) -> Option<String> {
    let valid = (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    valid.then_some(name)
}
