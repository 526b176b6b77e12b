//! GitHub shows something that is not stored, and why nobody told.

use domain::ids::InstallationId;

use super::super::context::Context;
use super::super::evidence::{PullRequestEvidence, ServedVerdict};
use super::Explanation;
use crate::NAME;

pub(super) fn not_installed(context: &Context<'_>) -> Explanation {
    let page = context.evidence.app.as_ref().map(|app| format!(" at {}", app.install_url)).unwrap_or_default();
    let repository = context.repository();
    format!("The App is not installed on {repository}, or there is no such repository: install it{page}.").into()
}

pub(super) fn suspended(context: &Context<'_>) -> Explanation {
    let sentence = format!(
        "The App's installation on {} is suspended: an owner of the account unsuspends it under Settings, GitHub Apps, \
         and after that {}",
        context.repository(),
        context.repair()
    );
    Explanation::with_command(context, &sentence)
}

pub(super) fn not_found(context: &Context<'_>) -> Explanation {
    format!(
        "GitHub shows the App no pull request {} in {}: check the number and the repository.",
        context.pull_request().map(|pull_request| pull_request.number.to_string()).unwrap_or_default(),
        context.repository()
    )
    .into()
}

pub(super) fn not_served(context: &Context<'_>) -> Explanation {
    let sentence = format!(
        "{}, because the webhook takes events of the installations that the secret {} lists and {} is not among them: \
         add it there, and make up for what was missed with",
        context.difference(),
        context.evidence.webhook_secret,
        context.pull_request().and_then(PullRequestEvidence::installation_id).unwrap_or(InstallationId(0))
    );
    Explanation::with_command(context, &sentence)
}

pub(super) fn not_configured(context: &Context<'_>) -> Explanation {
    let why = match &context.evidence.served {
        ServedVerdict::NotConfigured(reason) => {
            let secret = &context.evidence.webhook_secret;
            format!("the secret {secret} is not configured ({reason}): run `{NAME} configure`")
        }
        _ => format!("{} was answered with 503, {}", context.delivery(), context.reason()),
    };
    missed(context, &format!(", because {why}"))
}

pub(super) fn not_subscribed(context: &Context<'_>) -> Explanation {
    let settings = context.evidence.app.as_ref().map(|app| app.settings_url.as_str()).unwrap_or_default();
    missed(
        context,
        &format!(
            ", because the App's installation sends no pull_request events: tick \"Pull request\" under \
             {settings}/permissions and let an owner of the account accept it"
        ),
    )
}

pub(super) fn webhook_elsewhere(context: &Context<'_>) -> Explanation {
    let there = context.hook_url().map_or_else(|| "nowhere".to_owned(), |url| format!("to {url}"));
    let here = &context.evidence.webhook_url;
    let why = format!(
        ", because GitHub delivers {there} and not to the stack's webhook, {here}: set it with `{NAME} configure`"
    );
    missed(context, &why)
}

pub(super) fn signature_refused(context: &Context<'_>) -> Explanation {
    let why = format!(
        ", because {} was answered with 401, as GitHub had another webhook secret than the stack: run `{NAME} \
         configure` if the latest deliveries are refused too",
        context.delivery()
    );
    missed(context, &why)
}

pub(super) fn delivery_refused(context: &Context<'_>) -> Explanation {
    missed(context, &format!(", because {} was answered with 400, {}", context.delivery(), context.reason()))
}

pub(super) fn webhook_failed(context: &Context<'_>) -> Explanation {
    let (delivery, reason) = (context.delivery(), context.reason());
    missed(context, &format!(", because {delivery} failed in the webhook, whose log tells more ({reason})"))
}

pub(super) fn not_delivered(context: &Context<'_>) -> Explanation {
    let failed = context.evidence.failed_delivery();
    let said = failed.map(|failed| format!(" (GitHub says: {})", failed.status)).unwrap_or_default();
    let delivery = context.delivery();
    let why = format!(", because {delivery} did not reach the webhook{said}: `{NAME} verify` looks for the reason");
    missed(context, &why)
}

pub(super) fn no_delivery(context: &Context<'_>) -> Explanation {
    missed(context, &format!(", because no delivery that was taken says so{}", context.may_be_on_its_way()))
}

pub(super) fn delivery_unknown(context: &Context<'_>) -> Explanation {
    missed(context, &format!(", and why no delivery told is not known{}", context.may_be_on_its_way()))
}

/// What is different, why, and when that is made up for.
fn missed(context: &Context<'_>, why: &str) -> Explanation {
    Explanation::with_command(context, &format!("{}{why}; {}", context.difference(), context.repair()))
}
