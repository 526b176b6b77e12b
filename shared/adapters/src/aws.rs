//! The one place that configures the AWS SDK, and that reads its errors for a log.

use std::fmt;
use std::time::Duration;

use aws_sdk_dynamodb::config::http::{HttpRequest, HttpResponse};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Credentials, IdentityCache, Region, SharedCredentialsProvider, StalledStreamProtectionConfig,
};
use aws_sdk_dynamodb::error::{ConnectorError, ErrorMetadata, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::RequestId;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use reqwest::redirect::Policy;

use crate::chain::Source;
use crate::config::Variables;

/// Codes and request ids are no longer than this, and of these characters; anything else is not one.
const LONGEST_WORD: usize = 64;

/// Why a call of AWS failed: what kind of failure it is, AWS's code and the request's id, under which CloudTrail has the rest.
///
/// Nothing of AWS's own sentences: they name ARNs, accounts, roles and tables, and whoever may invoke a function may read the end of its log
/// (`LogType=Tail`). <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#lambda-Invoke-request-LogType>
#[derive(thiserror::Error)]
#[error("{}", self.words())]
pub struct AwsError {
    kind: &'static str,
    code: Option<String>,
    request_id: Option<String>,
    refusal: Option<ErrorMetadata>,
    whole: Source,
}

impl fmt::Debug for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words())
    }
}

impl AwsError {
    /// What may be said of an error of the SDK.
    pub fn of<E: ProvideErrorMetadata, R>(error: SdkError<E, R>) -> Self
    where
        SdkError<E, R>: RequestId + Into<Source>,
    {
        let refusal = error.as_service_error().map(|refusal| refusal.meta().clone());
        let code = refusal.as_ref().and_then(ErrorMetadata::code).and_then(word);
        let request_id = error.request_id().and_then(word);
        Self { kind: kind(&error), code, request_id, refusal, whole: error.into() }
    }

    /// Whether the request itself is refused: the same one would be refused again.
    pub fn is_invalid(&self) -> bool {
        self.code.as_deref() == Some("ValidationException")
    }

    /// Whether the caller's role may not do it.
    pub fn is_denied(&self) -> bool {
        self.code.as_deref() == Some("AccessDeniedException")
    }

    /// The SDK's error, for whoever made the call with credentials of their own. No function may log it.
    pub fn whole(&self) -> &(dyn std::error::Error + 'static) {
        self.whole.as_ref()
    }

    /// What AWS refused with, if it refused. As [`Self::whole`].
    pub fn refusal(&self) -> Option<&ErrorMetadata> {
        self.refusal.as_ref()
    }

    fn words(&self) -> String {
        let code = self.code.as_ref().map(|code| format!(" {code}")).unwrap_or_default();
        let id = self.request_id.as_ref().map(|id| format!(" (request {id})")).unwrap_or_default();
        format!("{}{code}{id}", self.kind)
    }
}

fn kind<E, R>(error: &SdkError<E, R>) -> &'static str {
    match error {
        SdkError::ConstructionFailure(_) => "the request could not be made",
        SdkError::TimeoutError(_) => "no answer in time",
        SdkError::DispatchFailure(failure) if failure.is_timeout() => "no connection in time",
        SdkError::DispatchFailure(failure) if failure.is_io() => "no connection",
        SdkError::DispatchFailure(_) => "the request could not be sent: no credentials, or no connection",
        SdkError::ResponseError(_) => "the answer could not be read",
        SdkError::ServiceError(_) => "AWS refused",
        _ => "unknown failure",
    }
}

fn word(text: &str) -> Option<String> {
    let is_one =
        text.len() <= LONGEST_WORD && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    (is_one && !text.is_empty()).then(|| text.to_owned())
}

/// A connection that is not there by then will not come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The SDK's configuration from the environment, with bounds on every call.
///
/// The SDK sets no time-out on a call by default. Three attempts of 1.2 s and the pauses between them fit below 4 s; a
/// function whose calls follow each other bounds their sum by its own deadline.
/// <https://docs.aws.amazon.com/sdk-for-rust/latest/dg/timeouts.html>
///
/// Region and credentials are Lambda's own variables, which is where the SDK's provider chain finds them first; the rest of the chain (profiles,
/// roles, containers, instances) is a fifth of an executable that no Lambda comes to.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime>
pub fn sdk_config() -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_millis(1200))
        .operation_timeout(Duration::from_secs(4))
        .build();
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http_client())
        .service_config(Endpoints)
        .timeout_config(timeouts)
        // It would end an upload that stands still for 5 s: a call of a table has ended by then, and an invocation uploads a few hundred
        // bytes. Watching for it was 17 µs of a merge.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // Lambda's variables are the credentials for as long as the process lives: there is nothing to keep, or to load again.
        .identity_cache(IdentityCache::no_cache())
        .retry_config(RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(50)));
    config.set_region(Variables::default().optional("AWS_REGION").map(Region::new));
    config.set_credentials_provider(credentials().map(SharedCredentialsProvider::new));
    config.build()
}

