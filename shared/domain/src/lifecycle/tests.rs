//! The rules, each by the case that breaks it, over tables in memory that keep the protocol's conditions.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{AWAIT_TASK, KEEP_ENDED, is_news};
use crate::base::BaseMove;
use crate::contract::webhook::Answer as Answered;
use crate::history;
use crate::ids::{DeliveryGuid, InstallationId, PullRequestKey, PullRequestNumber, RepositoryId, TaskId};
use crate::outcome::{Applied, Freshness, Outcome};
use crate::protocol::{Found, Next, Protocol, RESTS_ON, Read, Stored, TRIES, Write, Written};
use crate::pull_request::{Mergeability, PullRequest, Snapshot, State};
use crate::report::{Answer, Facts, Look, Report, Source};
use crate::task::{CLOCK_SKEW, LinkedPullRequest, NEWEST, Status, Task};

const TASK: &str = "4d9d444d0198c5c27f00aabbccddeeff";
const TWIN: &str = "4d9d444d1198c5c27f00aabbccddeeff";
const OTHER: &str = "bbbbbbbb0198c5c27f00aabbccddeeff";
const TAG: &str = "Fix [kid: #4d9d444d]";
const REPOSITORY: RepositoryId = RepositoryId(1001);
const EPOCH: i64 = 1_795_500_000;
const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60 * MINUTE;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(EPOCH + seconds).unwrap()
}

fn id(text: &str) -> TaskId {
    text.parse().unwrap()
}

fn key(number: u64) -> PullRequestKey {
    PullRequestKey::new(REPOSITORY, PullRequestNumber(number))
}

/// The tables, with the conditions of every write held.
#[derive(Default)]
struct Tables {
    rows: BTreeMap<(RepositoryId, PullRequestNumber), PullRequest>,
    tasks: BTreeMap<TaskId, Stored>,
    bases: BTreeMap<String, BaseMove>,
    /// Round trips to the tables since they were last counted.
    trips: usize,
    writes: usize,
}

impl Tables {
    fn with_task(text: &str, status: Status, updated_at: Option<i64>) -> Self {
        let mut tables = Self::default();
        tables.add(text, status, updated_at);
        tables
    }

    fn add(&mut self, text: &str, status: Status, updated_at: Option<i64>) {
        let task = Task { updated_at: updated_at.map(at), ..Task::new(id(text), status) };
        self.tasks.insert(id(text), Stored::Task(Box::new(task)));
    }

    fn task(&self, text: &str) -> &Task {
        let Some(Stored::Task(task)) = self.tasks.get(&id(text)) else { panic!("{text} is on the board") };
        task
    }

    fn change(&mut self, text: &str, change: impl FnOnce(&mut Task)) {
        let Some(Stored::Task(task)) = self.tasks.get_mut(&id(text)) else { panic!("{text} is on the board") };
        change(task);
    }

    /// A person or an agent moves the card.
    fn move_task(&mut self, text: &str, status: Status, time: i64) {
        self.change(text, |task| {
            task.status = status;
            task.updated_at = Some(at(time));
        });
    }

    fn status(&self, text: &str) -> Status {
        self.task(text).status.clone()
    }

    fn row(&self, number: u64) -> &PullRequest {
        self.rows.get(&(REPOSITORY, PullRequestNumber(number))).expect("the pull request has a row")
    }

    fn linked(&self, text: &str) -> Vec<u64> {
        self.task(text).pull_requests.keys().filter_map(|key| key.parts()).map(|(_, number)| number.0).collect()
    }

    fn read(&self, read: &Read) -> Found {
        match read {
            Read::PullRequest(repository, number) => {
                Found::PullRequest(self.rows.get(&(*repository, *number)).cloned().map(Box::new))
            }
            Read::Tag(tag) => {
                let named = self.tasks.iter().filter(|(id, _)| tag.names(id));
                Found::Tag(named.map(|(id, stored)| (id.clone(), stored.clone())).collect())
            }
            Read::Task(id) => Found::Task(self.tasks.get(id).cloned().unwrap_or(Stored::Absent)),
        }
    }

    fn holds(&self, write: &Write) -> bool {
        let version = |repository, number| self.rows.get(&(repository, number)).map_or(0, |row| row.version);
        let attribute = |name: &str, task: &Task, read: &Task| match name {
            "status" => task.status == read.status,
            "updated_at" => task.updated_at == read.updated_at,
            "repository" => task.repository == read.repository,
            other => panic!("{other} is no attribute of the board"),
        };
        let same = |read: &Task| {
            matches!(self.tasks.get(&read.id), Some(Stored::Task(task)) if task.version == read.version
                && RESTS_ON.iter().all(|name| attribute(name, task, read)))
        };
        match write {
            Write::PutPullRequest { row, read } => version(row.snapshot.repository_id, row.snapshot.number) == *read,
            Write::CheckPullRequest { repository_id, number, read } => version(*repository_id, *number) == *read,
            Write::UpdateTask { before, .. } => same(before),
            Write::CheckTask { task } => same(task),
            Write::CheckNoTask { id } => !self.tasks.contains_key(id),
            Write::MoveBase(_) => true,
            Write::MoveBaseOnce(base) => self.bases.get(&base.base).is_none_or(|known| known.moved_by != base.moved_by),
        }
    }

    fn write(&mut self, writes: Vec<Write>) -> Written {
        if !writes.iter().all(|write| self.holds(write)) {
            return Written::Lost;
        }
        self.writes += 1;
        for write in writes {
            match write {
                Write::PutPullRequest { row, .. } => {
                    self.rows.insert((row.snapshot.repository_id, row.snapshot.number), *row);
                }
                Write::UpdateTask { after, .. } => drop(self.tasks.insert(after.id.clone(), Stored::Task(after))),
                Write::MoveBase(base) | Write::MoveBaseOnce(base) => {
                    let moves = self.bases.get(&base.base).map_or(0, |known| known.moves);
                    self.bases.insert(base.base.clone(), BaseMove { moves: moves + base.moves, ..*base });
                }
                _ => {}
            }
        }
        Written::Done
    }

    fn apply(&mut self, report: Report, now: i64) -> Applied {
        self.apply_while(report, now, |_| {})
    }

    /// Applies a report; `meanwhile` happens between the first decision and its write.
    fn apply_while(&mut self, report: Report, now: i64, meanwhile: impl FnOnce(&mut Self)) -> Applied {
        let (mut protocol, mut next) = Protocol::start(report, at(now));
        let mut meanwhile = Some(meanwhile);
        loop {
            self.trips += 1;
            next = match next {
                Next::Read(reads) => {
                    let found: Vec<_> = reads.into_iter().map(|read| (read.clone(), self.read(&read))).collect();
                    protocol.found(found)
                }
                Next::Write(writes) => {
                    if let Some(meanwhile) = meanwhile.take() {
                        meanwhile(self);
                    }
                    protocol.written(self.write(writes))
                }
                Next::Done(applied) => {
                    self.trips -= 1;
                    return *applied;
                }
                Next::GiveUp => panic!("nobody interferes so often"),
            };
        }
    }

    fn trips(&mut self) -> usize {
        std::mem::take(&mut self.trips)
    }

    /// What a scheduled look at a merged row finds where GitHub has no other open pull request.
    fn look(&mut self, number: u64, now: i64) -> Applied {
        let look = Look { open_read_at: Some(EPOCH + now), ..Look::default() };
        self.apply(Report::compare(REPOSITORY, PullRequestNumber(number)).looked(look), now)
    }
}

/// A pull request as GitHub shows it.
#[derive(Clone)]
struct Pr {
    snapshot: Snapshot,
}

impl Pr {
    fn new(number: u64, title: &str, created: i64) -> Self {
        let snapshot = Snapshot {
            repository_id: REPOSITORY,
            number: PullRequestNumber(number),
            installation_id: Some(InstallationId(7)),
            repository: "acme/app".parse().unwrap(),
            title: title.to_owned(),
            url: format!("https://github.com/acme/app/pull/{number}"),
            head_sha: "a1".to_owned(),
            base: "main".to_owned(),
            state: State::Open,
            draft: false,
            author: "octocat".to_owned(),
            fork: false,
            created_at: at(created),
            ended_at: None,
            updated_at: at(created),
        };
        Self { snapshot }
    }

    fn changed(&self, time: i64, change: impl FnOnce(&mut Snapshot)) -> Self {
        let mut next = self.clone();
        next.snapshot.updated_at = at(time);
        change(&mut next.snapshot);
        next
    }

    fn merged(&self, time: i64) -> Self {
        self.changed(time, |snapshot| {
            snapshot.state = State::Merged;
            snapshot.ended_at = Some(EPOCH + time);
        })
    }

    fn closed(&self, time: i64) -> Self {
        self.changed(time, |snapshot| {
            snapshot.state = State::Closed;
            snapshot.ended_at = Some(EPOCH + time);
        })
    }

    fn retitled(&self, time: i64, title: &str) -> Self {
        self.changed(time, |snapshot| title.clone_into(&mut snapshot.title))
    }

    /// The delivery of whatever brought it here; that of the merge itself if it is merged.
    fn delivery(&self) -> Report {
        self.said(Source::Delivery { announces_merge: self.snapshot.state == State::Merged, previous_title: None })
    }

    /// The delivery of an edit of its title.
    fn edit(&self, previous: &str) -> Report {
        self.said(Source::Delivery { announces_merge: false, previous_title: Some(previous.to_owned()) })
    }

    fn read(&self, title_at_merge: Option<&str>) -> Report {
        self.said(Source::Api { title_at_merge: title_at_merge.map(ToOwned::to_owned) })
    }

    fn answered(&self, mergeability: Mergeability) -> Report {
        self.read(None).looked(Look { answer: Some(Answer { mergeability, base: None }), ..Look::default() })
    }

    /// Reads count as made long after what they tell of.
    fn said(&self, source: Source) -> Report {
        let read = matches!(source, Source::Api { .. });
        let report = Report::facts(Facts { snapshot: self.snapshot.clone(), source });
        if read { report.read_at(i64::MAX) } else { report }
    }
}

fn outcomes(applied: &Applied) -> Vec<Outcome> {
    applied.tasks.iter().map(|task| task.outcome.clone()).collect()
}

// ---- Which merge closes a card.

#[test]
fn a_merge_moves_a_card_that_was_submitted_before_it() {
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    let pr = Pr::new(1, TAG, 10);
    tables.apply(pr.delivery(), 11);
    // Nothing else counts then: not a newer pull request that is open, not how late the merge is heard.
    tables.apply(Pr::new(2, TAG, 20).delivery(), 21);
    let applied = tables.apply(pr.merged(100).delivery(), 10 * DAY);
    assert!(outcomes(&applied).contains(&Outcome::Moved { from: Status::PrSubmitted }), "{applied:?}");
    let task = tables.task(TASK);
    assert_eq!((&task.status, task.completed_at), (&Status::Done, Some(EPOCH + 100)));
    assert_eq!(task.updated_at, Some(at(10 * DAY)));
    assert!(task.completed_by.contains(&key(1)));
}

