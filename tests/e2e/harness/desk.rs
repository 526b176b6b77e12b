//! A board and the webhook's handler in this process, for tests that deliver a lot.

use std::ops::Deref;

use adapters::board::Board;
use adapters::secrets::{Callers, Secret};
use adapters::telemetry::Invocation;
use jiff::Timestamp;
use lambda_http::http::HeaderMap;
use local_aws::lambda::access_key_id;
use serde_json::{Value, json};
use stack::{Services, WEBHOOK_SECRET, WEBHOOK_SECRET_ID};
use webhook::delivery::UnverifiedDelivery;
use webhook::{Environment, handle};

use crate::harness::payload::{Payload, REPOSITORY_ID};

pub const TASK: &str = "4d9d444d0198c5c27f00aabbccddeeff";
pub const TAG: &str = "[kid: #4d9d444d]";
pub const NOW: i64 = 1_795_500_000;

pub struct Desk {
    services: Services,
    pub app: Environment,
}

/// What the webhook answered.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    pub json: Value,
}

impl Deref for Desk {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.services
    }
}

impl Desk {
    /// A configured webhook and no tasks.
    pub async fn start() -> Self {
        Self::with_secret(&json!({"webhook_secret": WEBHOOK_SECRET})).await
    }

    pub async fn with_secret(secret: &Value) -> Self {
        let services = Services::start().await;
        services.secrets.create(WEBHOOK_SECRET_ID, Some(secret)).await;
        let app = app(&services);
        Self { services, app }
    }

    /// A second execution environment over the same tables.
    pub fn another_app(&self) -> Environment {
        app(&self.services)
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_second(NOW).unwrap()
    }

    pub fn pull_request(&self, number: u64) -> Option<Value> {
        self.item(&format!("pr#{number}"))
    }

    pub fn item(&self, item: &str) -> Option<Value> {
        self.row(REPOSITORY_ID, item)
    }

    /// Delivers a payload as GitHub does, signed.
    pub async fn deliver(&self, payload: &Payload) -> Answered {
        self.deliver_to(&self.app, payload).await
    }

    pub async fn deliver_to(&self, app: &Environment, payload: &Payload) -> Answered {
        let body = payload.bytes();
        let signature = sign(WEBHOOK_SECRET, &body);
        self.post(app, &[("x-github-event", "pull_request"), ("x-hub-signature-256", &signature)], Some(body)).await
    }

    /// Delivers any body with any headers.
    pub async fn post(&self, app: &Environment, headers: &[(&str, &str)], body: Option<Vec<u8>>) -> Answered {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(lambda_http::http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let invocation = Invocation::begin("a-test");
        let answer = handle(app, UnverifiedDelivery { headers: map, body }, &invocation, self.now()).await;
        Answered { status: answer.status.as_u16(), json: serde_json::to_value(&answer.body).unwrap() }
    }

    /// Calls to the tables since the last count.
    pub fn table_calls(&self) -> usize {
        let calls = self.dynamodb.calls().len();
        self.dynamodb.clear_calls();
        calls
    }
}

fn app(Services { dynamodb, secrets, .. }: &Services) -> Environment {
    let key = access_key_id("webhook");
    let board = Board::new(dynamodb.sdk(&key), "Tasks", "PullRequests");
    Environment::new(board, Secret::new(secrets.sdk(&key), WEBHOOK_SECRET_ID, Callers::Anybody))
}

pub fn sign(secret: &str, body: &[u8]) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}
