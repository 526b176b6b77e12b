//! Secrets from Secrets Manager, cached in the execution environment.
//!
//! Rotation must not need a deploy and must not refuse a delivery: an environment keeps a secret for at most
//! [`MAX_AGE`], knows the current and the previous version, and looks again when nothing it knows fits, at most once
//! in [`REFRESH_INTERVAL`]: once it is configured, a flood of forged requests costs one look in that time, and a rotation that tells GitHub
//! of the new value 35 s after writing it is always seen.
//! <https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html>

use std::sync::Arc;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::DisplayErrorContext;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use tokio::sync::Mutex;

use crate::{Error, Result};

/// How long a version is used before it is read again.
pub const MAX_AGE: SignedDuration = SignedDuration::from_mins(5);

/// The least time between two reads that were caused by a value that did not fit.
pub const REFRESH_INTERVAL: SignedDuration = SignedDuration::from_secs(30);

/// What the webhook secret holds: `{"webhook_secret": "…", "installations"?: [ids]}`.
#[derive(Debug, Deserialize)]
pub struct WebhookSecret {
    /// The secret GitHub signs deliveries with.
    pub webhook_secret: SecretString,
    /// If present, the only installations whose events are taken.
    #[serde(default)]
    pub installations: Option<Vec<u64>>,
}

/// What the app secret holds: `{"app_id": …, "client_id"?: …, "installation_id": …, "private_key": "PEM"}`.
#[derive(Debug, Deserialize)]
pub struct AppSecret {
    /// The App ID.
    #[serde(deserialize_with = "text_or_number")]
    pub app_id: String,
    /// The client id, which GitHub prefers as `iss`.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The installation that tokens are minted for unless a request names another.
    #[serde(default, deserialize_with = "optional_id")]
    pub installation_id: Option<u64>,
    /// The App's private key, PEM.
    pub private_key: SecretString,
}

/// A secret's JSON, with a check that somebody has really configured it.
pub trait Configured: for<'de> Deserialize<'de> + Send + Sync + 'static {
    /// What is missing, in words for the operator; `None` when the secret can be used.
    fn missing(&self) -> Option<&'static str>;
}

impl Configured for WebhookSecret {
    fn missing(&self) -> Option<&'static str> {
        is_placeholder(&self.webhook_secret).then_some("webhook_secret is empty or a placeholder")
    }
}

impl Configured for AppSecret {
    fn missing(&self) -> Option<&'static str> {
        if self.app_id.trim().is_empty() || self.app_id == "0" {
            Some("app_id is empty")
        } else if is_placeholder(&self.private_key) {
            Some("private_key is empty or a placeholder")
        } else {
            None
        }
    }
}

/// The versions of a secret that are in service, newest first.
pub type Versions<T> = Vec<Arc<T>>;

/// One secret of Secrets Manager, read through a cache.
#[derive(Debug)]
pub struct Secret<T> {
    client: Client,
    id: String,
    cache: Mutex<Cache<T>>,
}

#[derive(Debug)]
struct Cache<T> {
    current: Option<Arc<T>>,
    previous: Option<Arc<T>>,
    /// Whether AWSPREVIOUS was asked for; there may be none.
    previous_known: bool,
    read_at: Timestamp,
    refreshed_at: Option<Timestamp>,
}

impl<T: Configured> Secret<T> {
    /// A secret by its name or ARN. Nothing is read yet.
    pub fn new(client: Client, id: impl Into<String>) -> Self {
        let cache = Cache {
            current: None,
            previous: None,
            previous_known: false,
            read_at: Timestamp::UNIX_EPOCH,
            refreshed_at: None,
        };
        Self { client, id: id.into(), cache: Mutex::new(cache) }
    }

    /// The versions known at `now`, newest first, read again when they are older than [`MAX_AGE`].
    ///
    /// AWSPREVIOUS is asked for only once something did not fit ([`Self::refresh`]): a cold start costs one read.
    ///
    /// # Errors
    /// [`Error::SecretNotConfigured`] or [`Error::SecretUnreadable`]; but a version that was good before is kept
    /// while Secrets Manager cannot be read.
    pub async fn versions(&self, now: Timestamp) -> Result<Versions<T>> {
        let mut cache = self.cache.lock().await;
        if cache.current.is_none() || now.duration_since(cache.read_at) >= MAX_AGE {
            let with_previous = cache.previous_known;
            self.read(&mut cache, now, with_previous).await?;
        }
        Ok(cache.versions())
    }