#[test]
fn an_old_merge_does_not_close_a_card_under_new_work() {
    // Merged while the card was in progress; the card is submitted with another pull request.
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    let one = Pr::new(1, TAG, 10).merged(1000);
    tables.apply(one.delivery(), 1001);
    tables.apply(Pr::new(2, TAG, 2000).delivery(), 2001);
    tables.move_task(TASK, Status::PrSubmitted, 2100);
    for now in [2101, 2100 + CLOCK_SKEW, 5000, 20 * DAY] {
        let applied = tables.look(1, now);
        assert_eq!(outcomes(&applied), [Outcome::NewerIsOpen { pull_request: key(2) }], "{now}");
    }
    assert_eq!(tables.status(TASK), Status::PrSubmitted);
    tables.apply(Pr::new(2, TAG, 2000).merged(3000).delivery(), 3001);
    assert_eq!(tables.status(TASK), Status::Done, "its own merge does");
    // Newer is what was opened later, be it before the other one's merge.
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    tables.apply(Pr::new(2, TAG, 500).delivery(), 501);
    tables.apply(one.delivery(), 1001);
    tables.move_task(TASK, Status::PrSubmitted, 2100);
    assert_eq!(outcomes(&tables.look(1, 5000)), [Outcome::NewerIsOpen { pull_request: key(2) }]);
}

#[test]
fn the_first_resync_does_not_close_a_card_under_review_by_a_merge_of_two_months_ago() {
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    tables.apply(Pr::new(9, TAG, -100).read(None), 1);
    let old = Pr::new(1, TAG, -70 * DAY).merged(-60 * DAY);
    tables.apply(old.read(Some(TAG)), 2);
    tables.look(1, 10 * MINUTE);
    assert_eq!(tables.status(TASK), Status::PrSubmitted);
}

#[test]
fn a_card_that_is_submitted_after_its_merge_closes_once_the_repository_was_read() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    let applied = tables.apply(Pr::new(1, TAG, 10).merged(1000).delivery(), 1001);
    assert_eq!(outcomes(&applied), [Outcome::NotMoved { status: Status::InProgress }]);
    tables.move_task(TASK, Status::PrSubmitted, 2000);
    let applied = tables.look(1, 2000 + CLOCK_SKEW - 1);
    assert_eq!(outcomes(&applied), [Outcome::SubmittedSince], "a pull request of the new work may not be listed yet");
    assert_eq!(
        tables.row(1).schedule.next_check_at,
        Some(EPOCH + 2000 + CLOCK_SKEW),
        "and is looked at as soon as it is"
    );
    let applied = tables.look(1, 2000 + CLOCK_SKEW);
    assert_eq!(outcomes(&applied), [Outcome::Moved { from: Status::PrSubmitted }]);
    assert!(!tables.row(1).schedule.is_due());
}

#[test]
fn a_delivery_alone_does_not_close_a_card_that_was_written_after_the_merge() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    tables.move_task(TASK, Status::PrSubmitted, 2000);
    let applied = tables.apply(Pr::new(1, TAG, 10).merged(1000).delivery(), 9000);
    assert_eq!(outcomes(&applied), [Outcome::SubmittedSince]);
    assert!(tables.row(1).schedule.is_due(), "reconcile reads the repository");
    let _ = tables.look(1, 9001);
    assert_eq!(tables.status(TASK), Status::Done);
}

#[test]
fn a_card_that_is_restored_from_the_trash_closes_by_its_merge() {
    let mut tables = Tables::with_task(TASK, Status::Trash, Some(0));
    tables.apply(Pr::new(1, TAG, 10).merged(1000).delivery(), 1001);
    assert!(tables.row(1).schedule.is_due(), "the merge waits for it");
    tables.move_task(TASK, Status::PrSubmitted, 2000);
    tables.look(1, 3000);
    assert_eq!(tables.status(TASK), Status::Done);
}

#[test]
fn of_two_merges_with_rework_between_the_lost_one_closes_nothing_later() {
    // #1 is merged and heard, the card is reworked, #2 is merged and lost: found late, it counts as if heard in time.
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    tables.apply(Pr::new(1, TAG, 10).merged(1000).delivery(), 1001);
    tables.move_task(TASK, Status::PrSubmitted, 2000);
    tables.apply(Pr::new(2, TAG, 1500).merged(3000).read(Some(TAG)), 10 * DAY);
    assert_eq!(tables.status(TASK), Status::Done);
    // The other way round: #1 is lost, #2 heard; the card is reworked, and #1 is found.
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    tables.apply(Pr::new(2, TAG, 1500).merged(3000).delivery(), 3001);
    tables.move_task(TASK, Status::PrSubmitted, 4000);
    let applied = tables.apply(Pr::new(1, TAG, 10).merged(1000).read(Some(TAG)), 10 * DAY);
    assert_eq!(outcomes(&applied), [Outcome::CompletedSince]);
    tables.look(1, 10 * DAY + 100);
    assert_eq!(tables.status(TASK), Status::PrSubmitted);
}

#[test]
fn a_completion_that_an_earlier_version_noted_without_its_time_counts() {
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    tables.apply(Pr::new(2, TAG, 1500).merged(3000).delivery(), 3001);
    tables.change(TASK, |task| task.completed_at = None);
    tables.move_task(TASK, Status::PrSubmitted, 4000);
    tables.apply(Pr::new(1, TAG, 10).merged(1000).read(Some(TAG)), 10 * DAY);
    tables.look(1, 10 * DAY + 100);
    assert_eq!(tables.status(TASK), Status::PrSubmitted);
}

#[test]
fn a_merge_that_found_the_card_done_does_not_close_it_after_rework() {
    let mut tables = Tables::with_task(TASK, Status::Done, Some(0));
    tables.apply(Pr::new(1, TAG, 10).merged(1000).delivery(), 1001);
    assert_eq!(tables.task(TASK).completed_at, Some(EPOCH + 1000));
    tables.move_task(TASK, Status::PrSubmitted, 2000);
    tables.look(1, 9000);
    assert_eq!(tables.status(TASK), Status::PrSubmitted);
}

#[test]
fn an_abandoned_older_pull_request_beside_the_merged_one_does_not_keep_the_card_open() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    tables.apply(Pr::new(1, TAG, 10).delivery(), 11);
    tables.apply(Pr::new(2, TAG, 20).merged(1000).delivery(), 1001);
    // Nor does a newer one that was given up.
    tables.apply(Pr::new(3, TAG, 1500).closed(1800).delivery(), 1801);
    tables.move_task(TASK, Status::PrSubmitted, 2000);
    tables.look(2, 3000);
    assert_eq!(tables.status(TASK), Status::Done);
}

#[test]
fn nothing_undoes_a_merge_and_nothing_is_too_new_for_one() {
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    let pr = Pr::new(1, TAG, 10);
    // A comment moved its time on, where a replica of GitHub's did not know of the merge yet.
    tables.apply(pr.changed(2000, |_| {}).read(None), 1002);
    tables.apply(pr.merged(1000).delivery(), 1003);
    assert_eq!((tables.row(1).snapshot.state, tables.status(TASK)), (State::Merged, Status::Done));
    for late in [pr.delivery(), pr.closed(500).delivery(), pr.changed(3000, |_| {}).read(None)] {
        tables.apply(late, 3001);
        let linked = &tables.task(TASK).pull_requests[&key(1)];
        assert_eq!((tables.row(1).snapshot.state, linked.state), (State::Merged, State::Merged));
    }
}

#[test]
fn a_board_that_keeps_no_time_is_served() {
    for updated_at in [None, Some(1000 - CLOCK_SKEW), Some(1000 + CLOCK_SKEW)] {
        let mut tables = Tables::with_task(TASK, Status::PrSubmitted, updated_at);
        let pr = Pr::new(1, TAG, 10);
        tables.apply(pr.delivery(), 11);
        tables.apply(pr.merged(1000).delivery(), 1001);
        assert_eq!(tables.status(TASK), Status::Done, "{updated_at:?}");
        assert_eq!(tables.task(TASK).updated_at.is_some(), updated_at.is_some(), "no time is begun to be kept");
        // An open pull request that was opened after the merge says what the card is about.
        let mut tables = Tables::with_task(TASK, Status::PrSubmitted, updated_at);
        tables.apply(Pr::new(2, TAG, 1001).delivery(), 1002);
        tables.apply(pr.merged(1000).delivery(), 1003);
        assert_eq!(tables.status(TASK), Status::PrSubmitted, "{updated_at:?}");
        // One that was opened before it does not.
        let mut tables = Tables::with_task(TASK, Status::PrSubmitted, updated_at);
        tables.apply(Pr::new(2, TAG, 999).delivery(), 1002);
        tables.apply(pr.merged(1000).delivery(), 1003);
        assert_eq!(tables.status(TASK), Status::Done, "{updated_at:?}");
    }
}

#[test]
fn a_board_whose_clock_is_far_ahead_holds_no_merge_up_and_ours_may_be_behind() {
    for (ahead, status) in [
        (5 * 60, Status::PrSubmitted),
        (60 * 60 + 5 * 60, Status::PrSubmitted),
        (8 * 60 * 60, Status::Done),
        (80 * 365 * DAY, Status::Done),
    ] {
        let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(1001 + ahead));
        let pr = Pr::new(1, TAG, 10);
        tables.apply(pr.delivery(), 11);
        tables.apply(pr.merged(1000).delivery(), 1001);
        assert_eq!(tables.status(TASK), status, "{ahead} s");
    }
}

#[test]
fn no_other_column_is_moved_and_the_merge_waits_for_a_week() {
    for status in [Status::Idea, Status::ToDo, Status::InProgress, Status::Trash, Status::Other("later".into())] {
        let mut tables = Tables::with_task(TASK, status.clone(), Some(0));
        tables.apply(Pr::new(1, TAG, 10).merged(1000).delivery(), 1001);
        assert_eq!(tables.status(TASK), status);
        tables.look(1, 1000 + AWAIT_TASK - 1);
        assert!(tables.row(1).schedule.is_due(), "{status}");
        tables.look(1, 1000 + AWAIT_TASK);
        assert!(!tables.row(1).schedule.is_due(), "{status}");
        // The daily comparison finds it from then on.
        tables.move_task(TASK, Status::PrSubmitted, 20 * DAY);
        tables.apply(Report::compare(REPOSITORY, PullRequestNumber(1)), 21 * DAY);
        assert!(tables.row(1).schedule.is_due(), "{status}");
        tables.look(1, 21 * DAY + 1);
        assert_eq!(tables.status(TASK), Status::Done);
    }
}

