//! Why a card does not move: the first cause that holds, and what to do about it.
//!
//! The rules are not repeated here. They are asked what they would make of GitHub's facts now ([`foresee`]),
//! and what they would do and was not done has one of the [causes](Cause).

use domain::kid_tag::KidTag;
use domain::outcome::{Applied, Outcome, TaskOutcome};
use domain::protocol::{Found, Read, Stored, foresee};
use domain::pull_request::{Mergeability, PullRequest, Snapshot, State};
use domain::report::Report;
use domain::task::{Status, Task};
use jiff::Timestamp;

use super::cause::{Cause, Explanation};
use super::context::Context;
use super::evidence::{Evidence, NotShown, PullRequestEvidence, ServedVerdict, Tagged};
use super::malformed_tag;
use crate::github_app::EVENTS;
use crate::task::Card;

/// A tag or a task, and what stands in its way.
#[derive(Debug)]
pub(super) struct Concerned<'a> {
    pub(super) tag: Option<&'a KidTag>,
    pub(super) card: Option<&'a Card>,
    pub(super) cause: Cause,
}

pub(super) struct Diagnosis<'a> {
    pub(super) cause: Cause,
    pub(super) explanation: Explanation,
    pub(super) concerned: Vec<Concerned<'a>>,
}

pub(super) fn decide(evidence: &Evidence, now: Timestamp) -> Diagnosis<'_> {
    let concerned = match (&evidence.asked, &evidence.pull_request) {
        (Some(Tagged { tag, cards }), pull_request) => match (&cards[..], pull_request) {
            ([card], Some(pull_request)) if card.task.status != Status::Done => {
                of_task(evidence, pull_request, card, now)
            }
            ([card], pull_request) => {
                vec![Concerned { tag: None, card: Some(card), cause: alone(&card.task, pull_request.as_ref()) }]
            }
            ([], _) => vec![Concerned { tag: Some(tag), card: None, cause: Cause::NoTask }],
            (several, _) => several
                .iter()
                .map(|card| Concerned { tag: Some(tag), card: Some(card), cause: Cause::Ambiguous })
                .collect(),
        },
        (None, Some(pull_request)) => of_pull_request(evidence, pull_request, now),
        (None, None) => Vec::new(),
    };
    let first = concerned.iter().min_by_key(|concerned| concerned.cause);
    let (tag, card) = first.map_or((None, None), |first| (first.tag, first.card));
    let cause = first.map_or(Cause::Unexplained, |first| first.cause);
    let context = Context { evidence, tag, task: card.map(|card| &card.task), now };
    let mut explanation = cause.explain(&context);
    let pull_request = evidence.pull_request.as_ref();
    let not_read = pull_request.is_some_and(|pull_request| matches!(pull_request.observed, Err(NotShown::NotRead(_))));
    if not_read && !matches!(cause, Cause::Unexplained | Cause::Done | Cause::DoneOtherwise) {
        explanation.sentence = format!("GitHub cannot be asked, but as far as is stored: {}", explanation.sentence);
    }
    Diagnosis { cause, explanation, concerned }
}

/// A task that is done, or that no pull request is known to name.
fn alone(task: &Task, pull_request: Option<&PullRequestEvidence>) -> Cause {
    let key = pull_request.and_then(PullRequestEvidence::key);
    match task.status {
        Status::Done if key.is_some_and(|key| task.completed_by.contains(&key)) => Cause::Done,
        Status::Done => Cause::DoneOtherwise,
        _ => Cause::NoPullRequest,
    }
}

/// One task, whatever else the pull request concerns.
fn of_task<'a>(
    evidence: &'a Evidence,
    pull_request: &'a PullRequestEvidence,
    card: &'a Card,
    now: Timestamp,
) -> Vec<Concerned<'a>> {
    let mut concerned = of_links(evidence, pull_request, now);
    concerned.retain(|concerned| concerned.card.is_some_and(|other| other.task.id == card.task.id));
    if concerned.is_empty() {
        let late = pull_request.tags_not_read.iter().find(|tag| tag.names(&card.task.id));
        let cause = if late.is_some() { Cause::TooManyTags } else { unnamed(pull_request) };
        concerned.push(Concerned { tag: late, card: Some(card), cause });
    }
    concerned
}

fn of_pull_request<'a>(
    evidence: &'a Evidence,
    pull_request: &'a PullRequestEvidence,
    now: Timestamp,
) -> Vec<Concerned<'a>> {
    let mut concerned = of_links(evidence, pull_request, now);
    let late = pull_request.tags_not_read.iter();
    concerned.extend(late.map(|tag| Concerned { tag: Some(tag), card: None, cause: Cause::TooManyTags }));
    if concerned.is_empty() {
        concerned.push(Concerned { tag: None, card: None, cause: unnamed(pull_request) });
    }
    concerned
}

