//! Secrets from Secrets Manager, cached in the execution environment.
//!
//! Rotation must not need a deploy and must not refuse a delivery: an environment keeps a secret for at most
//! [`MAX_AGE`], knows the current and the previous version, and looks again when nothing it knows fits, at most once
//! in the time that its [`Callers`] are due. A secret that is not configured is looked at as rarely: a flood of forged requests costs one
//! look in that time either way, configuring is seen within it, and a rotation that tells GitHub of the new value 35 s after writing it is
//! always seen.
//! One that could not be read, while no version is known, is read again at the next request, since a single call is lost now and then; from
//! the second failure on once in [`UNREAD_FOR`]: a flood in an outage costs one look in that time, and its end is seen within it.
//! <https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html>

use std::sync::Arc;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::operation::get_secret_value::{GetSecretValueError, GetSecretValueOutput};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

pub use domain::contract::secrets::{AppSecret, Stored, WebhookSecret, parse};

use crate::aws::AwsError;
use crate::pause::is_recent;
use crate::{Error, Result};

/// How long a version is used before it is read again.
pub const MAX_AGE: SignedDuration = SignedDuration::from_mins(5);

/// The least time between two reads that anybody's requests cause, by a value that does not fit, or by there being none.
pub const REFRESH_INTERVAL: SignedDuration = SignedDuration::from_secs(30);

/// The least time between two reads of a secret of which nothing is known while Secrets Manager fails. Every honest request is refused
/// meanwhile, so it is shorter than [`REFRESH_INTERVAL`].
const UNREAD_FOR: SignedDuration = SignedDuration::from_secs(5);

/// Whose requests make a secret be looked at again: what it may cost them at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callers {
    /// Everybody on the internet: one look in [`REFRESH_INTERVAL`].
    Anybody,
    /// Who may invoke the function, as AWS sees to: one look a second. With more, an operator who has just stored the right value would
    /// be told by `verify` that it is still the wrong one.
    Authenticated,
}

impl Callers {
    const fn interval(self) -> SignedDuration {
        match self {
            Self::Anybody => REFRESH_INTERVAL,
            Self::Authenticated => SignedDuration::from_secs(1),
        }
    }
}

/// What an unconfigured secret is, to the operator.
const EMPTY: &str = "it is empty";

/// The versions of a secret that are in service, newest first.
pub type Versions<T> = Vec<Arc<T>>;

/// One secret of Secrets Manager, read through a cache.
#[derive(Debug)]
pub struct Secret<T> {
    client: Client,
    id: String,
    callers: Callers,
    cache: Mutex<Cache<T>>,
}

#[derive(Debug)]
struct Cache<T> {
    current: Version<T>,
    previous: Version<T>,
    /// Whether AWSPREVIOUS was asked for; there may be none.
    previous_known: bool,
    /// When it was read last, and for how long that is good.
    read: Option<(Timestamp, SignedDuration)>,
    refreshed_at: Option<Timestamp>,
}

/// What stands under a label of the secret.
#[derive(Debug)]
enum Version<T> {
    /// Nothing, or nothing that was read.
    None,
    /// A value that can be used.
    Good(Arc<T>),
    /// Something else, and what is wrong with it.
    Malformed(String),
    /// Whatever it is, Secrets Manager did not give it.
    Unread(Arc<AwsError>),
}

impl<T> Version<T> {
    fn good(&self) -> Option<&Arc<T>> {
        match self {
            Self::Good(value) => Some(value),
            Self::None | Self::Malformed(_) | Self::Unread(_) => None,
        }
    }
}

impl<T: Stored> Secret<T> {
    /// A secret by its name or ARN. Nothing is read yet.
    pub fn new(client: Client, id: impl Into<String>, callers: Callers) -> Self {
        let cache = Cache {
            current: Version::None,
            previous: Version::None,
            previous_known: false,
            read: None,
            refreshed_at: None,
        };
        Self { client, id: id.into(), callers, cache: Mutex::new(cache) }
    }

    /// The secret's name, for messages: its ARN names the account as well. Behind a name out of an ARN stand six characters of Secrets Manager's.
    pub fn name(&self) -> &str {
        self.id.rsplit_once(":secret:").map_or(&self.id, |(_, name)| name)
    }

    /// The versions known at `now`, newest first, read again when they are older than [`MAX_AGE`].
    ///
    /// AWSPREVIOUS is asked for only once something did not fit ([`Self::refresh`]), or AWSCURRENT is malformed: a cold start
    /// costs one read.
    ///
    /// # Errors
    /// [`Error::SecretNotConfigured`] or [`Error::SecretUnreadable`]; but a version that was good before is kept
    /// while Secrets Manager cannot be read, and one malformed version does not take the other out of service.
    pub async fn versions(&self, now: Timestamp) -> Result<Versions<T>> {
        let mut cache = self.cache.lock().await;
        if !cache.read.is_some_and(|(at, good_for)| is_recent(at, good_for, now)) {
            let with_previous = cache.previous_known;
            self.read(&mut cache, now, with_previous).await;
        }
        self.usable(&cache)
    }

