//! Takes the events of [`domain::contract::reconcile`], and logs what became of each.

use std::time::Duration;

use adapters::deadline::time_left;
use adapters::telemetry::Invocation;
use domain::contract::reconcile::{Event, Summary, Unserved};
use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;

use crate::App;

/// One line an invocation: what the metric filters count.
pub(crate) fn log(summary: &Summary, trigger: &str, invocation: &Invocation) {
    for Unserved { what, seconds, because } in &summary.unserved {
        tracing::warn!(what, seconds, because, "not served");
    }
    tracing::info!(
        trigger,
        outcome = summary.outcome.as_str(),
        reason = summary.reason.as_deref(),
        claimed = summary.claimed,
        checked = summary.checked,
        settled = summary.settled,
        deferred = summary.deferred,
        applied = summary.applied,
        conflicts_found = summary.conflicts_found,
        conflicts_cleared = summary.conflicts_cleared,
        tasks_moved = summary.tasks_moved,
        github_requests = summary.github_requests,
        pages_shrunk = summary.pages_shrunk,
        unserved_seconds = summary.unserved_seconds,
        oldest_due_seconds = summary.oldest_due_seconds,
        request_id = invocation.request_id(),
        duration_ms = invocation.duration_ms(),
        "reconcile"
    );
}

/// The time of an invocation that came without a real deadline: what the template gives.
const WITHOUT_DEADLINE: Duration = Duration::from_secs(90);

/// Takes events until Lambda ends the environment.
///
/// # Errors
/// When the Lambda Runtime API cannot be reached.
pub async fn serve(app: &App) -> Result<(), lambda_runtime::Error> {
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| async move {
        #[expect(clippy::disallowed_methods, reason = "the edge: from here on `now` is an argument")]
        let now = Timestamp::now();
        let left = time_left(event.context.deadline, now).unwrap_or(WITHOUT_DEADLINE);
        let invocation = Invocation::begin(event.context.request_id);
        let read = Event::read(event.payload).inspect_err(|error| tracing::error!("{error}"))?;
        // Boxed: unboxed, the runtime's layers around it are deeper than the compiler's limit for one type.
        let summary = Box::pin(crate::handle(app, read, &invocation, now, left)).await?;
        Ok::<_, lambda_runtime::Error>(summary)
    }))
    .await
}
