//! The token function, as its callers invoke it.

use std::collections::BTreeMap;

use adapters::config::Variables;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::primitives::Blob;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use jiff::Timestamp;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::aws::{Account, Call, Session};
use crate::failure::Failure;

/// What the template calls the function where nobody chose another name prefix.
const DEFAULT_FUNCTION: &str = "konduktor-token";

/// Which function to ask, and for which installation.
#[derive(Debug, Args)]
pub(crate) struct Function {
    /// Name or ARN of the token function, with an alias if need be [default: TOKEN_FUNCTION, else konduktor-token]
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// The installation, where it is not the one that was configured
    #[arg(long, value_name = "ID")]
    pub(crate) installation_id: Option<u64>,
}

/// What a token is asked for. What is left out is not bounded by the request.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Scope {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) repositories: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) permissions: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) installation_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) min_ttl_seconds: Option<u32>,
}

/// A token, and the whole answer that it came in.
pub(crate) struct Answer {
    pub(crate) token: SecretString,
    pub(crate) expires_at: Timestamp,
    pub(crate) json: Zeroizing<Vec<u8>>,
}

#[derive(Deserialize)]
struct Token {
    token: SecretString,
    expires_at: Timestamp,
}

/// Why there is no token.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The function's own word: its `errorType` and message.
    Function { error_type: String, message: String },
    /// Everything before or around it.
    Other(Failure),
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct FunctionError {
    error_type: String,
    error_message: String,
}

/// The function, ready to be invoked.
pub(crate) struct TokenFunction {
    client: Client,
    session: Session,
    name: String,
    /// What this caller says about itself in the function's audit record.
    claims: String,
}

impl TokenFunction {
    pub(crate) async fn connect(function: &Function, account: &Account, command: &str) -> Result<Self, Failure> {
        let name = function.function.clone().or_else(|| Variables::default().optional("TOKEN_FUNCTION"));
        Ok(Self::new(account.session().await?, name.unwrap_or_else(|| DEFAULT_FUNCTION.to_owned()), command))
    }

    pub(crate) fn new(session: Session, name: String, command: &str) -> Self {
        let custom =
            json!({"custom": {"client": crate::NAME, "version": env!("CARGO_PKG_VERSION"), "command": command}});
        let claims = BASE64_STANDARD.encode(custom.to_string());
        Self { client: Client::new(&session.config), session, name, claims }
    }

    /// A token of this scope.
    pub(crate) async fn token(&self, scope: &Scope) -> Result<Answer, Refusal> {
        let json = self.invoke(&json!(scope)).await?;
        let answer: Option<Token> = serde_json::from_slice(&json).ok();
        let Some(Token { token, expires_at }) = answer else {
            return Err(Refusal::Other(Failure::new(format!(
                "the function {} answered with something else than a token: name the token function with --function \
                 or TOKEN_FUNCTION",
                self.name
            ))));
        };
        Ok(Answer { token, expires_at, json })
    }

    /// Reports that GitHub rejects the token with this SHA-256.
    pub(crate) async fn invalidate(&self, scope: &Scope, sha256: &str) -> Result<(), Refusal> {
        let mut request = json!(scope);
        request["action"] = json!("invalidate");
        request["token_sha256"] = json!(sha256);
        self.invoke(&request).await.map(drop)
    }

    async fn invoke(&self, request: &serde_json::Value) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let call = self
            .client
            .invoke()
            .function_name(&self.name)
            .client_context(&self.claims)
            .payload(Blob::new(request.to_string()));
        let answer = call.send().await.map_err(|error| Refusal::Other(self.failure(&error)))?;
        let payload = Zeroizing::new(answer.payload.map(Blob::into_inner).unwrap_or_default());
        if answer.function_error.is_none() {
            return Ok(payload);
        }
        let FunctionError { error_type, error_message } = serde_json::from_slice(&payload).unwrap_or_default();
        Err(match explanation(&error_type) {
            Some(_) => Refusal::Function { error_type, message: error_message },
            None => Refusal::Other(self.broke(&error_type)),
        })
    }

    fn failure<E, R>(&self, error: &SdkError<E, R>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        let call = Call {
            service: "Lambda",
            action: "lambda:InvokeFunction",
            resource: &format!("function {}", self.name),
            if_missing: "name the stack's token function with --function or TOKEN_FUNCTION, and check the region",
            session: &self.session,
        };
        call.failure(error)
    }

    /// The platform's errors, such as a time-out: only the log tells more.
    fn broke(&self, error_type: &str) -> Failure {
        let name = self.name.rsplit_once("function:").map_or(self.name.as_str(), |(_, name)| name);
        let name = name.split(':').next().unwrap_or_default();
        Failure::new(format!(
            "the function {} failed ({error_type}): read its log with `aws logs tail /aws/lambda/{name} --since 10m`",
            self.name
        ))
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Other(failure) => failure,
            Refusal::Function { error_type, message } => {
                Self::new(format!("{}: {message}", explanation(&error_type).unwrap_or(&error_type)))
            }
        }
    }
}

/// Whether the function's message is that its policy allows named repositories only.
pub(crate) fn wants_repositories(message: &str) -> bool {
    message.contains("repositories has to be named")
}

/// The function's error types in words; what to do is in the message that comes with them.
pub(crate) fn explanation(error_type: &str) -> Option<&'static str> {
    Some(match error_type {
        "NotConfigured" => "the token function is not configured",
        "InvalidRequest" => "the token function does not take this request",
        "InvalidKey" => "GitHub refuses the App",
        "ClockSkew" => "GitHub refuses the token function's clock",
        "InstallationNotFound" => "the App is not installed",
        "InstallationSuspended" => "the App is suspended",
        "PermissionNotGranted" => "this is not granted",
        "RateLimited" => "GitHub's rate limit is reached",
        "GitHubUnavailable" => "GitHub gives no token",
        _ => return None,
    })
}
