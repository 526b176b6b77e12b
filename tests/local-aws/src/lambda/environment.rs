//! One execution environment: a process, and the work it was handed.

use std::{
    ops::{Add, Sub},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{ExitStatus, Stdio},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use axum::body::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{
    process::{Child, Command},
    sync::{Notify, oneshot},
};

use super::{Function, Host, Target, access_key_id, clock::Clock, failure};
use crate::REGION;

/// How an invocation ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Answer(Bytes),
    /// The JSON of an error, with `errorType` and `errorMessage`.
    Failure(Bytes),
}

/// What the Runtime API hands to a process.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) request_id: String,
    pub(super) payload: Bytes,
    pub(super) client_context: Option<Value>,
    pub(super) timeout: Duration,
}

/// How long an environment took to be of use, from the spawn of its process.
#[derive(Clone, Debug)]
pub struct ColdStart {
    pub(super) environment: String,
    pub(super) function: String,
    spawned: Instant,
    /// Until it asked for its first event.
    pub ready: Option<Duration>,
    /// Until its first answer.
    pub answered: Option<Duration>,
}

impl ColdStart {
    pub(super) fn new(environment: &str, function: &str) -> Self {
        Self {
            environment: environment.to_owned(),
            function: function.to_owned(),
            spawned: Instant::now(),
            ready: None,
            answered: None,
        }
    }

    pub(super) fn mark_ready(&mut self) {
        let elapsed = self.spawned.elapsed();
        self.ready.get_or_insert(elapsed);
    }

    pub(super) fn mark_answered(&mut self) {
        let elapsed = self.spawned.elapsed();
        self.answered.get_or_insert(elapsed);
    }
}

/// What processes spent on processors. <https://docs.kernel.org/scheduler/sched-stats.html>
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessorTime {
    /// Running.
    pub running: Duration,
    /// Ready to run, while others had the processors.
    pub waiting: Duration,
}

impl ProcessorTime {
    fn read(file: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(file).ok()?;
        let mut times = text.split_whitespace().map(|time| time.parse().map(Duration::from_nanos));
        Some(Self { running: times.next()?.ok()?, waiting: times.next()?.ok()? })
    }
}

impl Add for ProcessorTime {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { running: self.running + other.running, waiting: self.waiting + other.waiting }
    }
}

impl Sub for ProcessorTime {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { running: self.running - other.running, waiting: self.waiting - other.waiting }
    }
}

/// A process and what it is doing; dropping it does not end the process, [`Environment::end`] does.
pub(super) struct Environment {
    pub(super) id: String,
    pub(super) target: Target,
    pub(super) frozen: bool,
    /// Wakes the request for the next event that the process waits in.
    pub(super) handed: Arc<Notify>,
    /// Its own, unless it goes by this machine's.
    pub(super) clock: Option<Clock>,
    pid: Pid,
    job: Job,
    asked_before: bool,
    init_error: Option<Bytes>,
}

enum Job {
    None,
    Handed(Work, oneshot::Sender<()>, oneshot::Sender<Outcome>),
    Running(String, oneshot::Sender<Outcome>),
}

impl Environment {
    pub(super) fn spawn(
        host: &Arc<Host>,
        id: &str,
        target: &Target,
        function: &Function,
        clock: Option<Clock>,
    ) -> Self {
        let mut child = command(host, id, target, function)
            .envs(clock.iter().flat_map(Clock::variables))
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", function.binary.display()));
        let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).expect("a new child has a pid");
        host.logs.follow(&target.function, child.stdout.take());
        host.logs.follow(&target.function, child.stderr.take());
        tokio::spawn(reap(Arc::downgrade(host), id.to_owned(), child));
        Self {
            id: id.to_owned(),
            target: target.clone(),
            frozen: false,
            handed: Arc::default(),
            clock,
            pid,
            job: Job::None,
            asked_before: false,
            init_error: None,
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        !matches!(self.job, Job::None)
    }

    pub(super) fn hand(&mut self, work: Work, taken: oneshot::Sender<()>, answer: oneshot::Sender<Outcome>) {
        self.job = Job::Handed(work, taken, answer);
        if self.frozen {
            self.signal(Signal::CONT);
            self.frozen = false;
        }
        self.handed.notify_one();
    }

    /// Gives the process its work, if there is some; freezes it if not and `freeze` says so.
    pub(super) fn take(&mut self, freeze: bool) -> Option<Work> {
        self.asked_before = true;
        match std::mem::replace(&mut self.job, Job::None) {
            Job::Handed(work, taken, answer) => {
                let _ = taken.send(());
                self.job = Job::Running(work.request_id.clone(), answer);
                Some(work)
            }
            other => {
                self.job = other;
                if freeze && !self.is_busy() {
                    self.signal(Signal::STOP);
                    self.frozen = true;
                }
                None
            }
        }
    }

