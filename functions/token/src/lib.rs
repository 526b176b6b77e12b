//! Mints and caches installation tokens: the only holder of the App's private key, invoked by IAM alone.
//!
//! A request is validated and bounded by the policy for the alias it came by, answered from memory, else from the `Tokens` table, else from
//! GitHub under a lease, so that hundreds of environments mint a scope once. Nothing is fetched at init and nothing is
//! left running when [`handle`] returns: Lambda freezes the process there.

mod accounts;
mod audit;
mod cache;
mod clock;
mod directory;
mod entry;
mod failure;
mod gate;
mod memory;
mod mint;
mod retire;
mod scope;
mod seal;
mod signer;
mod store;
mod subject;
mod tokens;

use std::pin::Pin;
use std::sync::Arc;

use adapters::config;
use adapters::github::{ApiUrl, Client};
use adapters::secrets::{Callers, Secret};
use domain::contract::token::Request;
use domain::policy::Profile;
use jiff::Timestamp;

use accounts::Accounts;
use audit::Audit;
use cache::Cache;
use clock::Clock;
use directory::Directory;
use gate::Gate;
use memory::Memory;
use retire::Retire;
use signer::Signers;
use store::Store;
use tokens::Tokens;

pub use audit::RequestContext;
pub use domain::contract::token::{Answer, ErrorType};
pub use domain::policy::Policy;
pub use failure::Failure;

/// What the function reads from its environment.
#[derive(Debug)]
pub struct Settings {
    /// `APP_SECRET_ID`: the secret that holds the App's key.
    pub app_secret_id: String,
    /// `TOKENS_TABLE`: the table of cached tokens.
    pub tokens_table: String,
    /// `GITHUB_API_URL`: GitHub's REST API.
    pub github_api_url: ApiUrl,
    /// `TOKEN_POLICY`: what may be asked for.
    pub policy: Policy,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// The variables that are missing, all at once, or the one that cannot be used.
    pub fn from_environment() -> adapters::Result<Self> {
        config::read(|variables| {
            let policy =
                variables.optional("TOKEN_POLICY").map(|text| Policy::parse(&text)).unwrap_or(Ok(Policy::default()));
            let policy = policy.unwrap_or_else(|reason| {
                variables.reject("TOKEN_POLICY", reason);
                Policy::default()
            });
            Self {
                app_secret_id: variables.required("APP_SECRET_ID"),
                tokens_table: variables.required("TOKENS_TABLE"),
                github_api_url: variables.github_api_url(),
                policy,
            }
        })
    }
}

/// Everything an execution environment keeps between invocations.
#[derive(Debug)]
pub struct Environment {
    tokens: Tokens,
    retire: Retire,
}

impl Environment {
    /// An environment over given clients. Nothing is fetched.
    pub fn new(
        settings: Settings,
        secrets: aws_sdk_secretsmanager::Client,
        dynamodb: aws_sdk_dynamodb::Client,
    ) -> Self {
        let secret = Secret::new(secrets, settings.app_secret_id, Callers::Authenticated);
        let signers = Arc::new(Signers::new(secret, settings.github_api_url.clone()));
        let store = Store::new(dynamodb, settings.tokens_table);
        let gate = Arc::new(Gate::new(Client::new(settings.github_api_url), store.clone()));
        let memory = Arc::new(Memory::default());
        let directory = Arc::new(Directory::new(Arc::clone(&gate), store.clone()));
        let cache = Cache::new(Arc::clone(&gate), Arc::clone(&directory), Arc::clone(&memory), store.clone());
        let accounts = Accounts::new(Arc::clone(&gate), directory);
        Self {
            tokens: Tokens { signers: Arc::clone(&signers), policy: settings.policy, accounts, cache },
            retire: Retire { signers, gate, memory, store },
        }
    }

    /// An environment by the variables of its process.
    ///
    /// # Errors
    /// [`ErrorType::NotConfigured`], naming every missing variable.
    pub fn from_environment() -> Result<Self, Failure> {
        let settings = Settings::from_environment().map_err(|error| Failure::of_configuration(&error))?;
        let sdk = adapters::aws::sdk_config();
        Ok(Self::new(settings, aws_sdk_secretsmanager::Client::new(&sdk), aws_sdk_dynamodb::Client::new(&sdk)))
    }
}

/// Answers one invocation and writes its audit record.
///
/// `now` is the clock when the invocation began; within it time is measured from there.
///
/// # Errors
/// [`Failure`], whose message says what the operator or the caller should do.
pub async fn handle(
    app: &Environment,
    request: &str,
    context: RequestContext,
    now: Timestamp,
) -> Result<Answer, Failure> {
    let clock = Clock::new(now, context.deadline);
    let profile = Profile::of_function(&context.function);
    let mut audit = Audit::default();
    let result = match Request::parse(request) {
        Ok(request) => {
            let acting = tokio::time::timeout(clock.last(), app.act(&request, &profile, clock, &mut audit)).await;
            acting.unwrap_or_else(|_| Err(Failure::out_of_time()))
        }
        Err(invalid) => Err(invalid.into()),
    };
    audit.write(&context, &profile, &result, clock);
    result
}

type Acting<'a> = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send + 'a>>;

impl Environment {
    /// Boxed, because the SDK's futures are nested so deeply that the compiler gives up on what awaits them all.
    fn act<'a>(&'a self, request: &'a Request, profile: &'a Profile, clock: Clock, audit: &'a mut Audit) -> Acting<'a> {
        match request {
            Request::Mint(scope) => Box::pin(self.tokens.answer(scope, profile, clock, audit)),
            Request::Revoke(token) => Box::pin(self.retire.revoke(token, clock, audit)),
            Request::Invalidate(sha256) => Box::pin(self.retire.invalidate(sha256, profile, clock, audit)),
        }
    }
}