/// Nothing in the title leads to a task.
fn unnamed(pull_request: &PullRequestEvidence) -> Cause {
    match (&pull_request.facts, &pull_request.observed) {
        (Some(facts), _) if malformed_tag::find(&facts.snapshot.title).is_some() => Cause::MalformedTag,
        (Some(_), _) => Cause::NoTag,
        (None, Err(unseen)) => unseen.cause().unwrap_or(Cause::Unexplained),
        (None, Ok(_)) => Cause::Unexplained,
    }
}

impl NotShown {
    fn cause(&self) -> Option<Cause> {
        match self {
            Self::NotInstalled => Some(Cause::NotInstalled),
            Self::Suspended => Some(Cause::Suspended),
            Self::NoSuchPullRequest => Some(Cause::NotFound),
            Self::NotRead(_) => None,
        }
    }
}

/// Each tag that counts and each linked task, and what the rules make of it.
fn of_links<'a>(evidence: &'a Evidence, pull_request: &'a PullRequestEvidence, now: Timestamp) -> Vec<Concerned<'a>> {
    let Some(Applied { pull_request: Some(next), tasks, .. }) = foreseen(pull_request, now) else { return Vec::new() };
    let concerned = tasks.iter().filter_map(|TaskOutcome { tag, task, outcome }| {
        let tagged = pull_request.tags.iter().find(|tagged| Some(&tagged.tag) == tag.as_ref());
        let cards = || tagged.into_iter().flat_map(|tagged| &tagged.cards).chain(&pull_request.linked);
        let card = cards().find(|card| task.as_ref().is_none_or(|id| card.task.id == *id));
        let cause = match (outcome, card) {
            (Outcome::Unlinked, _) => return None,
            (Outcome::NoTask | Outcome::Gone, _) => Cause::NoTask,
            (Outcome::Ambiguous, _) => Cause::Ambiguous,
            (Outcome::OtherRepository, _) => Cause::OtherRepository,
            (Outcome::Unreadable, _) => Cause::Unreadable,
            (Outcome::AwaitsPermission, _) => Cause::Fork,
            (Outcome::NewerIsOpen { .. }, _) => Cause::NewerIsOpen,
            (Outcome::CompletedSince, _) => Cause::CompletedSince,
            (Outcome::NotTaken, _) => Cause::TagAfterMerge,
            (Outcome::TitleUnconfirmed, _) if is_asked(pull_request) => Cause::TitleAsked,
            (_, Some(card)) => of_linked(evidence, pull_request, &next, &card.task),
            (_, None) => Cause::NoTask,
        };
        Some(Concerned { tag: tagged.map(|tagged| &tagged.tag), card, cause })
    });
    concerned.collect()
}

/// Whether what is stored waits for GitHub to say which title was merged.
fn is_asked(pull_request: &PullRequestEvidence) -> bool {
    pull_request.stored.as_ref().is_some_and(|stored| stored.title_unconfirmed)
}

/// What the rules would make of GitHub's facts now.
fn foreseen(pull_request: &PullRequestEvidence, now: Timestamp) -> Option<Applied> {
    let cards = || pull_request.tags.iter().flat_map(|tagged| &tagged.cards).chain(&pull_request.linked);
    foresee(Report::facts(pull_request.facts.clone()?).read_at(now.as_second()), now, |read| match read {
        Read::PullRequest(..) => Found::PullRequest(pull_request.stored.clone().map(Box::new)),
        Read::Tag(tag) => {
            let tagged = pull_request.tags.iter().find(|tagged| tagged.tag == *tag);
            // A tag of the title that was merged, which the title as it is now may have lost.
            let linked =
                || cards().filter(|card| tag.names(&card.task.id)).map(|card| (card.task.id.clone(), card.stored()));
            Found::Tag(tagged.map_or_else(|| linked().collect(), Tagged::found))
        }
        Read::Task(id) => Found::Task(cards().find(|card| card.task.id == *id).map_or(Stored::Absent, Card::stored)),
    })
}

