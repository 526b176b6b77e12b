//! GitHub as it is by itself: pull requests that people open, push to, retitle, close, reopen and merge, and what is heard of it.

use domain::ids::{PullRequestNumber, RepositoryId, RepositoryName, TaskId};
use domain::pull_request::{Mergeability, Snapshot, State};
use domain::report::{Facts, Source};
use jiff::Timestamp;

/// The second at which every history begins; the clock of the model counts from it.
pub(crate) const BEGIN: i64 = 1_800_000_000;

/// How many pull requests and tasks there are at most.
pub(crate) const SIZE: usize = 2;

/// The repository.
pub(crate) const REPOSITORY: RepositoryId = RepositoryId(7);

/// The ids of the tasks. Titles name them by their first eight digits.
pub(crate) const TASKS: [&str; SIZE] = ["aaaaaaaa000000000000000000000000", "bbbbbbbb000000000000000000000000"];

/// The number of the first pull request without a tag that is merged into the base.
const OTHERS_FROM: u64 = 90;

/// A second of the model's clock as a time.
pub(crate) fn time(clock: u32) -> Timestamp {
    Timestamp::from_second(BEGIN + i64::from(clock)).unwrap_or(Timestamp::MAX)
}

/// The id of a task.
pub(crate) fn task_id(task: usize) -> Option<TaskId> {
    TASKS[task].parse().ok()
}

/// Which of the tasks has an id, or is named by a tag: the first letter tells.
pub(crate) fn task_of(id: &str) -> usize {
    usize::from(!id.starts_with('a'))
}

/// The number of a pull request.
pub(crate) fn number(pull_request: usize) -> PullRequestNumber {
    PullRequestNumber(pull_request as u64 + 1)
}

/// Which of the pull requests has a number; `None`: one without a tag.
pub(crate) fn pull_request_of(number: PullRequestNumber) -> Option<usize> {
    (number.0 < OTHERS_FROM).then(|| number.0 as usize - 1)
}

/// A pull request on GitHub. Titles are the sets of tasks that they name, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Pr {
    pub(crate) state: State,
    pub(crate) title: u8,
    pub(crate) title_at_merge: u8,
    pub(crate) head: u8,
    pub(crate) conflict: bool,
    pub(crate) created: u32,
    pub(crate) updated: u32,
    pub(crate) ended: u32,
}

impl Pr {
    /// The tasks it is about.
    pub(crate) fn names(&self) -> u8 {
        if self.state == State::Merged { self.title_at_merge } else { self.title }
    }

    /// What GitHub says of whether it merges.
    pub(crate) fn mergeability(&self) -> Mergeability {
        if self.conflict { Mergeability::Conflicting } else { Mergeability::Mergeable }
    }
}

/// What happens on GitHub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum What {
    Open,
    Push,
    Retitle(u8),
    Close,
    Reopen,
    Merge,
    /// Another pull request, without a tag, is merged into the same base: whatever is open conflicts from then on.
    OtherMerge,
}

/// Something that happened, and how GitHub was then.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Event {
    pub(crate) what: What,
    pub(crate) pull_request: usize,
    pub(crate) at: u32,
    pub(crate) after: [Option<Pr>; SIZE],
    /// The title before.
    pub(crate) title_before: u8,
}

/// GitHub, with all that happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) prs: [Option<Pr>; SIZE],
    pub(crate) events: Vec<Event>,
}

impl World {
    /// What may happen next, besides the opening of a pull request.
    pub(crate) fn possible(&self, pull_request: usize, titles: &[u8]) -> Vec<What> {
        let Some(pr) = self.prs[pull_request] else { return Vec::new() };
        let mut possible: Vec<What> =
            titles.iter().filter(|title| **title != pr.title).map(|title| What::Retitle(*title)).collect();
        match pr.state {
            State::Open => possible.extend([What::Push, What::Close, What::Merge]),
            State::Closed => possible.push(What::Reopen),
            State::Merged => {}
        }
        possible
    }

