//! Lambda on loopback: the functions' real binaries behind the Lambda Runtime API.
//!
//! An execution environment is one process that takes one invocation at a time; a second one at the same time starts another
//! process, up to the function's limit. Callers reach a function through the Invoke API, through an HTTP API ([`Front`]), or
//! directly. What AWS adds and is left out here: retries of asynchronous invocations, and the second try of a failed init.

mod binaries;
mod clock;
mod environment;
mod function;
mod http_api;
mod invoke_api;
mod logs;
mod logs_api;
mod runtime_api;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    time::Duration,
};

use axum::{Router, body::Bytes};
use serde_json::{Value, json};
use tokio::sync::oneshot;

pub use binaries::binary;
pub use environment::{ColdStart, ProcessorTime};
pub use function::{Function, FunctionError};
pub use http_api::Front;
pub use logs::Echo;

use crate::{Wire, loopback::Server};
use clock::Clock;
use environment::{Environment, Outcome, Work};
use function::{InvokeRefusal, LARGEST_PAYLOAD, Target};
use logs::Logs;

/// The access key that a function's calls are signed with: it stands for the function's role.
pub fn access_key_id(function: &str) -> String {
    format!("ASIA{}", function.to_uppercase())
}

/// Runs functions; every process it started ends when it is dropped.
pub struct LambdaHost {
    host: Arc<Host>,
    server: Server,
}

impl LambdaHost {
    /// Starts it without functions.
    pub async fn start() -> Self {
        let host = Arc::new(Host::default());
        let router = Router::new()
            .merge(runtime_api::routes())
            .merge(invoke_api::routes())
            .merge(logs_api::routes())
            .with_state(Arc::clone(&host));
        let server = Server::start(router).await;
        host.url.set(server.url()).expect("a host starts once");
        Self { host, server }
    }

    /// The endpoint for `AWS_ENDPOINT_URL_LAMBDA`, and for `AWS_ENDPOINT_URL_CLOUDWATCH_LOGS`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// What stands between the Invoke API and its callers.
    pub fn invoke_api(&self) -> &Wire {
        &self.host.wire
    }

    /// Deploys a function; one of the same name is replaced, and its environments end.
    pub fn add(&self, function: Function) {
        self.kill_environments(&function.name);
        self.host.state().functions.insert(function.name.clone(), function);
    }

    /// Changes one variable of a function, which starts from new environments as after a configuration update.
    pub fn set_variable(&self, function: &str, name: &str, value: impl Into<String>) {
        let mut changed = self.host.state().functions.get(function).expect("the function was added").clone();
        changed.variables.insert(name.to_owned(), value.into());
        self.add(changed);
    }

    /// Changes what is said of a function's state and of its last update, such as `Failed`; it runs nevertheless.
    pub fn set_state(&self, function: &str, state: &str, last_update_status: &str) {
        let mut host = self.host.state();
        let changed = host.functions.get_mut(function).expect("the function was added");
        state.clone_into(&mut changed.state);
        last_update_status.clone_into(&mut changed.last_update_status);
    }

    /// Changes how long an invocation of a function may take.
    pub fn set_timeout(&self, function: &str, timeout: Duration) {
        let changed = self.host.state().functions.get(function).expect("the function was added").clone();
        self.add(changed.timeout(timeout));
    }

    /// Changes how many environments a function may have.
    pub fn set_concurrency(&self, function: &str, environments: usize) {
        let changed = self.host.state().functions.get(function).expect("the function was added").clone();
        self.add(changed.concurrency(environments));
    }

    /// Invokes a function, or `name:alias`, and waits for its answer.
    ///
    /// # Errors
    ///
    /// The function's own error, the platform's, or the service's refusal.
    pub async fn invoke(&self, target: &str, payload: Value) -> Result<Value, FunctionError> {
        self.host.invoke(target, &payload, None).await
    }

    /// Invokes a function with a client context.
    ///
    /// # Errors
    ///
    /// As [`LambdaHost::invoke`].
    pub async fn invoke_with_context(
        &self,
        target: &str,
        payload: Value,
        client_context: Value,
    ) -> Result<Value, FunctionError> {
        self.host.invoke(target, &payload, Some(client_context)).await
    }

