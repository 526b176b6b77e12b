//! Logs: one JSON object a line, with `timestamp` and `level` at the top.
//!
//! Lambda's log-level filter reads just those two, and the dashboard's metric filters read the flattened fields of the
//! one summary event that each invocation writes.
//! <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html>

use std::time::{Duration, Instant};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use crate::config::Variables;

/// The crates whose events may be logged in more detail than `INFO`.
///
/// The runtime and the SDK log whole requests at `TRACE`: bodies, signatures and tokens. Asking for more detail must never bring
/// those into a log. What is deployed has no such events of anybody's (`release_max_level_info` in the workspace's `Cargo.toml`).
const OURS: [&str; 5] = ["adapters", "domain", "reconcile", "token", "webhook"];

/// What the names of the SDK's crates begin with. Nothing of theirs is logged: their errors come back as values, of which
/// [`crate::aws::AwsError`] says what may stand in a log.
const AWS: &str = "aws_";

/// Starts logging to standard output. The level comes from `RUST_LOG`, else `AWS_LAMBDA_LOG_LEVEL`, else `INFO`; it is the
/// name of a level, not a filter.
///
/// A panic becomes one `ERROR` line of the same form that says where: its text may quote what was being read.
pub fn init() {
    let mut variables = Variables::default();
    let level = variables.optional("RUST_LOG").or_else(|| variables.optional("AWS_LAMBDA_LOG_LEVEL"));
    let level = level.map_or(LevelFilter::INFO, |name| level_named(&name));
    let ours = OURS.map(|name| (name, level));
    let filter =
        Targets::new().with_default(level.min(LevelFilter::INFO)).with_targets(ours).with_target(AWS, LevelFilter::OFF);
    let lines =
        tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
    tracing_subscriber::registry().with(lines).with(filter).init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked");
    }));
}

/// A time as the logs' `duration_ms` has it.
pub fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What the summary of an invocation says of the invocation itself.
#[derive(Debug)]
pub struct Invocation {
    request_id: String,
    began: Instant,
}

impl Invocation {
    /// One that begins now, with the id that Lambda gave it.
    pub fn begin(request_id: impl Into<String>) -> Self {
        Self { request_id: request_id.into(), began: Instant::now() }
    }

    /// Lambda's id of it, which its own `REPORT` line and CloudTrail name.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// How long it has been running.
    pub fn duration_ms(&self) -> u64 {
        milliseconds(self.began.elapsed())
    }
}

/// AWS calls its quietest level FATAL, which `tracing` does not know.
fn level_named(name: &str) -> LevelFilter {
    if name.trim().eq_ignore_ascii_case("fatal") {
        return LevelFilter::ERROR;
    }
    name.trim().parse().unwrap_or(LevelFilter::INFO)
}
