//! `domain::protocol` as an automaton of numbers: each step of it is computed once, by the very code, and looked up ever after.

use std::rc::Rc;

use domain::base::BaseMove;
use domain::kid_tag::KidTag;
use domain::outcome::Outcome;
use domain::protocol::{Found, Next, Protocol, Read, Stored, Write, Written};
use domain::pull_request::PullRequest;
use domain::report::{Facts, Report};
use domain::task::Task;

use crate::store::{Fingerprint, Map, Store, fingerprint};
use crate::world::{BEGIN, SIZE, pull_request_of, task_id, task_of, time};

/// One read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    /// The row of a pull request; `SIZE` is one that has none.
    Row(u8),
    /// The tasks of a tag.
    Tag(u8),
    /// A task.
    Task(u8),
}

impl Key {
    /// A bit for each that there may be.
    pub(crate) fn bit(&self) -> u32 {
        let (kind, of) = match self {
            Self::Row(pr) => (0, pr),
            Self::Tag(task) => (1, task),
            Self::Task(task) => (2, task),
        };
        1 << (kind * (SIZE as u32 + 1) + u32::from(*of))
    }
}

/// One operation of a transaction; whatever is written, or was read of a task, is a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    PutRow { pr: u8, row: u32, read: u64 },
    CheckRow { pr: u8, read: u64 },
    UpdateTask { task: u8, before: u32, after: u32 },
    CheckTask { task: u8, before: u32 },
    CheckNoTask { task: u8 },
    MoveBase { base: u32, once: bool },
}

/// What the protocol wants next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Wants {
    Read(Rc<[Key]>),
    Write(Rc<[Op]>),
    /// It is done. Whether reconcile has to read the open pull requests before the merge may count.
    Done {
        awaits_read: bool,
    },
    GiveUp,
}

/// A point of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Node {
    wants: Wants,
    about: u8,
    /// Whether its protocol has read nothing yet.
    begins: bool,
    /// The report and when its protocol began.
    of: (u32, u32),
    /// Where a write leads that is done, and one that is lost.
    after: [u32; 2],
}

/// The automaton, and what it reads and writes.
#[derive(Default)]
pub(crate) struct Machine {
    pub(crate) rows: Store<PullRequest>,
    pub(crate) tasks: Store<Task>,
    pub(crate) bases: Store<BaseMove>,
    reports: Store<Report>,
    nodes: Vec<Node>,
    /// The protocols that wait for what they read, and they alone: a protocol is large.
    reading: Map<u32, Protocol>,
    /// The nodes of those that do not, each once.
    others: Map<Node, u32>,
    starts: Map<(u32, u32), u32>,
    /// By the fingerprint of a node and what its reads have found.
    after_reads: Map<Fingerprint, u32>,
}

impl Machine {
    /// The number of a report.
    pub(crate) fn report(&mut self, report: Report) -> u32 {
        self.reports.id(report)
    }

    /// The facts of a report.
    pub(crate) fn facts(&self, report: u32) -> Option<Facts> {
        self.reports.get(report).and_then(|report| report.facts.clone())
    }

    /// The facts that a protocol reports.
    pub(crate) fn reported(&self, node: u32) -> Option<Facts> {
        self.facts(self.nodes[node as usize].of.0)
    }

    /// The same report with the tasks exchanged.
    pub(crate) fn exchanged_report(&mut self, report: u32) -> u32 {
        self.reports.exchanged(report)
    }

    /// The same report as if another version had been claimed for its look.
    pub(crate) fn claimed(&mut self, report: u32, rename: impl Fn(u64) -> u64) -> u32 {
        let Some(known) = self.reports.get(report) else { return report };
        let claimed = known.look.as_ref().and_then(|look| look.claimed);
        let renamed = claimed.map(rename);
        if renamed == claimed {
            return report;
        }
        let mut known = (**known).clone();
        if let Some(look) = &mut known.look {
            look.claimed = renamed;
        }
        self.report(known)
    }

