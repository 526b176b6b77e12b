//! The edge of the functions and of the command line: DynamoDB, Secrets Manager, GitHub, the Lambda environment.
//!
//! A module that asks a vendor holds one concrete client and turns the vendor's shapes into those of [`domain`]; the others
//! (configuration, time, errors, logs) hold none. What is decided is decided in the domain.

pub mod aws;
pub mod board;
mod chain;
pub mod config;
pub mod deadline;
pub mod error;
pub mod github;
mod host;
mod http;
pub mod pause;
mod redact;
pub mod secrets;
pub mod table;
pub mod telemetry;
mod url;

pub use error::{Error, Result};
