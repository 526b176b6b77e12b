//! Why a card does not move: the first cause that holds, and what to do about it.
//!
//! The rules are not repeated here. They are asked what they would make of GitHub's facts now ([`foresee`]),
//! and what they would do and was not done has one of the causes below.

use domain::kid_tag::KidTag;
use domain::outcome::{Applied, Outcome, TaskOutcome};
use domain::protocol::{Found, Read, Stored, foresee};
use domain::pull_request::{Mergeability, PullRequest, Snapshot, State};
use domain::report::Report;
use domain::task::{Status, Task};
use jiff::Timestamp;
use serde::Serialize;

use super::case::{About, Case, Served, Tagged, Unseen};
use super::deliveries::Delivery;
use super::near_miss;
use super::sentence::Words;
use crate::task::Card;

/// What stands between a pull request and a task. Where several tasks are concerned, the first of these that holds for
/// any is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Cause {
    // The title and the tasks that it names.
    NoTag,
    MalformedTag,
    NoTask,
    Ambiguous,
    OtherRepository,
    Unreadable,
    Fork,
    TagAfterMerge,
    // The rules.
    NotPrSubmitted,
    MovedBack,
    NewerIsOpen,
    CompletedSince,
    Closed,
    // GitHub shows something that is not stored.
    NotInstalled,
    Suspended,
    NotFound,
    NotServed,
    NotConfigured,
    NotSubscribed,
    WebhookElsewhere,
    SignatureRefused,
    DeliveryRefused,
    WebhookFailed,
    NotDelivered,
    NoDelivery,
    DeliveryUnknown,
    // All is stored and something is left to do.
    TaskCameLater,
    Owed,
    TooLate,
    TooManyTags,
    Conflict,
    ConflictOutdated,
    ConflictUnknown,
    // Nothing is in the way.
    Unexplained,
    NoPullRequest,
    Open,
    Done,
    DoneOtherwise,
}

/// A tag or a task, and what stands in its way.
#[derive(Debug)]
pub(super) struct Concerned<'a> {
    pub(super) tag: Option<&'a KidTag>,
    pub(super) card: Option<&'a Card>,
    pub(super) cause: Cause,
}

pub(super) struct Verdict<'a> {
    pub(super) cause: Cause,
    pub(super) sentence: String,
    /// What the sentence ends with, where it says so.
    pub(super) command: Option<String>,
    pub(super) concerned: Vec<Concerned<'a>>,
}

pub(super) fn decide(case: &Case, now: Timestamp) -> Verdict<'_> {
    let concerned = match (&case.asked, &case.about) {
        (Some(Tagged { tag, cards }), about) => match (&cards[..], about) {
            ([card], Some(about)) if card.task.status != Status::Done => of_task(case, about, card, now),
            ([card], about) => {
                vec![Concerned { tag: None, card: Some(card), cause: alone(&card.task, about.as_ref()) }]
            }
            ([], _) => vec![Concerned { tag: Some(tag), card: None, cause: Cause::NoTask }],
            (several, _) => several
                .iter()
                .map(|card| Concerned { tag: Some(tag), card: Some(card), cause: Cause::Ambiguous })
                .collect(),
        },
        (None, Some(about)) => of_pull_request(case, about, now),
        (None, None) => Vec::new(),
    };
    let first = concerned.iter().min_by_key(|concerned| concerned.cause);
    let (tag, card) = first.map_or((None, None), |first| (first.tag, first.card));
    let cause = first.map_or(Cause::Unexplained, |first| first.cause);
    let words = Words { case, about: case.about.as_ref(), tag, task: card.map(|card| &card.task), now };
    let mut sentence = words.of(cause);
    let command = sentence.ends_with(':').then(|| case.about.as_ref().map(|about| case.ask_reconcile(about))).flatten();
    let unread = case.about.as_ref().is_some_and(|about| matches!(about.observed, Err(Unseen::Unread(_))));
    if unread && !matches!(cause, Cause::Unexplained | Cause::Done | Cause::DoneOtherwise) {
        sentence = format!("GitHub cannot be asked, but as far as is stored: {sentence}");
    }
    Verdict { cause, sentence, command, concerned }
}

/// A task that is done, or that no pull request is known to name.
fn alone(task: &Task, about: Option<&About>) -> Cause {
    let key = about.and_then(About::key);
    match task.status {
        Status::Done if key.is_some_and(|key| task.completed_by.contains(&key)) => Cause::Done,
        Status::Done => Cause::DoneOtherwise,
        _ => Cause::NoPullRequest,
    }
}

