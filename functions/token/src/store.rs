//! The `Tokens` table: sealed tokens, the lease of whoever mints, and refusals remembered for a while.
//!
//! One item a scope, under its cache key. Attributes: `cache_key` (S, the key), `ciphertext` and `nonce` (B), `expires_at` and
//! `minted_at` (N, seconds), `token_sha256` (S, base64), `lease_owner` (S), `lease_until` (N, milliseconds), `failure` (S, an error
//! type), `failure_until` (N, milliseconds), `invalidated_at` (N, seconds), `revoked_at` (N, milliseconds), `revokes` (N), `ttl`
//! (N, seconds). Besides these
//! - `token#SHA-256`: where the copy of a token is, `points_to` and `profile`, so that it is found whatever its scope;
//! - `app#…`: the App's way to GitHub: `failure`, `refused_keys` (M, fingerprint to milliseconds), `credits` and
//!   `credited_at`, a lease;
//! - `installation#…`: a refusal that holds for one installation;
//! - `installations#…`: the App's installations, in `ciphertext` and `nonce`, and a failure to list them;
//! - `tries#…`: how many unknown tokens were to be revoked lately: `tries` and `tried_at`.
//!
//! Only what is sealed is believed: the others order the writers, and nobody gets a wider token by changing them. A time that lies
//! further ahead than its writer could have meant, of a fast clock or a stranger, is none.

use std::collections::HashMap;
use std::time::Duration;

use adapters::table::{Expression, Item, Operation, Table, number, text};
use adapters::{Error, Result};
use aws_lc_rs::digest::{SHA256, digest};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use domain::contract::token::ErrorType;
use domain::policy::Profile;
use domain::protocol::Written;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::json;

use crate::entry::Entry;
use crate::seal::{CacheKey, Sealed};

/// A minter that stopped renewing is taken for dead after this long.
pub(crate) const LEASE: SignedDuration = SignedDuration::from_secs(3);

/// How far the clocks of two environments may be apart.
const APART: SignedDuration = SignedDuration::from_secs(2);

/// Below the lease: a renewal that hangs must not keep the next one from being sent.
const RENEWAL_TIMEOUT: Duration = Duration::from_millis(1500);

/// Younger tokens answer 401 for some seconds by themselves; so a report about one says nothing.
const FRESH: SignedDuration = SignedDuration::from_secs(30);

/// Expired items stay for a week: they say whose an installation was before the App was installed anew.
const KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// No remembered refusal is believed for longer: GitHub's own limits end within an hour.
pub(crate) const LONGEST_FAILURE: SignedDuration = SignedDuration::from_mins(61);

/// Within this time revokes of one scope are counted together.
const REVOKES_WITHIN: SignedDuration = SignedDuration::from_secs(60);

/// After more of them the scope's tokens are shared no more.
const FREE_REVOKES: u64 = 5;

/// Within this time ...
pub(crate) const TRIED_WITHIN: SignedDuration = SignedDuration::from_secs(60);

/// ... so many tokens that are not known here may be tried at GitHub. It locks out after more bad credentials than these:
/// <https://docs.github.com/en/rest/authentication/authenticating-to-the-rest-api#failed-login-limit>
const MOST_TRIES: u64 = 5;

/// Credits of a busy time are worth nothing once it is over: whatever changed at GitHub meanwhile, one call is to find out.
const CREDITED: SignedDuration = SignedDuration::from_secs(1);

/// The most calls that may be under way at once.
const MOST_CREDITS: u64 = 16;

/// The longest list of installations that an item has room for.
const LONGEST_LIST: usize = 300_000;

/// A sealed token, which leaves an item as a whole.
const TOKEN: &[&str] = &["ciphertext", "nonce", "expires_at", "minted_at", "token_sha256"];

const LEASED: &[&str] = &["lease_owner", "lease_until"];

const FAILED: &[&str] = &["failure", "failure_until"];

#[derive(Debug, Clone)]
pub(crate) struct Store {
    table: Table,
}

/// The key of an item.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RowKey(String);

impl RowKey {
    /// An item that many scopes share.
    pub(crate) fn shared(kind: &str, of: &impl Serialize) -> Self {
        Self(format!("{kind}#{}", hex::encode(digest(&SHA256, json!(of).to_string().as_bytes()))))
    }