    /// The protocol begins with a report.
    pub(crate) fn start(&mut self, report: u32, clock: u32) -> u32 {
        if let Some(node) = self.starts.get(&(report, clock)) {
            return *node;
        }
        let Some(value) = self.reports.get(report).map(|value| (**value).clone()) else { return 0 };
        let about = pull_request_of(value.number).unwrap_or(SIZE) as u8;
        let (protocol, next) = Protocol::start(value, time(clock));
        let node = self.node(protocol, next, about, (report, clock));
        self.nodes[node as usize].begins = true;
        self.starts.insert((report, clock), node);
        node
    }

    /// All of its reads have found something.
    pub(crate) fn found(&mut self, node: u32, got: &[(Key, u32)]) -> u32 {
        let key = answered(node, got);
        if let Some(next) = self.after_reads.get(&key) {
            return *next;
        }
        let found: Vec<_> = got.iter().filter_map(|(key, id)| self.answer(*key, *id)).collect();
        let Node { about, of, .. } = self.nodes[node as usize];
        let Some(mut protocol) = self.reading.get(&node).cloned() else { return node };
        let next = protocol.found(found);
        let next = self.node(protocol, next, about, of);
        self.after_reads.insert(key, next);
        next
    }

    /// Its transaction came to an end: it is written, or a condition failed.
    pub(crate) fn written(&self, node: u32, done: bool) -> u32 {
        self.nodes[node as usize].after[usize::from(!done)]
    }

    /// The report of a protocol that has read nothing yet, and when it began.
    pub(crate) fn just_begun(&self, node: u32) -> Option<(u32, u32)> {
        let node = &self.nodes[node as usize];
        node.begins.then_some(node.of)
    }

    pub(crate) fn wants(&self, node: u32) -> Wants {
        self.nodes[node as usize].wants.clone()
    }

    /// The pull request that is reported on; `SIZE`: one without a tag.
    pub(crate) fn about(&self, node: u32) -> u8 {
        self.nodes[node as usize].about
    }

    fn node(&mut self, protocol: Protocol, next: Next, about: u8, of: (u32, u32)) -> u32 {
        let (wants, after) = match next {
            Next::Read(reads) => {
                let wants = Wants::Read(reads.iter().map(key).collect());
                self.nodes.push(Node { wants, about, begins: false, of, after: [0; 2] });
                let node = self.nodes.len() as u32 - 1;
                self.reading.insert(node, protocol);
                return node;
            }
            Next::Write(writes) => {
                let wants = Wants::Write(writes.into_iter().map(|write| self.operation(write)).collect());
                let lost = self.after(protocol.clone(), Written::Lost, about, of);
                (wants, [self.after(protocol, Written::Done, about, of), lost])
            }
            Next::Done(applied) => {
                let awaits_read = applied.tasks.iter().any(|task| task.outcome == Outcome::SubmittedSince);
                (Wants::Done { awaits_read }, [0; 2])
            }
            Next::GiveUp => (Wants::GiveUp, [0; 2]),
        };
        let node = Node { wants, about, begins: false, of, after };
        if let Some(known) = self.others.get(&node) {
            return *known;
        }
        self.nodes.push(node.clone());
        let number = self.nodes.len() as u32 - 1;
        self.others.insert(node, number);
        number
    }

    /// Where a write leads. Whoever has lost begins again and has forgotten what it read, so how it lost, and how often, tells no two of them
    /// apart. That tries come to an end is a test of `domain`.
    fn after(&mut self, mut protocol: Protocol, written: Written, about: u8, of: (u32, u32)) -> u32 {
        match protocol.written(written) {
            Next::Read(_) => self.start(of.0, of.1),
            next => self.node(protocol, next, about, of),
        }
    }