#[test]
fn one_merge_moves_a_card_once() {
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    let merged = Pr::new(1, TAG, 10).merged(1000);
    tables.apply(merged.delivery(), 1001);
    for round in 1..4 {
        tables.move_task(TASK, Status::PrSubmitted, round * DAY);
        tables.apply(merged.delivery(), round * DAY + 1);
        tables.apply(merged.read(Some(TAG)), round * DAY + 100);
        tables.look(1, round * DAY + 200);
        assert_eq!(tables.status(TASK), Status::PrSubmitted);
    }
}

// ---- Titles.

#[test]
fn the_title_at_the_merge_counts_whoever_tells_of_it() {
    let open = Pr::new(1, TAG, 10);
    let merged = open.merged(1000);
    let edited = merged.retitled(2000, "Fix [kid: #bbbbbbbb]");
    let both = || {
        let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
        tables.add(OTHER, Status::PrSubmitted, Some(0));
        tables
    };
    let ends = |tables: &Tables| (tables.status(TASK), tables.status(OTHER), tables.linked(OTHER));
    let right = (Status::Done, Status::PrSubmitted, vec![]);
    // In the order of events; the edit first; the merge lost, and found by reconcile with the title of the timeline.
    let orders: [Vec<Report>; 5] = [
        vec![open.delivery(), merged.delivery(), edited.edit(TAG)],
        vec![open.delivery(), edited.edit(TAG), merged.delivery()],
        vec![edited.edit(TAG), merged.delivery(), open.delivery()],
        vec![edited.edit(TAG), edited.read(Some(TAG))],
        vec![open.delivery(), edited.read(Some(TAG))],
    ];
    for order in orders {
        let mut tables = both();
        for (step, report) in order.into_iter().enumerate() {
            tables.apply(report, 3000 + i64::try_from(step).unwrap());
        }
        assert_eq!(ends(&tables), right);
    }
}

#[test]
fn an_edit_of_a_merge_that_is_not_known_links_nothing_and_asks_github() {
    // The tag was added after the merge: what stood there before this edit may itself be an edit.
    let merged = Pr::new(1, "Fix", 10).merged(1000);
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    let applied = tables.apply(merged.retitled(2000, TAG).edit("Fix"), 2001);
    assert_eq!(outcomes(&applied), [Outcome::TitleUnconfirmed]);
    assert!(tables.row(1).title_unconfirmed && tables.row(1).schedule.is_at_once());
    assert!(tables.linked(TASK).is_empty());
    tables.apply(merged.retitled(2000, TAG).read(Some("Fix")).looked(Look::default()), 2002);
    assert!(tables.linked(TASK).is_empty() && !tables.row(1).schedule.is_due());
    assert_eq!(tables.status(TASK), Status::PrSubmitted);
    // A read without the timeline settles nothing.
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    tables.apply(merged.retitled(2000, TAG).read(None).looked(Look::default()), 2001);
    assert!(tables.row(1).title_unconfirmed && tables.row(1).schedule.is_due());
    // The tag was taken away after the merge, by an edit whose delivery tells of it.
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    let merged = Pr::new(1, TAG, 10).merged(1000).retitled(2000, "Fix");
    tables.apply(merged.edit(TAG), 2001);
    tables.apply(merged.read(Some(TAG)).looked(Look::default()), 2002);
    assert_eq!(tables.status(TASK), Status::Done);
}

#[test]
fn where_a_delivery_and_what_is_stored_disagree_about_the_merged_title_github_is_asked() {
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    tables.add(OTHER, Status::PrSubmitted, Some(0));
    let merged = Pr::new(1, TAG, 10).merged(1000);
    tables.apply(merged.retitled(1000, "Fix [kid: #bbbbbbbb]").delivery(), 1001);
    tables.apply(merged.delivery(), 1002);
    assert!(tables.row(1).schedule.is_at_once() && tables.row(1).title_unconfirmed);
    tables.apply(merged.read(Some(TAG)).looked(Look::default()), 1003);
    assert_eq!((tables.linked(TASK), tables.linked(OTHER)), (vec![1], vec![]));
}

#[test]
fn a_revert_of_the_merged_pull_request_closes_nothing() {
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    tables.apply(Pr::new(1, TAG, 10).merged(1000).delivery(), 1001);
    tables.move_task(TASK, Status::PrSubmitted, 2000);
    tables.apply(Pr::new(3, "Fix it again [kid: #4d9d444d]", 2100).delivery(), 2101);
    let revert = Pr::new(2, r#"Revert "Fix [kid: #4d9d444d]""#, 2200);
    tables.apply(revert.delivery(), 2201);
    let applied = tables.apply(revert.merged(2300).delivery(), 2301);
    assert!(applied.pull_request.is_none() && applied.base_moved && !applied.tags.mentioned.is_empty());
    assert_eq!((tables.status(TASK), tables.linked(TASK)), (Status::PrSubmitted, vec![1, 3]));
    assert_eq!(tables.task(TASK).pull_request, Some(key(3)));
}

#[test]
fn a_retitle_exchanges_links_and_leaves_nothing_behind() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    tables.add(OTHER, Status::InProgress, Some(0));
    let pr = Pr::new(1, TAG, 10);
    tables.apply(pr.delivery(), 11);
    let applied = tables.apply(pr.retitled(20, "Fix [kid: #bbbbbbbb]").delivery(), 21);
    assert_eq!(outcomes(&applied), [Outcome::Linked, Outcome::Unlinked]);
    assert_eq!((tables.linked(TASK), tables.linked(OTHER)), (vec![], vec![1]));
    let task = tables.task(TASK);
    assert_eq!(
        (task.repository_id, &task.repository, &task.bound_name, &task.pull_request),
        (None, &None, &None, &None)
    );
    // The late delivery of the first title brings nothing back.
    tables.apply(pr.delivery(), 22);
    assert_eq!((tables.linked(TASK), tables.linked(OTHER)), (vec![], vec![1]));
}

// ---- Tags that lead nowhere.

#[test]
fn a_task_that_is_created_after_its_tag_was_read_is_linked_within_a_minute() {
    let mut tables = Tables::default();
    let applied = tables.apply(Pr::new(1, TAG, 10).delivery(), 11);
    assert_eq!(outcomes(&applied), [Outcome::NoTask]);
    assert_eq!(tables.row(1).schedule.next_check_at, Some(EPOCH + 11 + 60));
    tables.add(TASK, Status::InProgress, Some(12));
    tables.apply(Pr::new(1, TAG, 10).answered(Mergeability::Mergeable), 71);
    assert_eq!(tables.linked(TASK), [1]);
    assert_eq!(tables.task(TASK).has_merge_conflict, Some(false));
}

#[test]
fn a_tag_that_leads_nowhere_is_looked_up_once_more_and_then_by_each_comparison() {
    let mut tables = Tables::default();
    let pr = Pr::new(1, TAG, 10);
    tables.apply(pr.delivery(), 11);
    tables.apply(pr.read(None).looked(Look::default()), 71);
    assert!(!tables.row(1).schedule.is_due());
    let writes = tables.writes;
    tables.apply(pr.delivery(), 100);
    tables.apply(Report::compare(REPOSITORY, PullRequestNumber(1)), DAY);
    assert_eq!(tables.writes, writes, "a redelivery and a comparison find nothing new");
    tables.add(TASK, Status::InProgress, None);
    tables.apply(Report::compare(REPOSITORY, PullRequestNumber(1)), 2 * DAY);
    assert_eq!(tables.linked(TASK), [1]);
    assert!(tables.row(1).schedule.is_due(), "whether it merges was not asked yet");
}

#[test]
fn an_ambiguous_tag_links_once_the_double_is_deleted_and_a_link_outlives_a_double() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, None);
    tables.add(TWIN, Status::InProgress, None);
    let applied = tables.apply(Pr::new(1, TAG, 10).delivery(), 11);
    assert_eq!(outcomes(&applied), [Outcome::Ambiguous]);
    tables.tasks.remove(&id(TWIN));
    tables.apply(Report::compare(REPOSITORY, PullRequestNumber(1)), 71);
    assert_eq!(tables.linked(TASK), [1]);
    tables.add(TWIN, Status::InProgress, None);
    tables.apply(Pr::new(1, TAG, 10).changed(100, |pr| pr.draft = true).delivery(), 101);
    assert_eq!((tables.linked(TASK), tables.linked(TWIN)), (vec![1], vec![]));
}

#[test]
fn a_task_that_is_deleted_and_made_again_is_linked_again() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, None);
    tables.apply(Pr::new(1, TAG, 10).delivery(), 11);
    tables.tasks.remove(&id(TASK));
    tables.apply(Report::compare(REPOSITORY, PullRequestNumber(1)), 20);
    assert!(tables.row(1).task_ids.is_empty());
    tables.add(TASK, Status::InProgress, None);
    tables.apply(Report::compare(REPOSITORY, PullRequestNumber(1)), 30);
    assert_eq!(tables.linked(TASK), [1]);
}

#[test]
fn an_item_of_another_shape_stops_nobody_else() {
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    tables.tasks.insert(id(OTHER), Stored::Unreadable);
    let title = "Fix [kid: #bbbbbbbb] [kid: #4d9d444d]";
    let applied = tables.apply(Pr::new(1, title, 10).merged(1000).delivery(), 1001);
    assert_eq!(outcomes(&applied), [Outcome::Unreadable, Outcome::Moved { from: Status::PrSubmitted }]);
    // A link to one that can no longer be read is kept: the item may be mended.
    tables.tasks.insert(id(TASK), Stored::Unreadable);
    tables.apply(Report::compare(REPOSITORY, PullRequestNumber(1)), 2000);
    assert!(tables.row(1).task_ids.contains(&id(TASK)));
}

#[test]
fn an_item_of_another_shape_under_the_same_tag_stops_nobody_else() {
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    tables.tasks.insert(id(TWIN), Stored::Unreadable);
    let pr = Pr::new(1, TAG, 10);
    assert_eq!(outcomes(&tables.apply(pr.delivery(), 11)), [Outcome::Linked]);
    // The linked one is unreadable for a while, and its twin is not.
    let task = tables.tasks.insert(id(TASK), Stored::Unreadable).unwrap();
    tables.add(TWIN, Status::PrSubmitted, Some(0));
    tables.apply(pr.changed(100, |pr| pr.draft = true).delivery(), 101);
    assert_eq!((tables.row(1).task_ids.contains(&id(TASK)), tables.linked(TWIN)), (true, vec![]));
    tables.tasks.insert(id(TASK), task);
    assert_eq!(
        outcomes(&tables.apply(pr.merged(1000).delivery(), 1001)),
        [Outcome::Moved { from: Status::PrSubmitted }]
    );
}

