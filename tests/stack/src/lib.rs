//! The local stack: the functions as deployed, between a local AWS and a fake GitHub.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test harness reads clocks and the environment, and fails by panicking"
)]

mod services;

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::contract::reconcile::Event;
use fake_github::{GitHub, Selection};
use local_aws::lambda::{Front, Function, LambdaHost, binary};
use local_aws::stream::{Filter, Running, Schedule, Stream};
use local_aws::{CloudFormation, DynamoDb, SecretsManager, StackDescription, template};
use serde_json::{Value, json};

pub use services::{Services, task_id};

/// Where GitHub delivers to.
pub const ROUTE: &str = "POST /api/webhooks/github";
/// The name of the secret that holds the webhook's secret.
pub const WEBHOOK_SECRET_ID: &str = "konduktor/webhook";
/// The name of the secret that holds the App's id and key.
pub const APP_SECRET_ID: &str = "konduktor/app";
/// The webhook's secret in the local stack.
pub const WEBHOOK_SECRET: &str = "It's a Secret to Everybody";
/// The webhook's secret as the template generates it.
pub const GENERATED_SECRET: &str = "Nh3Q9Zk1yTq7wXcVb5RfGt2JmLp8SdA4eUoHi6KzYxWvCnBrMjDlEsFgPaQt0uOi";
/// What `infra/samconfig.toml` calls the stack.
pub const STACK: &str = "konduktor-github-app";
/// The account whose repositories the App is installed on.
pub const ACCOUNT: &str = "acme";
/// The access key of agents, who have the template's ClientPolicy.
pub const CLIENT: &str = "AKIACLIENT";
/// The access key of agents that also work the board, who have its AgentPolicy.
pub const AGENT: &str = "AKIAAGENT";
/// The access key of people, who have its OperatorPolicy.
pub const OPERATOR: &str = "AKIAOPERATOR";
/// The token function's aliases in the template.
pub const PROFILES: [&str; 4] = ["reconcile", "agents", "pushers", "inspect"];
/// The access key of agents that push, who have its PusherPolicy.
pub const PUSHER: &str = "AKIAPUSHER";
/// The access key of people who work the board, who have its BoardPolicy.
pub const BOARD: &str = "AKIABOARD";
/// The access key of people who look for a reason, who have its InspectPolicy.
pub const INSPECTOR: &str = "AKIAINSPECT";
/// A private repository with one file.
pub const REPOSITORY: &str = "acme/app";

/// The event by which reconcile reads a repository again, or every known one.
///
/// # Panics
/// If the repository is not named `owner/name`.
pub fn resync(repository: Option<&str>) -> Value {
    let repository = repository.map(|name| name.parse().expect("a repository is named owner/name"));
    Event::Resync { repository, installation_id: None }.to_json()
}

/// Everything, configured and running. It ends when dropped.
pub struct Stack {
    /// GitHub, tables and secrets; what is in there is reached as if it were here.
    pub services: Services,
    /// What the stack's outputs name.
    pub cloudformation: CloudFormation,
    /// The functions.
    pub lambda: LambdaHost,
    /// The webhook's front door.
    pub front: Front,
    /// The App's installation on [`ACCOUNT`].
    pub installation: u64,
    /// The stream of the pull requests table, to reconcile.
    pub stream: Arc<Stream>,
    /// The schedule that asks reconcile for what is due.
    pub schedule: Schedule,
    /// A client for requests that GitHub would not make.
    pub http: reqwest::Client,
}

impl Deref for Stack {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.services
    }
}

impl Stack {
    /// Starts it on ports that the system picks.
    pub async fn start() -> Self {
        Self::on_port(0).await
    }

    /// Starts it with the webhook's front door on a port, 0 for any.
    ///
    /// # Panics
    /// If the port is taken or a function cannot be built.
    pub async fn on_port(port: u16) -> Self {
        Self::with_binaries(port, binary).await
    }