fn credentials() -> Option<Credentials> {
    let mut variables = Variables::default();
    let id = variables.optional("AWS_ACCESS_KEY_ID")?;
    let secret = variables.optional("AWS_SECRET_ACCESS_KEY")?;
    Some(Credentials::new(id, secret, variables.optional("AWS_SESSION_TOKEN"), None, "Environment"))
}

/// The endpoint of a service where a variable names one.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>
#[derive(Debug)]
struct Endpoints;

impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let own = match key.service_id() {
            "DynamoDB" => "AWS_ENDPOINT_URL_DYNAMODB",
            "Lambda" => "AWS_ENDPOINT_URL_LAMBDA",
            "Secrets Manager" => "AWS_ENDPOINT_URL_SECRETS_MANAGER",
            _ => return None,
        };
        let mut variables = Variables::default();
        variables.optional(own).or_else(|| variables.optional("AWS_ENDPOINT_URL"))
    }
}

/// The SDK over [`crate::http`]: its own client is a second TLS stack in the same executable, with HTTP/2, which no service here speaks.
fn http_client() -> SharedHttpClient {
    // AWS redirects no call of these services: whoever answers with one is not AWS.
    let client = crate::http::builder().connect_timeout(CONNECT_TIMEOUT).redirect(Policy::none()).build();
    let connector = SharedHttpConnector::new(Connector(client.map_err(|error| error.to_string())));
    http_client_fn(move |_, _| connector.clone())
}

#[derive(Debug)]
struct Connector(Result<reqwest::Client, String>);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        match &self.0 {
            Ok(client) => HttpConnectorFuture::new(exchange(client.clone(), request)),
            Err(reason) => HttpConnectorFuture::ready(Err(ConnectorError::user(reason.as_str().into()))),
        }
    }
}

/// One request, and its answer read to the end: no call here streams.
async fn exchange(client: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let request = request.map(|body| body.bytes().unwrap_or_default().to_vec());
    let request = request.try_into().map_err(|error: reqwest::Error| ConnectorError::user(error.into()))?;
    let mut answer = client.execute(request).await.map_err(lost)?;
    let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
    let body = answer.bytes().await.map_err(lost)?;
    let mut response = HttpResponse::new(status.into(), SdkBody::from(body));
    *response.headers_mut() = headers.try_into().map_err(|error| ConnectorError::other(Source::from(error), None))?;
    Ok(response)
}

/// Either way the SDK tries again: a connection from before a freeze looks usable until it is used.
fn lost(error: reqwest::Error) -> ConnectorError {
    if error.is_timeout() { ConnectorError::timeout(error.into()) } else { ConnectorError::io(error.into()) }
}

/// Bounds for invoking another function and waiting for its answer: it may start cold and ask GitHub, which takes at most
/// 10 s, before it answers.
pub fn invocation_timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(14))
        .operation_timeout(Duration::from_secs(16))
        .build()
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::config::http::HttpResponse;
    use aws_sdk_dynamodb::error::ConnectorError;
    use aws_sdk_dynamodb::operation::get_item::GetItemError;

    use super::*;

    const CANARY: &str = "arn:aws:sts::123456789012:assumed-role/TokenRole/token on table/Tokens";

    type Failed = SdkError<GetItemError, HttpResponse>;

    fn response() -> HttpResponse {
        let mut response = HttpResponse::new(400.try_into().unwrap(), CANARY.into());
        response.headers_mut().insert("x-canary", CANARY);
        response.headers_mut().insert("x-amzn-requestid", "REQUEST-1");
        response
    }

    fn refused(code: &'static str) -> Failed {
        let meta = ErrorMetadata::builder().code(code).message(CANARY).custom("canary", CANARY).build();
        SdkError::service_error(GetItemError::generic(meta), response())
    }

    #[test]
    fn no_error_of_the_sdk_says_more_than_kind_code_and_request() {
        let cases: [(Failed, &str); 9] = [
            (SdkError::construction_failure(CANARY), "the request could not be made"),
            (SdkError::timeout_error(CANARY), "no answer in time"),
            (SdkError::dispatch_failure(ConnectorError::timeout(CANARY.into())), "no connection in time"),
            (SdkError::dispatch_failure(ConnectorError::io(CANARY.into())), "no connection"),
            (
                SdkError::dispatch_failure(ConnectorError::user(CANARY.into())),
                "the request could not be sent: no credentials, or no connection",
            ),
            (
                SdkError::dispatch_failure(ConnectorError::other(CANARY.into(), None)),
                "the request could not be sent: no credentials, or no connection",
            ),
            (SdkError::response_error(CANARY, response()), "the answer could not be read (request REQUEST-1)"),
            (refused("AccessDeniedException"), "AWS refused AccessDeniedException (request REQUEST-1)"),
            (refused(CANARY), "AWS refused (request REQUEST-1)"),
        ];
        for (error, words) in cases {
            let said = AwsError::of(error);
            assert_eq!(crate::chain::chain(&said), words);
            assert_eq!(format!("{said:?}"), words);
        }
    }
}