// ---- Whose a task is.

#[test]
fn a_task_is_bound_with_its_first_link_and_unbound_with_its_last() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, None);
    let pr = Pr::new(1, TAG, 10);
    tables.apply(pr.delivery(), 11);
    let task = tables.task(TASK);
    assert_eq!((task.repository_id, task.repository.as_deref()), (Some(REPOSITORY), Some("acme/app")));
    let elsewhere = Pr::new(5, TAG, 20).changed(20, |pr| {
        pr.repository_id = RepositoryId(2002);
        pr.repository = "acme/other".parse().unwrap();
    });
    assert_eq!(outcomes(&tables.apply(elsewhere.delivery(), 21)), [Outcome::OtherRepository]);
    // The first title was a typo.
    tables.apply(pr.retitled(30, "Fix").delivery(), 31);
    let again = Report::compare(RepositoryId(2002), PullRequestNumber(5));
    assert_eq!(outcomes(&tables.apply(again, 81)), [Outcome::Linked]);
    assert_eq!(tables.task(TASK).repository.as_deref(), Some("acme/other"));
}

#[test]
fn rows_of_before_a_rename_do_not_change_the_name_back() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, None);
    tables.apply(Pr::new(1, TAG, 10).merged(20).delivery(), 21);
    let renamed = Pr::new(2, TAG, 30).changed(30, |pr| pr.repository = "acme/new".parse().unwrap());
    tables.apply(renamed.delivery(), 31);
    let named = tables.task(TASK).clone();
    assert_eq!(named.repository.as_deref(), Some("acme/new"));
    tables.apply(Report::compare(REPOSITORY, PullRequestNumber(1)), 40);
    assert_eq!(*tables.task(TASK), named);
}

#[test]
fn a_typos_repository_does_not_keep_a_card_whose_name_a_person_has_corrected() {
    let typo = Pr::new(1, TAG, 10);
    for edited_between in [false, true] {
        let mut tables = Tables::with_task(TASK, Status::InProgress, None);
        tables.apply(typo.delivery(), 11);
        tables.change(TASK, |task| task.repository = Some("acme/other".into()));
        if edited_between {
            tables.apply(typo.changed(20, |pr| pr.draft = true).delivery(), 21);
        }
        tables.apply(typo.retitled(30, "Fix").delivery(), 31);
        let right = Pr::new(5, TAG, 40).changed(40, |pr| {
            pr.repository_id = RepositoryId(2002);
            pr.repository = "acme/other".parse().unwrap();
        });
        assert_eq!(outcomes(&tables.apply(right.delivery(), 41)), [Outcome::Linked], "{edited_between}");
    }
}

#[test]
fn a_card_has_pull_requests_of_its_own_repository_only_each_under_one_name() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, None);
    tables.apply(Pr::new(1, TAG, 10).delivery(), 11);
    let right = tables.task(TASK).clone();
    for planted in ["2002#1", "01001#1", "+1001#1", "1001#01", "1001# 1", "nonsense"] {
        tables.change(TASK, |task| {
            let linked = task.pull_requests.values().next().unwrap().clone();
            let key = serde_json::from_value(serde_json::json!(planted)).unwrap();
            task.pull_requests.insert(key, LinkedPullRequest { state: State::Open, created_at: at(99), ..linked });
        });
        assert!(!tables.task(TASK).is_derived(), "{planted}");
        tables.apply(Report::compare(REPOSITORY, PullRequestNumber(1)), 20);
        assert_eq!(tables.task(TASK).pull_requests, right.pull_requests, "{planted}");
    }
}

#[test]
fn a_wrong_repository_id_drops_no_link_whose_row_is_gone() {
    for planted in [Some(RepositoryId(424_242)), None] {
        let mut tables = Tables::with_task(TASK, Status::InProgress, None);
        for number in 1..=3 {
            tables.apply(Pr::new(number, TAG, 10).delivery(), 11);
        }
        let right = tables.task(TASK).pull_requests.clone();
        tables.rows.retain(|(_, number), _| number.0 == 1);
        tables.change(TASK, |task| task.repository_id = planted);
        tables.apply(Report::compare(REPOSITORY, PullRequestNumber(1)), 20);
        let task = tables.task(TASK);
        assert_eq!((task.repository_id, &task.pull_requests), (Some(REPOSITORY), &right), "{planted:?}");
    }
}

#[test]
fn a_comparison_goes_by_the_name_that_the_repository_has_now() {
    let compare = || Report::compare(REPOSITORY, PullRequestNumber(1)).called("acme/renamed".parse().unwrap());
    for (name, outcome) in [("acme/renamed", Outcome::Linked), ("acme/app", Outcome::OtherRepository)] {
        let mut tables = Tables::default();
        tables.apply(Pr::new(1, TAG, 10).delivery(), 11);
        tables.add(TASK, Status::InProgress, None);
        tables.change(TASK, |task| task.repository = Some(name.into()));
        assert_eq!(outcomes(&tables.apply(compare(), 20)), [outcome], "{name}");
        assert_eq!(tables.row(1).snapshot.repository.as_str(), "acme/renamed");
        tables.writes = 0;
        tables.apply(compare(), 30);
        assert_eq!(tables.writes, 0, "once it is written it is");
    }
}

#[test]
fn a_name_that_the_board_wrote_outlives_the_last_link() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, None);
    tables.change(TASK, |task| task.repository = Some("Acme/App".into()));
    let pr = Pr::new(1, TAG, 10);
    tables.apply(pr.delivery(), 11);
    assert_eq!(tables.task(TASK).repository.as_deref(), Some("Acme/App"), "in the board's own letters");
    tables.apply(pr.retitled(30, "Fix").delivery(), 31);
    let task = tables.task(TASK);
    assert_eq!((task.repository_id, task.repository.as_deref()), (None, Some("Acme/App")));
}

#[test]
fn a_renamed_repository_renames_what_we_wrote() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, None);
    let pr = Pr::new(1, TAG, 10);
    tables.apply(pr.delivery(), 11);
    tables.apply(pr.changed(20, |pr| pr.repository = "acme/renamed".parse().unwrap()).delivery(), 21);
    let task = tables.task(TASK);
    assert_eq!((task.repository.as_deref(), task.bound_name.as_deref()), (Some("acme/renamed"), Some("acme/renamed")));
}

// ---- Forks.

#[test]
fn a_fork_links_once_its_author_may_write_also_after_the_merge() {
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    let fork = Pr::new(1, TAG, 10).changed(10, |pr| pr.fork = true).merged(1000);
    let applied = tables.apply(fork.delivery(), 1001);
    assert_eq!(outcomes(&applied), [Outcome::AwaitsPermission]);
    assert!(tables.row(1).schedule.is_at_once());
    let denied = Look { author_may_write: Some(false), ..Look::default() };
    tables.apply(fork.read(Some(TAG)).looked(denied), 1002);
    assert!(!tables.row(1).schedule.is_due() && tables.linked(TASK).is_empty());
    let allowed = Look { author_may_write: Some(true), ..Look::default() };
    tables.apply(fork.read(Some(TAG)).looked(allowed), 1003);
    assert_eq!((tables.linked(TASK), tables.status(TASK)), (vec![1], Status::Done), "in one write");
}

#[test]
fn a_merged_fork_whose_permission_an_earlier_version_wrote_without_its_links_is_linked() {
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    let fork = Pr::new(1, TAG, 10).changed(10, |pr| pr.fork = true).merged(1000);
    tables.apply(fork.delivery(), 1001);
    let row = tables.rows.get_mut(&(REPOSITORY, PullRequestNumber(1))).unwrap();
    row.author_may_write = true;
    tables.apply(Report::compare(REPOSITORY, PullRequestNumber(1)), 2000);
    assert_eq!(tables.status(TASK), Status::Done);
}

// ---- Cards heal.

#[test]
fn a_comparison_makes_links_current_pull_request_and_conflict_right() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    tables.add(OTHER, Status::InProgress, Some(0));
    let pr = Pr::new(1, TAG, 10);
    tables.apply(pr.delivery(), 11);
    tables.apply(pr.answered(Mergeability::Conflicting), 12);
    let right = tables.task(TASK).clone();
    tables.change(TASK, |task| {
        task.pull_requests.clear();
        task.pull_request = None;
        task.has_merge_conflict = Some(false);
    });
    let linked = right.pull_requests.clone();
    tables.change(OTHER, |task| {
        task.pull_requests = linked;
        task.pull_request = Some(key(1));
        task.has_merge_conflict = Some(true);
    });
    let report = Report::compare(REPOSITORY, PullRequestNumber(1)).claimed_by([id(OTHER)]);
    tables.apply(report, 100);
    let healed = Task { version: right.version, history: right.history.clone(), ..tables.task(TASK).clone() };
    assert_eq!(healed, right);
    assert!(tables.linked(OTHER).is_empty());
    assert_eq!((tables.task(OTHER).has_merge_conflict, &tables.task(OTHER).pull_request), (None, &None));
}

#[test]
fn a_card_that_claims_a_pull_request_without_a_row_loses_it_once_github_was_asked() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    tables.apply(Pr::new(1, TAG, 10).delivery(), 11);
    let linked = tables.task(TASK).pull_requests.clone();
    tables.rows.clear();
    tables.change(TASK, |task| task.pull_requests = linked);
    let report = Report::compare(REPOSITORY, PullRequestNumber(1)).claimed_by([id(TASK)]);
    tables.apply(report, 100);
    assert_eq!(tables.linked(TASK), [1], "a row that is lost takes no card with it");
    tables.apply(Pr::new(1, "Fix", 10).read(None).claimed_by([id(TASK)]), 101);
    assert!(tables.linked(TASK).is_empty());
}

#[test]
fn losing_the_whole_table_of_pull_requests_changes_nothing_about_where_cards_end() {
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    tables.apply(Pr::new(1, TAG, 10).merged(1000).delivery(), 1001);
    tables.move_task(TASK, Status::PrSubmitted, 2000);
    let second = Pr::new(2, TAG, 1500);
    tables.apply(second.delivery(), 1501);
    tables.rows.clear();
    // A resync finds what there is.
    tables.apply(second.read(None), 3000);
    tables.apply(Pr::new(1, TAG, 10).merged(1000).read(Some(TAG)), 3001);
    tables.look(1, 4000);
    assert_eq!((tables.status(TASK), tables.linked(TASK)), (Status::PrSubmitted, vec![1, 2]));
    tables.rows.clear();
    tables.apply(second.merged(5000).delivery(), 5001);
    assert_eq!(tables.status(TASK), Status::Done);
}

