//! The webhook: takes GitHub's signed deliveries and keeps tasks true.
//!
//! It is the one function on the internet, and reads no secret but the webhook's. It never calls GitHub: whatever needs an
//! answer from there is written down as owed, and reconcile asks. An answer is given only after the work is durable, since
//! GitHub does not deliver twice by itself.

pub mod delivery;
pub mod event;
pub mod gateway;
pub mod signature;

use std::sync::{Arc, Mutex, PoisonError};

use adapters::Error;
use adapters::board::Board;
use adapters::config;
use adapters::secrets::{Callers, Secret, WebhookSecret};
use adapters::telemetry::Invocation;
use domain::contract::webhook::{Answer, Word};
use domain::ids::DeliveryGuid;
use domain::report::{Facts, Report};
use domain::served::Served;
use jiff::Timestamp;
use lambda_http::http::{HeaderMap, StatusCode};

use crate::delivery::{DeliveryRefusal, UnverifiedDelivery};
use crate::event::Event;

pub use crate::gateway::serve;

/// What the environment says.
struct Settings {
    tasks_table: String,
    pull_requests_table: String,
    webhook_secret_id: String,
}

impl Settings {
    fn from_environment() -> adapters::Result<Self> {
        config::read(|variables| Self {
            tasks_table: variables.required("TASKS_TABLE"),
            pull_requests_table: variables.required("PULL_REQUESTS_TABLE"),
            webhook_secret_id: variables.required("WEBHOOK_SECRET_ID"),
        })
    }
}

/// The clients that one execution environment holds.
#[derive(Debug)]
pub struct Environment {
    board: Board,
    secret: Secret<WebhookSecret>,
    /// The secret whose list of installations reconcile was last told.
    told: Mutex<Option<Arc<WebhookSecret>>>,
}

impl Environment {
    /// An environment over these tables and this secret. Nothing is read yet.
    pub fn new(board: Board, secret: Secret<WebhookSecret>) -> Self {
        Self { board, secret, told: Mutex::default() }
    }

    /// What the environment variables describe.
    ///
    /// # Errors
    /// [`Error::MissingVariables`] naming every one that is missing.
    pub fn from_environment() -> adapters::Result<Self> {
        let settings = Settings::from_environment()?;
        let sdk = adapters::aws::sdk_config();
        let dynamodb = aws_sdk_dynamodb::Client::new(&sdk);
        let secrets_manager = aws_sdk_secretsmanager::Client::new(&sdk);
        Ok(Self::new(
            Board::new(dynamodb, settings.tasks_table, settings.pull_requests_table),
            Secret::new(secrets_manager, settings.webhook_secret_id, Callers::Anybody),
        ))
    }
}

/// What is answered.
#[derive(Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body.
    pub body: Answer,
}

impl Response {
    fn new(status: StatusCode, outcome: Word, reason: impl Into<Option<String>>) -> Self {
        Self { status, body: Answer::new(outcome, reason) }
    }

    fn ok(body: Answer) -> Self {
        Self { status: StatusCode::OK, body }
    }
}

/// Takes one delivery: verify, read, apply, and one line in the log.
pub async fn handle(
    app: &Environment,
    delivery: UnverifiedDelivery,
    invocation: &Invocation,
    now: Timestamp,
) -> Response {
    let header = |name| text(&delivery.headers, name);
    let event = header("x-github-event");
    let id = header("x-github-delivery").map(|id| DeliveryGuid::of_header(&id));
    let content_type = header("content-type");
    let (response, action) = match delivery::verify(delivery, &app.secret, now).await {
        Err(refusal) => (refused(refusal), None),
        Ok(delivery) => {
            let served = Served::only(delivery.current().installations.clone());
            let event = event::read(delivery.body(), event.as_deref(), content_type.as_deref(), &served);
            let (answered, ()) =
                tokio::join!(answer(app, event, id.clone(), now), tell_reconcile(app, delivery.current(), &served));
            answered
        }
    };
    log(&response, invocation, event.as_deref(), action.as_deref(), id.as_ref());
    response
}

async fn answer(
    app: &Environment,
    event: Result<Event, String>,
    id: Option<DeliveryGuid>,
    now: Timestamp,
) -> (Response, Option<String>) {
    match event {
        Err(reason) => (Response::new(StatusCode::BAD_REQUEST, Word::Refused, reason), None),
        Ok(Event::Ping) => (Response::ok(Answer::new(Word::Pong, None)), None),
        Ok(Event::Ignored { action, reason }) => (Response::ok(Answer::new(Word::Ignored, reason)), action),
        Ok(Event::PullRequest { action, facts }) => (apply(app, *facts, id, now).await, Some(action)),
    }
}

