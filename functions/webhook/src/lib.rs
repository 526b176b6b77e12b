//! The webhook: takes GitHub's signed deliveries and keeps tasks true.
//!
//! It is the one function on the internet, and reads no secret but the webhook's. It never calls GitHub: whatever needs an
//! answer from there is written down as owed, and reconcile asks. An answer is given only after the work is durable, since
//! GitHub does not deliver twice by itself.

pub mod answer;
pub mod delivery;
pub mod event;
mod gateway;
pub mod signature;

use adapters::Error;
use adapters::board::Board;
use adapters::config::Variables;
use adapters::secrets::{Secret, WebhookSecret};
use jiff::Timestamp;
use lambda_http::http::{HeaderMap, StatusCode};

use crate::answer::Answer;
use crate::delivery::{Refusal, UnverifiedDelivery};
use crate::event::Event;

pub use crate::gateway::serve;

/// What the environment says.
struct Config {
    tasks_table: String,
    pull_requests_table: String,
    webhook_secret_id: String,
}

impl Config {
    fn from_environment() -> adapters::Result<Self> {
        let mut variables = Variables::default();
        let config = Self {
            tasks_table: variables.required("TASKS_TABLE"),
            pull_requests_table: variables.required("PULL_REQUESTS_TABLE"),
            webhook_secret_id: variables.required("WEBHOOK_SECRET_ID"),
        };
        variables.finish().map(|()| config)
    }
}

/// The clients that one execution environment holds.
#[derive(Debug)]
pub struct App {
    board: Board,
    secret: Secret<WebhookSecret>,
}

impl App {
    /// An app over these tables and this secret. Nothing is read yet.
    pub fn new(board: Board, secret: Secret<WebhookSecret>) -> Self {
        Self { board, secret }
    }

    /// The app that the environment describes.
    ///
    /// # Errors
    /// [`Error::MissingVariables`] naming every one that is missing.
    pub async fn from_environment() -> adapters::Result<Self> {
        let config = Config::from_environment()?;
        let sdk = adapters::aws::sdk_config().await;
        let dynamodb = aws_sdk_dynamodb::Client::new(&sdk);
        let secrets_manager = aws_sdk_secretsmanager::Client::new(&sdk);
        Ok(Self::new(
            Board::new(dynamodb, config.tasks_table, config.pull_requests_table),
            Secret::new(secrets_manager, config.webhook_secret_id),
        ))
    }
}

/// Takes one delivery: verify, read, apply, and one line in the log.
pub async fn handle(app: &App, delivery: UnverifiedDelivery, now: Timestamp) -> Answer {
    let header = |name| text(&delivery.headers, name);
    let event = header("x-github-event");
    let id = header("x-github-delivery");
    let content_type = header("content-type");
    let (answer, action) = match delivery::verify(delivery, &app.secret, now).await {
        Err(refusal) => (refused(refusal), None),
        Ok(delivery) => {
            let serves = |installation| delivery.serves(installation);
            match event::read(delivery.body(), event.as_deref(), content_type.as_deref(), serves) {
                Err(reason) => (Answer::new(StatusCode::BAD_REQUEST, "refused", reason), None),
                Ok(Event::Ping) => (Answer::new(StatusCode::OK, "pong", None), None),
                Ok(Event::Ignored { action, reason }) => (Answer::ignored(reason), action),
                Ok(Event::PullRequest { action, facts }) => (apply(app, &facts, now).await, Some(action)),
            }
        }
    };
    log(&answer, event.as_deref(), action.as_deref(), id.as_deref());
    answer
}

/// The answer while the function lacks variables. It is given to everyone, and the log names them.
fn not_configured(error: &Error) -> Answer {
    tracing::error!(error = error.chain(), "not configured");
    let reason = "the function lacks environment variables; see its log".to_owned();
    let answer = Answer::new(StatusCode::SERVICE_UNAVAILABLE, "not_configured", reason);
    log(&answer, None, None, None);
    answer
}

/// The answer when the time was up: AWS would end the invocation without one, and without a line in the log.
fn out_of_time() -> Answer {
    let reason = "AWS took too long; reconcile will catch up, or deliver it again".to_owned();
    let answer = Answer::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", reason);
    log(&answer, None, None, None);
    answer
}

async fn apply(app: &App, facts: &domain::pull_request::Facts, now: Timestamp) -> Answer {
    let name = format!("{}#{}", facts.repository, facts.number);
    match app.board.apply(facts, now).await {
        Ok(applied) => Answer::applied(&applied, name, &facts.base),
        Err(error) => {
            tracing::error!(error = error.chain(), pull_request = name, "the delivery could not be stored");
            let reason = "it could not be stored; reconcile will catch up, or deliver it again".to_owned();
            Answer::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", reason)
        }
    }
}

/// The one place where an error becomes a status. What a vendor said is logged, never answered.
fn refused(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::Signature => Answer::new(
            StatusCode::UNAUTHORIZED,
            "refused",
            "the signature is missing or wrong; the webhook secret at GitHub and ours must be the same".to_owned(),
        ),
        Refusal::Encoding => Answer::new(StatusCode::BAD_REQUEST, "refused", "the body is not valid base64".to_owned()),
        Refusal::Secret(error @ Error::SecretNotConfigured { .. }) => {
            tracing::error!(error = error.chain(), "not configured");
            Answer::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "not_configured",
                "the GitHub App is not configured; run configure-github-app".to_owned(),
            )
        }
        Refusal::Secret(error) => {
            tracing::error!(error = error.chain(), "the webhook secret is not to be had");
            Answer::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "not_configured",
                "the webhook secret cannot be read; see the function's log".to_owned(),
            )
        }
    }
}

/// One line a delivery: what the dashboard counts and what an operator searches for.
fn log(answer: &Answer, event: Option<&str>, action: Option<&str>, delivery: Option<&str>) {
    tracing::info!(
        outcome = answer.outcome,
        status = answer.status.as_u16(),
        event = event.map(event::plain),
        action = action.map(event::plain),
        delivery = delivery.map(event::plain),
        pull_request = answer.pull_request.as_deref(),
        tasks_moved = answer.tasks_moved(),
        reason = answer.reason.as_deref(),
        "delivery"
    );
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned)
}