    fn operation(&mut self, write: Write) -> Op {
        match write {
            Write::PutPullRequest { row, read } => {
                let pr = pull_request_of(row.snapshot.number).unwrap_or(SIZE) as u8;
                Op::PutRow { pr, row: self.row(*row), read }
            }
            Write::CheckPullRequest { number, read, .. } => {
                Op::CheckRow { pr: pull_request_of(number).unwrap_or(SIZE) as u8, read }
            }
            Write::UpdateTask { before, after } => Op::UpdateTask {
                task: task_of(after.id.as_str()) as u8,
                before: self.task(*before),
                after: self.task(*after),
            },
            Write::CheckTask { task } => {
                Op::CheckTask { task: task_of(task.id.as_str()) as u8, before: self.task(*task) }
            }
            Write::CheckNoTask { id } => Op::CheckNoTask { task: task_of(id.as_str()) as u8 },
            Write::MoveBase(base) => Op::MoveBase { base: self.base(*base), once: false },
            Write::MoveBaseOnce(base) => Op::MoveBase { base: self.base(*base), once: true },
        }
    }

    /// The number of a row. When DynamoDB may delete it, when it was answered and who caused a conflict tell states apart that are the same to
    /// every rule but the one that names a culprit, which is not searched.
    pub(crate) fn row(&mut self, mut row: PullRequest) -> u32 {
        row.ttl = row.ttl.map(|_| BEGIN);
        row.checked_at = row.checked_at.map(|_| BEGIN);
        row.conflict_caused_by = None;
        self.rows.id(row)
    }

    /// The number of a task, without the same.
    pub(crate) fn task(&mut self, mut task: Task) -> u32 {
        task.conflict_checked_at = task.conflict_checked_at.map(|_| BEGIN);
        task.conflict_caused_by = None;
        // What happened to a card is read by no rule.
        task.history.clear();
        for linked in task.pull_requests.values_mut() {
            linked.checked_at = linked.checked_at.map(|_| BEGIN);
            linked.caused_by = None;
        }
        self.tasks.id(task)
    }

    /// The number of a base, without the same: how often it moved only tells whether there is a culprit.
    pub(crate) fn base(&mut self, mut base: BaseMove) -> u32 {
        base.moves = 0;
        base.ttl = BEGIN;
        self.bases.id(base)
    }

    fn answer(&self, key: Key, id: u32) -> Option<(Read, Found)> {
        let stored = || self.tasks.get(id).map(|task| Stored::Task(Box::new((**task).clone())));
        Some(match key {
            Key::Row(pr) => {
                let row = self.rows.get(id).map(|row| Box::new((**row).clone()));
                (Read::PullRequest(crate::world::REPOSITORY, crate::world::number(pr.into())), Found::PullRequest(row))
            }
            Key::Tag(task) => {
                let found = stored().map(|stored| (task_id(task.into()), stored));
                let found = found.into_iter().filter_map(|(id, stored)| Some((id?, stored))).collect();
                (Read::Tag(tag(task.into())?), Found::Tag(found))
            }
            Key::Task(task) => (Read::Task(task_id(task.into())?), Found::Task(stored().unwrap_or(Stored::Absent))),
        })
    }
}

/// What its reads have found at a point of the protocol. It reads six items at most: a row, and of two tasks each by its tag and its id.
fn answered(node: u32, got: &[(Key, u32)]) -> Fingerprint {
    let mut words = [0; 16];
    words[0] = node;
    for (words, (key, found)) in words[1..].chunks_mut(2).zip(got) {
        let (kind, of) = match key {
            Key::Row(pr) => (1, pr),
            Key::Tag(task) => (2, task),
            Key::Task(task) => (3, task),
        };
        words[0] = kind << 8 | u32::from(*of);
        words[1] = *found;
    }
    fingerprint(&words)
}

/// The tag that names a task.
fn tag(task: usize) -> Option<KidTag> {
    KidTag::parse(task_id(task)?.prefix())
}

fn key(read: &Read) -> Key {
    match read {
        Read::PullRequest(_, number) => Key::Row(pull_request_of(*number).unwrap_or(SIZE) as u8),
        Read::Tag(tag) => Key::Tag(task_of(tag.as_str()) as u8),
        Read::Task(id) => Key::Task(task_of(id.as_str()) as u8),
    }
}
