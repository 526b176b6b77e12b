//! Webhook deliveries, as GitHub makes them.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use axum::http::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde_json::{Value, json};

use super::app::APP_ID;
use super::deliveries::{Delivery, DeliveryRecord, Event, SignedRequest, sign};
use super::github::{GitHub, Shared};
use super::state::State;

const HOOK_ID: u64 = 400_000_001;
/// GitHub counts a delivery as failed after this.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

impl GitHub {
    /// The ping GitHub sends when the App's webhook is set up.
    pub fn ping_event(&self) -> Event {
        self.state().ping_event()
    }

    /// An `installation` event (`created`, `deleted`, `suspend`...): every App gets these unasked.
    pub fn installation_event(&self, installation: u64, action: &str) -> Event {
        let state = self.state();
        let stub = |id: u64| {
            let repository = &state.repositories[&id];
            json!({"id": id, "name": repository.short_name(), "full_name": repository.full_name, "private": repository.private})
        };
        let repositories: Vec<Value> = state.repositories_of(installation).into_iter().map(stub).collect();
        let record = state.installation_json(installation);
        let sender = record["account"].clone();
        let payload = json!({"action": action, "installation": record, "repositories": repositories, "sender": sender});
        Event { name: "installation".to_owned(), payload }
    }

    /// What delivering the event would send.
    pub fn signed_request(&self, event: &Event) -> SignedRequest {
        self.state().signed_request(event, &uuid::Uuid::new_v4().to_string())
    }

    /// Delivers the event to the App's webhook, once, as GitHub does.
    ///
    /// # Panics
    /// If the webhook has no URL.
    pub async fn deliver(&self, event: &Event) -> DeliveryRecord {
        let guid = uuid::Uuid::new_v4().to_string();
        send(&self.running.shared, event, guid, false).await
    }

    /// Delivers the event, unless [`GitHub::lose_next`] was called before; so does what the App itself brings about.
    pub async fn deliver_unless_lost(&self, event: &Event) -> Option<DeliveryRecord> {
        happened(&self.running.shared, event).await
    }

    /// Makes the next delivery one that is never made.
    pub fn lose_next(&self) {
        self.state().lose_next = true;
    }

    /// Puts a delivery on record that was answered so: by API Gateway, by another server, or with status 0 by nobody.
    ///
    /// # Panics
    /// If the webhook has no URL.
    pub fn record_delivery(&self, event: &Event, status: u16, outcome: &str, body: &str) {
        let mut state = self.state();
        let url = state.hook.url.clone().expect("the App's webhook has no URL");
        let guid = uuid::Uuid::new_v4().to_string();
        let id = 12_000_000_000 + state.next_id();
        let record = DeliveryRecord { id, guid: guid.clone(), status, headers: vec![], body: body.to_owned() };
        let request = state.signed_request(event, &guid).headers;
        let delivered_at = state.now();
        state.deliveries.push(Delivery {
            record,
            event: event.clone(),
            url,
            request,
            delivered_at,
            redelivery: false,
            duration: 0.0,
            outcome: outcome.to_owned(),
        });
    }

    /// Delivers an earlier delivery again, under the same guid.
    pub async fn redeliver(&self, id: u64) -> DeliveryRecord {
        redeliver(&self.running.shared, id).await
    }
}

/// Delivers what the App itself has brought about, unless it has no webhook or this delivery is to be lost.
pub(super) async fn happened(shared: &Shared, event: &Event) -> Option<DeliveryRecord> {
    {
        let mut state = shared.state();
        if std::mem::take(&mut state.lose_next) || state.hook.url.is_none() {
            return None;
        }
    }
    Some(send(shared, event, uuid::Uuid::new_v4().to_string(), false).await)
}

pub(super) async fn ping(shared: &Shared) -> DeliveryRecord {
    let event = shared.state().ping_event();
    send(shared, &event, uuid::Uuid::new_v4().to_string(), false).await
}

pub(super) async fn redeliver(shared: &Shared, id: u64) -> DeliveryRecord {
    let earlier = shared.state().deliveries.iter().find(|delivery| delivery.record.id == id).cloned();
    let earlier = earlier.unwrap_or_else(|| panic!("no delivery {id}"));
    send(shared, &earlier.event, earlier.record.guid, true).await
}