    fn of_token(sha256: &str) -> Self {
        Self(format!("token#{sha256}"))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&CacheKey> for RowKey {
    fn from(key: &CacheKey) -> Self {
        Self(key.hex())
    }
}

/// An item as it was read.
#[derive(Debug, Default)]
pub(crate) struct Row {
    item: Item,
}

/// A refusal that is kept for a while, so that others learn of it instead of repeating it.
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
        self.milliseconds("lease_until").is_some_and(|until| until >= now && until <= now + LEASE + APART)
    }

    pub(crate) fn is_owned_by(&self, owner: &str) -> bool {
        self.text("lease_owner") == Some(owner)
    }

    pub(crate) fn failure(&self, now: Timestamp) -> Option<Remembered> {
        let until = self.milliseconds("failure_until")?;
        let error_type = ErrorType::from_name(self.text("failure")?)?;
        is_ahead(until, now).then_some(Remembered { error_type, until })
    }

    /// The refusal of an App that stands against calls with this key.
    pub(crate) fn refused(&self, fingerprint: &str, now: Timestamp) -> Option<Remembered> {
        let until = self.refused_keys().remove(fingerprint).filter(|until| is_ahead(*until, now));
        let key = until.map(|until| Remembered { error_type: ErrorType::InvalidKey, until });
        self.failure(now).or(key)
    }

    fn refused_keys(&self) -> HashMap<String, Timestamp> {
        let keys = self.item.get("refused_keys").and_then(|value| value.as_m().ok());
        let until = |value: &AttributeValue| Timestamp::from_millisecond(value.as_n().ok()?.parse().ok()?).ok();
        keys.into_iter().flatten().filter_map(|(key, value)| Some((key.clone(), until(value)?))).collect()
    }

    pub(crate) fn has_credit(&self, now: Timestamp) -> bool {
        self.credits(now).is_some_and(|credits| credits >= 1)
    }

    fn credits(&self, now: Timestamp) -> Option<u64> {
        let at = self.milliseconds("credited_at");
        at.filter(|at| now.duration_since(*at).abs() <= CREDITED).and_then(|_| self.number("credits"))
    }

    /// Whether somebody revokes tokens that others hold too, again and again.
    pub(crate) fn is_contested(&self, now: Timestamp) -> bool {
        let lately = |at: Timestamp| at <= now + APART && now.duration_since(at) < REVOKES_WITHIN;
        self.milliseconds("revoked_at").is_some_and(lately)
            && self.number("revokes").is_some_and(|revokes| revokes > FREE_REVOKES)
    }

    /// Distinguishes one stored token from the next, and whatever else was put there.
    fn nonce(&self) -> AttributeValue {
        self.item.get("nonce").cloned().unwrap_or_else(|| AttributeValue::Null(true))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.item.get(name)?.as_s().ok().map(String::as_str)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.item.get(name)?.as_n().ok()?.parse().ok()
    }

    fn milliseconds(&self, name: &str) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.item.get(name)?.as_n().ok()?.parse().ok()?).ok()
    }
}

/// Whether a refusal still stands. One that would end later than [`LONGEST_FAILURE`] from now does not: the clock was ahead when it was noted.
pub(crate) fn is_ahead(until: Timestamp, now: Timestamp) -> bool {
    until > now && until.duration_since(now) <= LONGEST_FAILURE
}

/// DynamoDB's name of the type that times are of. One of another type is no time, and compares with none:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html>
fn number_type() -> (&'static str, AttributeValue) {
    (":number", text("N"))
}

/// Nobody else's lease, and none that its holder cannot have meant. The owner's own does not stand in its way: a write that was
/// committed while its answer was lost is sent again by the SDK, and must not lose against itself.
const NOT_LEASED: &str = "attribute_not_exists(lease_until) OR lease_until < :now OR lease_until > :farthest OR lease_owner = :lease_owner \
     OR NOT attribute_type(lease_until, :number)";

/// Nothing that stands against a call of the App, or of the scope, as a whole.
const NOT_FAILED: &str = "attribute_not_exists(failure_until) OR failure_until <= :now OR failure_until > :longest \
     OR NOT attribute_type(failure_until, :number)";

/// Nothing that stands for longer than what is to be noted: GitHub's shorter word does not end its longer one.
const NOT_FAILED_FOR_LONGER: &str = "attribute_not_exists(failure_until) OR failure_until <= :failure_until \
     OR failure_until > :longest OR NOT attribute_type(failure_until, :number)";

