//! The token function in this process, for tests that ask a lot or need to say what time it is.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::atomic::{AtomicI64, Ordering};

use fake_github::Selection;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stack::{APP_SECRET_ID, Services, app_secret};
use token::{Environment, Failure, Policy, RequestContext, Settings, handle};

pub const PERMISSIONS: [(&str, &str); 5] = [
    ("administration", "admin"),
    ("contents", "write"),
    ("issues", "write"),
    ("metadata", "read"),
    ("pull_requests", "write"),
];
pub const REPOSITORIES: [&str; 4] = ["acme/app", "acme/web", "acme/issues", "acme/contents"];

/// Where tokens are asked for: GitHub, the table and the secret, and a clock that tests move.
pub struct Counter {
    services: Services,
    pub installation: u64,
    /// Shared by the environments: 200 clients that each read the trust roots would starve each other.
    clients: (aws_sdk_secretsmanager::Client, aws_sdk_dynamodb::Client),
    passed: AtomicI64,
}

impl Deref for Counter {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.services
    }
}

impl Counter {
    /// An App with [`PERMISSIONS`], installed on an account with [`REPOSITORIES`].
    pub async fn open() -> Self {
        let services = Services::start().await;
        let Services { github, dynamodb, secrets } = &services;
        github.set_permissions(&PERMISSIONS);
        for repository in REPOSITORIES {
            github.create_repository(repository, true);
        }
        let installation = github.install("acme", Selection::All);
        secrets.create(APP_SECRET_ID, Some(&app_secret(github, installation))).await;
        let clients = (secrets.sdk("ASIATOKEN"), dynamodb.sdk("ASIATOKEN"));
        Self { services, installation, clients, passed: AtomicI64::new(0) }
    }

    /// A cold execution environment.
    pub fn environment(&self) -> Environment {
        self.environment_with(Policy::default())
    }

    pub fn environment_with(&self, policy: Policy) -> Environment {
        let settings = Settings {
            app_secret_id: APP_SECRET_ID.to_owned(),
            tokens_table: self.dynamodb.names().tokens.clone(),
            github_api_url: self.github.url().parse().unwrap(),
            policy,
        };
        Environment::new(settings, self.clients.0.clone(), self.clients.1.clone())
    }

    pub async fn ask(&self, app: &Environment, request: Value) -> Result<Value, Failure> {
        self.ask_as(app, "", request).await
    }

    /// As [`Counter::ask`] of a caller who invokes an alias.
    pub async fn ask_as(&self, app: &Environment, alias: &str, request: Value) -> Result<Value, Failure> {
        let qualifier = if alias.is_empty() { String::new() } else { format!(":{alias}") };
        let function = format!("arn:aws:lambda:eu-west-1:123456789012:function:token{qualifier}");
        self.handled(app, request, RequestContext { function, ..RequestContext::default() }).await
    }

    /// As [`Counter::ask`], in an invocation that Lambda ends at this time, epoch milliseconds.
    pub async fn ask_until(&self, app: &Environment, request: Value, deadline: u64) -> Result<Value, Failure> {
        self.handled(app, request, RequestContext { deadline, ..RequestContext::default() }).await
    }

    async fn handled(&self, app: &Environment, request: Value, context: RequestContext) -> Result<Value, Failure> {
        Ok(serde_json::to_value(handle(app, &request.to_string(), context, self.now()).await?).unwrap())
    }

    /// As [`Counter::ask`] in a cold environment of its own.
    pub async fn ask_cold(&self, request: Value) -> Result<Value, Failure> {
        self.ask(&self.environment(), request).await
    }

    /// The error type of a refusal, and its message.
    pub async fn refusal(&self, app: &Environment, request: Value) -> (&'static str, String) {
        let failure = self.ask(app, request.clone()).await.expect_err(&format!("{request} is refused"));
        (failure.error_type.name(), failure.message)
    }

    /// How often a token was asked for, whatever came of it.
    pub fn asked(&self) -> usize {
        self.github.requests().iter().filter(|request| request.path.ends_with("/access_tokens")).count()
    }

    /// The items of the table that hold a token.
    pub fn cached(&self) -> Vec<Value> {
        let items = self.dynamodb.scan("Tokens").into_iter();
        items.filter(|item| item.get("token_sha256").is_some()).collect()
    }

    /// How many tokens there are.
    pub fn minted(&self) -> usize {
        self.github.minted().len()
    }

    /// Moves the environments' clock, and GitHub's with it.
    pub fn pass(&self, seconds: i64) {
        let passed = self.passed.fetch_add(seconds, Ordering::SeqCst) + seconds;
        self.github.set_clock_skew(passed);
    }

    /// The environments' time.
    pub fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the fake GitHub lives by the real clock")]
        let now = Timestamp::now();
        now + SignedDuration::from_secs(self.passed.load(Ordering::SeqCst))
    }

    /// What a token opens: repositories by full name, and permissions.
    pub fn scope_of(&self, answer: &Value) -> (BTreeSet<String>, BTreeMap<String, String>) {
        let minted = self.github.scope_of(token_of(answer)).expect("GitHub minted this token");
        (minted.repositories.into_iter().collect(), minted.permissions)
    }
}

pub fn token_of(answer: &Value) -> &str {
    answer["token"].as_str().expect("an answer with a token")
}

pub fn sha256_hex(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}

/// The report that a token is rejected.
pub fn rejected(token: &str) -> Value {
    json!({"action": "invalidate", "token_sha256": sha256_hex(token)})
}
