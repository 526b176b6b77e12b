//! One decision, one write: which items are read, and what is written on which condition.
//!
//! A state machine without I/O. Whoever drives it makes the calls it asks for and hands back what came of them: `adapters` against DynamoDB,
//! `tests/model` against a table in memory, in every order of calls, crashes and lost answers. The model describes no second protocol.
//!
//! Everything that a decision changes is written in one transaction, on condition that nothing it rests on has changed since it was read. So
//! nobody ever sees half of a decision, and there is nothing to resume. Where the condition fails, everything is read and decided again.
//!
//! - Two reports about one pull request at once: both condition on its row's `version`, so one is decided after the other.
//! - A board that moves a card between the read and the write: the transaction conditions on the board's attributes ([`RESTS_ON`]) of each
//!   task it rests on, also of those it does not change.
//! - A decision that writes nothing is not conditioned on anything. That is safe: whatever replaced what was read was itself decided knowing it.
//! - A tag that led to no task cannot be conditioned on. It follows from the row that it is owed, and it is looked up again.
//! - A write whose answer was lost is repeated by the SDK or found again: what is stored then is what was to be written.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::ids::TaskId;
use crate::kid_tag::{KidTag, Tags};
use crate::lifecycle;
use crate::outcome::{Applied, Change};
use crate::pull_request::PullRequest;
use crate::report::Report;
use crate::task::Task;

#[doc(no_inline)]
pub use crate::storage::{Found, Match, Read, Stored, Write, Written};
#[doc(no_inline)]
pub use crate::task::RESTS_ON;

/// How often a decision is made again because somebody else was faster, before it is given up for a later run.
pub const TRIES: u32 = 8;

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// These reads, all at the same time, and [`Protocol::found`].
    Read(Vec<Read>),
    /// These operations in one transaction, and [`Protocol::written`].
    Write(Vec<Write>),
    /// Nothing: it is decided and durable.
    Done(Box<Applied>),
    /// Nothing: other writers won every try. Nothing was written.
    GiveUp,
}

/// One report on its way into the tables.
#[derive(Debug, Clone)]
pub struct Protocol {
    report: Report,
    now: Timestamp,
    tries: u32,
    row: Option<Box<PullRequest>>,
    tags: BTreeMap<KidTag, Match>,
    tasks: BTreeMap<TaskId, Stored>,
    /// What was last tried to be written.
    tried: Option<Box<Applied>>,
}

impl Protocol {
    /// The protocol for a report, and what to do first.
    pub fn start(report: Report, now: Timestamp) -> (Self, Next) {
        let protocol =
            Self { report, now, tries: 0, row: None, tags: BTreeMap::new(), tasks: BTreeMap::new(), tried: None };
        let first = protocol.first_reads();
        (protocol, Next::Read(first))
    }

    /// Takes what the reads found, in any order.
    pub fn found(&mut self, found: impl IntoIterator<Item = (Read, Found)>) -> Next {
        for (read, found) in found {
            match (read, found) {
                (Read::PullRequest(..), Found::PullRequest(row)) => self.row = row,
                (Read::Tag(tag), Found::Tag(tasks)) => self.take_tag(tag, tasks),
                (Read::Task(id), Found::Task(stored)) => drop(self.tasks.insert(id, stored)),
                _ => {}
            }
        }
        let row = self.row.clone();
        let missing = self.missing_reads(row.as_deref());
        if !missing.is_empty() {
            return Next::Read(missing);
        }
        let (writes, applied) = lifecycle::decide(row.as_deref(), &self.report, &self.tags, &self.tasks, self.now);
        if writes.is_empty() {
            let written = self.tried.take().filter(|tried| self.is_stored(tried, row.as_deref()));
            return Next::Done(written.unwrap_or_else(|| Box::new(applied)));
        }
        self.tried = Some(Box::new(applied));
        Next::Write(writes)
    }

    /// Whether nothing is left to do because an earlier try was written after all, and only its answer was lost. A row alone does not show it: a
    /// try that writes none leaves it as it was, and who lost such a try would tell of moves that nobody made.
    fn is_stored(&self, tried: &Applied, row: Option<&PullRequest>) -> bool {
        let is_there = |Change { before, after }: &Change| match self.tasks.get(&after.id) {
            // The write itself counts, and what was spoilt is right after it.
            Some(Stored::Task(task)) => {
                let after = Task {
                    version: lifecycle::version_after(before.version),
                    is_spoilt: task.is_spoilt,
                    ..after.clone()
                };
                **task == after
            }
            Some(Stored::Unreadable | Stored::Absent) | None => false,
        };
        tried.pull_request.as_ref() == row && tried.changes.iter().all(is_there)
    }

    /// Takes what came of the transaction.
    pub fn written(&mut self, written: Written) -> Next {
        let without_row = self.tried.as_ref().is_some_and(|tried| tried.pull_request.is_none() && tried.base_moved);
        // A merge without a row that has moved its base already has nothing left to do.
        if written == Written::Done || (written == Written::Lost && without_row) {
            return self.tried.take().map_or(Next::GiveUp, Next::Done);
        }
        self.tries += 1;
        if self.tries >= TRIES {
            return Next::GiveUp;
        }
        // The row is read with every try.
        self.tags.clear();
        self.tasks.clear();
        Next::Read(self.first_reads())
    }

    /// How often somebody else was faster.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// The row, and beside it the tags that most likely count.
    fn first_reads(&self) -> Vec<Read> {
        let tags = self.report.facts.iter().flat_map(|facts| Tags::of(&facts.snapshot.title).named);
        let row = Read::PullRequest(self.report.repository_id, self.report.number);
        std::iter::once(row).chain(tags.map(Read::Tag)).collect()
    }

    fn missing_reads(&self, row: Option<&PullRequest>) -> Vec<Read> {
        let observed = lifecycle::observe(row, &self.report, self.now);
        let tags =
            observed.tags(row, &self.report).into_iter().filter(|tag| !self.tags.contains_key(tag)).map(Read::Tag);
        let tasks = observed.tasks(row, &self.report);
        let tasks = tasks.into_iter().filter(|id| !self.tasks.contains_key(id)).map(Read::Task);
        tags.chain(tasks).collect()
    }

    /// What cannot be read counts where nothing else has the tag: it must not hold up a task that can be.
    fn take_tag(&mut self, tag: KidTag, tasks: Vec<(TaskId, Stored)>) {
        let mut readable = tasks.iter().filter(|(_, stored)| stored.is_readable());
        let found = match (readable.next(), readable.next(), tasks.first()) {
            (Some(_), Some(_), _) => Match::Several,
            (Some((id, _)), None, _) | (None, _, Some((id, _))) => Match::One(id.clone()),
            (None, _, None) => Match::None,
        };
        self.tags.insert(tag, found);
        self.tasks.extend(tasks);
    }
}

/// What a report would make of what `read` tells, were it written. `None`: what is told contradicts itself.
pub fn foresee(report: Report, now: Timestamp, read: impl Fn(&Read) -> Found) -> Option<Applied> {
    let (mut protocol, mut next) = Protocol::start(report, now);
    // The row and its tags, and once more what they lead to.
    for _ in 0..3 {
        next = match next {
            Next::Read(reads) => {
                let found: Vec<_> = reads.into_iter().map(|wanted| (wanted.clone(), read(&wanted))).collect();
                protocol.found(found)
            }
            Next::Write(_) => protocol.written(Written::Done),
            Next::Done(applied) => return Some(*applied),
            Next::GiveUp => return None,
        };
    }
    match next {
        Next::Done(applied) => Some(*applied),
        _ => None,
    }
}