    /// An SDK client of the Invoke API that calls as this access key.
    pub fn sdk(&self, access_key_id: &str) -> aws_sdk_lambda::Client {
        aws_sdk_lambda::Client::new(&crate::sdk_config(&self.url(), access_key_id))
    }

    /// Refuses this access key's calls of a function through the Invoke API, or of a log group.
    pub fn deny(&self, access_key_id: &str, function: &str) {
        self.host.state().denied.insert((access_key_id.to_owned(), function.to_owned()));
    }

    /// Opens an HTTP API with one route, such as `POST /api/webhooks/github`, to a function.
    pub async fn front(&self, function: &str, route: &str) -> Front {
        self.front_on(0, function, route).await
    }

    /// Opens it on a port of its own choice, 0 for any.
    pub async fn front_on(&self, port: u16, function: &str, route: &str) -> Front {
        Front::open(Arc::clone(&self.host), port, function, route).await
    }

    /// Stops the processes between invocations, as Lambda does, or no longer.
    pub fn freeze_between_invocations(&self, freeze: bool) {
        self.host.state().freeze = freeze;
    }

    /// Ends every environment of a function at once; the next invocation is a cold start.
    pub fn kill_environments(&self, function: &str) {
        self.host.kill(|environment| environment.target.function == function);
    }

    /// Kills the processes of a function that are in the middle of an invocation; says how many.
    pub fn kill_busy(&self, function: &str) -> usize {
        self.host.kill(|environment| environment.target.function == function && environment.is_busy())
    }

    /// Moves the clocks of every environment from now on, and the deadlines that they are given, this far ahead of this machine's: also under
    /// processes that run. What runs on the machine's own clock ends.
    pub fn move_clocks(&self, seconds: i64) {
        self.host.kill(|environment| environment.clock.is_none());
        let mut state = self.host.state();
        state.passed = Some(seconds);
        state.environments.values().for_each(|environment| environment.set_clock(seconds));
    }

    /// Lets the clocks of environments that start from now on differ: one is right, the next this far behind, the next as far ahead.
    pub fn part_clocks(&self, seconds: i64) {
        self.host.state().apart = seconds;
    }

    /// Lets the clocks of a function's environments jump, to so many seconds before or after what they should be.
    pub fn jump(&self, function: &str, seconds: i64) {
        let mut state = self.host.state();
        let passed = state.passed.unwrap_or_default();
        let of_function = state.environments.values_mut().filter(|environment| environment.target.function == function);
        of_function.for_each(|environment| environment.jump(seconds, passed));
    }

    /// Stops the processes of a function where they are, whatever they are doing, or lets them go on.
    pub fn stall(&self, function: &str, stall: bool) {
        let state = self.host.state();
        let of_function = state.environments.values().filter(|environment| environment.target.function == function);
        of_function.filter(|environment| !environment.frozen).for_each(|environment| environment.stall(stall));
    }

    /// The process ids of a function's environments, by their names.
    pub fn processes(&self, function: &str) -> BTreeMap<String, i32> {
        let state = self.host.state();
        let of_function = state.environments.values().filter(|environment| environment.target.function == function);
        of_function.map(|environment| (environment.id.clone(), environment.process_id())).collect()
    }

    /// How many environments a function has.
    pub fn environments(&self, function: &str) -> usize {
        self.count(function, |_| true)
    }

    /// How many of them are in the middle of an invocation.
    pub fn busy(&self, function: &str) -> usize {
        self.count(function, Environment::is_busy)
    }

    /// How many of them are stopped.
    pub fn frozen(&self, function: &str) -> usize {
        self.count(function, |environment| environment.frozen)
    }

    fn count(&self, function: &str, counts: impl Fn(&Environment) -> bool) -> usize {
        let state = self.host.state();
        let of_function = state.environments.values().filter(|environment| environment.target.function == function);
        of_function.filter(|environment| counts(environment)).count()
    }

    /// How many invocations a function was given so far.
    pub fn invocations(&self, function: &str) -> usize {
        self.host.state().invocations.get(function).copied().unwrap_or_default()
    }

