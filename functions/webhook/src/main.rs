//! The Lambda function `webhook`: `POST /api/webhooks/github`.

use webhook::Environment;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    adapters::telemetry::init();
    webhook::serve(&Environment::from_environment()).await
}
