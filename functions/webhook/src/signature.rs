//! The signature of a delivery.
//!
//! It covers the body and nothing else, so nothing in the headers but the signature itself is proof of anything.
//! <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// The header that carries it. `X-Hub-Signature` is SHA-1 and is not looked at.
pub const HEADER: &str = "x-hub-signature-256";

/// A well-formed signature: `sha256=` and 64 lower-case hex digits.
#[derive(Debug, Clone, Copy)]
pub struct Signature([u8; 32]);

impl Signature {
    /// Reads the header's value. Anything but the documented form is no signature.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let digits = value.strip_prefix(b"sha256=")?;
        if digits.iter().any(u8::is_ascii_uppercase) {
            return None;
        }
        let mut mac = [0; 32];
        hex::decode_to_slice(digits, &mut mac).ok()?;
        Some(Self(mac))
    }

    /// Whether `secret` signed `body`, compared in constant time: a comparison that stops early tells a forger how much of a
    /// guess was right.
    pub fn verifies(&self, secret: &SecretString, body: &[u8]) -> bool {
        // HMAC takes a key of any length, so this is never an error.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else { return false };
        mac.update(body);
        mac.verify_slice(&self.0).is_ok()
    }
}
