//! The one sentence for each cause: what is so, why, and what to do about it.

use domain::kid_tag::{KidTag, MAX_TAGS};
use domain::lifecycle;
use domain::pull_request::{Mergeability, PullRequest, Snapshot, State};
use domain::task::{Status, Task};
use jiff::{SignedDuration, Timestamp};

use super::case::{About, Case, Served, Unseen};
use super::deliveries::Delivery;
use super::near_miss;
use super::verdict::{Cause, differences, failed_delivery};
use crate::text::when;

/// GitHub takes a moment to deliver.
const MAY_BE_ON_ITS_WAY: SignedDuration = SignedDuration::from_secs(120);

/// The schedule runs every minute.
const LATE: SignedDuration = SignedDuration::from_secs(300);

/// All that a sentence is about.
pub(super) struct Words<'a> {
    pub(super) case: &'a Case,
    pub(super) about: Option<&'a About>,
    pub(super) tag: Option<&'a KidTag>,
    pub(super) task: Option<&'a Task>,
    pub(super) now: Timestamp,
}

impl Words<'_> {
    /// One that ends with a colon is followed by the command that asks reconcile.
    pub(super) fn of(&self, cause: Cause) -> String {
        let (task, pull_request, cli) = (self.task(), self.pull_request(), crate::NAME);
        let digits = self.digits();
        match cause {
            Cause::NoTag => {
                let lacks = match self.task {
                    Some(_) => format!("does not name {task}"),
                    None => "carries no kid tag".to_owned(),
                };
                format!("The title of {pull_request}, \"{}\", {lacks}: {}.", self.title(), self.put_tag(None))
            }
            Cause::MalformedTag => match near_miss::find(self.title()) {
                Some(miss) => format!(
                    "\"{}\" in the title of {pull_request} is no kid tag, because {}: {}.",
                    miss.text,
                    miss.reason,
                    self.put_tag(miss.meant)
                ),
                None => format!("The title of {pull_request} carries no kid tag."),
            },
            Cause::NoTask => {
                let correct = if self.about.is_some() { "correct the tag in the title, or " } else { "" };
                format!(
                    "No task has an id that begins with {digits}: {correct}look for the task with `{cli} task list`, \
                     it may have been deleted."
                )
            }
            Cause::Ambiguous => format!(
                "More than one task has an id that begins with {digits}, so the tag moves none: write more digits, \
                 `{cli} task tag ID` prints enough."
            ),
            Cause::OtherRepository => format!(
                "{} belongs to {} and takes no pull request of {}: give this work a task of its own, and its tag to \
                 the title.",
                capital(&task),
                self.task.and_then(|task| task.repository.clone()).unwrap_or_else(|| "another repository".to_owned()),
                self.repository()
            ),
            Cause::Unreadable => format!(
                "The item of {task} is not of the documented shape, so it is left out: mend what was written there, or \
                 delete it and create the task again."
            ),
            Cause::NewerIsOpen => format!(
                "{pull_request} was merged, and {task} was put into pr_submitted since, with {}, which is newer and open: \
                 the merge of that one moves it, or {}.",
                self.newer(),
                self.by_hand()
            ),
            Cause::CompletedSince => format!(
                "{pull_request} was merged, but {task} was completed after that one was opened and has come back for \
                 other work: let a new pull request name it, or {}.",
                self.by_hand()
            ),
            Cause::Fork => format!(
                "{pull_request} comes from a fork, and such a pull request is linked only once its author, {}, is \
                 seen to have write access to {}: give that access, or open it from a branch of the repository, and \
                 let reconcile look {} with:",
                self.said().map_or("", |said| &said.author),
                self.repository(),
                self.owed().map_or_else(|| "again".to_owned(), |when| format!("{when}, or at once"))
            ),
            Cause::TagAfterMerge if self.stored().is_none() => format!(
                "{} came into the title of {pull_request} after the merge, and the title that was merged is the one that \
                 counts: {}.",
                self.written_tag(),
                self.by_hand()
            ),
            Cause::TagAfterMerge => format!(
                "{} led to no task in the title with which {pull_request} was merged, and what a title becomes after \
                 the merge does not count: {}.",
                self.written_tag(),
                self.by_hand()
            ),
            Cause::NotPrSubmitted => self.not_pr_submitted(),
            Cause::MovedBack => format!(
                "The merge of {pull_request} has moved {task} to done before, and a merge does so once; somebody has \
                 put it into {} since: {}, or let a new pull request name it.",
                self.column(),
                self.by_hand()
            ),
            Cause::Closed => format!(
                "{pull_request} was closed without a merge, and only a merge moves {task}: reopen it, or name the \
                 task in the title of another one."
            ),
            Cause::NotInstalled => format!(
                "The App is not installed on {}, or there is no such repository: install it{}.",
                self.repository(),
                self.case.app.as_ref().map(|app| format!(" at {}", app.install_url)).unwrap_or_default()
            ),
            Cause::Suspended => format!(
                "The App's installation on {} is suspended: an owner of the account unsuspends it under Settings, \
                 GitHub Apps, and after that {}",
                self.repository(),
                self.repair()
            ),
            Cause::NotFound => format!(
                "GitHub shows the App no pull request {} in {}: check the number and the repository.",
                self.about.map(|about| about.number.to_string()).unwrap_or_default(),
                self.repository()
            ),
            Cause::NotServed => format!(
                "{}, because the webhook takes events of the installations that the secret {} lists and {} is not \
                 among them: add it there, and make up for what was missed with:",
                self.difference(),
                self.case.webhook_secret,
                self.about.and_then(About::installation_id).unwrap_or_default()
            ),
            Cause::NotSubscribed => format!(
                "{}, because the App's installation sends no pull_request events: tick \"Pull request\" under \
                 {}/permissions and let an owner of the account accept it; {}",
                self.difference(),
                self.case.app.as_ref().map(|app| app.settings_url.as_str()).unwrap_or_default(),
                self.repair()
            ),
            Cause::WebhookElsewhere => format!(
                "{}, because GitHub delivers {} and not to the stack's webhook, {}: set it with `{cli} configure`; {}",
                self.difference(),
                self.hook_url().map_or_else(|| "nowhere".to_owned(), |url| format!("to {url}")),
                self.case.webhook_url,
                self.repair()
            ),
            Cause::NotConfigured => {
                let why = match &self.case.served {
                    Served::NotConfigured(reason) => {
                        format!(
                            "the secret {} is not configured ({reason}): run `{cli} configure`",
                            self.case.webhook_secret
                        )
                    }
                    _ => format!("{} was answered with 503, {}", self.delivery(), self.reason()),
                };
                format!("{}, because {why}; {}", self.difference(), self.repair())
            }
            Cause::SignatureRefused => format!(
                "{}, because {} was answered with 401, as GitHub had another webhook secret than the stack: run `{cli} \
                 configure` if the latest deliveries are refused too; {}",
                self.difference(),
                self.delivery(),
                self.repair()
            ),
            Cause::DeliveryRefused => format!(
                "{}, because {} was answered with 400, {}; {}",
                self.difference(),
                self.delivery(),
                self.reason(),
                self.repair()
            ),
            Cause::WebhookFailed => format!(
                "{}, because {} failed in the webhook, whose log tells more ({}); {}",
                self.difference(),
                self.delivery(),
                self.reason(),
                self.repair()
            ),
            Cause::NotDelivered => format!(
                "{}, because {} did not reach the webhook{}: `{cli} verify` looks for the reason; {}",
                self.difference(),
                self.delivery(),
                self.failed().map(|failed| format!(" (GitHub says: {})", failed.status)).unwrap_or_default(),
                self.repair()
            ),
            Cause::NoDelivery => format!(
                "{}, because no delivery that was taken says so{}; {}",
                self.difference(),
                self.may_be_on_its_way(),
                self.repair()
            ),
            Cause::DeliveryUnknown => format!(
                "{}, and why no delivery told is not known{}; {}",
                self.difference(),
                self.may_be_on_its_way(),
                self.repair()
            ),
            Cause::TaskCameLater => format!(
                "{pull_request} is known and not linked to {task}, which was not there when its tag was read: let \
                 reconcile look again with:"
            ),
            Cause::Owed => match self.owed() {
                Some(when) => format!(
                    "All that {task} needs of {pull_request} is known, and reconcile finishes it {when}, or at once \
                     with:"
                ),
                None => format!("All that {task} needs of {pull_request} is known: let reconcile finish it with:"),
            },
            Cause::TooLate => format!(
                "The merge of {pull_request} has waited 7 days for {task} to reach pr_submitted, where it came later: \
                 reconcile finds that within a day, or at once with:"
            ),
            Cause::TooManyTags => format!(
                "The title of {pull_request} has {} kid tags, of which the first {MAX_TAGS} are read, and {} is not among \
                 them: name the task in another pull request.",
                self.about.map_or(0, |about| about.tags.len() + about.tags_not_read),
                self.task.map_or_else(|| "one or another".to_owned(), |_| self.written_tag())
            ),
            Cause::Conflict => format!(
                "{pull_request} conflicts with {}{}: bring its branch up to date; {task} moves when it is merged.",
                self.base(),
                self.stored()
                    .and_then(|stored| stored.conflict_caused_by.as_ref())
                    .map(|url| format!(", since {url} was merged"))
                    .unwrap_or_default()
            ),
            Cause::ConflictOutdated => {
                let conflicts = self.stored().is_some_and(|stored| stored.mergeability == Mergeability::Conflicting);
                let (github, card) =
                    if conflicts { ("merges into", "that it conflicts") } else { ("conflicts with", "nothing of it") };
                format!(
                    "GitHub says by now that {pull_request} {github} {} and the card says {card}: reconcile looks \
                     again {}with:",
                    self.base(),
                    self.owed().map(|when| format!("{when}, or at once ")).unwrap_or_default()
                )
            }
            Cause::ConflictUnknown => format!(
                "GitHub has not said yet whether {pull_request} merges into {}: reconcile asks again {}with:",
                self.base(),
                self.owed().map(|when| format!("{when}, or at once ")).unwrap_or_default()
            ),
            Cause::NoPullRequest => format!(
                "No pull request names {task}, as far as is stored{}: put [kid: #{digits}] into the title of its \
                 pull request, or explain that one by its URL.",
                match &self.case.deliveries {
                    Ok(found) if found.complete => " and was delivered lately".to_owned(),
                    Ok(found) => format!(" and the last {} deliveries say", found.read),
                    Err(_) => String::new(),
                }
            ),
            Cause::Unexplained => match self.about.map(|about| &about.observed) {
                Some(Err(Unseen::Unread(reason))) => {
                    format!(
                        "Nothing is stored about {pull_request} by that name (name the task, or the repository as it \
                         is called now), and GitHub cannot be asked: {reason}"
                    )
                }
                _ => format!("Nothing is known about {pull_request}."),
            },
            Cause::Open => {
                let column = match self.task.map(|task| &task.status) {
                    Some(Status::PrSubmitted) | None => String::new(),
                    Some(_) => format!(", if it is in pr_submitted by then and not in {} as now", self.column()),
                };
                format!("Nothing is wrong: {task} moves to done when {pull_request} is merged{column}.")
            }
            Cause::Done => format!("{} is done, by the merge of {pull_request}.", capital(&task)),
            Cause::DoneOtherwise => {
                let by = self.task.and_then(|task| Some((task, task.completed_by.first()?)));
                let by = match by {
                    Some((task, key)) => {
                        let linked = task.pull_requests.get(key);
                        format!("by the merge of {}", linked.map_or(key.as_str(), |linked| &linked.url))
                    }
                    None => "and no merge moved it there: who did is not recorded".to_owned(),
                };
                format!("{} is done, {by}.", capital(&task))
            }
        }
    }

    fn not_pr_submitted(&self) -> String {
        let (task, pull_request) = (self.task(), self.pull_request());
        let ended = self.said().and_then(|said| said.ended_at);
        let until = ended.and_then(|ended| Timestamp::from_second(ended + lifecycle::AWAIT_TASK).ok());
        let advice = match until.filter(|until| *until > self.now) {
            Some(until) => format!(
                "put it there by {} with `{} task move {} pr_submitted` and reconcile takes it to done within 15 \
                 minutes, or {}",
                until.strftime("%Y-%m-%d %H:%M UTC"),
                crate::NAME,
                self.digits(),
                self.by_hand()
            ),
            None => self.by_hand(),
        };
        format!(
            "{pull_request} is merged, but only pr_submitted moves to done and {task} is in {}: {advice}.",
            self.column()
        )
    }

    fn task(&self) -> String {
        self.task.map_or_else(|| "its task".to_owned(), |task| format!("task {}", task.id.prefix()))
    }

    /// What names the task on the command line and in a title.
    fn digits(&self) -> String {
        let tag = self.tag.map(ToString::to_string);
        tag.or_else(|| self.task.map(|task| task.id.prefix().to_owned())).unwrap_or_default()
    }

    fn written_tag(&self) -> String {
        format!("[kid: #{}]", self.digits())
    }

    fn pull_request(&self) -> String {
        self.about.map(About::name).unwrap_or_default()
    }

    fn repository(&self) -> &str {
        self.about.map_or("", |about| &about.repository)
    }

    fn title(&self) -> &str {
        self.said().map_or("", |said| &said.title)
    }

    fn base(&self) -> &str {
        self.said().map_or("its base", |said| &said.base)
    }

    fn column(&self) -> &str {
        match self.task.map_or("", |task| task.status.as_str()) {
            "" => "no column",
            name => name,
        }
    }

    fn stored(&self) -> Option<&PullRequest> {
        self.about?.stored.as_ref()
    }

    /// What is true of the pull request, as far as anybody says.
    fn said(&self) -> Option<&Snapshot> {
        self.about?.facts.as_ref().map(|facts| &facts.snapshot)
    }

    /// The page of the pull request that the task is about now.
    fn newer(&self) -> &str {
        let current = self.task.and_then(|task| task.pull_requests.get(task.pull_request.as_ref()?));
        current.map_or("another pull request", |current| &current.url)
    }

    fn hook_url(&self) -> Option<&String> {
        self.case.app.as_ref().ok()?.hook_url.as_ref()
    }

    fn by_hand(&self) -> String {
        let digits = self.digits();
        let digits = if digits.is_empty() { "TASK" } else { &digits };
        format!("move the task by hand with `{} task move {digits} done`", crate::NAME)
    }

    fn put_tag(&self, meant: Option<String>) -> String {
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

    fn difference(&self) -> String {
        let Some(said) = self.said() else { return String::new() };
        let (name, state) = (self.pull_request(), said.state.as_str());
        match self.stored().map(|stored| &stored.snapshot) {
            None => format!("{name} is {state} on GitHub and not stored"),
            Some(stored) if stored.state != said.state => {
                format!("{name} is {state} on GitHub and stored as {}", stored.state.as_str())
            }
            Some(stored) => {
                format!(
                    "{name} has changed on GitHub ({}) and is stored as it was",
                    differences(stored, said).join(", ")
                )
            }
        }
    }

    fn failed(&self) -> Option<&Delivery> {
        failed_delivery(self.case, self.about?)
    }

    fn delivery(&self) -> String {
        let at = self.failed().map(|failed| when(failed.delivered_at, self.now));
        format!("GitHub's delivery of {}", at.unwrap_or_default())
    }

    /// The webhook's reason.
    fn reason(&self) -> &str {
        let answer = self.failed().and_then(|failed| failed.answer.as_ref());
        answer.and_then(|answer| answer.reason.as_deref()).unwrap_or("it gave no reason")
    }

    fn may_be_on_its_way(&self) -> &'static str {
        let changed = self.said().map(|said| said.updated_at);
        let fresh = changed.is_some_and(|changed| self.now.duration_since(changed) < MAY_BE_ON_ITS_WAY);
        if fresh { " (one may be on its way)" } else { "" }
    }

    /// When reconcile looks at the pull request by itself, if it will.
    fn owed(&self) -> Option<String> {
        let schedule = self.stored().map(|stored| &stored.schedule).filter(|schedule| schedule.is_due())?;
        Some(self.at(schedule.next_check_at?))
    }

    fn at(&self, second: i64) -> String {
        match Timestamp::from_second(second) {
            Ok(at) if at > self.now => when(at, self.now),
            Ok(at) if self.now.duration_since(at) > LATE => format!("(which is due since {})", when(at, self.now)),
            _ => "any moment".to_owned(),
        }
    }

    fn next_read(&self) -> String {
        let sync = self.about.and_then(|about| about.sync.as_ref()).filter(|sync| sync.schedule.is_due());
        match sync.and_then(|sync| sync.schedule.next_check_at) {
            Some(next) => format!("when it next reads the repository, {}", self.at(next)),
            None => "within 15 minutes".to_owned(),
        }
    }

    fn repair(&self) -> String {
        format!("reconcile makes up for what was missed {}, or at once with:", self.next_read())
    }
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
