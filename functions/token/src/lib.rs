//! Mints and caches installation tokens: the only holder of the App's private key, invoked by IAM alone.
//!
//! A request is validated and bounded by the policy, answered from memory, else from the `Tokens` table, else from
//! GitHub under a lease, so that hundreds of environments mint a scope once. Nothing is fetched at init and nothing is
//! left running when [`handle`] returns: Lambda freezes the process there.

mod audit;
mod cache;
mod clock;
mod entry;
mod failure;
mod memory;
mod mint;
mod policy;
mod request;
mod retire;
mod scope;
mod seal;
mod signer;
mod store;

use std::collections::BTreeMap;
use std::pin::Pin;

use adapters::config::Variables;
use adapters::github::Client;
use adapters::secrets::{AppSecret, Secret};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};
use serde_json::Value;

use audit::Audit;
use cache::Source;
use clock::Clock;
use entry::Entry;
use memory::Memory;
use request::{Action, Request};
use scope::Scope;
use signer::Signers;
use store::Store;

pub use audit::RequestContext;
pub use failure::{ErrorType, Failure};
pub use policy::Policy;

/// What the function reads from its environment.
#[derive(Debug)]
pub struct Settings {
    /// `APP_SECRET_ID`: the secret that holds the App's key.
    pub app_secret_id: String,
    /// `TOKENS_TABLE`: the table of cached tokens.
    pub tokens_table: String,
    /// `GITHUB_API_URL`: GitHub's REST API.
    pub github_api_url: String,
    /// `TOKEN_POLICY`: what may be asked for.
    pub policy: Policy,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// The variables that are missing, all at once, or the one that cannot be used.
    pub fn from_environment() -> adapters::Result<Self> {
        let mut variables = Variables::default();
        let policy =
            variables.optional("TOKEN_POLICY").map(|text| Policy::parse(&text)).unwrap_or(Ok(Policy::default()));
        let policy = policy.unwrap_or_else(|reason| {
            variables.reject("TOKEN_POLICY", reason);
            Policy::default()
        });
        let settings = Self {
            app_secret_id: variables.required("APP_SECRET_ID"),
            tokens_table: variables.required("TOKENS_TABLE"),
            github_api_url: variables.github_api_url(),
            policy,
        };
        variables.finish().map(|()| settings)
    }
}

/// Everything an execution environment keeps between invocations.
#[derive(Debug)]
pub struct App {
    secret: Secret<AppSecret>,
    store: Store,
    github: Client,
    policy: Policy,
    signers: Signers,
    memory: Memory,
}

impl App {
    /// An app on given clients. Nothing is fetched.
    pub fn new(
        settings: Settings,
        secrets: aws_sdk_secretsmanager::Client,
        dynamodb: aws_sdk_dynamodb::Client,
    ) -> Self {
        Self {
            secret: Secret::new(secrets, settings.app_secret_id),
            store: Store::new(dynamodb, settings.tokens_table),
            github: Client::new(settings.github_api_url),
            policy: settings.policy,
            signers: Signers::default(),
            memory: Memory::default(),
        }
    }

    /// The app that the environment describes.
    ///
    /// # Errors
    /// [`ErrorType::NotConfigured`], naming every missing variable.
    pub async fn from_environment() -> Result<Self, Failure> {
        let settings = Settings::from_environment().map_err(|error| Failure::not_configured(&error))?;
        let sdk = adapters::aws::sdk_config().await;
        Ok(Self::new(settings, aws_sdk_secretsmanager::Client::new(&sdk), aws_sdk_dynamodb::Client::new(&sdk)))
    }
}

/// The answer to an invocation.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Response {
    /// A token for the scope that was asked for.
    Token(TokenResponse),
    /// The token was revoked at GitHub.
    Revoked {
        /// Always true.
        revoked: bool,
        /// Whether a cached copy was dropped.
        dropped: bool,
    },
    /// What became of a report that a token is rejected.
    Invalidated {
        /// Whether a cached copy was dropped.
        invalidated: bool,
        /// Why not.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
    },
}

/// A token and what it opens.
#[derive(Debug, Serialize)]
pub struct TokenResponse {
    /// The token; to be treated as opaque, up to 2 KB.
    #[serde(serialize_with = "expose")]
    pub token: SecretString,
    /// When GitHub stops to accept it, RFC 3339.
    pub expires_at: Timestamp,
    /// The installation it was minted for, which is another one than asked for after a reinstallation.
    pub installation_id: u64,
    /// Permission to level, as GitHub granted them.
    pub permissions: BTreeMap<String, String>,
    /// The repositories' names, if some were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repositories: Option<Vec<String>>,
    /// Whether it was minted earlier.
    pub cached: bool,
}

fn expose<S: Serializer>(token: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(token.expose_secret())
}

impl TokenResponse {
    fn new(scope: &Scope, entry: &Entry, source: Source) -> Self {
        Self {
            token: entry.token.clone(),
            expires_at: entry.expires_at,
            installation_id: scope.installation_id,
            permissions: entry.permissions.clone(),
            repositories: entry.repositories.clone(),
            cached: source != Source::GitHub,
        }
    }
}

/// Answers one invocation and writes its audit record.
///
/// `now` is the clock when the invocation began; within it time is measured from there.
///
/// # Errors
/// [`Failure`], whose message says what the operator or the caller should do.
pub async fn handle(app: &App, request: Value, context: RequestContext, now: Timestamp) -> Result<Response, Failure> {
    let clock = Clock::new(now, context.deadline);
    let mut audit = Audit::default();
    let result = match Request::parse(request) {
        Ok(request) => app.act(&request, clock, &mut audit).await,
        Err(failure) => Err(failure),
    };
    audit.write(&context, &result);
    result
}

type Acting<'a> = Pin<Box<dyn Future<Output = Result<Response, Failure>> + Send + 'a>>;

impl App {
    /// Boxed, because the SDK's futures are nested so deeply that the compiler gives up on what awaits them all.
    fn act<'a>(&'a self, request: &'a Request, clock: Clock, audit: &'a mut Audit) -> Acting<'a> {
        match &request.action {
            Action::Mint => Box::pin(self.token(&request.ask, clock, audit)),
            Action::Revoke(token) => Box::pin(self.revoke(&request.ask, token, clock, audit)),
            Action::Invalidate(sha256) => Box::pin(self.invalidate(&request.ask, sha256, clock, audit)),
        }
    }
}
