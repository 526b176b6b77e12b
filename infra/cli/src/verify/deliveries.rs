//! The recent deliveries: the one proof that GitHub reaches the webhook and signs with the secret that is in service.
//!
//! GitHub keeps them for 3 days and never shows the secret. A failure counts until a later delivery disproves it: one of the
//! same event, or of any event where the body had no part in the failure.

use std::collections::BTreeMap;

use adapters::github::{HookDelivery, HookDeliveryDetail};
use domain::contract::webhook::Word;
use serde::Deserialize;

use super::report::Failed;
use super::resources::DEPLOY;
use crate::NAME;
use crate::github_app::GitHubApp;
use crate::output::Progress;
use crate::stack::Stack;

/// One page of GitHub's list.
const LATEST: usize = 100;

/// How many failures are told with their answers: each is read by itself.
const TOLD: usize = 5;

/// An answer that is no JSON of ours is cut here.
const LONGEST_REASON: usize = 200;

pub(super) async fn check(
    github: &GitHubApp,
    stack: &Stack,
    url: &str,
    told: bool,
    progress: Progress,
) -> Result<String, Failed> {
    progress.say("Reading the recent deliveries...");
    let deliveries = github.deliveries(LATEST).await?;
    let (open, over) = failures(&deliveries);
    let mut failing = Vec::new();
    for delivery in open {
        let detail = github.delivery(delivery.id).await?;
        // What another server answered, before the webhook came here, says nothing about this one.
        if detail.url.as_deref().is_none_or(|there| there == url) {
            failing.push(Failing { delivery, answer: DeliveryResponse::of(&detail) });
        }
    }
    if !failing.is_empty() {
        let seen: Vec<String> = failing.iter().map(Failing::seen).collect();
        let mut next = Vec::new();
        for sentence in failing.iter().map(|failing| failing.next(stack, url)) {
            if !next.contains(&sentence) {
                next.push(sentence);
            }
        }
        return Err(Failed::new(format!("{}; {}", counted(&deliveries), seen.join("; ")), next.join(". ")));
    }
    let newest = deliveries.iter().find(|delivery| succeeded(delivery));
    let reached = match newest {
        Some(newest) => github.delivery(newest.id).await?.url.is_none_or(|there| there == url),
        None => false,
    };
    let (Some(newest), true) = (newest, reached) else { return unproven(github, url, told) };
    let mut seen = format!("{}; the latest, {}, at {}", counted(&deliveries), named(newest), newest.delivered_at);
    if let Some(last) = over.first() {
        let (count, status) = (over.len(), status(last));
        seen.push_str(&format!(
            "; {count} failed before and no longer do, {} at {} ({status})",
            named(last),
            last.delivered_at
        ));
    }
    Ok(seen)
}

/// The failures that nothing later disproves, the newest of each kind, and those that something does.
fn failures(deliveries: &[HookDelivery]) -> (Vec<&HookDelivery>, Vec<&HookDelivery>) {
    let (mut open, mut over) = (Vec::<&HookDelivery>::new(), Vec::new());
    for (at, delivery) in deliveries.iter().enumerate().filter(|(_, delivery)| !succeeded(delivery)) {
        // The newest comes first.
        let disproves = |later: &HookDelivery| {
            succeeded(later) && (later.event == delivery.event || !is_about_the_body(delivery.status_code))
        };
        let same = |known: &HookDelivery| (known.status_code, &known.event) == (delivery.status_code, &delivery.event);
        if deliveries[..at].iter().any(disproves) {
            over.push(delivery);
        } else if open.len() < TOLD && !open.iter().any(|known| same(known)) {
            open.push(delivery);
        }
    }
    (open, over)
}

fn succeeded(delivery: &HookDelivery) -> bool {
    (200..300).contains(&delivery.status_code)
}

/// Whether another event could have fared better: the others are refused before the body is read.
fn is_about_the_body(status: u16) -> bool {
    matches!(status, 400 | 413 | 422 | 500 | 502 | 504)
}

/// Without a delivery on record, what configure told GitHub has to do.
fn unproven(github: &GitHubApp, url: &str, told: bool) -> Result<String, Failed> {
    let seen = format!("none to {url} that was answered with success is on record, and GitHub keeps them for 3 days");
    if told {
        return Err(Failed::Unproven { seen: format!("{seen}; the next event will prove what configure told GitHub") });
    }
    let settings = github.app.settings_url();
    Err(Failed::new(
        seen,
        format!(
            "run `{NAME} configure`, or edit the title of a pull request and verify again; if GitHub then lists no \
             delivery at {settings}/advanced, the webhook is not Active at {settings}"
        ),
    ))
}

