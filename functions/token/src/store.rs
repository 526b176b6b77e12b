//! The `Tokens` table: sealed tokens, the lease of whoever mints, and errors remembered for a while.
//!
//! Attributes: `cache_key` (S, the key), `ciphertext` and `nonce` (B), `expires_at` and `minted_at` (N, seconds),
//! `token_sha256` (S, base64), `lease_owner` (S), `lease_until` (N, milliseconds), `failure` (S, an error type),
//! `failure_until` (N, milliseconds), `invalidated_at` (N, seconds), `ttl` (N, seconds).
//!
//! Only what is sealed is believed: the others order the writers, and nobody gets a wider token by changing them.

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;

use adapters::{Error, Result};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{DisplayErrorContext, SdkError};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};

use crate::entry::Entry;
use crate::failure::ErrorType;
use crate::seal::{CacheKey, Sealed};

/// A minter that stopped renewing is taken for dead after this long.
pub(crate) const LEASE: SignedDuration = SignedDuration::from_secs(3);

/// Below the lease: a renewal that hangs must not keep the next one from being sent.
const RENEWAL_TIMEOUT: Duration = Duration::from_millis(1500);

/// Younger tokens answer 401 for some seconds by themselves; so a report about one says nothing.
const FRESH: SignedDuration = SignedDuration::from_secs(30);

/// Expired items stay for a week: they say which repository an installation served before it was reinstalled.
const KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// No remembered failure is believed for longer.
const LONGEST_FAILURE: SignedDuration = SignedDuration::from_mins(15);

type Item = HashMap<String, AttributeValue>;

#[derive(Debug)]
pub(crate) struct Store {
    client: Client,
    table: String,
}

/// An item as it was read.
#[derive(Debug, Default)]
pub(crate) struct Row {
    item: Item,
}

/// A failure that is kept for a while, so that waiters learn of it instead of repeating it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remembered {
    pub(crate) error_type: ErrorType,
    pub(crate) until: Timestamp,
}

impl Row {
    pub(crate) fn sealed(&self) -> Option<Sealed> {
        let bytes = |name| Some(self.item.get(name)?.as_b().ok()?.as_ref().to_vec());
        Some(Sealed { nonce: bytes("nonce")?, ciphertext: bytes("ciphertext")? })
    }

    pub(crate) fn is_leased(&self, now: Timestamp) -> bool {
        self.milliseconds("lease_until").is_some_and(|until| until >= now)
    }

    pub(crate) fn is_owned_by(&self, owner: &str) -> bool {
        self.item.get("lease_owner").and_then(|value| value.as_s().ok()).is_some_and(|leased_by| leased_by == owner)
    }

    pub(crate) fn failure(&self, now: Timestamp) -> Option<Remembered> {
        let until = self.milliseconds("failure_until")?;
        let error_type = ErrorType::from_name(self.item.get("failure")?.as_s().ok()?)?;
        let believed = until > now && until.duration_since(now) <= LONGEST_FAILURE;
        believed.then_some(Remembered { error_type, until })
    }

    /// Distinguishes one stored token from the next, and whatever else was put there.
    fn nonce(&self) -> AttributeValue {
        self.item.get("nonce").cloned().unwrap_or_else(|| AttributeValue::Null(true))
    }

    fn milliseconds(&self, name: &str) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.item.get(name)?.as_n().ok()?.parse().ok()?).ok()
    }
}

impl Store {
    pub(crate) fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    pub(crate) async fn get(&self, key: &CacheKey) -> Result<Row> {
        let call =
            self.client.get_item().table_name(&self.table).key("cache_key", text(key.hex())).consistent_read(true);
        let answer = call.send().await.map_err(|error| self.failed("GetItem", error))?;
        Ok(Row { item: answer.item.unwrap_or_default() })
    }

