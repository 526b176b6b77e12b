//! The end-to-end tests in one binary: promises about what a user sees, kept by the real code over a real wire.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking, prints what it drew, and its name says what it promises"
)]

mod harness;
mod scenarios;
