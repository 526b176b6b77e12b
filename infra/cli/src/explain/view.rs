//! How an explanation looks: sections and the sentence for people, everything as JSON for programs.

use std::fmt::Write;

use domain::kid_tag::Tags;
use domain::pull_request::{Mergeability, PullRequest, State};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::cause::Cause;
use super::deliveries::Delivery;
use super::diagnosis::{Concerned, Diagnosis};
use super::evidence::{Evidence, NotShown, PullRequestEvidence, ServedVerdict};
use crate::failure::Failure;
use crate::history;
use crate::output::{Style, Terminal};
use crate::text::{fitting, hanging, printable, when};

/// Lines of a section: what it is, and its value.
type Lines = Vec<(&'static str, String)>;

pub(super) fn sections(
    evidence: &Evidence,
    diagnosis: &Diagnosis<'_>,
    terminal: Option<Terminal>,
    now: Timestamp,
) -> String {
    let mut sections: Vec<(&str, Lines)> = Vec::new();
    if let Some(pull_request) = &evidence.pull_request {
        let page = pull_request.page().map(|page| ("page", page.to_owned()));
        sections.push(("Pull request", [("name", pull_request.name())].into_iter().chain(page).collect()));
        sections.push(("Stored", stored(pull_request, now)));
        sections.push(("On GitHub", on_github(evidence, pull_request, now)));
    }
    sections.push(("Tasks", diagnosis.concerned.iter().map(|concerned| ("", task(evidence, concerned))).collect()));
    for card in diagnosis.concerned.iter().filter_map(|concerned| concerned.card) {
        let timeline = history::timeline(&card.task, now).into_iter().map(|line| ("", line));
        sections.extend((!card.task.history.is_empty()).then(|| ("History", timeline.collect())));
    }
    sections.push(("Deliveries", deliveries(evidence, now)));
    let columns = terminal.map(|terminal| terminal.columns);
    let paint = |text: &str| terminal.map_or_else(|| text.to_owned(), |terminal| terminal.paint(text, Style::Strong));
    let mut text = String::new();
    for (name, lines) in sections {
        let _ = writeln!(text, "{}", paint(name));
        for (name, value) in lines {
            text.push_str(&match name {
                "" => fitting(&format!("  {}", printable(&value)), columns),
                _ => hanging(&format!("  {name:<10} "), &printable(&value), columns),
            });
        }
        text.push('\n');
    }
    let sentence = hanging("", &printable(&diagnosis.explanation.sentence), columns);
    let _ = writeln!(text, "{}", paint(sentence.trim_end()));
    if let Some(command) = &diagnosis.explanation.command {
        let _ = writeln!(text, "  {}", printable(command));
    }
    text
}

fn stored(pull_request: &PullRequestEvidence, now: Timestamp) -> Lines {
    let mut lines = Lines::new();
    match &pull_request.stored {
        None => lines.push(("state", "nothing is stored about it".to_owned())),
        Some(stored) => {
            let known = when(stored.snapshot.updated_at, now);
            lines.push(("state", format!("{}, as of {known}", stored.snapshot.state.as_str())));
            lines.push(("title", stored.snapshot.title.clone()));
            let links: Vec<_> = stored.task_ids.iter().map(|id| id.prefix()).collect();
            lines.push(("linked to", if links.is_empty() { "no task".to_owned() } else { links.join(", ") }));
            if stored.snapshot.state == State::Open {
                lines.push(("conflict", conflict(stored, now)));
            }
            if let Some(owed) = owed(stored, now) {
                lines.push(("owed", owed));
            }
        }
    }
    if let Some(next) =
        pull_request.sync.as_ref().filter(|sync| sync.schedule.is_due()).and_then(|sync| sync.schedule.next_check_at)
    {
        lines.push(("resync", seconds(next, now)));
    }
    lines
}

fn conflict(stored: &PullRequest, now: Timestamp) -> String {
    let known = match stored.mergeability {
        Mergeability::Mergeable => "none",
        Mergeability::Conflicting => "yes",
        Mergeability::Unknown => return "not known".to_owned(),
    };
    let cause = stored.conflict_caused_by.as_ref().map(|url| format!(", since {url} was merged"));
    let checked = stored.checked_at.map(|at| format!(", checked {}", seconds(at, now)));
    format!("{known}{}{}", cause.unwrap_or_default(), checked.unwrap_or_default())
}

fn owed(stored: &PullRequest, now: Timestamp) -> Option<String> {
    let schedule = Some(&stored.schedule).filter(|schedule| schedule.is_due())?;
    let asked = if schedule.is_at_once() { "now, since " } else { "" };
    Some(format!("reconcile looks {asked}{}", schedule.next_check_at.map(|at| seconds(at, now)).unwrap_or_default()))
}

fn on_github(evidence: &Evidence, pull_request: &PullRequestEvidence, now: Timestamp) -> Lines {
    let mut lines = Lines::new();
    match &pull_request.observed {
        Ok(seen) => {
            let facts = &seen.facts.snapshot;
            lines.push(("state", format!("{}, changed {}", facts.state.as_str(), when(facts.updated_at, now))));
            if let Some(ended) = facts.ended_at {
                lines.push(("ended", seconds(ended, now)));
            }
            lines.push(("title", facts.title.clone()));
            let tags = tags(&facts.title);
            lines.push(("kid tags", if tags.is_empty() { "none".to_owned() } else { tags.join(", ") }));
            if facts.fork {
                lines.push(("fork", format!("yes, by {}", facts.author)));
            }
            if facts.state == State::Open {
                let conflict = match seen.mergeability {
                    Mergeability::Mergeable => "none",
                    Mergeability::Conflicting => "yes",
                    Mergeability::Unknown => "not worked out yet",
                };
                lines.push(("conflict", conflict.to_owned()));
            }
        }
        Err(reason) => lines.push(("state", not_shown(reason))),
    }
    if let Some(id) = pull_request.installation_id() {
        lines.push(("installed", format!("as {id}")));
    }
    match &evidence.served {
        ServedVerdict::Yes => {}
        ServedVerdict::No => {
            lines.push(("served", "no, the webhook's secret does not list its installation".to_owned()))
        }
        ServedVerdict::NotConfigured(reason) => {
            lines.push(("served", format!("no, the webhook is not configured: {reason}")))
        }
        ServedVerdict::Unread(reason) => lines.push(("served", format!("not known: {reason}"))),
    }
    match &evidence.app {
        Ok(app) if app.hook_url.as_ref() != Some(&evidence.webhook_url) => {
            lines.push(("webhook", app.hook_url.clone().unwrap_or_else(|| "none".to_owned())));
        }
        _ => {}
    }
    lines
}

fn not_shown(reason: &NotShown) -> String {
    match reason {
        NotShown::NotInstalled => "not shown: the App is not installed there".to_owned(),
        NotShown::Suspended => "not shown: the installation is suspended".to_owned(),
        NotShown::NoSuchPullRequest => "not shown: there is no such pull request for the App".to_owned(),
        NotShown::NotRead(reason) => format!("not read: {reason}"),
    }
}

fn task(evidence: &Evidence, concerned: &Concerned<'_>) -> String {
    let Some(card) = concerned.card else {
        let leads = if concerned.cause == Cause::TooManyTags { "is not read" } else { "names no task" };
        return concerned.tag.map_or_else(|| "none is named".to_owned(), |tag| format!("[kid: #{tag}] {leads}"));
    };
    let task = &card.task;
    let mut words = vec![task.id.prefix().to_owned(), task.status.to_string()];
    words.extend(task.title.clone());
    words.extend(task.repository.as_ref().map(|name| format!("in {name}")));
    match task.has_merge_conflict {
        Some(true) => words.push("conflict".to_owned()),
        Some(false) => {}
        None if task.pull_request.is_some() => words.push("conflict not known".to_owned()),
        None => {}
    }
    let this = evidence.pull_request.as_ref().and_then(PullRequestEvidence::key);
    for (key, linked) in &task.pull_requests {
        if this.as_ref() != Some(key) {
            words.push(format!("also {} ({})", linked.url, linked.state.as_str()));
        }
    }
    for key in &task.completed_by {
        let url = task.pull_requests.get(key).map_or(key.as_str(), |linked| &linked.url);
        words.push(format!("completed by {url}"));
    }
    words.join(" · ")
}

fn deliveries(evidence: &Evidence, now: Timestamp) -> Lines {
    let found = match &evidence.deliveries {
        Ok(found) => found,
        Err(reason) => return vec![("", format!("not read: {reason}"))],
    };
    let mut lines: Lines = found.about.iter().map(|delivery| ("", delivered(delivery, now))).collect();
    if lines.is_empty() {
        lines.push(("", "none".to_owned()));
    }
    if !found.complete {
        lines.push((
            "",
            format!(
                "looked at the newest {} of pull requests, of {} deliveries listed; older ones were not",
                found.read, found.listed
            ),
        ));
    }
    lines
}

fn delivered(delivery: &Delivery, now: Timestamp) -> String {
    let action = delivery.action.as_deref().unwrap_or("no action");
    let again = if delivery.redelivery { " again" } else { "" };
    let answer = match &delivery.answer {
        Some(answer) => {
            let reason = answer.reason.as_ref().map(|reason| format!(": {reason}"));
            format!("{} {}{}", delivery.status_code, answer.outcome.as_str(), reason.unwrap_or_default())
        }
        None => format!("{} {}", delivery.status_code, delivery.status),
    };
    format!("{} {action}{again} → {answer}", when(delivery.delivered_at, now))
}

fn seconds(at: i64, now: Timestamp) -> String {
    Timestamp::from_second(at).map(|at| when(at, now)).unwrap_or_default()
}

fn tags(title: &str) -> Vec<String> {
    Tags::of(title).named.iter().map(ToString::to_string).collect()
}

pub(super) fn json(evidence: &Evidence, diagnosis: &Diagnosis<'_>) -> Result<Value, Failure> {
    let mut tasks = Vec::new();
    for concerned in &diagnosis.concerned {
        let task = concerned.card.map(crate::task::Card::json).transpose()?;
        tasks.push(json!({"tag": concerned.tag.map(ToString::to_string), "cause": concerned.cause, "task": task}));
    }
    let unread = |reason: &String| json!({"unread": reason});
    let served = match &evidence.served {
        ServedVerdict::Yes => json!(true),
        ServedVerdict::No => json!(false),
        ServedVerdict::NotConfigured(reason) => json!({"not_configured": reason}),
        ServedVerdict::Unread(reason) => unread(reason),
    };
    let pull_request = evidence.pull_request.as_ref();
    Ok(json!({
        "cause": diagnosis.cause,
        "explanation": diagnosis.explanation.sentence,
        "command": diagnosis.explanation.command,
        "pull_request": pull_request.map(|pull_request| json!({"name": pull_request.name(), "url": pull_request.page(), "key": pull_request.key()})),
        "stored": pull_request.and_then(|pull_request| pull_request.stored.as_ref()),
        "resync": pull_request.and_then(|pull_request| pull_request.sync.as_ref()),
        "github": pull_request.map(github_json),
        "installation_id": pull_request.and_then(PullRequestEvidence::installation_id),
        "served": served,
        "webhook": {"url": evidence.webhook_url, "at_github": match &evidence.app {
            Ok(app) => json!(app.hook_url),
            Err(reason) => unread(reason),
        }},
        "tasks": tasks,
        "deliveries": match &evidence.deliveries {
            Ok(found) => json!(found),
            Err(reason) => unread(reason),
        },
    }))
}

fn github_json(pull_request: &PullRequestEvidence) -> Value {
    match &pull_request.observed {
        Ok(seen) => {
            let facts = &seen.facts.snapshot;
            json!({
                "state": facts.state,
                "title": facts.title,
                "kid_tags": tags(&facts.title),
                "head_sha": facts.head_sha,
                "base": facts.base,
                "draft": facts.draft,
                "fork": facts.fork,
                "author": facts.author,
                "mergeability": seen.mergeability,
                "updated_at": facts.updated_at,
                "ended_at": facts.ended_at.and_then(|at| Timestamp::from_second(at).ok()),
            })
        }
        Err(NotShown::NotRead(reason)) => json!({"unread": reason}),
        Err(reason) => json!({"unseen": not_shown(reason)}),
    }
}
