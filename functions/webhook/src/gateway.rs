//! The gateway's side: API Gateway's HTTP API event in, its response out.
//!
//! `lambda_http`'s own adapter decodes a base64 body with a panic where it is malformed, and anybody can send one. So the
//! event is taken as it comes and the body decoded here; the answer is the same for every reader.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use std::time::Duration;

use adapters::deadline::time_left;
use adapters::telemetry::Invocation;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use lambda_http::http::header::CONTENT_TYPE;
use lambda_http::http::{HeaderMap, HeaderValue};
use lambda_http::lambda_runtime::{self, LambdaEvent, service_fn};
use lambda_http::{Body, Error};
use tokio::time::timeout;

use crate::delivery::UnverifiedDelivery;
use crate::{Environment, Response};

/// What is kept of an invocation's time for its answer.
const RESERVE: Duration = Duration::from_millis(500);

/// The time of an invocation that came without a real deadline.
const WITHOUT_DEADLINE: Duration = Duration::from_secs(9);

/// Takes deliveries until Lambda ends the environment.
///
/// # Errors
/// When the Lambda Runtime API cannot be reached.
pub async fn serve(app: &adapters::Result<Environment>) -> Result<(), Error> {
    lambda_runtime::run(service_fn(|event: LambdaEvent<ApiGatewayV2httpRequest>| async move {
        #[expect(clippy::disallowed_methods, reason = "the edge: from here on `now` is an argument")]
        let now = Timestamp::now();
        let left = time_left(event.context.deadline, now).unwrap_or(WITHOUT_DEADLINE);
        let invocation = Invocation::begin(event.context.request_id);
        let answer = match app {
            // Boxed: unboxed, the runtime's layers around it are deeper than the compiler's limit for one type.
            Ok(app) => {
                let handled = Box::pin(crate::handle(app, delivery(event.payload), &invocation, now));
                let in_time = timeout(left.saturating_sub(RESERVE), handled).await;
                in_time.unwrap_or_else(|_| crate::out_of_time(&invocation))
            }
            Err(error) => crate::not_configured(error, &invocation),
        };
        response(&answer)
    }))
    .await
}

/// What the gateway's event holds of a delivery.
pub fn delivery(request: ApiGatewayV2httpRequest) -> UnverifiedDelivery {
    let body = request.body.unwrap_or_default();
    let body = if request.is_base64_encoded { BASE64_STANDARD.decode(body).ok() } else { Some(body.into_bytes()) };
    UnverifiedDelivery { headers: request.headers, body }
}

fn response(answered: &Response) -> Result<ApiGatewayV2httpResponse, Error> {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = answered.status.as_u16().into();
    response.headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    response.body = Some(Body::Text(serde_json::to_string(&answered.body)?));
    Ok(response)
}
