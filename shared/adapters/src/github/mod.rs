//! GitHub's REST and GraphQL API, and what the App proves itself with.
//!
//! [`ApiUrl`] says where it is, [`http`] builds the one HTTP client, [`Client`] sends JSON with a bearer token and turns refusals into [`Error`],
//! `api` names the endpoints, [`graphql`] asks for many things at once, [`pull_request`] reads facts out of a pull request, [`app`] holds the App's key and signs
//! JSON Web Tokens. Nothing here reads a clock, keeps a token or decides what may be asked: that is the token
//! function's.

mod api;
pub mod app;
mod client;
mod error;
pub mod graphql;
pub mod http;
pub mod pull_request;

pub use crate::host::ApiUrl;
pub use crate::redact::redact;
pub use api::{
    AccessTokenRequest, Account, App, HookConfig, HookConfigUpdate, HookDelivery, HookDeliveryDetail, HookMessage,
    Installation, InstallationRepositories, InstallationToken, NewApp, Repository, RepositorySelection,
};
pub use client::{Answer, Client};
pub use error::{Barrier, Error, Refusal};
pub use http::Bearer;
