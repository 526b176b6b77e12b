//! The causes, each with what is told about it.
//!
//! The order is the order of precedence: where several hold, the first is told. A cause is one stable word for programs
//! and one row of the table below for people.

mod missed;
mod pending;
mod rules;
mod settled;
mod title;

use serde::Serialize;

use super::context::Context;

/// What stands between a pull request and a task.
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
    TitleAsked,
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

/// What people are told: what is so, why, and what to do about it.
pub(super) struct Explanation {
    pub(super) sentence: String,
    /// What makes reconcile look at once; the sentence leads up to it.
    pub(super) command: Option<String>,
}

impl Explanation {
    /// A sentence that is followed by the command.
    fn with_command(context: &Context<'_>, sentence: &str) -> Self {
        Self { sentence: format!("{sentence}:"), command: context.evidence.reconcile_command() }
    }
}

impl From<String> for Explanation {
    fn from(sentence: String) -> Self {
        Self { sentence, command: None }
    }
}

impl Cause {
    /// The stable word for it.
    pub(super) fn word(self) -> String {
        serde_json::to_value(self).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// What is told about it.
    pub(super) fn explain(self, context: &Context<'_>) -> Explanation {
        let row: fn(&Context<'_>) -> Explanation = match self {
            Self::NoTag => title::no_tag,
            Self::MalformedTag => title::malformed_tag,
            Self::NoTask => title::no_task,
            Self::Ambiguous => title::ambiguous,
            Self::OtherRepository => title::other_repository,
            Self::Unreadable => title::unreadable,
            Self::Fork => title::fork,
            Self::TagAfterMerge => title::tag_after_merge,
            Self::NotPrSubmitted => rules::not_pr_submitted,
            Self::MovedBack => rules::moved_back,
            Self::NewerIsOpen => rules::newer_is_open,
            Self::CompletedSince => rules::completed_since,
            Self::Closed => rules::closed,
            Self::NotInstalled => missed::not_installed,
            Self::Suspended => missed::suspended,
            Self::NotFound => missed::not_found,
            Self::NotServed => missed::not_served,
            Self::NotConfigured => missed::not_configured,
            Self::NotSubscribed => missed::not_subscribed,
            Self::WebhookElsewhere => missed::webhook_elsewhere,
            Self::SignatureRefused => missed::signature_refused,
            Self::DeliveryRefused => missed::delivery_refused,
            Self::WebhookFailed => missed::webhook_failed,
            Self::NotDelivered => missed::not_delivered,
            Self::NoDelivery => missed::no_delivery,
            Self::DeliveryUnknown => missed::delivery_unknown,
            Self::TaskCameLater => pending::task_came_later,
            Self::TitleAsked => pending::title_asked,
            Self::Owed => pending::owed,
            Self::TooLate => pending::too_late,
            Self::TooManyTags => title::too_many_tags,
            Self::Conflict => pending::conflict,
            Self::ConflictOutdated => pending::conflict_outdated,
            Self::ConflictUnknown => pending::conflict_unknown,
            Self::Unexplained => settled::unexplained,
            Self::NoPullRequest => settled::no_pull_request,
            Self::Open => settled::open,
            Self::Done => settled::done,
            Self::DoneOtherwise => settled::done_otherwise,
        };
        row(context)
    }
}
