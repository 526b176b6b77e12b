//! A board and the webhook's handler in this process, for tests that deliver a lot.

use adapters::board::Board;
use adapters::secrets::Secret;
use jiff::Timestamp;
use lambda_http::http::HeaderMap;
use local_aws::lambda::access_key_id;
use local_aws::{DynamoDb, SecretsManager};
use serde_json::{Value, json};
use webhook::delivery::UnverifiedDelivery;
use webhook::{App, handle};

use crate::harness::payload::Payload;

pub const SECRET: &str = "It's a Secret to Everybody";
pub const TASK: &str = "4d9d444d0198c5c27f00aabbccddeeff";
pub const TAG: &str = "[kid: #4d9d444d]";
pub const NOW: i64 = 1_795_500_000;

pub struct Desk {
    pub dynamodb: DynamoDb,
    pub secrets: SecretsManager,
    pub app: App,
}

/// What the webhook answered.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    pub json: Value,
}

impl Desk {
    /// A configured webhook and no tasks.
    pub async fn start() -> Self {
        Self::with_secret(&json!({"webhook_secret": SECRET})).await
    }

    pub async fn with_secret(secret: &Value) -> Self {
        let dynamodb = DynamoDb::start().await;
        let secrets = SecretsManager::start().await;
        secrets.create("konduktor/webhook", Some(secret)).await;
        let app = app(&dynamodb, &secrets);
        Self { dynamodb, secrets, app }
    }

    /// A second execution environment over the same tables.
    pub fn another_app(&self) -> App {
        app(&self.dynamodb, &self.secrets)
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_second(NOW).unwrap()
    }

    /// Puts a task on the board, as the board writes one.
    pub fn task(&self, id: &str, status: &str) {
        let time = "2026-11-23T00:00:00Z";
        let task = json!({"prefix": id[..8], "id": id, "title": "Fix login", "status": status, "priority": "p2",
            "created_at": time, "updated_at": time});
        self.dynamodb.put("Tasks", &task);
    }

    /// The board's own write: a person or an agent moves the card.
    pub fn move_task(&self, id: &str, status: &str) {
        let mut task = self.read(id);
        task["status"] = json!(status);
        self.dynamodb.put("Tasks", &task);
    }

    pub fn read(&self, id: &str) -> Value {
        self.dynamodb.get("Tasks", &json!({"prefix": id[..8], "id": id})).expect("the task is there")
    }

    pub fn status(&self, id: &str) -> String {
        self.read(id)["status"].as_str().unwrap().to_owned()
    }

    pub fn pull_request(&self, number: u64) -> Option<Value> {
        self.item(&format!("pr#{number}"))
    }

    pub fn item(&self, item: &str) -> Option<Value> {
        let key = json!({"repository_id": crate::harness::payload::REPOSITORY_ID.to_string(), "item": item});
        self.dynamodb.get("PullRequests", &key)
    }

    /// Delivers a payload as GitHub does, signed.
    pub async fn deliver(&self, payload: &Payload) -> Answered {
        self.deliver_to(&self.app, payload).await
    }

    pub async fn deliver_to(&self, app: &App, payload: &Payload) -> Answered {
        let body = payload.bytes();
        let signature = sign(SECRET, &body);
        self.post(app, &[("x-github-event", "pull_request"), ("x-hub-signature-256", &signature)], Some(body)).await
    }

    /// Delivers any body with any headers.
    pub async fn post(&self, app: &App, headers: &[(&str, &str)], body: Option<Vec<u8>>) -> Answered {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(lambda_http::http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let answer = handle(app, UnverifiedDelivery { headers: map, body }, self.now()).await;
        Answered { status: answer.status.as_u16(), json: serde_json::to_value(&answer.body).unwrap() }
    }

    /// Calls to the tables since the last count.
    pub fn table_calls(&self) -> usize {
        let calls = self.dynamodb.calls().len();
        self.dynamodb.clear_calls();
        calls
    }
}

fn app(dynamodb: &DynamoDb, secrets: &SecretsManager) -> App {
    let key = access_key_id("webhook");
    let board = Board::new(dynamodb.sdk(&key), "Tasks", "PullRequests");
    App::new(board, Secret::new(secrets.sdk(&key), "konduktor/webhook"))
}

pub fn sign(secret: &str, body: &[u8]) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}
