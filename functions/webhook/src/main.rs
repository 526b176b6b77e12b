//! The Lambda function `webhook`: `POST /api/webhooks/github`.

use webhook::App;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    adapters::telemetry::init();
    webhook::serve(&App::from_environment()).await
}
