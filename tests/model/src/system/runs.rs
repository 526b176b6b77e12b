//! The functions that run: a webhook that hears an event, and reconcile with its looks, bases and resyncs.

use std::rc::Rc;

use domain::base::BaseMove;
use domain::kid_tag::Tags;
use domain::lifecycle;
use domain::pull_request::{Mergeability, State as Stage};
use domain::report::{Answer, Facts, Look, Report};
use domain::schedule::Schedule;

use super::{State, System};
use crate::machine::{Key, Wants};
use crate::world::{self, BEGIN, REPOSITORY, SIZE, What, time};

/// How long reconcile has an item to itself, seconds.
const LEASE: i64 = 120;

/// The version of no row: of one that was not claimed by whoever looks.
pub(super) const NOT_CLAIMED: u64 = u64::MAX;

/// For how long after a base moved reconcile asks once more, seconds.
const SHOWS_THE_OLD: i64 = 60;

/// A function at work.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Run {
    pub(super) job: Job,
    /// Where its protocol is; `None` between two of them.
    pub(super) node: Option<u32>,
    /// What the reads that the protocol waits for have found so far.
    pub(super) got: Vec<(Key, u32)>,
}

/// What a function does, besides the protocol it is in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Job {
    /// The webhook hears an event, for the first time or again.
    Webhook { event: u8, again: bool },
    /// Reconcile looks at a row that it has claimed.
    Look { pr: u8, read_open: bool },
    /// It has read the open pull requests, reports each of those, and then the merged one.
    Listed { pr: u8, claimed: u64, began: u32, rest: Vec<u32> },
    /// Reconcile asks about the open pull requests of a base that it has claimed.
    Base { base: u32, began: u32, rest: Vec<u32> },
    /// And takes the base off the work list, or asks again a minute after it moved: GitHub shows the old answer for that long.
    SettleBase { base: u32, began: u32 },
    /// A resync.
    Resync { rest: Vec<Todo> },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Todo {
    /// Reports a pull request if that is news.
    News { pr: u8, report: u32 },
    /// Marks the base as moved by a merge that nobody may have heard of.
    MoveBase { base: u32, ended: u32 },
    /// Compares a row with its tasks.
    Compare { pr: u8 },
}

impl Todo {
    pub(super) fn report(&mut self) -> Option<&mut u32> {
        match self {
            Self::News { report, .. } => Some(report),
            Self::MoveBase { .. } | Self::Compare { .. } => None,
        }
    }
}

impl System {
    pub(crate) fn due(&self, state: &State, pr: usize) -> Option<u32> {
        let row = self.machine.rows.get(state.rows[pr])?;
        row.schedule.next_check_at.filter(|_| row.schedule.is_due()).map(clock)
    }

    pub(super) fn run(&self, id: u32) -> Option<Rc<Run>> {
        self.runs.get(id).cloned()
    }

    /// A webhook begins to hear an event, if that may still be.
    pub(super) fn deliver(&mut self, state: &mut State, event: usize) -> Option<usize> {
        let again = state.delivered >> event & 1 == 1;
        if (again && state.left.duplicates == 0) || !self.has_room(state) {
            return None;
        }
        state.left.duplicates -= u8::from(again);
        state.delivered |= 1 << event;
        let key = (state.world, event, again, state.clock);
        let run = match self.deliveries.get(&key) {
            Some(run) => *run,
            None => {
                let facts = self.world(state.world).delivery(event)?;
                let report = self.facts_report(facts, None);
                let node = self.machine.start(report, state.clock);
                let job = Job::Webhook { event: event as u8, again };
                let run = self.runs.id(Run { job, node: Some(node), got: Vec::new() });
                self.deliveries.insert(key, run);
                run
            }
        };
        Some(take_slot(state, run))
    }

    pub(super) fn base_due(&self, state: &State) -> Option<u32> {
        let base = self.machine.bases.get(state.base)?;
        base.schedule.next_check_at.filter(|_| base.schedule.is_due()).map(clock)
    }

    fn begin(&mut self, state: &mut State, run: Run) -> usize {
        take_slot(state, self.runs.id(run))
    }