#[test]
fn a_tag_that_is_edited_away_after_the_table_was_lost_leaves_no_link_behind() {
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    let pr = Pr::new(1, TAG, 10);
    tables.apply(pr.delivery(), 11);
    tables.rows.clear();
    let edited = pr.retitled(30, "Fix");
    assert_eq!(outcomes(&tables.apply(edited.edit(TAG), 31)), [Outcome::Unlinked]);
    assert!(tables.linked(TASK).is_empty() && tables.row(1).task_ids.is_empty());
    // A link outlives a double: while the tag still stands there, nothing is said against it.
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    tables.apply(pr.delivery(), 11);
    tables.rows.clear();
    tables.add(TWIN, Status::InProgress, None);
    tables.apply(pr.retitled(30, "Fix better [kid: #4d9d444d]").edit(TAG), 31);
    assert_eq!(tables.linked(TASK), [1]);
    // A fork's title does not count yet, so it takes nothing away either.
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    tables.apply(pr.delivery(), 11);
    tables.rows.clear();
    tables.apply(pr.retitled(30, "Fix").changed(30, |pr| pr.fork = true).edit(TAG), 31);
    assert_eq!(tables.linked(TASK), [1]);
}

/// A card whose pull request was closed, and whose row is gone by its TTL since.
fn closed_and_forgotten() -> (Tables, Pr) {
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    let pr = Pr::new(1, TAG, 10);
    tables.apply(pr.delivery(), 11);
    tables.apply(pr.closed(100).delivery(), 101);
    assert_eq!(tables.row(1).ttl, Some(EPOCH + 101 + KEEP_ENDED));
    tables.rows.clear();
    (tables, pr.changed(100 * DAY, |_| {}))
}

#[test]
fn a_pull_request_that_is_reopened_and_merged_after_its_row_is_gone_closes_its_card() {
    let merged_at = 100 * DAY + 1000;
    for reopened in [true, false] {
        let (mut tables, pr) = closed_and_forgotten();
        if reopened {
            tables.apply(pr.delivery(), 100 * DAY + 1);
            assert_eq!((tables.row(1).ttl, tables.status(TASK)), (None, Status::PrSubmitted));
        }
        tables.apply(pr.merged(merged_at).delivery(), merged_at + 1);
        assert_eq!((tables.status(TASK), tables.linked(TASK)), (Status::Done, vec![1]), "reopened: {reopened}");
    }
}

#[test]
fn a_pull_request_that_is_reopened_without_its_tag_after_its_row_is_gone_closes_nothing() {
    let (mut tables, pr) = closed_and_forgotten();
    let pr = pr.retitled(100 * DAY, "Fix");
    tables.apply(pr.delivery(), 100 * DAY + 1);
    tables.apply(pr.merged(101 * DAY).delivery(), 101 * DAY + 1);
    assert_eq!(tables.status(TASK), Status::PrSubmitted);
    // The scan finds what the card claims and asks GitHub.
    tables.apply(pr.merged(101 * DAY).read(Some("Fix")).claimed_by([id(TASK)]), 102 * DAY);
    assert_eq!((tables.status(TASK), tables.linked(TASK)), (Status::PrSubmitted, vec![]));
}

#[test]
fn half_done_unlinks_of_an_earlier_version_are_finished_and_forgotten() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    tables.apply(Pr::new(1, TAG, 10).delivery(), 11);
    let row = tables.rows.get_mut(&(REPOSITORY, PullRequestNumber(1))).unwrap();
    row.snapshot.title = "Fix".into();
    row.unlinked_task_ids = std::mem::take(&mut row.task_ids);
    tables.apply(Report::compare(REPOSITORY, PullRequestNumber(1)), 20);
    assert!(tables.linked(TASK).is_empty() && tables.row(1).unlinked_task_ids.is_empty());
}

// ---- Nothing grows without bound.

#[test]
fn a_task_keeps_its_newest_pull_requests_and_merges() {
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    let many = i64::try_from(NEWEST).unwrap() + 10;
    for number in 1..=many {
        tables.move_task(TASK, Status::PrSubmitted, number * 1000 - 500);
        let pr = Pr::new(number.unsigned_abs(), TAG, number * 1000 - 900);
        tables.apply(pr.merged(number * 1000).delivery(), number * 1000 + 1);
        assert_eq!(tables.status(TASK), Status::Done, "{number}");
    }
    let task = tables.task(TASK);
    assert_eq!((task.pull_requests.len(), task.completed_by.len()), (NEWEST, NEWEST));
    assert_eq!(tables.linked(TASK).into_iter().min(), Some(11));
    // What is no longer kept was spent all the same.
    tables.change(TASK, |task| task.status = Status::PrSubmitted);
    tables.apply(Pr::new(1, TAG, 100).merged(1000).delivery(), many * 1000 + 500);
    assert_eq!(tables.status(TASK), Status::PrSubmitted);
    // What was merged after all of them was not, whatever its number is.
    tables.move_task(TASK, Status::PrSubmitted, many * 1000 + 500);
    let long_open = Pr::new(0, TAG, 200).merged(many * 1000 + 2000);
    tables.apply(long_open.delivery(), many * 1000 + 2001);
    assert_eq!(tables.status(TASK), Status::Done);
}

// ---- Facts in any order.

#[test]
fn older_facts_change_nothing_and_equal_ones_ask_github() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    let pr = Pr::new(1, TAG, 10);
    tables.apply(pr.closed(100).delivery(), 101);
    let applied = tables.apply(pr.delivery(), 102);
    assert_eq!((applied.freshness, tables.row(1).snapshot.state), (Freshness::Older, State::Closed));
    // Reopened in the same second: the higher state stands until GitHub was asked.
    let reopened = pr.changed(100, |pr| pr.state = State::Open);
    let applied = tables.apply(reopened.delivery(), 103);
    assert_eq!((applied.freshness, tables.row(1).snapshot.state), (Freshness::Tie, State::Closed));
    assert!(tables.row(1).schedule.is_at_once());
    tables.apply(reopened.answered(Mergeability::Mergeable), 104);
    assert_eq!(tables.row(1).snapshot.state, State::Open);
    assert!(!tables.row(1).schedule.is_due());
}

#[test]
fn a_read_within_the_second_of_what_it_tells_is_believed_no_more_than_a_delivery() {
    let second = EPOCH + 100;
    for (read_at, end) in
        [(second - 1, State::Closed), (second + CLOCK_SKEW, State::Closed), (second + CLOCK_SKEW + 1, State::Open)]
    {
        let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
        let pr = Pr::new(1, TAG, 100);
        tables.apply(pr.delivery(), 101);
        // It is read, and closed in the same second; the delivery of that is heard before what was read is reported.
        tables.apply(pr.closed(100).delivery(), 102);
        let applied = tables.apply(pr.answered(Mergeability::Mergeable).read_at(read_at), 103);
        assert_eq!(tables.row(1).snapshot.state, end, "{applied:?}");
        assert_eq!(
            tables.row(1).schedule.is_due(),
            end == State::Closed,
            "GitHub is asked again once that second is over"
        );
    }
}

#[test]
fn an_answer_counts_for_its_own_head_only() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    let pr = Pr::new(1, TAG, 10);
    let pushed = pr.changed(20, |pr| pr.head_sha = "b2".into());
    tables.apply(pushed.delivery(), 21);
    tables.apply(pr.answered(Mergeability::Conflicting), 22);
    assert_eq!(tables.task(TASK).has_merge_conflict, None);
    assert!(tables.row(1).schedule.is_at_once(), "what was found is about another head; it stays owed");
    tables.apply(pushed.answered(Mergeability::Conflicting), 23);
    assert_eq!(tables.task(TASK).has_merge_conflict, Some(true));
    assert!(!tables.row(1).schedule.is_due());
}

#[test]
fn a_conflict_is_blamed_on_the_only_merge_since_the_last_answer() {
    let pr = Pr::new(1, TAG, 10);
    let base = |moves| {
        let mut base = BaseMove::by(&Pr::new(8, "x", 5).merged(50).snapshot, at(50));
        base.moves = moves;
        base
    };
    let blamed = |base: BaseMove| {
        let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
        tables.apply(pr.delivery(), 11);
        tables.apply(pr.answered(Mergeability::Mergeable), 12);
        let answer = Answer { mergeability: Mergeability::Conflicting, base: Some(Box::new(base)) };
        tables.apply(pr.read(None).looked(Look { answer: Some(answer), ..Look::default() }), 60);
        tables.task(TASK).conflict_caused_by.clone()
    };
    assert_eq!(blamed(base(1)).as_deref(), Some("https://github.com/acme/app/pull/8"));
    assert_eq!(blamed(base(2)), None, "of two it is not known which");
    // As earlier versions wrote it.
    let mut old = base(0);
    old.moved_by_url = None;
    old.movers = BTreeSet::from(["https://github.com/acme/app/pull/7".to_owned()]);
    assert_eq!(blamed(old).as_deref(), Some("https://github.com/acme/app/pull/7"));
}

#[test]
fn a_comment_is_no_news_and_a_merge_always_is() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    let pr = Pr::new(1, TAG, 10);
    tables.apply(pr.delivery(), 11);
    let facts = |report: Report| report.facts.unwrap();
    assert!(!is_news(tables.row(1), &facts(pr.changed(50, |_| {}).read(None))));
    assert!(is_news(tables.row(1), &facts(pr.changed(50, |pr| pr.head_sha = "b2".into()).read(None))));
    assert!(is_news(tables.row(1), &facts(pr.merged(5).read(Some(TAG)))));
    assert!(is_news(
        tables.row(1),
        &facts(pr.changed(50, |pr| pr.installation_id = Some(InstallationId(8))).read(None))
    ));
}

// ---- One write, on condition of all it rests on.

#[test]
fn whatever_happens_between_read_and_write_is_decided_on() {
    let pr = Pr::new(1, TAG, 10);
    // The card leaves the column in which the merge finds it, and comes back in which it does not.
    for (from, to) in [(Status::PrSubmitted, Status::InProgress), (Status::InProgress, Status::PrSubmitted)] {
        let mut tables = Tables::with_task(TASK, from.clone(), Some(0));
        tables.apply(pr.delivery(), 11);
        tables.apply_while(pr.merged(1000).delivery(), 1001, |tables| tables.move_task(TASK, to.clone(), 0));
        let end = if to == Status::PrSubmitted { Status::Done } else { to };
        assert_eq!(tables.status(TASK), end);
    }
    // Only the time of the board's last writing changes, or only the repository that it names.
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    tables.apply_while(pr.merged(1000).delivery(), 5001, |tables| {
        tables.change(TASK, |task| task.updated_at = Some(at(5000)));
    });
    assert_eq!(tables.status(TASK), Status::PrSubmitted, "it may have been submitted just now, with other work");
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    tables.apply_while(pr.delivery(), 11, |tables| {
        tables.change(TASK, |task| task.repository = Some("acme/other".into()));
    });
    assert!(tables.linked(TASK).is_empty());
    // Another report about the same pull request is written first.
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    tables.add(OTHER, Status::InProgress, Some(0));
    tables.apply_while(pr.delivery(), 11, |tables| {
        tables.apply(pr.retitled(20, "Fix [kid: #bbbbbbbb]").delivery(), 21);
    });
    assert_eq!((tables.linked(TASK), tables.linked(OTHER)), (vec![], vec![1]));
    // The card moves, and the task of another tag is made.
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    tables.apply(Pr::new(1, "Fix [kid: #4d9d444d] [kid: #bbbbbbbb]", 10).delivery(), 11);
    tables.change(TASK, |task| task.has_merge_conflict = Some(true));
    tables.apply_while(Report::compare(REPOSITORY, PullRequestNumber(1)), 20, |tables| {
        tables.move_task(TASK, Status::ToDo, 15);
        tables.add(OTHER, Status::InProgress, Some(0));
    });
    assert_eq!(tables.linked(OTHER), [1]);
}

