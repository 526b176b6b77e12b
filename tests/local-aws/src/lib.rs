//! AWS on loopback: the tables, the secrets, the stream between them, and the functions' host.
//!
//! Each service stands behind a [`Wire`], the HTTP layer that the functions talk to: it records every call and fails the
//! ones a test asked it to fail. Signatures are not verified; the access key in them only says which role is calling.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test harness reads clocks and the environment, prints logs, and fails by panicking"
)]

pub mod attribute;
pub mod cloudformation;
pub mod dynamodb;
pub mod lambda;
mod loopback;
mod needs;
mod record;
pub mod secrets;
pub mod stream;
pub mod tables;
pub mod template;
mod wire;

pub use cloudformation::{CloudFormation, StackDescription};
pub use dynamodb::DynamoDb;
pub use loopback::client;
pub use record::record;
pub use secrets::SecretsManager;
pub use stream::{Filter, Schedule, Stream};
pub use wire::{Call, Fault, Rule, Wire};

/// The region of every ARN and credential of the local stack.
pub const REGION: &str = "eu-west-1";

/// The account of every ARN of the local stack.
pub const ACCOUNT: &str = "000000000000";

/// Settings for an SDK client that calls one local endpoint as `access_key_id`.
pub fn sdk_config(endpoint: &str, access_key_id: &str) -> aws_config::SdkConfig {
    use aws_sdk_dynamodb::config::{
        BehaviorVersion, Credentials, Region, SharedCredentialsProvider, retry::RetryConfig,
    };
    let credentials = Credentials::new(access_key_id, "secret", None, None, "local");
    let millisecond = std::time::Duration::from_millis(1);
    aws_config::SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(REGION))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .retry_config(RetryConfig::standard().with_initial_backoff(millisecond).with_max_backoff(millisecond))
        .build()
}
