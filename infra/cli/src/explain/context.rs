//! The phrases that sentences about a pull request and a task are made of.

use domain::ids::RepositoryName;
use domain::kid_tag::KidTag;
use domain::pull_request::{PullRequest, Snapshot, State};
use domain::task::Task;
use jiff::{SignedDuration, Timestamp};

use super::deliveries::Delivery;
use super::evidence::{Evidence, PullRequestEvidence};
use crate::text::when;

/// GitHub takes a moment to deliver.
const MAY_BE_ON_ITS_WAY: SignedDuration = SignedDuration::from_secs(120);

/// The schedule runs every minute.
const LATE: SignedDuration = SignedDuration::from_secs(300);

/// What a sentence is about.
pub(super) struct Context<'a> {
    pub(super) evidence: &'a Evidence,
    pub(super) tag: Option<&'a KidTag>,
    pub(super) task: Option<&'a Task>,
    pub(super) now: Timestamp,
}

impl<'a> Context<'a> {
    /// The pull request.
    pub(super) fn pull_request(&self) -> Option<&'a PullRequestEvidence> {
        self.evidence.pull_request.as_ref()
    }

    pub(super) fn task(&self) -> String {
        self.task.map_or_else(|| "its task".to_owned(), |task| format!("task {}", task.id.prefix()))
    }

    /// What names the task on the command line and in a title.
    pub(super) fn digits(&self) -> String {
        let tag = self.tag.map(ToString::to_string);
        tag.or_else(|| self.task.map(|task| task.id.prefix().to_owned())).unwrap_or_default()
    }

    pub(super) fn written_tag(&self) -> String {
        format!("[kid: #{}]", self.digits())
    }

    pub(super) fn pull_request_name(&self) -> String {
        self.pull_request().map(PullRequestEvidence::name).unwrap_or_default()
    }

    pub(super) fn repository(&self) -> &str {
        let known = self.pull_request().and_then(|pull_request| pull_request.repository.as_ref());
        known.map_or("its repository", RepositoryName::as_str)
    }

    pub(super) fn title(&self) -> &str {
        self.said().map_or("", |said| &said.title)
    }

    pub(super) fn base(&self) -> &str {
        self.said().map_or("its base", |said| &said.base)
    }

    pub(super) fn column(&self) -> &str {
        match self.task.map_or("", |task| task.status.as_str()) {
            "" => "no column",
            name => name,
        }
    }

    pub(super) fn stored(&self) -> Option<&PullRequest> {
        self.pull_request()?.stored.as_ref()
    }

    /// What is true of the pull request, as far as anybody says.
    pub(super) fn said(&self) -> Option<&Snapshot> {
        self.pull_request()?.facts.as_ref().map(|facts| &facts.snapshot)
    }

    /// The page of the pull request that the task is about now.
    pub(super) fn newer(&self) -> &str {
        let current = self.task.and_then(|task| task.pull_requests.get(task.pull_request.as_ref()?));
        current.map_or("another pull request", |current| &current.url)
    }

    pub(super) fn hook_url(&self) -> Option<&String> {
        self.evidence.app.as_ref().ok()?.hook_url.as_ref()
    }

    pub(super) fn by_hand(&self) -> String {
        let digits = self.digits();
        let digits = if digits.is_empty() { "TASK" } else { &digits };
        format!("move the task by hand with `{} task move {digits} done`", crate::NAME)
    }

    pub(super) fn put_tag(&self, meant: Option<String>) -> String {
        let merged = self.said().is_some_and(|said| said.state == State::Merged);
        let tag = meant.or_else(|| self.task.map(|_| self.written_tag()));
        match (merged, tag) {
            (true, _) => format!("it is merged already, so {}", self.by_hand()),
            (false, Some(tag)) => format!("write {tag} there"),
            (false, None) => {
                format!(
                    "put that of its task there, such as [kid: #4d9d444d] (`{} task tag ID` prints it)",
                    crate::NAME
                )
            }
        }
    }

    pub(super) fn difference(&self) -> String {
        let Some(said) = self.said() else { return String::new() };
        let (name, state) = (self.pull_request_name(), said.state.as_str());
        match self.stored().map(|stored| &stored.snapshot) {
            None => format!("{name} is {state} on GitHub and not stored"),
            Some(stored) if stored.state != said.state => {
                format!("{name} is {state} on GitHub and stored as {}", stored.state.as_str())
            }
            Some(_) => {
                format!(
                    "{name} has changed on GitHub ({}) and is stored as it was",
                    self.pull_request().map(PullRequestEvidence::differences).unwrap_or_default().join(", ")
                )
            }
        }
    }

    pub(super) fn failed(&self) -> Option<&Delivery> {
        self.evidence.failed_delivery()
    }

    pub(super) fn delivery(&self) -> String {
        let at = self.failed().map(|failed| when(failed.delivered_at, self.now));
        format!("GitHub's delivery of {}", at.unwrap_or_default())
    }

    /// The webhook's reason.
    pub(super) fn reason(&self) -> &str {
        let answer = self.failed().and_then(|failed| failed.answer.as_ref());
        answer.and_then(|answer| answer.reason.as_deref()).unwrap_or("it gave no reason")
    }

    pub(super) fn may_be_on_its_way(&self) -> &'static str {
        let changed = self.said().map(|said| said.updated_at);
        let fresh = changed.is_some_and(|changed| self.now.duration_since(changed) < MAY_BE_ON_ITS_WAY);
        if fresh { " (one may be on its way)" } else { "" }
    }

    /// When reconcile looks at the pull request by itself, if it will.
    pub(super) fn owed(&self) -> Option<String> {
        let schedule = self.stored().map(|stored| &stored.schedule).filter(|schedule| schedule.is_due())?;
        Some(self.at(schedule.next_check_at?))
    }

    pub(super) fn at(&self, second: i64) -> String {
        match Timestamp::from_second(second) {
            Ok(at) if at > self.now => when(at, self.now),
            Ok(at) if self.now.duration_since(at) > LATE => format!("(which is due since {})", when(at, self.now)),
            _ => "any moment".to_owned(),
        }
    }

    pub(super) fn next_read(&self) -> String {
        let sync = self
            .pull_request()
            .and_then(|pull_request| pull_request.sync.as_ref())
            .filter(|sync| sync.schedule.is_due());
        match sync.and_then(|sync| sync.schedule.next_check_at) {
            Some(next) => format!("when it next reads the repository, {}", self.at(next)),
            None => "within 15 minutes".to_owned(),
        }
    }

    pub(super) fn repair(&self) -> String {
        format!("reconcile makes up for what was missed {}, or at once with", self.next_read())
    }
}

pub(super) fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
