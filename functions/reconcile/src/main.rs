//! The Lambda function `reconcile`: makes tasks agree with what GitHub says now.

use reconcile::{App, Config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    adapters::telemetry::init();
    let config = Config::from_env().inspect_err(|error| tracing::error!(error = error.chain(), "cannot start"))?;
    let app = App::new(config);
    reconcile::serve(&app).await
}
