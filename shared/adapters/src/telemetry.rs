//! Logs: one JSON object a line, with `timestamp` and `level` at the top.
//!
//! Lambda's log-level filter reads just those two, and the dashboard's metric filters read the flattened fields of the
//! one summary event that each invocation writes.
//! <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html>

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use crate::config::Variables;

/// The crates whose events may be logged in more detail than `INFO`.
///
/// The runtime and the SDK log whole requests at `TRACE`: bodies, signatures and tokens. Asking for more detail must never bring
/// those into a log.
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

/// AWS calls its quietest level FATAL, which `tracing` does not know.
fn level_named(name: &str) -> LevelFilter {
    if name.trim().eq_ignore_ascii_case("fatal") {
        return LevelFilter::ERROR;
    }
    name.trim().parse().unwrap_or(LevelFilter::INFO)
}
