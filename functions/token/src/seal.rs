//! What makes the table safe to share: a cache key nobody can make collide, and encryption bound to that key.

use std::collections::BTreeSet;
use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand;
use domain::contract::token::Permissions;
use domain::ids::{InstallationId, Issuer};
use secrecy::zeroize::Zeroizing;
use serde::Serialize;
use serde_json::json;

use crate::scope::Scope;

const INFO: &[&[u8]] = &[b"konduktor token cache v1"];

/// SHA-256 over canonical JSON of everything that a token depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CacheKey([u8; 32]);

/// Fields, sets and maps are sorted, nothing is joined by hand: two scopes share a text only if they are the same. The fingerprint keeps environments of an old and a new key apart during a rotation.
#[derive(Serialize)]
struct Canonical<'a> {
    api_url: &'a str,
    app_id: &'a Issuer,
    installation_id: InstallationId,
    repositories: &'a Option<BTreeSet<String>>,
    permissions: &'a Option<Permissions>,
    key_fingerprint: &'a str,
    profile: &'a str,
}

impl CacheKey {
    pub(crate) fn new(api_url: &str, app_id: &Issuer, fingerprint: &str, scope: &Scope) -> Self {
        let canonical = json!(Canonical {
            api_url,
            app_id,
            installation_id: scope.installation_id,
            repositories: &scope.repositories,
            permissions: &scope.permissions,
            key_fingerprint: fingerprint,
            profile: scope.profile.as_str(),
        });
        Self::of_text(&canonical.to_string())
    }

    /// What binds a thing to all that a text says: a scope's, or the name of a row.
    pub(crate) fn of_text(text: &str) -> Self {
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Self(key)
    }

    /// The key of a row by its text, as [`CacheKey::hex`] wrote it.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        hex::decode(text).ok()?.try_into().ok().map(Self)
    }

    /// The table's partition key.
    pub(crate) fn hex(&self) -> String {
        hex::encode(self.0)
    }
}

/// What the table holds of an entry.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub(crate) nonce: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
}

/// AES-256-GCM under a key that only holders of the App's private key can derive.
pub(crate) struct Seal(LessSafeKey);

impl fmt::Debug for Seal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Seal")
    }
}

impl Seal {
    pub(crate) fn derive(pkcs8_der: &[u8]) -> Result<Self, Unspecified> {
        let secret = Salt::new(HKDF_SHA256, &[]).extract(pkcs8_der);
        let key = UnboundKey::from(secret.expand(INFO, &AES_256_GCM)?);
        Ok(Self(LessSafeKey::new(key)))
    }

    /// The cache key is associated data: an item copied under another key does not open.
    pub(crate) fn seal(&self, key: &CacheKey, plain: &[u8]) -> Result<Sealed, Unspecified> {
        let mut nonce = [0; 12];
        rand::fill(&mut nonce)?;
        let mut text = Zeroizing::new(Vec::with_capacity(plain.len() + AES_256_GCM.tag_len()));
        text.extend_from_slice(plain);
        self.0.seal_in_place_append_tag(Nonce::from(&nonce), Aad::from(key.0), &mut *text)?;
        Ok(Sealed { nonce: nonce.to_vec(), ciphertext: text.to_vec() })
    }

    pub(crate) fn open(&self, key: &CacheKey, sealed: &Sealed) -> Option<Zeroizing<Vec<u8>>> {
        let nonce = Nonce::try_assume_unique_for_key(&sealed.nonce).ok()?;
        let mut text = Zeroizing::new(sealed.ciphertext.clone());
        let length = self.0.open_in_place(nonce, Aad::from(key.0), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }
}