    /// Starts it as `make deploy` leaves it: the webhook's secret is generated, the App's is empty, and GitHub knows of
    /// neither.
    pub async fn deployed() -> Self {
        let webhook_secret = |_| json!({"webhook_secret": GENERATED_SECRET});
        Self::with(0, binary, webhook_secret, |_, _| None).await
    }

    /// Starts it with the functions' executables from elsewhere: a benchmark, or emulation, runs the ones that are deployed.
    ///
    /// # Panics
    /// As [`Self::on_port`].
    pub async fn with_binaries(port: u16, binary: impl Fn(&str) -> PathBuf) -> Self {
        let webhook_secret = |installation| json!({"webhook_secret": WEBHOOK_SECRET, "installations": [installation]});
        let configured = |github: &GitHub, installation| Some(app_secret(github, installation));
        let stack = Self::with(port, binary, webhook_secret, configured).await;
        stack.github.set_hook(&stack.front.url(), WEBHOOK_SECRET);
        stack
    }

    async fn with(
        port: u16,
        binary: impl Fn(&str) -> PathBuf,
        webhook_secret: impl FnOnce(u64) -> Value,
        app_secret: impl FnOnce(&GitHub, u64) -> Option<Value>,
    ) -> Self {
        let services = Services::start().await;
        let Services { github, dynamodb, secrets } = &services;
        let lambda = LambdaHost::start().await;
        github.create_git_repository(REPOSITORY, &[("README.md", "# app\n")]).await;
        let installation = github.install(ACCOUNT, Selection::All);
        secrets.create(WEBHOOK_SECRET_ID, Some(&webhook_secret(installation))).await;
        secrets.create(APP_SECRET_ID, app_secret(github, installation).as_ref()).await;
        for function in functions(github, dynamodb, secrets, &lambda, binary) {
            lambda.add(function);
        }
        let front = lambda.front_on(port, "webhook", ROUTE).await;
        let cloudformation = CloudFormation::start().await;
        cloudformation.put(STACK, description(github, dynamodb, &front));
        let filter = Filter::new(stream_patterns());
        let stream = Stream::new(dynamodb, &dynamodb.names().pull_requests, &lambda, "reconcile", filter);
        let schedule = Schedule::new(&lambda, "reconcile", Event::Due { shard: None }.to_json());
        Self {
            services,
            cloudformation,
            lambda,
            front,
            installation,
            stream: Arc::new(stream),
            schedule,
            http: local_aws::client(),
        }
    }

    /// Lets the stream and the schedule run by themselves, as they do when deployed, until the answer is dropped.
    pub fn spawn_triggers(&self) -> [Running; 2] {
        let stream = Arc::clone(&self.stream).spawn(Duration::from_secs(2));
        let schedule = Schedule::new(&self.lambda, "reconcile", Event::Due { shard: None }.to_json());
        [stream, schedule.spawn(Duration::from_secs(60))]
    }

    /// What another process needs to talk to the stack.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let names = self.dynamodb.names();
        let app = self.github.app();
        let mut environment = service_endpoints(&self.dynamodb, &self.secrets, &self.lambda);
        environment.extend([
            ("AWS_ENDPOINT_URL_CLOUDFORMATION", self.cloudformation.url()),
            ("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", self.lambda.url()),
            ("AWS_REGION", local_aws::REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", "local".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
            ("TASKS_TABLE", names.tasks.clone()),
            ("PULL_REQUESTS_TABLE", names.pull_requests.clone()),
            ("TOKENS_TABLE", names.tokens.clone()),
            ("WEBHOOK_SECRET_ID", WEBHOOK_SECRET_ID.to_owned()),
            ("APP_SECRET_ID", APP_SECRET_ID.to_owned()),
            ("TOKEN_FUNCTION", "token".to_owned()),
            ("GITHUB_API_URL", self.github.url()),
            ("WEBHOOK_URL", self.front.url()),
            ("WEBHOOK_SECRET", WEBHOOK_SECRET.to_owned()),
            ("APP_ID", app.id.to_string()),
            ("INSTALLATION_ID", self.installation.to_string()),
        ]);
        environment
    }
}