fn counted(deliveries: &[HookDelivery]) -> String {
    let mut counts = BTreeMap::<u16, usize>::new();
    for delivery in deliveries {
        *counts.entry(delivery.status_code).or_default() += 1;
    }
    let by_status: Vec<String> = counts
        .into_iter()
        .map(|(status, count)| match status {
            0 => format!("{count} without an answer"),
            status => format!("{count} answered {status}"),
        })
        .collect();
    format!("of the latest {}, {}", deliveries.len(), by_status.join(", "))
}

fn named(delivery: &HookDelivery) -> String {
    let action = delivery.action.iter().map(|action| format!(".{action}")).collect::<String>();
    format!("{}{action}", delivery.event)
}

fn status(delivery: &HookDelivery) -> String {
    if delivery.status_code == 0 { delivery.status.clone() } else { delivery.status_code.to_string() }
}

/// A failure that stands, and what was answered.
struct Failing<'a> {
    delivery: &'a HookDelivery,
    answer: DeliveryResponse,
}

/// The webhook's own answer has an outcome and a reason, API Gateway's a message.
#[derive(Default, Deserialize)]
struct DeliveryResponse {
    #[serde(default)]
    outcome: Option<Word>,
    #[serde(default, alias = "message")]
    reason: Option<String>,
}

impl DeliveryResponse {
    fn of(detail: &HookDeliveryDetail) -> Self {
        let payload = detail.response.payload.as_deref().unwrap_or_default();
        serde_json::from_str(payload).unwrap_or_else(|_| {
            let reason: String = payload.chars().take(LONGEST_REASON).collect();
            Self { outcome: None, reason: Some(reason).filter(|reason| !reason.trim().is_empty()) }
        })
    }
}

impl Failing<'_> {
    fn seen(&self) -> String {
        let reason = self.answer.reason.iter().map(|reason| format!(": {reason}")).collect::<String>();
        format!("{} at {} → {}{reason}", named(self.delivery), self.delivery.delivered_at, status(self.delivery))
    }

    fn next(&self, stack: &Stack, url: &str) -> String {
        let function = &stack.webhook_function;
        let log = format!("read the function's log with `aws logs tail /aws/lambda/{function} --since 1h`");
        let not_configured = self.answer.outcome == Some(Word::NotConfigured);
        match self.delivery.status_code {
            0 => format!(
                "GitHub has no answer from {url} within 10 s: see that its name resolves, that its certificate is valid \
                 and that no firewall or closed tunnel is in between"
            ),
            300..=399 => {
                format!("GitHub follows no redirect: give `{NAME} configure --webhook-url` the URL it leads to")
            }
            400 => format!("the webhook did not understand the body: `{NAME} configure` sets the content type to json"),
            401 => format!("GitHub signs with another secret than the stack's: run `{NAME} configure`"),
            403..=405 => format!(
                "{url} does not lead to the webhook, or something before it refuses: `{NAME} configure` sets the stack's own"
            ),
            413 => {
                "AWS takes no body over 6 MB: nothing needs to be done, because reconcile reads from GitHub itself what \
                    was left out"
                    .to_owned()
            }
            429 => {
                "more came at once than the stack takes, forged or real: the access log says from where; deploy it with a \
                    higher ThrottlingRate and ThrottlingBurst, or put CloudFront with WAF before it; what was left out is \
                    found by the resync within 15 minutes"
                    .to_owned()
            }
            503 if not_configured => {
                format!("the webhook has no secret to verify with: run `{NAME} configure`, or {log}")
            }
            503 => {
                "Lambda had no capacity left: deploy the stack with a higher WebhookConcurrency, or have the account's \
                    limit raised"
                    .to_owned()
            }
            502 | 504 => format!("the function crashed or took over 10 s: {log}"),
            // API Gateway's own: Lambda refused the call, as it does for a body between its 6 MB and API Gateway's 10.
            500 if self.answer.outcome.is_none() => format!(
                "the function was not reached: a body over 6 MB (then nothing needs to be done, because reconcile reads from \
                 GitHub itself what was left out), or it may not be invoked: {log}, then {DEPLOY}"
            ),
            _ => format!("the function could not do its work: {log}; reconcile catches up"),
        }
    }
}
