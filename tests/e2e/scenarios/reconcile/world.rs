//! A board, a GitHub and a reconcile between them, with verbs for what happens to each.
//!
//! Time is the world's own: it passes when something is done, and when a test says so.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use adapters::board::Board;
use adapters::telemetry::Invocation;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use domain::contract::reconcile::{Event, Summary};
use domain::ids::InstallationId;
use domain::served::Served;
use fake_github::{self as github, GitHub, NewPullRequest, Selection};
use jiff::{SignedDuration, Timestamp};
use local_aws::lambda::access_key_id;
use local_aws::{Call, record, sdk_config};
use reconcile::{App, Config, Pace};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stack::{Services, task_id};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::people::Place;

pub(crate) const REPOSITORY: &str = "acme/widgets";

/// The token function as the template names it to reconcile.
const TOKEN_FUNCTION: &str = "token:reconcile";

/// The role of reconcile, so that faults can be aimed at it.
pub(crate) const RECONCILE: &str = "ASIARECONCILE";

pub(crate) struct World {
    services: Services,
    pub(crate) app: App,
    pub(crate) board: Board,
    pub(crate) tokens: Arc<TokenFunction>,
    pub(crate) repository_id: u64,
    pub(crate) installation: u64,
    pub(crate) now: Timestamp,
    lambda: String,
    serving: JoinHandle<()>,
}

/// The stub holds the fake GitHub: left running, every history of thousands would stay in memory.
impl Drop for World {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Answers as the token function does, with what the fake GitHub mints.
pub(crate) struct TokenFunction {
    github: GitHub,
    installation: AtomicU64,
    held: std::sync::Mutex<std::collections::HashMap<u64, Value>>,
    /// How often it was asked to forget a token.
    pub(crate) invalidations: AtomicUsize,
    /// What it answers instead of a token: an `errorType` and its message.
    pub(crate) refuses: std::sync::Mutex<Option<(&'static str, &'static str)>>,
}

impl Deref for World {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.services
    }
}

impl Place for World {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn pass(&mut self, seconds: i64) {
        self.pass(seconds);
    }

    fn hub(&self) -> &GitHub {
        self.hub()
    }

    async fn stream(&self) {
        self.stream().await;
    }

    async fn due(&self) {
        self.due().await;
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let began = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        let services = Services::start().await;
        let github = &services.github;
        let now = began + SignedDuration::from_secs(1);
        let repository_id = github.create_repository(REPOSITORY, true);
        let installation = github.install("acme", Selection::All);
        github.set_hook("http://127.0.0.1:9/", "secret");
        let tokens = Arc::new(TokenFunction {
            github: github.clone(),
            installation: AtomicU64::new(installation),
            held: std::sync::Mutex::default(),
            invalidations: AtomicUsize::new(0),
            refuses: std::sync::Mutex::default(),
        });
        let (lambda, serving) = serve(Arc::clone(&tokens)).await;
        let board = Board::new(services.dynamodb.sdk(&access_key_id("webhook")), "Tasks", "PullRequests");
        // The webhook does so with its first signed delivery.
        board.serve(&Served::default()).await.expect("the webhook can write");
        let app = app(&services, &lambda);
        Self { services, app, board, tokens, repository_id, installation, now, lambda, serving }
    }

    /// Another execution environment of the same function.
    pub(crate) fn another_app(&self) -> App {
        app(&self.services, &self.lambda)
    }

    /// The board as reconcile reads it: what is called is held against what its role is granted.
    pub(crate) fn board_of_reconcile(&self) -> Board {
        Board::new(self.dynamodb.sdk(RECONCILE), "Tasks", "PullRequests")
    }

    pub(crate) fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// Puts a card on the board. Its id begins with `digits`, eight of them.
    pub(crate) fn task(&self, digits: &str, status: &str) -> String {
        self.put_task(digits, &json!({"title": "a card", "status": status}));
        task_id(digits)
    }

    pub(crate) fn item(&self, number: u64) -> Value {
        self.work_item(&self.repository_id.to_string(), &format!("pr#{number}")).expect("the pull request has an item")
    }