    /// The largest resident memory that a living environment of the function ever had, in bytes.
    pub fn peak_memory(&self, function: &str) -> Option<u64> {
        let state = self.host.state();
        let of_function = state.environments.values().filter(|environment| environment.target.function == function);
        of_function.filter_map(Environment::peak_memory).max()
    }

    /// What the living environments of the function spent on processors so far.
    pub fn processor_time(&self, function: &str) -> ProcessorTime {
        let state = self.host.state();
        let of_function = state.environments.values().filter(|environment| environment.target.function == function);
        of_function.fold(ProcessorTime::default(), |sum, environment| sum + environment.processor_time())
    }

    /// The starts of the function's environments so far, in order.
    pub fn cold_starts(&self, function: &str) -> Vec<ColdStart> {
        let state = self.host.state();
        state.cold_starts.iter().filter(|start| start.function == function).cloned().collect()
    }

    /// The lines a function wrote so far.
    pub fn logs(&self, function: &str) -> Vec<String> {
        self.host.logs.of(function)
    }

    /// The lines of all functions, each after its function's name.
    pub fn all_logs(&self) -> Vec<(String, String)> {
        self.host.logs.all()
    }

    /// Shows further lines on the terminal, as the first caller has it.
    pub fn echo_logs(&self, echo: Echo) {
        self.host.logs.echo(echo);
    }

    /// Waits for a line of the function that `matches`, past or to come; panics after 10 s without one.
    pub async fn log_line(&self, function: &str, matches: impl Fn(&str) -> bool) -> String {
        self.host.logs.wait_for(function, matches).await
    }

    pub(crate) fn host(&self) -> Arc<Host> {
        Arc::clone(&self.host)
    }
}

impl Drop for LambdaHost {
    fn drop(&mut self) {
        // A stream or a schedule may still hold the host: without functions it starts nothing more.
        self.host.state().functions.clear();
        self.host.kill(|_| true);
    }
}

/// What the endpoints of one [`LambdaHost`] share.
pub(crate) struct Host {
    url: OnceLock<String>,
    state: Mutex<HostState>,
    logs: Arc<Logs>,
    /// Before the Invoke API.
    wire: Wire,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            url: OnceLock::new(),
            state: Mutex::default(),
            logs: Arc::default(),
            wire: Wire::new(invoke_api::DIALECT),
        }
    }
}

#[derive(Default)]
struct HostState {
    functions: BTreeMap<String, Function>,
    environments: BTreeMap<String, Environment>,
    started: usize,
    cold_starts: Vec<ColdStart>,
    invocations: BTreeMap<String, usize>,
    denied: BTreeSet<(String, String)>,
    freeze: bool,
    /// How far the environments' clocks are ahead of this machine's; `None` while they go by that one.
    passed: Option<i64>,
    /// How far they are apart.
    apart: i64,
}

impl HostState {
    /// The clock of the environment that is started next.
    fn next_clock(&self) -> Option<Clock> {
        let turn = [0, -1, 1][self.started % 3];
        self.passed.map(|passed| Clock::new(turn * self.apart, passed))
    }
}