    /// A report of a delivery, or of a read that began at this second.
    pub(super) fn facts_report(&mut self, facts: Facts, read_at: Option<u32>) -> u32 {
        let report = Report::facts(facts);
        self.machine.report(match read_at {
            Some(at) => report.read_at(BEGIN + i64::from(at)),
            None => report,
        })
    }

    /// A comparison of a row with its tasks; with a look at it, when the open pull requests were read and which version was claimed.
    pub(super) fn compare_report(&mut self, pr: u8, look: Option<(Option<u32>, u64)>) -> u32 {
        let report = Report::compare(REPOSITORY, world::number(pr.into()));
        self.machine.report(match look {
            None => report,
            Some((began, claimed)) => {
                let open_read_at = began.map(|began| BEGIN + i64::from(began));
                report.looked(Look { open_read_at, claimed: Some(claimed), ..Look::default() })
            }
        })
    }

    /// What reconcile reports of a pull request that it has just read. What moved its base only names a culprit.
    pub(super) fn looked_report(
        &mut self,
        facts: Facts,
        answer: Option<Mergeability>,
        read_at: u32,
        claimed: u64,
    ) -> u32 {
        let answer = answer.map(|mergeability| Answer { mergeability, base: None });
        let look = Look { answer, claimed: Some(claimed), ..Look::default() };
        self.machine.report(Report::facts(facts).looked(look).read_at(BEGIN + i64::from(read_at)))
    }

    /// Claims a row and reads GitHub.
    pub(super) fn look(&mut self, state: &mut State, pr: usize, unknown: bool) -> Option<usize> {
        let row = self.machine.rows.get(state.rows[pr]).cloned()?;
        let machine = &mut self.machine;
        state.rows[pr] = *self.claims.entry((state.rows[pr], state.clock)).or_insert_with(|| {
            let mut claimed = (*row).clone();
            claimed.schedule = lease(&row.schedule, state.clock);
            claimed.version += 1;
            machine.row(claimed)
        });
        let claimed = row.version + 1;
        let report = if row.is_merge_known() {
            self.compare_report(pr as u8, Some((None, claimed)))
        } else {
            let world = self.world(state.world);
            let open = world.prs[pr].filter(|pr| pr.state == Stage::Open && !unknown);
            let key = (state.world, pr, open.map(|pr| pr.conflict), state.clock, claimed);
            match self.looks.get(&key) {
                Some(report) => *report,
                None => {
                    let facts = world.read(pr)?;
                    let report = self.looked_report(facts, open.map(|pr| pr.mergeability()), state.clock, claimed);
                    self.looks.insert(key, report);
                    report
                }
            }
        };
        let node = self.machine.start(report, state.clock);
        let job = Job::Look { pr: pr as u8, read_open: false };
        Some(self.begin(state, Run { job, node: Some(node), got: Vec::new() }))
    }

    /// Claims the base and reads its open pull requests.
    pub(super) fn ask_about_base(&mut self, state: &mut State) {
        let Some(base) = self.machine.bases.get(state.base).cloned() else { return };
        let mut claimed = (*base).clone();
        claimed.schedule = lease(&base.schedule, state.clock);
        claimed.version += 1;
        state.base = self.machine.base(claimed);
        let rest = self.open_reports(state, true);
        let run = Run { job: Job::Base { base: state.base, began: state.clock, rest }, node: None, got: Vec::new() };
        self.begin_with(state, run);
    }

    pub(super) fn begin_with(&mut self, state: &mut State, run: Run) {
        let slot = self.begin(state, run.clone());
        self.leave(state, slot, run, false);
    }

    /// Reports of every pull request that is open: with its answer where its base is asked about, and then of those that are stored as open, too.
    pub(super) fn open_reports(&mut self, state: &State, asked: bool) -> Vec<u32> {
        let world = self.world(state.world);
        let is_wanted = |system: &Self, pr: usize| {
            let stored = system.machine.rows.get(state.rows[pr]).map(|row| row.snapshot.state);
            world.prs[pr].is_some_and(|pr| pr.state == Stage::Open) || (asked && stored == Some(Stage::Open))
        };
        (0..SIZE).filter_map(|pr| if is_wanted(self, pr) { self.read_report(state, pr, asked) } else { None }).collect()
    }

