//! The token function, as its callers invoke it.

use adapters::config::Variables;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::primitives::Blob;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use domain::contract::token::{self as contract, Request, Scope, Token};
use domain::ids::InstallationId;
use secrecy::zeroize::Zeroizing;
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
    pub(crate) installation_id: Option<InstallationId>,
}

/// A token, and the whole answer that it came in.
pub(crate) struct IssuedToken {
    pub(crate) token: Token,
    pub(crate) json: Zeroizing<Vec<u8>>,
}

/// Why there is no token.
#[derive(Debug)]
pub(crate) enum NoToken {
    /// The function's own word.
    Refused(contract::Refusal),
    /// The function was there and did not come to an answer.
    Crashed(Failure),
    /// Everything before or around it.
    Other(Failure),
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
    pub(crate) async fn token(&self, scope: &Scope) -> Result<IssuedToken, NoToken> {
        let json = self.invoke(&Request::Mint(scope.clone())).await?;
        let token: Option<Token> = serde_json::from_slice(&json).ok();
        let Some(token) = token else {
            return Err(NoToken::Other(Failure::new(format!(
                "the function {} answered with something else than a token: name the token function with --function \
                 or TOKEN_FUNCTION",
                self.name
            ))));
        };
        Ok(IssuedToken { token, json })
    }

    /// Reports that GitHub rejects the token with this SHA-256.
    pub(crate) async fn invalidate(&self, sha256: [u8; 32]) -> Result<(), NoToken> {
        self.invoke(&Request::Invalidate(sha256)).await.map(drop)
    }

    async fn invoke(&self, request: &Request) -> Result<Zeroizing<Vec<u8>>, NoToken> {
        let call = self
            .client
            .invoke()
            .function_name(&self.name)
            .client_context(&self.claims)
            .payload(Blob::new(request.to_json().to_string()));
        let answer = call.send().await.map_err(|error| NoToken::Other(self.failure(&error)))?;
        let payload = Zeroizing::new(answer.payload.map(Blob::into_inner).unwrap_or_default());
        if answer.function_error.is_none() {
            return Ok(payload);
        }
        Err(match contract::Refusal::parse(&payload) {
            Ok(refusal) => NoToken::Refused(refusal),
            Err(error_type) => NoToken::Crashed(self.broke(&error_type)),
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

impl From<NoToken> for Failure {
    fn from(refusal: NoToken) -> Self {
        match refusal {
            NoToken::Crashed(failure) | NoToken::Other(failure) => failure,
            NoToken::Refused(refusal) => {
                Self::new(format!("{}: {}", refusal.error_type.headline(), refusal.error_message))
            }
        }
    }
}
