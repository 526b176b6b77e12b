//! The executables under faults: whatever goes wrong at the wire or with a process, once it is over every card is where the truth has it.
//!
//! A history is drawn of what people do ([`super::reconcile::people`]); while its deliveries are made and reconcile runs, something goes wrong,
//! in every other history one thing alone and in the others all of them mixed. A delivery that was not taken is made again, or a resync heals it.
//! Every delivery that was answered 2xx is looked for in the tables at once.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fake_github::{DeliveryRecord, Event, Fault as GitHubFault, FaultKind};
use futures_util::future::join_all;
use local_aws::lambda::access_key_id;
use local_aws::{Fault, Rule, Wire};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::harness::deployed::Deployed;
use crate::scenarios::reconcile::people::{A_QUARTER, Fate, Op, Place, Played, Second, Setting, fate, op, setting};

/// How many deliveries are made where `DELIVERIES` does not say.
const DELIVERIES: usize = 200;

/// How many pull requests of a history are told apart.
const PULLS: usize = 12;

/// From so many deliveries on each fault is drawn often enough to befall something.
const ALL_BEFALL: usize = 10_000;

/// How many histories a thread plays at once: most of their time is waiting.
const AT_ONCE: usize = 8;

/// Longer than the SDK waits for an answer.
const TOO_LATE: Duration = Duration::from_millis(1500);

/// Environments' clocks are this far apart in every other history, seconds.
const APART: i64 = 5 * 60;

const FUNCTIONS: [&str; 3] = ["webhook", "reconcile", "token"];

#[derive(Debug, Clone, Copy)]
enum Service {
    Tables,
    Secrets,
    TokenFunction,
}

const SERVICES: [(&str, Service); 3] =
    [("tables", Service::Tables), ("secrets", Service::Secrets), ("token function", Service::TokenFunction)];

/// What goes wrong with a call of a service.
const FAULTS: [(&str, Fault); 12] = [
    ("500", Fault::ServerError),
    ("throttled", Fault::Throttled),
    ("denied", Fault::AccessDenied),
    ("cut before it is done", Fault::Unreachable),
    ("answer lost", Fault::AnswerLost),
    ("answer replaced by 500", Fault::AnswerReplaced),
    ("cut in mid-answer", Fault::CutShort),
    ("HTML for an answer", Fault::Garbage("<html><body>Bad Gateway</body></html>")),
    ("truncated JSON", Fault::Garbage("{\"Item\": {\"title\": {\"S\": \"Fix lo")),
    ("other JSON", Fault::Garbage("[1, null]")),
    ("slow", Fault::Delay(Duration::from_millis(150))),
    ("done after the caller gave up", Fault::Delay(TOO_LATE)),
];

type Kind = fn() -> FaultKind;

/// What goes wrong with a request to GitHub.
const GITHUB: [(&str, Kind); 12] = [
    ("502", || FaultKind::ServerError),
    ("hourly limit", || FaultKind::RateLimitPrimary(600)),
    ("secondary limit", || FaultKind::RateLimitSecondary(60)),
    ("429", || FaultKind::TooMany(60)),
    ("GraphQL limit", || FaultKind::GraphqlLimit(Some("RATE_LIMITED"), 600)),
    ("cut before it is done", || FaultKind::DropConnection),
    ("answer lost", || FaultKind::AnswerThenDrop),
    ("cut in mid-answer", || FaultKind::CutShort),
    ("HTML for an answer", || garbage("<html><h1>Unicorn!</h1></html>")),
    ("truncated JSON", || garbage("{\"data\": {\"repository\": {\"pull")),
    ("empty object", || garbage("{}")),
    ("slow", || FaultKind::Delay(Duration::from_millis(300))),
];

fn garbage(body: &str) -> FaultKind {
    FaultKind::Status(200, body.to_owned(), vec![("content-type".to_owned(), "application/json".to_owned())])
}

/// Something that goes wrong while a step is taken.
#[derive(Debug, Clone, Copy)]
enum Harm {
    Call(Service, Fault),
    GitHub(Kind),
    /// GitHub does not answer until the client gives up.
    GitHubHangs,
    /// What a function reaches its services by leads nowhere: how.
    Endpoint(fn(&str) -> String),
    /// A function lacks a variable, and is deployed again with it.
    Unconfigured,
    /// A function is killed before one of its table calls, or after it.
    KilledAtCall(Fault),
    /// A function is killed at any time while it works.
    Killed,
    /// A function is killed while it starts.
    KilledAtStart,
    /// A function stands still while it works, for longer than the servers keep its connections.
    Stalled,
    /// The servers closed the connections of the environments that are frozen.
    HungUp,
    /// The clock of a function jumps while it works, and back.
    ClockJumps(i64),
}

