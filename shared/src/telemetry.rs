//! Logs: one JSON object a line, with `timestamp` and `level` at the top.
//!
//! Lambda's log-level filter reads just those two, and the dashboard's metric filters read the flattened fields of the
//! one summary event that each invocation writes.
//! <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html>

use tracing_subscriber::EnvFilter;

use crate::config::Variables;

/// Starts logging to standard output. The level comes from `RUST_LOG`, else `AWS_LAMBDA_LOG_LEVEL`, else `INFO`.
///
/// A panic becomes one `ERROR` line of the same form: its text and place, never an argument.
pub fn init() {
    let mut variables = Variables::default();
    let level = variables
        .optional("RUST_LOG")
        .or_else(|| variables.optional("AWS_LAMBDA_LOG_LEVEL"))
        .unwrap_or_else(|| "info".into());
    // AWS calls its quietest level FATAL, which `tracing` does not know.
    let level = if level.eq_ignore_ascii_case("fatal") { "error".to_owned() } else { level };
    let filter = EnvFilter::try_new(level.to_ascii_lowercase()).unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter)
        .init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = panic.payload_as_str().unwrap_or("no text");
        tracing::error!(place, text, "panicked");
    }));
}