    /// Reads both versions again because none of the known ones fitted, or `None` if that happened less than
    /// its callers' time ago.
    ///
    /// # Errors
    /// As [`Self::versions`].
    pub async fn refresh(&self, now: Timestamp) -> Result<Option<Versions<T>>> {
        let mut cache = self.cache.lock().await;
        if cache.refreshed_at.is_some_and(|at| is_recent(at, self.callers.interval(), now)) {
            return Ok(None);
        }
        cache.refreshed_at = Some(now);
        self.read(&mut cache, now, true).await;
        self.usable(&cache).map(Some)
    }

    async fn read(&self, cache: &mut Cache<T>, now: Timestamp, with_previous: bool) {
        let (current, previous) = tokio::join!(self.get("AWSCURRENT"), async {
            if with_previous { Some(self.get("AWSPREVIOUS").await) } else { None }
        });
        let kept = cache.current.good().or(cache.previous.good()).is_some();
        let before = match current {
            Ok(version) => std::mem::replace(&mut cache.current, version),
            Err(error) if kept => {
                tracing::warn!(%error, "the secret could not be read again; the known version stays");
                // Without this every request of an outage would wait for the read's time-out.
                cache.read = Some((now, REFRESH_INTERVAL));
                return;
            }
            Err(error) => {
                let again = matches!(cache.current, Version::Unread(_));
                cache.read = again.then_some((now, UNREAD_FOR));
                cache.current = Version::Unread(Arc::new(error));
                return;
            }
        };
        let previous = match previous {
            None if cache.current.good().is_none() => Some(self.get("AWSPREVIOUS").await),
            previous => previous,
        };
        if let Some(previous) = previous {
            match previous {
                Ok(version) => cache.previous = version,
                Err(error) => {
                    tracing::warn!(%error, "the previous version of the secret is not readable");
                    // It is the one that was in service until now.
                    if cache.current.good().is_none() && before.good().is_some() {
                        cache.previous = before;
                    }
                }
            }
            cache.previous_known = true;
        }
        for (label, version) in [("AWSCURRENT", &cache.current), ("AWSPREVIOUS", &cache.previous)] {
            if let Version::Malformed(reason) = version {
                tracing::warn!(label, reason, "a version of the secret is not usable");
            }
        }
        cache.read = Some((now, cache.lasts(self.callers)));
    }

    async fn get(&self, stage: &str) -> Result<Version<T>, AwsError> {
        let answer = self.client.get_secret_value().secret_id(&self.id).version_stage(stage).send().await;
        let output = match answer {
            Ok(output) => output,
            Err(error) => match error.as_service_error() {
                Some(GetSecretValueError::ResourceNotFoundException(_)) => return Ok(Version::None),
                _ => return Err(AwsError::of(error)),
            },
        };
        let value = match text(output) {
            // As a secret without a version: nobody has configured it yet.
            Ok(text) if text.expose_secret().trim().is_empty() => return Ok(Version::None),
            Ok(text) => parse(&text),
            Err(reason) => Err(reason),
        };
        Ok(value.map_or_else(Version::Malformed, |value| Version::Good(Arc::new(value))))
    }

    fn usable(&self, cache: &Cache<T>) -> Result<Versions<T>> {
        let known = [&cache.current, &cache.previous];
        let versions: Versions<T> = known.into_iter().filter_map(Version::good).cloned().collect();
        match (&cache.current, versions.is_empty()) {
            (_, false) => Ok(versions),
            (Version::Malformed(reason), true) => Err(self.not_configured(reason.as_str())),
            (Version::Unread(error), true) => {
                Err(Error::SecretUnreadable { id: self.name().to_owned(), source: Arc::clone(error) })
            }
            (_, true) => Err(self.not_configured(EMPTY)),
        }
    }

    fn not_configured(&self, reason: impl Into<String>) -> Error {
        Error::SecretNotConfigured { id: self.name().to_owned(), reason: reason.into() }
    }
}

impl<T> Cache<T> {
    /// A secret that cannot be used is looked at again sooner, so that mending it is seen, but not at every request.
    fn lasts(&self, callers: Callers) -> SignedDuration {
        match (self.current.good(), self.previous.good()) {
            (Some(_), _) => MAX_AGE,
            // The previous one serves meanwhile.
            (None, Some(_)) => REFRESH_INTERVAL,
            (None, None) => callers.interval(),
        }
    }
}

/// A version's text, which the AWS CLI stores as bytes where it was given a file of them.
fn text(output: GetSecretValueOutput) -> std::result::Result<SecretString, String> {
    match (output.secret_string, output.secret_binary) {
        (Some(text), _) => Ok(text.into()),
        (None, Some(bytes)) => String::from_utf8(bytes.into_inner())
            .map(SecretString::from)
            .map_err(|_| "it is binary and not the JSON object we write there: store it as text".to_owned()),
        (None, None) => Ok(String::new().into()),
    }
}