    /// What a read of a pull request says.
    fn read_report(&mut self, state: &State, pr: usize, asked: bool) -> Option<u32> {
        let world = self.world(state.world);
        let (now, facts) = (world.prs[pr]?, world.read(pr)?);
        let row = self.machine.rows.get(state.rows[pr]);
        // Of one without a task the answer is not taken: it would be asked about for nobody.
        let is_ours = row.is_none_or(|row| !row.task_ids.is_empty() || lifecycle::is_news(row, &facts));
        Some(if asked && now.state == Stage::Open && is_ours {
            self.looked_report(facts, Some(now.mergeability()), state.clock, NOT_CLAIMED)
        } else {
            self.facts_report(facts, Some(state.clock))
        })
    }

    /// Of a pull request that was read as closed something newer was heard before that could be written: it may be open again, and has no answer.
    /// So it is read once more, else its base would be settled without it.
    fn unanswered(&mut self, state: &State, node: u32) -> Option<u32> {
        let said = self.machine.reported(node)?.snapshot;
        let pr = usize::from(self.machine.about(node));
        let row = self.machine.rows.get(state.rows[pr])?;
        let is_old = said.state == Stage::Closed && said.updated_at < row.snapshot.updated_at;
        if is_old { self.read_report(state, pr, true) } else { None }
    }

    /// Reads everything from GitHub.
    pub(super) fn resync(&mut self, state: &mut State) {
        let world = self.world(state.world);
        let mut rest = Vec::new();
        for pr in 0..SIZE {
            let Some(facts) = world.read(pr) else { continue };
            rest.push(Todo::News { pr: pr as u8, report: self.facts_report(facts, Some(state.clock)) });
        }
        for (at, event) in world.events.iter().enumerate().filter(|(_, event)| event.what == What::OtherMerge) {
            let Some(facts) = world.delivery(at) else { continue };
            let base = self.machine.base(BaseMove::by(&facts.snapshot, time(state.clock)));
            rest.push(Todo::MoveBase { base, ended: event.at });
        }
        rest.extend((0..SIZE).filter(|pr| world.prs[*pr].is_some()).map(|pr| Todo::Compare { pr: pr as u8 }));
        let run = Run { job: Job::Resync { rest }, node: None, got: Vec::new() };
        self.begin_with(state, run);
    }

    pub(super) fn look_up(&self, state: &State, key: Key) -> u32 {
        match key {
            Key::Row(pr) => state.rows.get(usize::from(pr)).copied().unwrap_or(0),
            Key::Tag(task) | Key::Task(task) => state.tasks[usize::from(task)],
        }
    }

    pub(super) fn read(&mut self, state: &mut State, slot: usize, some: &[Key]) {
        let Some(mut run) = self.run(state.runs[slot]).map(|run| (*run).clone()) else { return };
        let Some(node) = run.node else { return };
        let Wants::Read(keys) = self.machine.wants(node) else { return };
        run.got.extend(some.iter().map(|key| (*key, self.look_up(state, *key))));
        run.got.sort_unstable();
        if run.got.len() == keys.len() {
            let node = self.machine.found(node, &run.got);
            return self.go_on(state, slot, node);
        }
        state.runs[slot] = self.runs.id(run);
    }

    /// Takes a run to its next write, and gives the point of its protocol; `None`: its protocol came to an end without one, or it did something
    /// else.
    pub(super) fn decide(&mut self, state: &mut State, slot: usize) -> Option<u32> {
        let mut run = self.run(state.runs[slot])?;
        if run.node.is_none() {
            run = Rc::new(self.act(state, slot, (*run).clone())?);
            state.runs[slot] = self.runs.id((*run).clone());
        }
        let node = self.decided(state, state.runs[slot], &run)?;
        if matches!(self.machine.wants(node), Wants::Write(_)) {
            return Some(node);
        }
        self.go_on(state, slot, node);
        None
    }

    /// Where the protocol of a run gets by what the tables hold now: to a write, or to its end. It reads of them the row that it is about and tasks.
    fn decided(&mut self, state: &State, id: u32, run: &Run) -> Option<u32> {
        let mut node = run.node?;
        let row = state.rows.get(usize::from(self.machine.about(node))).copied().unwrap_or(0);
        let key = [id, row, state.tasks[0], state.tasks[1]];
        if let Some(known) = self.decided.get(&key) {
            return Some(*known);
        }
        let mut got = run.got.as_slice();
        while let Wants::Read(keys) = self.machine.wants(node) {
            let read = keys.iter().map(|key| {
                let known = got.iter().find(|(got, _)| got == key);
                known.copied().unwrap_or((*key, self.look_up(state, *key)))
            });
            let mut read: Vec<_> = read.collect();
            read.sort_unstable();
            got = &[];
            node = self.machine.found(node, &read);
        }
        self.decided.insert(key, node);
        Some(node)
    }

