//! The edge of the functions and of the command line: DynamoDB, Secrets Manager, GitHub, the Lambda environment.
//!
//! Each module holds one concrete client and turns its vendor's shapes into those of [`domain`]. What is decided is decided there.

pub mod aws;
pub mod board;
pub mod config;
pub mod deadline;
pub mod error;
pub mod github;
mod http;
pub mod pause;
pub mod secrets;
pub mod table;
pub mod telemetry;

pub use error::{Error, Result};
mod url;