    /// Ends the running invocation; `false` if it is not this one.
    pub(super) fn finish(&mut self, request_id: &str, outcome: Outcome) -> bool {
        match std::mem::replace(&mut self.job, Job::None) {
            Job::Running(running, answer) if running == request_id => {
                let _ = answer.send(outcome);
                true
            }
            other => {
                self.job = other;
                false
            }
        }
    }

    pub(super) fn init_failed(&mut self, error: Bytes) {
        self.init_error = Some(error);
    }

    /// Kills the process; whoever waits for its answer learns that it was killed.
    pub(super) fn end(self) {
        self.signal(Signal::KILL);
        self.over("Runtime exited with error: signal: killed");
    }

    /// Says how the process ended to whoever waits for its answer.
    ///
    /// Work that a warm process never took is given back unanswered: dropping the sender means "try another environment".
    fn over(self, reason: &str) {
        let (request_id, answer) = match self.job {
            Job::Handed(work, _, answer) if !self.asked_before => (work.request_id, answer),
            Job::Running(request_id, answer) => (request_id, answer),
            Job::Handed(..) | Job::None => return,
        };
        let ended = || failure("Runtime.ExitError", format!("RequestId: {request_id} Error: {reason}"));
        let _ = answer.send(self.init_error.map_or_else(ended, Outcome::Failure));
    }

    /// `VmHWM` of the living process, in bytes.
    pub(super) fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid.as_raw_nonzero())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kibibytes * 1024)
    }

    pub(super) fn process_id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    pub(super) fn set_clock(&self, passed: i64) {
        self.clock.iter().for_each(|clock| clock.set(passed));
    }

    pub(super) fn jump(&mut self, seconds: i64, passed: i64) {
        if let Some(clock) = &mut self.clock {
            clock.apart = seconds;
            clock.set(passed);
        }
    }

    pub(super) fn stall(&self, stall: bool) {
        self.signal(if stall { Signal::STOP } else { Signal::CONT });
    }

    /// What the living process spent so far, all its threads together.
    pub(super) fn processor_time(&self) -> ProcessorTime {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid.as_raw_nonzero())).into_iter().flatten();
        let times = tasks.flatten().filter_map(|task| ProcessorTime::read(&task.path().join("schedstat")));
        times.fold(ProcessorTime::default(), |sum, time| sum + time)
    }

    fn signal(&self, signal: Signal) {
        // It may have ended by itself a moment ago.
        let _ = kill_process(self.pid, signal);
    }
}

/// Waits for a process to end; its environment is gone with it.
///
/// The host is held weakly: with it, the child is dropped, and `kill_on_drop` ends a process that nobody waits for.
async fn reap(host: Weak<Host>, id: String, mut child: Child) {
    let status = child.wait().await.expect("a child can be waited for");
    let Some(host) = host.upgrade() else { return };
    let ended = host.state().environments.remove(&id);
    if let Some(environment) = ended {
        environment.over(&reason(status));
    }
}

/// How Lambda words the end of a runtime process.
fn reason(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "Runtime exited without providing a reason".to_owned(),
        (Some(code), _) => format!("Runtime exited with error: exit status {code}"),
        (None, Some(9)) => "Runtime exited with error: signal: killed".to_owned(),
        (None, signal) => format!("Runtime exited with error: signal: {}", signal.unwrap_or_default()),
    }
}

/// The process of an environment, with the variables of
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html> and the function's own, and no others.
///
/// It leads a process group of its own: a stopped process whose group is orphaned gets SIGHUP and SIGCONT from the kernel, so
/// that a frozen one ends even when this process is killed.
fn command(host: &Host, id: &str, target: &Target, function: &Function) -> Command {
    let url = host.url.get().expect("the host listens before it runs functions");
    let version = if target.alias.is_some() { "1" } else { "$LATEST" };
    let mut command = Command::new(&function.binary);
    command
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", format!("{url}/environments/{id}"))
        .env("AWS_LAMBDA_FUNCTION_NAME", &function.name)
        .env("AWS_LAMBDA_FUNCTION_VERSION", version)
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory_mb.to_string())
        .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
        .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", function.name))
        .env("AWS_LAMBDA_LOG_STREAM_NAME", id)
        .env("AWS_REGION", REGION)
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", access_key_id(&function.name))
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .env("AWS_SESSION_TOKEN", "local")
        .env("LAMBDA_TASK_ROOT", "/var/task")
        .env("LAMBDA_RUNTIME_DIR", "/var/runtime")
        .env("_HANDLER", "bootstrap")
        .env("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin")
        .env("LANG", "en_US.UTF-8")
        .env("TZ", ":UTC")
        .envs(&function.variables)
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}