/// Nothing that stands against a call with this key.
const NOT_REFUSED: &str = "attribute_not_exists(refused_keys.#key) OR refused_keys.#key <= :now OR refused_keys.#key > :longest \
     OR NOT attribute_type(refused_keys.#key, :number)";

impl Store {
    pub(crate) fn new(client: Client, table: String) -> Self {
        Self { table: Table::new(client, table) }
    }

    pub(crate) async fn get(&self, key: &RowKey) -> Result<Row> {
        Ok(Row { item: self.table.get(item_key(key)).await?.unwrap_or_default() })
    }

    /// Takes the lease if nobody holds it and the item still has the token of `seen`, if any.
    pub(crate) async fn take_lease(&self, key: &RowKey, owner: &str, seen: &Row, now: Timestamp) -> Result<bool> {
        let mut change = leasing(owner, now);
        change.remove(FAILED);
        change.require_that("attribute_not_exists(nonce) OR nonce = :seen", [(":seen", seen.nonce())]);
        require_not_failed(&mut change, NOT_FAILED, now);
        self.update(key, change).await
    }

    pub(crate) async fn renew(&self, key: &RowKey, owner: &str, now: Timestamp) -> Result<()> {
        let mut change = Expression::setting([("lease_until", milliseconds(now + LEASE))]);
        change.require("lease_owner", Some(&text(owner)));
        match tokio::time::timeout(RENEWAL_TIMEOUT, self.update(key, change)).await {
            Ok(sent) => sent.map(drop),
            Err(elapsed) => {
                let table = self.table.name().to_owned();
                Err(Error::Table { table, operation: "UpdateItem", source: Box::new(elapsed) })
            }
        }
    }

    /// Stores a token, unless one that expires later has come meanwhile, and ends whatever lease there is: waiters of
    /// another one are served too.
    pub(crate) async fn put(&self, key: &RowKey, entry: &Entry, sealed: Sealed, seen: &Row) -> Result<()> {
        let mut change = Expression::setting([
            ("ciphertext", AttributeValue::B(Blob::new(sealed.ciphertext))),
            ("nonce", AttributeValue::B(Blob::new(sealed.nonce))),
            ("expires_at", seconds(entry.expires_at)),
            ("minted_at", seconds(entry.minted_at)),
            ("token_sha256", text(entry.sha256())),
            ("ttl", seconds(after(entry.expires_at, KEPT))),
        ]);
        change.remove(LEASED);
        change.remove(FAILED);
        change.require_that(
            "attribute_not_exists(expires_at) OR expires_at <= :expires_at OR nonce = :seen OR token_sha256 = :token_sha256",
            [(":seen", seen.nonce())],
        );
        self.update(key, change).await.map(drop)
    }

    /// Notes where the copy of a token is going to be.
    pub(crate) async fn point(&self, entry: &Entry, key: &CacheKey, profile: &Profile) -> Result<()> {
        let change = Expression::setting([
            ("points_to", text(key.hex())),
            ("profile", text(profile.as_str())),
            ("ttl", seconds(after(entry.expires_at, SignedDuration::from_hours(1)))),
        ]);
        self.update(&RowKey::of_token(&entry.sha256()), change).await.map(drop)
    }

    /// Whether one more token that is not known here may be tried at GitHub now.
    pub(crate) async fn may_try(&self, key: &RowKey, now: Timestamp) -> Result<bool> {
        let within = || [(":before", milliseconds(now - TRIED_WITHIN)), (":soon", milliseconds(now + APART))];
        let mut counted = Expression::default();
        counted.add("tries", 1);
        counted.require_that("tried_at BETWEEN :before AND :soon", within());
        counted.require_that("tries < :most", [(":most", number(MOST_TRIES))]);
        let mut first =
            Expression::setting([("tries", number(1)), ("tried_at", milliseconds(now)), ("ttl", seconds(now + KEPT))]);
        first.require_that("attribute_not_exists(tried_at) OR NOT tried_at BETWEEN :before AND :soon", within());
        Ok(self.update(key, counted).await? || self.update(key, first).await?)
    }

    /// Forgets where the copy of a token was.
    pub(crate) async fn unpoint(&self, token_sha256: &str) -> Result<()> {
        let mut change = Expression::default();
        change.remove(&["points_to", "profile"]);
        change.require_that("attribute_exists(points_to)", []);
        self.update(&RowKey::of_token(token_sha256), change).await.map(drop)
    }