    /// Takes a run to this point of its protocol, or to what follows where it is through.
    pub(super) fn go_on(&mut self, state: &mut State, slot: usize, node: u32) {
        let id = state.runs[slot];
        if let Some(next) = self.went_on.get(&[id, node]) {
            state.runs[slot] = *next;
            return;
        }
        let Some(run) = self.run(id).map(|run| (*run).clone()) else { return };
        let run = Run { node: Some(node), got: Vec::new(), ..run };
        match self.machine.wants(node) {
            Wants::Read(_) | Wants::Write(_) => state.runs[slot] = self.runs.id(run),
            Wants::GiveUp => state.runs[slot] = 0,
            // What it does then may rest on more than it holds: on GitHub, or on the base.
            Wants::Done { awaits_read } => return self.leave(state, slot, run, awaits_read),
        }
        self.went_on.insert([id, node], state.runs[slot]);
    }

    /// What a job does once a protocol of it is done.
    pub(super) fn leave(&mut self, state: &mut State, slot: usize, run: Run, through: bool) {
        let awaits_read = through;
        // Between two protocols of a resync `through` says that its next point is done.
        let through = run.node.is_some() || through;
        let (job, report) = match run.job {
            Job::Webhook { .. } => (None, None),
            Job::Look { pr, read_open: false } if awaits_read => {
                let rest = self.open_reports(state, false);
                let version = self.machine.rows.get(state.rows[usize::from(pr)]).map(|row| row.version);
                let claimed = version.unwrap_or(NOT_CLAIMED);
                let job = Job::Listed { pr, claimed, began: state.clock, rest };
                return self.leave(state, slot, Run { job, node: None, got: Vec::new() }, false);
            }
            Job::Look { .. } | Job::SettleBase { .. } => (None, None),
            Job::Listed { pr, claimed, began, mut rest } => match rest.pop() {
                Some(report) => (Some(Job::Listed { pr, claimed, began, rest }), Some(report)),
                None => (
                    Some(Job::Look { pr, read_open: true }),
                    Some(self.compare_report(pr, Some((Some(began), claimed)))),
                ),
            },
            Job::Base { base, began, mut rest } => {
                rest.extend(run.node.and_then(|node| self.unanswered(state, node)));
                match rest.pop() {
                    Some(report) => (Some(Job::Base { base, began, rest }), Some(report)),
                    None if self.scope.plain => (Some(Job::SettleBase { base, began }), None),
                    // Whoever moves the base meanwhile writes it anew, and then nothing is settled: as if it moved after that. So nobody comes
                    // between.
                    None => {
                        self.settle_base(state, base, began);
                        (None, None)
                    }
                }
            }
            Job::Resync { mut rest } => {
                if through {
                    rest.remove(0);
                }
                match rest.first() {
                    None => (None, None),
                    Some(Todo::Compare { pr }) => {
                        let report = self.compare_report(*pr, None);
                        (Some(Job::Resync { rest }), Some(report))
                    }
                    Some(_) => (Some(Job::Resync { rest }), None),
                }
            }
        };
        let node = report.map(|report| self.machine.start(report, state.clock));
        state.runs[slot] = job.map_or(0, |job| self.runs.id(Run { job, node, got: Vec::new() }));
    }

    /// What a run does between two protocols. Gives it back where that begins one.
    pub(super) fn act(&mut self, state: &mut State, slot: usize, run: Run) -> Option<Run> {
        match run.job {
            Job::SettleBase { base, began } => {
                self.settle_base(state, base, began);
                state.runs[slot] = 0;
                None
            }
            Job::Resync { rest } => match *rest.first()? {
                Todo::News { pr, report } => self.hear(state, slot, usize::from(pr), report, rest),
                Todo::MoveBase { base, ended } => {
                    let last = self.machine.bases.get(state.base).map(|base| base.moved_at);
                    if last.is_none_or(|last| last < BEGIN + i64::from(ended) + 60) {
                        state.base = self.move_base(state.base, base);
                    }
                    self.leave(state, slot, Run { job: Job::Resync { rest }, node: None, got: Vec::new() }, true);
                    None
                }
                Todo::Compare { .. } => None,
            },
            _ => None,
        }
    }