#[test]
fn a_task_that_a_decision_leaves_as_it_is_is_a_condition_of_it() {
    // A look at a merge that waits changes nothing but when the row is looked at next; the card is submitted meanwhile.
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    tables.apply(Pr::new(1, TAG, 10).merged(1000).delivery(), 1001);
    let report = Report::compare(REPOSITORY, PullRequestNumber(1)).looked(Look::default());
    tables.apply_while(report, 1100, |tables| tables.move_task(TASK, Status::PrSubmitted, 0));
    assert_eq!(tables.status(TASK), Status::Done);
}

#[test]
fn what_was_lost_is_read_again_also_where_no_tag_leads() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    let pr = Pr::new(1, TAG, 10);
    tables.apply(pr.delivery(), 11);
    // The new title names nothing, so the task that loses its link is read by its id alone.
    tables.apply_while(pr.retitled(20, "Fix").delivery(), 21, |tables| tables.move_task(TASK, Status::ToDo, 20));
    assert!(tables.linked(TASK).is_empty());
    assert_eq!(tables.status(TASK), Status::ToDo);
}

#[test]
fn what_was_asked_after_a_look_began_stays_owed() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    let pr = Pr::new(1, TAG, 10);
    tables.apply(pr.delivery(), 11);
    let row = tables.rows.get_mut(&(REPOSITORY, PullRequestNumber(1))).unwrap();
    row.version += 1;
    row.schedule = crate::schedule::Schedule::at(EPOCH + 200, 0);
    let claimed = Some(row.version);
    // GitHub is read; in the same second the title loses its tag, and the delivery of that is heard.
    tables.apply(pr.retitled(10, "Fix").edit(TAG), 12);
    let answer = Answer { mergeability: Mergeability::Mergeable, base: None };
    let look = |claimed| Look { answer: Some(answer.clone()), claimed, ..Look::default() };
    tables.apply(pr.read(None).read_at(EPOCH + 11).looked(look(claimed)), 13);
    assert!(tables.row(1).schedule.is_at_once());
    let claimed = Some(tables.row(1).version);
    tables.apply(pr.retitled(10, "Fix").read(None).looked(look(claimed)), 100);
    assert!(tables.linked(TASK).is_empty() && !tables.row(1).schedule.is_due());
}

#[test]
fn a_title_that_lost_its_tag_before_anything_was_stored_is_newer_than_what_comes_late() {
    let opened = Pr::new(1, TAG, 10);
    let closed = opened.closed(20);
    for late in [opened.delivery(), closed.delivery(), opened.answered(Mergeability::Mergeable)] {
        let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
        tables.apply(closed.retitled(20, "Fix").edit(TAG), 21);
        tables.apply(late, 22);
        assert!(tables.linked(TASK).is_empty() || tables.row(1).schedule.is_due(), "{:?}", tables.row(1));
    }
}

#[test]
fn of_two_looks_that_overlap_the_one_that_is_overtaken_has_the_second_asked_about_again() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    let open = Pr::new(1, TAG, 10);
    tables.apply(open.delivery(), 11);
    let (closed, reopened) = (open.closed(20), open.changed(20, |_| {}));
    // One reads GitHub between the closing and the reopening, in one second, and writes when the other has settled everything.
    let look = |claimed| Look { claimed: Some(claimed), ..Look::default() };
    let claimed = tables.row(1).version;
    tables.apply(reopened.delivery(), 21);
    let answer = Some(Answer { mergeability: Mergeability::Mergeable, base: None });
    let settling = Look { answer, ..look(tables.row(1).version) };
    tables.apply(reopened.read(None).read_at(EPOCH + 20).looked(settling), 22);
    assert!(!tables.row(1).schedule.is_due());
    for now in [23, 24] {
        tables.apply(closed.read(None).read_at(EPOCH + 20).looked(look(claimed)), now);
        let schedule = &tables.row(1).schedule;
        let over = EPOCH + 20 + CLOCK_SKEW + 1;
        assert_eq!(
            schedule.next_check_at,
            Some(over),
            "once that second is over, and not at once: the two would ask for one another"
        );
    }
    // Nor where what is stored stands.
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    tables.apply(open.answered(Mergeability::Mergeable), 11);
    let pushed = open.changed(10, |snapshot| snapshot.head_sha = "b2".to_owned());
    tables.apply(pushed.read(None).read_at(EPOCH + 10).looked(look(0)), 12);
    assert_eq!(tables.row(1).schedule.next_check_at, Some(EPOCH + 10 + CLOCK_SKEW + 1));
}

#[test]
fn an_answer_for_another_head_of_the_same_second_is_none() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    let pr = Pr::new(1, TAG, 10);
    tables.apply(pr.read(None), 11);
    let pushed = pr.changed(10, |snapshot| snapshot.head_sha = "b2".to_owned());
    tables.apply(pushed.answered(Mergeability::Conflicting).read_at(EPOCH + 10), 12);
    let row = tables.row(1);
    assert_eq!((row.snapshot.head_sha.as_str(), row.mergeability), ("a1", Mergeability::Unknown));
}

#[test]
fn an_answer_that_came_with_older_facts_is_asked_for_again() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    let pr = Pr::new(1, TAG, 10);
    tables.apply(pr.delivery(), 11);
    tables.apply(pr.answered(Mergeability::Mergeable), 12);
    assert!(!tables.row(1).schedule.is_due());
    // The base moved, its list was read, and the title was edited before what the list said was written: the head is the same.
    tables.apply(pr.retitled(200, &format!("{TAG} again")).edit(TAG), 201);
    tables.apply(pr.answered(Mergeability::Conflicting), 202);
    assert!(tables.row(1).schedule.is_at_once());
    // GitHub does not know yet, and is asked until it does.
    let look = Look { claimed: Some(tables.row(1).version), ..Look::default() };
    tables.apply(pr.retitled(200, &format!("{TAG} again")).read(None).looked(look), 203);
    assert!(tables.row(1).schedule.is_due());
}

#[test]
fn an_answer_of_before_the_link_went_and_came_back_is_asked_for_again() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    let pr = Pr::new(1, TAG, 10);
    tables.apply(pr.delivery(), 11);
    tables.apply(pr.answered(Mergeability::Mergeable), 12);
    tables.apply(pr.retitled(100, "Work").edit(TAG), 101);
    assert_eq!(tables.linked(TASK), [0; 0]);
    // The base moves, and nobody asks about a pull request without a task.
    tables.apply(pr.retitled(200, TAG).edit("Work"), 201);
    assert_eq!(tables.linked(TASK), [1]);
    assert!(tables.row(1).schedule.is_at_once());
    tables.apply(pr.retitled(200, TAG).answered(Mergeability::Conflicting), 202);
    assert!(!tables.row(1).schedule.is_due());
}

#[test]
fn a_task_that_is_created_between_read_and_write_is_not_taken_for_absent() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    let pr = Pr::new(1, TAG, 10);
    tables.apply(pr.delivery(), 11);
    tables.tasks.remove(&id(TASK));
    tables.apply_while(Report::compare(REPOSITORY, PullRequestNumber(1)), 20, |tables| {
        tables.add(TASK, Status::InProgress, Some(0));
    });
    assert_eq!(tables.linked(TASK), [1]);
}

#[test]
fn round_trips_are_as_few_as_the_decision_allows() {
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    tables.add(OTHER, Status::PrSubmitted, Some(0));
    let pr = Pr::new(1, TAG, 10);
    tables.apply(pr.delivery(), 11);
    tables.trips();
    let merged = pr.merged(1000);
    tables.apply(merged.delivery(), 1001);
    assert_eq!(tables.trips(), 2, "the row and its tags at once, and the write");
    tables.apply(merged.delivery(), 1002);
    assert_eq!(tables.trips(), 1, "a redelivery reads");
    let pr = Pr::new(2, TAG, 10);
    tables.apply(pr.delivery(), 11);
    tables.trips();
    tables.apply(pr.retitled(20, "Fix [kid: #bbbbbbbb]").merged(21).delivery(), 22);
    assert_eq!(tables.trips(), 3, "the task that loses its link is read in between");
    let pr = Pr::new(3, TAG, 10);
    tables.apply(pr.delivery(), 11);
    tables.trips();
    tables.apply(pr.changed(20, |pr| pr.draft = true).edit("Fix [kid: #bbbbbbbb]"), 21);
    assert_eq!(tables.trips(), 2, "where there is a row, the title before is not looked up");
}

#[test]
fn the_answer_to_a_tag_that_was_begun_and_not_ended_says_so() {
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    for (number, title, begun) in [(1, "Fix [kid: #4d9d4…", true), (2, "Fix [kid: #4d9d444d", true), (3, TAG, false)]
    {
        let applied = tables.apply(Pr::new(number, title, 10).delivery(), 11);
        let answer = Answered::applied(&applied, "acme/app#1".to_owned(), "main");
        let says = answer.reason.is_some_and(|reason| reason.contains("begins a kid tag and does not end it"));
        assert_eq!(says, begun, "{title}");
    }
}

#[test]
fn a_write_whose_answer_was_lost_is_recognised() {
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    let (mut protocol, mut next) = Protocol::start(Pr::new(1, TAG, 10).merged(1000).delivery(), at(1001));
    let mut lost = false;
    let applied = loop {
        next = match next {
            Next::Read(reads) => {
                let found: Vec<_> = reads.into_iter().map(|read| (read.clone(), tables.read(&read))).collect();
                protocol.found(found)
            }
            Next::Write(writes) => {
                let written = tables.write(writes);
                assert!(!std::mem::replace(&mut lost, true), "it is not written twice");
                assert_eq!(written, Written::Done);
                protocol.written(Written::Lost)
            }
            Next::Done(applied) => break applied,
            Next::GiveUp => panic!("it was written"),
        };
    };
    assert_eq!(outcomes(&applied), [Outcome::Moved { from: Status::PrSubmitted }]);
}