/// Tells reconcile, which cannot read the secret, which installations are served: whenever the secret was read again. So the two differ for as long
/// as a secret is kept at most.
async fn tell_reconcile(app: &Environment, secret: &Arc<WebhookSecret>, served: &Served) {
    let told = || app.told.lock().unwrap_or_else(PoisonError::into_inner);
    if told().as_ref().is_some_and(|told| Arc::ptr_eq(told, secret)) {
        return;
    }
    match app.board.serve(served).await {
        Ok(()) => *told() = Some(Arc::clone(secret)),
        Err(error) => {
            tracing::warn!(error = error.chain(), "reconcile could not be told which installations are served")
        }
    }
}

/// The answer while the function lacks variables. It is given to everyone, and the log names them.
fn not_configured(error: &Error, invocation: &Invocation) -> Response {
    tracing::error!(error = error.chain(), "not configured");
    let reason = "the function lacks environment variables; see its log".to_owned();
    let response = Response::new(StatusCode::SERVICE_UNAVAILABLE, Word::NotConfigured, reason);
    log(&response, invocation, None, None, None);
    response
}

/// The answer when the time was up: AWS would end the invocation without one, and without a line in the log.
fn out_of_time(invocation: &Invocation) -> Response {
    let reason = "AWS took too long; nothing is lost: reconcile reads it from GitHub later, or redeliver it".to_owned();
    let response = Response::new(StatusCode::INTERNAL_SERVER_ERROR, Word::Failed, reason);
    log(&response, invocation, None, None, None);
    response
}

async fn apply(app: &Environment, facts: Facts, id: Option<DeliveryGuid>, now: Timestamp) -> Response {
    let name = facts.snapshot.name();
    let base = facts.snapshot.base.clone();
    match app.board.apply(Report::facts(facts).delivered_as(id), now).await {
        Ok(applied) => Response::ok(Answer::applied(&applied, name, &base)),
        Err(error) => {
            tracing::error!(error = error.chain(), pull_request = name, "the delivery could not be stored");
            let reason =
                "it could not be stored; nothing is lost: reconcile reads it from GitHub later, or redeliver it"
                    .to_owned();
            Response::new(StatusCode::INTERNAL_SERVER_ERROR, Word::Failed, reason)
        }
    }
}

/// What a refused delivery is answered. What a vendor said is logged, never answered.
fn refused(refusal: DeliveryRefusal) -> Response {
    match refusal {
        DeliveryRefusal::Signature => Response::new(
            StatusCode::UNAUTHORIZED,
            Word::Refused,
            "the signature is missing or wrong; the webhook secret at GitHub and ours must be the same".to_owned(),
        ),
        DeliveryRefusal::Encoding => {
            Response::new(StatusCode::BAD_REQUEST, Word::Refused, "the body is not valid base64".to_owned())
        }
        DeliveryRefusal::Secret(error @ Error::SecretNotConfigured { .. }) => {
            tracing::error!(error = error.chain(), "not configured");
            Response::new(
                StatusCode::SERVICE_UNAVAILABLE,
                Word::NotConfigured,
                "the GitHub App is not configured; run `konduktor-github-app configure`".to_owned(),
            )
        }
        DeliveryRefusal::Secret(error) => {
            tracing::error!(error = error.chain(), "the webhook secret cannot be read");
            Response::new(
                StatusCode::SERVICE_UNAVAILABLE,
                Word::NotConfigured,
                "the webhook secret cannot be read; see the function's log".to_owned(),
            )
        }
    }
}

/// One line a delivery: what the dashboard counts and what an operator searches for.
fn log(
    response: &Response,
    invocation: &Invocation,
    event: Option<&str>,
    action: Option<&str>,
    delivery: Option<&DeliveryGuid>,
) {
    let answer = &response.body;
    tracing::info!(
        outcome = answer.outcome.as_str(),
        status = response.status.as_u16(),
        event = event.map(event::plain),
        action = action.map(event::plain),
        delivery = delivery.map(tracing::field::display),
        pull_request = answer.pull_request.as_deref(),
        tasks_moved = answer.tasks_moved(),
        reason = answer.reason.as_deref(),
        request_id = invocation.request_id(),
        duration_ms = invocation.duration_ms(),
        "delivery"
    );
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned)
}