/// The template's outputs and parameters.
fn description(github: &GitHub, dynamodb: &DynamoDb, front: &Front) -> StackDescription {
    let names = dynamodb.names();
    let outputs = [
        ("WebhookUrl", front.url()),
        ("WebhookFunction", "webhook".to_owned()),
        ("ReconcileFunction", "reconcile".to_owned()),
        ("TokenFunction", "token".to_owned()),
        ("InspectTokens", "token:inspect".to_owned()),
        ("TasksTable", names.tasks.clone()),
        ("PullRequestsTable", names.pull_requests.clone()),
        ("TokensTable", names.tokens.clone()),
        ("WebhookSecret", WEBHOOK_SECRET_ID.to_owned()),
        ("AppSecret", APP_SECRET_ID.to_owned()),
        ("GitCredentialHelper", "git config --global …".to_owned()),
    ];
    let owned =
        |pairs: &[(&str, String)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    StackDescription {
        status: "CREATE_COMPLETE".to_owned(),
        parameters: owned(&[("GitHubApiUrl", github.url())]),
        outputs: owned(&outputs),
    }
}

/// What the App's secret holds once it is configured.
pub fn app_secret(github: &GitHub, installation: u64) -> Value {
    let app = github.app();
    json!({"app_id": app.id, "client_id": app.client_id, "installation_id": installation, "private_key": app.pem})
}

/// The functions with just the variables that each reads.
pub fn functions(
    github: &GitHub,
    dynamodb: &DynamoDb,
    secrets: &SecretsManager,
    lambda: &LambdaHost,
    binary: impl Fn(&str) -> PathBuf,
) -> Vec<Function> {
    let names = dynamodb.names();
    let webhook = [
        ("TASKS_TABLE", names.tasks.clone()),
        ("PULL_REQUESTS_TABLE", names.pull_requests.clone()),
        ("WEBHOOK_SECRET_ID", WEBHOOK_SECRET_ID.to_owned()),
    ];
    let token = [
        ("APP_SECRET_ID", APP_SECRET_ID.to_owned()),
        ("TOKENS_TABLE", names.tokens.clone()),
        ("GITHUB_API_URL", github.url()),
    ];
    let reconcile = [
        ("TASKS_TABLE", names.tasks.clone()),
        ("PULL_REQUESTS_TABLE", names.pull_requests.clone()),
        ("TOKEN_FUNCTION", "token:reconcile".to_owned()),
        ("GITHUB_API_URL", github.url()),
    ];
    [
        ("webhook", "WebhookFunction", webhook.to_vec()),
        ("reconcile", "ReconcileFunction", reconcile.to_vec()),
        ("token", "TokenFunction", token.to_vec()),
    ]
    .into_iter()
    .map(|(name, resource, variables)| {
        let endpoints = service_endpoints(dynamodb, secrets, lambda);
        let all = variables.into_iter().chain(endpoints);
        let function = Function::new(name, binary(name)).timeout(timeout(resource));
        let function = all.fold(function, |function, (key, value)| function.variable(key, value));
        let aliases = if name == "token" { &PROFILES[..] } else { &[] };
        aliases.iter().fold(function, |function, alias| function.alias(alias, []))
    })
    .collect()
}

fn service_endpoints(
    dynamodb: &DynamoDb,
    secrets: &SecretsManager,
    lambda: &LambdaHost,
) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url()),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.url()),
        ("AWS_ENDPOINT_URL_LAMBDA", lambda.url()),
    ]
}

/// The template's time-out of a function.
fn timeout(resource: &str) -> Duration {
    let seconds = template::properties(resource)["Timeout"].as_u64();
    Duration::from_secs(seconds.expect("every function of the template has a time-out"))
}

/// What the template hands to reconcile of the table's stream.
fn stream_patterns() -> Vec<Value> {
    let filters = template::properties("ReconcileStream")["FilterCriteria"]["Filters"].as_array();
    let patterns = filters.expect("the stream is filtered").iter().filter_map(|filter| filter["Pattern"].as_str());
    patterns.map(|pattern| serde_json::from_str(pattern).expect("a pattern is JSON")).collect()
}
