//! The Lambda function that mints and caches installation tokens.

use jiff::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::value::RawValue;
use token::{Environment, Failure, Settings, handle};

/// What `check-settings` ends with where they are refused (`EX_CONFIG`): a loader that cannot start the program ends otherwise.
const REFUSED: i32 = 78;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    // `infra/deploy` asks before it deploys: a policy that is read wrong here would refuse every caller there.
    if std::env::args_os().nth(1).is_some_and(|word| word == "check-settings") {
        check_settings();
        return Ok(());
    }
    adapters::telemetry::init();
    let app = &Environment::from_environment();
    lambda_runtime::run(service_fn(move |event| invoke(app, event))).await
}

fn check_settings() {
    if let Err(error) = Settings::from_environment() {
        eprintln!("{}", error.chain());
        std::process::exit(REFUSED);
    }
}

/// A function that lacks configuration stays up and says so to each caller, instead of failing to start.
async fn invoke(
    app: &Result<Environment, Failure>,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<token::Answer, Diagnostic> {
    #[expect(clippy::disallowed_methods, reason = "the handler's wrapper is where the clock is read")]
    let now = Timestamp::now();
    let (request, context) = event.into_parts();
    match app {
        Ok(app) => handle(app, request.get(), context.into(), now).await.map_err(Diagnostic::from),
        Err(failure) => Err(failure.clone().into()),
    }
}