fn harms() -> Vec<(String, Harm)> {
    let calls = SERVICES.iter().flat_map(|(service, of)| {
        FAULTS.iter().map(move |(fault, harm)| (format!("{service}: {fault}"), Harm::Call(*of, *harm)))
    });
    let github = GITHUB.iter().map(|(fault, kind)| (format!("GitHub: {fault}"), Harm::GitHub(*kind)));
    let others: [(&str, Harm); 13] = [
        ("GitHub: hangs", Harm::GitHubHangs),
        ("endpoint: connection refused", Harm::Endpoint(|_| "http://127.0.0.1:9".to_owned())),
        ("endpoint: no such name", Harm::Endpoint(|_| "http://nowhere.invalid".to_owned())),
        ("endpoint: TLS fails", Harm::Endpoint(|url| url.replacen("http:", "https:", 1))),
        ("function: lacks a variable", Harm::Unconfigured),
        ("function: killed before a table call", Harm::KilledAtCall(Fault::Hold)),
        ("function: killed after a table call", Harm::KilledAtCall(Fault::HoldAnswer)),
        ("function: killed while it works", Harm::Killed),
        ("function: killed while it starts", Harm::KilledAtStart),
        ("function: stands still while it works", Harm::Stalled),
        ("function: frozen, its connections closed", Harm::HungUp),
        ("function: clock jumps ahead", Harm::ClockJumps(3600)),
        ("function: clock jumps back", Harm::ClockJumps(-3600)),
    ];
    calls.chain(github).chain(others.map(|(name, harm)| (name.to_owned(), harm))).collect()
}

/// What goes wrong at one step: which of all, to whom, after how many calls, how often, and when.
#[derive(Debug, Clone, Copy)]
struct Trouble {
    which: usize,
    function: &'static str,
    variable: usize,
    after: usize,
    times: usize,
    at: Duration,
}

fn trouble(of: usize) -> impl Strategy<Value = Trouble> {
    let drawn = (0..of, prop::sample::select(&FUNCTIONS[..]), 0..3_usize, 0..8_usize, 1..5_usize, 0..40_u64);
    drawn.prop_map(|(which, function, variable, after, times, ms)| Trouble {
        which,
        function,
        variable,
        after,
        times,
        at: Duration::from_millis(ms),
    })
}

/// What reconcile does after a step's deliveries.
#[derive(Debug, Clone, Copy)]
enum Work {
    Nothing,
    Stream,
    Due,
    MuchLater,
    AtOnce,
}

/// A step: what people do, what becomes of the deliveries, and what goes wrong meanwhile.
#[derive(Debug, Clone)]
struct Step {
    ops: Vec<Op>,
    fates: Vec<Fate>,
    /// Whether a delivery that was not taken is made again.
    again: bool,
    work: Work,
    troubles: Vec<Trouble>,
}

fn step(harms: usize) -> impl Strategy<Value = Step> {
    let work = prop_oneof![
        3 => Just(Work::Nothing),
        4 => Just(Work::Stream),
        1 => Just(Work::Due),
        1 => Just(Work::MuchLater),
        1 => Just(Work::AtOnce),
    ];
    let troubles = prop::collection::vec(trouble(harms), 0..3);
    let (ops, fates) = (prop::collection::vec(op(PULLS), 1..6), prop::collection::vec(fate(), 5));
    let drawn = (ops, fates, any::<bool>(), work, troubles);
    drawn.prop_map(|(ops, fates, again, work, troubles)| Step { ops, fates, again, work, troubles })
}

#[derive(Debug)]
struct History {
    steps: Vec<Step>,
    setting: Setting,
    apart: bool,
}

fn history(harms: usize) -> impl Strategy<Value = History> {
    let drawn =
        (prop::collection::vec(step(harms), 15..30), setting(&[Second::None, Second::SameOwner]), any::<bool>());
    drawn.prop_map(|(steps, setting, apart)| History { steps, setting, apart })
}

/// What came of one kind of fault.
#[derive(Debug, Default, Clone, Copy)]
struct Came {
    /// How many steps it was drawn for, and how many calls, requests or processes it befell.
    steps: usize,
    befell: usize,
    /// Deliveries meanwhile that were answered 2xx, and that were not.
    taken: usize,
    failed: usize,
}