/// A task that the title names rightly.
fn of_linked(evidence: &Evidence, pull_request: &PullRequestEvidence, next: &PullRequest, task: &Task) -> Cause {
    let key = next.key();
    let stored = pull_request.stored.as_ref();
    let stored_link = stored.filter(|stored| stored.task_ids.contains(&task.id));
    let merge_is_stored = stored_link.is_some_and(|stored| stored.snapshot.state == State::Merged);
    match (&task.status, next.snapshot.state) {
        (Status::Done, _) if task.completed_by.contains(&key) => Cause::Done,
        (Status::Done, _) => Cause::DoneOtherwise,
        (_, State::Merged) if task.completed_by.contains(&key) => Cause::MovedBack,
        (Status::PrSubmitted, State::Merged) if merge_is_stored => {
            if stored.is_some_and(|stored| stored.schedule.is_due()) { Cause::Owed } else { Cause::TooLate }
        }
        (Status::PrSubmitted, State::Merged) | (_, State::Open) => {
            let unseen = pull_request.observed.as_ref().err().and_then(NotShown::cause);
            if let Some(cause) = unseen {
                cause
            } else if is_behind(pull_request) {
                why_not_told(evidence, pull_request)
            } else if stored_link.is_none() {
                Cause::TaskCameLater
            } else if !task.pull_requests.contains_key(&key) {
                Cause::Owed
            } else {
                conflict(pull_request, next)
            }
        }
        (_, State::Merged) => Cause::NotPrSubmitted,
        (_, State::Closed) => Cause::Closed,
    }
}

/// Whether GitHub's facts would change what is stored. A merge that is stored is final.
fn is_behind(pull_request: &PullRequestEvidence) -> bool {
    if pull_request.facts.is_none() {
        return false;
    }
    let news = !pull_request.differences().is_empty();
    pull_request.stored.as_ref().is_none_or(|known| known.snapshot.state != State::Merged && news)
}

/// Why nobody told us.
fn why_not_told(evidence: &Evidence, pull_request: &PullRequestEvidence) -> Cause {
    let failed = evidence.failed_delivery();
    let answered =
        evidence.deliveries.as_ref().ok().and_then(|found| found.about.first()).is_some_and(|it| it.answer.is_some());
    match &evidence.served {
        ServedVerdict::No => return Cause::NotServed,
        ServedVerdict::NotConfigured(_) => return Cause::NotConfigured,
        ServedVerdict::Yes | ServedVerdict::Unread(_) => {}
    }
    let is_subscribed = |events: &[String]| EVENTS.iter().all(|event| events.iter().any(|held| held == event));
    if pull_request.installation.as_ref().is_some_and(|found| !is_subscribed(&found.events)) {
        return Cause::NotSubscribed;
    }
    // A URL of the operator's own may lead here too, and then the webhook's own words are in the answer.
    if !answered && evidence.app.as_ref().is_ok_and(|app| app.hook_url.as_ref() != Some(&evidence.webhook_url)) {
        return Cause::WebhookElsewhere;
    }
    match (failed, &evidence.deliveries) {
        (Some(failed), _) => match (failed.status_code, &failed.answer) {
            (401, Some(_)) => Cause::SignatureRefused,
            (503, Some(_)) => Cause::NotConfigured,
            (400, Some(_)) => Cause::DeliveryRefused,
            (_, Some(_)) => Cause::WebhookFailed,
            (_, None) => Cause::NotDelivered,
        },
        (None, _) if is_retitled_merge(evidence, pull_request) => Cause::TagAfterMerge,
        (None, Ok(found)) if found.complete || !found.about.is_empty() => Cause::NoDelivery,
        (None, _) => Cause::DeliveryUnknown,
    }
}

/// Whether the title that GitHub shows came to a merge that concerned nobody: the webhook goes by the one that was
/// merged.
fn is_retitled_merge(evidence: &Evidence, pull_request: &PullRequestEvidence) -> bool {
    let merged = pull_request
        .facts
        .as_ref()
        .filter(|facts| facts.snapshot.state == State::Merged && pull_request.stored.is_none());
    let (Some(facts), Ok(found)) = (merged, &evidence.deliveries) else { return false };
    let edits = found.about.iter().filter(|delivery| delivery.is_ok() && delivery.action.as_deref() == Some("edited"));
    edits.map(|edit| edit.updated_at).any(|updated_at| updated_at >= facts.snapshot.updated_at)
}

fn conflict(pull_request: &PullRequestEvidence, next: &PullRequest) -> Cause {
    use Mergeability::{Conflicting, Mergeable, Unknown};
    // An answer about another head or base says nothing about these.
    let about_these = |said: &Snapshot| said.head_sha == next.snapshot.head_sha && said.base == next.snapshot.base;
    let seen = pull_request.observed.as_ref().ok().filter(|seen| about_these(&seen.facts.snapshot));
    let now = seen.map_or(Unknown, |seen| seen.mergeability);
    match (next.mergeability, now) {
        (Conflicting, Conflicting | Unknown) => Cause::Conflict,
        (Conflicting, Mergeable) | (Mergeable | Unknown, Conflicting) => Cause::ConflictOutdated,
        (Unknown, Unknown) => Cause::ConflictUnknown,
        (Mergeable, Mergeable | Unknown) | (Unknown, Mergeable) => Cause::Open,
    }
}
