//! `domain::protocol` as an automaton of numbers: each step of it is computed once, by the very code, and looked up ever after.

use std::rc::Rc;

use domain::base::BaseMove;
use domain::kid_tag::KidTag;
use domain::outcome::Outcome;
use domain::protocol::{Found, Next, Protocol, Read, Stored, Write, Written};
use domain::pull_request::PullRequest;
use domain::report::{Facts, Report};
use domain::task::Task;

use crate::store::{Map, Store};
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
#[derive(Debug, Clone)]
pub(crate) enum Wants {
    Read(Rc<[Key]>),
    Write(Rc<[Op]>),
    /// It is done. Whether reconcile has to read the open pull requests before the merge may count.
    Done {
        awaits_read: bool,
    },
    GiveUp,
}

/// A point of the protocol and what its reads have found there.
type Answered = (u32, Box<[(Key, u32)]>);

struct Node {
    protocol: Protocol,
    wants: Wants,
    about: u8,
    /// The report and when its protocol began.
    of: (u32, u32),
}

/// The automaton, and what it reads and writes.
#[derive(Default)]
pub(crate) struct Machine {
    pub(crate) rows: Store<PullRequest>,
    pub(crate) tasks: Store<Task>,
    pub(crate) bases: Store<BaseMove>,
    reports: Vec<Report>,
    nodes: Vec<Node>,
    starts: Map<(u32, u32), u32>,
    after_reads: Map<Answered, u32>,
    after_writes: Map<(u32, Written), u32>,
    again: Map<(u32, u32), u32>,
}

impl Machine {
    /// The number of a report. The caller remembers it: reports are not compared.
    pub(crate) fn report(&mut self, report: Report) -> u32 {
        self.reports.push(report);
        self.reports.len() as u32 - 1
    }

    /// The facts of a report.
    pub(crate) fn facts(&self, report: u32) -> Option<Facts> {
        self.reports.get(report as usize).and_then(|report| report.facts.clone())
    }

    /// The protocol begins with a report.
    pub(crate) fn start(&mut self, report: u32, clock: u32) -> u32 {
        if let Some(node) = self.starts.get(&(report, clock)) {
            return *node;
        }
        let value = self.reports[report as usize].clone();
        let about = pull_request_of(value.number).unwrap_or(SIZE) as u8;
        let (protocol, next) = Protocol::start(value, time(clock));
        let node = self.node(protocol, next, about, (report, clock));
        self.starts.insert((report, clock), node);
        node
    }

    /// All of its reads have found something.
    pub(crate) fn found(&mut self, node: u32, got: &[(Key, u32)]) -> u32 {
        let key = (node, Box::from(got));
        if let Some(next) = self.after_reads.get(&key) {
            return *next;
        }
        let found: Vec<_> = got.iter().filter_map(|(key, id)| self.answer(*key, *id)).collect();
        let Node { about, of, protocol, .. } = &self.nodes[node as usize];
        let (about, of, mut protocol) = (*about, *of, protocol.clone());
        let next = protocol.found(found);
        let next = self.node(protocol, next, about, of);
        self.after_reads.insert(key, next);
        next
    }

    /// Its transaction came to an end.
    pub(crate) fn written(&mut self, node: u32, written: Written) -> u32 {
        if let Some(next) = self.after_writes.get(&(node, written)) {
            return *next;
        }
        let Node { about, of, protocol, .. } = &self.nodes[node as usize];
        let (about, of, mut protocol) = (*about, *of, protocol.clone());
        let next = protocol.written(written);
        // Whoever has lost begins again and has forgotten what it read, so how it lost, and how often, tells no two of them apart. That
        // tries come to an end is a test of `domain`.
        let again = matches!(next, Next::Read(_)).then(|| self.again.get(&of).copied());
        let next = match again {
            Some(Some(known)) => known,
            Some(None) => {
                let node = self.node(protocol, next, about, of);
                self.again.insert(of, node);
                node
            }
            None => self.node(protocol, next, about, of),
        };
        self.after_writes.insert((node, written), next);
        next
    }

    pub(crate) fn wants(&self, node: u32) -> Wants {
        self.nodes[node as usize].wants.clone()
    }

    /// The pull request that is reported on; `SIZE`: one without a tag.
    pub(crate) fn about(&self, node: u32) -> u8 {
        self.nodes[node as usize].about
    }

    fn node(&mut self, protocol: Protocol, next: Next, about: u8, of: (u32, u32)) -> u32 {
        let wants = match next {
            Next::Read(reads) => Wants::Read(reads.iter().map(key).collect()),
            Next::Write(writes) => Wants::Write(writes.into_iter().map(|write| self.operation(write)).collect()),
            Next::Done(applied) => {
                Wants::Done { awaits_read: applied.tasks.iter().any(|task| task.outcome == Outcome::SubmittedSince) }
            }
            Next::GiveUp => Wants::GiveUp,
        };
        self.nodes.push(Node { protocol, wants, about, of });
        self.nodes.len() as u32 - 1
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
            Write::UpdateTask { before, mut after } => {
                // It tells states apart that are the same to every rule.
                after.history.clear();
                Op::UpdateTask {
                    task: task_of(after.id.as_str()) as u8,
                    before: self.tasks.id(*before),
                    after: self.tasks.id(*after),
                }
            }
            Write::CheckTask { task } => {
                Op::CheckTask { task: task_of(task.id.as_str()) as u8, before: self.tasks.id(*task) }
            }
            Write::CheckNoTask { id } => Op::CheckNoTask { task: task_of(id.as_str()) as u8 },
            Write::MoveBase(base) => Op::MoveBase { base: self.bases.id(*base), once: false },
            Write::MoveBaseOnce(base) => Op::MoveBase { base: self.bases.id(*base), once: true },
        }
    }

    /// The number of a row. When DynamoDB may delete it tells states apart that are the same to every rule.
    pub(crate) fn row(&mut self, mut row: PullRequest) -> u32 {
        row.ttl = row.ttl.map(|_| BEGIN);
        self.rows.id(row)
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
