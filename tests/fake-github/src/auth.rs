//! The App's keys, its JWTs and the installation tokens minted with them.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::answer::{Answer, Call, Reply};
use super::state::State;

pub(super) const APP_ID: u64 = 1_234_567;
pub(super) const CLIENT_ID: &str = "Iv23liKonduktorFake1";
pub(super) const SLUG: &str = "konduktor-fake";

/// An RSA key of the App, as GitHub would hand it out.
#[derive(Debug)]
pub struct AppKey {
    /// PKCS#1, what "Generate a private key" downloads.
    pub pem: String,
    /// The same key as PKCS#8.
    pub pkcs8_pem: String,
    /// Base64 of SHA-256 over the public key's DER, what the App's settings show.
    pub fingerprint: String,
    public: Vec<u8>,
}

impl AppKey {
    /// The key the App starts with; the same one in every fake of this process.
    pub fn first() -> &'static AppKey {
        static KEY: OnceLock<AppKey> = OnceLock::new();
        KEY.get_or_init(AppKey::generate)
    }

    /// A valid key the App does not know until it is added.
    pub fn second() -> &'static AppKey {
        static KEY: OnceLock<AppKey> = OnceLock::new();
        KEY.get_or_init(AppKey::generate)
    }

    fn generate() -> AppKey {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("generate an RSA key");
        let pkcs8: Pkcs8V1Der = pair.as_der().expect("encode the private key");
        let spki: PublicKeyX509Der = pair.public_key().as_der().expect("encode the public key");
        AppKey {
            pem: pem("RSA PRIVATE KEY", pkcs1(pkcs8.as_ref())),
            pkcs8_pem: pem("PRIVATE KEY", pkcs8.as_ref()),
            fingerprint: STANDARD.encode(Sha256::digest(spki.as_ref())),
            public: pair.public_key().as_ref().to_vec(),
        }
    }

    fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public).verify(message, signature).is_ok()
    }
}