async fn send(shared: &Shared, event: &Event, guid: String, redelivery: bool) -> DeliveryRecord {
    let (url, request, delivered_at) = {
        let state = shared.state();
        let url = state.hook.url.clone().expect("the App's webhook has no URL");
        (url, state.signed_request(event, &guid), state.now())
    };
    let started = Instant::now();
    let answer = post(&url, &request).await;
    let duration = started.elapsed().as_secs_f64();
    let (status, headers, body, outcome) = match answer {
        Ok((status, headers, body)) if (200..300).contains(&status) => (status, headers, body, "OK".to_owned()),
        Ok((status, headers, body)) => (status, headers, body, format!("Invalid HTTP Response: {status}")),
        Err(error) if error.is_timeout() => (0, vec![], String::new(), "timed out".to_owned()),
        Err(_) => (0, vec![], String::new(), "failed to connect to host".to_owned()),
    };
    let mut state = shared.state();
    let record = DeliveryRecord { id: 12_000_000_000 + state.next_id(), guid, status, headers, body };
    let event = event.clone();
    let request = request.headers;
    state.deliveries.push(Delivery {
        record: record.clone(),
        event,
        url,
        request,
        delivered_at,
        redelivery,
        duration,
        outcome,
    });
    record
}

type Received = (u16, Vec<(String, String)>, String);

async fn post(url: &str, request: &SignedRequest) -> Result<Received, reqwest::Error> {
    let mut post = sender().post(url).body(request.body.clone());
    for (name, value) in &request.headers {
        post = post.header(name, value);
    }
    let answer = post.send().await?;
    let status = answer.status().as_u16();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    Ok((status, headers, answer.text().await?))
}

/// Every name is loopback, as those below `localhost` are by RFC 6761: a local API Gateway goes by one, and a fake GitHub
/// delivers nowhere else.
struct Localhost;

impl Resolve for Localhost {
    fn resolve(&self, name: Name) -> Resolving {
        let known = name.as_str() == "localhost" || name.as_str().ends_with(".localhost");
        Box::pin(std::future::ready(if known {
            let addresses: Addrs = Box::new(std::iter::once(SocketAddr::from(([127, 0, 0, 1], 0))));
            Ok(addresses)
        } else {
            Err("this GitHub delivers to loopback only".into())
        }))
    }
}

/// One client for the process: reading the trust roots takes 20 ms. It keeps no connection, because an idle one
/// belongs to the runtime of the test that opened it.
fn sender() -> &'static reqwest::Client {
    static SENDER: OnceLock<reqwest::Client> = OnceLock::new();
    SENDER.get_or_init(|| {
        let client = reqwest::Client::builder().timeout(DELIVERY_TIMEOUT).pool_max_idle_per_host(0);
        let client = client.dns_resolver(Localhost);
        client.redirect(reqwest::redirect::Policy::none()).build().expect("an HTTP client")
    })
}

impl State {
    fn ping_event(&self) -> Event {
        let payload = json!({
            "zen": "Keep it logically awesome.",
            "hook_id": HOOK_ID,
            "hook": {
                "type": "App",
                "id": HOOK_ID,
                "name": "web",
                "active": true,
                "events": self.events,
                "config": {
                    "content_type": self.hook.content_type,
                    "insecure_ssl": self.hook.insecure_ssl,
                    "secret": "********",
                    "url": self.hook.url,
                },
                "app_id": APP_ID,
                "deliveries_url": format!("{}/app/hook/deliveries", self.url),
            },
        });
        Event { name: "ping".to_owned(), payload }
    }

    pub(super) fn installation_stub(&self, id: u64) -> Value {
        json!({"id": id, "node_id": STANDARD.encode(format!("MDIzOkludGVncmF0aW9uSW5zdGFsbGF0aW9u{id}"))})
    }

    fn signed_request(&self, event: &Event, guid: &str) -> SignedRequest {
        let text = event.payload.to_string();
        let (content_type, body) = if self.hook.content_type == "form" {
            ("application/x-www-form-urlencoded", form(&text))
        } else {
            ("application/json", text)
        };
        let mut headers = vec![
            ("Accept", "*/*".to_owned()),
            ("Content-Type", content_type.to_owned()),
            ("User-Agent", "GitHub-Hookshot/2b6d7fa".to_owned()),
            ("X-GitHub-Delivery", guid.to_owned()),
            ("X-GitHub-Event", event.name.clone()),
            ("X-GitHub-Hook-ID", HOOK_ID.to_string()),
            ("X-GitHub-Hook-Installation-Target-ID", APP_ID.to_string()),
            ("X-GitHub-Hook-Installation-Target-Type", "integration".to_owned()),
        ];
        if let Some(secret) = &self.hook.secret {
            headers.push(("X-Hub-Signature-256", sign(secret.as_bytes(), body.as_bytes())));
        }
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        SignedRequest { headers, body: body.into_bytes() }
    }
}

fn form(payload: &str) -> String {
    let url = reqwest::Url::parse_with_params("http://form", [("payload", payload)]);
    url.expect("a URL").query().unwrap_or_default().to_owned()
}
