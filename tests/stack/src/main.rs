//! `stack demo [FOLDER [RUNNER…]] | run [--json] | bench FOLDER PEERS [SECTION…] | exec COMMAND | github | graphql`: the local stack from a terminal.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a command reads its arguments, prints for people, and stops where nothing can be shown"
)]

mod bench;
mod demo;
mod page;
mod run;
mod show;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use domain::contract::reconcile::Event;
use domain::ids::PullRequestNumber;
use fake_github::{GitHub, NewPullRequest, Selection};
use local_aws::lambda::binary;
use serde_json::json;
use stack::{ACCOUNT, REPOSITORY, Stack};

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("demo") => demo(&arguments.collect::<Vec<_>>()).await,
        Some("bench") => {
            bench::run(&arguments.collect::<Vec<_>>()).await;
            ExitCode::SUCCESS
        }
        Some("run") => run::run(&arguments.collect::<Vec<_>>()).await,
        Some("github") => github().await,
        Some("graphql") => graphql().await,
        Some("exec") => exec(&arguments.collect::<Vec<_>>()).await,
        _ => {
            eprintln!(
                "usage: stack demo [FOLDER [RUNNER [ARGUMENT…]]] | stack run [--json] | stack bench FOLDER PEERS [SECTION…] | \
                 stack exec COMMAND [ARGUMENT…] | stack github | stack graphql"
            );
            ExitCode::from(2)
        }
    }
}

/// Shows the main job: with the workspace's own executables, or with the `FOLDER/NAME/bootstrap` that `cargo lambda build`
/// made, where a runner such as `qemu-aarch64` starts those of another processor.
async fn demo(arguments: &[String]) -> ExitCode {
    let scripts = tempfile::tempdir().expect("a temporary folder");
    let shown = match arguments.split_first() {
        None => demo::run(binary).await,
        Some((folder, runner)) => demo::run(|name| bootstrap(Path::new(folder), name, runner, scripts.path())).await,
    };
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(step) => {
            eprintln!("\nThis did not hold: {step}");
            ExitCode::FAILURE
        }
    }
}

/// A function's executable, or a script that hands it to the runner.
fn bootstrap(folder: &Path, name: &str, runner: &[String], scripts: &Path) -> PathBuf {
    let built = folder.join(name).join("bootstrap");
    // The host starts processes in a folder of their own.
    let built = built.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", built.display()));
    if runner.is_empty() {
        return built;
    }
    let words = runner.iter().cloned().chain([built.display().to_string()]);
    let words: Vec<_> = words.map(|word| quoted(&word)).collect();
    let script = scripts.join(name);
    std::fs::write(&script, format!("#!/bin/sh\nexec {}\n", words.join(" "))).expect("a script is written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("the script is ours");
    script
}

/// Runs a command with the stack's environment, and ends with it.
async fn exec(command: &[String]) -> ExitCode {
    let Some((program, arguments)) = command.split_first() else {
        eprintln!("usage: stack exec COMMAND [ARGUMENT…]");
        return ExitCode::from(2);
    };
    let stack = Stack::start().await;
    let status = tokio::process::Command::new(program)
        .args(arguments)
        .envs(stack.environment())
        .env("PRIVATE_KEY", stack.github.app().pem)
        .status()
        .await;
    stack.github.assert_nothing_unexpected();
    match status {
        Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from),
        Err(error) => {
            eprintln!("{program} could not be run: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A GitHub alone, for a stack that runs elsewhere: it says in a line of JSON where it is and what its App is, and then does
/// what each line on its standard input says, answering with a line what the webhook answered.
async fn github() -> ExitCode {
    let github = GitHub::start().await;
    github.keep_time();
    github.create_git_repository(REPOSITORY, &[("README.md", "# app\n")]).await;
    let installation = github.install(ACCOUNT, Selection::All);
    let app = github.app();
    println!(
        "{}",
        json!({"url": github.url(), "app_id": app.id, "pem": app.pem, "fingerprint": app.fingerprint,
            "installation_id": installation, "repository": REPOSITORY})
    );
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let event = match word {
            "hook" => {
                github.set_hook(rest, "typed into the form");
                github.ping_event()
            }
            "open" => github.open_pull_request(REPOSITORY, NewPullRequest::titled(rest)),
            "merge" => github.merge(REPOSITORY, rest.parse().expect("the number of a pull request")),
            _ => {
                eprintln!("hook URL | open TITLE | merge NUMBER");
                return ExitCode::from(2);
            }
        };
        let record = github.deliver(&event).await;
        let page = &event.payload["pull_request"]["html_url"];
        println!("{}", json!({"status": record.status, "answer": record.body, "pull_request": page}));
    }
    github.assert_nothing_unexpected();
    ExitCode::SUCCESS
}

/// What the functions ask GitHub in GraphQL, and what the fake knows of GitHub's schema, as one line of JSON: both are held
/// against the schema that GitHub publishes.
async fn graphql() -> ExitCode {
    let stack = Stack::start().await;
    stack.task("4d9d444d", "pr_submitted");
    let [opened, another] = ["Fix login [kid: #4d9d444d]", "Rewrite the readme"].map(NewPullRequest::titled);
    let opened = stack.github.open_pull_request(REPOSITORY, opened);
    stack.github.deliver(&opened).await;
    stack.stream.drain().await;
    let another = stack.github.open_pull_request(REPOSITORY, another);
    stack.github.deliver(&stack.github.merge(REPOSITORY, another.number())).await;
    stack.stream.drain().await;
    // Of a merged one the title at the merge is asked for.
    let repository = REPOSITORY.parse().expect("it is named owner/name");
    let one = Event::PullRequest { repository, number: PullRequestNumber(another.number()), installation_id: None };
    for event in [stack::resync(Some(REPOSITORY)), Event::Due { shard: None }.to_json(), one.to_json()] {
        stack.lambda.invoke("reconcile", event).await.expect("reconcile answers");
    }
    let asked = stack.github.requests().into_iter().filter(|request| request.route == "POST /graphql");
    let queries: Vec<serde_json::Value> =
        asked.map(|request| serde_json::from_str(&request.body).expect("a query is JSON")).collect();
    println!("{}", json!({"queries": queries, "schema": fake_github::schema()}));
    ExitCode::SUCCESS
}

fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}
