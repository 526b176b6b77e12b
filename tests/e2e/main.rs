//! The whole test suite in one binary: promises about what a user sees, kept by the real code over a real wire.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking, and its name says what it promises"
)]

mod agent;
mod chromium;
mod configure;
mod counter;
mod create;
mod credential;
mod desk;
mod explain;
mod fake_github;
mod github_client;
mod kid_tag;
mod lambda_host;
mod lifecycle;
mod local_aws;
mod operator;
mod payload;
mod reconcile;
mod rotate;
mod signature;
mod task_command;
mod token;
mod token_cache;
mod verify;
mod webhook;