#[test]
fn who_lost_a_move_to_a_newer_pull_request_does_not_tell_of_it() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    let merged = Pr::new(1, TAG, 10).merged(1000);
    tables.apply(merged.delivery(), 1001);
    // Submitted about when it was merged: its redelivery moves the card, and writes the card alone. But a newer one is linked meanwhile.
    tables.move_task(TASK, Status::PrSubmitted, 1010);
    let applied = tables.apply_while(merged.delivery(), 1011, |tables| {
        tables.apply(Pr::new(2, TAG, 1005).delivery(), 1012);
    });
    assert_eq!(tables.status(TASK), Status::PrSubmitted);
    assert_ne!(outcomes(&applied), [Outcome::Moved { from: Status::PrSubmitted }]);
    assert!(applied.changes.is_empty(), "{:?}", applied.changes);
}

#[test]
fn a_merge_without_a_row_moves_its_base_once() {
    let mut tables = Tables::default();
    let merged = Pr::new(1, "Fix", 10).merged(1000);
    for now in [1001, 1002] {
        let applied = tables.apply(merged.delivery(), now);
        assert!(applied.pull_request.is_none());
    }
    assert_eq!(tables.bases["main"].moves, 1);
    tables.apply(Pr::new(2, "Fix", 10).merged(1100).delivery(), 1101);
    assert_eq!((tables.bases["main"].moves, tables.bases["main"].moved_by), (2, PullRequestNumber(2)));
    // With a row it is the row that tells.
    let tagged = Pr::new(3, TAG, 10).merged(1200);
    for (now, first) in [(1201, true), (1202, false)] {
        assert_eq!(tables.apply(tagged.delivery(), now).base_moved, first);
    }
    assert_eq!(tables.bases["main"].moves, 3);
}

#[test]
fn a_merge_of_before_rows_are_kept_moves_no_base_unless_its_row_is_there() {
    let pr = Pr::new(1, TAG, 10);
    let merged = pr.merged(1000).read(Some(TAG));
    let moved = |opened: bool, now: i64| {
        let mut tables = Tables::default();
        if opened {
            tables.apply(pr.delivery(), 11);
        }
        tables.apply(merged.clone(), now).base_moved
    };
    assert!(!moved(false, 1000 + KEEP_ENDED), "what moved then was asked about while there was a row");
    assert!(moved(false, 999 + KEEP_ENDED));
    assert!(moved(true, 1000 + KEEP_ENDED), "nobody has heard of it yet");
}

#[test]
fn whoever_loses_again_and_again_gives_up() {
    let (mut protocol, mut next) = Protocol::start(Pr::new(1, TAG, 10).delivery(), at(11));
    let tables = Tables::with_task(TASK, Status::InProgress, None);
    for _ in 0..2 * TRIES {
        next = match next {
            Next::Read(reads) => {
                let found: Vec<_> = reads.into_iter().map(|read| (read.clone(), tables.read(&read))).collect();
                protocol.found(found)
            }
            Next::Write(_) => protocol.written(Written::Busy),
            other => other,
        };
    }
    assert!(matches!(next, Next::GiveUp), "{next:?}");
    assert_eq!(protocol.tries(), TRIES);
}

#[test]
fn tags_beyond_the_first_do_not_count_and_each_task_is_written_once() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, None);
    let applied = tables.apply(Pr::new(1, "Fix [kid: #4d9d444d] [kid: #4d9d444d0198]", 10).delivery(), 11);
    assert_eq!(outcomes(&applied), [Outcome::Linked, Outcome::Linked]);
    assert_eq!((tables.row(1).task_ids.len(), tables.task(TASK).version), (1, 1));
}

// ---- Any history, any loss, any order.

mod histories {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::{OTHER, Pr, REPOSITORY, TASK, Tables, key};
    use crate::ids::{PullRequestKey, PullRequestNumber};
    use crate::pull_request::{Mergeability, State};
    use crate::report::{Answer, Look, Report};
    use crate::task::Status;

    const TITLES: [&str; 4] =
        ["Fix", "Fix [kid: #4d9d444d]", "Fix [kid: #bbbbbbbb]", "Fix [kid: #4d9d444d] [kid: #bbbbbbbb]"];

    #[derive(Debug, Clone)]
    enum Op {
        Open(usize),
        Retitle(usize, usize),
        Push(usize),
        Close(usize),
        Reopen(usize),
        Merge(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        let (at, title) = (0..3_usize, 0..TITLES.len());
        prop_oneof![
            3 => title.clone().prop_map(Op::Open),
            2 => (at.clone(), title).prop_map(|(at, title)| Op::Retitle(at, title)),
            1 => at.clone().prop_map(Op::Push),
            1 => at.clone().prop_map(Op::Close),
            1 => at.clone().prop_map(Op::Reopen),
            2 => at.prop_map(Op::Merge),
        ]
    }

    /// A pull request on GitHub, with what was true when it was merged.
    struct Real {
        pr: Pr,
        title_at_merge: Option<String>,
    }

    impl Real {
        fn names(&self, task: &str) -> bool {
            let title = self.title_at_merge.as_ref().unwrap_or(&self.pr.snapshot.title);
            title.contains(&format!("#{}]", &task[..8]))
        }

        fn read(&self) -> Report {
            self.pr.read(self.title_at_merge.as_deref())
        }
    }

    /// Lets something happen, and gives its delivery.
    fn happen(real: &mut Vec<Real>, op: &Op, time: i64) -> Option<Report> {
        if let Op::Open(title) = op {
            let pr = Pr::new(real.len() as u64 + 1, TITLES[*title], time);
            let delivery = pr.delivery();
            real.push(Real { pr, title_at_merge: None });
            return Some(delivery);
        }
        let (Op::Retitle(at, _) | Op::Push(at) | Op::Close(at) | Op::Reopen(at) | Op::Merge(at) | Op::Open(at)) = op;
        let found = real.get_mut(*at)?;
        let state = found.pr.snapshot.state;
        let (next, delivery) = match (op, state) {
            (Op::Retitle(_, title), _) => {
                let next = found.pr.retitled(time, TITLES[*title]);
                let delivery = next.edit(&found.pr.snapshot.title);
                (next, delivery)
            }
            (Op::Push(_), State::Open) => {
                let next = found.pr.changed(time, |pr| pr.head_sha = format!("h{time}"));
                (next.clone(), next.delivery())
            }
            (Op::Close(_), State::Open) => (found.pr.closed(time), found.pr.closed(time).delivery()),
            (Op::Reopen(_), State::Closed) => {
                let next = found.pr.changed(time, |pr| {
                    pr.state = State::Open;
                    pr.ended_at = None;
                });
                (next.clone(), next.delivery())
            }
            (Op::Merge(_), State::Open) => {
                found.title_at_merge = Some(found.pr.snapshot.title.clone());
                (found.pr.merged(time), found.pr.merged(time).delivery())
            }
            _ => return None,
        };
        found.pr = next;
        Some(delivery)
    }

    /// What nobody's deliveries told is read, as a resync does.
    fn resync(tables: &mut Tables, real: &[Real], now: i64) {
        for one in real {
            let answer = Answer { mergeability: Mergeability::Mergeable, base: None };
            let look = Look { answer: Some(answer), open_read_at: Some(super::EPOCH + now), ..Look::default() };
            tables.apply(one.read().looked(look), now);
        }
        for one in real {
            tables.apply(Report::compare(REPOSITORY, one.pr.snapshot.number), now);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_board_ends_as_github_is_whatever_became_of_the_deliveries(
            ops in prop::collection::vec(op(), 1..12),
            fates in prop::collection::vec((0..3_u8, 0..6_usize), 12),
            within_a_second in any::<bool>(),
        ) {
            let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(-1000));
            tables.add(OTHER, Status::PrSubmitted, Some(-1000));
            let mut real = Vec::new();
            let mut late: Vec<(usize, Report)> = Vec::new();
            for (step, (op, (copies, delay))) in ops.iter().zip(&fates).enumerate() {
                let time = if within_a_second { 100 } else { 100 + i64::try_from(step).unwrap() };
                if let Some(delivery) = happen(&mut real, op, time) {
                    late.extend((0..*copies).map(|copy| (step + delay * usize::from(copy), delivery.clone())));
                }
                for (_, delivery) in late.extract_if(.., |(at, _)| *at <= step).collect::<Vec<_>>().into_iter().rev() {
                    tables.apply(delivery, 200 + i64::try_from(step).unwrap());
                }
            }
            late.into_iter().rev().for_each(|(_, delivery)| drop(tables.apply(delivery, 300)));
            resync(&mut tables, &real, 1000);
            for task in [TASK, OTHER] {
                let named: BTreeMap<PullRequestKey, State> = real.iter().filter(|one| one.names(task))
                    .map(|one| (key(one.pr.snapshot.number.0), one.pr.snapshot.state)).collect();
                let merges: BTreeSet<_> = named.iter().filter(|(_, state)| **state == State::Merged).map(|(key, _)| key.clone()).collect();
                let card = tables.task(task);
                let linked: BTreeMap<_, _> = card.pull_requests.iter().map(|(key, linked)| (key.clone(), linked.state)).collect();
                prop_assert_eq!(linked, named);
                prop_assert_eq!(&card.completed_by, &merges);
                prop_assert_eq!(card.status == Status::Done, !merges.is_empty());
                prop_assert!(card.is_derived());
            }
            for one in &real {
                let row = tables.rows.get(&(REPOSITORY, PullRequestNumber(one.pr.snapshot.number.0)));
                prop_assert!(row.is_none_or(|row| !row.title_unconfirmed && row.snapshot.state == one.pr.snapshot.state));
            }
        }
    }
}

// ---- What a card's history tells.

/// What, why and through which function, of each entry.
fn told(tables: &Tables) -> Vec<(String, String, String)> {
    let entries = tables.task(TASK).history.iter();
    entries.map(|entry| (entry.what.clone(), entry.why.clone().unwrap_or_default(), entry.by.clone())).collect()
}

fn entry(what: &str, why: &str, by: &str) -> (String, String, String) {
    (what.to_owned(), why.to_owned(), by.to_owned())
}

#[test]
fn each_change_of_a_card_is_told_once_with_its_delivery() {
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    let pr = Pr::new(1, TAG, 10);
    let delivered = |report: Report, id: &str| report.delivered_as(Some(DeliveryGuid::of_header(id)));
    tables.apply(delivered(pr.delivery(), "d-1"), 11);
    tables.apply(pr.answered(Mergeability::Conflicting), 12);
    tables.apply(pr.answered(Mergeability::Mergeable), 13);
    tables.apply(delivered(pr.merged(100).delivery(), "d-2"), 101);
    let expected = [
        entry("linked", "", "webhook"),
        entry("updated", "it conflicts with its base", "reconcile"),
        entry("updated", "it conflicts no longer", "reconcile"),
        entry("moved", "pr_submitted → done; the pull request is merged", "webhook"),
    ];
    assert_eq!(told(&tables), expected);
    let history = &tables.task(TASK).history;
    let first = history.first().unwrap();
    assert_eq!((first.at, first.pull_request.as_str()), (EPOCH + 11, "acme/app#1"));
    let deliveries: Vec<_> = history.iter().map(|entry| entry.delivery.clone()).collect();
    let guid = |id| Some(DeliveryGuid::of_header(id));
    assert_eq!(deliveries, [guid("d-1"), None, None, guid("d-2")]);
}

#[test]
fn what_changes_nothing_is_not_told() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    let pr = Pr::new(1, TAG, 10);
    tables.apply(pr.delivery(), 11);
    tables.apply(pr.delivery(), 12);
    tables.apply(pr.answered(Mergeability::Mergeable), 13);
    // GitHub says the same again: only the time of its answer is new.
    let before = tables.task(TASK).history.clone();
    tables.apply(pr.answered(Mergeability::Mergeable), 500);
    assert_eq!(tables.task(TASK).conflict_checked_at, Some(EPOCH + 500));
    assert_eq!(tables.task(TASK).history, before);
    tables.apply(pr.merged(600).delivery(), 601);
    let last = told(&tables).pop().unwrap();
    assert_eq!(last.0, "updated");
    assert!(last.1.contains("only pr_submitted moves to done"), "{last:?}");
}

