//! The whole test suite in one binary: promises about what a user sees, kept by the real code over a real wire.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking, and its name says what it promises"
)]

mod desk;
mod kid_tag;
mod lifecycle;
mod payload;
mod signature;