#[derive(Debug, Default)]
struct Tally {
    came: BTreeMap<String, Came>,
    histories: usize,
    deliveries: usize,
    taken: usize,
    made_again: usize,
}

impl Tally {
    fn befell(&self, name: &str) -> bool {
        self.came.get(name).is_some_and(|came| came.befell > 0)
    }

    fn note(&mut self, name: &str, befell: usize, taken: usize, failed: usize) {
        let came = self.came.entry(name.to_owned()).or_default();
        came.steps += 1;
        came.befell += befell;
        came.taken += taken;
        came.failed += failed;
    }
}

/// A history under way.
struct Ordeal<'a> {
    played: Played<Deployed>,
    harms: &'a [(String, Harm)],
    tally: &'a Mutex<Tally>,
}

impl Ordeal<'_> {
    async fn play(&mut self, history: &History) -> Result<(), String> {
        let mut pending: Vec<(usize, Event)> = Vec::new();
        for (at, step) in history.steps.iter().enumerate() {
            let events: Vec<_> = step.ops.iter().flat_map(|op| self.played.happen(op)).collect();
            for (event, fate) in events.into_iter().zip(step.fates.iter().cycle()) {
                pending.extend(fate.copies.iter().map(|late| (at + late, event.clone())));
            }
            let now: Vec<_> = pending.extract_if(.., |(due, _)| *due <= at).map(|(_, event)| event).collect();
            let failed = self.step(step, now).await?;
            if step.again {
                self.tally().made_again += failed.len();
                pending.extend(failed.into_iter().map(|event| (at + 2, event)));
            }
        }
        self.played.settle().await;
        self.deliver_all(pending.into_iter().map(|(_, event)| event).collect()).await?;
        self.played.settle().await;
        self.played.judge()
    }

    fn stack(&self) -> &stack::Stack {
        &self.played.world.stack
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives back what was not taken.
    async fn step(&mut self, step: &Step, now: Vec<Event>) -> Result<Vec<Event>, String> {
        if matches!(step.work, Work::MuchLater) {
            self.played.world.pass(A_QUARTER);
        }
        let before: Vec<_> = step.troubles.iter().map(|trouble| self.befallen(trouble)).collect();
        let made = now.len();
        let over = Notify::new();
        let work = async {
            let failed = self.deliver_all(now).await;
            self.work(step.work).await;
            over.notify_waiters();
            failed
        };
        let harm = join_all(step.troubles.iter().map(async |trouble| {
            tokio::select! {
                processes = self.harm(trouble) => processes,
                () = over.notified() => 0,
            }
        }));
        // Harm first, as it has to be there when the first call is made.
        let (processes, failed) = tokio::join!(biased; harm, work);
        let failed = failed?;
        for ((trouble, before), processes) in step.troubles.iter().zip(before).zip(processes) {
            let befell = self.befallen(trouble) - before + processes;
            self.tally().note(&self.harms[trouble.which].0, befell, made - failed.len(), failed.len());
        }
        step.troubles.iter().for_each(|trouble| self.end(trouble));
        Ok(failed)
    }

    fn wire(&self, service: Service) -> &Wire {
        match service {
            Service::Tables => &self.stack().dynamodb,
            Service::Secrets => &self.stack().secrets,
            Service::TokenFunction => self.stack().lambda.invoke_api(),
        }
    }

    /// How many calls or requests this befell so far.
    fn befallen(&self, trouble: &Trouble) -> usize {
        match self.harms[trouble.which].1 {
            Harm::Call(service, fault) => {
                self.wire(service).calls().iter().filter(|call| call.fault == Some(fault)).count()
            }
            Harm::GitHub(_) | Harm::GitHubHangs => self.stack().github.faults_met(),
            _ => 0,
        }
    }

    /// Does the harm; says how many processes it befell.
    async fn harm(&self, trouble: &Trouble) -> usize {
        let (stack, function) = (self.stack(), trouble.function);
        let lambda = &stack.lambda;
        match self.harms[trouble.which].1 {
            Harm::Call(service, fault) => {
                self.wire(service).fail(Rule::new(fault).after(trouble.after).times(trouble.times));
                0
            }
            Harm::GitHub(kind) => {
                stack.github.fault(GitHubFault { times: trouble.times, ..GitHubFault::once("/", kind()) });
                0
            }
            Harm::GitHubHangs => {
                stack.github.fault(GitHubFault::once("/", FaultKind::Hang));
                0
            }
            Harm::Endpoint(wrong) => {
                let (name, right) = self.endpoint(trouble);
                lambda.set_variable(function, name, wrong(&right));
                1
            }
            Harm::Unconfigured => {
                let (name, _) = self.table(function);
                lambda.set_variable(function, name, "");
                1
            }
            Harm::KilledAtCall(hold) => {
                let key = access_key_id(function);
                stack.dynamodb.fail(Rule::new(hold).from(&key).after(trouble.after).times(1));
                stack.dynamodb.held().await;
                let killed = lambda.kill_busy(function);
                stack.dynamodb.release();
                killed
            }
            Harm::Killed => {
                tokio::time::sleep(trouble.at).await;
                lambda.kill_busy(function)
            }
            Harm::KilledAtStart => {
                lambda.kill_environments(function);
                while lambda.environments(function) == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                tokio::time::sleep(trouble.at / 10).await;
                lambda.kill_busy(function)
            }
            Harm::Stalled => {
                tokio::time::sleep(trouble.at).await;
                lambda.stall(function, true);
                tokio::time::sleep(TOO_LATE).await;
                stack.dynamodb.hang_up();
                stack.secrets.hang_up();
                lambda.stall(function, false);
                1
            }
            Harm::HungUp => {
                stack.dynamodb.hang_up();
                stack.secrets.hang_up();
                1
            }
            Harm::ClockJumps(seconds) => {
                tokio::time::sleep(trouble.at).await;
                lambda.jump(function, seconds);
                1
            }
        }
    }

    /// Ends what `harm` began.
    fn end(&self, trouble: &Trouble) {
        let (stack, function) = (self.stack(), trouble.function);
        match self.harms[trouble.which].1 {
            Harm::Call(service, _) => self.wire(service).clear_faults(),
            Harm::GitHub(_) | Harm::GitHubHangs => stack.github.clear_faults(),
            Harm::Endpoint(_) => {
                let (name, right) = self.endpoint(trouble);
                stack.lambda.set_variable(function, name, right);
            }
            Harm::Unconfigured => {
                let (name, right) = self.table(function);
                stack.lambda.set_variable(function, name, right);
            }
            Harm::KilledAtCall(_) => stack.dynamodb.clear_faults(),
            Harm::Stalled => stack.lambda.stall(function, false),
            Harm::ClockJumps(_) => stack.lambda.jump(function, 0),
            Harm::Killed | Harm::KilledAtStart | Harm::HungUp => {}
        }
    }

    /// One of the variables that a function reaches its services by.
    fn endpoint(&self, trouble: &Trouble) -> (&'static str, String) {
        let names = match trouble.function {
            "webhook" => &["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SECRETS_MANAGER"][..],
            "reconcile" => &["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_LAMBDA", "GITHUB_API_URL"],
            _ => &["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SECRETS_MANAGER", "GITHUB_API_URL"],
        };
        let name = names[trouble.variable % names.len()];
        let environment = self.stack().environment();
        let (_, right) =
            environment.into_iter().find(|(variable, _)| *variable == name).expect("a variable of the stack");
        (name, right)
    }

    /// The variable that names a table of a function's.
    fn table(&self, function: &str) -> (&'static str, String) {
        let names = self.stack().dynamodb.names();
        match function {
            "token" => ("TOKENS_TABLE", names.tokens.clone()),
            _ => ("PULL_REQUESTS_TABLE", names.pull_requests.clone()),
        }
    }

    async fn work(&self, work: Work) {
        let stack = self.stack();
        match work {
            Work::Nothing => {}
            Work::Stream => drop(stack.stream.pump_once().await),
            Work::Due => drop(stack.schedule.tick_once().await),
            Work::MuchLater => {
                let _failed = stack.schedule.tick_once().await;
                let _failed = stack.schedule.tick_once().await;
            }
            Work::AtOnce => {
                let stream = stack.stream.pump_once();
                drop(tokio::join!(stream, stack.schedule.tick_once(), stack.schedule.tick_once()));
            }
        }
    }

    /// Delivers all at once; gives back what was not taken.
    async fn deliver_all(&self, events: Vec<Event>) -> Result<Vec<Event>, String> {
        let records = join_all(events.iter().map(|event| self.stack().github.deliver(event))).await;
        let mut failed = Vec::new();
        for (event, record) in events.into_iter().zip(records) {
            let taken = (200..300).contains(&record.status);
            let mut tally = self.tally();
            tally.deliveries += 1;
            tally.taken += usize::from(taken);
            drop(tally);
            if taken {
                self.is_durable(&event, &record)?;
            } else {
                failed.push(event);
            }
        }
        Ok(failed)
    }

    /// Whether what an answer says is in the tables.
    fn is_durable(&self, event: &Event, record: &DeliveryRecord) -> Result<(), String> {
        let answer: Value = serde_json::from_str(&record.body).map_err(|error| error.to_string())?;
        if answer["outcome"] == "ignored" {
            return Ok(());
        }
        let world = &self.played.world;
        let repository = event.payload["repository"]["id"].to_string();
        let row = world.row(&repository, &format!("pr#{}", event.number())).ok_or(format!("no row after {answer}"))?;
        let (stored, told) = (row["github_updated_at"].as_str(), event.payload["pull_request"]["updated_at"].as_str());
        if stored < told {
            return Err(format!("answered {answer}, and stored is {row:#}"));
        }
        let key = json!(format!("{repository}#{}", event.number()));
        let tasks = answer["tasks"].as_array().into_iter().flatten();
        for task in tasks.filter(|task| task["outcome"] == "moved") {
            let card = world.read(task["task"].as_str().unwrap_or_default());
            if !card["completed_by"].as_array().is_some_and(|by| by.contains(&key)) {
                return Err(format!("answered {answer}, and stored is {card:#}"));
            }
        }
        Ok(())
    }
}