#[test]
fn a_link_that_goes_is_told_and_by_whom() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    tables.apply(Pr::new(1, TAG, 10).delivery(), 11);
    tables.apply(Pr::new(1, TAG, 10).retitled(20, "no tag").edit(TAG), 21);
    assert_eq!(told(&tables).pop(), Some(entry("unlinked", "", "webhook")));
    // A card that claims what does not name it, found by the scan.
    tables.change(TASK, |task| task.link(&other_row()));
    let report = Pr::new(9, "no tag", 10).read(None).claimed_by([id(TASK)]);
    tables.apply(report, 30);
    assert_eq!(told(&tables).pop(), Some(entry("unlinked", "", "reconcile")));
    assert_eq!(tables.task(TASK).history.last().unwrap().pull_request, "acme/app#9");
}

/// The row of a pull request 9 that is not stored.
fn other_row() -> PullRequest {
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    tables.apply(Pr::new(9, TAG, 10).delivery(), 11);
    tables.row(9).clone()
}

#[test]
fn a_history_keeps_the_newest_entries() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    let entries = i64::try_from(history::NEWEST).unwrap() + 5;
    for number in 1..=entries {
        tables.apply(Pr::new(number.unsigned_abs(), TAG, number).delivery(), number);
    }
    let times: Vec<_> = tables.task(TASK).history.iter().map(|entry| entry.at - EPOCH).collect();
    assert_eq!(times, (6..=entries).collect::<Vec<_>>());
}

#[test]
fn a_card_without_a_history_and_one_with_another_thing_there_are_read() {
    let item = |history: serde_json::Value| serde_json::json!({"id": TASK, "status": "idea", "history": history});
    let old: Task = serde_json::from_value(serde_json::json!({"id": TASK, "status": "idea"})).unwrap();
    assert!(old.history.is_empty());
    for odd in [serde_json::json!("mine"), serde_json::json!([{"at": "noon"}]), serde_json::Value::Null] {
        let task: Task = serde_json::from_value(item(odd)).unwrap();
        assert!(task.history.is_empty());
    }
}

#[test]
fn a_version_that_cannot_be_counted_further_begins_anew() {
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    tables.change(TASK, |task| task.version = u64::MAX);
    tables.apply(Pr::new(1, TAG, 10).merged(20).delivery(), 21);
    assert_eq!((tables.status(TASK), tables.task(TASK).version), (Status::Done, 1));
}

/// The items are written by others too: whatever stands there, it is decided, or the item is no task.
#[test]
fn a_hostile_card_or_row_is_decided_on() {
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    let pr = Pr::new(1, TAG, 10);
    tables.apply(pr.delivery(), 11);
    let row = serde_json::to_string(tables.row(1)).unwrap();
    let card = serde_json::json!({
        "id": TASK, "prefix": &TASK[..8], "status": "pr_submitted", "updated_at": "2026-01-01T00:00:00Z", "repository": "acme/app",
        "repository_id": "1001", "bound_name": "acme/app", "version": 3, "completed_by": ["1001#7"], "completed_at": EPOCH,
        "pull_requests": {"1001#1": {"state": "open", "url": "https://github.com/acme/app/pull/1", "created_at": "2026-01-01T00:00:00Z",
            "mergeability": "conflicting", "checked_at": EPOCH, "caused_by": "https://github.com/acme/app/pull/2"}},
        "pull_request": "1001#1", "has_merge_conflict": true, "conflict_checked_at": EPOCH,
        "history": [{"at": EPOCH, "what": "linked", "by": "webhook"}]});
    hostile::attack(&[card.to_string(), row], |input| {
        let mut tables = Tables::default();
        if let Ok(task) = serde_json::from_slice::<Task>(input) {
            tables.tasks.insert(id(TASK), Stored::Task(Box::new(Task { id: id(TASK), ..task })));
        }
        if let Ok(row) = serde_json::from_slice::<PullRequest>(input) {
            let snapshot = Snapshot { repository_id: REPOSITORY, number: PullRequestNumber(1), ..row.snapshot };
            tables.rows.insert((REPOSITORY, PullRequestNumber(1)), PullRequest { snapshot, ..row });
        }
        tables.apply(pr.merged(20).delivery(), 21);
        tables.look(1, 200);
    });
}

/// The link was made while the tag was unique, and a double of the task came later: where the row was lost, the card's own record says so.
#[test]
fn a_lost_row_takes_no_link_whose_tag_has_become_ambiguous() {
    for lost in [false, true] {
        let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
        let pr = Pr::new(1, TAG, 10);
        tables.apply(pr.delivery(), 11);
        tables.add(TWIN, Status::InProgress, Some(20));
        if lost {
            tables.rows.clear();
            tables.apply(pr.read(None), 30);
        }
        tables.apply(pr.merged(1000).delivery(), 1001);
        tables.apply(Report::compare(REPOSITORY, PullRequestNumber(1)).claimed_by([id(TASK)]), DAY);
        assert_eq!(
            (tables.status(TASK), tables.linked(TASK), tables.linked(TWIN)),
            (Status::Done, vec![1], vec![]),
            "lost: {lost}"
        );
    }
    let (mut tables, pr) = closed_and_forgotten();
    tables.add(TWIN, Status::InProgress, Some(20));
    tables.apply(pr.delivery(), 100 * DAY + 1);
    tables.apply(pr.merged(100 * DAY + 1000).delivery(), 100 * DAY + 1001);
    assert_eq!(tables.status(TASK), Status::Done, "by TTL");
}

/// Both have it: nobody knows whose it is, as of a tag that was never unique.
#[test]
fn of_two_tasks_that_claim_a_lost_row_none_is_chosen() {
    let mut tables = Tables::with_task(TASK, Status::PrSubmitted, Some(0));
    let pr = Pr::new(1, TAG, 10);
    tables.apply(pr.delivery(), 11);
    let links = tables.task(TASK).pull_requests.clone();
    tables.add(TWIN, Status::PrSubmitted, Some(0));
    tables.change(TWIN, |task| task.pull_requests = links);
    tables.rows.clear();
    tables.apply(pr.merged(1000).delivery(), 1001);
    assert_eq!((tables.status(TASK), tables.status(TWIN)), (Status::PrSubmitted, Status::PrSubmitted));
}

#[test]
fn who_was_merged_into_another_base_caused_no_conflict() {
    let pr = Pr::new(1, TAG, 10);
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    tables.apply(pr.delivery(), 11);
    tables.apply(pr.answered(Mergeability::Mergeable), 12);
    let base = BaseMove::by(&Pr::new(8, "x", 5).merged(50).snapshot, at(50));
    let answer = Answer { mergeability: Mergeability::Conflicting, base: Some(Box::new(base)) };
    tables.apply(pr.read(None).looked(Look { answer: Some(answer), ..Look::default() }), 60);
    assert!(tables.task(TASK).conflict_caused_by.is_some(), "its own base");
    let retargeted = pr.changed(100, |pr| pr.base = "release".into());
    tables.apply(retargeted.delivery(), 101);
    tables.apply(retargeted.answered(Mergeability::Conflicting), 102);
    let task = tables.task(TASK);
    assert_eq!((task.has_merge_conflict, task.conflict_caused_by.as_deref()), (Some(true), None));
}

#[test]
fn a_pull_request_older_than_those_a_task_keeps_is_not_linked_again_and_again() {
    let mut tables = Tables::with_task(TASK, Status::InProgress, Some(0));
    for number in 1..=51 {
        tables.apply(Pr::new(number, TAG, number as i64).delivery(), 100 + number as i64);
    }
    let applied = tables.apply(Pr::new(1, TAG, 1).delivery(), 200);
    assert_eq!(outcomes(&applied), [Outcome::Unchanged]);
    assert!(!tables.linked(TASK).contains(&1));
}

/// What another writer put for the count of our writes makes no card unreadable, and the last number that fits ends no try.
#[test]
fn a_version_of_another_shape_is_counted_anew() {
    use serde_json::json;
    for version in [json!(null), json!("3"), json!(-1), json!(1.5), json!(u64::MAX)] {
        let card = json!({"id": TASK, "status": "pr_submitted", "version": version, "completed_by": null});
        let mut tables = Tables::default();
        tables.tasks.insert(id(TASK), Stored::Task(Box::new(serde_json::from_value(card).unwrap())));
        let (mut protocol, mut next) = Protocol::start(Pr::new(1, TAG, 10).merged(1000).delivery(), at(1001));
        let applied = loop {
            next = match next {
                Next::Read(reads) => protocol.found(reads.into_iter().map(|read| (read.clone(), tables.read(&read)))),
                // Its answer is lost: it is found again as what was to be written.
                Next::Write(writes) => {
                    tables.write(writes);
                    protocol.written(Written::Lost)
                }
                Next::Done(applied) => break applied,
                Next::GiveUp => panic!("with {version}"),
            };
        };
        assert_eq!(
            (tables.status(TASK), outcomes(&applied)),
            (Status::Done, vec![Outcome::Moved { from: Status::PrSubmitted }]),
            "{version}"
        );
    }
}
