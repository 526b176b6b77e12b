//! The one place that configures the AWS SDK.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};

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