    /// The resync of the repository.
    pub(crate) fn sync(&self) -> Value {
        self.work_item(&self.repository_id.to_string(), "sync").expect("the repository has a resync")
    }

    pub(crate) fn work_item(&self, partition: &str, item: &str) -> Option<Value> {
        self.row(partition, item)
    }

    /// GitHub, where whatever is done next is stamped with the world's time.
    pub(crate) fn hub(&self) -> &GitHub {
        self.github.set_time(self.now.as_second());
        &self.github
    }

    /// Opens a pull request into `main` that touches one file.
    pub(crate) fn open(&mut self, title: &str, path: &str) -> github::Event {
        self.open_with(NewPullRequest { paths: vec![path.to_owned()], ..NewPullRequest::titled(title) })
    }

    pub(crate) fn open_with(&mut self, new: NewPullRequest) -> github::Event {
        self.pass(1);
        self.hub().open_pull_request(REPOSITORY, new)
    }

    /// Delivers an event to the webhook, past its signature.
    pub(crate) async fn deliver(&self, event: &github::Event) {
        let body = event.payload.to_string();
        let read = webhook::event::read(body.as_bytes(), Some(&event.name), None, &domain::served::Served::default())
            .expect("a readable event");
        let webhook::event::Event::PullRequest { facts, .. } = read else { panic!("not a pull request's event") };
        self.board.apply(domain::report::Report::facts(*facts), self.now).await.expect("the webhook can write");
    }

    pub(crate) async fn reconcile(&self, event: Value) -> Summary {
        self.reconcile_by(&self.app, event).await
    }

    pub(crate) async fn reconcile_by(&self, app: &App, event: Value) -> Summary {
        self.try_by(app, event).await.expect("DynamoDB works")
    }

    pub(crate) async fn try_by(&self, app: &App, event: Value) -> adapters::Result<Summary> {
        let event = Event::read(event).expect("an event of reconcile");
        reconcile::handle(app, event, &Invocation::begin("a-test"), self.now, Duration::from_secs(60)).await
    }

    /// What the stream holds for reconcile: the items whose `check` is `now`.
    pub(crate) fn stream_event(&self) -> Value {
        let asked = self.dynamodb.scan("PullRequests").into_iter().filter(|item| item["check"] == "now");
        let record = |item: Value| {
            json!({"eventName": "MODIFY", "dynamodb": {"Keys": {
                "repository_id": {"S": item["repository_id"]}, "item": {"S": item["item"]}}}})
        };
        json!({"Records": asked.map(record).collect::<Vec<_>>()})
    }

    pub(crate) async fn stream(&self) -> Summary {
        self.reconcile(self.stream_event()).await
    }

    pub(crate) async fn due(&self) -> Summary {
        self.reconcile(json!({"schedule": "due"})).await
    }

    /// What is asked right after a move of a base is asked once more a minute later.
    pub(crate) async fn once_more(&mut self) -> Summary {
        self.pass(61);
        self.due().await
    }

    /// As [`Place::owed`].
    pub(crate) fn owed(&self) -> Vec<Value> {
        Place::owed(self)
    }

    /// Lets time pass, quarter of an hour by quarter of an hour, until nothing is owed, and for one resync at least.
    pub(crate) async fn settle(&mut self) {
        for _ in 0..8 {
            self.pass(15 * 60 + 1);
            // The first run finds what is due, the installation among it; the second what the first found.
            for _ in 0..3 {
                self.due().await;
                // What a run finds is due at its own time, which on a busy machine is some seconds on.
                self.pass(20);
            }
            if self.owed().is_empty() {
                return;
            }
        }
        panic!("still owed after two hours: {:#?}", self.owed());
    }
}

fn app(Services { github, dynamodb, .. }: &Services, lambda: &str) -> App {
    let config = Config {
        tasks_table: "Tasks".to_owned(),
        pull_requests_table: "PullRequests".to_owned(),
        token_function: TOKEN_FUNCTION.to_owned(),
        github_api_url: github.url().parse().unwrap(),
    };
    let lambda = aws_sdk_lambda::Client::new(&sdk_config(lambda, RECONCILE));
    App::with_clients(config, dynamodb.sdk(RECONCILE), lambda, at_once(Pace::default()))
}

