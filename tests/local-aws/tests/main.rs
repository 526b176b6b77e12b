//! The local AWS keeps AWS's rules: what the other tests rest on.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking, and its name says what it promises"
)]

mod lambda_host;
mod services;