    /// Where the copy of a token is, if this profile may have it taken out of service.
    pub(crate) async fn pointer(&self, token_sha256: &str, of: Option<&Profile>) -> Result<Option<CacheKey>> {
        let row = self.get(&RowKey::of_token(token_sha256)).await?;
        let fits = of.is_none_or(|profile| row.text("profile") == Some(profile.as_str()));
        Ok(row.text("points_to").filter(|_| fits).and_then(CacheKey::from_hex))
    }

    /// Ends the owner's lease after a failed mint and lets the waiters know why, if that is worth keeping.
    pub(crate) async fn release(&self, key: &RowKey, owner: &str, failure: Option<Remembered>) -> Result<()> {
        let mut change = failure.map(failing).unwrap_or_default();
        change.remove(LEASED);
        change.require("lease_owner", Some(&text(owner)));
        self.update(key, change).await.map(drop)
    }

    /// Remembers a refusal, unless one stands for longer.
    pub(crate) async fn remember(&self, key: &RowKey, failure: Remembered, now: Timestamp) -> Result<()> {
        let mut change = failing(failure);
        require_not_failed(&mut change, NOT_FAILED_FOR_LONGER, now);
        change.set("ttl", seconds(now + KEPT));
        self.update(key, change).await.map(drop)
    }

    /// Drops the copy of a token that its holder revoked, and counts it. Whether it was there.
    pub(crate) async fn remove(&self, key: &RowKey, token_sha256: &str, now: Timestamp) -> Result<bool> {
        let removal = || {
            let mut change = Expression::setting([("revoked_at", milliseconds(now))]);
            change.remove(TOKEN);
            change.require("token_sha256", Some(&text(token_sha256)));
            change
        };
        let mut counted = removal();
        counted.add("revokes", 1);
        let within = [
            (":before", milliseconds(now - REVOKES_WITHIN)),
            (":soon", milliseconds(now + APART)),
            (":one", number(1)),
        ];
        counted.require_that("revokes >= :one AND revoked_at BETWEEN :before AND :soon", within);
        let mut first = removal();
        first.set("revokes", number(1));
        Ok(self.update(key, counted).await? || self.update(key, first).await?)
    }

    /// Drops the copy of a token that somebody reports as rejected: not a fresh one, and not again within 30 s, so
    /// that false reports cannot turn the cache off. Whether it was dropped.
    pub(crate) async fn invalidate(&self, key: &RowKey, token_sha256: &str, now: Timestamp) -> Result<bool> {
        let mut change = Expression::setting([("invalidated_at", seconds(now))]);
        change.remove(TOKEN);
        change.require("token_sha256", Some(&text(token_sha256)));
        let fresh = [(":before", seconds(now - FRESH)), (":soon", seconds(now + FRESH))];
        change.require_that("minted_at <= :before OR minted_at > :soon", fresh);
        change.require_that(
            "attribute_not_exists(invalidated_at) OR invalidated_at <= :before OR invalidated_at > :soon",
            [],
        );
        self.update(key, change).await
    }

    /// Spends a credit for one call with this key.
    pub(crate) async fn spend(&self, app: &RowKey, fingerprint: &str, now: Timestamp) -> Result<bool> {
        let mut change = Expression::default();
        change.add("credits", -1);
        let recent = [
            (":one", number(1)),
            (":recent", milliseconds(now - CREDITED)),
            (":soon", milliseconds(now + CREDITED)),
            (":now", milliseconds(now)),
        ];
        change.require_that("credits >= :one AND credited_at BETWEEN :recent AND :soon", recent);
        require_open(&mut change, fingerprint, now);
        self.update(app, change).await
    }

    /// Takes the lease of the one call that may be made without a credit.
    pub(crate) async fn take_way(&self, app: &RowKey, owner: &str, fingerprint: &str, now: Timestamp) -> Result<bool> {
        let mut change = leasing(owner, now);
        require_open(&mut change, fingerprint, now);
        self.update(app, change).await
    }

    /// Gives two credits for the one that was spent: while calls succeed, twice as many may be made at once.
    pub(crate) async fn credit(&self, app: &RowKey, now: Timestamp) -> Result<()> {
        let mut change = Expression::setting([("credited_at", milliseconds(now))]);
        change.add("credits", 2);
        change.require_that("attribute_not_exists(credits) OR credits < :most", [(":most", number(MOST_CREDITS))]);
        self.update(app, change).await.map(drop)
    }