/// Draws the history of this number and plays it.
async fn play(seed: u64, number: usize, harms: &[(String, Harm)], tally: &Mutex<Tally>) -> Result<(), String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&(number as u64).to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    // Every other history has one kind alone, each in its turn.
    let alone = number.is_multiple_of(2).then(|| (number / 2 + seed as usize) % harms.len());
    let harms = alone.map_or(harms, |at| &harms[at..=at]);
    let history = history(harms.len()).new_tree(&mut runner).map_err(|reason| reason.to_string())?.current();
    let world = Deployed::start().await;
    world.stack.lambda.freeze_between_invocations(true);
    world.stack.lambda.part_clocks(if history.apart { APART } else { 0 });
    let played = Played::new(world, &history.setting);
    let mut ordeal = Ordeal { played, harms, tally };
    ordeal.play(&history).await?;
    ordeal.stack().github.assert_nothing_unexpected();
    let mut tally = ordeal.tally();
    tally.histories += 1;
    if tally.histories.is_multiple_of(20) {
        println!("{} histories, {} deliveries so far", tally.histories, tally.deliveries);
    }
    Ok(())
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn every_card_ends_right_whatever_failed_meanwhile() {
    let seed = number("SEED").unwrap_or_else(|| RandomState::new().hash_one(()) % 1_000_000);
    let wanted = number("DELIVERIES").map_or(DELIVERIES, |count| count as usize);
    println!("SEED={seed} DELIVERIES={wanted}");
    let only = number("HISTORY");
    let (harms, tally, next) = (harms(), Mutex::new(Tally::default()), AtomicUsize::new(only.unwrap_or(0) as usize));
    let worker = async || {
        while tally.lock().unwrap_or_else(PoisonError::into_inner).deliveries < wanted {
            let number = next.fetch_add(1, Ordering::SeqCst);
            let played = play(seed, number, &harms, &tally).await;
            assert!(played.is_ok(), "{}\nrepeat with SEED={seed} HISTORY={number}", played.unwrap_err());
            if only.is_some() {
                return;
            }
        }
    };
    // A small run is not to begin more histories than it needs.
    let at_once = if only.is_some() { 1 } else { (wanted / 100).clamp(1, AT_ONCE) };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(at_once);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(join_all((0..at_once).map(|_| worker())));
            });
        }
    });
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    show(&tally);
    let idle: Vec<_> = harms.iter().map(|(name, _)| name).filter(|name| !tally.befell(name)).collect();
    // With fewer deliveries some kinds may not have had their turn.
    assert!(
        wanted < ALL_BEFALL || idle.is_empty(),
        "these faults befell nothing, so nothing is shown of them: {idle:?}"
    );
}

fn show(tally: &Tally) {
    println!("{:48} {:>6} {:>6} {:>6} {:>6}", "fault", "steps", "befell", "taken", "failed");
    for (name, came) in &tally.came {
        println!("{name:48} {:6} {:6} {:6} {:6}", came.steps, came.befell, came.taken, came.failed);
    }
    let Tally { histories, deliveries, taken, made_again, .. } = tally;
    println!(
        "{histories} histories, {deliveries} deliveries: {taken} answered 2xx, {} not, {made_again} made again; \
         lost 0, moved wrongly 0, answered 2xx and not stored 0",
        deliveries - taken
    );
}
