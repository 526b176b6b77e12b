//! The one place that configures the AWS SDK, and that reads its errors for a log.

use std::fmt;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_dynamodb::error::{ErrorMetadata, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::RequestId;

use crate::error::Source;

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

/// The SDK's configuration from the environment, with bounds on every call.
///
/// The SDK sets no time-out on a call by default. Three attempts of 1.2 s and the pauses between them fit below 4 s; a
/// function whose calls follow each other bounds their sum by its own deadline.
/// <https://docs.aws.amazon.com/sdk-for-rust/latest/dg/timeouts.html>
pub async fn sdk_config() -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_millis(1200))
        .operation_timeout(Duration::from_secs(4))
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(50)))
        .load()
        .await
}

/// Bounds for invoking another function and waiting for its answer: it may start cold and ask GitHub, which takes at most
/// 10 s, before it answers.
pub fn invocation_timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
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
            assert_eq!(crate::error::chain(&said), words);
            assert_eq!(format!("{said:?}"), words);
        }
    }
}
