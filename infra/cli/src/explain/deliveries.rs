//! GitHub's recent deliveries about a pull request, and what the webhook answered.
//!
//! The list does not say which pull request a delivery is about, so each candidate has to be read; how many are is
//! bounded.

use adapters::github::pull_request::Repository;
use adapters::github::{HookDelivery, HookDeliveryDetail};
use domain::contract::webhook::Answer;
use domain::ids::{DeliveryGuid, HookDeliveryId, PullRequestNumber, RepositoryId, RepositoryName};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::github_app::GitHubApp;

/// How many deliveries are listed: ten pages.
const MOST_LISTED: usize = 1000;

/// How many of them are read whole, 20 to 30 KB each.
const MOST_READ: usize = 30;

const READS_AT_ONCE: usize = 5;

/// The deliveries that were looked for.
#[derive(Debug, Serialize)]
pub(super) struct Deliveries {
    /// The newest first.
    pub(super) about: Vec<Delivery>,
    pub(super) listed: usize,
    pub(super) read: usize,
    /// Whether every delivery that GitHub still has on record was looked at, which are those of 3 days.
    pub(super) complete: bool,
}

/// One attempt.
#[derive(Debug, Serialize)]
pub(super) struct Delivery {
    pub(super) id: HookDeliveryId,
    pub(super) guid: DeliveryGuid,
    pub(super) delivered_at: Timestamp,
    pub(super) redelivery: bool,
    pub(super) action: Option<String>,
    /// GitHub's words: `OK`, or what went wrong.
    pub(super) status: String,
    pub(super) status_code: u16,
    /// What the webhook said; absent where something else answered, or nothing.
    pub(super) answer: Option<Answer>,
    pub(super) repository: RepositoryName,
    pub(super) repository_id: RepositoryId,
    pub(super) number: PullRequestNumber,
    pub(super) title: String,
    /// GitHub's stamp of what the delivery tells.
    pub(super) updated_at: Timestamp,
}

#[derive(Deserialize)]
struct Payload {
    number: PullRequestNumber,
    pull_request: Titled,
    repository: Repository,
}

#[derive(Deserialize)]
struct Titled {
    #[serde(default)]
    title: Option<String>,
    updated_at: Timestamp,
}

impl Delivery {
    /// Whether it was answered in the 200s, which GitHub takes for done.
    pub(super) fn is_ok(&self) -> bool {
        (200..300).contains(&self.status_code)
    }

    fn read(listed: &HookDelivery, detail: HookDeliveryDetail) -> Option<Self> {
        let payload: Payload = serde_json::from_value(detail.request.payload).ok()?;
        let body = detail.response.payload.unwrap_or_default();
        Some(Self {
            id: listed.id,
            guid: listed.guid.clone(),
            delivered_at: listed.delivered_at,
            redelivery: listed.redelivery,
            action: listed.action.clone(),
            status: listed.status.clone(),
            status_code: listed.status_code,
            answer: serde_json::from_str(&body).ok(),
            repository: payload.repository.full_name,
            repository_id: payload.repository.id,
            number: payload.number,
            title: payload.pull_request.title.unwrap_or_default(),
            updated_at: payload.pull_request.updated_at,
        })
    }
}

/// Reads the newest deliveries about pull requests, of one repository or of all, and keeps the wanted ones.
pub(super) async fn look(
    github: &GitHubApp,
    repository: Option<RepositoryId>,
    wanted: impl Fn(&Delivery) -> bool,
) -> Result<Deliveries, Failure> {
    let listed = github.deliveries(MOST_LISTED).await?;
    let of_repository = |delivery: &HookDelivery| repository.is_none_or(|id| delivery.repository_id == Some(id));
    let mut candidates: Vec<_> =
        listed.iter().filter(|delivery| delivery.event == "pull_request" && of_repository(delivery)).collect();
    let complete = listed.len() < MOST_LISTED && candidates.len() <= MOST_READ;
    candidates.truncate(MOST_READ);
    let reads = candidates.into_iter().map(|listed| async move {
        let detail = github.delivery(listed.id).await;
        detail.map(|detail| (listed, detail))
    });
    let read: Vec<_> = stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
    let count = read.len();
    let about = read.into_iter().filter_map(|(listed, detail)| Delivery::read(listed, detail)).filter(wanted);
    Ok(Deliveries { about: about.collect(), listed: listed.len(), read: count, complete })
}
