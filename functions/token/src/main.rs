//! The Lambda function that mints and caches installation tokens.

use jiff::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;
use token::{App, Failure, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    adapters::telemetry::init();
    let app = &App::from_environment().await;
    lambda_runtime::run(service_fn(move |event| invoke(app, event))).await
}

/// A function that lacks configuration stays up and says so to each caller, instead of failing to start.
async fn invoke(app: &Result<App, Failure>, event: LambdaEvent<Value>) -> Result<token::Answer, Diagnostic> {
    #[expect(clippy::disallowed_methods, reason = "the handler's wrapper is where the clock is read")]
    let now = Timestamp::now();
    let (request, context) = event.into_parts();
    match app {
        Ok(app) => handle(app, request, context.into(), now).await.map_err(Diagnostic::from),
        Err(failure) => Err(failure.clone().into()),
    }
}
