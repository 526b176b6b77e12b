//! The Lambda function `webhook`: `POST /api/webhooks/github`.

use webhook::{App, Config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    shared::telemetry::init();
    let config = Config::from_env().inspect_err(|error| tracing::error!(error = error.chain(), "cannot start"))?;
    let app = App::from_config(config).await;
    webhook::serve(&app).await
}
