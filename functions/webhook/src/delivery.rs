//! From untrusted bytes to a verified delivery.

use std::sync::Arc;

use adapters::secrets::{Secret, Versions, WebhookSecret};
use jiff::Timestamp;
use lambda_http::http::HeaderMap;

use crate::signature::{self, Signature};

/// What came in at the front door. Nothing in it may be believed.
#[derive(Debug)]
pub struct UnverifiedDelivery {
    /// The headers; names in any case.
    pub headers: HeaderMap,
    /// The body's bytes as GitHub sent them, or `None` when the gateway's base64 could not be decoded.
    pub body: Option<Vec<u8>>,
}

/// A delivery whose body the webhook secret signed. There is no other way to make one than [`verify`].
#[derive(Debug)]
pub struct VerifiedDelivery {
    body: Vec<u8>,
    /// The current version of the secret, whichever fitted: it names the installations that are served.
    current: Arc<WebhookSecret>,
}

/// Why a delivery is not taken.
#[derive(Debug)]
pub enum DeliveryRefusal {
    /// The signature is missing or wrong. One answer for both: which of them it was would help a forger.
    Signature,
    /// The body did not arrive in one piece.
    Encoding,
    /// The secret is not there to check against.
    Secret(adapters::Error),
}

/// Checks the signature against every version of the secret that is in service.
///
/// # Errors
/// A [`DeliveryRefusal`].
pub async fn verify(
    delivery: UnverifiedDelivery,
    secret: &Secret<WebhookSecret>,
    now: Timestamp,
) -> Result<VerifiedDelivery, DeliveryRefusal> {
    // Asked for first: a function without its secret says so to everyone, signed or not.
    let known = secret.versions(now).await.map_err(DeliveryRefusal::Secret)?;
    let body = delivery.body.ok_or(DeliveryRefusal::Encoding)?;
    let signature = delivery.headers.get(signature::HEADER).and_then(|value| Signature::parse(value.as_bytes()));
    let signature = signature.ok_or(DeliveryRefusal::Signature)?;
    let current_if_one_fits = |versions: Versions<WebhookSecret>| {
        let fits = |version: &Arc<WebhookSecret>| version.signing().any(|secret| signature.verifies(&secret, &body));
        versions.iter().any(fits).then(|| versions.into_iter().next()).flatten()
    };
    if let Some(current) = current_if_one_fits(known) {
        return Ok(VerifiedDelivery { body, current });
    }
    // It may be signed with a version that came, or went, since we looked.
    let refreshed = secret.refresh(now).await.map_err(DeliveryRefusal::Secret)?;
    match refreshed.and_then(current_if_one_fits) {
        Some(current) => Ok(VerifiedDelivery { body, current }),
        None => Err(DeliveryRefusal::Signature),
    }
}

impl VerifiedDelivery {
    /// The body's bytes.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The secret as it is now.
    pub fn current(&self) -> &Arc<WebhookSecret> {
        &self.current
    }
}