/// One task, whatever else the pull request concerns.
fn of_task<'a>(case: &'a Case, about: &'a About, card: &'a Card, now: Timestamp) -> Vec<Concerned<'a>> {
    let mut concerned = of_links(case, about, now);
    concerned.retain(|concerned| concerned.card.is_some_and(|other| other.task.id == card.task.id));
    if concerned.is_empty() {
        let cause = if about.tags_not_read > 0 { Cause::TooManyTags } else { unnamed(about) };
        concerned.push(Concerned { tag: None, card: Some(card), cause });
    }
    concerned
}

fn of_pull_request<'a>(case: &'a Case, about: &'a About, now: Timestamp) -> Vec<Concerned<'a>> {
    let mut concerned = of_links(case, about, now);
    if about.tags_not_read > 0 {
        concerned.push(Concerned { tag: None, card: None, cause: Cause::TooManyTags });
    }
    if concerned.is_empty() {
        concerned.push(Concerned { tag: None, card: None, cause: unnamed(about) });
    }
    concerned
}

/// Nothing in the title leads to a task.
fn unnamed(about: &About) -> Cause {
    match (&about.facts, &about.observed) {
        (Some(facts), _) if near_miss::find(&facts.snapshot.title).is_some() => Cause::MalformedTag,
        (Some(_), _) => Cause::NoTag,
        (None, Err(unseen)) => unseen.cause().unwrap_or(Cause::Unexplained),
        (None, Ok(_)) => Cause::Unexplained,
    }
}

impl Unseen {
    fn cause(&self) -> Option<Cause> {
        match self {
            Self::NotInstalled => Some(Cause::NotInstalled),
            Self::Suspended => Some(Cause::Suspended),
            Self::NoSuchPullRequest => Some(Cause::NotFound),
            Self::Unread(_) => None,
        }
    }
}

/// Each tag that counts and each linked task, and what the rules make of it.
fn of_links<'a>(case: &'a Case, about: &'a About, now: Timestamp) -> Vec<Concerned<'a>> {
    let Some(Applied { pull_request: Some(next), tasks, .. }) = foreseen(about, now) else { return Vec::new() };
    let concerned = tasks.iter().filter_map(|TaskOutcome { tag, task, outcome }| {
        let tagged = about.tags.iter().find(|tagged| Some(&tagged.tag) == tag.as_ref());
        let cards = || tagged.into_iter().flat_map(|tagged| &tagged.cards).chain(&about.linked);
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
            (_, Some(card)) => of_linked(case, about, &next, &card.task),
            (_, None) => Cause::NoTask,
        };
        Some(Concerned { tag: tagged.map(|tagged| &tagged.tag), card, cause })
    });
    concerned.collect()
}

/// What the rules would make of GitHub's facts now.
fn foreseen(about: &About, now: Timestamp) -> Option<Applied> {
    let cards = || about.tags.iter().flat_map(|tagged| &tagged.cards).chain(&about.linked);
    foresee(Report::facts(about.facts.clone()?), now, |read| match read {
        Read::PullRequest(..) => Found::PullRequest(about.stored.clone().map(Box::new)),
        Read::Tag(tag) => {
            let tagged = about.tags.iter().find(|tagged| tagged.tag == *tag);
            Found::Tag(tagged.map(Tagged::found).unwrap_or_default())
        }
        Read::Task(id) => Found::Task(cards().find(|card| card.task.id == *id).map_or(Stored::Absent, Card::stored)),
    })
}

/// A task that the title names rightly.
fn of_linked(case: &Case, about: &About, next: &PullRequest, task: &Task) -> Cause {
    let key = next.key();
    let stored = about.stored.as_ref();
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
            let unseen = about.observed.as_ref().err().and_then(Unseen::cause);
            if let Some(cause) = unseen {
                cause
            } else if is_behind(about) {
                untold(case, about)
            } else if stored_link.is_none() {
                Cause::TaskCameLater
            } else if !task.pull_requests.contains_key(&key) {
                Cause::Owed
            } else {
                conflict(about, next)
            }
        }
        (_, State::Merged) => Cause::NotPrSubmitted,
        (_, State::Closed) => Cause::Closed,
    }
}