    /// GitHub after something happened.
    pub(crate) fn after(&self, what: What, pull_request: usize, title: u8, at: u32) -> Self {
        let mut next = self.clone();
        let title_before = self.prs[pull_request].map_or(title, |pr| pr.title);
        if matches!(what, What::Merge | What::OtherMerge) {
            for (other, pr) in next.prs.iter_mut().enumerate() {
                let moved = what == What::OtherMerge || other != pull_request;
                if let Some(pr) = pr.as_mut().filter(|pr| moved && pr.state == State::Open) {
                    pr.conflict = true;
                }
            }
        }
        if what == What::Open {
            next.prs[pull_request] = Some(Pr {
                state: State::Open,
                title,
                title_at_merge: title,
                head: 0,
                conflict: false,
                created: at,
                updated: at,
                ended: 0,
            });
        } else if let Some(pr) = next.prs[pull_request].as_mut().filter(|_| what != What::OtherMerge) {
            pr.updated = at;
            match what {
                What::Push => {
                    pr.head += 1;
                    pr.conflict = false;
                }
                What::Retitle(title) => pr.title = title,
                What::Close => (pr.state, pr.ended) = (State::Closed, at),
                What::Reopen => pr.state = State::Open,
                What::Merge => (pr.state, pr.title_at_merge, pr.ended) = (State::Merged, pr.title, at),
                What::Open | What::OtherMerge => {}
            }
        }
        let after = next.prs;
        next.events.push(Event { what, pull_request, at, after, title_before });
        next
    }

    /// What GitHub's API says of a pull request now.
    pub(crate) fn read(&self, pull_request: usize) -> Option<Facts> {
        let pr = self.prs[pull_request]?;
        let title_at_merge = (pr.state == State::Merged).then(|| title(pr.title_at_merge).to_owned());
        let snapshot = snapshot(number(pull_request), &pr)?;
        Some(Facts { snapshot, source: Source::Api { title_at_merge } })
    }

    /// The delivery that an event makes.
    pub(crate) fn delivery(&self, event: usize) -> Option<Facts> {
        let Event { what, pull_request, at, after, title_before } = self.events.get(event)?;
        let other = Pr {
            state: State::Merged,
            title: 0,
            title_at_merge: 0,
            head: 0,
            conflict: false,
            created: *at,
            updated: *at,
            ended: *at,
        };
        let snapshot = match what {
            What::OtherMerge => snapshot(PullRequestNumber(OTHERS_FROM + event as u64), &other)?,
            _ => snapshot(number(*pull_request), &after[*pull_request]?)?,
        };
        let source = Source::Delivery {
            announces_merge: matches!(what, What::Merge | What::OtherMerge),
            previous_title: matches!(what, What::Retitle(_)).then(|| title(*title_before).to_owned()),
        };
        Some(Facts { snapshot, source })
    }
}

/// A title that names these tasks.
pub(crate) fn title(tasks: u8) -> &'static str {
    match tasks {
        0 => "Fix login",
        1 => "Fix login [kid: #aaaaaaaa]",
        2 => "Fix login [kid: #bbbbbbbb]",
        _ => "Fix login [kid: #aaaaaaaa] [kid: #bbbbbbbb]",
    }
}

/// The tasks that a title names.
pub(crate) fn titled(text: &str) -> u8 {
    (0..4).find(|tasks| title(*tasks) == text).unwrap_or(0)
}

fn snapshot(number: PullRequestNumber, pr: &Pr) -> Option<Snapshot> {
    let repository: RepositoryName = "acme/app".parse().ok()?;
    Some(Snapshot {
        repository_id: REPOSITORY,
        number,
        installation_id: None,
        url: format!("https://github.com/acme/app/pull/{number}"),
        repository,
        title: title(pr.title).to_owned(),
        head_sha: format!("{:02x}", pr.head),
        base: "main".to_owned(),
        state: pr.state,
        draft: false,
        author: "ada".to_owned(),
        fork: false,
        created_at: time(pr.created),
        ended_at: (pr.state != State::Open).then(|| BEGIN + i64::from(pr.ended)),
        updated_at: time(pr.updated),
    })
}