    /// Ends the lease of a call that was made without a credit, and gives one if it succeeded.
    pub(crate) async fn end_way(
        &self,
        app: &RowKey,
        owner: &str,
        seen: &Row,
        worked: bool,
        now: Timestamp,
    ) -> Result<()> {
        let mut change = Expression::default();
        change.remove(LEASED);
        change.require("lease_owner", Some(&text(owner)));
        if worked {
            change.set("credited_at", milliseconds(now));
            if seen.credits(now).is_some() {
                change.add("credits", 1);
            } else {
                change.set("credits", number(1));
            }
        }
        self.update(app, change).await.map(drop)
    }

    /// Closes the App's way to GitHub: for all, or for one key. If it is closed for longer already, it stays so.
    pub(crate) async fn close_way(
        &self,
        app: &RowKey,
        fingerprint: Option<&str>,
        refusal: Remembered,
        seen: &Row,
        now: Timestamp,
    ) -> Result<()> {
        let mut change = match fingerprint {
            None => {
                let mut change = failing(refusal);
                require_not_failed(&mut change, NOT_FAILED_FOR_LONGER, now);
                change
            }
            Some(fingerprint) => {
                let mut keys = seen.refused_keys();
                keys.retain(|_, until| is_ahead(*until, now));
                keys.insert(fingerprint.to_owned(), refusal.until);
                let keys = keys.into_iter().map(|(key, until)| (key, milliseconds(until))).collect();
                Expression::setting([("refused_keys", AttributeValue::M(keys))])
            }
        };
        change.set("ttl", seconds(now + KEPT));
        change.remove(&["credits", "credited_at"]);
        change.remove(LEASED);
        self.update(app, change).await.map(drop)
    }

    /// Keeps the list of the App's installations, if there is room for it.
    pub(crate) async fn put_list(&self, key: &RowKey, list: Sealed, listed_at: Timestamp) -> Result<()> {
        if list.ciphertext.len() > LONGEST_LIST {
            return Ok(());
        }
        let mut change = Expression::setting([
            ("ciphertext", AttributeValue::B(Blob::new(list.ciphertext))),
            ("nonce", AttributeValue::B(Blob::new(list.nonce))),
            ("ttl", seconds(listed_at + KEPT)),
        ]);
        // Of an earlier version, which anybody who may write the table could make up.
        change.remove(&["accounts", "listed_at"]);
        self.update(key, change).await.map(drop)
    }

    /// Whether the update's condition held.
    async fn update(&self, key: &RowKey, change: Expression) -> Result<bool> {
        Ok(self.table.write(Operation::update(item_key(key), change)).await? == Written::Done)
    }
}

/// Takes a lease under [`NOT_LEASED`].
fn leasing(owner: &str, now: Timestamp) -> Expression {
    let mut change = Expression::setting([
        ("lease_owner", text(owner)),
        ("lease_until", milliseconds(now + LEASE)),
        ("ttl", seconds(now + KEPT)),
    ]);
    let times = [(":now", milliseconds(now)), (":farthest", milliseconds(now + LEASE + APART)), number_type()];
    change.require_that(NOT_LEASED, times);
    change
}

/// On condition that nothing stands against a call with this key. `:now` is given already.
fn require_open(change: &mut Expression, fingerprint: &str, now: Timestamp) {
    change.call("#key", fingerprint);
    require_not_failed(change, NOT_FAILED, now);
    change.require_that(NOT_REFUSED, []);
}

fn require_not_failed(change: &mut Expression, condition: &str, now: Timestamp) {
    change.require_that(condition, [(":longest", milliseconds(now + LONGEST_FAILURE)), number_type()]);
}

fn failing(failure: Remembered) -> Expression {
    Expression::setting([("failure", text(failure.error_type.name())), ("failure_until", milliseconds(failure.until))])
}

fn item_key(key: &RowKey) -> Item {
    Item::from([("cache_key".to_owned(), text(&key.0))])
}

fn after(at: Timestamp, duration: SignedDuration) -> Timestamp {
    at.saturating_add(duration).unwrap_or(Timestamp::MAX)
}

fn seconds(at: Timestamp) -> AttributeValue {
    AttributeValue::N(at.as_second().to_string())
}

fn milliseconds(at: Timestamp) -> AttributeValue {
    AttributeValue::N(at.as_millisecond().to_string())
}