/// PKCS#8 of a 2048-bit key is a 26-byte header in front of the PKCS#1 structure (RFC 5208).
fn pkcs1(pkcs8: &[u8]) -> &[u8] {
    &pkcs8[26..]
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

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

/// Who is asking, once the token was found to be live.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    Anonymous,
    Installation(Token),
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

const UNDECODABLE: &str = "A JSON web token could not be decoded";
const NOT_ISSUED: &str =
    "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued";
const EXPIRED: &str = "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires";
const TOO_FAR: &str = "'Expiration time' claim ('exp') is too far in the future";

impl State {
    /// Lets only the App itself pass.
    pub(super) fn require_app(&mut self, call: &Call) -> Result<(), Answer> {
        let Some(jwt) = call.bearer() else {
            return Err(Answer::error(401, UNDECODABLE));
        };
        self.check_jwt(&jwt).map_err(|text| Answer::error(401, text))
    }

    fn check_jwt(&mut self, jwt: &str) -> Result<(), &'static str> {
        if self.keys.is_empty() {
            return Err("Integration must generate a public key");
        }
        let claims = self.verified_claims(jwt).ok_or(UNDECODABLE)?;
        let now = self.now().as_second();
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

    /// Finds out who is asking; a dead token is refused, no token is an anonymous caller.
    pub(super) fn caller(&mut self, call: &Call) -> Result<Caller, Answer> {
        match call.bearer() {
            None => Ok(Caller::Anonymous),
            Some(text) if is_jwt(&text) => {
                self.check_jwt(&text).map_err(|reason| Answer::error(401, reason))?;
                Err(Answer::forbidden())
            }
            Some(text) => self.live_token(&text).map(Caller::Installation),
        }
    }

    pub(super) fn require_installation(&mut self, call: &Call) -> Result<Token, Answer> {
        match self.caller(call)? {
            Caller::Anonymous => Err(Answer::error(401, "Requires authentication")),
            Caller::Installation(token) => Ok(token),
        }
    }

    pub(super) fn live_token(&mut self, text: &str) -> Result<Token, Answer> {
        let now = self.now();
        let token = self.tokens.iter_mut().find(|token| token.text == text);
        let Some(token) = token.filter(|token| !token.revoked && token.expires_at > now) else {
            return Err(Answer::error(401, "Bad credentials"));
        };
        if let Some((status, times)) = &mut token.fresh
            && *times > 0
        {
            *times -= 1;
            let text = if *status == 401 { "Bad credentials" } else { "Resource not accessible by integration" };
            return Err(Answer::error(*status, text));
        }
        let token = token.clone();
        match self.installations.get(&token.installation) {
            None => Err(Answer::error(401, "Bad credentials")),
            Some(installation) if installation.suspended_at.is_some() => Err(Answer::suspended()),
            Some(_) => Ok(token),
        }
    }

    /// Repositories the token reaches now.
    pub(super) fn reach(&self, token: &Token) -> Vec<u64> {
        let mut ids = self.repositories_of(token.installation);
        if let Some(only) = &token.only {
            ids.retain(|id| only.contains(id));
        }
        ids
    }

    /// A public repository is readable by everyone; a private one hides behind a 404.
    pub(super) fn require_repository(&self, caller: &Caller, id: u64, permission: &str) -> Result<(), Answer> {
        let private = self.repositories[&id].private;
        match caller {
            Caller::Installation(token) if self.reach(token).contains(&id) => {
                if allows(&token.permissions, permission, "read") { Ok(()) } else { Err(Answer::forbidden()) }
            }
            _ if private => Err(Answer::not_found()),
            _ => Ok(()),
        }
    }

    pub(super) fn mint(&mut self, installation: u64, call: &Call) -> Reply {
        self.require_app(call)?;
        let Some(record) = self.installations.get(&installation) else {
            return Err(Answer::not_found());
        };
        if record.suspended_at.is_some() {
            return Err(Answer::suspended());
        }
        let asked: Value = if call.body.is_empty() { json!({}) } else { call.json()? };
        let permissions = granted(&record.permissions, &asked["permissions"])?;
        let only = self.chosen(installation, &asked)?;
        let token = Token {
            text: self.token_text(&permissions, installation),
            installation,
            only,
            permissions,
            expires_at: self.now() + jiff::SignedDuration::from_secs(self.token_lifetime),
            revoked: false,
            fresh: self.fresh_token_answer,
        };
        let answer = self.minted_json(&token);
        self.tokens.push(token);
        Ok(Answer::json(201, answer))
    }

    fn chosen(&self, installation: u64, asked: &Value) -> Result<Option<Vec<u64>>, Answer> {
        let reachable = self.repositories_of(installation);
        let names = list(asked, "repositories")?;
        let ids = list(asked, "repository_ids")?;
        if names.is_empty() && ids.is_empty() {
            return Ok(None);
        }
        let by_name = names.iter().map(|name| {
            let name = name.as_str()?.to_lowercase();
            let short = |id: &&u64| self.repositories[id].short_name().to_lowercase() == name;
            reachable.iter().find(short).copied()
        });
        let by_id = ids.iter().map(|id| id.as_u64().filter(|id| reachable.contains(id)));
        let found: Option<Vec<u64>> = by_name.chain(by_id).collect();
        match found {
            Some(mut found) if found.len() <= 500 => {
                found.sort_unstable();
                found.dedup();
                Ok(Some(found))
            }
            _ => Err(Answer::error(
                422,
                "There is at least one repository that does not exist or is not accessible to the parent installation.",
            )),
        }
    }

    fn minted_json(&self, token: &Token) -> Value {
        let everything = self.installations[&token.installation].selected.is_none() && token.only.is_none();
        let mut answer = json!({
            "token": token.text,
            "expires_at": token.expires_at.to_string(),
            "permissions": token.permissions,
            "repository_selection": if everything { "all" } else { "selected" },
        });
        if let Some(only) = &token.only {
            answer["repositories"] = only.iter().map(|id| self.repository_json(*id)).collect();
        }
        answer
    }

    fn token_text(&mut self, permissions: &BTreeMap<String, String>, installation: u64) -> String {
        let noise = |length: usize| -> String {
            let chars = std::iter::repeat_with(|| uuid::Uuid::new_v4().into_bytes()).flatten();
            let bytes: Vec<u8> = chars.take(length * 3 / 4 + 3).collect();
            URL_SAFE_NO_PAD.encode(bytes)[..length].to_owned()
        };
        let length = match self.token_shape {
            TokenShape::Classic => {
                let letters = uuid::Uuid::new_v4().simple().to_string();
                return format!("ghs_{letters}{:04}", self.tokens.len() % 10_000);
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

    pub(super) fn minted_token(&self, token: &Token) -> MintedToken {
        let reach = if self.installations.contains_key(&token.installation) { self.reach(token) } else { vec![] };
        MintedToken {
            token: token.text.clone(),
            installation: token.installation,
            repositories: reach.iter().map(|id| self.repositories[id].full_name.clone()).collect(),
            all_repositories: token.only.is_none(),
            permissions: token.permissions.clone(),
            expires_at: token.expires_at,
            revoked: token.revoked,
        }
    }
}

pub(super) fn is_jwt(text: &str) -> bool {
    !text.starts_with("ghs_") && text.split('.').count() == 3
}

/// A list of the wrong type must not pass for an empty one, which means everything.
fn list(asked: &Value, name: &str) -> Result<Vec<Value>, Answer> {
    match &asked[name] {
        Value::Null => Ok(vec![]),
        Value::Array(items) => Ok(items.clone()),
        other => {
            let text = format!("Invalid request.\n\nFor 'properties/{name}', {other} is not an array.");
            Err(Answer::error(422, &text))
        }
    }
}

/// An empty or missing object asks for everything the installation has, as at GitHub.
fn granted(held: &BTreeMap<String, String>, asked: &Value) -> Result<BTreeMap<String, String>, Answer> {
    if !asked.is_null() && !asked.is_object() {
        let text = format!("Invalid request.\n\nFor 'properties/permissions', {asked} is not an object.");
        return Err(Answer::error(422, &text));
    }
    let Some(asked) = asked.as_object().filter(|asked| !asked.is_empty()) else {
        return Ok(held.clone());
    };
    let mut granted = BTreeMap::new();
    for (name, wanted) in asked {
        let wanted = wanted.as_str().filter(|wanted| level(wanted) > 0 && allows(held, name, wanted));
        let wanted = wanted
            .ok_or_else(|| Answer::error(422, "The permissions requested are not granted to this installation."))?;
        granted.insert(name.clone(), wanted.to_owned());
    }
    // GitHub adds it to every token that names a repository permission.
    granted.entry("metadata".to_owned()).or_insert_with(|| "read".to_owned());
    Ok(granted)
}
