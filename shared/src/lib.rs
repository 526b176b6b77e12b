//! What the three functions and the command line share.
//!
//! The domain (`kid_tag`, `task`, `pull_request`, `lifecycle`) takes values and gives values: no AWS, no HTTP, no
//! clock. The adapters (`board`, `secrets`, `github`) stand at the edge and hold one concrete client each.

pub mod aws;
pub mod board;
pub mod config;
pub mod deadline;
pub mod error;
pub mod github;
pub mod kid_tag;
pub mod lifecycle;
pub mod pull_request;
pub mod secrets;
pub mod task;
pub mod telemetry;

pub use error::{Error, Result};