/// Whether GitHub's facts would change what is stored. A merge that is stored is final.
fn is_behind(about: &About) -> bool {
    let Some(facts) = &about.facts else { return false };
    let news = |known: &PullRequest| !differences(&known.snapshot, &facts.snapshot).is_empty();
    about.stored.as_ref().is_none_or(|known| known.snapshot.state != State::Merged && news(known))
}

pub(super) fn differences(known: &Snapshot, facts: &Snapshot) -> Vec<&'static str> {
    let differs = [
        ("its state", known.state != facts.state),
        ("its title", known.title != facts.title),
        ("its head", known.head_sha != facts.head_sha),
        ("its base", known.base != facts.base),
    ];
    differs.into_iter().filter(|(_, differs)| *differs).map(|(what, _)| what).collect()
}

/// Why nobody told us.
fn untold(case: &Case, about: &About) -> Cause {
    let failed = failed_delivery(case, about);
    let answered =
        case.deliveries.as_ref().ok().and_then(|found| found.about.first()).is_some_and(|it| it.answer.is_some());
    match &case.served {
        Served::No => return Cause::NotServed,
        Served::NotConfigured(_) => return Cause::NotConfigured,
        Served::Yes | Served::Unread(_) => {}
    }
    if about.installation.as_ref().is_some_and(|found| !found.events.iter().any(|event| event == "pull_request")) {
        return Cause::NotSubscribed;
    }
    // A URL of the operator's own may lead here too, and then the webhook's own words are in the answer.
    if !answered && case.app.as_ref().is_ok_and(|app| app.hook_url.as_ref() != Some(&case.webhook_url)) {
        return Cause::WebhookElsewhere;
    }
    match (failed, &case.deliveries) {
        (Some(failed), _) => match (failed.status_code, &failed.answer) {
            (401, Some(_)) => Cause::SignatureRefused,
            (503, Some(_)) => Cause::NotConfigured,
            (400, Some(_)) => Cause::DeliveryRefused,
            (_, Some(_)) => Cause::WebhookFailed,
            (_, None) => Cause::NotDelivered,
        },
        (None, _) if is_retitled_merge(case, about) => Cause::TagAfterMerge,
        (None, Ok(found)) if found.complete || !found.about.is_empty() => Cause::NoDelivery,
        (None, _) => Cause::DeliveryUnknown,
    }
}

/// The newest delivery that told more than is stored and was not taken, nor delivered again since.
pub(super) fn failed_delivery<'a>(case: &'a Case, about: &About) -> Option<&'a Delivery> {
    let deliveries = &case.deliveries.as_ref().ok()?.about;
    let known = about.stored.as_ref().map(|stored| stored.snapshot.updated_at);
    let taken = |guid: &str| deliveries.iter().any(|other| other.guid == guid && other.is_ok());
    deliveries.iter().find(|delivery| {
        !delivery.is_ok() && known.is_none_or(|known| delivery.updated_at > known) && !taken(&delivery.guid)
    })
}

/// Whether the title that GitHub shows came to a merge that concerned nobody: the webhook goes by the one that was
/// merged.
fn is_retitled_merge(case: &Case, about: &About) -> bool {
    let merged = about.facts.as_ref().filter(|facts| facts.snapshot.state == State::Merged && about.stored.is_none());
    let (Some(facts), Ok(found)) = (merged, &case.deliveries) else { return false };
    let edits = found.about.iter().filter(|delivery| delivery.is_ok() && delivery.action.as_deref() == Some("edited"));
    edits.map(|edit| edit.updated_at).any(|updated_at| updated_at >= facts.snapshot.updated_at)
}

fn conflict(about: &About, next: &PullRequest) -> Cause {
    use Mergeability::{Conflicting, Mergeable, Unknown};
    // An answer about another head or base says nothing about these.
    let about_these = |said: &Snapshot| said.head_sha == next.snapshot.head_sha && said.base == next.snapshot.base;
    let seen = about.observed.as_ref().ok().filter(|seen| about_these(&seen.facts.snapshot));
    let now = seen.map_or(Unknown, |seen| seen.mergeability);
    match (next.mergeability, now) {
        (Conflicting, Conflicting | Unknown) => Cause::Conflict,
        (Conflicting, Mergeable) | (Mergeable | Unknown, Conflicting) => Cause::ConflictOutdated,
        (Unknown, Unknown) => Cause::ConflictUnknown,
        (Mergeable, Mergeable | Unknown) | (Unknown, Mergeable) => Cause::Open,
    }
}