/// As many tries, and no waiting between them.
fn at_once(pace: Pace) -> Pace {
    let now = |times: Vec<Duration>| vec![Duration::ZERO; times.len()];
    Pace {
        stream: now(pace.stream),
        others: now(pace.others),
        fresh_token: now(pace.fresh_token),
        retries: now(pace.retries),
    }
}

async fn serve(function: Arc<TokenFunction>) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/2015-03-31/functions/{name}/invocations", post(invoke)).with_state(function);
    let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("the stub serves") });
    (url, serving)
}

async fn invoke(
    Shared(function): Shared<Arc<TokenFunction>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    assert_eq!(name, TOKEN_FUNCTION);
    record(&Call::caller(&headers), "lambda:InvokeFunction", TOKEN_FUNCTION);
    let request: Value = serde_json::from_slice(&body).expect("a JSON request");
    if let Some((refusal, message)) = *function.refuses.lock().unwrap() {
        let body = json!({"errorType": refusal, "errorMessage": message});
        return ([("x-amz-function-error", "Unhandled")], body.to_string()).into_response();
    }
    if request["action"] == "invalidate" {
        function.invalidations.fetch_add(1, Ordering::Relaxed);
        let rejected = |known: &Value| {
            hex::encode(Sha256::digest(known["token"].as_str().unwrap())) == request["token_sha256"].as_str().unwrap()
        };
        function.held.lock().unwrap().retain(|_, known| !rejected(known));
        return json!({"invalidated": true}).to_string().into_response();
    }
    assert_eq!(request["permissions"], json!({"contents": "read", "pull_requests": "read", "metadata": "read"}));
    let installation = request["installation_id"].as_u64().unwrap_or(function.installation.load(Ordering::Relaxed));
    let known = function.held.lock().unwrap().get(&installation).cloned();
    if let Some(mut known) = known {
        known["cached"] = json!(true);
        return known.to_string().into_response();
    }
    let answer = function.mint(installation, &request["permissions"]).await;
    if let Some(token) = answer.get("token") {
        assert!(token.is_string());
        function.held.lock().unwrap().insert(installation, answer.clone());
        return answer.to_string().into_response();
    }
    ([("x-amz-function-error", "Unhandled")], answer.to_string()).into_response()
}

impl TokenFunction {
    /// Makes another installation the default one.
    pub(crate) fn serve_by(&self, installation: u64) {
        self.installation.store(installation, Ordering::Relaxed);
    }

    /// Drops the token of an installation that GitHub does not know any more.
    pub(crate) fn forget(&self, installation: u64) {
        self.held.lock().unwrap().remove(&installation);
    }

    async fn mint(&self, installation: u64, permissions: &Value) -> Value {
        let app = self.github.app();
        let key = adapters::github::app::AppKey::from_pem(&SecretString::from(app.pem)).unwrap();
        let jwt = key.jwt(&app.client_id.parse().unwrap(), Timestamp::now(), SignedDuration::ZERO).unwrap();
        let request = adapters::github::AccessTokenRequest {
            repositories: None,
            permissions: serde_json::from_value(permissions.clone()).unwrap(),
        };
        let client = adapters::github::Client::new(self.github.url().parse().unwrap());
        match client.create_installation_access_token(&jwt, InstallationId(installation), &request).await {
            Ok(minted) => json!({
                "token": minted.token.expose_secret(),
                // Far off, because the world's clock runs ahead of this machine's.
                "expires_at": (minted.expires_at + SignedDuration::from_hours(24 * 30)).to_string(),
                "installation_id": installation,
                "cached": false,
            }),
            Err(adapters::github::Error::InstallationNotFound(_)) => {
                json!({"errorType": "InstallationNotFound", "errorMessage": "not there"})
            }
            Err(error) => json!({"errorType": "GitHubUnavailable", "errorMessage": error.to_string()}),
        }
    }
}
