//! The token side: from memory, from the table, from GitHub; beside `@octokit/auth-app` in a handler.

use serde_json::{Value, json};
use stack::Stack;

use super::contestants::{deployed, executable};
use super::figures::{SHOWN, Times, timed};
use super::{Bench, setting};

const FUNCTIONS: [(&str, &str); 3] =
    [("empty", "empty function"), ("token", "ours"), ("auth-app", "@octokit/auth-app")];
/// Scopes that are minted: RSA signs slowly, and each is a repository of the fake GitHub.
const MINTS: usize = 40;

/// Each table interleaves its rows.
pub(super) async fn run(bench: &Bench) {
    let stack = bench.stack().await;
    for (name, _) in FUNCTIONS.into_iter().filter(|(name, _)| *name != "token") {
        stack.lambda.add(deployed(name, executable(bench, name), &stack, &[]));
    }
    cold(&stack, setting("COLD", 10)).await;
    warm(&stack, setting("WARM", 2000)).await;
    mints(&stack).await;
    from_the_table(&stack).await;
    at_once(&stack, 200).await;
    println!("\nPeak memory, MiB");
    for (name, label) in FUNCTIONS {
        let peak = stack.lambda.peak_memory(name).unwrap_or_default();
        println!("  {label:<24}{:>8.1}", peak as f64 / 1024.0 / 1024.0);
    }
}

/// Ours finds its token in the table, auth-app, which keeps none, mints.
async fn cold(stack: &Stack, rounds: usize) {
    ask(stack, "token", 0).await;
    let mut all = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        for (index, (name, _)) in FUNCTIONS.into_iter().enumerate() {
            stack.lambda.kill_environments(name);
            ask(stack, name, 0).await;
            let start = stack.lambda.cold_starts(name).pop().and_then(|start| start.answered);
            all[index].push(start.expect("the function started"));
        }
    }
    rows("A token, from process start", all.map(Times::from_iter));
}

async fn warm(stack: &Stack, rounds: usize) {
    let mut all = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        for (index, (name, _)) in FUNCTIONS.into_iter().enumerate() {
            all[index].push(timed(ask(stack, name, 0)).await.0);
        }
    }
    rows("A token from the environment's memory", all.map(Times::from_iter));
}

/// Scopes that nobody asked for before.
async fn mints(stack: &Stack) {
    let mut all = [const { Vec::new() }; 3];
    let mut github = Vec::new();
    for scope in 1..=MINTS {
        // Two of each, since one contestant's token must not be in the other's table.
        for (index, (name, _)) in FUNCTIONS.into_iter().enumerate() {
            stack.github.create_repository(&format!("acme/{}", repository(name, scope)), true);
            all[index].push(timed(ask(stack, name, scope)).await.0);
        }
        // Signed by nobody: a refusal is the way to GitHub and back.
        let request = stack.http.get(format!("{}/app", stack.github.url())).bearer_auth("x");
        github.push(timed(request.send()).await.0);
    }
    rows("A token that GitHub mints", all.map(Times::from_iter));
    println!("  {:<24}{}", "GitHub's own round trip", Times::from_iter(github).shown());
}

async fn from_the_table(stack: &Stack) {
    stack.lambda.kill_environments("token");
    ask(stack, "token", 0).await;
    let mut hits = Times::default();
    for scope in 1..=MINTS {
        let (took, answer) = timed(ask(stack, "token", scope)).await;
        assert_eq!(answer["cached"], true, "{answer}");
        hits.push(took);
    }
    println!("\nA token from the table, ms ({} times)\n  {:<24}{}", hits.len(), "ours", hits.shown());
}

/// Starts as many token processes as there are asks, all at the same moment and for one scope.
async fn at_once(stack: &Stack, processes: usize) {
    stack.github.create_repository("acme/wanted-by-all", true);
    stack.lambda.kill_environments("token");
    stack.lambda.set_concurrency("token", processes);
    let ask = json!({"repositories": ["wanted-by-all"], "permissions": {"contents": "read"}});
    let before = stack.github.minted().len();
    let asks = (0..processes).map(|_| timed(stack.lambda.invoke("token", ask.clone())));
    let answers = futures_util::future::join_all(asks).await;
    let failed = answers.iter().filter(|(_, answer)| answer.is_err()).count();
    let slowest = answers.iter().map(|(took, _)| took.as_secs_f64()).fold(0.0, f64::max);
    let mints = stack.github.minted().len() - before;
    println!(
        "\n{processes} token processes started at once for one scope: {mints} minted, {failed} failed, slowest {slowest:.2} s"
    );
}

/// Each repository is a scope of its own.
async fn ask(stack: &Stack, function: &str, scope: usize) -> Value {
    let ask = json!({"repositories": [repository(function, scope)], "permissions": {"contents": "read"}});
    stack.lambda.invoke(function, ask).await.unwrap_or_else(|error| panic!("{function}: {error}"))
}

fn repository(function: &str, scope: usize) -> String {
    if scope == 0 { "app".to_owned() } else { format!("{function}-{scope}") }
}

fn rows(title: &str, all: [Times; 3]) {
    println!("\n{title}, ms ({} each, in turn)\n  {:<24}{SHOWN}  × empty function", all[0].len(), "");
    for (times, (_, label)) in all.iter().zip(FUNCTIONS) {
        println!("  {label:<24}{}  {}", times.shown(), times.ratio(&all[0]));
    }
}