    /// Reads both versions again because none of the known ones fitted, or `None` if that happened less than
    /// [`REFRESH_INTERVAL`] ago.
    ///
    /// # Errors
    /// As [`Self::versions`].
    pub async fn refresh(&self, now: Timestamp) -> Result<Option<Versions<T>>> {
        let mut cache = self.cache.lock().await;
        if cache.refreshed_at.is_some_and(|at| now.duration_since(at) < REFRESH_INTERVAL) {
            return Ok(None);
        }
        cache.refreshed_at = Some(now);
        self.read(&mut cache, now, true).await?;
        Ok(Some(cache.versions()))
    }

    async fn read(&self, cache: &mut Cache<T>, now: Timestamp, with_previous: bool) -> Result<()> {
        let (current, previous) = tokio::join!(self.get("AWSCURRENT"), async {
            if with_previous { self.get("AWSPREVIOUS").await } else { Ok(None) }
        });
        let kept = cache.current.is_some();
        match current {
            Ok(Some(value)) => cache.current = Some(value),
            Ok(None) => return Err(self.not_configured("it holds no value yet")),
            Err(error @ Error::SecretUnreadable { .. }) if kept => {
                tracing::warn!(error = error.chain(), "the secret could not be read again; the known version stays");
                // Without this every request of an outage would wait for the read's time-out.
                cache.read_at = now - MAX_AGE + REFRESH_INTERVAL;
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        if with_previous {
            // A previous version that is gone or malformed must not take the current one out of service.
            match previous {
                Ok(value) => cache.previous = value,
                Err(error) => tracing::warn!(error = error.chain(), "the previous version of the secret is not usable"),
            }
            cache.previous_known = true;
        }
        cache.read_at = now;
        Ok(())
    }

    async fn get(&self, stage: &str) -> Result<Option<Arc<T>>> {
        let answer = self.client.get_secret_value().secret_id(&self.id).version_stage(stage).send().await;
        let output = match answer {
            Ok(output) => output,
            Err(error) => match error.as_service_error() {
                Some(GetSecretValueError::ResourceNotFoundException(_)) => return Ok(None),
                _ => {
                    let source = DisplayErrorContext(error).to_string().into();
                    return Err(Error::SecretUnreadable { id: self.id.clone(), source });
                }
            },
        };
        let text = SecretString::from(output.secret_string.unwrap_or_default());
        parse(&text).map(|value| Some(Arc::new(value))).map_err(|reason| self.not_configured(reason))
    }

    fn not_configured(&self, reason: impl Into<String>) -> Error {
        Error::SecretNotConfigured { id: self.id.clone(), reason: reason.into() }
    }
}

impl<T> Cache<T> {
    fn versions(&self) -> Versions<T> {
        self.current.iter().chain(&self.previous).cloned().collect()
    }
}

/// The value of a secret as the functions read it.
///
/// # Errors
/// What is wrong with it, in words for the operator and without any of the value: serde_json's own message may quote what
/// it stumbled over, so only the position is passed on.
pub fn parse<T: Configured>(text: &SecretString) -> Result<T, String> {
    use secrecy::ExposeSecret;
    let text = text.expose_secret();
    if text.trim().is_empty() {
        return Err("it is empty".into());
    }
    let value: T = serde_json::from_str(text).map_err(|error| {
        format!("it is not the JSON object we write there (line {}, column {})", error.line(), error.column())
    })?;
    value.missing().map_or(Ok(()), |reason| Err(reason.to_owned()))?;
    Ok(value)
}

/// What people and templates put where a secret will go. Accepting one would be accepting anybody's signature.
fn is_placeholder(secret: &SecretString) -> bool {
    use secrecy::ExposeSecret;
    let text = secret.expose_secret().trim();
    text.is_empty()
        || (text.starts_with('<') && text.ends_with('>'))
        || [
            "changeme",
            "change-me",
            "change_me",
            "placeholder",
            "replaceme",
            "replace-me",
            "replace_me",
            "secret",
            "todo",
        ]
        .contains(&text.to_ascii_lowercase().as_str())
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TextOrNumber {
    Text(String),
    Number(u64),
}

/// An id that people write with or without quotes.
///
/// # Errors
/// The deserializer's, for anything else.
pub fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match TextOrNumber::deserialize(deserializer)? {
        TextOrNumber::Text(text) => text,
        TextOrNumber::Number(number) => number.to_string(),
    })
}

fn optional_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match Option::<TextOrNumber>::deserialize(deserializer)? {
        None => Ok(None),
        Some(TextOrNumber::Number(number)) => Ok(Some(number)),
        Some(TextOrNumber::Text(text)) if text.trim().is_empty() => Ok(None),
        Some(TextOrNumber::Text(text)) => text.trim().parse().map(Some).map_err(serde::de::Error::custom),
    }
}
