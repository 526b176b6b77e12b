//! The one place that configures the AWS SDK.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};

/// The SDK's configuration from the environment, with bounds on every call.
///
/// The SDK sets no time-out on a call by default, and GitHub gives a delivery 10 s: three attempts of 2 s fit below
/// the webhook's own 9 s, so a table that hangs becomes an answer and not a killed invocation.
/// <https://docs.aws.amazon.com/sdk-for-rust/latest/dg/timeouts.html>
pub async fn sdk_config() -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_secs(2))
        .operation_timeout(Duration::from_secs(5))
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(3))
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
