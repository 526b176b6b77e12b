//! A stateful, strict stand-in for GitHub on loopback: REST, GraphQL, webhooks and git over HTTP.
//!
//! It refuses what GitHub refuses and, for an unknown route, answers 501 and remembers it. Pull requests follow a real
//! model of conflicts (`mergeability`), so that a test can compare what the system believes with `GitHub::truth`.
//! Left out: everything the App's permissions do not reach, and rate limits other than those asked for as faults.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test harness reads clocks and the environment, and fails by panicking"
)]

mod accounts;
mod answer;
mod app;
mod auth;
mod branches;
mod control;
mod deliveries;
mod events;
mod faults;
mod git;
mod github;
mod graphql;
mod lfs;
mod mergeability;
mod pulls;
mod repositories;
mod rest;
mod server;
mod shapes;
mod state;
mod tokens;
mod world;

pub use accounts::AccountType;
pub use app::AppKey;
pub use deliveries::{DeliveryRecord, Event, HookConfig, SignedRequest, sign};
pub use faults::{Authorization, Barred, Fault, FaultKind, LargePage, Request};
pub use github::GitHub;
pub use graphql::schema;
pub use mergeability::{PullState, StaleHead};
pub use pulls::{NewPullRequest, Truth};
pub use state::GraphqlUse;
pub use tokens::{MintedToken, TokenShape};
pub use world::{App, InstallationId, Selection};
