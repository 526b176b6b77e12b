//! The local stack: AWS and GitHub on loopback, in one process, with the functions' real binaries between them.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test harness reads clocks and the environment, prints logs, and fails by panicking"
)]

pub mod aws;
pub mod bench;
pub mod demo;
pub mod github;
pub mod lambda;
mod loopback;
pub mod stack;
pub mod terminal;