impl Host {
    fn state(&self) -> MutexGuard<'_, HostState> {
        self.state.lock().expect("nothing panics while it holds the host's state")
    }

    pub(crate) async fn invoke(
        self: &Arc<Self>,
        target: &str,
        payload: &Value,
        client_context: Option<Value>,
    ) -> Result<Value, FunctionError> {
        let payload = Bytes::from(payload.to_string());
        match self.run(&Target::parse(target), payload, client_context).await {
            Ok(Outcome::Answer(body)) => Ok(serde_json::from_slice(&body).unwrap_or_default()),
            Ok(Outcome::Failure(body)) => Err(FunctionError::read(&body)),
            Err(refusal) => Err(FunctionError::refused(&refusal)),
        }
    }

    /// Runs one invocation in an idle environment or a new one, to its end even if the caller goes away.
    async fn run(
        self: &Arc<Self>,
        target: &Target,
        payload: Bytes,
        client_context: Option<Value>,
    ) -> Result<Outcome, InvokeRefusal> {
        if payload.len() > LARGEST_PAYLOAD {
            return Err(InvokeRefusal::TooLarge(payload.len()));
        }
        let function = self.resolve(target)?;
        *self.state().invocations.entry(target.function.clone()).or_default() += 1;
        let request_id = uuid::Uuid::new_v4().to_string();
        let work = Work { request_id, payload, client_context, timeout: function.timeout };
        let run = Arc::clone(self).work_off(target.clone(), function, work);
        tokio::spawn(run).await.expect("an invocation does not panic")
    }

    async fn work_off(
        self: Arc<Self>,
        target: Target,
        function: Function,
        work: Work,
    ) -> Result<Outcome, InvokeRefusal> {
        // An idle process may die before it takes the work: then nothing has run, and another environment takes it.
        loop {
            if let Some(outcome) = self.attempt(&target, &function, work.clone()).await? {
                return Ok(outcome);
            }
        }
    }

    fn resolve(&self, target: &Target) -> Result<Function, InvokeRefusal> {
        let not_found = || InvokeRefusal::NotFound(target.arn());
        let mut function = self.state().functions.get(&target.function).ok_or_else(not_found)?.clone();
        if let Some(alias) = &target.alias {
            let variables = function.aliases.get(alias).ok_or_else(not_found)?.clone();
            function.variables.extend(variables);
        }
        Ok(function)
    }

    async fn attempt(
        self: &Arc<Self>,
        target: &Target,
        function: &Function,
        work: Work,
    ) -> Result<Option<Outcome>, InvokeRefusal> {
        let request_id = work.request_id.clone();
        let (taken_sender, taken) = oneshot::channel();
        let (answer_sender, answer) = oneshot::channel();
        let id = self.claim(target, function, work, taken_sender, answer_sender)?;
        if tokio::time::timeout(function.init_timeout, taken).await.is_err() {
            return Ok(Some(self.time_out(&id, &request_id, function.init_timeout)));
        }
        match tokio::time::timeout(function.timeout, answer).await {
            Ok(outcome) => Ok(outcome.ok()),
            Err(_) => Ok(Some(self.time_out(&id, &request_id, function.timeout))),
        }
    }

    fn time_out(&self, environment: &str, request_id: &str, limit: Duration) -> Outcome {
        self.kill(|candidate| candidate.id == environment);
        timed_out(request_id, limit)
    }

    /// Hands the work to an idle environment or to one started for it.
    fn claim(
        self: &Arc<Self>,
        target: &Target,
        function: &Function,
        work: Work,
        taken: oneshot::Sender<()>,
        answer: oneshot::Sender<Outcome>,
    ) -> Result<String, InvokeRefusal> {
        let mut state = self.state();
        let idle = |environment: &&mut Environment| environment.target == *target && !environment.is_busy();
        if let Some(environment) = state.environments.values_mut().find(idle) {
            environment.hand(work, taken, answer);
            return Ok(environment.id.clone());
        }
        let of_function = |environment: &&Environment| environment.target.function == target.function;
        if state.environments.values().filter(of_function).count() >= function.concurrency {
            return Err(InvokeRefusal::Throttled);
        }
        let clock = state.next_clock();
        state.started += 1;
        let id = format!("{}-{}", target.function, state.started);
        let mut environment = Environment::spawn(self, &id, target, function, clock);
        environment.hand(work, taken, answer);
        state.cold_starts.push(ColdStart::new(&id, &target.function));
        state.environments.insert(id.clone(), environment);
        Ok(id)
    }

    /// Ends the matching environments; says how many there were.
    fn kill(&self, matches: impl Fn(&Environment) -> bool) -> usize {
        let mut state = self.state();
        let ended = state.environments.extract_if(.., |_, environment| matches(environment));
        ended.map(|(_, environment)| environment.end()).count()
    }
}

fn timed_out(request_id: &str, limit: Duration) -> Outcome {
    let seconds = limit.as_secs_f64();
    failure("Sandbox.Timedout", format!("RequestId: {request_id} Error: Task timed out after {seconds:.2} seconds"))
}

fn failure(kind: &str, message: String) -> Outcome {
    Outcome::Failure(json!({"errorType": kind, "errorMessage": message}).to_string().into())
}
