//! What GitHub knows the App by: its ids and its keys.

use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

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

    /// Another one that the App does not know until it is added.
    pub fn third() -> &'static AppKey {
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

    pub(super) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
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