    /// Takes the lease if nobody holds it and the item still has the token of `seen`, if any.
    ///
    /// The owner's own lease does not stand in its way: a write that was committed while its answer was lost is sent
    /// again by the SDK, and must not lose against itself.
    pub(crate) async fn take_lease(&self, key: &CacheKey, owner: &str, seen: &Row, now: Timestamp) -> Result<bool> {
        let call = self
            .update(key)
            .update_expression("SET lease_owner = :me, lease_until = :until, #ttl = :ttl REMOVE failure, failure_until")
            .condition_expression(
                "(attribute_not_exists(lease_until) OR lease_until < :now OR lease_owner = :me) \
                 AND (attribute_not_exists(nonce) OR nonce = :seen) \
                 AND (attribute_not_exists(failure_until) OR failure_until <= :now OR failure_until > :longest)",
            )
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":me", text(owner))
            .expression_attribute_values(":until", milliseconds(now + LEASE))
            .expression_attribute_values(":now", milliseconds(now))
            .expression_attribute_values(":longest", milliseconds(now + LONGEST_FAILURE))
            .expression_attribute_values(":seen", seen.nonce())
            .expression_attribute_values(":ttl", seconds(now + KEPT));
        self.send(call).await
    }

    pub(crate) async fn renew(&self, key: &CacheKey, owner: &str, now: Timestamp) -> Result<()> {
        let call = self
            .update(key)
            .update_expression("SET lease_until = :until")
            .condition_expression("lease_owner = :me")
            .expression_attribute_values(":me", text(owner))
            .expression_attribute_values(":until", milliseconds(now + LEASE));
        match tokio::time::timeout(RENEWAL_TIMEOUT, self.send(call)).await {
            Ok(sent) => sent.map(drop),
            Err(elapsed) => Err(self.error("UpdateItem", Box::new(elapsed))),
        }
    }

    /// Stores a token, unless one that expires later has come meanwhile, and ends whatever lease there is: waiters of
    /// another one are served too.
    pub(crate) async fn put(&self, key: &CacheKey, entry: &Entry, sealed: Sealed, seen: &Row) -> Result<()> {
        let call = self
            .update(key)
            .update_expression(
                "SET ciphertext = :ciphertext, nonce = :nonce, expires_at = :expires, minted_at = :minted, \
                 token_sha256 = :sha, #ttl = :ttl REMOVE lease_owner, lease_until, failure, failure_until",
            )
            .condition_expression(
                "attribute_not_exists(expires_at) OR expires_at <= :expires OR nonce = :seen OR token_sha256 = :sha",
            )
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":ciphertext", AttributeValue::B(Blob::new(sealed.ciphertext)))
            .expression_attribute_values(":nonce", AttributeValue::B(Blob::new(sealed.nonce)))
            .expression_attribute_values(":expires", seconds(entry.expires_at))
            .expression_attribute_values(":minted", seconds(entry.minted_at))
            .expression_attribute_values(":sha", text(entry.sha256()))
            .expression_attribute_values(":seen", seen.nonce())
            .expression_attribute_values(
                ":ttl",
                seconds(entry.expires_at.saturating_add(KEPT).unwrap_or(Timestamp::MAX)),
            );
        self.send(call).await.map(drop)
    }

    /// Ends the owner's lease after a failed mint and lets the waiters know why, if that is worth keeping.
    pub(crate) async fn release(&self, key: &CacheKey, owner: &str, failure: Option<Remembered>) -> Result<()> {
        let call =
            self.update(key).condition_expression("lease_owner = :me").expression_attribute_values(":me", text(owner));
        let call = match failure {
            None => call.update_expression("REMOVE lease_owner, lease_until"),
            Some(failure) => call
                .update_expression("SET failure = :failure, failure_until = :until REMOVE lease_owner, lease_until")
                .expression_attribute_values(":failure", text(failure.error_type.name()))
                .expression_attribute_values(":until", milliseconds(failure.until)),
        };
        self.send(call).await.map(drop)
    }

    /// Drops the copy of a token that its holder revokes. Whether it was there.
    pub(crate) async fn remove(&self, key: &CacheKey, token_sha256: &str) -> Result<bool> {
        let call = self
            .update(key)
            .update_expression("REMOVE ciphertext, nonce, expires_at, minted_at, token_sha256")
            .condition_expression("token_sha256 = :sha")
            .expression_attribute_values(":sha", text(token_sha256));
        self.send(call).await
    }

    /// Drops the copy of a token that somebody reports as rejected: not a fresh one, and not again within 30 s, so
    /// that false reports cannot turn the cache off. Whether it was dropped.
    pub(crate) async fn invalidate(&self, key: &CacheKey, token_sha256: &str, now: Timestamp) -> Result<bool> {
        let call = self
            .update(key)
            .update_expression(
                "SET invalidated_at = :now REMOVE ciphertext, nonce, expires_at, minted_at, token_sha256",
            )
            .condition_expression(
                "token_sha256 = :sha AND minted_at <= :before \
                 AND (attribute_not_exists(invalidated_at) OR invalidated_at <= :before)",
            )
            .expression_attribute_values(":sha", text(token_sha256))
            .expression_attribute_values(":now", seconds(now))
            .expression_attribute_values(":before", seconds(now - FRESH));
        self.send(call).await
    }

    fn update(&self, key: &CacheKey) -> UpdateItemFluentBuilder {
        self.client.update_item().table_name(&self.table).key("cache_key", text(key.hex()))
    }

    /// Whether the write's condition held.
    async fn send(&self, call: UpdateItemFluentBuilder) -> Result<bool> {
        let error = match call.send().await {
            Ok(_) => return Ok(true),
            Err(error) => error,
        };
        let refused = matches!(error.as_service_error(), Some(UpdateItemError::ConditionalCheckFailedException(_)));
        if refused { Ok(false) } else { Err(self.failed("UpdateItem", error)) }
    }

    fn failed<E, R>(&self, operation: &'static str, error: SdkError<E, R>) -> Error
    where
        SdkError<E, R>: std::error::Error + Debug,
    {
        self.error(operation, DisplayErrorContext(error).to_string().into())
    }

    fn error(&self, operation: &'static str, source: adapters::error::Source) -> Error {
        Error::Table { table: self.table.clone(), operation, source }
    }
}

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn seconds(at: Timestamp) -> AttributeValue {
    AttributeValue::N(at.as_second().to_string())
}

fn milliseconds(at: Timestamp) -> AttributeValue {
    AttributeValue::N(at.as_millisecond().to_string())
}
