//! What a verified body says.
//!
//! The event's name comes in a header that nobody signed, so the body's shape decides, and a header that says something else
//! is refused. Only the fields that are used are read: GitHub adds others all the time, and leaves some out for
//! enterprise servers. <https://docs.github.com/en/webhooks/webhook-events-and-payloads#pull_request>

use adapters::github::pull_request::{Head, Repository, User};
use domain::ids::{InstallationId, PullRequestNumber};
use domain::pull_request::{Snapshot, State};
use domain::report::{Facts, Source};
use domain::served::Served;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// What to do with a delivery.
#[derive(Debug)]
pub enum Event {
    /// GitHub asks whether we are there.
    Ping,
    /// Something happened to a pull request.
    PullRequest {
        /// The webhook's action, such as `opened`.
        action: String,
        /// What the payload says.
        facts: Box<Facts>,
    },
    /// Understood, and of no concern.
    Ignored {
        /// The webhook's action, if it has one.
        action: Option<String>,
        /// Why, for a reader of GitHub's "Recent deliveries".
        reason: String,
    },
}

/// The actions that change what we keep of a pull request.
const ACTIONS: [&str; 7] =
    ["opened", "reopened", "synchronize", "edited", "ready_for_review", "converted_to_draft", "closed"];

/// Just enough to tell what a body is.
#[derive(Deserialize)]
struct Shape {
    action: Option<String>,
    number: Option<IgnoredAny>,
    pull_request: Option<IgnoredAny>,
    zen: Option<IgnoredAny>,
    hook_id: Option<IgnoredAny>,
    installation: Option<Id>,
}

#[derive(Deserialize)]
struct Id {
    id: InstallationId,
}

#[derive(Deserialize)]
struct Payload {
    number: PullRequestNumber,
    #[serde(default)]
    changes: Option<Changes>,
    pull_request: PullRequest,
    repository: Repository,
    installation: Option<Id>,
}

/// What an `edited` event edited.
#[derive(Deserialize)]
struct Changes {
    #[serde(default)]
    title: Option<Change>,
}

#[derive(Deserialize)]
struct Change {
    from: String,
}

#[derive(Deserialize)]
struct PullRequest {
    state: PullRequestState,
    merged: bool,
    updated_at: Timestamp,
    created_at: Timestamp,
    #[serde(default)]
    merged_at: Option<Timestamp>,
    #[serde(default)]
    closed_at: Option<Timestamp>,
    /// Every pull request has one: where it is missing, an empty title would unlink the card.
    title: String,
    html_url: String,
    #[serde(default)]
    draft: Option<bool>,
    #[serde(default)]
    user: Option<User>,
    head: Head,
    base: Base,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum PullRequestState {
    Open,
    Closed,
}

#[derive(Deserialize)]
struct Base {
    #[serde(rename = "ref")]
    branch: String,
}

/// Reads a body. `name` is what the header `X-GitHub-Event` says, `content_type` what `Content-Type` says.
///
/// # Errors
/// A sentence for the reader of GitHub's "Recent deliveries" that says what to change.
pub fn read(body: &[u8], name: Option<&str>, content_type: Option<&str>, served: &Served) -> Result<Event, String> {
    if content_type.is_some_and(|kind| kind.trim_start().starts_with("application/x-www-form-urlencoded")) {
        return Err("the webhook sends a form; choose the content type application/json in the App's settings".into());
    }
    let name = name.ok_or("the header X-GitHub-Event is missing")?;
    let shape: Shape = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let is_ping = shape.zen.is_some() && shape.hook_id.is_some();
    let is_pull_request = shape.pull_request.is_some() && shape.number.is_some();
    match name {
        "ping" if is_ping => return Ok(Event::Ping),
        "pull_request" if shape.pull_request.is_some() => {}
        "ping" | "pull_request" => return Err(format!("the header says {name}, but the body is not one")),
        _ if is_ping || is_pull_request => {
            return Err(format!("the header says {name}, but the body is another event"));
        }
        _ => return Ok(ignored(shape.action, format!("{} events are not used here", plain(name)))),
    }
    let action = shape.action.ok_or("the body has no action")?;
    if !ACTIONS.contains(&action.as_str()) {
        let reason = format!("pull_request.{} changes nothing here", plain(&action));
        return Ok(ignored(Some(action), reason));
    }
    let installation = shape.installation.map(|installation| installation.id);
    if !served.serves(installation) {
        let reason = match installation {
            _ if served.is_nobody() => Served::NOBODY.to_owned(),
            Some(id) => format!("installation {id} is not one of those that this board serves"),
            None => "the delivery names no installation, and this board serves only some".to_owned(),
        };
        return Ok(ignored(Some(action), reason));
    }
    let payload: Payload = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let facts = Box::new(facts(&action, payload)?);
    Ok(Event::PullRequest { action, facts })
}

fn facts(action: &str, payload: Payload) -> Result<Facts, String> {
    let Payload { number, changes, pull_request, repository, installation } = payload;
    let state = match (pull_request.state, pull_request.merged) {
        (PullRequestState::Closed, true) => State::Merged,
        (PullRequestState::Closed, false) => State::Closed,
        (PullRequestState::Open, false) => State::Open,
        (PullRequestState::Open, true) => return Err("the pull request is both open and merged".into()),
    };
    let source = Source::Delivery {
        announces_merge: action == "closed" && state == State::Merged,
        previous_title: changes.and_then(|changes| changes.title).map(|title| title.from),
    };
    let snapshot = Snapshot {
        repository_id: repository.id,
        repository: repository.full_name,
        installation_id: installation.map(|installation| installation.id),
        number,
        title: pull_request.title,
        url: pull_request.html_url,
        fork: pull_request.head.is_fork_of(repository.id),
        head_sha: pull_request.head.sha,
        base: pull_request.base.branch,
        state,
        draft: pull_request.draft.unwrap_or(false),
        author: pull_request.user.map(|user| user.login).unwrap_or_default(),
        created_at: pull_request.created_at,
        ended_at: pull_request.merged_at.or(pull_request.closed_at).map(Timestamp::as_second),
        updated_at: pull_request.updated_at,
    };
    Ok(Facts { snapshot, source })
}

fn ignored(action: Option<String>, reason: String) -> Event {
    Event::Ignored { action, reason }
}

/// Says where, and what serde missed, but no word of the body. Should serde call a missing field otherwise one day, the place is said instead.
fn unreadable(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if let Some(field) = text.strip_prefix("missing field ") {
        return format!("the body lacks the field {}", field.split(" at ").next().unwrap_or(field));
    }
    format!("the body is not the JSON of such an event (line {}, column {})", error.line(), error.column())
}

/// A name from outside, cut to what GitHub's names look like, so that an answer and a log stay readable.
pub(crate) fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric() || "_-.".contains(*c)).take(64).collect()
}