    pub(super) fn settle_base(&mut self, state: &mut State, claimed: u32, began: u32) {
        let version = self.machine.bases.get(claimed).map(|base| base.version);
        let Some(now) = self.machine.bases.get(state.base).filter(|base| Some(base.version) == version) else { return };
        let mut settled = (**now).clone();
        let again = now.moved_at + SHOWS_THE_OLD;
        if BEGIN + i64::from(began) < again {
            settled.schedule = now.schedule.moved_to(again);
        } else {
            settled.schedule = Schedule::default();
            settled.moves = 0;
        }
        settled.version += 1;
        state.base = self.machine.base(settled);
    }

    /// A resync reads the row of what it read from GitHub, and reports it if that is news.
    pub(super) fn hear(
        &mut self,
        state: &mut State,
        slot: usize,
        pr: usize,
        report: u32,
        mut rest: Vec<Todo>,
    ) -> Option<Run> {
        let facts = self.machine.facts(report)?;
        let tagged = [Some(facts.snapshot.title.as_str()), facts.title_at_merge()];
        let tagged = tagged.into_iter().flatten().any(|title| !Tags::of(title).named.is_empty());
        let news = match self.machine.rows.get(state.rows[pr]) {
            Some(known) => lifecycle::is_news(known, &facts),
            None => tagged,
        };
        if news {
            let node = self.machine.start(report, state.clock);
            return Some(Run { job: Job::Resync { rest }, node: Some(node), got: Vec::new() });
        }
        if state.rows[pr] == 0 && facts.snapshot.state == Stage::Merged {
            let base = self.machine.base(BaseMove::by(&facts.snapshot, time(state.clock)));
            let ended = clock(facts.snapshot.ended_at.unwrap_or(BEGIN));
            rest.insert(1, Todo::MoveBase { base, ended });
        }
        self.leave(state, slot, Run { job: Job::Resync { rest }, node: None, got: Vec::new() }, true);
        None
    }

    /// The pull request whose row a run is about to write.
    pub(super) fn about(&self, state: &State, slot: usize) -> Option<usize> {
        let run = self.runs.get(state.runs[slot])?;
        let about = match (run.node, &run.job) {
            (Some(node), _) => self.machine.about(node),
            (None, Job::Resync { rest }) => match rest.first()? {
                Todo::News { pr, .. } | Todo::Compare { pr } => *pr,
                Todo::MoveBase { .. } => return None,
            },
            (None, _) => return None,
        };
        (usize::from(about) < SIZE).then_some(usize::from(about))
    }

    pub(crate) fn tell_run(&self, id: u32) -> String {
        let Some(run) = self.run(id) else { return String::new() };
        let job = match &run.job {
            Job::Webhook { event, .. } => format!("webhook of event {event}"),
            Job::Look { pr, .. } | Job::Listed { pr, .. } => {
                format!("reconcile of {}", world::number((*pr).into()))
            }
            Job::Base { .. } | Job::SettleBase { .. } => "reconcile of the base".to_owned(),
            Job::Resync { .. } => "resync".to_owned(),
        };
        let wants = match run.node.map(|node| self.machine.wants(node)) {
            Some(Wants::Read(keys)) => {
                format!("reads {keys:?}, has {:?}", run.got.iter().map(|(key, _)| key).collect::<Vec<_>>())
            }
            Some(Wants::Write(ops)) => format!("writes {ops:?}"),
            _ => "goes on".to_owned(),
        };
        format!("{job}: {wants}")
    }
}

fn take_slot(state: &mut State, run: u32) -> usize {
    let slot = state.runs.iter().position(|run| *run == 0).unwrap_or(0);
    state.runs[slot] = run;
    slot
}

fn lease(schedule: &Schedule, now: u32) -> Schedule {
    Schedule::at(BEGIN + i64::from(now) + LEASE, schedule.attempts)
}

fn clock(second: i64) -> u32 {
    u32::try_from(second - BEGIN).unwrap_or(0)
}
