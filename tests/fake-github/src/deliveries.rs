//! Events, and the deliveries of them that GitHub keeps.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::Sha256;

/// The App's webhook as its settings page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookConfig {
    /// Where deliveries go.
    pub url: Option<String>,
    /// What signs them.
    pub secret: Option<String>,
    /// `json` or `form`.
    pub content_type: String,
    /// `"0"` or `"1"`.
    pub insecure_ssl: String,
}

/// An event before it is delivered.
#[derive(Debug, Clone)]
pub struct Event {
    /// The value of `X-GitHub-Event`.
    pub name: String,
    /// The body.
    pub payload: Value,
}

impl Event {
    /// The pull request's number.
    pub fn number(&self) -> u64 {
        self.payload["number"].as_u64().expect("a pull_request event")
    }
}

/// What one delivery sends: enough to hand it to a handler without a network.
#[derive(Debug, Clone)]
pub struct SignedRequest {
    /// Every header GitHub sets.
    pub headers: Vec<(String, String)>,
    /// The body as signed.
    pub body: Vec<u8>,
}

/// What came of a delivery.
#[derive(Debug, Clone)]
pub struct DeliveryRecord {
    /// The delivery's id in the API.
    pub id: u64,
    /// `X-GitHub-Delivery`; a redelivery repeats it.
    pub guid: String,
    /// The receiver's status; 0 if it gave none.
    pub status: u16,
    /// The receiver's headers.
    pub headers: Vec<(String, String)>,
    /// The receiver's body.
    pub body: String,
}

#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) record: DeliveryRecord,
    pub(super) event: Event,
    pub(super) url: String,
    pub(super) request: Vec<(String, String)>,
    pub(super) delivered_at: Timestamp,
    pub(super) redelivery: bool,
    pub(super) duration: f64,
    pub(super) outcome: String,
}

/// The value of `X-Hub-Signature-256` for a body.
pub fn sign(secret: &[u8], body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

impl Delivery {
    pub(super) fn summary(&self) -> Value {
        let payload = &self.event.payload;
        json!({
            "id": self.record.id,
            "guid": self.record.guid,
            "delivered_at": self.delivered_at.to_string(),
            "redelivery": self.redelivery,
            "duration": (self.duration * 100.0).round() / 100.0,
            "status": self.outcome,
            "status_code": self.record.status,
            "event": self.event.name,
            "action": payload["action"],
            "installation_id": payload["installation"]["id"],
            "repository_id": payload["repository"]["id"],
            "throttled_at": null,
        })
    }

    pub(super) fn full(&self) -> Value {
        let object = |headers: &[(String, String)]| -> Map<String, Value> {
            headers.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect()
        };
        let mut full = self.summary();
        full["url"] = json!(self.url);
        full["request"] = json!({"headers": object(&self.request), "payload": self.event.payload});
        full["response"] = json!({"headers": object(&self.record.headers), "payload": self.record.body});
        full
    }
}
