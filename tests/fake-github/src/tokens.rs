//! Installation tokens, and the App's JWTs that they are minted with.

use std::collections::{BTreeMap, HashSet};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::answer::RouteResponse;
use super::app::{APP_ID, AppKey, CLIENT_ID};

/// The shape of the tokens GitHub mints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenShape {
    /// `ghs_` and 36 characters.
    Classic,
    /// `ghs_<app id>_<jwt>` of about 520 characters, since 2026-04.
    Long,
    /// The long shape at 1,500 characters.
    Huge,
}

/// An installation token as GitHub remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MintedToken {
    /// The token itself.
    pub token: String,
    /// The installation it acts for.
    pub installation: u64,
    /// Full names of the repositories it reaches now.
    pub repositories: Vec<String>,
    /// Whether it was minted without naming repositories.
    pub all_repositories: bool,
    /// Permission name to level.
    pub permissions: BTreeMap<String, String>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Whether it was revoked.
    pub revoked: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) installation: u64,
    pub(super) only: Option<Vec<u64>>,
    pub(super) permissions: BTreeMap<String, String>,
    pub(super) expires_at: Timestamp,
    pub(super) revoked: bool,
    pub(super) fresh: Option<(u16, usize)>,
}

pub(super) fn level(name: &str) -> u8 {
    match name {
        "read" => 1,
        "write" => 2,
        "admin" => 3,
        _ => 0,
    }
}

pub(super) fn allows(permissions: &BTreeMap<String, String>, name: &str, wanted: &str) -> bool {
    permissions.get(name).is_some_and(|held| level(held) >= level(wanted))
}

/// What a log may keep of a token: GitHub's audit log has the same value.
pub(super) fn token_hash(token: &str) -> String {
    STANDARD.encode(Sha256::digest(token))
}

pub(super) const UNDECODABLE: &str = "A JSON web token could not be decoded";
const NOT_ISSUED: &str =
    "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued";
const EXPIRED: &str = "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires";
const TOO_FAR: &str = "'Expiration time' claim ('exp') is too far in the future";

/// Every token that was minted, and what the next ones are like.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) keys: Vec<&'static AppKey>,
    pub(super) minted: Vec<Token>,
    pub(super) shape: TokenShape,
    /// Seconds.
    pub(super) lifetime: i64,
    /// The status that a new token is answered with at first, and how often.
    pub(super) fresh_answer: Option<(u16, usize)>,
    used_jwt_ids: HashSet<String>,
}

impl Default for Tokens {
    fn default() -> Tokens {
        Tokens {
            keys: vec![AppKey::first()],
            minted: Vec::new(),
            shape: TokenShape::Classic,
            lifetime: 3_600,
            fresh_answer: None,
            used_jwt_ids: HashSet::new(),
        }
    }
}

impl Tokens {
    pub(super) fn find(&self, text: &str) -> Option<&Token> {
        self.minted.iter().find(|token| token.text == text)
    }

    pub(super) fn find_mut(&mut self, text: &str) -> Option<&mut Token> {
        self.minted.iter_mut().find(|token| token.text == text)
    }

    /// Whether a JWT is one of the App's, and new, at this moment of GitHub's clock.
    pub(super) fn check_jwt(&mut self, jwt: &str, now: i64) -> Result<(), &'static str> {
        if self.keys.is_empty() {
            return Err("Integration must generate a public key");
        }
        let claims = self.verified_claims(jwt).ok_or(UNDECODABLE)?;
        let issuer = match &claims["iss"] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(UNDECODABLE),
        };
        if issuer != CLIENT_ID && issuer != APP_ID.to_string() {
            return Err(UNDECODABLE);
        }
        let issued = claims["iat"].as_i64().filter(|iat| *iat <= now).ok_or(NOT_ISSUED)?;
        let ends = claims["exp"].as_i64().filter(|exp| *exp > now).ok_or(EXPIRED)?;
        if ends > now + 600 || ends > issued + 600 {
            return Err(TOO_FAR);
        }
        match claims["jti"].as_str() {
            Some(id) if !self.used_jwt_ids.insert(id.to_owned()) => Err(UNDECODABLE),
            _ => Ok(()),
        }
    }

    fn verified_claims(&self, jwt: &str) -> Option<Value> {
        let (message, signature) = jwt.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        let known = self.keys.iter().any(|key| key.signed(message.as_bytes(), &signature));
        if header["alg"] != "RS256" || !known {
            return None;
        }
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }

    pub(super) fn text(&self, permissions: &BTreeMap<String, String>, installation: u64) -> String {
        let noise = |length: usize| -> String {
            let chars = std::iter::repeat_with(|| uuid::Uuid::new_v4().into_bytes()).flatten();
            let bytes: Vec<u8> = chars.take(length * 3 / 4 + 3).collect();
            URL_SAFE_NO_PAD.encode(bytes)[..length].to_owned()
        };
        let length = match self.shape {
            TokenShape::Classic => {
                let letters = uuid::Uuid::new_v4().simple().to_string();
                return format!("ghs_{letters}{:04}", self.minted.len() % 10_000);
            }
            TokenShape::Long => 520,
            TokenShape::Huge => 1_500,
        };
        let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"RS256","typ":"JWT"}"#);
        let claims = json!({"installation": installation, "permissions": permissions}).to_string();
        let start = format!("ghs_{APP_ID}_{header}.{}.", URL_SAFE_NO_PAD.encode(claims));
        let rest = noise(length - start.len() - 1);
        format!("{start}{rest}-")
    }
}

pub(super) fn is_jwt(text: &str) -> bool {
    !text.starts_with("ghs_") && text.split('.').count() == 3
}

/// An empty or missing object asks for everything the installation has, as at GitHub.
pub(super) fn granted(
    held: &BTreeMap<String, String>,
    asked: &Value,
) -> Result<BTreeMap<String, String>, RouteResponse> {
    if !asked.is_null() && !asked.is_object() {
        let text = format!("Invalid request.\n\nFor 'properties/permissions', {asked} is not an object.");
        return Err(RouteResponse::error(422, &text));
    }
    let Some(asked) = asked.as_object().filter(|asked| !asked.is_empty()) else {
        return Ok(held.clone());
    };
    let mut granted = BTreeMap::new();
    for (name, wanted) in asked {
        let wanted = wanted.as_str().filter(|wanted| level(wanted) > 0 && allows(held, name, wanted));
        let wanted = wanted.ok_or_else(|| {
            RouteResponse::error(422, "The permissions requested are not granted to this installation.")
        })?;
        granted.insert(name.clone(), wanted.to_owned());
    }
    // GitHub adds it to every token that names a repository permission.
    granted.entry("metadata".to_owned()).or_insert_with(|| "read".to_owned());
    Ok(granted)
}
